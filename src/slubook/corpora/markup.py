"""``wake me at [time : nine am]``: the slot markup that HWU64 and MASSIVE share."""

from __future__ import annotations

import re

from slubook.corpora.utterance import Slot

_SLOT = re.compile(r"\[\s*([^:\[\]]+?)\s*:\s*([^\[\]]*?)\s*\]")


def from_markup(annotated: str) -> tuple[str, tuple[Slot, ...]]:
    """The plain text and its slots; a slot without a value leaves no trace."""
    text, slots, read = "", [], 0
    for match in _SLOT.finditer(annotated):
        text += annotated[read : match.start()]
        start, text, read = len(text), text + match[2], match.end()
        if match[2]:
            slots.append(Slot(match[1], start, len(text)))
    return text + annotated[read:], tuple(slots)
