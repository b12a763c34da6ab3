"""Runs every experiment: its cells are measured on many processes or machines, kept, resumed and published.

A *cell* is one (skill, size, seed), with all methods. Each is kept in the cache as soon as it is measured, so a run
that was killed loses at most the cells in flight. The results file is written at the end of every call. A run resumes
from either.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slubook.corpora.errors import CorpusError
from slubook.experiments.cells import CellsFailed, CellStore, Key, Task, measure
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results, Row, Test
from slubook.experiments.stamps import add_origins, config_hash, stamp
from slubook.experiments.table import EXPERIMENTS
from slubook.files import one_at_a_time
from slubook.profiles import cache_dir

#: Makes tables of the results from all rows and, for what is measured once, from the tables of earlier results.
Tables = Callable[[Sequence[Row], Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Identity:
    """What cells depend on beside their key: cells and files of another identity are not this run's."""

    experiment: str
    protocol: int
    profile: str  # "quick", "full" or "corpus"
    config: Mapping[str, Any]  # profile and settings, as JSON can hold them
    data: Mapping[str, str]  # as of Work; empty while that is not known

    @property
    def fingerprint(self) -> str:
        """Computes a hash of protocol, settings and data."""
        return config_hash({"config": self.config, "data": self.data, "protocol": self.protocol})

    def store(self) -> CellStore:
        """Returns where the cells are kept."""
        return CellStore(cache_dir() / "cells" / f"{self.experiment}-{self.profile}", self.fingerprint)

    def differences(self, results: Results) -> list[str]:
        """Names what of the results is of another identity; nothing where a run adds to them."""
        was = results.stamp
        same = {
            "experiment": results.experiment == self.experiment,
            f"protocol ({was.get('protocol')}, now {self.protocol})": was.get("protocol") == self.protocol,
            "settings": was.get("config_sha256") == config_hash(self.config),
            "data": not self.data or was.get("data") == dict(self.data),
        }
        return [name for name, agrees in same.items() if not agrees]


def load_earlier(out: Path | None, identity: Identity) -> Results | None:
    """Returns the results in a file that a run resumes from; ``None`` where there is none or an older protocol's.

    Raises:
        RecordsError: when the file is damaged or was changed by hand, or holds results of another identity that are
            not of an older protocol: nothing that was measured is replaced silently.
    """
    earlier = Results.load(out) if out is not None and out.is_file() else None
    others = identity.differences(earlier) if earlier else []
    if others and (earlier.rows or earlier.tables):
        was = earlier.stamp.get("protocol", 0)
        if earlier.experiment != identity.experiment or was >= identity.protocol:
            raise RecordsError(
                f"{out}: holds results of other {', '.join(others)}, which this run would replace: "
                "move the file away, or name another folder with --out"
            )
        _say_once(f"{out}: of protocol {was}, will be replaced by {identity.protocol}")
    return None if others else earlier


@cache
def _say_once(text: str) -> None:
    tqdm.write(text, sys.stderr)


