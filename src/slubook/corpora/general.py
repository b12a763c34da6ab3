"""General English text that has nothing to do with voice requests: encyclopaedia, reviews, speeches, novels.

The control for in-domain vectors: the same method on other text. Its origin stands in
:mod:`slubook.corpora.sources` (``joshua_english``, ``nltk_general``, ``novels``).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from slubook.corpora.utterance import words

SOURCES = ("joshua_english", "nltk_general", "novels")
_LEFT_OUT = re.compile(r"README|categories|finnish|french|german|portuguese|swedish|lolcat|\.xml$", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


def read(root: Path, source: str) -> Iterator[list[str]]:
    """Yields the sentences of one of :data:`SOURCES` from its folder, tokenised and in lower case."""
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        for text in _texts(path):
            lines = text.splitlines() if source == "joshua_english" else _SENTENCE.split(text)
            for line in lines:
                tokens = words(line)
                if 2 < len(tokens) <= 100:
                    yield tokens


def _texts(path: Path) -> Iterator[str]:
    if path.suffix != ".zip":
        yield path.read_text(encoding="utf-8", errors="replace")
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if not n.endswith("/") and not _LEFT_OUT.search(n)):
            yield archive.read(name).decode("latin-1")
