"""Plays interactions to a context service as they arrive, and measures what every call waited.

The generator is open-loop: arrivals are drawn beforehand, and none waits for another to be done. A wait counts from
when the call was due, not from when it was made, so a service that falls behind is charged for it (no coordinated
omission). Taught in chapter 6.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from slubook.ch6_contextual.events import EVIDENCE, WITH_ITEM, Event, Interaction, Kind
from slubook.ch6_contextual.items import SealError
from slubook.ch6_contextual.service import ContextService
from slubook.ch6_contextual.store import ContextStoreError
from slubook.ch6_contextual.tables import OneTable, TwoTables

BEGAN = 1_700_000_000.0  # when every run begins, by all clocks
WINDOW_S, ANSWER_S = 1.5, 0.25  # for a vector, after the directive to expect speech; for an answer to the recogniser
WORDS_PER_S = 3.0  # of a spoken reply: 180 a minute
#: What is stored of a context: a row a word, as wide as that of chapter 6's encoder, and what DynamoDB takes at most.
WIDTH, ROWS = 97, 1000
#: Log-normal numbers of words, those of turns fitted to SGD's training dialogues: mean, deviation, the most.
UTTERANCE, REPLY, CATALOGUE = (1.91, 0.63, 40), (2.23, 0.63, 40), (4.6, 1.0, 2000)


@dataclass(frozen=True)
class Traffic:
    """How many interactions a second arrive (Poisson), for how long, and what share is followed up, first and last."""

    rate: float
    seconds: float
    follow_ups: tuple[float, float] = (0.05, 0.20)
    seed: int = 0


@dataclass(frozen=True)
class Call:
    """An event to be told, or, without one, the next turn of the user; ``due`` seconds after the run began."""

    due: float
    interaction: str
    event: Event | None = None
    skew: float = 0.0  # of the device's clock, in seconds


def calls_of(traffic: Traffic) -> list[Call]:
    """Draws the calls of some traffic, in order."""
    draw, calls = np.random.default_rng(traffic.seed), []
    spelled = draw.integers(97, 123, (4096, 9), dtype=np.uint8)
    pool = [bytes(row[:n]) for row, n in zip(spelled, draw.integers(2, 10, 4096), strict=True)] * 2

    def text(mean: float, deviation: float, most: int) -> bytes:
        n, at = min(most, max(1, round(draw.lognormal(mean, deviation)))), draw.integers(4096)
        return b" ".join(pool[at : at + n])

    starts = np.sort(draw.random(round(traffic.rate * traffic.seconds))) * traffic.seconds
    shares = np.linspace(*traffic.follow_ups, len(starts))
    for n, (start, share) in enumerate(zip(starts.tolist(), shares, strict=True)):
        reply, replied = text(*REPLY), start + draw.uniform(0.4, 1.2)
        spoken = replied + len(reply.split()) / WORDS_PER_S
        told = [(start, Kind.UTTERANCE, "1", text(*UTTERANCE)), (replied, Kind.REPLY, "1", reply)]
        told += [
            (start + draw.uniform(0, 0.3), Kind.CONTEXT, str(k), text(*CATALOGUE)) for k in range(draw.integers(3))
        ]
        told += [(replied, Kind.EXPECT_SPEECH, "1", b"")] * (follow_up := bool(draw.random() < share))
        for due, kind, known, payload in (*told, (spoken, Kind.END, "1", b"")):
            event = Event(f"turn-{n}", kind, known, BEGAN + start, payload, BEGAN + spoken)
            calls.append(Call(due, event.interaction, event))
        calls += [Call(spoken + draw.uniform(0.2, 1.0), f"turn-{n}")] * follow_up
    return sorted(calls, key=lambda call: call.due)


@dataclass
class HashingEncoder:
    """Embeds the words of all items as rows of a fixed random table, [words, WIDTH]; it takes ``seconds``."""

    seconds: float = 0.0
    error: Exception | None = None
    made: dict[bytes, Mapping[str, bytes]] = field(default_factory=dict)  # of what each vector was made, by its digest
    table: np.ndarray = field(
        default_factory=lambda: np.random.default_rng(6).normal(size=(4096, WIDTH)).astype(np.float32)
    )

    async def __call__(self, payloads: Mapping[str, bytes]) -> np.ndarray:
        rows = [zlib.crc32(word) % len(self.table) for payload in payloads.values() for word in payload.split()]
        vector = self.table[rows[:ROWS]]
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        self.made[digest(vector)] = payloads
        return vector


def digest(vector: np.ndarray) -> bytes:
    """Returns the SHA-256 of a vector's bytes."""
    return hashlib.sha256(vector.tobytes()).digest()


