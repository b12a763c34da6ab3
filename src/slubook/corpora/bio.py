"""Spans to BIO tags and back, and the slot markup of HWU64.

``B-type`` opens a slot, ``I-type`` continues it, ``O`` is outside (Ramshaw and Marcus, 1995).
Reading back follows the CoNLL-2000 script: an ``I-`` that continues nothing of its type opens a slot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from slubook.corpora.utterance import Slot, Token

OUTSIDE = "O"
_MARKED = re.compile(r"\[\s*([^:\[\]]+?)\s*:\s*([^\[\]]*?)\s*\]")


def to_bio(tokens: Sequence[Token], slots: Sequence[Slot]) -> list[str]:
    """Tags the tokens of one utterance, [T]; a token belongs to a slot when they share a character."""
    tags, ordered, opened, k = [], sorted(slots, key=lambda s: s.start), None, 0
    for token in tokens:
        while k < len(ordered) and ordered[k].end <= token.start:
            k += 1
        slot = ordered[k] if k < len(ordered) and ordered[k].start < token.end else None
        tags.append(OUTSIDE if slot is None else f"{'I' if slot is opened else 'B'}-{slot.type}")
        opened = slot
    return tags


def tag_spans(tags: Sequence[str]) -> list[Slot]:
    """Returns the slots of a tag sequence in *token* positions: ``Slot(type, first, last + 1)``."""
    spans: list[Slot] = []
    opened, start = "", 0
    for i, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, kind = tag.partition("-")
        continues = prefix == "I" and kind == opened
        if opened and not continues:
            spans.append(Slot(opened, start, i))
        if not continues:
            opened, start = (kind if prefix in ("B", "I") else ""), i
    return spans


def from_bio(tokens: Sequence[Token], tags: Sequence[str]) -> tuple[Slot, ...]:
    """Returns the slots of a tag sequence in characters.

    Raises:
        ValueError: when there are not as many tags as tokens.
    """
    if len(tokens) != len(tags):
        raise ValueError(f"{len(tags)} tags for {len(tokens)} tokens")
    return tuple(Slot(s.type, tokens[s.start].start, tokens[s.end - 1].end) for s in tag_spans(tags))


def from_markup(annotated: str) -> tuple[str, tuple[Slot, ...]]:
    """Separates text and slots of ``wake me at [time : nine am]``; a slot without a value is left out."""
    text, slots, read = "", [], 0
    for match in _MARKED.finditer(annotated):
        text += annotated[read : match.start()]
        start, text, read = len(text), text + match[2], match.end()
        if match[2]:
            slots.append(Slot(match[1], start, len(text)))
    return text + annotated[read:], tuple(slots)
