"""The load generator: open-loop, the same each time, and quick to notice what is lost, stale, wrong or slow."""

import asyncio
import math
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from simulation import KEYS

from slubook.ch6_contextual import load
from slubook.ch6_contextual.encoder import EncoderConfig
from slubook.ch6_contextual.events import Kind
from slubook.ch6_contextual.faults import simulate
from slubook.ch6_contextual.items import Sealer, rotate
from slubook.ch6_contextual.load import (
    BEGAN,
    WORDS_PER_S,
    Audited,
    AuditedInOne,
    HashingEncoder,
    Traffic,
    calls_of,
    drive,
    percentiles,
    share,
)
from slubook.ch6_contextual.metered import Metered
from slubook.ch6_contextual.service import ContextService
from slubook.ch6_contextual.store import SQLiteStore

TRAFFIC = Traffic(rate=5, seconds=8, follow_ups=(0.5, 0.5))


@pytest.fixture
def service(tmp_path):
    tables = Audited(SQLiteStore(tmp_path / "context.db", "OFF"), Sealer(KEYS))
    made = ContextService(tables, HashingEncoder(0.25))
    yield made
    simulate(tables.store.close())


def test_calls_are_drawn_and_in_order():
    calls = calls_of(Traffic(rate=50, seconds=20))
    assert calls == calls_of(Traffic(rate=50, seconds=20)) != calls_of(Traffic(rate=50, seconds=20, seed=1))
    assert [call.due for call in calls] == sorted(call.due for call in calls)
    events = [call.event for call in calls if call.event]
    assert len({event.interaction for event in events}) == 1000
    started = sorted({event.started - BEGAN for event in events})
    assert started[0] >= 0 and started[-1] < 20
    gaps = np.diff(started)
    assert gaps.mean() == pytest.approx(gaps.std(), rel=0.15), "arrivals are Poisson: gaps are exponential"
    expected = [call for call in calls if call.event and call.event.kind is Kind.EXPECT_SPEECH]
    asked = {call.interaction: call.due for call in calls if not call.event}
    assert len(expected) == len(asked) and 80 < len(asked) < 180
    early = sum(int(call.interaction[5:]) < 500 for call in expected)
    assert early < 0.45 * len(expected), "their share rises"
    for call in calls:
        if call.event and call.event.kind is Kind.REPLY:
            words = len(call.event.payload.split())
            assert call.event.spoken_by == pytest.approx(BEGAN + call.due + words / WORDS_PER_S)
            assert asked.get(call.interaction, math.inf) > call.due + words / WORDS_PER_S


def test_all_is_served_and_nothing_lost(service):
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert found["interactions"] == 40
    assert found["served"] == found["follow_ups"] == found["in_time"]["n"] > 10
    assert (found["late"], found["failed"], found["slow"], found["stale"]) == (0, 0, 0, 0)
    assert found["answers"] == len([c for c in calls_of(TRAFFIC) if c.event]) + found["follow_ups"]  # the vectors
    assert found["waits_ms"]["vector"]["max"] == pytest.approx(250)
    assert simulate(service.tables.lost(service.clock())) == 0


def test_the_same_traffic_on_both_stores(store, monkeypatch):
    """SQLite, and DynamoDB's protocol: the same is served, nothing lost, and every call of the client metered."""
    calls, made = getattr(store, "_call", None), []

    async def call(operation, **request):
        made.append(operation)
        return await calls(operation, **request)

    if calls:
        monkeypatch.setattr(store, "_call", call)
    metered = Metered(store)
    tables = Audited(metered, Sealer(KEYS))
    found = simulate(drive(ContextService(tables, HashingEncoder(0.25)), calls_of(replace(TRAFFIC, seconds=3))))
    assert found["served"] == found["follow_ups"] > 5
    assert (found["late"], found["failed"], found["slow"], found["stale"]) == (0, 0, 0, 0)
    assert not calls or len(made) == metered.used["calls"] > 100
    assert simulate(tables.lost(BEGAN)) == 0


def test_arrivals_wait_for_nothing(service):
    """A store that takes two seconds does not thin the traffic out: each call waits its two seconds, or four."""
    append = service.tables.store.append

    async def slow(*arguments):
        await asyncio.sleep(2.0)
        return await append(*arguments)

    service.tables.store.append = slow
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert found["waits_ms"]["behind"]["max"] == 0
    assert found["waits_ms"]["write"]["p50"] == pytest.approx(2000)
    assert found["late"] == found["follow_ups"], "the vector, too, takes two seconds to write"