@dataclass
class Audited(TwoTables):
    """Two tables that hold each answer against what was acknowledged before it was asked for."""

    acknowledged: dict[str, set[str]] = field(default_factory=partial(defaultdict, set))
    made: dict[str, float] = field(default_factory=dict)  # interaction → when its last vector was stored
    answers: int = 0
    stale: int = 0

    async def add(self, event: Event, now: float) -> Interaction | None:
        """Writes an event, and counts an answer that lacks it or an earlier one."""
        least = self.acknowledged[event.interaction] | {event.text}
        if entry := await super().add(event, now):
            self.answers += 1
            self.stale += not least <= entry.events
            self.acknowledged[event.interaction].add(event.text)
            if event.kind is Kind.VECTOR:
                self.made[event.interaction] = asyncio.get_running_loop().time()
        return entry

    async def lost(self, now: float) -> int:
        """Counts acknowledged events that are not there, and follow-ups whose items are not, or do not open."""
        count = 0
        for interaction, told in self.acknowledged.items():
            entry = await self.entry(interaction, now) or Interaction(interaction, frozenset(), 0)
            count += len(told - entry.events)
            try:
                await self.payloads(entry, entry.of(*WITH_ITEM) if entry.of(Kind.EXPECT_SPEECH) else [], now)
            except (ContextStoreError, SealError):
                count += 1
        return count


class AuditedInOne(Audited, OneTable):
    """The same in one table."""


async def drive(service: ContextService, calls: Sequence[Call]) -> dict[str, Any]:
    """Makes every call when it is due, and returns counts, and waits in milliseconds.

    A follow-up is ``late`` unless its vector is stored before the reply is spoken and within :data:`WINDOW_S`. A turn
    has ``failed`` if the service raises an error, or gives a vector that is not of this interaction or lacks an
    acknowledged event; it is ``slow`` if the answer takes longer than :data:`ANSWER_S`. ``turns`` says which call was
    served, and whether that was right.
    """
    loop, tables, sent, waits = asyncio.get_running_loop(), service.tables, defaultdict(dict), defaultdict(list)
    begun, turns, wanted, under_way = loop.time(), [], {}, set()
    service.clock = lambda: BEGAN + loop.time() - begun

    async def play(call: Call) -> None:
        due, event = begun + call.due, call.event
        waits["behind"].append(loop.time() - due)
        if event:
            sent[call.interaction][event.text] = event.payload
            if event.kind is Kind.EXPECT_SPEECH:
                wanted[call.interaction] = (due, begun + event.spoken_by - call.skew - BEGAN)
            await service.take(event)
            waits["write"].append(loop.time() - due)
            return
        least = {text for text in tables.acknowledged[call.interaction] if text.split()[0] in EVIDENCE}
        try:
            vector = await service.context(call.interaction, BEGAN + call.due + call.skew)
            of = {} if vector is None else service.encode.made[digest(vector)]
            right = vector is None or (least <= of.keys() and of.items() <= sent[call.interaction].items())
        except Exception:
            vector, right = None, False
        waits["answer"].append(loop.time() - due)
        turns.append((call, vector is not None, right))

    for call in calls:
        if (early := begun + call.due - loop.time()) > 0:
            await asyncio.sleep(early)
        under_way.add(task := asyncio.create_task(play(call)))
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    while service.making:
        await asyncio.sleep(0.1)
    waits["vector"] = [at - wanted[name][0] for name, at in tables.made.items()]
    in_time = sum(tables.made.get(n, np.inf) <= min(at + WINDOW_S, spoken) for n, (at, spoken) in wanted.items())
    return {
        "interactions": len(sent), "follow_ups": len(wanted), "turns": turns, "in_time": share(in_time, len(wanted)),
        "late": len(wanted) - in_time, "served": sum(served for _, served, _ in turns),
        "failed": sum(not right for *_, right in turns), "slow": sum(s > ANSWER_S for s in waits["answer"]),
        "answers": tables.answers, "stale": tables.stale, "outcomes": dict(service.outcomes),
        "waits_ms": {what: percentiles(seconds) for what, seconds in waits.items()},
    }  # fmt: skip


def share(some: int, of: int) -> dict[str, float]:
    """Returns a share with its exact binomial interval (Clopper and Pearson)."""
    from scipy.stats import binomtest  # which takes a second to import

    ends = binomtest(some, of).proportion_ci()
    return {"point": some / of, "low": float(ends.low), "high": float(ends.high), "n": of}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the median, the 99th and 99.9th percentile and the maximum, in milliseconds; nothing of nothing."""
    found = np.percentile(1000 * np.array(seconds), [50, 99, 99.9, 100]) if len(seconds) else []
    return dict(zip(("p50", "p99", "p99.9", "max"), map(float, found), strict=False))
