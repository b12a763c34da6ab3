"""Chapter 2's experiment: two hundred skills with little data, from scratch and after pretraining on other topics.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

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

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.skillsets import QUICK_SIZE, quick_skills
from slubook.ch2_transfer.drawn import drawn_skills
from slubook.ch2_transfer.plan import Chosen, Kept, TransferPlan, load_pretrained, make_plan, own_domains
from slubook.ch2_transfer.pretrained import MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.sequential import both_ways, sequential_table, timed
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Recipe, Start, banks, fit_starts
from slubook.experiments.bench import Bench, Cell
from slubook.experiments.options import Options
from slubook.experiments.runner import Work
from slubook.experiments.workers import Key, Measured, Task

#: What each network takes over from the pretrained one; from scratch, it reads the same characters, no more.
MOVED: dict[str, tuple[str, ...]] = {"scratch": (), "transfer": LOWER_LAYERS, "transfer_names": MOVABLE}
#: What tuning started from.
NETWORK = Recipe().network


@dataclass(frozen=True)
class TransferSettings:
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


def settings_of(kind: str) -> TransferSettings:
    """Returns the tuned settings, which all profiles have."""
    return TransferSettings()


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
    chosen, config = choose(options.profile, options.corpora), (settings or TransferSettings()).pretraining
    return make_plan(chosen, options.draws, config, options.jobs, **more)


def prepare(options: Options, settings: TransferSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    the_plan = plan(options, settings)
    twice = timed(the_plan.keys())

    def task(key: Key) -> Task:
        return measure_cell, (the_plan.cell(key), the_plan.network(key[0]), settings, key in twice)

    return the_plan.work(task, lambda rows, known: sequential_table(rows, MOVED, options.jobs))


def measure_cell(cell: Cell, pretrained: Kept, settings: TransferSettings, twice: bool = False) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one skill; ``twice`` by a plain loop as well."""
    source = load_pretrained(pretrained)
    bench, begun, recipes = Bench(cell), starts(source, settings), settings.recipes()
    bench.learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    figures = both_ways(begun, recipes, cell.train, cell.seed) if twice else {}
    for config, bank in banks(begun, recipes):
        bench.learn_together(lambda config=config, bank=bank: fit_starts(bank, *cell.draw, config), **figures)
    return Measured(bench.rows, {pretrained.name: source.table.stamp})


def starts(source: Pretrained, settings: TransferSettings) -> dict[str, Start]:
    """The three ways to begin that chapter 2 compares."""
    return {method: recipe.start(source, MOVED[method]) for method, recipe in settings.recipes().items()}
