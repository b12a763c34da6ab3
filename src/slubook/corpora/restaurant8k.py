"""Restaurants-8k (Coope et al., 2020, arXiv 2005.08866): real turns to a table-booking line, five slots.

Traps:
    * Slots only: no intent is annotated, and ``intent`` is empty here.
    * A ``valueSpan`` without ``startIndex`` starts at character 0.
    * The same value is marked twice in some turns; the second mark is dropped when spans are fitted to tokens.
    * A bare name or number is a slot only because the system had asked for it; what it asked for is not kept here.
"""

from __future__ import annotations

import json
from pathlib import Path

from slubook.corpora.utterance import Slot, Utterance

_FILES = {"train": "train_0.json", "test": "test.json"}


def read(root: Path) -> list[Utterance]:
    """Reads all turns; domain ``"restaurants"``."""
    return [
        _utterance(f"restaurant8k/{split}/{i}", split, entry)
        for split, name in _FILES.items()
        for i, entry in enumerate(
            json.loads((root / "span_extraction" / "restaurant8k" / name).read_text(encoding="utf-8"))
        )
    ]


def _utterance(id: str, split: str, entry: dict) -> Utterance:
    spans = [(label["slot"], label["valueSpan"]) for label in entry.get("labels", ())]
    slots = sorted((Slot(type, s.get("startIndex", 0), s["endIndex"]) for type, s in spans), key=lambda s: s.start)
    return Utterance(id, entry["userInput"]["text"], "", tuple(slots), "restaurants", split)
