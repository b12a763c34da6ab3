"""Keeps in the cache what is trained once: it is found again by its name and a key of all that it was made from.

An artefact (a word-vector table, a language model, a pretrained network) lies in a folder of its own, with its key
inside. Another key under the same name replaces it. Models are facts as JSON beside weights as safetensors, no pickle.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from safetensors import SafetensorError

from slubook.files import KeptError, one_at_a_time
from slubook.profiles import cache_dir

if TYPE_CHECKING:
    from torch import Tensor

FACTS, WEIGHTS = "meta.json", "weights.safetensors"
#: Of the two files together; raised when an older version could not make sense of a newer one's.
FORMAT = 1

T = TypeVar("T")


class OtherFormat(KeptError):
    """What is kept was written by a version that wrote another format."""


@dataclass(frozen=True)
class Artefacts(Generic[T]):
    """One kind of artefact, such as all language models; each has a method ``save(folder)``, which writes it whole.

    Attributes:
        what: one of them is, for messages.
        place: the folder of the cache that holds them.
        load: reads one from its folder; it raises ``FileNotFoundError`` where there is none.
        key: reads the key off one.
    """

    what: str
    place: str
    load: Callable[[Path], T]
    key: Callable[[T], str | None]

    def folder(self, name: str) -> Path:
        """Returns where the artefact ``name`` is kept."""
        return cache_dir() / self.place / name

    def kept(self, name: str, key: str, make: Callable[[], T], how: str, folder: Path | None = None) -> T:
        """Returns the artefact ``name``: the one that is kept if it has this key, else a new one.

        Of two processes that ask for the same one, the second waits and finds what the first has made.

        Args:
            name: of the artefact and, in the cache, of its folder, where no other ``folder`` is given.
            key: a hash of all that it depends on; ``make`` trains a new one, which must have that key.
            how: it is made, for a line on stderr: training takes minutes, and shows no bar where that is no terminal.

        Raises:
            KeptError: when the one that is kept is damaged.
            OSError: when the cache cannot be written.
        """
        folder = folder or self.folder(name)
        with one_at_a_time(folder):
            with suppress(FileNotFoundError, OtherFormat):
                if self.key(found := self.load(folder)) == key:
                    return found
            announce(self.what, name, how)
            make().save(folder)
            for done in folder.parent.glob(f"{escape(folder.name)}-{'[0-9a-f]' * len(key)}.safetensors"):
                done.unlink(missing_ok=True)  # states of this training, and of those whose artefact it replaces
            return self.load(folder)

    def named(self, name: str, key: str) -> T:
        """Reads the artefact that a plan names by name and key.

        Raises:
            FileNotFoundError: when it is gone.
            KeptError: when it is damaged, or another run has replaced it meanwhile.
        """
        found = self.load(self.folder(name))
        if self.key(found) != key:
            raise KeptError(f"the {self.what} {name} was replaced by another run: run this one again")
        return found


def state_of(folder: Path, key: str) -> Path:
    """Returns where a training keeps its state until its artefact is in ``folder``; it is removed then."""
    return folder.with_name(f"{folder.name}-{key}.safetensors")


def announce(what: str, name: str, how: str) -> None:
    """Tells on stderr what is made now and kept from then on."""
    print(f"{what} {name}: {how}, once", file=sys.stderr, flush=True)


def write(folder: Path, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Writes a model's facts and weights into a folder that exists."""
    text = json.dumps({"format": FORMAT, **facts}, ensure_ascii=False, indent=1)
    (folder / FACTS).write_text(text, encoding="utf-8")
    write_weights(folder / WEIGHTS, weights)


def write_weights(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """Writes tensors of any device, and facts ``about`` them, as one safetensors file; raises OSError if it cannot."""
    from safetensors.torch import save_file  # with torch, which who serves word vectors alone does without

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        save_file(tensors, path, dict(about) if about else None)
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error


@contextmanager
def opened(folder: Path, what: str, remedy: str) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Reads the facts and weights that :func:`write` left, for all that a model is made of.

    Messages say ``what`` the model is, and give a ``remedy``: how to get one.

    Raises:
        FileNotFoundError: when there is nothing.
        KeptError: when it is of another format, or damaged.
    """
    from safetensors.torch import load_file

    if not (folder / FACTS).is_file():
        raise FileNotFoundError(f"{folder} holds no {what}: {remedy}")
    with reading(folder, what):
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        found = facts["format"]
    if found != FORMAT:
        raise OtherFormat(f"the {what} in {folder} is of format {found}, this version reads {FORMAT}: {remedy}")
    with reading(folder, what):
        yield facts, load_file(folder / WEIGHTS)


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Turns any error that faulty files cause into a KeptError; around all that makes an artefact of its files."""
    try:
        yield
    except PermissionError:
        raise
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise KeptError(f"the {what} in {folder} is damaged ({error}): delete the folder") from error