def test_waits_count_from_when_a_call_was_due(service):
    """Coordinated omission would charge nothing to calls that are made late."""
    found = simulate(drive(service, [replace(call, due=call.due - 9) for call in calls_of(TRAFFIC)]))
    assert found["waits_ms"]["behind"]["max"] > 8000
    assert found["waits_ms"]["write"]["max"] > 8000


def test_lost_events_and_items_are_noticed(service, tmp_path):
    simulate(drive(service, calls_of(TRAFFIC)))
    file = sqlite3.connect(tmp_path / "context.db", isolation_level=None)
    follow_up = next(iter(service.tables.made))
    file.execute("DELETE FROM items WHERE interaction = ? AND name LIKE 'reply%'", (follow_up,))
    assert simulate(service.tables.lost(service.clock())) == 1
    file.execute("DELETE FROM interactions WHERE interaction = ?", (follow_up,))
    assert simulate(service.tables.lost(service.clock())) == len(service.tables.acknowledged[follow_up])
    file.close()
    service.tables.sealer = Sealer(rotate({}, "k1"))
    others = len(service.tables.made) - 1
    assert simulate(service.tables.lost(service.clock())) == len(service.tables.acknowledged[follow_up]) + others


def test_stale_answers_are_noticed(service):
    append, first = service.tables.store.append, {}

    async def stale(interaction, *arguments):
        return first.setdefault(interaction, await append(interaction, *arguments))

    service.tables.store.append = stale
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert found["stale"] == found["answers"] - 40  # the first answer of each interaction is right


def test_wrong_late_and_raising_answers_are_noticed(service):
    made = []

    async def answer(interaction, at):
        vector = await right(interaction, at)
        made.append(vector)
        return made[0] if len(made) == 2 else vector

    right, service.context = service.context, answer
    assert simulate(drive(service, calls_of(TRAFFIC)))["failed"] == 1

    async def slowly(interaction, at):
        await asyncio.sleep(0.3)

    service.context = slowly
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert (found["slow"], found["failed"], found["served"]) == (found["follow_ups"], 0, 0)

    async def raises(interaction, at):
        raise RuntimeError("a new point of failure")

    service.context = raises
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert found["failed"] == found["follow_ups"]


def test_a_vector_without_an_acknowledged_event_is_wrong(service):
    encode = service.encode

    async def forgetful(payloads):
        return await encode(dict(list(payloads.items())[:-1]))

    forgetful.made = encode.made
    service.encode = forgetful
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert found["failed"] == found["follow_ups"] == found["served"]


def test_the_stand_in_s_vectors_are_as_large_as_the_encoder_s_and_fit_a_row_of_dynamodb():
    assert EncoderConfig().size + 1 == load.WIDTH
    made = asyncio.run(HashingEncoder()({"context 1": b"word " * 5000}))
    assert made.dtype == np.float32 and made.shape == (load.ROWS, load.WIDTH) and made.nbytes < 400 * 1024 - 1024


def test_a_slow_encoder_is_late(service):
    service.encode.seconds = 1.6
    found = simulate(drive(service, calls_of(TRAFFIC)))
    assert found["late"] == found["follow_ups"] > found["served"] > 0, "longer replies hide it, but not from the window"


def test_one_table_is_audited_as_well(tmp_path):
    tables = AuditedInOne(SQLiteStore(tmp_path / "context.db", "OFF"), Sealer(KEYS))
    found = simulate(drive(ContextService(tables, HashingEncoder()), calls_of(TRAFFIC)))
    assert found["served"] == found["follow_ups"] and (found["failed"], found["stale"]) == (0, 0)
    assert tables.sealer.work.resealed_bytes > 0
    simulate(tables.store.close())


def test_shares_and_percentiles():
    assert share(0, 100) == pytest.approx({"point": 0, "low": 0, "high": 0.0362, "n": 100}, abs=1e-4)
    assert share(999, 1000)["low"] == pytest.approx(0.99444, abs=1e-5)
    assert percentiles([]) == {}
    assert percentiles([k / 1000 for k in range(1001)]) == pytest.approx(
        {"p50": 500, "p99": 990, "p99.9": 999, "max": 1000}
    )
