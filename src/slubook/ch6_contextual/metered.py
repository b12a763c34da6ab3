"""Counts what DynamoDB would charge for the calls to a store, and what a day of them costs.

Sizes and units follow its developer guide, in *DynamoDB item sizes and formats* and *read and write operations*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from slubook.ch6_contextual.events import Interaction
from slubook.ch6_contextual.items import Item
from slubook.ch6_contextual.store import Store

WRITE_UNIT, READ_UNIT = 1024, 4096  # bytes


def size_of(value: Any) -> int:
    """Returns the bytes of a value, or of a row with the names of its columns."""
    if isinstance(value, dict):
        return sum(len(name) + size_of(part) for name, part in value.items() if part is not None)
    if isinstance(value, frozenset):
        return sum(map(size_of, value))
    if isinstance(value, int):
        return math.ceil(len(str(value)) / 2) + 1  # two digits a byte
    return len(value.encode() if isinstance(value, str) else value)


class Metered:
    """Stands in front of a store and counts calls and request units; to sweep costs nothing, as to expire does."""

    def __init__(self, store: Store) -> None:
        """Takes the store behind."""
        self.store, self.used, self.rows = store, Counter(), {}  # rows: (interaction, name) → bytes

    async def append(self, interaction: str, event: str, expires: int, item: Item | None = None) -> Interaction:
        """Charges for the item, and for the entry as it is after the write."""
        if item:
            self._write(item.interaction, item.name, size_of(asdict(item)))
        entry = await self.store.append(interaction, event, expires, item)
        self._write(interaction, "", size_of(asdict(entry)))
        return entry

    async def put(self, item: Item, replaces: bytes | None = None) -> bool:
        """Charges for the larger of the item and what stands there, also when nothing is written."""
        self._write(item.interaction, item.name, size_of(asdict(item)))
        return await self.store.put(item, replaces)

    async def entry(self, interaction: str, consistent: bool = True) -> Interaction | None:
        """Charges a unit for each 4 KiB of a consistent read, half of that for another."""
        self._read(interaction, [""], 1 if consistent else 0.5)
        return await self.store.entry(interaction, consistent)

    async def items(self, interaction: str, names: Sequence[str]) -> list[Item]:
        """Charges for each item by itself, whether or not it is there."""
        self._read(interaction, names)
        return await self.store.items(interaction, names)

    async def discard(self, interaction: str, names: Sequence[str]) -> None:
        """Charges for each item by itself, as for writing it."""
        sizes = [self.rows.pop((interaction, name), 1) for name in names]
        units = sum(math.ceil(size / WRITE_UNIT) for size in sizes)
        self.used.update(calls=1, delete_units=units, rows_deleted=len(sizes), bytes_deleted=sum(sizes))
        await self.store.discard(interaction, names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def _write(self, interaction: str, name: str, size: int) -> None:
        charged = max(size, self.rows.get((interaction, name), 0))
        self.rows[interaction, name] = size
        self.used.update(calls=1, write_units=math.ceil(charged / WRITE_UNIT))

    def _read(self, interaction: str, names: Sequence[str], share: float = 1) -> None:
        sizes = [self.rows.get((interaction, name), 1) for name in names]
        self.used.update(calls=1, read_units=share * sum(math.ceil(size / READ_UNIT) for size in sizes))

    def of_each(self, interactions: int) -> dict[str, float]:
        """Returns the calls and units of one interaction, its rows and bytes that are left, and the largest of all."""
        counts = {**self.used, "rows_left": len(self.rows), "bytes_left": sum(self.rows.values())}
        return {name: count / interactions for name, count in counts.items()} | {"largest": max(self.rows.values())}


def at_scale(each: Mapping[str, float], terms: Mapping[str, float], per_day: float) -> dict[str, float]:
    """Computes what interactions cost in dollars a day, and how near they come to DynamoDB's limits at the peak.

    Args:
        each: of one interaction, as :meth:`Metered.of_each` returns it.
        terms: prices, limits and assumptions, as ``book/dynamodb.yml`` explains them.
        per_day: interactions a day.
    """
    peak = per_day / 86_400 * terms["peak_over_mean"]
    writes, reads = each["write_units"] + each["delete_units"], each["read_units"]
    stored = per_day * terms["days_until_deleted"] * (each["bytes_left"] + terms["bytes_of_a_row"] * each["rows_left"])
    dollars = {
        "writes": per_day * each["write_units"] * terms["dollars_a_write_unit"],
        "deletes": per_day * each["delete_units"] * terms["dollars_a_write_unit"],
        "reads": per_day * reads * terms["dollars_a_read_unit"],
        "storage": stored / 2**30 * terms["dollars_a_gib_month"] / 30,
    }
    return {
        **dollars,
        "all": sum(dollars.values()),
        "interactions_a_second": peak,
        "write_units_a_second": peak * writes,
        "read_units_a_second": peak * reads,
        "partitions": math.ceil(
            peak * max(writes / terms["write_units_a_partition"], reads / terms["read_units_a_partition"])
        ),
        "quotas": peak * max(writes, reads) / terms["units_a_table"],
        "stored_gib": stored / 2**30,
        "largest_over_limit": each["largest"] / terms["bytes_a_row_at_most"],
    }
