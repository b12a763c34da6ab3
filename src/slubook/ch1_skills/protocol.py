"""Chapter 1's experiment: MaxEnt-CRF against DNN on many skills with little data.

Protocol (decided before any test figure was looked at; raise :data:`PROTOCOL` when its meaning changes):

- *Skills*: services, scenarios and domains of public corpora (quick: embedded ones; ``--corpus``: each domain
  of the file), split by :mod:`slubook.ch1_skills.skillsets`. The test set is fixed; seed *s* draws training and
  dev sets and starts the models.
- *Sizes*: 100, 300 and 500 training utterances where the skill has them, and a dev set beside them.
- *Settings*: tuned on dev sets of draws that no published seed uses (:mod:`slubook.ch1_skills.tuning`).
- *Vectors*: trained on a pool that holds no test utterance nor a near-duplicate of one.
- *Judged by*: IRER first; ICER, SER and SemER beside it; relative reductions with a hierarchical paired bootstrap.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.masked_lm import MaskedLMConfig
from slubook.ch1_skills.methods import METHODS as METHODS  # what the command prints
from slubook.ch1_skills.methods import Settings, run_cell
from slubook.ch1_skills.pool import build_pool, public_pool
from slubook.ch1_skills.skill_vectors import GRAINS, SkillVectors, VectorPaths
from slubook.ch1_skills.skillsets import (
    QUICK_SIZE,
    SIZES,
    Skill,
    fingerprint,
    own_skills,
    public_skills,
    quick_skills,
    test_of,
)
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.errors import CorpusError
from slubook.experiments.bench import Cell
from slubook.experiments.records import Results, Row
from slubook.experiments.runner import Identity, load_earlier, run_cells, train_seconds
from slubook.experiments.workers import How, Key, Measured, Task

EXPERIMENT, PROTOCOL = "skills", 2
SEEDS = 5
#: What the others are compared with.
BASELINE = "maxent_crf"
QUICK_SOURCES = ("assistant-en", "skills")


@dataclass(frozen=True)
class Plan:
    """What a run consists of.

    Attributes:
        skills: what is learned.
        sizes: training sizes of each skill, by name.
        vectors: where the tables lie, for each skill.
        vector_keys: what each table was trained from.
        seeds: draws.
        pool_counts: how many requests the pool read and kept.
        pool_without: how many of them each fold of topics leaves, by its number; the full profile only.
    """

    skills: Sequence[Skill]
    sizes: dict[str, list[int]]
    vectors: dict[str, VectorPaths]
    vector_keys: dict[str, str]
    seeds: Sequence[int]
    pool_counts: dict[str, int]
    pool_without: dict[str, int]

    def keys(self) -> list[Key]:
        """Every cell, one seed and size for all skills before the next: a stopped run is balanced."""
        sizes = sorted({size for skill in self.skills for size in self.sizes[skill.name]}, key=_middle_first)
        order = ((s.name, size, seed) for seed in self.seeds for size in sizes for s in self.skills)
        return [(name, size, seed) for name, size, seed in order if size in self.sizes[name]]


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
        if profile == "full":
            raise CorpusError("--corpus has settings of its own, and no full profile: leave --profile out")
        found = own_skills(corpora)
        profile = "corpus"
    elif profile == "full":
        found = public_skills()
    else:
        found = quick_skills()
    if profile == "full":
        pool, masked = public_pool(found), MaskedLMConfig()
    else:
        own = [u.text for s in found for u in s.pool] if corpora else []
        pool, masked = build_pool(QUICK_SOURCES, [u.text for s in found for u in s.test], own), MaskedLMConfig(epochs=2)
    vectors = SkillVectors(profile, found, pool, FastTextConfig(), masked)
    sizes = {s.name: [QUICK_SIZE] if profile == "quick" else s.sizes() for s in found}
    count = seeds or (1 if profile == "quick" else SEEDS)
    paths = {s.name: vectors.paths(s.name) for s in found}
    left_out = enumerate(vectors.folds[1]) if profile == "full" else ()
    without = {str(fold): pool.without(topics).counts["left"] for fold, topics in left_out}
    return Plan(found, sizes, paths, vectors.keys(), range(count), pool.counts, without)


def config_of(profile: str, settings: Settings) -> dict[str, Any]:
    """What a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": profile, "cluster_grains": GRAINS, **asdict(settings)}


def run(
    profile: str = "quick",
    corpora: Sequence[Path] = (),
    seeds: int | None = None,
    jobs: int = 2,
    out: Path | None = None,
    *,
    until: float = math.inf,
    backend: str = "loky",
    settings: Settings | None = None,
) -> Results:
    """Run the protocol; finished cells are kept, and a run that was stopped goes on where it was.

    Args:
        profile: ``quick`` or ``full``.
        corpora: the user's own files.
        seeds: how many draws.
        jobs: processes, one thread each.
        out: where to write the results file; ``None`` writes none.
        until: stop before a cell that would start after this time (``time.time()``).
        backend: joblib's: ``loky`` or ``dask``.
        settings: configurations other than the tuned ones.

    Returns:
        The results, of all cells finished so far.

    Raises:
        CorpusError: when a corpus is missing, faulty or too small.
        RecordsError: when ``out`` is damaged, or holds results of other settings or data.
        CellsFailed: when cells could not be measured; the others are finished and written before.
    """
    how, settings, kind = How(jobs, until, backend), settings or Settings(), "corpus" if corpora else profile
    config = config_of(kind, settings)
    earlier = load_earlier(out, Identity(EXPERIMENT, PROTOCOL, kind, config, {}))
    the_plan = plan(profile, corpora, seeds)
    skills = {s.name: s for s in the_plan.skills}
    data = {name: fingerprint(skill) for name, skill in skills.items()} | the_plan.vector_keys
    identity = Identity(EXPERIMENT, PROTOCOL, kind, config, data)

    def task(key: Key) -> Task:
        skill, size, seed = skills[key[0]], *key[1:]
        cell = Cell(skill.name, size, seed, *skill.draw(size, seed), skill.test)
        return measure_cell, (cell, the_plan.vectors[skill.name], settings)

    def tables(rows: Sequence[Row]) -> dict[str, Any]:
        pools = {"pool": the_plan.pool_counts, "pool_without": the_plan.pool_without}
        return {**pools, "train_seconds": train_seconds(rows)}

    tests = {name: test_of(skill) for name, skill in skills.items()}
    return run_cells(identity, the_plan.keys(), task, tests, how, out, earlier, tables)


def measure_cell(cell: Cell, paths: VectorPaths, settings: Settings) -> Measured:
    """One cell, in a worker: every method on one draw of one skill."""
    tables = {name: path and _table(path) for name, path in paths.tables.items()}
    rows = run_cell(cell, tables, _clusters(paths.clusters), settings)
    return Measured(rows, {name: table.stamp for name, table in tables.items() if table})


_table = cache(VectorTable.load)


@cache
def _clusters(path: Path) -> dict[str, list[int]]:
    return json.loads(path.read_text(encoding="utf-8"))
