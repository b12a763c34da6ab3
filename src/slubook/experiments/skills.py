"""Chapter 1's experiment: MaxEnt-CRF against DNN on many skills with little data.

Protocol (decided before any test figure was looked at; raise :data:`PROTOCOL` when its meaning changes):

- *Skills*: services, scenarios and domains of public corpora (quick: embedded ones; ``--corpus``: each domain
  of the file), split by :mod:`slubook.corpora.skillsets`. The test set is fixed; seed *s* draws training and
  dev sets and starts the models.
- *Sizes*: 100, 300 and 500 training utterances where the skill has them, and a dev set beside them.
- *Settings*: tuned on dev sets of draws that no published seed uses (:mod:`slubook.experiments.tuning`).
- *Vectors*: trained on a pool that holds no test utterance nor a near-duplicate of one.
- *Judged by*: IRER first; ICER, SER and SemER beside it; relative reductions with a hierarchical paired bootstrap.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.skillsets import SIZES, Skill, public_skills, skills_of
from slubook.experiments.cells import CellStore
from slubook.experiments.methods import METHODS, Cell, Settings, run_cell
from slubook.experiments.records import Results, Row, Test
from slubook.experiments.stamps import config_hash, hardware, peak_memory_mb, stamp
from slubook.experiments.vectors import GRAINS, SkillVectors, VectorPaths
from slubook.learning.fasttext import FastTextConfig
from slubook.learning.masked_lm import MaskedLMConfig
from slubook.learning.pool import build_pool, public_pool
from slubook.models.vectors import VectorTable
from slubook.profiles import cache_dir, seed_everything

EXPERIMENT, PROTOCOL = "skills", 2
SEEDS = 5
#: The quick profile: skills of different topics, one size, one seed.
QUICK_SKILLS = (
    "coffee_shop", "flight_search", "fruit_market", "music_player",
)  # fmt: skip
QUICK_SIZE = 100
QUICK_SOURCES = ("assistant-en", "skills")


@dataclass(frozen=True)
class Plan:
    """What a run consists of.

    Attributes:
        profile: ``quick``, ``full`` or ``corpus``.
        skills: what is learned.
        sizes: training sizes of each skill, by name.
        vectors: where the tables lie, for each skill.
        vector_keys: what each table was trained from.
        seeds: draws.
        pool_counts: how many requests the pool read and kept.
    """

    profile: str
    skills: Sequence[Skill]
    sizes: dict[str, list[int]]
    vectors: dict[str, VectorPaths]
    vector_keys: dict[str, str]
    seeds: Sequence[int]
    pool_counts: dict[str, int]

    def cells(self) -> list[tuple[Skill, int, int]]:
        """Every (skill, size, seed), one seed and size for all skills before the next: a stopped run is balanced."""
        sizes = sorted({size for skill in self.skills for size in self.sizes[skill.name]}, key=_middle_first)
        order = ((s, size, seed) for seed in self.seeds for size in sizes for s in self.skills)
        return [(s, size, seed) for s, size, seed in order if size in self.sizes[s.name]]


def _middle_first(size: int) -> int:
    return abs(size - SIZES[1])


def plan(profile: str, corpora: Sequence[Path] = (), seeds: int | None = None) -> Plan:
    """Choose skills and train what vectors they need.

    Args:
        profile: ``quick`` or ``full``.
        corpora: the user's own files; each domain in them is a skill.
        seeds: how many draws; 5 by default, 1 in the quick profile.

    Raises:
        CorpusError: when a corpus is missing, faulty or too small.
    """
    if corpora:
        found = [s for path in corpora for s in skills_of(path.stem, load(path), keep_split=True)]
        if small := [s.name for s in found if len(s.test) < 10 or s.sizes()[-1] < 20]:
            raise CorpusError(
                f"{', '.join(map(str, corpora))}: too few distinct utterances in {', '.join(small)}: "
                "a domain needs about 50 at the least"
            )
        profile = "corpus"
    elif profile == "full":
        found = public_skills()
    else:
        embedded = skills_of("skills", load("skills"), keep_split=True)
        found = [s for s in embedded if s.name.split("/")[1] in QUICK_SKILLS]
    if profile == "full":
        pool, masked = public_pool(found), MaskedLMConfig()
    else:
        own = [u.text for s in found for u in s.pool] if corpora else []
        pool, masked = build_pool(QUICK_SOURCES, [u.text for s in found for u in s.test], own), MaskedLMConfig(epochs=2)
    vectors = SkillVectors(profile, found, pool, FastTextConfig(), masked)
    sizes = {s.name: [QUICK_SIZE] if profile == "quick" else s.sizes() for s in found}
    count = seeds or (1 if profile == "quick" else SEEDS)
    paths = {s.name: vectors.paths(s.name) for s in found}
    return Plan(profile, found, sizes, paths, vectors.keys(), range(count), pool.counts)


def run(
    profile: str = "quick",
    corpora: Sequence[Path] = (),
    seeds: int | None = None,
    jobs: int = 2,
    out: Path | None = None,
    settings: Settings | None = None,
    until: float = float("inf"),
    backend: str = "loky",
) -> Results:
    """Run the protocol; finished cells are kept, and a run that was stopped goes on where it was.

    Args:
        profile: ``quick`` or ``full``.
        corpora: the user's own files.
        seeds: how many draws.
        jobs: processes, one thread each.
        out: where to write the results file; ``None`` writes none.
        settings: configurations other than the tuned ones.
        until: stop before a cell that would start after this time (``time.time()``).
        backend: joblib's: ``loky`` or ``dask``.

    Returns:
        The results, of all cells finished so far.
    """
    start, settings = time.time(), settings or Settings()
    the_plan = plan(profile, corpora, seeds)
    config = {"profile": the_plan.profile, "cluster_grains": GRAINS, **asdict(settings)}
    data = {s.name: fingerprint(s) for s in the_plan.skills} | the_plan.vector_keys
    store = CellStore(
        cache_dir() / "cells" / f"{EXPERIMENT}-{the_plan.profile}",
        config_hash({"config": config, "data": data, "protocol": PROTOCOL}),
    )
    cells = _published(out, config, data)
    todo = [c for c in the_plan.cells() if _key(*c) not in cells and not store.has(_key(*c))]
    _measure(todo, the_plan, settings, store, jobs, until, backend)
    cells |= {key: content["rows"] for c in the_plan.cells() if (content := store.get(key := _key(*c)))}
    memory = max((store.get(_key(*c)) or {"memory_mb": 0.0})["memory_mb"] for c in the_plan.cells())
    seeds_done = sorted({seed for _, _, seed in cells})
    results = _results(
        the_plan, cells, stamp(PROTOCOL, config, data, seeds_done, time.time() - start, jobs, memory or None)
    )
    if out:
        results.save(out)
    return results


def _measure(
    todo: Sequence[tuple[Skill, int, int]], the_plan: Plan, settings: Settings, store: CellStore, jobs: int,
    until: float, backend: str,
) -> None:  # fmt: skip
    def tasks() -> Iterable[Callable]:
        for skill, size, seed in todo:
            train, dev = skill.draw(size, seed)
            yield joblib.delayed(_one)(
                Cell(skill.name, size, seed, train, dev, skill.test),
                the_plan.vectors[skill.name],
                settings,
                store,
                until,
            )

    bar = tqdm(total=len(todo), desc=EXPERIMENT, unit="cell")
    with joblib.parallel_config(backend=backend, n_jobs=jobs), bar:
        for _ in joblib.Parallel(return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)(tasks()):
            bar.update()


def _one(cell: Cell, paths: VectorPaths, settings: Settings, store: CellStore, until: float) -> None:
    if time.time() > until:
        return
    start = time.perf_counter()
    seed_everything(cell.seed, threads=1)
    tables = {name: path and _table(path) for name, path in paths.tables.items()}
    rows = run_cell(cell, tables, _clusters(paths.clusters), settings)
    content = {
        "rows": [r.to_json() for r in rows],
        "wall_s": time.perf_counter() - start,
        "memory_mb": peak_memory_mb(),
        "hardware": hardware(),
        "vectors": {name: table.stamp for name, table in tables.items() if table},
    }
    store.put((cell.skill, cell.size, cell.seed), content)


_table = cache(VectorTable.load)


@cache
def _clusters(path: Path) -> dict[str, list[int]]:
    return json.loads(path.read_text(encoding="utf-8"))


def _key(skill: Skill, size: int, seed: int) -> tuple[str, int, int]:
    return skill.name, size, seed


def fingerprint(skill: Skill) -> str:
    """SHA-256 of a skill's split: ids, texts and labels of its test set and its pool."""
    digest = hashlib.sha256()
    for part in (skill.test, skill.pool):
        for u in part:
            digest.update(repr((u.id, u.text, u.intent, u.slots)).encode())
        digest.update(b"|")
    return digest.hexdigest()


