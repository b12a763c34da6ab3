"""Measures cells on many processes or machines: each is kept as soon as it is there, and one that fails is named.

A finished cell is a small file, so that a run that was stopped resumes from it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
from tqdm import tqdm

from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.stamps import canonical, hardware, peak_memory_mb
from slubook.files import write_atomically
from slubook.profiles import seed_everything, stable_hash

Key = tuple[str, int, int]  # skill, size, seed


@dataclass(frozen=True)
class Measured:
    """What a cell gave.

    Attributes:
        rows: one a method.
        vectors: the word vectors that they read: name → stamp.
        more: what else is kept with the cell, as JSON can hold it.
    """

    rows: Sequence[Row]
    vectors: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


#: A function of a module, and its arguments: both travel to the process that measures. It gives rows, or
#: :class:`Measured`; randomness is seeded for it, with the key's seed and one thread.
Task = tuple[Callable[..., Sequence[Row] | Measured], tuple[Any, ...]]


class CellsFailed(RuntimeError):
    """Cells that could not be measured; the others are kept.

    Attributes:
        errors: what went wrong, by key.
    """

    def __init__(self, errors: Mapping[Key, str]) -> None:
        self.errors = dict(errors)
        lines = [f"{skill}, size {size}, seed {seed}: {error}" for (skill, size, seed), error in errors.items()]
        super().__init__(
            "\n".join([f"{len(lines)} cells failed, the others are kept; run again to try those:", *lines])
        )


def measure(
    keys: Sequence[Key], task: Callable[[Key], Task], store: CellStore, options: Options, name: str
) -> dict[Key, str]:
    """Measures the cells that the store lacks and keeps each as soon as it is there.

    A cell that fails does not hold up the others.

    Args:
        keys: cells, in order.
        task: what to run for one of them.
        store: where they are kept.
        options: processes, time, backend.
        name: for the progress bar.

    Returns:
        What went wrong, by key.
    """
    todo, errors = [key for key in keys if not store.has(key)], {}

    def tasks() -> Iterator[Callable]:
        for key in todo:
            if time.time() > options.until:
                return
            try:
                function, arguments = task(key)
            except Exception as error:  # a draw that cannot be made
                errors[key] = repr(error)
                continue
            yield joblib.delayed(_measure_one)(key, function, arguments, options.until)

    bar = tqdm(total=len(todo), desc=name, unit="cell")
    with joblib.parallel_config(backend=options.backend, n_jobs=options.jobs), bar:
        work = joblib.Parallel(return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
        for key, content, error in work(tasks()):
            if content is not None:
                store.put(key, content)
                bar.update()
            elif error:
                errors[key] = error.splitlines()[-1]
                tqdm.write(f"{key} failed:\n{error}", sys.stderr)
    return errors


def _measure_one(
    key: Key, function: Callable, arguments: tuple[Any, ...], until: float
) -> tuple[Key, dict[str, Any] | None, str]:
    """One cell, where it is measured: its content, or what went wrong, or neither when time is up."""
    if time.time() > until:
        return key, None, ""
    start = time.perf_counter()
    try:
        seed_everything(key[2], threads=1)
        made = function(*arguments)
        measured = made if isinstance(made, Measured) else Measured(made)
        content = {
            "rows": [row.to_json() for row in measured.rows],
            "wall_s": time.perf_counter() - start,
            "memory_mb": peak_memory_mb(),
            "hardware": hardware(),
            "vectors": dict(measured.vectors),
            **measured.more,
        }
    except Exception:
        return key, None, traceback.format_exc().strip()
    return key, content, ""


@dataclass(frozen=True)
class CellStore:
    """Finished cells of a long run, one small JSON file each, from which a run that was stopped resumes.

    A cell that is half-written, damaged, or of another fingerprint counts as not done and is measured again.

    Attributes:
        folder: where the cells are kept; made when the first is put.
        fingerprint: what the cells depend on beside their key: protocol, configuration, data.
    """

    folder: Path
    fingerprint: str = ""

    def _path(self, key: Sequence[object]) -> Path:
        readable = re.sub(r"[^\w.-]+", "-", "_".join(map(str, key)))[:120]
        return self.folder / f"{readable}-{stable_hash(*key):08x}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            cell = json.loads(path.read_text(encoding="utf-8"))
            whole = cell["sha256"] == hashlib.sha256(canonical(cell["content"]).encode()).hexdigest()
            return cell if whole and cell["fingerprint"] == self.fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def has(self, key: Sequence[object]) -> bool:
        """Tells whether the cell is there and whole."""
        return self.get(key) is not None

    def get(self, key: Sequence[object]) -> Any | None:
        """Returns the content of a finished cell, or ``None``."""
        cell = self._read(self._path(key))
        return cell["content"] if cell and cell["key"] == [str(part) for part in key] else None

    def put(self, key: Sequence[object], content: Any) -> None:
        """Keeps the content of a finished cell, anything that JSON can hold."""
        content = json.loads(json.dumps(content))
        digest = hashlib.sha256(canonical(content).encode()).hexdigest()
        cell = {"key": [str(part) for part in key], "fingerprint": self.fingerprint, "sha256": digest}
        write_atomically(self._path(key), json.dumps({**cell, "content": content}, ensure_ascii=False))
