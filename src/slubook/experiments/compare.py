"""MaxEnt-CRF or DNN for a skill of your own: both by cross-validation on the same folds, and which to use.

Every utterance is asked once a seed, of models that have seen nothing of its sample or dialogue. The network is
judged as it is served, packed. Taught in *Your own skill*.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from rich.table import Column, Table
from tqdm import tqdm

from slubook.corpora.utterance import Prediction
from slubook.evaluation.crossval import k_folds
from slubook.evaluation.intervals import Comparison, Interval, mean_error
from slubook.evaluation.intervals import compare as compare_rows
from slubook.evaluation.metrics import METRICS, outcomes
from slubook.experiments.answer import LINEAR, NAMES, NEURAL, Configs
from slubook.experiments.bench import latency_ms
from slubook.experiments.own import OwnSkill, Vectors
from slubook.experiments.records import Row
from slubook.models.base import NLUModel
from slubook.profiles import seed_everything

#: Decides which model is recommended: the share of utterances with any mistake.
DECISIVE = "irer"
#: Below so many utterances an interval promises more than they can tell.
LEAST = 30
_METRIC_NAMES = {"icer": "ICER, intents", "ser": "SER, slots", "irer": "IRER, any mistake", "semer": "SemER"}


@dataclass(frozen=True)
class Report:
    """What a comparison found.

    Attributes:
        skills: name → how many utterances were asked.
        folds: of the cross-validation.
        seeds: how often it was repeated.
        vectors: what the word vectors beneath the network were learned from, or ``"none"``.
        errors: metric → model → mean error over the skills.
        reductions: metric → relative error reduction of the network against the linear model.
        costs: model → ``train_s``, ``predict_ms`` and ``bytes``, each a mean over skills, seeds and folds.
        recommended: the name of a model.
        reason: a sentence.
    """

    skills: dict[str, int]
    folds: int
    seeds: int
    vectors: str
    errors: dict[str, dict[str, Interval]]
    reductions: dict[str, Comparison]
    costs: dict[str, dict[str, float]]
    recommended: str
    reason: str

    @property
    def too_few(self) -> bool:
        """Whether some skill has too few utterances for its intervals to be believed."""
        return min(self.skills.values()) < LEAST

    def to_json(self) -> dict:
        """The report as JSON can hold it; what is not finite becomes ``null``."""
        return _finite({**asdict(self), "too_few": self.too_few})

    def table(self) -> Table:
        """The report for a terminal; errors in percent, with 95 % intervals where there is enough to have them."""
        shown = _point if self.too_few else Interval.percent
        heads = (Column(name, justify="right") for name in (*NAMES.values(), "relative reduction"))
        table = Table(Column("errors in %", no_wrap=True), *heads, box=None, padding=(0, 2, 0, 0))
        for metric, name in _METRIC_NAMES.items():
            errors = [shown(self.errors[metric][m]) for m in NAMES]
            table.add_row(name, *errors, shown(self.reductions[metric]))
        for name, cost, scale, digits in (
            ("training, s", "train_s", 1, 1),
            ("one answer, ms", "predict_ms", 1, 2),
            ("size, kB", "bytes", 1e-3, 0),
        ):
            table.add_row(name, *(f"{self.costs[m][cost] * scale:.{digits}f}" for m in NAMES), "")
        return table


def compare(
    skills: Sequence[OwnSkill],
    vectors: Vectors | None,
    folds: int = 5,
    seeds: int = 1,
    configs: Configs | None = None,
    replicates: int = 2000,
) -> Report:
    """Cross-validate both models on every skill.

    Args:
        skills: checked by :func:`slubook.experiments.own.check`.
        vectors: what the network stands on, or ``None``.
        folds: parts that each skill is cut into.
        seeds: how often it is cut anew.
        configs: settings other than the tuned ones.
        replicates: of the bootstrap.
    """
    configs, table = configs or Configs(), vectors.table if vectors else None
    models = {name: partial(configs.model, name, table) for name in NAMES}
    with tqdm(total=len(skills) * seeds * folds * len(models), desc="cross-validation", unit="model") as bar:
        rows = [
            row for s in skills for seed in range(seeds) for row in cross_validate(s, models, folds, seed, bar.update)
        ]
    errors = {metric: {m: mean_error(rows, metric, m, replicates=replicates) for m in models} for metric in METRICS}
    reductions = {metric: compare_rows(rows, metric, LINEAR, NEURAL, replicates=replicates) for metric in METRICS}
    costs = {
        m: {
            cost: float(np.mean([getattr(r, cost) for r in rows if r.method == m]))
            for cost in ("train_s", "predict_ms", "bytes")
        }
        for m in models
    }
    asked = {s.name: len(s.asked) for s in skills}
    told = vectors.in_words() if vectors else "none"
    verdict = recommend(reductions[DECISIVE], costs, min(asked.values()))
    return Report(asked, folds, seeds, told, errors, reductions, costs, *verdict)


def cross_validate(
    skill: OwnSkill, models: Mapping[str, Callable[[], NLUModel]], folds: int, seed: int, done: Callable[[], object]
) -> list[Row]:
    """One row a model, its outcomes over all utterances asked; costs are means over the folds.

    Args:
        skill: what is learned.
        models: how each is made.
        folds: how many.
        seed: of the folds and the models.
        done: called after each model.
    """
    gold = [skill.utterances[i] for i in skill.asked]
    place = {i: n for n, i in enumerate(skill.asked)}
    answers: dict[str, dict[int, Prediction]] = {name: {} for name in models}
    costs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in models}
    for fold in k_folds(skill.utterances, skill.groups, folds, seed):
        train, dev = ([skill.utterances[i] for i in part] for part in (fold.train, fold.dev))
        asked = [i for i in fold.test if i in place]
        test = [skill.utterances[i] for i in asked]
        for name, make in models.items():
            seed_everything(seed, threads=1)
            start = time.perf_counter()
            model = make().fit(train, dev, seed)
            seconds = time.perf_counter() - start
            answers[name].update(zip(asked, model.predict([u.text for u in test]), strict=True))
            costs[name].append((seconds, latency_ms(model, test), model.size_bytes()))
            done()
    rows = []
    for name in models:
        seconds, latency, size = np.mean(costs[name], axis=0)
        measured = outcomes(gold, [answers[name][i] for i in skill.asked])
        rows.append(Row(skill.name, name, len(skill.utterances), seed, measured, seconds, latency, int(size)))
    return rows


def recommend(reduction: Comparison, costs: Mapping[str, Mapping[str, float]], asked: int) -> tuple[str, str]:
    """Which model to use, and why: the one that errs less, or the simpler linear one when the data cannot tell.

    Args:
        reduction: of the network's IRER against the linear model's.
        costs: model → ``train_s`` and others.
        asked: how many utterances the smallest skill was judged by.
    """
    seconds = " against ".join(f"{costs[m]['train_s']:.1f}" for m in NAMES)
    simpler = f"it is the simpler of the two: it trains in {seconds} seconds and needs no word vectors."
    if asked < LEAST:
        return LINEAR, (
            f"Use MaxEnt-CRF for now: {asked} utterances are too few for an interval, so these figures are a first "
            f"look and no evidence (it takes {LEAST}, better hundreds); and {simpler}"
        )
    found = f"the 95 % interval of its relative error reduction, {reduction.percent()} %,"
    if reduction.low > 0:
        return NEURAL, f"Use the DNN: it errs less on whole utterances; {found} lies above zero."
    if reduction.high < 0:
        return LINEAR, f"Use MaxEnt-CRF: the DNN errs more on whole utterances; {found} lies below zero."
    return LINEAR, f"Use MaxEnt-CRF: your data cannot tell the DNN from it, as {found} includes zero; and {simpler}"


def _point(interval: Interval) -> str:
    return f"{100 * interval.point:.1f}"


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
