"""Measures how many labelled examples it is worth to have read requests that nobody labelled.

Protocol (decided before any test figure of this experiment was looked at; chapters 1 and 2 had been measured; raise
its number in the table when its meaning changes):

- *Data*: SNIPS with the test split of ``benchmark``; what papers train on, and their dev split, is the pool that
  training and dev sets of 80 are drawn from, nested: seed *s* at 1,000 has the 500 utterances of seed *s*. One
  assistant with seven intents; the paper's figure is of Amazon's own (quick: the embedded corpus of ``benchmark``).
- *From scratch*: chapter 2's network without annotated source or embedding, at every size of :data:`SIZES`.
- *With an embedding*: the same network, which also begins at random, over ELMoL or, as control, over FastText, at the
  sizes of :data:`LABELLED`. Both have read ``benchmark``'s pool of requests: no text of the test split and none that
  nearly repeats one, but most of SNIPS's training texts, without their labels.
- *Settings*: every network is trained in each of several ways (:class:`TrainingWay`), the same for all methods and
  sizes, and the dev set chooses: as ``transfer``'s network from scratch at each of three rates, which was tuned on a
  few hundred examples, and as that of ``benchmark``, wider and for more epochs, which was tuned on thousands. Never
  fewer than :data:`UPDATES` updates (quick: the first network, two rates). ELMoL is frozen first and unfrozen slowly.
- *Judged by*: the size at which the network from scratch makes as few mistakes (IRER, mean of the seeds) as the other
  one does with so many labelled examples, between two sizes by a straight line over the logarithm of size, divided by
  that number: ``data_ratio`` for ELMoL at 1,000, ``data_ratio_few`` at 500, ``data_ratio_pool`` for FastText at 1,000.
  Where scratch with all of its data is still behind, the largest size counts, and the figure is a lower bound:
  ``capped`` has the share of bootstrap replicates in which it was. Where scratch is as good at its smallest size, that
  counts, and the figure is an upper bound.
- *Repeats*: the more of SNIPS is labelled, the more test utterances have a near-repeat there, which only scratch can
  profit from; so ``data_ratio_apart`` counts test utterances without a near-repeat in the whole pool, ELMoL at 1,000.
- *Interval*: the bootstrap draws seeds and test utterances, the same for all sizes and methods.

Taught in chapter 3, *What a language model is worth*.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch1_skills.dnn import DNN
from slubook.ch1_skills.skillsets import test_of
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.transfer import Recipe, Start, fit_starts
from slubook.ch3_elmol import benchmark
from slubook.ch3_elmol.bilm_training import BiLMTraining
from slubook.ch3_elmol.contextual_training import ContextStart, fit_contextual
from slubook.ch3_elmol.protocol import HOW
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora.dedupe import near_duplicates
from slubook.evaluation.intervals import Interval
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import dev_error

METHODS, BASELINE = EXPERIMENTS["worth"].methods, EXPERIMENTS["worth"].baseline
#: Training utterances from scratch, by profile.
SIZES = {"full": (250, 500, 1000, 2000, 4000, 8000, 12_000), "quick": (60, 120, 240, 480)}
#: Training utterances with an embedding: the fewer, and those that the claim is read at.
LABELLED = {"full": (500, 1000), "quick": (60, 120)}
#: Updates at the least, by profile.
UPDATES = {"full": 1000, "quick": 200}
#: Each table's method, which of :data:`LABELLED` it is read at, and the slice of the test set that is counted.
RATIOS = {
    "data_ratio": ("elmol", 1, None),
    "data_ratio_few": ("elmol", 0, None),
    "data_ratio_apart": ("elmol", 1, "apart"),
    "data_ratio_pool": ("fasttext_pool", 1, None),
}


class TrainingWay(NamedTuple):
    """A network and its training, multiples of the learning rate that are tried, and epochs at the least."""

    recipe: Recipe
    rates: tuple[float, ...]
    epochs: int

    def lasting(self, least: int, size: int) -> Recipe:
        """Returns the recipe for a training set of ``size``: with its number of updates, or more."""
        training = self.recipe.training
        return self.recipe.lasting(max(least, training.updates, self.epochs * size // training.batch))


def usual_ways() -> tuple[TrainingWay, ...]:
    """Returns chapter 2's network, and the benchmark's with three layers."""
    scratch, wide = transfer.TransferSettings().scratch, benchmark.BenchmarkSettings().contextual
    recipe = Recipe(wide.network, replace(wide.training, updates=0, evaluations=10))
    return TrainingWay(scratch, (0.4, 1.0, 2.5), 8), TrainingWay(recipe, (1.0,), 16)


@dataclass(frozen=True)
class WorthSettings:
    """How networks are trained, the language model, and when that may learn."""

    ways: tuple[TrainingWay, ...] = field(default_factory=usual_ways)
    bilm: BiLMTraining = field(default_factory=lambda: benchmark.BenchmarkSettings().bilm)
    unfreezing: UnfreezingConfig = field(default_factory=UnfreezingConfig)


def settings_of(kind: str) -> WorthSettings:
    """Returns the settings above; the quick profile has the first way at two rates, and a small language model."""
    settings, [first, *_] = WorthSettings(), usual_ways()
    if kind == "quick":
        settings = WorthSettings((first._replace(rates=(1.0, 2.5)),), benchmark.settings_of(kind).bilm)
    return settings


def config_of(kind: str, settings: WorthSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    sizes = {"sizes": SIZES[kind], "labelled": LABELLED[kind], "least": UPDATES[kind]}
    return {"profile": kind, **asdict(settings), **sizes}


def prepare(options: Options, settings: WorthSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    few, least = LABELLED[options.profile], UPDATES[options.profile]
    plan = benchmark.plan(options.profile, settings.bilm, options.device)
    whole = plan.whole
    sizes = [n for n in SIZES[options.profile] if whole.allows(n)]

    def task(key: Key) -> Task:
        name, size, seed = key
        cell = Cell(name, size, seed, *whole.draw(size, seed), whole.test)
        return measure_cell, (cell, [*METHODS] if size in few else [BASELINE], plan.inputs, settings, least)

    keys = [(whole.name, size, seed) for seed in range(options.draws) for size in sizes]
    near = near_duplicates([u.text for u in whole.test], [u.text for u in whole.pool])
    tests = {whole.name: replace(test_of(whole), slices={"apart": ~near})}
    return Work(keys, task, tests, plan.data(), lambda rows, known: worth_tables(rows, few, sizes))


def measure_cell(
    cell: Cell, methods: Sequence[str], inputs: benchmark.PoolInputs, settings: WorthSettings, least: int
) -> Measured:
    """Measures one cell, in a worker: some methods on one draw, each in the way that dev chooses.

    Networks with an embedding read ``inputs``; ``least`` counts the updates at the least.
    """
    bench, embeddings = Bench(cell), dict(zip(("fasttext_pool", "elmol"), inputs.load(), strict=True))
    for method in methods:
        begun, tried = time.perf_counter(), list[tuple[int, float, DNN]]()
        for number, way in enumerate(settings.ways):
            recipe = way.lasting(least, cell.size)
            if method in embeddings:
                schedule = replace(settings.unfreezing, how=HOW[method].skill)
                begins = [ContextStart(embeddings[method], schedule, rate) for rate in way.rates]
                models = [fit_contextual(start, *cell.draw, recipe) for start in begins]
            else:
                begins = {str(rate): Start(rate=rate) for rate in way.rates}
                models = [*fit_starts(begins, *cell.draw, recipe).values()]
            tried += [(number, rate, model) for rate, model in zip(way.rates, models, strict=True)]
        number, rate, model = min(tried, key=lambda one: dev_error(one[2], cell.dev))
        bench.judge(method, model, time.perf_counter() - begun, way=number, rate=rate)
    return Measured(bench.rows, inputs.stamps())


def worth_tables(
    rows: Sequence[Row], labelled: Sequence[int], sizes: Sequence[int], replicates: int = 2000
) -> dict[str, Any]:
    """Returns the tables of :data:`RATIOS` and ``capped``; nothing for a method without rows, or before a whole draw.

    Args:
        rows: of all methods.
        labelled: the sizes that methods with an embedding have.
        sizes: those that the network from scratch is to have, ascending; a draw that lacks one would cap the ratio.
        replicates: of the bootstrap.
    """
    of = {(r.method, r.size, r.seed): r for r in rows}
    found: dict[str, Any] = {}
    for table, (method, which, part) in RATIOS.items():
        asked = [(method, labelled[which]), *((BASELINE, n) for n in sizes)]
        seeds = [s for s in sorted({r.seed for r in rows}) if all((*key, s) in of for key in asked)]
        if not seeds:
            continue
        counted = of[*asked[0], seeds[0]].slices[part] if part else slice(None)
        mistakes = np.array([[1 - of[*key, s].outcomes.perfect[counted] for s in seeds] for key in asked])
        point, drawn = mistakes.mean((1, 2)), resampled(mistakes, replicates)  # [1 + sizes], [replicates, 1 + sizes]
        ratios = np.array([enough(row[1:], sizes, row[0]) for row in (point, *drawn)]) / labelled[which]
        low, high = np.quantile(ratios[1:], (0.025, 0.975))
        found[table] = Interval(float(ratios[0]), float(low), float(high), len(seeds)).figure()
        found.setdefault("capped", {})[table] = float((drawn[:, 1:] > drawn[:, :1]).all(1).mean())
    return found


def resampled(mistakes: np.ndarray, replicates: int, seed: int = 0) -> np.ndarray:
    """Returns mean mistakes [replicates, K] over seeds and utterances that are drawn anew, from [K, seeds, N]."""
    rng, (_, seeds, n) = np.random.default_rng(seed), mistakes.shape
    of_seeds = rng.multinomial(seeds, [1 / seeds] * seeds, replicates) / seeds  # [R, seeds]
    of_texts = rng.multinomial(n, [1 / n] * n, replicates) / n  # [R, N]
    return np.einsum("ksn,rs,rn->rk", mistakes, of_seeds, of_texts, optimize=True)


def enough(errors: Sequence[float], sizes: Sequence[int], goal: float) -> float:
    """Returns the training size at which errors, falling with the ascending sizes, reach the goal.

    That is the largest size where they never do, and the smallest, which may be too many, where they do at once.
    """
    at = next((k for k, error in enumerate(errors) if error <= goal), None)
    if at is None or at == 0:
        return float(sizes[-1] if at is None else sizes[0])
    (before, after), (small, large) = (errors[at - 1], errors[at]), np.log(sizes[at - 1 : at + 1])
    return float(np.exp(small + (large - small) * (before - goal) / (before - after)))
