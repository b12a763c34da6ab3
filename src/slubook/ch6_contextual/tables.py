"""How an interaction is laid out in a store: in two tables, or in one, which is there to be measured.

Two tables: every event adds a short string to the entry, and an item, if there is one, is sealed once, unless clocks
disagree, and opened only for a vector. One table: events and items are one sealed row, which every event opens and
seals again.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slubook.ch6_contextual.events import WITH_ITEM, Event, Interaction
from slubook.ch6_contextual.items import Item, Sealer
from slubook.ch6_contextual.store import ContextStoreError, Store

#: How long an interaction is kept, in seconds.
SPAN = 300


@dataclass
class TwoTables:
    """Writes events, and reads what is still alive.

    An entry expires a fixed span after its interaction began. Writers take the earlier of two clocks, the device's and
    their own, readers the later: as long as one of the two is right, no entry lives longer. An event that arrives when
    the entry has been deleted is refused as expired, but not if the device's clock is ahead: then it begins a new entry
    of its own. An item is written no later than the entry names it, and expires with it: where the entry, which the
    write returns, expires earlier, the item is sealed again. If that fails, the item is still not opened for longer,
    and expires a span after it was written.
    """

    store: Store
    sealer: Sealer
    span: int = SPAN
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=1_000_000))  # of the last writes, in seconds

    async def add(self, event: Event, now: float) -> Interaction | None:
        """Writes an event and returns the updated entry from the same call; ``None`` when it has expired."""
        expires = math.floor(min(event.started, now)) + self.span
        if expires <= now:
            return None
        begun = time.perf_counter()
        entry = await self._write(event, expires)
        self.latencies.append(time.perf_counter() - begun)
        return _alive(entry, now)

    async def entry(self, interaction: str, now: float) -> Interaction | None:
        """Returns the newest entry, unless it has expired."""
        return _alive(await self._read(interaction), now)

    async def payloads(self, entry: Interaction, names: Sequence[str], now: float) -> dict[str, bytes]:
        """Decrypts items of an entry, and no others; raises ContextStoreError when one is gone or has expired."""
        items = await self.store.items(entry.interaction, names) if entry.expires > now else []
        found = {item.name: item for item in items if item.expires > now}
        if len(found) < len(names):
            raise ContextStoreError(f"not all items of {entry.interaction!r} are there")
        return {name: self.sealer.open(found[name]) for name in names}

    async def discard(self, entry: Interaction) -> None:
        """Deletes the items of an entry. Its strings stay until they expire, and tell late events that it is over."""
        await self.store.discard(entry.interaction, entry.of(*WITH_ITEM))

    async def _write(self, event: Event, expires: int) -> Interaction:
        place, item = (event.interaction, event.text, expires), None
        if event.kind in WITH_ITEM:
            item = self.sealer.seal(*place, event.payload)
        entry = await self.store.append(*place, item)
        if item and entry.expires < expires:
            for item in await self.store.items(event.interaction, [event.text]):
                if item.expires > entry.expires:
                    shorter = self.sealer.seal(event.interaction, event.text, entry.expires, event.payload)
                    await self.store.put(shorter, replaces=item.nonce)
        return entry

    async def _read(self, interaction: str) -> Interaction | None:
        return await self.store.entry(interaction)


class OneTable(TwoTables):
    """Keeps all of an interaction in one sealed row, which every event reads, opens, seals and writes again."""

    NAME, ATTEMPTS = "all", 5  # of the row; of a writer whose row others write at the same time

    async def payloads(self, entry: Interaction, names: Sequence[str], now: float) -> dict[str, bytes]:
        """Returns what is open already."""
        return {name: entry.told[name] for name in names}

    async def discard(self, entry: Interaction) -> None:
        """Deletes the row."""
        await self.store.discard(entry.interaction, [self.NAME])

    async def _write(self, event: Event, expires: int) -> Interaction:
        for _ in range(self.ATTEMPTS):
            row, told = await self._open(event.interaction)
            self.sealer.work.resealed_bytes += sum(map(len, told.values()))
            told = {event.text: event.payload} | told
            expires = row.expires if row else expires
            sealed = self.sealer.seal(event.interaction, self.NAME, expires, _pack(told))
            if await self.store.put(sealed, replaces=row.nonce if row else None):
                return Interaction(event.interaction, frozenset(told), expires, told)
        raise ContextStoreError(f"too many writers of {event.interaction!r} at once")

    async def _read(self, interaction: str) -> Interaction | None:
        row, told = await self._open(interaction)
        return Interaction(interaction, frozenset(told), row.expires, told) if row else None

    async def _open(self, interaction: str) -> tuple[Item | None, dict[str, bytes]]:
        rows = await self.store.items(interaction, [self.NAME])
        return (rows[0], _unpack(self.sealer.open(rows[0]))) if rows else (None, {})


def _alive(entry: Interaction | None, now: float) -> Interaction | None:
    return entry if entry and entry.expires > now else None


def _pack(told: Mapping[str, bytes]) -> bytes:
    """Writes one line with the names and lengths of the payloads, then the payloads."""
    head = [(name, len(payload)) for name, payload in told.items()]
    return json.dumps(head).encode() + b"\n" + b"".join(told.values())


def _unpack(packed: bytes) -> dict[str, bytes]:
    payloads = io.BytesIO(packed)
    return {name: payloads.read(length) for name, length in json.loads(payloads.readline())}
