"""SNIPS custom intents, 2017-06 (Coucke et al., 2018, arXiv 1805.10190): seven intents of a music-loving assistant.

Traps:
    * One file holds an emoji as two surrogates, each encoded by itself. That is not UTF-8; read as Latin-1 it
      decodes, and every accented letter of the file turns into two wrong ones. Here the pair is joined.
    * ``train_X.json`` is a part of ``train_X_full.json``: reading both doubles the data.
    * Some texts carry line breaks and doubled spaces. They are kept; tokens do not see them.
    * Some artists are marked without their possessive *'s*; fitted to tokens, the slot takes it in.
    * Seven hundred ``validate`` utterances are the only held-out ones; the test split of most papers is that of
      :mod:`slubook.corpora.snips_iob`, cut from the training files.
    * Many templates stand on both sides of the split: count near-duplicates before believing a score.
"""

from __future__ import annotations

import json
from pathlib import Path

from slubook.corpora.utterance import Slot, Utterance

FOLDER = "2017-06-custom-intent-engines"
INTENTS = (
    "AddToPlaylist", "BookRestaurant", "GetWeather", "PlayMusic",
    "RateBook", "SearchCreativeWork", "SearchScreeningEvent",
)  # fmt: skip
_FILES = {"train": "train_{}_full.json", "dev": "validate_{}.json"}


def read(root: Path) -> list[Utterance]:
    """Reads all utterances of the seven intents; ``validate`` is split ``"dev"``, domain ``"snips"``."""
    return [
        _utterance(f"snips/{intent}/{split}/{i}", intent, split, entry["data"])
        for split, name in _FILES.items()
        for intent in INTENTS
        for i, entry in enumerate(json.loads(_decode(root / FOLDER / intent / name.format(intent)))[intent])
    ]


def _decode(path: Path) -> str:
    """Decodes a file in UTF-8 whose characters beyond the basic plane may be written as two surrogates."""
    return path.read_bytes().decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")


def _utterance(id: str, intent: str, split: str, pieces: list[dict]) -> Utterance:
    text, slots = "", []
    for piece in pieces:
        start, text = len(text), text + piece["text"]
        if "entity" in piece:
            slots.append(Slot(piece["entity"], start, len(text)))
    return Utterance(id, text, intent, tuple(slots), domain="snips", split=split)
