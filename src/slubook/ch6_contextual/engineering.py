"""Runs chapter 6's second experiment: what the context service holds under load, under faults, and in one table.

Protocol (raise its number in the table when its meaning changes):

- *Load*: interactions arrive open-loop (:mod:`slubook.ch6_contextual.load`), in the process that draws them, at a file
  of its own in the cache. The encoder is a service elsewhere that takes a quarter of a second. ``FULL`` promises that
  what was acknowledged survives the death of the machine, ``NORMAL`` that of the process. What has expired is swept
  every ten seconds. Then the file is opened again, and searched for every acknowledged event. Both layouts get the
  same traffic, two tables also half and twice as much.
- *Faults*: each sets in halfway (:mod:`slubook.ch6_contextual.faults`).
- *Layouts*: the same traffic in two tables and in one, one call at a time: encryption, and DynamoDB's request units.
- *Reads*: the entry that the write itself returns, or one read 10 ms later from a replica that lags by 20 ms (mean).

The quick profile simulates time throughout: its figures are the same on any machine.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from slubook.ch6_contextual.events import Event, Interaction
from slubook.ch6_contextual.faults import ENCODER_S, FAULTS, SimulatedLoop, measure_fault, measure_kills, simulate
from slubook.ch6_contextual.items import Sealer, rotate
from slubook.ch6_contextual.lag import LagStore
from slubook.ch6_contextual.load import (
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
from slubook.ch6_contextual.store import SQLiteStore, Store
from slubook.corpora.errors import CorpusError
from slubook.experiments.cells import CellsFailed, Measured, measure
from slubook.experiments.options import Options
from slubook.experiments.records import Results
from slubook.experiments.runner import Identity, Work, load_earlier
from slubook.experiments.stamps import add_origins, stamp
from slubook.profiles import cache_dir

SWEEP_S = 10.0
REPLICA_S, READ_S = 0.02, 0.01  # until a replica has seen a write, on average; until it is read


@dataclass(frozen=True)
class Measures:
    """How much is measured: loads (layout, durability, interactions a second), and the traffic of the other parts."""

    loads: tuple[tuple[str, str, float], ...]
    seconds: float  # of a load
    other: Traffic
    kills: int
    simulated: bool = False


_LOADS = [(layout, durability, 500) for layout in ("two", "one") for durability in ("FULL", "NORMAL")]
_LOADS += [("two", "FULL", 250), ("two", "FULL", 1000)]
SCALES = {
    "quick": Measures((("two", "NORMAL", 50),), 10, Traffic(10, 12, (0.5, 0.5)), kills=1, simulated=True),
    "full": Measures(tuple(_LOADS), 60, Traffic(10, 120, (0.05, 0.2)), kills=20),
}


class AuditedReplica(Audited):
    """Tables that read the entry soon after a write, from a replica that may not have seen the write yet."""

    async def _write(self, event: Event, expires: int) -> Interaction:
        written = await super()._write(event, expires)
        await asyncio.sleep(READ_S)
        return await self.store.entry(event.interaction, consistent=False) or replace(written, events=frozenset())


TABLES = {"two": Audited, "one": AuditedInOne, "consistent": Audited, "replica": AuditedReplica}


def played(
    name: str,
    traffic: Traffic,
    durability: str = "OFF",
    before: Any = None,
    simulated: bool = True,
    encoder_s: float = ENCODER_S,
) -> dict[str, Any]:
    """Plays traffic to a service and returns what was counted.

    Two tables are opened again then, and searched for what was acknowledged.

    Args:
        name: of the tables.
        traffic: of which calls are drawn.
        durability: of the file.
        before: makes of the store one that stands before it.
        simulated: whether time is.
        encoder_s: what the encoder takes for a vector.
    """
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
        path, cpu, busy = Path(folder) / "context.db", time.process_time(), 0.0 if simulated else os.getloadavg()[0]
        store = before(SQLiteStore(path, durability)) if before else SQLiteStore(path, durability)
        tables = TABLES[name](store, Sealer(rotate({}, "k1")))
        service = ContextService(tables, HashingEncoder(encoder_s))
        found = simulate(_swept(service, traffic), SimulatedLoop if simulated else asyncio.new_event_loop)
        found["cpu_s"], work = time.process_time() - cpu, asdict(tables.sealer.work)
        if name != "one":
            tables.store = SQLiteStore(path)
            found["lost"] = simulate(tables.lost(service.clock()))
            simulate(tables.store.close())
    per_million = 1e6 / max(1, found["follow_ups"])
    found |= {f"{name}_per_million": math.ceil(per_million * found[name]) for name in ("late", "slow")}
    found |= {"rate": traffic.rate, "load_average": busy}
    found |= {"latency_ms": percentiles(tables.latencies), "stale_share": share(tables.stale, tables.answers)}
    found |= {**work, "crypto_bytes": work["sealed_bytes"] + work["opened_bytes"], "traffic": asdict(traffic)}
    return found | ({"dynamo": store.of_each(found["interactions"])} if isinstance(store, Metered) else {})


async def _swept(service: ContextService, traffic: Traffic) -> dict[str, Any]:
    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await service.sweep()

    calls, sweeping = calls_of(traffic), asyncio.create_task(sweep())
    gc.collect()
    gc.freeze()  # or collections of garbage go through all calls, and hold the service up for them
    found = await drive(service, calls)
    gc.unfreeze()
    sweeping.cancel()
    await service.tables.store.close()
    return {name: counted for name, counted in found.items() if name != "turns"}


def measure_cell(part: str, settings: Measures) -> Measured:
    """Measures one part of the experiment."""
    kind, name = part.split(" ", 1)
    if kind == "load":
        layout, durability, rate = name.split()
        traffic = Traffic(float(rate), settings.seconds)
        found = played(layout, traffic, durability, simulated=settings.simulated)
    elif kind == "fault":
        found = measure_fault(name, replace(settings.other, follow_ups=(1, 1)))
    elif kind == "killed":
        found = measure_kills(settings.kills)
    else:
        found = played(name, settings.other, before=Metered if kind == "layout" else _lagging)
    return Measured([], {}, {"found": found})


def _lagging(store: Store) -> LagStore:
    lagging = LagStore(store, seed=0)
    lagging.replica_s = REPLICA_S
    return lagging


def settings_of(kind: str) -> Measures:
    """Returns how much a profile measures."""
    return SCALES[kind]


def config_of(kind: str, settings: Measures) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": kind, **asdict(settings)}


def prepare(options: Options, settings: Measures) -> Engineering:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts.

    Raises:
        CorpusError: when asked for a limit of time or a cluster.
    """
    asked = {"--minutes": options.until < math.inf, "--backend dask": options.backend != "loky"}
    if refused := [option for option, given in asked.items() if given]:
        raise CorpusError(f"experiment 'engineering' runs as a whole: not {', '.join(refused)}")
    parts = [f"load {layout} {durability} {rate}" for layout, durability, rate in settings.loads]
    parts += [*(f"fault {fault}" for fault in FAULTS), "killed -9", "layout two", "layout one"]
    parts += ["reads consistent", "reads replica"]
    return Engineering([(part, 0, 0) for part in parts], lambda key: (measure_cell, (key[0], settings)), {}, {})