def _published(out: Path | None, config: dict, data: dict) -> dict[tuple, list[dict]]:
    """The cells of an earlier results file that was run with the same protocol, settings and data."""
    if out is None or not out.is_file():
        return {}
    earlier = Results.load(out)
    now = {"protocol": PROTOCOL, "config_sha256": config_hash(config), "data": data}
    if any(earlier.stamp[name] != value for name, value in now.items()):
        return {}
    cells: dict[tuple, list[dict]] = defaultdict(list)
    for row in earlier.rows:
        cells[row.skill, row.size, row.seed].append(row.to_json())
    return cells


def _results(the_plan: Plan, cells: dict[tuple, list[dict]], stamped: dict[str, Any]) -> Results:
    tests = {s.name: test_of(s) for s in the_plan.skills if any(key[0] == s.name for key in cells)}
    rows = [Row.from_json(row, tests) for content in cells.values() for row in content]
    seconds = {m: round(sum(r.train_s for r in rows if r.method == m), 1) for m in METHODS}
    tables = {
        "pool": the_plan.pool_counts,
        "cells": {"done": len(cells), "planned": len(the_plan.cells())},
        "train_seconds": seconds,
    }
    return Results(EXPERIMENT, stamped, tests, rows, tables)


def test_of(skill: Skill) -> Test:
    """The test set of a skill, as a results file names it."""
    gold = np.array([len(u.slots) for u in skill.test])
    return Test(skill.corpus, "+".join(skill.topics), tuple(u.id for u in skill.test), gold)
