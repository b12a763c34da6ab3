"""Chapter 1's experiment: MaxEnt-CRF against DNN on many skills with little data.

Protocol (the second. It was decided before any of its own test figures was looked at, but those of the first, on the
same test sets, were known. Raise its number in the table when its meaning changes):

- *Skills*: services, scenarios and domains of public corpora (quick: embedded ones; ``--corpus``: each domain
  of the file), split by :mod:`slubook.ch1_skills.skillsets`. The test set is fixed; seed *s* draws training and
  dev sets and starts the models.
- *Sizes*: 100, 300 and 500 training utterances where the skill has them, and a dev set beside them.
- *Settings*: tuned on dev sets of draws that no published seed uses (:mod:`slubook.ch1_skills.tuning`).
- *Vectors*: trained on a pool that holds no test utterance nor a near-duplicate of one.
- *Methods* see the same training and dev utterances, and are judged on the same test utterances.
- *Judged by*: IRER first; ICER, SER and SemER beside it; relative reductions with a hierarchical paired bootstrap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch1_skills.dnn import DNNConfig, fit_together
from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.masked_lm import MaskedLMConfig
from slubook.ch1_skills.maxent import Clusters, MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.offtheshelf import FastTextIntent, FastTextIntentConfig, SpacyConfig, SpacyPipeline
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
from slubook.corpora.utterance import Prediction
from slubook.evaluation.metrics import outcomes
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work

QUICK_SOURCES = ("assistant-en", "skills")


@dataclass(frozen=True)
class SkillsSettings:
    """The tuned configuration of every method, and of the masked language model, which was not tuned."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=DNNConfig)
    spacy: SpacyConfig = field(default_factory=SpacyConfig)
    fasttext: FastTextIntentConfig = field(default_factory=FastTextIntentConfig)
    masked_lm: MaskedLMConfig = field(default_factory=MaskedLMConfig)


@dataclass(frozen=True)
class SkillsPlan:
    """What a run consists of.

    Attributes:
        skills: what is learned.
        vectors: the folders of each skill's tables.
        vector_keys: what each table was trained from.
        keys: the cells.
        pool_counts: how many requests the pool read and kept.
        pool_without: how many of them each fold of topics leaves, by its number; the full profile only.
    """

    skills: Sequence[Skill]
    vectors: dict[str, VectorPaths]
    vector_keys: dict[str, str]
    keys: Sequence[Key]
    pool_counts: dict[str, int]
    pool_without: dict[str, int]


def every_cell(sizes: Mapping[str, Sequence[int]], seeds: Sequence[int]) -> list[Key]:
    """Returns every cell, one seed and size for all skills before the next: a stopped run is balanced."""
    middle_first = sorted({size for own in sizes.values() for size in own}, key=lambda size: abs(size - SIZES[1]))
    return [(name, n, seed) for seed in seeds for n in middle_first for name, own in sizes.items() if n in own]


def vectors_for(options: Options, masked: MaskedLMConfig | None = None) -> SkillVectors:
    """Returns the skills of a run and their vectors, which are trained when they are asked for.

    Args:
        options: of the run.
        masked: settings of the masked language model other than the profile's.

    Raises:
        CorpusError: when a corpus is missing, faulty or too small.
    """
    kind, masked = options.kind, masked or settings_of(options.kind).masked_lm
    if kind == "full":
        found = public_skills()
        pool = public_pool(found)
    else:
        found = own_skills(options.corpora) if kind == "corpus" else quick_skills()
        own = [u.text for s in found for u in s.pool] if kind == "corpus" else []
        pool = build_pool(QUICK_SOURCES, [u.text for s in found for u in s.test], own)
    return SkillVectors(kind, found, pool, FastTextConfig(), masked)


