"""SNIPS in the IOB split of Goo et al. (2018, NAACL): 13,084 training, 700 dev and 700 test utterances.

Use it to compare with published tables, nothing else.

Traps:
    * Text is lower-cased and stripped of punctuation and apostrophes (``i d like``): easier than what users type.
    * The test split was cut from the training files and shares most of its templates with them.
    * Some published scores were reached with the validation split inside the training data.
"""

from __future__ import annotations

import re
from pathlib import Path

from slubook.corpora.bio import from_bio
from slubook.corpora.utterance import Token, Utterance

_SPLITS = {"train": "train", "dev": "valid", "test": "test"}
_FILES = ("seq.in", "seq.out", "label")


def read(root: Path) -> list[Utterance]:
    """Reads all utterances; domain ``"snips"``."""
    return [
        _utterance(f"snips_iob/{split}/{i}", split, *lines)
        for split, folder in _SPLITS.items()
        for i, lines in enumerate(zip(*(_lines(root, folder, name) for name in _FILES), strict=True))
    ]


def _lines(root: Path, folder: str, name: str) -> list[str]:
    return (root / "data" / "snips" / folder / name).read_text(encoding="utf-8").rstrip("\n").split("\n")


def _utterance(id: str, split: str, text: str, tags: str, intent: str) -> Utterance:
    text = " ".join(text.split())
    tokens = [Token(m.group(), m.start(), m.end()) for m in re.finditer(r"[^ ]+", text)]
    return Utterance(id, text, intent.strip(), from_bio(tokens, tags.split()), "snips", split)
