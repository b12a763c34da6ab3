"""Chapter 2's experiment: two hundred skills with little data, from scratch and after pretraining on other topics.

Protocol (decided before any test figure was looked at; raise :data:`PROTOCOL` when its meaning changes):

- *Skills*: two hundred, drawn by :mod:`slubook.ch2_transfer.drawn`, each with its own size of training set (quick: four
  embedded ones; ``--corpus``: each domain of the file). The test set is fixed; seed *s* draws training and dev sets.
- *Source*: all annotated corpora without every topic of the skill (:mod:`slubook.ch2_transfer.source`), without
  near-duplicates of any test utterance, and without the other turns of its dialogue. Pretraining is done once for a
  group of skills, with all their topics out.
- *Settings*: MaxEnt-CRF has those of chapter 1. Of each start by itself, tuned on equal budgets, on dev sets of draws
  that no published seed uses, before the full profile was run (:mod:`slubook.ch2_transfer.tuning`;
  ``results/transfer_tuning.json``). Three late trials each, made while it ran, would have had to be clearly better, and
  changed nothing. All are trained for as many updates as two hundred skills leave room for; twice as many, from
  scratch, are a row of ``ablation``, and a claim of its own. Skills of one domain split its utterances differently, so
  dev utterances of the six tuned skills are test utterances of others; chapter 2 has the figures without their domains.
- *Speed*: for every fortieth skill of the first draw, some updates are also made by a plain loop, one network at a
  time (:mod:`slubook.ch2_transfer.sequential`); ``sequential`` has the seconds of both ways, and their ratio.
- *Judged by*: IRER first; relative reductions with a hierarchical paired bootstrap that draws source corpora first,
  then their domains, and skills of these, some of which share utterances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.skillsets import QUICK_SIZE, quick_skills
from slubook.ch2_transfer.drawn import drawn_skills
from slubook.ch2_transfer.plan import Chosen, Kept, Plan, load_pretrained, make_plan, own_domains
from slubook.ch2_transfer.pretrained import MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.sequential import both_ways, sequential_table, timed
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Recipe, Start, banks, fit_starts
from slubook.experiments.bench import Bench, Cell
from slubook.experiments.records import Results, Row
from slubook.experiments.runner import Identity, load_earlier, run_cells, train_seconds
from slubook.experiments.workers import How, Key, Measured, Task

EXPERIMENT, PROTOCOL = "transfer", 3
SEEDS = 5
BASELINE = "scratch"
METHODS = {
    "maxent_crf": "MaxEnt-CRF",
    "scratch": "From scratch",
    "transfer": "Transfer, new heads",
    "transfer_names": "Transfer, heads from label names",
}

#: What each network takes over from the pretrained one; from scratch, it reads the same characters, no more.
MOVED: dict[str, tuple[str, ...]] = {"scratch": (), "transfer": LOWER_LAYERS, "transfer_names": MOVABLE}
#: What tuning started from.
NETWORK = Recipe().network


@dataclass(frozen=True)
class Settings:
    """The tuned configuration of every method, and of pretraining."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    scratch: Recipe = field(default_factory=lambda: Recipe(replace(NETWORK, dropout=0.3), rate=2.5))
    transfer: Recipe = field(default_factory=lambda: Recipe(replace(NETWORK, dropout=0.3), rate=1.0, fresh=1.6))
    transfer_names: Recipe = field(default_factory=lambda: Recipe(replace(NETWORK, dropout=0.2), rate=1.0))
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)

    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each network."""
        return {method: getattr(self, method) for method in MOVED}

    def lasting(self, updates: Callable[[int], int]) -> Self:
        """The same with other numbers of updates, made from those that were tuned."""
        return replace(self, **{m: r.lasting(updates(r.training.updates)) for m, r in self.recipes().items()})


def plan(
    profile: str,
    corpora: Sequence[Path] = (),
    seeds: int | None = None,
    settings: Settings | None = None,
    jobs: int = 2,
    **more: Any,
) -> Plan:
    """Choose skills and pretrain what they need; see :func:`run` for the arguments and errors.

    ``more`` is passed on to :func:`slubook.ch2_transfer.plan.make_plan`.
    """
    chosen = choose(profile, corpora)
    count = seeds or (1 if chosen.profile == "quick" else SEEDS)
    return make_plan(chosen, count, (settings or Settings()).pretraining, jobs, **more)


def choose(profile: str, corpora: Sequence[Path] = ()) -> Chosen:
    """The two hundred skills, a few embedded ones, or those of the user's files."""
    if corpora:
        return own_domains(profile, corpora)
    if profile == "full":
        return Chosen("full", drawn_skills())
    return Chosen("quick", [(s, QUICK_SIZE) for s in quick_skills()])


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
    how, settings, kind = How(jobs, until, backend), settings or Settings(), "corpus" if corpora else profile
    config = config_of(kind, settings)
    earlier = load_earlier(out, Identity(EXPERIMENT, PROTOCOL, kind, config, {}))
    the_plan = plan(profile, corpora, seeds, settings, jobs)
    twice = timed(the_plan.keys())

    def task(key: Key) -> Task:
        return measure_cell, (the_plan.cell(key), the_plan.network(key[0]), settings, key in twice)

    def tables(rows: Sequence[Row]) -> dict[str, Any]:
        pace = sequential_table(rows, MOVED, jobs)
        return {**pace, "pretraining": the_plan.seen(), "train_seconds": train_seconds(rows)}

    identity = the_plan.identity(EXPERIMENT, PROTOCOL, config)
    return run_cells(identity, the_plan.keys(), task, the_plan.tests(), how, out, earlier, tables)


def config_of(profile: str, settings: Settings) -> dict[str, Any]:
    """What a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": profile, **asdict(settings)}


def measure_cell(cell: Cell, pretrained: Kept, settings: Settings, twice: bool = False) -> Measured:
    """One cell, in a worker: every method on one draw of one skill; ``twice`` for its networks by a plain loop, too."""
    source = load_pretrained(pretrained)
    bench, begun, recipes = Bench(cell), starts(source, settings), settings.recipes()
    bench.learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    figures = both_ways(begun, recipes, cell.train, cell.seed) if twice else {}
    for config, bank in banks(begun, recipes):
        bench.learn_together(lambda config=config, bank=bank: fit_starts(bank, *cell.draw, config), **figures)
    return Measured(bench.rows, {pretrained.name: source.table.stamp})


def starts(source: Pretrained, settings: Settings) -> dict[str, Start]:
    """The three ways to begin that chapter 2 compares."""
    return {method: recipe.start(source, MOVED[method]) for method, recipe in settings.recipes().items()}
