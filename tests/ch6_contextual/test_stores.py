"""The protocol of stores, the same tests on both; then what each promises beyond it."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pytest
from simulation import KEYS, START, dynamo_client

from slubook.ch6_contextual.dynamo import DynamoStore
from slubook.ch6_contextual.events import WITH_ITEM, Interaction
from slubook.ch6_contextual.items import Sealer
from slubook.ch6_contextual.lag import LagStore
from slubook.ch6_contextual.store import ContextStoreError, SQLiteStore
from slubook.ch6_contextual.tables import TwoTables


def test_append_returns_the_updated_entry(store, run):
    first = run(store.append("turn-1", "utterance 1", 100))
    assert first == Interaction("turn-1", frozenset({"utterance 1"}), 100)
    second = run(store.append("turn-1", "reply 1 2.500", 200))
    assert second == Interaction("turn-1", frozenset({"utterance 1", "reply 1 2.500"}), 100)  # the first expiry
    assert run(store.append("turn-1", "utterance 1", 300)) == second  # told twice
    assert run(store.entry("turn-1")) == run(store.entry("turn-1", consistent=False)) == second
    assert run(store.entry("turn-2")) is None


def test_writers_at_the_same_time_lose_nothing(store, run):
    events = [f"context {n}" for n in range(8)]

    async def write():
        return await asyncio.gather(*(store.append("turn-1", event, 100) for event in events))

    entries = run(write())
    assert sorted(len(entry.events) for entry in entries) == list(range(1, 9))  # each sees those before it
    assert run(store.entry("turn-1")).events == set(events)


def test_an_item_is_written_with_its_event(store, run, sealer):
    item = sealer.seal("turn-1", "utterance 1", 100, b"call Meg")
    assert run(store.append("turn-1", item.name, 100, item)) == Interaction("turn-1", frozenset({item.name}), 100)
    assert run(store.items("turn-1", [item.name])) == [item]
    again = sealer.seal("turn-1", "utterance 1", 100, b"call Meg")
    assert run(store.append("turn-1", item.name, 100, again)) == run(store.entry("turn-1"))
    assert run(store.items("turn-1", [item.name])) == [item], "once"


def test_items_are_written_once(store, run, sealer):
    item = sealer.seal("turn-1", "utterance 1", 100, b"call Meg")
    again = sealer.seal("turn-1", "utterance 1", 100, b"call Meg")
    other = sealer.seal("turn-2", "utterance 1", 100, b"stop")
    assert [run(store.put(one)) for one in (item, again, other)] == [True, False, True]
    assert run(store.items("turn-1", ["utterance 1", "reply 1"])) == [item]
    assert run(store.put(again, replaces=other.nonce)) is False
    assert run(store.put(again, replaces=item.nonce)) is True
    assert run(store.items("turn-1", ["utterance 1"])) == [again]
    run(store.discard("turn-1", ["utterance 1", "reply 1"]))
    assert run(store.items("turn-1", ["utterance 1"])) == []
    assert run(store.items("turn-2", ["utterance 1"])) == [other]


def test_items_are_read_and_deleted_whether_none_or_many(store, run, sealer):
    items = [sealer.seal("turn-1", f"context {n}", 100, b"Meg") for n in range(103)]
    for item in items:
        assert run(store.put(item))
    names = [item.name for item in items]
    assert run(store.items("turn-1", [])) == []
    run(store.discard("turn-1", []))
    assert sorted(run(store.items("turn-1", names)), key=lambda item: names.index(item.name)) == items
    run(store.discard("turn-1", names))
    assert run(store.items("turn-1", names)) == []


def test_sqlite_commits_in_groups(run, tmp_path):
    """Writes that arrive together share one transaction, and a caller that gave up does not undo it."""
    store, begun = SQLiteStore(tmp_path / "context.db"), []
    store._writer.set_trace_callback(lambda statement: begun.append(statement) if "BEGIN" in statement else None)

    async def write():
        writes = [asyncio.ensure_future(store.append(f"turn-{n}", "utterance 1", 100)) for n in range(50)]
        await asyncio.sleep(0)  # all of them wait by now
        writes[0].cancel()
        await asyncio.gather(*writes, return_exceptions=True)
        entries = [await store.entry(f"turn-{n}") for n in range(50)]
        await store.close()
        return entries

    assert all(run(write()))
    assert len(begun) == 1


def test_sqlite_commits_an_item_with_its_event(sqlite_store, run, sealer):
    """An entry never names an item that is not there, nor is an item there that no entry names."""
    item, begun = sealer.seal("turn-1", "utterance 1", 100, b"call Meg"), []
    sqlite_store._writer.set_trace_callback(lambda text: begun.append(text) if "BEGIN" in text else None)
    run(sqlite_store.append("turn-1", item.name, 100, item))
    assert len(begun) == 1
    sqlite_store._writer.execute("DROP TABLE interactions")
    other = sealer.seal("turn-2", "utterance 1", 100, b"call Meg")
    with pytest.raises(ContextStoreError, match="interactions"):
        run(sqlite_store.append("turn-2", other.name, 100, other))
    assert run(sqlite_store.items("turn-2", [other.name])) == []


def test_sqlite_in_threads(tmp_path):
    """The same with real threads and a real event loop."""

    async def write():
        store = SQLiteStore(tmp_path / "context.db", synchronous="NORMAL")
        entries = await asyncio.gather(*(store.append(f"turn-{n % 7}", f"context {n}", 100) for n in range(70)))
        await store.sweep(50)
        await store.close()
        return entries

    assert max(len(entry.events) for entry in asyncio.run(write())) == 10


def test_a_locked_file_is_a_store_error(sqlite_store, run, tmp_path):
    other = sqlite3.connect(tmp_path / "context.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ContextStoreError, match="locked"):
        run(sqlite_store.append("turn-1", "utterance 1", 100))
    other.execute("ROLLBACK")
    assert run(sqlite_store.entry("turn-1")) is None  # nothing was written
    assert run(sqlite_store.append("turn-1", "utterance 1", 100)).events == {"utterance 1"}
    other.close()


def test_a_file_that_is_none_is_a_store_error(tmp_path):
    (tmp_path / "context.db").write_bytes(b"no database, but long enough to be taken for one" * 40)
    with pytest.raises(ContextStoreError):
        SQLiteStore(tmp_path / "context.db")


def test_a_server_that_is_not_there_is_a_store_error(run):
    store = DynamoStore(dynamo_client("http://127.0.0.1:9", timeout_s=1))
    with pytest.raises(ContextStoreError, match="update_item"):
        run(store.append("turn-1", "utterance 1", 100))


def test_a_table_that_is_not_there_is_a_store_error(run, dynamo_address):
    store = DynamoStore(dynamo_client(dynamo_address))
    with pytest.raises(ContextStoreError, match="get_item"):
        run(store.entry("turn-1"))


class Throttled:
    """A client that deletes only the first item of each of its first calls, and says so."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=KeyError)

    def __init__(self, calls):
        self.calls, self.asked = calls, []

    def batch_write_item(self, RequestItems):
        [(table, deletes)] = RequestItems.items()
        self.asked.append([delete["DeleteRequest"]["Key"]["name"] for delete in deletes])
        left = deletes[1:] if len(self.asked) <= self.calls else []
        return {"UnprocessedItems": {table: left} if left else {}}


