"""What is told of an interaction: events as they arrive, and the entry of short strings that they leave.

Events may arrive twice or out of order. An entry is a set of strings, so neither matters: the same events leave the
same entry. A string that stands for an item (an utterance, a reply, context data, a vector) is the item's name, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Names what an event tells."""

    UTTERANCE = "utterance"  # what the recogniser heard
    CONTEXT = "context"  # what a service knows: an address book, devices, places
    REPLY = "reply"  # the directive to speak
    EXPECT_SPEECH = "expect_speech"  # the directive to open the microphone after the reply
    END = "end"  # the interaction is over
    VECTOR = "vector"  # the context, embedded for the recogniser


#: The kinds that go into the vector, and those with an item.
EVIDENCE = (Kind.UTTERANCE, Kind.CONTEXT, Kind.REPLY)
WITH_ITEM = (*EVIDENCE, Kind.VECTOR)


@dataclass(frozen=True)
class Event:
    """One thing told of an interaction. Times are in seconds since 1970."""

    interaction: str
    kind: Kind
    id: str  # one word, unique among the events of its kind; an event that is delivered twice keeps it
    started: float  # when the interaction began, by the clock of the device
    payload: bytes = b""  # the text or data of an item
    spoken_by: float = 0.0  # of a reply: when it will have been spoken

    @property
    def text(self) -> str:
        """Returns the short string that the entry keeps: ``"reply 7 1700000002.500"``."""
        return f"{self.kind} {self.id}" + f" {self.spoken_by:.3f}" * (self.kind is Kind.REPLY)


@dataclass(frozen=True)
class Interaction:
    """What is known of an interaction without opening its items."""

    interaction: str
    events: frozenset[str]
    expires: int  # when it must be gone, in seconds since 1970
    told: Mapping[str, bytes] | None = None  # the payloads, where the entry had to be opened to be read

    def of(self, *kinds: Kind) -> list[str]:
        """Returns the strings of the events of some kinds, sorted."""
        return sorted(event for event in self.events if event.split()[0] in kinds)

    @property
    def follow_up(self) -> bool:
        """Tells whether the microphone opens after the reply, so that a vector is wanted."""
        return bool(self.of(Kind.EXPECT_SPEECH) and self.of(Kind.REPLY))

    @property
    def spoken_by(self) -> float:
        """Returns when the last of the replies will have been spoken."""
        return max((float(event.split()[2]) for event in self.of(Kind.REPLY)), default=0.0)

    @property
    def vector(self) -> str:
        """Returns the name that a vector of all the evidence told so far has, whether or not it is made.

        Evidence is only ever added, so its size says which it is: a vector of less has another name, and is not served.
        """
        return f"{Kind.VECTOR} {len(self.of(*EVIDENCE))}"
