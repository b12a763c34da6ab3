"""Chapter 2's experiment: two hundred skills with little data, from scratch and after pretraining on other topics.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Skills*: two hundred, drawn by :mod:`slubook.ch2_transfer.drawn`, each with its own size of training set (quick: four
  embedded ones; ``--corpus``: each domain of the file). The test set is fixed; seed *s* draws training and dev sets.
- *Source*: all annotated corpora without every topic of the skill (:mod:`slubook.ch2_transfer.source`), without
  near-duplicates of any test utterance, and without the other turns of its dialogue. Pretraining is done once for a
  group of skills, with all their topics out.
- *Settings*: MaxEnt-CRF has those of chapter 1. Each start has its own, tuned on equal budgets, on dev sets of draws
  that no published seed uses, before the full profile was run (:mod:`slubook.ch2_transfer.tuning`;
  ``results/transfer_tuning.json``). Three late trials each, made while it ran, would have had to be clearly better, and
  changed nothing. All are trained for as many updates as two hundred skills leave room for; twice as many, from
  scratch, are a row of ``ablation``, and a claim of its own. Skills of one domain split its utterances differently, so
  dev utterances of the six tuned skills are test utterances of others; chapter 2 has the figures without their domains.
- *Speed*: for every fortieth skill of the first draw, some updates are also made by a plain loop: one network after the
  other in one process, with utterances of any length in a batch, so that short ones are padded to long ones. Layers,
  losses and optimiser are the same code. ``sequential`` has the seconds of both ways, and their ratio.
- *Judged by*: IRER first; relative reductions with a hierarchical paired bootstrap that draws source corpora first,
  then their domains, and skills of these, some of which share utterances.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.skillsets import QUICK_SIZE, quick_skills
from slubook.ch2_transfer.drawn import drawn_skills
from slubook.ch2_transfer.plan import Chosen, Kept, TransferPlan, load_pretrained, make_plan, own_domains
from slubook.ch2_transfer.pretrained import MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Recipe, Start, banks, fit_starts
from slubook.corpora.utterance import Utterance
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work

#: What each network takes over from the pretrained one; from scratch, it reads the same characters, no more.
MOVED: dict[str, tuple[str, ...]] = {"scratch": (), "transfer": LOWER_LAYERS, "transfer_names": MOVABLE}
#: What tuning started from.
NETWORK = Recipe().network
#: Every so many-th cell of the first draw is also trained by the plain loop.
TIMED = 40
QUICK_PRETRAINING = PretrainingConfig(updates=1000, batch=32)  # of the quick profile
#: Updates made both ways, after a few that warm the process up: the first network of a process is slow.
UPDATES, WARM_UP = 60, 10
TOGETHER, ALONE = "side_by_side_s", "one_at_a_time_s"


@dataclass(frozen=True)
class TransferSettings:
    """The tuned configuration of every method, and of pretraining."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    scratch: Recipe = field(default_factory=lambda: Recipe(replace(NETWORK, dropout=0.3), rate=2.5))
    transfer: Recipe = field(default_factory=lambda: Recipe(replace(NETWORK, dropout=0.3), rate=1.0, fresh=1.6))
    transfer_names: Recipe = field(default_factory=lambda: Recipe(replace(NETWORK, dropout=0.2), rate=1.0))
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)

    def recipes(self) -> dict[str, Recipe]:
        """Returns the recipe of each network."""
        return {method: getattr(self, method) for method in MOVED}

    def lasting(self, updates: Callable[[int], int]) -> Self:
        """Returns the same settings with other numbers of updates, made from those that were tuned."""
        return replace(self, **{m: r.lasting(updates(r.training.updates)) for m, r in self.recipes().items()})


def settings_of(kind: str) -> TransferSettings:
    """Returns the tuned settings; the quick profile pretrains briefly."""
    return TransferSettings(pretraining=QUICK_PRETRAINING) if kind == "quick" else TransferSettings()


