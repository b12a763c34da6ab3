"""Text that nobody annotated: a user's own requests, one a line."""

from __future__ import annotations

from pathlib import Path

from slubook.corpora.errors import CorpusError, place
from slubook.corpora.jsonl import numbered_lines
from slubook.corpora.registry import load


def read_texts(path: Path) -> list[str]:
    """The requests of a text file in UTF-8, one a line; of a JSONL corpus or an ASK model, their texts alone.

    Raises:
        CorpusError: when the file cannot be read, holds nothing, or has lines in another encoding: all of them.
    """
    if path.suffix in (".json", ".jsonl"):
        return [u.text for u in load(path)]
    texts, problems = [], []
    for number, raw in numbered_lines(path):
        try:
            texts.append(raw.decode("utf-8").strip())
        except UnicodeDecodeError as error:
            problems.append(f"{place(path, number, error.start + 1)}: not UTF-8: save the file in UTF-8")
    if not texts and not problems:
        problems = [f"{path}: holds no text: write one request a line"]
    if problems:
        raise CorpusError(problems)
    return texts
