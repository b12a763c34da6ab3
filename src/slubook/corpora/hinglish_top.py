"""The English side of Hinglish-TOP (Agarwal et al., 2022, arXiv 2211.07514): TOPv2 requests in eight domains.

Traps:
    * Parses nest: a slot may hold an intent with slots of its own. Here they are flattened: the outermost intent,
      and the outermost slots as the only ones, so that *CONTENT* or *LOCATION* spans a whole phrase.
    * The text is tokenised with spaces (``9 : 30 am``), and in a few rows otherwise than in the parse. The words of
      the parse are the text here, with ``\\u2019`` and the like, which stand there literally, read as characters.
    * Some hundred test queries occur in the training split, and after replacing slot values a third of the
      *messaging* and *reminder* templates do: remove near-duplicates.
    * *messaging* is nearly one intent only: intent error says little there.
    * The human-annotated splits are lopsided: the test side is the largest.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from slubook.corpora.utterance import Slot, Utterance

_FOLDER = Path("Dataset") / "Human Annotated Data"
_SPLITS = {"train": "train.tsv", "dev": "validation.tsv", "test": "test.tsv"}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def read(root: Path) -> list[Utterance]:
    """Reads all English queries with the outermost intent and slots of their parses."""
    utterances = []
    for split, name in _SPLITS.items():
        with (root / _FOLDER / name).open(encoding="utf-8", newline="") as lines:
            for i, row in enumerate(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)):
                text, intent, slots = flatten(row["en_parse"])
                utterances.append(Utterance(f"hinglish_top/{split}/{i}", text, intent, slots, row["domain"], split))
    return utterances


def flatten(parse: str) -> tuple[str, str, tuple[Slot, ...]]:
    """Flattens a parse: ``[IN:A wake me [SL:B at nine ] ]`` → ``("wake me at nine", "A", (Slot("B", 8, 15),))``.

    Raises:
        ValueError: when the brackets of the parse do not match.
    """
    text, intent, slots, opened = "", "", [], []  # opened: labels of the brackets around this place
    start = 0
    for part in parse.split():
        if part.startswith(("[IN:", "[SL:")):
            opened.append(part[1:])
            if len(opened) == 1:
                intent = part[4:]
            elif len(opened) == 2:
                start = len(text) + 1 if text else 0
        elif part == "]" and opened:
            label = opened.pop()
            if len(opened) == 1 and label.startswith("SL:") and len(text) > start:
                slots.append(Slot(label[3:], start, len(text)))
        else:
            word = _ESCAPE.sub(lambda m: chr(int(m[1], 16)), part)
            text += f" {word}" if text else word
    if opened or not intent:
        raise ValueError(f"the brackets of a TOP parse do not match: {parse[:60]!r}")
    return text, intent, tuple(slots)
