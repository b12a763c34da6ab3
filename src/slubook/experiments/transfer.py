"""Chapter 2's experiment: two hundred skills with little data, from scratch and after pretraining on other topics.

Protocol (decided before any test figure was looked at; raise :data:`PROTOCOL` when its meaning changes):

- *Skills*: two hundred, drawn by :mod:`slubook.corpora.drawn`, each with its own size of training set (quick: four
  embedded ones; ``--corpus``: each domain of the file). The test set is fixed; seed *s* draws training and dev sets.
- *Source*: all annotated corpora without every topic of the skill (:mod:`slubook.learning.source`) and without
  near-duplicates of any test utterance. Pretraining is done once for a group of skills, with all their topics out.
- *Settings*: tuned on dev sets and unused utterances of draws that no published seed uses, never on tests.
- *Judged by*: IRER first; relative reductions with a hierarchical paired bootstrap that draws source corpora first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from slubook.corpora.drawn import drawn_skills
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.skillsets import Skill, fingerprint, skills_of
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance
from slubook.experiments.bench import Bench, Cell
from slubook.experiments.records import Results, Row
from slubook.experiments.runner import Identity, load_earlier, run_cells, test_of
from slubook.experiments.workers import How, Key, Measured, Task
from slubook.learning.checkpoints import kept_pretrained, pretrained_folder, spoken
from slubook.learning.pretraining import PretrainingConfig
from slubook.learning.source import EMBEDDED_SOURCE, PUBLIC_SOURCE, left_out_together, source_domains
from slubook.learning.transfer import LOWER_LAYERS, Start, TransferConfig, fit_starts
from slubook.models.maxent import MaxEntConfig, MaxEntCRF
from slubook.models.pretrained import MOVABLE, Pretrained

EXPERIMENT, PROTOCOL = "transfer", 1
SEEDS, FOLDS = 5, 6
QUICK_SKILLS = ("coffee_shop", "flight_search", "fruit_market", "music_player")
QUICK_SIZE = 100
BASELINE = "scratch"
METHODS = {
    "maxent_crf": "MaxEnt-CRF",
    "scratch": "From scratch",
    "transfer": "Transfer, new heads",
    "transfer_names": "Transfer, heads from label names",
}


@dataclass(frozen=True)
class Settings:
    """The tuned configuration of every method; ``rate`` is what transferred networks learn at, relative to scratch."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    network: TransferConfig = field(default_factory=TransferConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    rate: float = 0.6


@dataclass(frozen=True)
class Plan:
    """What a run consists of.

    Attributes:
        profile: ``quick``, ``full`` or ``corpus``.
        skills: what is learned, and the training sizes of each.
        pretrained: the name of the pretrained network of each skill.
        about: what each pretrained network has seen, by name.
        seeds: draws.
    """

    profile: str
    skills: Sequence[tuple[Skill, int]]
    pretrained: dict[str, str]
    about: dict[str, dict[str, Any]]
    seeds: Sequence[int]

    def keys(self) -> list[Key]:
        """Every cell, one seed for all skills before the next: a stopped run is balanced."""
        return [(s.name, size, seed) for seed in self.seeds for s, size in self.skills]


def plan(
    profile: str,
    corpora: Sequence[Path] = (),
    seeds: int | None = None,
    settings: Settings | None = None,
    jobs: int = 2,
) -> Plan:
    """Choose skills and pretrain what they need; see :func:`run` for the arguments and errors."""
    settings, own = settings or Settings(), []
    if corpora:
        if profile == "full":
            raise CorpusError("--corpus has settings of its own, and no full profile: leave --profile out")
        profile = "corpus"
        own = [u for path in corpora for u in load(path)]
        found = [s for path in corpora for s in skills_of(path.stem, load(path), keep_split=True)]
        if len(found) < 2:
            raise CorpusError(
                f"{corpora[0]}: one domain only: transfer needs others to learn from; add them to the file"
            )
        if small := [s.name for s in found if len(s.test) < 10 or s.sizes()[-1] < 20]:
            raise CorpusError(
                f"{', '.join(map(str, corpora))}: too few distinct utterances in {', '.join(small)}: "
                "a domain needs about 50 at the least"
            )
        skills = [(s, size) for s in found for size in s.sizes()]
    elif profile == "full":
        skills = drawn_skills()
    else:
        embedded = skills_of("skills", load("skills"), keep_split=True)
        skills = [(s, QUICK_SIZE) for s in embedded if s.name.split("/")[1] in QUICK_SKILLS]
    only = list(dict.fromkeys(s for s, _ in skills))
    names, about = _pretrained(profile, only, own, settings.pretraining, jobs)
    count = seeds or (1 if profile == "quick" else SEEDS)
    return Plan(profile, skills, names, about, range(count))


