"""Dialogues about restaurants: WOZ 2.0 in English (Wen et al., 2017), and HDRS in Hindi (Malviya et al., 2021).

Traps:
    * HDRS is a localised translation of WOZ 2.0, which its publishers do not say: most of its dialogues have the turn
      labels of a WOZ dialogue, with other dishes. English text of a dialogue whose translation is in the Hindi test is
      no honest training text: :func:`unseen` leaves it out.
    * Labels name areas and prices in either language, with a few slips. So nine held-out dialogues match no original
      exactly; all dialogues that are one turn away from one of these are left out as well. Two of the nine have none.
    * The Hindi spells one word in several ways (*रेस्तरां*, *रेस्टोरेंट*), and has pipes for full stops.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slubook.corpora.parallel import Pair

_SPLITS = {"train": ("train", "train"), "dev": ("dev", "validate"), "test": ("test", "test")}
_VALUES = {
    "मध्यम": "moderate", "सस्ता": "cheap", "महंगा": "expensive", "दक्षिण": "south", "पूर्व": "east", "उत्तर": "north",
    "पश्चिम": "west", "केंद्र": "centre", "center": "centre", "east side": "east",
}  # fmt: skip
Signature = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True)
class Dialogue:
    """A dialogue: what the user said in each turn, what the system had said before it, and the labels of the turns."""

    id: str
    split: str
    user: tuple[str, ...]
    system: tuple[str, ...]
    signature: Signature  # sorted labels of each turn, those of areas and prices in English, dishes as "*"


def read_hdrs(root: Path) -> list[Dialogue]:
    """Reads the Hindi dialogues."""
    with zipfile.ZipFile(root / "HDRS_Corpus.zip") as archive:
        return [
            _dialogue(dialogue, "hdrs", split)
            for split, (name, _) in _SPLITS.items()
            for dialogue in json.loads(archive.read(f"HDRS_Corpus/final_{name}_hin.json"))
        ]


def read_woz(root: Path) -> list[Dialogue]:
    """Reads the English dialogues."""
    return [
        _dialogue(dialogue, "woz", split)
        for split, (_, name) in _SPLITS.items()
        for dialogue in json.loads((root / f"data/woz/woz_{name}_en.json").read_text("utf-8"))
    ]


def _dialogue(given: dict, corpus: str, split: str) -> Dialogue:
    turns = given["dialogue"]
    said = (tuple(turn[key].strip() for turn in turns) for key in ("transcript", "system_transcript"))
    signature = tuple(tuple(sorted(map(_label, turn["turn_label"]))) for turn in turns)
    return Dialogue(f"{corpus}/{given['dialogue_idx']}", split, *said, signature)


def _label(label: Sequence[str]) -> tuple[str, str]:
    slot, value = label[0], _VALUES.get(label[1].strip(), label[1].strip())
    return slot, "*" if slot == "food" and value != "dontcare" else value


def unseen(english: Sequence[Dialogue], hindi: Sequence[Dialogue]) -> list[Dialogue]:
    """Returns the English dialogues that may be the original of no Hindi dev or test dialogue.

    Where a held-out dialogue has no original by its labels, a slip in one turn may hide it: then every dialogue of as
    many turns that differs in one of them is left out.
    """
    held_out, known = {d.signature for d in hindi if d.split != "train"}, {d.signature for d in english}
    hidden = held_out - known
    pool = [dialogue for dialogue in english if dialogue.signature not in held_out]
    return [dialogue for dialogue in pool if not any(_one_apart(dialogue.signature, one) for one in hidden)]


def _one_apart(one: Signature, other: Signature) -> bool:
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1


def translations(english: Sequence[Dialogue], hindi: Sequence[Dialogue]) -> list[tuple[Dialogue, Dialogue]]:
    """Returns the English and Hindi dialogues that match, where the signature belongs to one of each alone."""
    counts = [Counter(dialogue.signature for dialogue in some) for some in (english, hindi)]
    of = {dialogue.signature: dialogue for dialogue in english}
    return [(of[d.signature], d) for d in hindi if counts[0][d.signature] == counts[1][d.signature] == 1]


def turn_pairs(matched: Sequence[tuple[Dialogue, Dialogue]], who: str = "user") -> list[Pair]:
    """Returns the turns of matching dialogues side by side: what the ``user`` or the ``system`` said; none empty."""
    sides = (zip(getattr(one, who), getattr(two, who), strict=True) for one, two in matched)
    return [Pair(english, hindi) for side in sides for english, hindi in side if english and hindi]
