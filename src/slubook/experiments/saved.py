"""Models on disk: facts as JSON beside weights as safetensors, no pickle."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slubook.experiments.kept import reading
from slubook.files import KeptError

FACTS, WEIGHTS = "meta.json", "weights.safetensors"
#: Of the two files together; raised when an older version could not make sense of a newer one's.
FORMAT = 1


def write(folder: Path, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Writes facts and weights into a folder that exists; the caller moves it to its place when all is there."""
    text = json.dumps({"format": FORMAT, **facts}, ensure_ascii=False, indent=1)
    (folder / FACTS).write_text(text, encoding="utf-8")
    write_weights(folder / WEIGHTS, weights)


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """Writes tensors of any device, and facts ``about`` them, as one safetensors file.

    Raises:
        OSError: when it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        save_file(tensors, path, dict(about) if about else None)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error


@contextmanager
def opened(folder: Path, what: str, remedy: str) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Reads the facts and weights that :func:`write` left; around all that is made of them.

    Args:
        folder: of the model.
        what: it is, for messages.
        remedy: how to get one.

    Raises:
        FileNotFoundError: when there is nothing.
        KeptError: when it is of another format, or damaged.
    """
    if not (folder / FACTS).is_file():
        raise FileNotFoundError(f"{folder} holds no {what}: {remedy}")
    with reading(folder, what):
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        found = facts["format"]
    if found != FORMAT:
        raise KeptError(f"the {what} in {folder} is of format {found}, this version reads {FORMAT}: {remedy}")
    with reading(folder, what):
        yield facts, load_file(folder / WEIGHTS)
