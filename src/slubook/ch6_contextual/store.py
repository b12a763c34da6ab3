"""What the context service asks of a store of two tables, and the store that stands in a single file.

A store knows nothing of expiry but how to delete: as with DynamoDB, expired rows may appear in reads and in what
writes return. Readers leave them out (:mod:`slubook.ch6_contextual.tables`).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from slubook.ch6_contextual.events import Interaction
from slubook.ch6_contextual.items import Item


class ContextStoreError(RuntimeError):
    """A store did not do what it was asked; whether a write took place is unknown."""


class Store(Protocol):
    """Two tables: entries of interactions, and items. Every method may raise :class:`ContextStoreError`.

    ``append`` adds one event to an entry and returns the whole of it from the same call; the first event decides the
    expiry. The event's ``item``, where it has one, is put before the entry names it. ``entry`` reads it again; without
    ``consistent`` it may be an older one. ``put`` writes an item that is not there yet, or in place of the one with the
    nonce ``replaces``, and says whether it did. ``items`` finds those of some names, read consistently; ``discard``
    deletes them. ``sweep`` deletes what has expired.
    """

    async def append(self, interaction: str, event: str, expires: int, item: Item | None = None) -> Interaction: ...
    async def entry(self, interaction: str, consistent: bool = True) -> Interaction | None: ...
    async def put(self, item: Item, replaces: bytes | None = None) -> bool: ...
    async def items(self, interaction: str, names: Sequence[str]) -> list[Item]: ...
    async def discard(self, interaction: str, names: Sequence[str]) -> None: ...
    async def sweep(self, now: float, scrub: bool = False) -> None: ...
    async def close(self) -> None: ...


_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
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
_PUT = "INSERT OR IGNORE INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING 1"
_REPLACE = """
UPDATE items SET expires = ?3, key_id = ?4, nonce = ?5, sealed = ?6
WHERE interaction = ?1 AND name = ?2 AND nonce = ?7 RETURNING 1
"""
_NAMED = "FROM items WHERE interaction = ? AND name IN (SELECT value FROM json_each(?))"


class SQLiteStore:
    """Both tables in one SQLite file, with group commit.

    Writes that arrive while a commit is under way are committed together by the next one, in the order in which they
    came; if it fails, all of them do. A write that has returned survives the death of the process, and with
    ``synchronous="FULL"`` that of the machine: the log is on disk by then. ``"NORMAL"`` is faster, and may lose the
    last writes with the machine. Reads have a connection of their own, which sees what is committed, and wait for none.
    """

    def __init__(self, path: Path, synchronous: str = "FULL", busy_s: float = 0.1) -> None:
        """Opens the file, or makes it; waits ``busy_s`` for a lock that another process holds."""
        self._waiting, self._flushing = [], None
        self._writing, self._reading = threading.Lock(), threading.Lock()
        try:
            self._writer, self._reader = (
                sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False) for _ in range(2)
            )
            self._writer.executescript(f"{_TABLES} PRAGMA synchronous = {synchronous}")
        except sqlite3.Error as error:
            raise ContextStoreError(f"{path}: {error}") from error

    async def append(self, interaction: str, event: str, expires: int, item: Item | None = None) -> Interaction:
        """Adds an event and returns the entry in one statement, so that no other write falls between.

        The item is written in the same transaction: both are there or neither.
        """
        put = [(_PUT, tuple(vars(item).values()))] if item else []
        return _entry(*await self._write(*put, (_APPEND, (interaction, event, expires))))

    async def entry(self, interaction: str, consistent: bool = True) -> Interaction | None:
        """Returns an entry, always the newest."""
        rows = await self._blocking(self._read, "SELECT * FROM interactions WHERE interaction = ?", interaction)
        return _entry(*rows) if rows else None

    async def put(self, item: Item, replaces: bytes | None = None) -> bool:
        """Writes an item once, or in place of another."""
        statement, more = (_PUT, ()) if replaces is None else (_REPLACE, (replaces,))
        return bool(await self._write((statement, (*vars(item).values(), *more))))

    async def items(self, interaction: str, names: Sequence[str]) -> list[Item]:
        """Returns the items of some names that are there."""
        rows = await self._blocking(self._read, f"SELECT * {_NAMED}", interaction, json.dumps(names))
        return [Item(*row) for row in rows]

    async def discard(self, interaction: str, names: Sequence[str]) -> None:
        """Deletes items."""
        await self._write((f"DELETE {_NAMED}", (interaction, json.dumps(names))))

    async def sweep(self, now: float, scrub: bool = False) -> None:
        """Deletes what has expired: its place is overwritten, and the log emptied.

        Rows that were moved when pages were split leave copies behind, which ``secure_delete`` does not know of. With
        ``scrub`` the live rows are written anew, so that no byte of a deleted one is left; writers wait meanwhile.

        Raises:
            ContextStoreError: also when a reader elsewhere still needs the log: sweep again then.
        """
        for table in ("interactions", "items"):
            await self._write((f"DELETE FROM {table} WHERE expires <= ?", (now,)))
        if await self._blocking(self._empty_log, scrub):
            raise ContextStoreError("what has expired is deleted, but a reader keeps the log that may still hold it")

    async def close(self) -> None:
        """Waits for what is under way and closes the file."""
        if self._flushing:
            await self._flushing
        self._reader.close()
        self._writer.close()

    async def _write(self, *statements: tuple[str, Iterable]) -> list[tuple]:
        """Waits until statements are committed together; returns the rows of the last."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((statements, done))
        if not self._flushing or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())  # no caller's own, as callers may be cancelled
        return await done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await self._blocking(self._commit, batch)
            except ContextStoreError as error:
                results = [error] * len(batch)
            for (_, done), result in zip(batch, results, strict=True):
                if not done.cancelled():
                    done.set_exception(result) if isinstance(result, ContextStoreError) else done.set_result(result)

    async def _blocking(self, call: Callable, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(call, *arguments)
        except Exception as error:  # of whatever kind: nobody may wait for ever
            raise ContextStoreError(str(error)) from error

    def _commit(self, batch: list[tuple]) -> list[list[tuple]]:
        with self._writing, self._writer as file:  # which commits at the end, or rolls back
            file.execute("BEGIN IMMEDIATE")
            return [[file.execute(*one).fetchall() for one in statements][-1] for statements, _ in batch]

    def _read(self, statement: str, *parameters: Any) -> list[tuple]:
        with self._reading:
            return self._reader.execute(statement, parameters).fetchall()

    def _empty_log(self, scrub: bool) -> bool:
        """Empties the log into the file, and tells whether a reader was in the way."""
        with self._writing:
            if scrub:
                self._writer.execute("VACUUM")
            with self._reading:
                return bool(self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


def _entry(row: tuple[str, str, int]) -> Interaction:
    return Interaction(row[0], frozenset(json.loads(row[1])), row[2])
