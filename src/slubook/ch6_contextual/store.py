"""What the context service asks of a store of two tables, and the store that stands in a single file.

A store knows nothing of expiry but how to delete: as with DynamoDB, expired rows may appear in reads and in what
writes return. Readers leave them out (:mod:`slubook.ch6_contextual.tables`).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Protocol

from slubook.ch6_contextual.events import Entry
from slubook.ch6_contextual.items import Item


class StoreError(RuntimeError):
    """A store did not do what it was asked; whether a write took place is unknown."""


class Store(Protocol):
    """Two tables: entries of interactions, and items. Every method may raise :class:`StoreError`.

    ``append`` adds one event to an entry and returns the whole of it from the same call; the first event decides the
    expiry. ``entry`` reads it again; without ``consistent`` it may be an older one. ``put`` writes an item that is not
    there yet, or in place of the one with the nonce ``replaces``, and says whether it did. ``items`` finds those of
    some names, read consistently; ``discard`` deletes them. ``sweep`` deletes what has expired.
    """

    async def append(self, interaction: str, event: str, expires: int) -> Entry: ...
    async def entry(self, interaction: str, consistent: bool = True) -> Entry | None: ...
    async def put(self, item: Item, replaces: bytes | None = None) -> bool: ...
    async def items(self, interaction: str, names: Sequence[str]) -> list[Item]: ...
    async def discard(self, interaction: str, names: Sequence[str]) -> None: ...
    async def sweep(self, now: float) -> None: ...
    async def close(self) -> None: ...


_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS interactions (interaction TEXT PRIMARY KEY, events TEXT, expires INTEGER);
CREATE TABLE IF NOT EXISTS items (interaction TEXT, name TEXT, expires INTEGER, key_id TEXT, nonce BLOB, sealed BLOB,
                                  PRIMARY KEY (interaction, name));
CREATE INDEX IF NOT EXISTS interactions_expire ON interactions (expires);
CREATE INDEX IF NOT EXISTS items_expire ON items (expires);
"""
_APPEND = """
INSERT INTO interactions VALUES (?, json_object(?, 1), ?)
ON CONFLICT DO UPDATE SET events = json_patch(events, excluded.events) RETURNING *
"""
_ENTRY = "SELECT * FROM interactions WHERE interaction = ?"
_PUT = "INSERT OR IGNORE INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING 1"
_REPLACE = """
UPDATE items SET expires = ?3, key_id = ?4, nonce = ?5, sealed = ?6
WHERE interaction = ?1 AND name = ?2 AND nonce = ?7 RETURNING 1
"""
_NAMED = "FROM items WHERE interaction = ? AND name IN (SELECT value FROM json_each(?))"


class SQLiteStore:
    """Both tables in one SQLite file, with group commit.

    Statements that arrive while a commit is under way are committed together by the next one, in the order in which
    they came. A write that has returned survives the death of the process, and with ``synchronous="FULL"`` that of the
    machine, too: the log is on disk by then. ``"NORMAL"`` is faster, and may lose the last writes with the machine.
    If a commit fails, so do all statements that shared it.
    """

    def __init__(
        self,
        path: Path,
        synchronous: str = "FULL",
        busy_s: float = 0.1,
        run: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        """Opens the file, or makes it; waits ``busy_s`` for another process's lock; ``run`` awaits a blocking call."""
        self._run, self._waiting, self._flushing = run, [], None
        self._one_at_a_time = threading.Lock()
        try:
            self._file = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
            self._file.executescript(f"{_TABLES} PRAGMA synchronous = {synchronous}")
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error

    async def append(self, interaction: str, event: str, expires: int) -> Entry:
        """Adds an event and returns the entry in one statement, so that no other write falls between."""
        return _entry(*await self._rows(_APPEND, interaction, event, expires))

    async def entry(self, interaction: str, consistent: bool = True) -> Entry | None:
        """Returns an entry, always the newest."""
        return next((_entry(row) for row in await self._rows(_ENTRY, interaction)), None)

    async def put(self, item: Item, replaces: bytes | None = None) -> bool:
        """Writes an item once, or in place of another."""
        statement, more = (_PUT, ()) if replaces is None else (_REPLACE, (replaces,))
        return bool(await self._rows(statement, *astuple(item), *more))

    async def items(self, interaction: str, names: Sequence[str]) -> list[Item]:
        """Returns the items of some names that are there."""
        return [Item(*row) for row in await self._rows(f"SELECT * {_NAMED}", interaction, json.dumps(names))]

    async def discard(self, interaction: str, names: Sequence[str]) -> None:
        """Deletes items."""
        await self._rows(f"DELETE {_NAMED}", interaction, json.dumps(names))

    async def sweep(self, now: float) -> None:
        """Deletes what has expired, so that neither the file nor its log holds a byte of it.

        Raises:
            StoreError: also when a reader elsewhere still needs the log: sweep again then.
        """
        for table in ("interactions", "items"):
            await self._rows(f"DELETE FROM {table} WHERE expires <= ?", now)
        if await self._run(self._checkpoint):
            raise StoreError("what has expired is deleted, but a reader keeps the log that may still hold it")

    async def close(self) -> None:
        """Waits for what is under way and closes the file."""
        if self._flushing:
            await self._flushing
        self._file.close()

    async def _rows(self, statement: str, *parameters: Any) -> list[tuple]:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((statement, parameters, done))
        if not self._flushing or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())  # no caller's own, as callers may be cancelled
        return await done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await self._run(self._commit, batch)
            except Exception as error:  # of whatever kind: nobody may wait for ever
                results = [StoreError(f"nothing was written: {error}")] * len(batch)
            for (_, _, done), result in zip(batch, results, strict=True):
                if not done.cancelled():
                    done.set_exception(result) if isinstance(result, StoreError) else done.set_result(result)

    def _commit(self, batch: list[tuple]) -> list[list[tuple]]:
        with self._one_at_a_time, self._file:  # which commits at the end, or rolls back
            self._file.execute("BEGIN IMMEDIATE")
            return [self._file.execute(statement, parameters).fetchall() for statement, parameters, _ in batch]

    def _checkpoint(self) -> bool:
        """Copies the log into the file and empties it, and tells whether a reader was in the way."""
        with self._one_at_a_time:
            return bool(self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


def _entry(row: tuple[str, str, int]) -> Entry:
    return Entry(row[0], frozenset(json.loads(row[1])), row[2])
