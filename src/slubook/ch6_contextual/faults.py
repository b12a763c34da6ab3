"""Breaks what a context service stands on, and counts the turns that lose more by it than their context.

All runs but the killed ones are in simulated time, so they take no longer than their work and give the same figures on
any machine. Each fault sets in halfway and stays. Taught in chapter 6.
"""

from __future__ import annotations

import asyncio
import base64
import os
import selectors
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slubook.ch6_contextual.events import EVIDENCE, Event, Interaction
from slubook.ch6_contextual.items import KEYS, Sealer, read_keys, rotate
from slubook.ch6_contextual.lag import LagStore
from slubook.ch6_contextual.load import BEGAN, Audited, Call, HashingEncoder, Traffic, calls_of, drive
from slubook.ch6_contextual.service import ContextService
from slubook.ch6_contextual.store import SQLiteStore

ENCODER_S = 0.25  # of a healthy encoder, for one vector


class _NoWaiting(selectors.DefaultSelector):
    """Lets simulated time pass instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list:
        if timeout is None:
            raise RuntimeError("everything waits for something that never happens")
        self.time += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing is left to do, however fast the machine is."""

    def __init__(self) -> None:
        self.selector = _NoWaiting()
        super().__init__(self.selector)

    def time(self) -> float:
        """Returns the simulated time in seconds."""
        return self.selector.time

    def run_in_executor(self, executor: Any, call: Callable, *arguments: Any) -> asyncio.Future:
        """Runs a blocking call at once, so that no thread is needed."""
        done = self.create_future()
        try:
            done.set_result(call(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


def simulate(main: Coroutine, loop_of: Callable[[], asyncio.AbstractEventLoop] = SimulatedLoop) -> Any:
    """Runs a coroutine in a loop, and a thread, of its own: a notebook's thread has a loop already."""

    def run() -> Any:
        loop = loop_of()
        try:
            return loop.run_until_complete(main)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


@dataclass
class Scene:
    """What a fault can break."""

    path: Path
    store: LagStore
    encoder: HashingEncoder
    service: ContextService
    lock: sqlite3.Connection | None = None


def _lock(scene: Scene) -> None:
    scene.lock = sqlite3.connect(scene.path, isolation_level=None, timeout=0)
    scene.lock.execute("BEGIN IMMEDIATE")


def _unreachable(scene: Scene) -> None:
    from slubook.ch6_contextual.dynamo import DynamoStore, connect

    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "eu-west-1"}
    scene.service.tables.store = DynamoStore(connect(endpoint_url="http://127.0.0.1:9", **keys))  # nobody listens


def _disordered(calls: list[Call], draw: np.random.Generator) -> list[Call]:
    twice = [*calls, *(call for call in calls if call.event)]
    return sorted((replace(call, due=call.due + draw.exponential()) for call in twice), key=lambda call: call.due)


def _skewed(calls: list[Call], draw: np.random.Generator) -> list[Call]:
    def wrong(event: Event, skew: float) -> Event:
        return replace(event, started=event.started + skew, spoken_by=event.spoken_by + skew)

    skews = {name: float(draw.choice([-3600, -2, 2, 3600])) for name in sorted({call.interaction for call in calls})}
    pairs = [(call, skews[call.interaction]) for call in calls]
    return [replace(call, skew=skew, event=call.event and wrong(call.event, skew)) for call, skew in pairs]


#: What breaks halfway, and what becomes of calls from then on.
FAULTS: Mapping[str, Callable[[Scene], object]] = {
    "none": lambda scene: None,
    "slow encoder": lambda scene: setattr(scene.encoder, "seconds", 3.0),
    "dead encoder": lambda scene: setattr(scene.encoder, "error", RuntimeError("no model")),
    "encoder without end": lambda scene: setattr(scene.encoder, "seconds", float("inf")),
    "locked store": _lock,
    "unreachable store": _unreachable,
    "store that leaves half of the calls unanswered": lambda scene: setattr(scene.store, "time_outs", 0.5),
    "wrong key": lambda scene: setattr(scene.service.tables, "sealer", Sealer(rotate({}, "k1"))),
    "events twice and out of order": lambda scene: None,
    "wrong clocks of devices": lambda scene: None,
}
_CALLS = {"events twice and out of order": _disordered, "wrong clocks of devices": _skewed}


def measure_fault(fault: str, traffic: Traffic) -> dict[str, Any]:
    """Plays traffic, of which a fault breaks the second half.

    ``before`` and ``during`` count [turns served, turns], of those before the fault and of interactions begun after.
    """
    with tempfile.TemporaryDirectory() as folder:
        return simulate(_measure(fault, traffic, Path(folder) / "context.db"))


async def _measure(fault: str, traffic: Traffic, path: Path) -> dict[str, Any]:
    file, encoder, half = SQLiteStore(path, synchronous="OFF", busy_s=0), HashingEncoder(ENCODER_S), traffic.seconds / 2
    store = LagStore(file, traffic.seed)
    service = ContextService(Audited(store, Sealer(rotate({}, "k1"))), encoder)
    scene, calls = Scene(path, store, encoder, service), calls_of(traffic)
    broken = _CALLS.get(fault, lambda calls, draw: calls)
    asyncio.get_running_loop().call_later(half, FAULTS[fault], scene)
    later = broken([call for call in calls if call.due >= half], np.random.default_rng(traffic.seed))
    found = await drive(service, [*(call for call in calls if call.due < half), *later])
    await file.close()
    if scene.lock:
        scene.lock.close()
    begun = {call.interaction: call.due for call in reversed(calls)}
    parts = {"before": [served for call, served, _ in found["turns"] if call.due < half]}
    parts["during"] = [served for call, served, _ in found["turns"] if begun[call.interaction] >= half]
    counted = {name: found[name] for name in ("failed", "slow", "stale", "outcomes")}
    return {name: [sum(served), len(served)] for name, served in parts.items()} | counted


KILLED = Traffic(rate=100, seconds=60, follow_ups=(1, 1))  # what the service that is killed is told


class Announced(Audited):
    """Tables that print what they acknowledge."""

    async def add(self, event: Event, now: float) -> Interaction | None:
        """Writes an event, then a line."""
        entry = await super().add(event, now)
        print(event.interaction, event.text, sep="\t", flush=True)
        return entry


async def _write_until_killed(path: Path) -> None:
    await drive(ContextService(Announced(SQLiteStore(path), Sealer(read_keys())), HashingEncoder()), calls_of(KILLED))


def measure_kills(times: int) -> dict[str, int]:
    """Kills a service amid its writes, at a moment that is drawn, opens its file again and asks for every vector."""
    draw, found = np.random.default_rng(0), Counter(kills=0)
    keys = {KEYS: f"k1 {base64.b64encode(os.urandom(32)).decode()}"}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "slubook.ch6_contextual.faults", path := Path(folder) / "context.db"]
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **keys}, text=True)
            lines = [writer.stdout.readline() for _ in range(int(draw.integers(20, 400)))]
            writer.kill()
            lines += writer.stdout.readlines()
            found["kills"] += writer.wait() == -signal.SIGKILL
            whole = [line.rstrip().split("\t") for line in lines if line.endswith("\n")]
            found.update(simulate(_reopened(path, Sealer(read_keys(keys)), whole)))
    return dict(found)


async def _reopened(path: Path, sealer: Sealer, told: list[list[str]]) -> dict[str, int]:
    tables, encoder = Audited(SQLiteStore(path), sealer), HashingEncoder()
    service, found = ContextService(tables, encoder, lambda: BEGAN), Counter(acknowledged=len(told))
    for interaction, text in told:
        tables.acknowledged[interaction].add(text)
    for interaction in tables.acknowledged:
        vector, entry = await service.context(interaction, BEGAN), await tables.entry(interaction, BEGAN)
        found.update(turns=1, served=vector is not None, failed=0)
        if vector is not None:
            right = await encoder(await tables.payloads(entry, entry.of(*EVIDENCE), BEGAN))
            found["failed"] += not np.array_equal(vector, right.ravel())
    found["lost"] = await tables.lost(BEGAN)
    await tables.store.close()
    return found


if __name__ == "__main__":
    asyncio.run(_write_until_killed(Path(sys.argv[1])))