def test_throttled_deletes_are_asked_for_again(run):
    names = [f"context {n}" for n in range(27)]
    client = Throttled(calls=1)
    run(DynamoStore(client).discard("turn-1", names))
    assert client.asked == [names[:25], names[1:25], names[25:]]
    client = Throttled(calls=2)
    with pytest.raises(ContextStoreError, match="undeleted"):
        run(DynamoStore(client).discard("turn-1", names))
    assert client.asked == [names[:25], names[1:25]]


def test_deleted_bytes_are_gone(sqlite_store, run, tmp_path):
    """No byte of what has expired stands in the file or its log: neither ciphertext nor names."""
    sealer, draw, rows = Sealer(KEYS), random.Random(0), []

    async def write():
        for _ in range(12):
            items = []
            for _ in range(50):
                payload, expires = draw.randbytes(draw.randint(1, 900)), draw.choice([100, 200])
                items.append(sealer.seal(f"turn-{draw.getrandbits(60):015x}", "utterance 1", expires, payload))
            replaced = draw.choice(items)
            rows.extend([*items, sealer.seal(replaced.interaction, replaced.name, replaced.expires, bytes(1500))])
            await asyncio.gather(*map(sqlite_store.put, items))
            await asyncio.gather(*(sqlite_store.append(i.interaction, i.name, i.expires) for i in items))
            await sqlite_store.put(rows[-1], replaces=replaced.nonce)
            await sqlite_store.append(replaced.interaction, "reply 1 2.500", replaced.expires)

    run(write())
    files = list(tmp_path.iterdir())

    def traces(expires):
        text = b"".join(file.read_bytes() for file in files)
        pieces = [
            (i.interaction.encode(), i.nonce, i.sealed[:16], i.sealed[-16:]) for i in rows if i.expires == expires
        ]
        return sum(piece in text for row in pieces for piece in row) / sum(map(len, pieces))

    assert (traces(100), traces(200)) == (1, 1)
    run(sqlite_store.sweep(150))
    assert traces(100) < 0.02  # copies of rows that were moved are left
    assert (tmp_path / "context.db-wal").stat().st_size == 0
    run(sqlite_store.sweep(150, scrub=True))
    assert traces(100) == 0
    assert traces(200) > 0.9  # all but the replaced
    run(sqlite_store.sweep(200, scrub=True))
    assert traces(200) == 0


