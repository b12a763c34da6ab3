"""The context service: one interaction at a time, then many under faults of every kind."""

import asyncio
import itertools
import random
import sqlite3
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from simulation import KEYS, START, Encoder, SimulatedLoop, dynamo_client, embed, told

from slubook.ch6_contextual.dynamo import DynamoStore
from slubook.ch6_contextual.events import EVIDENCE, Event, Kind
from slubook.ch6_contextual.items import Sealer, SealError, rotate
from slubook.ch6_contextual.lag import LagStore
from slubook.ch6_contextual.service import ContextService
from slubook.ch6_contextual.store import ContextStoreError, SQLiteStore
from slubook.ch6_contextual.tables import SPAN, OneTable, TwoTables

WHOLE = embed({event.text: event.payload for event in told() if event.kind in EVIDENCE})


@pytest.fixture(params=[TwoTables, OneTable])
def tables(request, sqlite_store, sealer):
    return request.param(sqlite_store, sealer)


@pytest.fixture
def service(tables, loop):
    return ContextService(tables, Encoder(0.5), loop.clock)


def tell(run, service, events):
    for event in events:
        run(service.take(event))


def ask(run, service, seconds=0.0, interaction="turn-1"):
    """What the recogniser gets some time after what was told last."""
    run(asyncio.sleep(seconds))
    return run(service.context(interaction, service.clock()))


@pytest.mark.parametrize("layout", [TwoTables, OneTable])
def test_a_follow_up_gets_its_vector(layout, store, sealer, run, loop):
    """On both stores, in both layouts."""
    service = ContextService(layout(store, sealer), Encoder(0.5), loop.clock)
    tell(run, service, told())
    assert (ask(run, service, 1.0) == WHOLE).all()
    assert service.outcomes == {"vector": 1, "served": 1}
    assert ask(run, service, interaction="turn-2") is None
    tell(run, service, told("turn-3", follow_up=False))
    assert ask(run, service, 1.0, "turn-3") is None
    assert run(store.items("turn-3", [OneTable.NAME, *(event.text for event in told())])) == []
    assert service.outcomes["discarded"] == 1


def test_nothing_is_decrypted_without_a_follow_up(sqlite_store, sealer, run, loop):
    service = ContextService(TwoTables(sqlite_store, sealer), Encoder(), loop.clock)
    tell(run, service, told(follow_up=False))
    assert (sealer.work.sealed, sealer.work.opened) == (3, 0)
    tell(run, service, told("turn-2"))
    assert (ask(run, service, 1.0, "turn-2") == WHOLE).all()
    assert (sealer.work.sealed, sealer.work.opened) == (3 + 4, 3 + 1)  # the vector, too
    assert sealer.work.resealed_bytes == 0


def test_the_work_of_two_tables_and_of_one(run, tmp_path):
    """The measure of the article's layout: 200 interactions of which 24 are followed up, the same for both."""
    draw, work, served = random.Random(6), {}, {}
    interactions = []
    for n in range(200):
        follow_up, events = n % 25 < 3, told(f"turn-{n}")
        context = [
            Event(f"turn-{n}", Kind.CONTEXT, str(k), START, draw.randbytes(draw.randint(100, 2000)))
            for k in range(draw.randint(0, 4))
        ]
        interactions.append([events[0], *context, events[2], *events[3:4] * follow_up, events[4]])
    for layout in (TwoTables, OneTable):
        store = SQLiteStore(tmp_path / layout.__name__, synchronous="OFF")
        tables = layout(store, Sealer(KEYS))
        service = ContextService(tables, Encoder(), lambda: START)
        for events in interactions:
            tell(run, service, events)
            run(asyncio.sleep(0.1))
        served[layout] = [ask(run, service, 0, events[0].interaction) for events in interactions]
        work[layout] = tables.sealer.work
        assert len(tables.latencies) == sum(map(len, interactions)) + 24  # the vectors
        run(store.close())
    assert sum(vector is not None for vector in served[TwoTables]) == 24
    assert all(np.array_equal(one, two) for one, two in zip(*served.values(), strict=True))
    two, one = work[TwoTables], work[OneTable]
    assert two.resealed_bytes == 0
    assert one.sealed >= sum(map(len, interactions)) + 24  # more where an event and a vector wrote at the same time
    assert one.opened > 7 * two.opened
    assert one.opened_bytes > 30 * two.opened_bytes
    assert one.sealed_bytes > 4 * two.sealed_bytes
    assert one.resealed_bytes > 3 * two.sealed_bytes


