"""Atomic writes of files and folders: beside their place first, then renamed into it.

Readers see the old version or the new one, never half of one; of a folder, for an instant, neither. Everything that the
package stores is written this way.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from slubook.profiles import cache_dir


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file; makes its folder when missing."""
    with replaced_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


class KeptError(ValueError):
    """An error of a stored artefact that cannot be used, or for which there is no room; it names the remedy."""


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yields a name beside ``path`` to write a file to, which replaces ``path`` at the end; an error removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside ``folder``, which replaces it at the end; an error removes the new one.

    The old folder is moved aside while the new one is renamed, and moved back if that fails.

    Raises:
        NotADirectoryError: when ``folder`` is a file.
    """
    draft, old = (folder.with_name(f"{folder.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    if folder.is_file():
        raise NotADirectoryError(errno.ENOTDIR, "a file, not a folder", str(folder))
    for left in (draft, *[old] * folder.exists()):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        yield draft
        if folder.exists():
            os.replace(folder, old)
        os.replace(draft, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Locks what is made at ``path``: other processes on this machine wait, and then find what the first has made.

    A lock ends with its process, even if that is killed. The empty files of locks are in the cache.

    Raises:
        OSError: when the cache cannot be written.
    """
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    locks = cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{path.name}: another process is at work on it, waiting", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