def plan(options: Options, masked: MaskedLMConfig | None = None) -> SkillsPlan:
    """Chooses skills and trains what vectors they need; raises CorpusError as :func:`vectors_for` does."""
    kind, vectors = options.kind, vectors_for(options, masked)
    found, pool = vectors.skills, vectors.pool
    sizes = {s.name: [QUICK_SIZE] if kind == "quick" else s.sizes() for s in found}
    cells = options.choose(every_cell(sizes, range(options.draws)), lambda key: vectors.needs(key[0]))
    found = [s for s in found if s.name in {name for name, *_ in cells}]
    keys = vectors.keys(s.name for s in found)
    paths = {s.name: vectors.paths(s.name) for s in found}
    left_out = enumerate(vectors.folds[1]) if kind == "full" else ()
    without = {str(fold): pool.without(topics).counts["left"] for fold, topics in left_out}
    return SkillsPlan(found, paths, keys, cells, pool.counts, without)


def settings_of(kind: str) -> SkillsSettings:
    """Returns the tuned settings; the quick profile trains the masked language model half as long."""
    return SkillsSettings(masked_lm=MaskedLMConfig(epochs=2)) if kind == "quick" else SkillsSettings()


def config_of(kind: str, settings: SkillsSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    config = {"profile": kind, "cluster_grains": GRAINS, **asdict(settings)}
    if kind == "full":  # the published stamp has it in the key of the vectors
        del config["masked_lm"]
    return config


def prepare(options: Options, settings: SkillsSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    the_plan = plan(options, settings.masked_lm)
    skills = {s.name: s for s in the_plan.skills}

    def task(key: Key) -> Task:
        skill, size, seed = skills[key[0]], *key[1:]
        cell = Cell(skill.name, size, seed, *skill.draw(size, seed), skill.test)
        return measure_cell, (cell, the_plan.vectors[skill.name], settings)

    tests = {name: test_of(skill) for name, skill in skills.items()}
    data = {name: fingerprint(skill) for name, skill in skills.items()} | the_plan.vector_keys
    pools = {"pool": the_plan.pool_counts, "pool_without": the_plan.pool_without}
    return Work(the_plan.keys, task, tests, data, lambda rows, known: pools)


def measure_cell(cell: Cell, paths: VectorPaths, settings: SkillsSettings) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one skill."""
    tables = {name: path and _table(path) for name, path in paths.tables.items()}
    rows = run_cell(cell, tables, _clusters(paths.clusters), settings)
    return Measured(rows, {name: table.stamp for name, table in tables.items() if table})


def run_cell(
    cell: Cell, tables: Mapping[str, VectorTable | None], clusters: Clusters | None, settings: SkillsSettings
) -> list[Row]:
    """Trains and judges every method on one cell.

    Args:
        cell: the draw.
        tables: for each DNN, its generic vectors; ``None`` for none.
        clusters: of the pool's vectors, for the linear control.
        settings: tuned configurations.

    Returns:
        One row a method. Networks are trained side by side, so each is given an equal share of the seconds.
    """
    bench = Bench(cell)
    linear = bench.learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    if clusters:
        bench.learn("maxent_crf_clusters", lambda: MaxEntCRF(settings.maxent, clusters))
    networks = bench.learn_together(lambda: fit_together(tables, cell.train, cell.dev, cell.seed, settings.dnn))
    if "dnn_pool" in networks:
        mixed = [Prediction(a.intent, b.slots, a.confidence) for a, b in zip(linear, networks["dnn_pool"], strict=True)]
        first, second = (next(r for r in bench.rows if r.method == m) for m in ("maxent_crf", "dnn_pool"))
        costs = (first.train_s + second.train_s, first.predict_ms + second.predict_ms, first.bytes + second.bytes)
        bench.keep("hybrid", outcomes(cell.test, mixed), costs)
    bench.learn("spacy", lambda: SpacyPipeline(settings.spacy))
    bench.learn("fasttext", lambda: FastTextIntent(settings.fasttext))
    return bench.rows


_table = cache(VectorTable.load)


@cache
def _clusters(path: Path) -> dict[str, list[int]]:
    return json.loads(path.read_text(encoding="utf-8"))