@pytest.mark.parametrize("order", [*itertools.permutations(range(5))])
def test_any_order_gives_the_whole_context_or_none(order, sqlite_store, sealer, run, loop):
    """If the end is told before the directive to expect speech, the data is gone; else order does not matter."""
    service, events = ContextService(TwoTables(sqlite_store, sealer), Encoder(0.5), loop.clock), told()
    tell(run, service, (events[k] for k in order))
    vector = ask(run, service, 1.0)
    end, expect = order.index(4), order.index(3)
    assert (vector is None) if end < expect and end > min(map(order.index, (0, 1, 2))) else True
    assert vector is None or (vector == WHOLE).all()
    if expect < end:
        assert vector is not None


def test_what_is_told_twice_is_embedded_once(service, run):
    tell(run, service, told() + told())
    assert (ask(run, service, 1.0) == WHOLE).all()
    tell(run, service, told())
    assert (ask(run, service, 0.0) == WHOLE).all()
    assert len(service.encode.finished) == 1


def test_context_that_comes_late_is_embedded_again(service, run):
    """A vector of less than is known is not served."""
    tell(run, service, told())
    assert (ask(run, service, 0.6) == WHOLE).all()
    late = Event("turn-1", Kind.CONTEXT, "2", START, b"Meg Ryan")
    run(service.take(late))
    assert service.making
    whole = {event.text: event.payload for event in [*told(), late] if event.kind in EVIDENCE}
    run(asyncio.sleep(0.6))
    assert (ask(run, service) == embed(whole)).all()
    run(service.take(replace(late, id="3")))
    assert ask(run, service) is None


@pytest.mark.parametrize("encoder", [Encoder(2.1), Encoder(float("inf")), Encoder(error=RuntimeError("no model"))])
def test_an_encoder_that_is_slow_dead_or_fails(encoder, tables, run, loop):
    service = ContextService(tables, encoder, loop.clock)
    tell(run, service, told(seconds=2.0))
    assert ask(run, service, 2.05) is None
    assert not service.making and not encoder.finished
    assert set(service.outcomes) in ({"TimeoutError", "not ready"}, {"RuntimeError", "not ready"})


def test_the_window_is_the_spoken_reply(tables, run, loop):
    """The same encoder is in time for a long reply and too late for a short one, and for one without end."""
    service = ContextService(tables, Encoder(1.5), loop.clock, window_s=10)
    for name, seconds, made in (("short", 1.0, False), ("long", 2.0, True)):
        tell(run, service, told(name, loop.clock(), seconds))
        assert (ask(run, service, seconds, name) is not None) is made
    service.encode = Encoder(11)
    tell(run, service, told("without end", loop.clock(), 1000.0))
    run(asyncio.sleep(10.1))
    assert not service.making


def test_who_speaks_early_gets_no_context_and_waits_for_none(service, run, loop):
    tell(run, service, told())
    begun = loop.time()
    assert ask(run, service, 0.2) is None
    assert loop.time() == pytest.approx(begun + 0.2)
    run(asyncio.sleep(1.0))
    assert not service.encode.finished  # it was given up


def test_nothing_lives_longer(service, run, sqlite_store):
    tell(run, service, told())
    assert ask(run, service, 1.0) is not None
    assert ask(run, service, SPAN - 1.5) is not None
    assert ask(run, service, 1.0) is None  # although nothing was deleted yet
    names = [OneTable.NAME, "utterance 1"]
    assert run(sqlite_store.items("turn-1", names))
    tell(run, service, told())
    assert service.outcomes["expired"] == len(told())
    run(service.sweep(scrub=True))
    assert not run(sqlite_store.items("turn-1", names))
    tell(run, service, told())  # and late events do not begin it anew
    assert run(sqlite_store.entry("turn-1")) is None and not run(sqlite_store.items("turn-1", names))


