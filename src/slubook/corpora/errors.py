"""What a corpus that cannot be read says: every problem at once, each with file, place and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class CorpusError(ValueError):
    """Input that cannot be used.

    Attributes:
        problems: one sentence each, naming file, place and remedy; the message lists them all.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def place(path: Path | str, line: int | None = None, column: int | None = None) -> str:
    """``FILE, line L, column C``, as far as known; lines and columns count from 1."""
    parts = [str(path)]
    if line is not None:
        parts.append(f"line {line}")
    if column is not None:
        parts.append(f"column {column}")
    return ", ".join(parts)


class DownloadError(CorpusError):
    """A public source that cannot be fetched, found or trusted."""
