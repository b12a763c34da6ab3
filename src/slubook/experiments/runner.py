"""One runner for all experiments: cells measured on many processes or machines, kept, resumed and published.

A *cell* is one (skill, size, seed), with all methods. Each is kept in the cache as soon as it is measured, so a run
that was killed loses at most the cells in flight; the results file is written at the end of every sitting, and a
run goes on from either. What an experiment measures in a cell is its own affair.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slubook.experiments.cells import CellStore
from slubook.experiments.records import RecordsError, Results, Row, Test
from slubook.experiments.stamps import add_origins, config_hash, stamp
from slubook.experiments.workers import CellsFailed, How, Key, Task, measure
from slubook.files import one_at_a_time
from slubook.profiles import cache_dir


@dataclass(frozen=True)
class Identity:
    """What cells depend on beside their key: cells and files of another identity are not this run's.

    Attributes:
        experiment: its name.
        protocol: its protocol number.
        profile: ``quick``, ``full`` or ``corpus``.
        config: profile and settings, as JSON can hold them.
        data: SHA-256 of each split and of what vectors were trained from, by name; empty while that is not known.
    """

    experiment: str
    protocol: int
    profile: str
    config: Mapping[str, Any]
    data: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """A hash of protocol, settings and data."""
        return config_hash({"config": self.config, "data": self.data, "protocol": self.protocol})

    def store(self) -> CellStore:
        """Where the cells are kept."""
        return CellStore(cache_dir() / "cells" / f"{self.experiment}-{self.profile}", self.fingerprint)

    def differences(self, results: Results) -> list[str]:
        """In what the results are not of this identity, in words."""
        was = results.stamp
        same = {
            "experiment": results.experiment == self.experiment,
            f"protocol ({was.get('protocol')}, now {self.protocol})": was.get("protocol") == self.protocol,
            "settings": was.get("config_sha256") == config_hash(self.config),
            "data": not self.data or was.get("data") == dict(self.data),
        }
        return [name for name, agrees in same.items() if not agrees]

    def made(self, results: Results) -> bool:
        """Whether the results are of this identity."""
        return not self.differences(results)

    def outdated(self, earlier: Results) -> bool:
        """Whether results are those of an older protocol of this experiment."""
        return earlier.experiment == self.experiment and earlier.stamp.get("protocol", 0) < self.protocol

    def check(self, earlier: Results | None, out: Path | None) -> None:
        """Nothing that was measured is replaced silently.

        Raises:
            RecordsError: when there are earlier results of another identity, and not of an older protocol.
        """
        if earlier and earlier.rows and not self.made(earlier) and not self.outdated(earlier):
            raise RecordsError(
                f"{out}: holds results of other {', '.join(self.differences(earlier))}, which this run would replace: "
                "move the file away, or name another folder with --out"
            )

    def goes_on(self, earlier: Results | None, out: Path | None) -> bool:
        """Whether there are earlier results that this run adds to; raises as :meth:`check`."""
        self.check(earlier, out)
        if earlier and earlier.rows and self.outdated(earlier):
            was = earlier.stamp.get("protocol")
            tqdm.write(f"{out}: of protocol {was}, will be replaced by {self.protocol}", sys.stderr)
        return earlier is not None and self.made(earlier)


def load_earlier(out: Path | None, identity: Identity | None = None) -> Results | None:
    """The results file that a run would go on from, to be read before anything is planned or trained.

    Args:
        out: the file; ``None`` or a missing one gives none.
        identity: of the run, its data not known yet, where other results are to be refused at once.

    Raises:
        RecordsError: when it is damaged or was changed by hand, and as :meth:`Identity.check`.
    """
    earlier = Results.load(out) if out is not None and out.is_file() else None
    if identity:
        identity.check(earlier, out)
    return earlier


def train_seconds(rows: Sequence[Row]) -> dict[str, float]:
    """The seconds of training of each method, over all rows."""
    return {m: round(sum(r.train_s for r in rows if r.method == m), 1) for m in dict.fromkeys(r.method for r in rows)}


def run_cells(
    identity: Identity,
    keys: Sequence[Key],
    task: Callable[[Key], Task],
    tests: Mapping[str, Test],
    how: How,
    out: Path | None = None,
    earlier: Results | None = None,
    tables: Callable[[Sequence[Row]], Mapping[str, Any]] = lambda rows: {},
) -> Results:
    """Measure the cells that neither the cache nor the earlier results have, and write the results file.

    Its stamp gives the seconds of all sittings that wrote it (``wall_s``), of all cells ever measured for it
    (``cell_s``) and the peak memory. Its tables ``cells`` and ``origins`` say how many cells are done and planned, and
    on which distinct machines and word vectors they were measured: vectors trained from the same text and settings on
    another machine differ in the last digits, so they count as another draw, and are told apart there. ``sittings``
    has the cells and seconds of each call that measured some and lived to write them.

    Args:
        identity: what is measured.
        keys: the cells to measure, in order.
        task: what to run for one of them.
        tests: the test set of each skill.
        how: processes, time, backend.
        out: the results file; ``None`` writes none.
        earlier: what :func:`load_earlier` read from it; read now by default.
        tables: further tables of the results, made from all rows.

    Returns:
        The results, of all cells finished so far.

    Raises:
        RecordsError: when ``out`` holds results of another identity, now or when all is measured.
        CellsFailed: when cells could not be measured; all others are finished and written before.
    """
    store, earlier = identity.store(), earlier or load_earlier(out)
    known = earlier if identity.goes_on(earlier, out) else None
    missing = [key for key in keys if key not in _carried(known, keys, store, tests)]
    before = {key for key in missing if store.has(key)}
    errors = measure(missing, task, store, how, identity.experiment)
    with one_at_a_time(out) if out else nullcontext():
        now = load_earlier(out, identity)  # another run may have written it meanwhile
        known = now if now and identity.made(now) else known
        results = _collected(identity, keys, store, tests, how, known, before, tables)
        if out is not None:
            results.save(out)
    if errors:
        raise CellsFailed(errors)
    return results


def _collected(
    identity: Identity,
    keys: Sequence[Key],
    store: CellStore,
    tests: Mapping[str, Test],
    how: How,
    known: Results | None,
    before: Set[Key],
    tables: Callable[[Sequence[Row]], Mapping[str, Any]],
) -> Results:
    """The results of all cells that are in a file or in the store; ``before`` were in the store before this sitting."""
    rows = _carried(known, keys, store, tests)
    origins = _origins(known, len(rows))
    contents = {key: content for key in keys if key not in rows and (content := store.get(key))}
    rows |= {key: [Row.from_json(row, tests) for row in content["rows"]] for key, content in contents.items()}
    done = [key for key in dict.fromkeys([*keys, *rows]) if key in rows]
    every = [row for key in done for row in rows[key]]
    origins = add_origins(origins, contents.values())
    planned = known.tables.get("cells", {}).get("planned", 0) if known else 0
    counts = {"done": len(done), "planned": max(planned, len({*keys, *done}))}
    sittings = list(known.tables.get("sittings", [])) if known else []
    if now := len(contents.keys() - before):
        sittings.append({"cells": now, "wall_s": round(time.time() - how.began, 1), "jobs": how.jobs})
    memory = [known.stamp["peak_memory_mb"]] if known else []
    stamped = stamp(
        identity.protocol,
        identity.config,
        identity.data,
        sorted({seed for _, _, seed in done}),
        time.time() - how.began + (known.stamp["wall_s"] if known else 0.0),
        max((sitting["jobs"] for sitting in sittings), default=how.jobs),
        max([*memory, *(content["memory_mb"] for content in contents.values())], default=None),
        sum(origin["cell_s"] for origin in origins),
    )
    measured = {name: test for name, test in tests.items() if any(name == skill for skill, _, _ in done)}
    results = Results(identity.experiment, stamped, measured, every, dict(tables(every)))
    results.tables |= {"cells": counts, "origins": origins, "sittings": sittings}
    return results


def _carried(
    known: Results | None, keys: Sequence[Key], store: CellStore, tests: Mapping[str, Test]
) -> dict[Key, list[Row]]:
    """The cells of a results file. One that does not tell where they are from gives way to the store."""
    cells: dict[Key, list[Row]] = {}
    for row in known.rows if known else ():
        row = replace(row, slices={**row.slices, **tests[row.skill].slices})
        cells.setdefault((row.skill, row.size, row.seed), []).append(row)
    if known and "origins" not in known.tables:
        return {key: rows for key, rows in cells.items() if key not in keys or not store.has(key)}
    return cells


def _origins(known: Results | None, cells: int) -> list[dict[str, Any]]:
    """Where the cells of a results file were measured; by its stamp, if it has no better account."""
    if known is None or not cells:
        return []
    one = {"hardware": known.stamp["hardware"], "vectors": {}, "cells": cells, "cell_s": 0.0}
    return known.tables.get("origins", [one])
