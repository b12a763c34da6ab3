"""A store with the faults of a distributed one, drawn from a seed."""

from __future__ import annotations

import asyncio
import functools
import random
from collections import defaultdict
from typing import Any

from slubook.ch6_contextual.events import Interaction
from slubook.ch6_contextual.items import Item
from slubook.ch6_contextual.store import ContextStoreError, Store


class LagStore:
    """Stands in front of another store. Consistent calls go through to it; others are answered by a replica."""

    def __init__(self, store: Store, seed: int) -> None:
        """Takes the store behind, and the seed of what is drawn; the faults may be set at any time."""
        self.store, self._draw = store, random.Random(seed)
        self.replica_s = 0.0  # the mean delay until the replica sees a write (exponential)
        self.late_s = 0.0  # how much later than asked expired rows are deleted
        self.time_outs = 0.0  # the share of calls that are never answered; half of these take effect all the same
        self.hang_s = 60.0  # how long a call that is never answered takes to fail
        self._writes: dict[str, list[tuple[float, Interaction]]] = defaultdict(list)  # (seen from then on, entry)

    async def append(self, interaction: str, event: str, expires: int, item: Item | None = None) -> Interaction:
        """Adds an event; the replica sees it later."""
        entry = await self._faulty(self.store.append, interaction, event, expires, item)
        delay = self._draw.expovariate(1 / self.replica_s) if self.replica_s else 0.0
        self._writes[interaction].append((asyncio.get_running_loop().time() + delay, entry))
        return entry

    async def entry(self, interaction: str, consistent: bool = True) -> Interaction | None:
        """Returns the newest entry, or the newest that the replica has seen."""
        if consistent:
            return await self._faulty(self.store.entry, interaction)
        now = asyncio.get_running_loop().time()
        seen = [entry for when, entry in self._writes[interaction] if when <= now]
        return max(seen, key=lambda entry: len(entry.events), default=None)

    async def sweep(self, now: float, scrub: bool = False) -> None:
        """Deletes what had expired some time ago."""
        await self._faulty(self.store.sweep, now - self.late_s, scrub)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.store, name)
        return call if name == "close" else functools.partial(self._faulty, call)

    async def _faulty(self, call: Any, *arguments: Any, **named: Any) -> Any:
        answered = self._draw.random() >= self.time_outs
        if answered or self._draw.random() < 0.5:
            result = await call(*arguments, **named)
        if answered:
            return result
        await asyncio.sleep(self.hang_s)
        raise ContextStoreError("no answer in time")