def test_a_reader_in_the_way_of_deletion_is_reported(sqlite_store, run, tmp_path):
    run(sqlite_store.append("turn-1", "utterance 1", 100))
    reader = sqlite3.connect(tmp_path / "context.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM interactions").fetchone() == (1,)
    with pytest.raises(ContextStoreError, match="a reader keeps the log"):
        run(sqlite_store.sweep(200))
    reader.execute("COMMIT")
    reader.close()
    run(sqlite_store.sweep(200))
    assert b"turn-1" not in (tmp_path / "context.db").read_bytes()


def test_a_replica_lags_and_the_one_call_does_not(sqlite_store, run):
    """Whoever writes and then reads a replica sees entries without his own write; the write's own answer has it."""
    store = LagStore(sqlite_store, seed=7)
    store.replica_s = 0.05

    async def write():
        stale = 0
        for n in range(100):
            for event in ("utterance 1", "reply 1 2.500", "expect_speech 1"):
                entry = await store.append(f"turn-{n}", event, 100)
                assert event in entry.events
                await asyncio.sleep(0.02)
                seen = await store.entry(f"turn-{n}", consistent=False)
                stale += seen is None or event not in seen.events
                assert await store.entry(f"turn-{n}") == entry
        await asyncio.sleep(10)
        assert await store.entry("turn-0", consistent=False) == await store.entry("turn-0")
        return stale

    assert 150 < run(write()) < 250  # exp(-0.02 / 0.05) = 67 % of 300


def test_a_lag_store_deletes_late_and_times_out(sqlite_store, run, loop):
    store = LagStore(sqlite_store, seed=3)
    store.late_s = 60.0
    run(store.append("turn-1", "utterance 1", 100))
    run(store.sweep(130))
    assert run(store.entry("turn-1"))  # expired and still there
    run(store.sweep(160))
    assert run(store.entry("turn-1")) is None
    store.time_outs, begun, done = 1.0, loop.time(), 0
    for n in range(20):
        with pytest.raises(ContextStoreError, match="no answer"):
            run(store.append(f"turn-{n}", "utterance 1", 100))
        done += run(sqlite_store.entry(f"turn-{n}")) is not None
    assert loop.time() - begun == 20 * store.hang_s
    assert 4 < done < 16


WRITER = """
import asyncio, sys
from slubook.ch6_contextual.events import Event, Kind
from slubook.ch6_contextual.items import Sealer
from slubook.ch6_contextual.store import SQLiteStore
from slubook.ch6_contextual.tables import TwoTables

async def one(tables, n):
    for kind in Kind:
        event = Event(f"turn-{n}", kind, "1", 1.7e9, b"said " + kind.encode())
        await tables.add(event, 1.7e9)
        print(event.interaction, event.text, "told", sep="\\t", flush=True)

async def main():
    tables, n = TwoTables(SQLiteStore(sys.argv[1]), Sealer({"k1": bytes(32)})), 0
    while True:
        await asyncio.gather(*(one(tables, n + k) for k in range(3)))
        n += 3

asyncio.run(main())
"""


def test_killed_amid_writes(run, tmp_path):
    """What was acknowledged is there, whole and readable, whenever the writer is killed."""
    path = tmp_path / "context.db"
    for kill in range(20):
        for file in tmp_path.iterdir():
            file.unlink()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        lines = [writer.stdout.readline() for _ in range(1 + 3 * kill)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines()
        assert writer.wait() == -signal.SIGKILL
        store = SQLiteStore(path)
        tables = TwoTables(store, Sealer({"k1": bytes(32)}))
        whole = [line.decode().split("\t")[:2] for line in lines if line.rstrip().endswith(b"\ttold")]
        assert len(whole) > 3 * kill  # the last line may be cut short
        for interaction, event in whole:
            entry = run(tables.entry(interaction, START))
            assert event in entry.events
            found = run(tables.payloads(entry, entry.of(*WITH_ITEM), START))  # every item that the entry names
            assert {name: payload.decode() for name, payload in found.items()} == {
                name: f"said {name.split()[0]}" for name in entry.of(*WITH_ITEM)
            }
        run(store.close())
        file = sqlite3.connect(path)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        file.close()