@dataclass(frozen=True)
class Engineering(Work):
    """Parts that are measured one after the other, so that none slows another down; no rows, but tables."""

    def measure(self, identity: Identity, options: Options, began: float) -> Results:
        """Measures the parts that are not kept yet.

        Raises:
            RecordsError: when the results file holds results of another identity.
            CellsFailed: when parts could not be measured; the others are kept.
        """
        load_earlier(options.out, identity)
        cells = identity.store()
        if errors := measure(self.keys, self.task, cells, replace(options, jobs=1), identity.experiment):
            raise CellsFailed(errors)
        contents = {key[0]: cells.get(key) for key in self.keys}
        tables: dict[str, Any] = {}
        for part, content in contents.items():
            kind, name = part.split(" ", 1)
            tables.setdefault(kind, {})[name.replace(" ", "_" if kind == "load" else " ")] = content["found"]
        failed = sum(found["failed"] + found["slow"] for found in tables["fault"].values())
        killed = tables["killed"]["-9"]
        tables["faults"] = {"tried": len(FAULTS), "failed": failed + killed["failed"], "lost": killed["lost"]}
        two, one = (tables["layout"][name]["crypto_bytes"] for name in ("two", "one"))
        tables |= {"encryption_one_over_two": one / two, "failed_recognitions": tables["faults"]["failed"]}
        tables["in_time"] = next(iter(tables["load"].values()))["in_time"]  # of the load that is claimed
        tables["stale_from_a_replica"] = tables["reads"]["replica"]["stale_share"]
        tables["cells"] = {"done": len(self.keys), "planned": len(self.keys)}
        tables["origins"] = add_origins((), contents.values())
        memory, spent = max(c["memory_mb"] for c in contents.values()), sum(o["cell_s"] for o in tables["origins"])
        measured = ([0], time.time() - began, 1, memory, spent)
        stamped = stamp(identity.protocol, identity.config, identity.data, *measured)
        results = Results(identity.experiment, stamped, tables=tables)
        if options.out:
            results.save(options.out)
        return results


def load_lines(results: Results) -> list[dict[str, str]]:
    """Makes a row a load: what was in time, lost and stale, and the waits in milliseconds from when calls were due."""
    lines = []
    for name, found in results.tables["load"].items():
        layout, durability, rate = name.split("_")
        line = {"layout": f"{layout} table" + "s" * (layout == "two"), "synchronous": durability, "a second": rate}
        line |= {"in time": f"{found['in_time']['point']:.2%}", "lost": str(found.get("lost", "–"))}
        line |= {"stale": str(found["stale"])}
        for what in ("write", "vector", "answer"):
            waits = found["waits_ms"][what]
            line[f"{what}: median, 99 %, 99.9 %"] = ", ".join(
                f"{waits[p]:,.0f}" for p in ("p50", "p99", "p99.9") if waits
            )
        lines.append(line)
    return lines


def fault_lines(results: Results) -> list[dict[str, str]]:
    """Makes a row a fault: turns with context before it and while it lasted, and recognitions that failed by it."""
    lines = [
        {
            "fault": fault,
            "with context before": "{} of {}".format(*found["before"]),
            "with context during": "{} of {}".format(*found["during"]),
            "failed recognitions": str(found["failed"] + found["slow"]),
        }
        for fault, found in results.tables["fault"].items()
    ]
    killed = results.tables["killed"]["-9"]
    kill = {"fault": f"process killed, {killed['kills']} times", "with context before": "–"}
    kill |= {"with context during": f"{killed['served']} of {killed['turns']}"}
    return [*lines, {**kill, "failed recognitions": str(killed["failed"])}]
