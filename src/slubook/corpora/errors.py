"""Errors of corpora that cannot be read: every problem at once, each with file, place and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: How many problems a message lists: a file that is wrong on every line would bury the terminal.
LISTED = 200


class CorpusError(ValueError):
    """Input that cannot be used.

    Attributes:
        problems: all of them, one sentence each, naming file, place and remedy; the message lists the first 200.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        more = len(self.problems) - LISTED
        super().__init__("\n".join(self.problems[:LISTED] + [f"… and {more} more"] * (more > 0)))


def place(path: Path | str, line: int | None = None, column: int | None = None) -> str:
    """Writes ``FILE, line L, column C``, as far as known; lines and columns count from 1."""
    known = {"line": line, "column": column}
    return ", ".join([str(path), *(f"{what} {at}" for what, at in known.items() if at is not None)])


class DownloadError(CorpusError):
    """A public source that cannot be fetched, found or trusted."""