@pytest.mark.parametrize("wrong", ["device", "own"])
@pytest.mark.parametrize("at_write", [-3600, 0, 3600])
@pytest.mark.parametrize("at_read", [-3600, 0, 3600])
def test_one_wrong_clock_lengthens_no_life(wrong, at_write, at_read, tables, run, loop):
    """The device's clock or the service's, which may be wrong in another way when it is read again."""
    clocks = {"device": 0, "own": 0, wrong: at_write}
    service = ContextService(tables, Encoder(), lambda: loop.clock() + clocks["own"])
    tell(run, service, told(started=START + clocks["device"]))
    run(asyncio.sleep(1.0))
    clocks[wrong] = at_read
    if at_write == at_read == 0:
        assert run(service.context("turn-1", loop.clock())) is not None
    run(asyncio.sleep(SPAN))
    assert run(service.context("turn-1", loop.clock() + clocks["device"])) is None


def test_no_item_outlives_its_entry(store, sealer, run, loop):
    """With the device's clock ahead, each event alone would be kept for a span from when it was written."""
    service = ContextService(TwoTables(store, sealer), Encoder(), loop.clock)
    utterance, context, *_ = events = told(started=START + 3600)
    names = [event.text for event in events if event.kind in EVIDENCE]

    def expiries():
        return {item.name: item.expires - START for item in run(store.items("turn-1", names))}

    run(service.take(utterance))
    run(asyncio.sleep(100))
    tell(run, service, [context, context])
    assert expiries() == {utterance.text: SPAN, context.text: SPAN}
    run(store.discard("turn-1", [context.text]))
    run(store.put(sealer.seal("turn-1", context.text, int(START) + SPAN + 100, context.payload)))
    entry = run(store.entry("turn-1"))
    assert run(service.tables.payloads(entry, [context.text], START + SPAN - 1)) == {context.text: context.payload}
    with pytest.raises(ContextStoreError, match="not all items"):
        run(service.tables.payloads(entry, [context.text], START + SPAN))  # the item is not its own measure
    run(service.take(context))  # told again, after a writer died before it could seal the item again
    assert expiries()[context.text] == SPAN
    run(asyncio.sleep(SPAN))
    tell(run, service, events)
    assert service.outcomes["expired"] == len(events)
    assert expiries() == dict.fromkeys(names, SPAN)


@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
def test_events_after_deletion_begin_anew_only_for_a_device_ahead(ahead, sqlite_store, sealer, run, loop):
    service = ContextService(TwoTables(sqlite_store, sealer), Encoder(), loop.clock)
    events = told(started=START + ahead)
    tell(run, service, events)
    run(asyncio.sleep(400))
    run(service.sweep())
    run(service.take(events[0]))
    entry = run(sqlite_store.entry("turn-1"))
    if ahead <= 0:
        assert entry is None
    else:
        assert (entry.events, entry.expires) == ({events[0].text}, START + 400 + SPAN)
    left = run(sqlite_store.items("turn-1", [event.text for event in events]))
    assert [item.name for item in left] == [events[0].text] * (ahead > 0)


def test_a_wrong_key_is_no_context(service, run):
    tell(run, service, told())
    assert ask(run, service, 1.0) is not None
    service.tables.sealer = Sealer(rotate({}, "k1"))
    assert ask(run, service) is None
    tell(run, service, told("turn-2")[:2])
    service.tables.sealer = Sealer(rotate({}, "k2"))
    tell(run, service, told("turn-2")[2:])
    assert ask(run, service, 1.0, "turn-2") is None
    assert service.outcomes["SealError"] >= 2


