"""The context service: events in, and for follow-up turns a vector out, if it is ready when the user speaks.

The directive to expect speech follows at once upon the directive to speak, so the vector is made while the reply is
spoken: that is the computation window. Whatever fails or is late, the recogniser works as it always does, without
context. Taught in chapter 6.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from slubook.ch6_contextual.events import EVIDENCE, Event, Interaction, Kind
from slubook.ch6_contextual.tables import TwoTables

#: Makes a vector of the items of one interaction, given by their strings in its entry.
Encoder = Callable[[Mapping[str, bytes]], Awaitable[np.ndarray]]


@dataclass
class ContextService:
    """Takes the events of interactions and answers the recogniser. No method raises, and none waits long."""

    tables: TwoTables
    encode: Encoder  # is cancelled when its window ends
    clock: Callable[[], float] = time.time  # seconds since 1970
    patience_s: float = 0.1  # the longest that the recogniser may wait
    window_s: float = 10.0  # the longest computation window, however long the reply, and the longest that a write waits
    outcomes: Counter[str] = field(default_factory=Counter)  # how calls ended; errors by their names
    making: dict[str, asyncio.Task] = field(default_factory=dict)  # interaction → the making of its vector

    async def take(self, event: Event) -> None:
        """Writes an event. The entry that the write returns decides: make a vector, discard the items, or wait."""
        with self._best_effort():
            async with asyncio.timeout(self.window_s):
                entry = await self.tables.add(event, self.clock())
                if entry is None:
                    self.outcomes["expired"] += 1
                elif entry.follow_up and entry.vector not in entry.events:
                    self._start(entry)
                elif entry.of(Kind.END) and not entry.of(Kind.EXPECT_SPEECH):
                    await self.tables.discard(entry)
                    self.outcomes["discarded"] += 1

    async def context(self, interaction: str, at: float) -> np.ndarray | None:
        """Returns the vector for the turn after an interaction, or nothing; gives up one that is not ready.

        The new turn began ``at`` this time, in seconds since 1970 by the clock of the device.
        """
        self._stop(interaction)
        with self._best_effort():
            async with asyncio.timeout(self.patience_s):
                now = max(at, self.clock())
                entry = await self.tables.entry(interaction, now)
                if entry and entry.vector in entry.events:
                    found = await self.tables.payloads(entry, [entry.vector], now)
                    self.outcomes["served"] += 1
                    return np.frombuffer(found[entry.vector], dtype=np.float32)
                self.outcomes["not ready"] += 1
        return None

    async def sweep(self, scrub: bool = False) -> None:
        """Deletes what has expired, or tries to; with ``scrub`` to the last byte."""
        with self._best_effort():
            await self.tables.store.sweep(self.clock(), scrub)

    async def _make(self, entry: Interaction) -> None:
        try:
            with self._best_effort():
                now = self.clock()
                async with asyncio.timeout(min(entry.spoken_by - now, self.window_s)):
                    payloads = await self.tables.payloads(entry, entry.of(*EVIDENCE), now)
                    vector = np.asarray(await self.encode(payloads), dtype=np.float32)
                    name, started = entry.vector.split()[1], entry.expires - self.tables.span
                    made = Event(entry.interaction, Kind.VECTOR, name, started, vector.tobytes())
                    await self.tables.add(made, self.clock())
                    self.outcomes["vector"] += 1
        finally:
            if self.making.get(entry.interaction) is asyncio.current_task():
                del self.making[entry.interaction]

    def _start(self, entry: Interaction) -> None:
        making = self.making.get(entry.interaction)
        if not making or making.get_name() != entry.vector:
            self._stop(entry.interaction)  # what was begun embeds less than is known by now
            self.making[entry.interaction] = asyncio.create_task(self._make(entry), name=entry.vector)

    def _stop(self, interaction: str) -> None:
        if making := self.making.pop(interaction, None):
            making.cancel()

    @contextmanager
    def _best_effort(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is, the recogniser can do without
            self.outcomes[type(error).__name__] += 1
