"""Measures cells on many processes or machines: each is kept as soon as it is there, and one that fails is named.

A finished cell is a small file, so that a run that was stopped resumes from it.
"""

from __future__ import annotations

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
from slubook.experiments.stamps import config_hash, hardware, peak_memory_mb
from slubook.files import write_atomically
from slubook.profiles import seed_everything, stable_hash

Key = tuple[str, int, int]  # skill, size, seed


@dataclass(frozen=True)
class Measured:
    """What a cell gave: a row a method, the word vectors that they read, and ``more`` that is kept with the cell."""

    rows: Sequence[Row]
    vectors: Mapping[str, str] = field(default_factory=dict)  # name → stamp
    more: Mapping[str, Any] = field(default_factory=dict)  # as JSON can hold it


#: A function of a module, and its arguments: both travel to the process that measures. It gives rows, or
#: :class:`Measured`; randomness is seeded for it, with the key's seed and one thread.
Task = tuple[Callable[..., Sequence[Row] | Measured], tuple[Any, ...]]


class CellsFailed(RuntimeError):
    """Raised when cells could not be measured; ``errors`` says by key why, and the others are kept."""

    def __init__(self, errors: Mapping[Key, str]) -> None:
        self.errors = dict(errors)
        first = f"{len(errors)} cells failed, the others are kept; run again to try those:"
        lines = (f"{skill}, size {size}, seed {seed}: {error}" for (skill, size, seed), error in errors.items())
        super().__init__("\n".join([first, *lines]))


def measure(
    keys: Sequence[Key], task: Callable[[Key], Task], store: CellStore, options: Options, name: str
) -> dict[Key, str]:
    """Measures the cells that the store lacks, and keeps each as soon as it is there.

    A cell that fails does not hold up the others; returns what went wrong, by key. The bar is called ``name``.
    """
    todo, errors = [key for key in keys if not store.has(key)], {}

    def tasks() -> Iterator[Callable]:
        for key in todo:
            if time.time() > options.until:
                return
            try:
                called = task(key)
            except Exception as error:  # a draw that cannot be made
                errors[key] = repr(error)
            else:
                yield joblib.delayed(_measure_one)(key, *called, options.until)

    bar = tqdm(total=len(todo), desc=name, unit="cell")
    with joblib.parallel_config(backend=options.backend, n_jobs=options.jobs), bar:
        work = joblib.Parallel(return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
        for key, found in work(tasks()):
            if isinstance(found, str):
                errors[key] = found.splitlines()[-1]
                tqdm.write(f"{key} failed:\n{found}", sys.stderr)
            elif found:
                store.put(key, found)
                bar.update()
    return errors


def _measure_one(
    key: Key, function: Callable, arguments: tuple[Any, ...], until: float
) -> tuple[Key, dict[str, Any] | str | None]:
    """Measures one cell; returns its content, or what went wrong as text, or ``None`` when time is up."""
    if time.time() > until:
        return key, None
    start = time.perf_counter()
    try:
        seed_everything(key[2], threads=1)
        made = function(*arguments)
        measured = made if isinstance(made, Measured) else Measured(made)
        content = {"rows": [row.to_json() for row in measured.rows], "wall_s": time.perf_counter() - start}
        content |= {"memory_mb": peak_memory_mb(), "hardware": hardware(), "vectors": dict(measured.vectors)}
        return key, content | dict(measured.more)
    except Exception:
        return key, traceback.format_exc().strip()


@dataclass(frozen=True)
class CellStore:
    """Finished cells of a long run, one small JSON file each in ``folder``, from which a stopped run resumes.

    A cell that is half-written, damaged, or of another ``fingerprint`` (a hash of what cells depend on beside their
    key: protocol, configuration, data) counts as not done and is measured again.
    """

    folder: Path
    fingerprint: str = ""

    def _path(self, key: Sequence[object]) -> Path:
        readable = re.sub(r"[^\w.-]+", "-", "_".join(map(str, key)))[:120]
        return self.folder / f"{readable}-{stable_hash(*key):08x}.json"

    def _file(self, key: Sequence[object], content: Any) -> dict[str, Any]:
        names = [str(part) for part in key]
        return {"key": names, "fingerprint": self.fingerprint, "sha256": config_hash(content), "content": content}

    def has(self, key: Sequence[object]) -> bool:
        """Tells whether the cell is there and whole."""
        return self.get(key) is not None

    def get(self, key: Sequence[object]) -> Any | None:
        """Returns the content of a finished cell, or ``None``."""
        try:
            cell = json.loads(self._path(key).read_text(encoding="utf-8"))
            return cell["content"] if cell == self._file(key, cell["content"]) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: Sequence[object], content: Any) -> None:
        """Keeps the content of a finished cell, anything that JSON can hold."""
        cell = self._file(key, json.loads(json.dumps(content)))
        write_atomically(self._path(key), json.dumps(cell, ensure_ascii=False))