def config_of(kind: str, settings: TransferSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": kind, **asdict(settings)}


def choose(profile: str, corpora: Sequence[Path] = ()) -> Chosen:
    """Returns the two hundred skills, a few embedded ones, or those of the user's files."""
    if corpora:
        return own_domains(corpora)
    if profile == "full":
        return Chosen("full", drawn_skills())
    return Chosen("quick", [(s, QUICK_SIZE) for s in quick_skills()])


def plan(options: Options, settings: TransferSettings | None = None, **more: Any) -> TransferPlan:
    """Chooses skills and pretrains what they need; of the user's files, each domain in turn is the new skill.

    Args:
        options: of the run.
        settings: other than the tuned ones.
        more: for :func:`slubook.ch2_transfer.plan.make_plan`.

    Raises:
        CorpusError: when a corpus is missing, faulty or too small.
    """
    chosen, config = choose(options.profile, options.corpora), (settings or settings_of(options.kind)).pretraining
    return make_plan(chosen, options.draws, config, options.jobs, choose=options.choose, **more)


def prepare(options: Options, settings: TransferSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    the_plan = plan(options, settings)
    twice = timed(the_plan.keys())

    def task(key: Key) -> Task:
        return measure_cell, (the_plan.cell(key), the_plan.network(key[0]), settings, key in twice)

    return the_plan.work(task, lambda rows, known: sequential_table(rows, options.jobs))


def measure_cell(cell: Cell, pretrained: Kept, settings: TransferSettings, twice: bool = False) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one skill; ``twice`` by a plain loop as well."""
    bench = Bench(cell)
    bench.learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    return measure_networks(bench, pretrained, settings, twice)


def measure_networks(bench: Bench, pretrained: Kept, settings: TransferSettings, twice: bool = False) -> Measured:
    """Measures the three networks on the cell of a bench; ``twice`` by a plain loop as well."""
    source, cell, recipes = load_pretrained(pretrained), bench.cell, settings.recipes()
    begun = starts(source, settings)
    learn_banks(bench, begun, recipes, **both_ways(begun, recipes, cell.train, cell.seed) if twice else {})
    return Measured(bench.rows, {pretrained.name: source.table.stamp})


def learn_banks(bench: Bench, begun: Mapping[str, Start], recipes: Mapping[str, Recipe], **figures: float) -> None:
    """Trains and judges networks on the cell of a bench, side by side where their recipes and characters allow it."""
    for config, bank in banks(begun, recipes):
        bench.learn_together(lambda config=config, bank=bank: fit_starts(bank, *bench.cell.draw, config), **figures)


def starts(source: Pretrained, settings: TransferSettings) -> dict[str, Start]:
    """Returns the three ways to begin that chapter 2 compares."""
    return {method: recipe.start(source, MOVED[method]) for method, recipe in settings.recipes().items()}


def timed(keys: Sequence[Key]) -> set[Key]:
    """Returns the cells that are trained both ways."""
    return set([key for key in keys if key[2] == keys[0][2]][::TIMED])


def both_ways(
    begun: Mapping[str, Start], recipes: Mapping[str, Recipe], train_set: Sequence[Utterance], seed: int
) -> dict[str, float]:
    """Returns the processor's seconds for :data:`UPDATES` of the same networks side by side, and one at a time.

    Dev error is not measured.
    """
    brief = {method: recipe.lasting(UPDATES) for method, recipe in recipes.items()}
    first, draw = next(iter(begun)), (train_set, (), seed)
    fit_starts({first: begun[first]}, *draw, recipes[first].lasting(WARM_UP))
    together = [_seconds(lambda b=bank, c=config: fit_starts(b, *draw, c)) for config, bank in banks(begun, brief)]
    alone = [_seconds(lambda m=m: fit_starts({m: begun[m]}, *draw, brief[m], pool=1)) for m in begun]
    return {TOGETHER: sum(together), ALONE: sum(alone)}


def _seconds(train: Callable[[], object]) -> float:
    began = time.process_time()
    train()
    return time.process_time() - began


def sequential_table(rows: Sequence[Row], jobs: int) -> dict[str, Any]:
    """Returns both ways' seconds, and their ratio carried over to all networks; nothing before a cell was timed.

    ``networks_s`` are the seconds of all networks of the run, dev errors included, and ``plain_loop_s`` what a loop
    would take for them by the ratio. ``speed_up`` is the ratio times the processes. All is measured while other
    processes work, which slows both ways alike, but would not slow a loop that had the machine to itself.
    """
    cells = {(r.skill, r.size, r.seed): r.figures for r in rows if ALONE in r.figures}
    if not cells:
        return {}
    together, alone = (sum(figures[way] for figures in cells.values()) for way in (TOGETHER, ALONE))
    trained = sum(r.train_s for r in rows if r.method in MOVED)
    ratio = alone / together
    found = {TOGETHER: together, ALONE: alone, "ratio": ratio, "networks_s": trained, "plain_loop_s": trained * ratio}
    return {"sequential": {"cells": len(cells), "jobs": jobs, "speed_up": ratio * jobs, **found}}
