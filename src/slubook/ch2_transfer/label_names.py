"""The words in a label's name: ``DEPARTURE_CITY``, ``departureCity`` and ``SL:departure-city`` say the same.

Corpora name what they mean, and often alike. Taught in chapter 2, *Labels have names*.
"""

from __future__ import annotations

import re

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Words that say what kind of label it is, or nothing.
_EMPTY = frozenset(("in", "sl", "intent", "slot", "the", "a", "an", "of", "amazon", "hass"))


def name_words(label: str) -> list[str]:
    """``"BookRestaurantIntent"`` → ``["book", "restaurant"]``; numbers are left out."""
    words = [w.lower() for w in re.split(r"[^A-Za-z]+", _HUMP.sub(" ", label)) if w]
    return [w for w in words if w not in _EMPTY]


def spoken(label: str) -> str:
    """Returns a label as its words, by which labels of two corpora are held to be the same."""
    return " ".join(name_words(label))
