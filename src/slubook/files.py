"""Files and folders written whole or not at all: beside their place first, then renamed into it.

Readers see the old one or the new one, never half of one; of a folder, for an instant, neither. Everything that the
package keeps is written this way.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a text file; its folder is made when missing."""
    with replaced_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


class KeptError(ValueError):
    """What is kept in a folder cannot be used, or there is no room for it; the message has the remedy."""


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write a file to, which takes its place at the end, and vanishes on any error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A new, empty folder beside ``folder``, which takes its place at the end, and vanishes on any error.

    The old one is moved aside for the instant that this takes, and back if it fails.

    Raises:
        NotADirectoryError: when a file stands there.
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