def _pretrained(
    profile: str, skills: Sequence[Skill], own: Sequence[Utterance], config: PretrainingConfig, jobs: int
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The name of each skill's pretrained network, and what each of them has seen; trained where the cache has none."""
    corpora = PUBLIC_SOURCE if profile == "full" else EMBEDDED_SOURCE
    cost = Counter(t for c in corpora for u in load(c) for t in topics_of(u, c)) + Counter(u.domain for u in own)
    folds, left_out = left_out_together(skills, 1 if profile == "quick" else FOLDS, cost)
    if profile != "full":
        config = replace(config, updates=QUICK_UPDATES, batch=32)
    work = []
    for fold, topics in enumerate(left_out):
        tests = [u.text for s in skills if folds[s.name] == fold for u in s.test]
        others = [u for u in own if u.domain not in topics]
        work.append(joblib.delayed(_pretrain)(f"{profile}-{fold}", corpora, topics, tests, others, config))
    about = joblib.Parallel(min(jobs, len(work)), batch_size=1)(work)
    seen = {
        f"{profile}-{fold}": {**a, "left_out": sorted(t)}
        for fold, (a, t) in enumerate(zip(about, left_out, strict=True))
    }
    return {name: f"{profile}-{fold}" for name, fold in folds.items()}, seen


#: Updates of pretraining on the embedded corpora.
QUICK_UPDATES = 1000


def _pretrain(
    name: str, corpora: Sequence[str], topics: set[str], tests: Sequence[str], own: Sequence[Utterance],
    config: PretrainingConfig,
) -> dict[str, Any]:  # fmt: skip
    """What the network has seen; it is trained if need be, and kept in the cache."""
    return kept_pretrained(name, source_domains(corpora, topics, tests, own), config).about


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
        corpora: the user's own files; each domain in them in turn is the new skill, the others are the source.
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
    earlier, settings = load_earlier(out), settings or Settings()
    the_plan = plan(profile, corpora, seeds, settings, jobs)
    skills = {s.name: s for s, _ in the_plan.skills}
    sources = {f"pretrained {name}": about["key"] for name, about in the_plan.about.items()}
    data = {name: fingerprint(skill) for name, skill in skills.items()} | sources
    identity = Identity(EXPERIMENT, PROTOCOL, the_plan.profile, config_of(the_plan.profile, settings), data)

    def task(key: Key) -> Task:
        skill, size, seed = skills[key[0]], *key[1:]
        cell = Cell(skill.name, size, seed, *skill.draw(size, seed), skill.test)
        return measure_cell, (cell, the_plan.pretrained[skill.name], settings)

    def tables(rows: Sequence[Row]) -> dict[str, Any]:
        seconds = {m: round(sum(r.train_s for r in rows if r.method == m), 1) for m in METHODS}
        counted = ("left_out", "domains", "utterances", "updates", "seconds")
        seen = {name: {k: about[k] for k in counted} for name, about in the_plan.about.items()}
        return {"pretraining": seen, "train_seconds": seconds}

    tests = {name: test_of(skill) for name, skill in skills.items()}
    how = How(jobs, until, backend)
    return run_cells(identity, the_plan.keys(), task, tests, how, out, earlier, tables)


def config_of(profile: str, settings: Settings) -> dict[str, Any]:
    """What a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": profile, **asdict(settings)}


def measure_cell(cell: Cell, pretrained: str, settings: Settings) -> Measured:
    """One cell, in a worker: every method on one draw of one skill."""
    source = _load(pretrained)
    bench = Bench(cell)
    bench.slices["new_labels"] = new_labels(cell.test, source)
    bench.learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    starts = {
        "scratch": Start(),
        "transfer": Start(source, LOWER_LAYERS, settings.rate),
        "transfer_names": Start(source, MOVABLE, settings.rate),
    }
    bench.learn_together(lambda: fit_starts(starts, cell.train, cell.dev, cell.seed, settings.network))
    return Measured(bench.rows, {pretrained: source.table.stamp})


def new_labels(utterances: Sequence[Utterance], source: Pretrained) -> np.ndarray:
    """Which utterances have an intent or a slot type whose name no source domain had, [N], bool."""
    intents, types = set(source.about["intents"]), set(source.about["slot_types"])
    return np.array(
        [spoken(u.intent) not in intents or any(spoken(s.type) not in types for s in u.slots) for u in utterances]
    )


@cache
def _load(name: str) -> Pretrained:
    return Pretrained.load(pretrained_folder(name))
