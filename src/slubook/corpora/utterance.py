"""An utterance with its intent and slots, as every corpus is read.

Slots are spans in characters; tokens are derived from the text, never stored.
Taught in notebook 00, *Meet the data*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

# A token is a number that stands alone, a word with its apostrophes and combining marks (Devanagari vowel signs are
# marks, which \w does not match), or one punctuation mark.
_MARK = r"[\u0900-\u0963\u0970-\u097f\u200c\u200d]"
_TOKEN = re.compile(rf"\d+|(?:[^\W\d]|{_MARK})(?:\w|{_MARK}|['’](?=\w))*|[^\w\s]|\w")


class Token(NamedTuple):
    """A token and its characters: ``text == utterance.text[start:end]``."""

    text: str
    start: int
    end: int


class Slot(NamedTuple):
    """A slot value: its type and the characters ``start`` (inclusive) to ``end`` (exclusive)."""

    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One request.

    Attributes:
        id: unique within its corpus; published records name a public utterance by it alone.
        text: as the corpus has it.
        intent: the label of the whole utterance.
        slots: spans in characters, in order, without overlaps.
        domain: the skill or service that it addresses.
        split: ``"train"``, ``"dev"``, ``"test"``, or ``""`` where the corpus has no split.
        group: utterances of one group (a dialogue) must stay on one side of a split.
    """

    id: str
    text: str
    intent: str
    slots: tuple[Slot, ...] = ()
    domain: str = ""
    split: str = ""
    group: str = ""


class Prediction(NamedTuple):
    """A model's answer to one utterance; ``confidence`` is the intent's probability in [0, 1]."""

    intent: str
    slots: tuple[Slot, ...]
    confidence: float = 1.0


def tokenize(text: str) -> list[Token]:
    """Splits a text into words, numbers and punctuation marks, with their character offsets."""
    return [Token(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def words(text: str) -> list[str]:
    """Returns the lower-cased tokens of a text, as every model here reads them."""
    return [t.text.lower() for t in tokenize(text)]


def slot_problems(text: str, slots: Iterable[Slot]) -> list[str]:
    """Lists the faults of spans, each with its remedy."""
    problems, reached = [], 0
    for slot in sorted(slots, key=lambda s: (s.start, s.end)):
        if not slot.type:
            problems.append("a slot has no type: name it")
        if not 0 <= slot.start < slot.end <= len(text):
            problems.append(
                f"slot {slot.type!r} spans {slot.start}–{slot.end}, but the text has {len(text)} characters: "
                "count characters from 0, end exclusive"
            )
            continue
        if not text[slot.start : slot.end].strip():
            problems.append(f"slot {slot.type!r} spans only spaces at {slot.start}–{slot.end}: mark its words")
        if slot.start < reached:
            problems.append(f"slot {slot.type!r} at {slot.start}–{slot.end} overlaps the one before: keep one of them")
        reached = max(reached, slot.end)
    return problems


def snap(utterance: Utterance) -> tuple[Utterance, int]:
    """Widens each slot to whole tokens, as BIO tags need; returns the utterance and how many slots moved.

    Slots that come to share a token are reduced to the first of them.
    """
    tokens, kept, moved, reached = tokenize(utterance.text), [], 0, 0
    for slot in sorted(utterance.slots, key=lambda s: s.start):
        inside = [t for t in tokens if t.end > slot.start and t.start < slot.end]
        if not inside or inside[0].start < reached:
            moved += 1
            continue
        wide = Slot(slot.type, inside[0].start, inside[-1].end)
        moved += wide != slot
        kept.append(wide)
        reached = wide.end
    return replace(utterance, slots=tuple(kept)), moved