@dataclass(frozen=True)
class Work:
    """What an experiment has to measure; what cannot be cut into cells has a :meth:`measure` of its own."""

    keys: Sequence[Key]  # the cells, in order
    task: Callable[[Key], Task]  # what to run for one of them
    tests: Mapping[str, Test]  # the test set of each skill
    data: Mapping[str, str]  # SHA-256 of each split and of what vectors and networks were trained from, by name
    tables: Tables = lambda rows, known: {}  # the experiment's own tables of the results

    def measure(self, identity: Identity, options: Options, began: float) -> Results:
        """Measures the cells that are not kept yet, and writes and returns the results of all finished so far.

        Its stamp and tables cover all calls that wrote it. ``wall_s`` are their seconds, ``cell_s`` those of all cells
        ever measured, ``train_seconds`` those of each method's training. ``sittings`` has a row for each call that
        measured some cells. ``cells`` says how many are done and planned. ``origins`` says on which distinct machines
        and word vectors: vectors trained again elsewhere differ in the last digits, so they count as another draw.

        Args:
            identity: what is measured.
            options: processes, time, backend, results file.
            began: when the call began (``time.time()``), so that what was prepared before the cells counts as well.

        Raises:
            RecordsError: when the file holds results of another identity, now or when all is measured.
            CellsFailed: when cells could not be measured; all others are finished and written before.
        """
        out, store, known = options.out, identity.store(), load_earlier(options.out, identity)
        carried = self._carried(known)
        missing = [key for key in self.keys if key not in carried]
        before = {key for key in missing if store.has(key)}
        errors = measure(missing, self.task, store, options, identity.experiment)
        with one_at_a_time(out) if out else nullcontext():
            known = load_earlier(out, identity) or known  # another run may have written it meanwhile
            results = self._collected(identity, options.jobs, began, known, before)
            if out is not None:
                results.save(out)
        if errors:
            raise CellsFailed(errors)
        return results

    def _collected(
        self, identity: Identity, jobs: int, began: float, known: Results | None, before: Set[Key]
    ) -> Results:
        """Returns the results of all cells in ``known`` or in the store, which had ``before`` when the call began."""
        store, rows, tables, was = identity.store(), self._carried(known), {}, {}
        if known:
            tables, was = known.tables, known.stamp
        contents = {key: content for key in self.keys if key not in rows and (content := store.get(key))}
        rows |= {key: [Row.from_json(row, self.tests) for row in found["rows"]] for key, found in contents.items()}
        done = [key for key in dict.fromkeys([*self.keys, *rows]) if key in rows]
        every = [row for key in done for row in rows[key]]
        origins = add_origins(tables.get("origins", ()), contents.values())
        planned = max(tables.get("cells", {}).get("planned", 0), len({*self.keys, *done}))
        calls, wall_s = list(tables.get("sittings", [])), time.time() - began
        if now := len(contents.keys() - before):
            calls.append({"cells": now, "wall_s": round(wall_s, 1), "jobs": jobs})
        peaks = [*([was["peak_memory_mb"]] if was else []), *(found["memory_mb"] for found in contents.values())]
        stamped = stamp(
            identity.protocol,
            identity.config,
            identity.data,
            sorted({seed for _, _, seed in done}),
            wall_s + was.get("wall_s", 0.0),
            max((call["jobs"] for call in calls), default=jobs),
            max(peaks, default=None),
            sum(origin["cell_s"] for origin in origins),
        )
        methods = dict.fromkeys(row.method for row in every)
        made = {
            **self.tables(every, tables),
            "train_seconds": {m: round(sum(row.train_s for row in every if row.method == m), 1) for m in methods},
            "cells": {"done": len(done), "planned": planned},
            "origins": origins,
            "sittings": calls,
        }
        measured = {name: test for name, test in self.tests.items() if any(name == skill for skill, _, _ in done)}
        return Results(identity.experiment, stamped, measured, every, made)

    def _carried(self, known: Results | None) -> dict[Key, list[Row]]:
        """Returns the cells of a results file, with the slices that their tests have today."""
        cells: dict[Key, list[Row]] = {}
        for row in known.rows if known else ():
            row = replace(row, slices={**row.slices, **self.tests[row.skill].slices})
            cells.setdefault((row.skill, row.size, row.seed), []).append(row)
        return cells


def prepare(experiment: str, options: Options, settings: Any = None) -> tuple[Identity, Work]:
    """Plans an experiment; returns what its cells depend on, and what there is to measure. See :func:`run`."""
    about = EXPERIMENTS[experiment]
    if options.corpora and about.not_corpus:
        raise CorpusError(f"experiment {experiment!r} {about.not_corpus}")
    module = about.load()
    settings = module.settings_of("quick" if options.brief else options.kind) if settings is None else settings
    config = module.config_of(options.kind, settings)
    identity = Identity(experiment, about.protocol, options.kind, config, {})
    load_earlier(options.out, identity)  # refuses other results before anything is planned or trained
    work = module.prepare(options, settings)
    return replace(identity, data=work.data), work


def run(experiment: str, options: Options, settings: Any = None) -> Results:
    """Runs an experiment by its protocol, and returns the results of all cells finished so far.

    Its module has ``settings_of(kind)``, all that is in force; ``config_of(kind, settings)``, the configuration in the
    stamp and the fingerprint of cells; and ``prepare(options, settings)``, which gives its :class:`Work`.

    Args:
        experiment: its name in the table.
        options: profile, corpora, seeds, processes and so on.
        settings: other than the tuned ones.

    Raises:
        CorpusError: when a corpus is missing, faulty or too small, or an option has no meaning here.
        RecordsError: when ``out`` is damaged, or holds results of other settings or data.
        CellsFailed: when cells could not be measured; the others are finished and written before.
    """
    began = time.time()
    identity, work = prepare(experiment, options, settings)
    return work.measure(identity, options, began)