def test_rows_that_were_swapped_or_prolonged_are_no_context(sqlite_store, sealer, run, loop, tmp_path):
    service = ContextService(TwoTables(sqlite_store, sealer), Encoder(), loop.clock)
    tell(run, service, told() + told("turn-2", context=b"Meg Ryan"))
    assert ask(run, service, 1.0) is not None and ask(run, service, 0, "turn-2") is not None
    file = sqlite3.connect(tmp_path / "context.db")
    file.execute("UPDATE items SET interaction = 'other' WHERE interaction = 'turn-1'")
    file.execute("UPDATE items SET interaction = 'turn-1' WHERE interaction = 'turn-2'")
    file.execute("UPDATE items SET interaction = 'turn-2' WHERE interaction = 'other'")
    file.commit()
    assert ask(run, service) is None and ask(run, service, 0, "turn-2") is None
    tell(run, service, told("turn-3", loop.clock()))
    file.execute("UPDATE items SET expires = expires + 1000")
    file.execute("UPDATE interactions SET expires = expires + 1000")
    file.commit()
    assert ask(run, service, 1.0, "turn-3") is None
    assert service.outcomes["SealError"] == 3
    tell(run, service, told("turn-4", loop.clock()))
    file.execute("UPDATE interactions SET expires = expires + 1000")  # an entry alone, which nothing seals
    file.commit()
    file.close()
    assert ask(run, service, 1.0, "turn-4") is not None
    assert ask(run, service, SPAN, "turn-4") is None
    with pytest.raises(ContextStoreError, match="not all items"):
        entry = run(sqlite_store.entry("turn-4"))
        run(service.tables.payloads(entry, entry.of(*EVIDENCE), loop.clock()))


def test_a_locked_store_is_no_context(service, run, tmp_path):
    other = sqlite3.connect(tmp_path / "context.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tell(run, service, told())
    assert ask(run, service, 1.0) is None
    other.execute("ROLLBACK")
    other.close()
    assert service.outcomes == {"ContextStoreError": len(told()), "not ready": 1}
    tell(run, service, told())  # who tells it again is heard
    assert (ask(run, service, 1.0) == WHOLE).all()


def test_a_store_that_cannot_be_reached_is_no_context(sealer, run, loop):
    store = DynamoStore(dynamo_client("http://127.0.0.1:9", timeout_s=1))
    service = ContextService(TwoTables(store, sealer), Encoder(), loop.clock)
    tell(run, service, told())
    assert ask(run, service, 1.0) is None
    assert service.outcomes == {"ContextStoreError": len(told()) + 1}


class Acknowledged(TwoTables):
    """Two tables that remember which events they have taken."""

    async def add(self, event, now):
        entry = await super().add(event, now)
        if entry and event.kind in EVIDENCE:
            self.taken.add((event.interaction, event.text))
        return entry

    def forget(self, interaction):
        self.taken = {taken for taken in self.taken if taken[0] != interaction}


class AcknowledgedInOne(Acknowledged, OneTable):
    """The same in one table, which forgets with the row what it has taken."""

    async def discard(self, entry):
        self.forget(entry.interaction)
        try:
            await super().discard(entry)
        finally:
            self.forget(entry.interaction)  # what was taken meanwhile may be gone, too


class FileStore(SQLiteStore):
    """A store that remembers which errors it had that are no locks."""

    async def _blocking(self, call, *arguments):
        try:
            return await super()._blocking(call, *arguments)
        except ContextStoreError as error:
            if not isinstance(error.__cause__, sqlite3.OperationalError):
                self.errors.append(error.__cause__)
            raise


class Interactions(RuleBasedStateMachine):
    """Interactions in any order of events, under any faults, held to four invariants.

    Nothing expired is served. A read after a write sees it. The deadline is met. Any failure is no context, and nothing
    else: no call raises, and without a fault there is a vector.
    """

    layout = Acknowledged
    OUTCOMES = frozenset({"vector", "served", "not ready", "expired", "discarded"}) | {
        error.__name__ for error in (ContextStoreError, SealError, TimeoutError, RuntimeError)
    }
    seen: ClassVar = Counter()  # what happened, over all runs

    def __init__(self):
        super().__init__()
        self.loop, self.folder = SimulatedLoop(), tempfile.TemporaryDirectory()
        self.run = self.loop.run_until_complete
        self.path = Path(self.folder.name) / "context.db"
        self.encoder, self.lock = Encoder(0.2), None
        self.device = self.own = 0.0  # how wrong the clocks are
        self.skewed, self.right_keys = False, True
        self.began, self.told, self.sent, self.clean = {}, {}, {}, set()
        self.served = {}  # interaction → the events that were told when it was served last

    @initialize(seed=st.integers(0, 2**16), wrong=st.sampled_from(["device", "own"]))
    def start(self, seed, wrong):
        self.wrong = wrong  # the clock that may go wrong
        self.file = FileStore(self.path, synchronous="OFF", busy_s=0)
        self.file.errors = []
        self.store = LagStore(self.file, seed)
        self.tables = self.layout(self.store, Sealer(KEYS))
        self.tables.taken = set()
        self.service = ContextService(self.tables, self.encoder, lambda: self.loop.clock() + self.own)

    def fault(self):
        """From now on, interactions under way may be left without context."""
        self.clean.clear()

    @rule()
    def all_is_well(self):
        self.encoder.seconds, self.encoder.error = 0.2, None
        self.store.time_outs = self.device = self.own = 0.0
        self.tables.sealer, self.right_keys = Sealer(KEYS), True
        if self.lock:
            self.another_process_locks_the_file_or_lets_go()

    @property
    def healthy(self):
        slow = self.encoder.seconds > 0.2 or self.encoder.error
        return self.right_keys and not (slow or self.lock or self.store.time_outs or self.device or self.own)

    @rule(seconds=st.sampled_from([1.0, 3.0]), follow_up=st.booleans(), orderly=st.booleans())
    def begin(self, seconds, follow_up, orderly):
        name = f"turn-{len(self.began)}"
        self.began[name] = self.loop.clock()
        self.told[name] = told(name, self.loop.clock() + self.device, seconds, follow_up, name.encode())
        self.sent[name] = set()
        if orderly and self.healthy:
            self.clean.add(name)
            for event in self.told[name]:
                self.deliver(event)

    @rule(
        well=st.sampled_from([True, True, False]),
        seconds=st.sampled_from([0.1, 0.3, 1.0, SPAN - 1.5]),
        then=st.sampled_from(["ask again", "tell more", "wait long", "change keys", "break the encoder"]),
    )
    def follow_up(self, well, seconds, then):
        """A whole turn in order: with its vector, if nothing is wrong; then again, when it may be without."""
        if well:
            self.all_is_well()
        name = f"turn-{len(self.began)}"
        self.begin(3.0, follow_up=True, orderly=True)
        self.wait(seconds)
        self.ask_for(name)
        if then == "tell more":
            self.tell_more(name)
        elif then == "wait long":
            self.wait(SPAN)
            self.deliver(self.told[name][0])
        elif then == "change keys":
            self.keys_change(False)
        elif then == "break the encoder":
            self.encoder_changes(0.2, RuntimeError("broken"))
            self.tell_more(name)
            self.wait(0.3)
        self.ask_for(name)

    def tell_more(self, name):
        """Evidence beyond what a vector may have been made of."""
        event = replace(self.told[name][1], id=str(len(self.told[name])))
        self.told[name].append(event)
        self.clean.discard(name)
        self.deliver(event)

    def deliver(self, *events):
        before = self.loop.time()
        for event in events:
            name = event.interaction
            if self.wrong == "device" and self.loop.clock() - self.began[name] >= SPAN and self.is_gone(name):
                self.began[name] = self.loop.clock()  # to a device that was ahead, it begins anew
            self.sent[event.interaction] |= {event.text} if event.kind in EVIDENCE else set()

        async def at_once():
            await asyncio.gather(*map(self.service.take, events))

        self.run(at_once())
        assert self.loop.time() <= before + self.service.window_s + 1e-6

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def tell_one(self, data):
        """Any event of any interaction: out of order, twice, or after it has expired."""
        name = data.draw(st.sampled_from(sorted(self.began)))
        self.deliver(data.draw(st.sampled_from(self.told[name])))

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def tell_many_at_once(self, data):
        name = data.draw(st.sampled_from(sorted(self.began)))
        self.deliver(*data.draw(st.lists(st.sampled_from(self.told[name]), min_size=2, max_size=6)))

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 5.0, 100.0, SPAN]))
    def wait(self, seconds):
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def ask(self, data):
        self.ask_for(data.draw(st.sampled_from(sorted(self.began))))

    def ask_for(self, name):
        before = self.loop.clock()
        vector = self.run(self.service.context(name, before + self.device))
        assert self.loop.clock() <= before + self.service.patience_s + 1e-6
        age = before - self.began[name]
        follow_up = self.told[name][3].kind is Kind.EXPECT_SPEECH
        if vector is not None:
            assert follow_up and age < SPAN
            assert any((vector == made).all() for made in self.possible(name))
            self.served[name] = len(self.told[name])
        elif name in self.served:
            self.seen["expired after it was served"] += age >= SPAN
            self.seen["stale after it was served"] += (
                age < SPAN and self.healthy and self.served[name] < len(self.told[name])
            )
        if vector is None and name in self.clean and follow_up:
            assert age < 0.2 + 1e-6 or age >= SPAN - 1
        if age < 0.2 + 1e-6:  # it was given up: not to be asked for again
            self.clean.discard(name)

    def possible(self, name):
        """The vectors of what was acknowledged and any part of what was sent beyond it, of which nobody knows."""
        taken = {text for interaction, text in self.tables.taken if interaction == name}
        payloads = {event.text: event.payload for event in self.told[name]}
        unknown = sorted(self.sent[name] - taken)
        for size in range(len(unknown) + 1):
            for more in itertools.combinations(unknown, size):
                yield embed({text: payloads[text] for text in (*taken, *more)})

    @rule(seconds=st.sampled_from([0.2, 0.2, 4.0, float("inf")]), error=st.sampled_from([None, RuntimeError("broken")]))
    def encoder_changes(self, seconds, error):
        self.encoder.seconds, self.encoder.error = seconds, error
        self.fault()

    @rule(time_outs=st.sampled_from([0.0, 0.0, 0.5, 1.0]), late=st.sampled_from([0.0, 50.0]))
    def network_changes(self, time_outs, late):
        self.store.time_outs, self.store.late_s = time_outs, late
        self.fault()

    @rule()
    def another_process_locks_the_file_or_lets_go(self):
        if self.lock:
            self.lock.close()
            self.lock = None
        else:
            self.lock = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            self.lock.execute("BEGIN IMMEDIATE")
        self.fault()

    @rule(skew=st.sampled_from([0.0, -400.0, -2.0, 2.0, 400.0]))
    def a_clock_goes_wrong(self, skew):
        setattr(self, self.wrong, skew)
        self.skewed = True
        self.fault()

    @rule(right=st.booleans())
    def keys_change(self, right):
        self.tables.sealer, self.right_keys = Sealer(KEYS if right else rotate({}, "k1")), right
        self.fault()

    @rule(scrub=st.booleans())
    def sweep(self, scrub):
        self.run(self.service.sweep(scrub))
        for name in filter(self.is_gone, self.began):
            self.seen["deleted"] += 1
            self.tables.forget(name)

    def is_gone(self, name):
        return self.run(self.file.entry(name)) is None

    @invariant()
    def the_deadline_is_met(self):
        self.run(asyncio.sleep(0))  # what has just begun finds out that it is late
        self.run(asyncio.sleep(0))
        if not self.skewed:
            for name in self.service.making:
                assert self.loop.clock() <= self.told[name][2].spoken_by + 1e-6

    def teardown(self):
        if self.lock:
            self.lock.close()
        if self.began:
            self.run(asyncio.sleep(20))
            assert not self.service.making
            assert not self.file.errors
            assert self.service.outcomes.keys() <= self.OUTCOMES  # so no mistake of ours hides among the errors
            self.seen.update(self.service.outcomes)
            self.run(self.store.close())
        self.loop.close()
        self.folder.cleanup()


class InteractionsInOneTable(Interactions):
    """The same invariants hold for one table."""

    layout = AcknowledgedInOne


@pytest.mark.parametrize("machine", [Interactions, InteractionsInOneTable])
def test_interactions_of_any_kind(machine):
    """The invariants hold, and every outcome was there to be seen, most of all vectors."""
    machine.seen = Counter()
    run_state_machine_as_test(
        machine, settings=settings(max_examples=200, stateful_step_count=30, deadline=None, derandomize=True)
    )
    for outcome in (*machine.OUTCOMES, "expired after it was served", "stale after it was served", "deleted"):
        assert machine.seen[outcome] >= 3, (outcome, machine.seen)
    assert min(machine.seen["vector"], machine.seen["served"]) >= 100
