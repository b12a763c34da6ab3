"""Compares models for a skill of your own, by cross-validation on the same folds, and recommends one.

Every utterance is asked once a seed, of models that have seen nothing of its sample or dialogue. Networks are
judged as they are served, packed. Taught in *Your own skill*.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from rich.table import Column, Table
from tqdm import tqdm

from slubook.ch1_skills.bench import latency_ms
from slubook.corpora.utterance import Prediction
from slubook.evaluation.crossval import k_folds
from slubook.evaluation.intervals import Comparison, Interval, mean_error
from slubook.evaluation.intervals import compare as compare_rows
from slubook.evaluation.metrics import outcomes
from slubook.evaluation.model import NLUModel
from slubook.experiments.records import Row
from slubook.own.inputs import PretrainedInput
from slubook.own.methods import METHODS
from slubook.own.skill import OwnSkill
from slubook.profiles import seed_everything

#: Decides which model is recommended: the share of utterances with any mistake.
DECISIVE = "irer"
#: Below so many utterances an interval promises more than they can tell.
LEAST = 30
_METRIC_NAMES = {"icer": "ICER, intents", "ser": "SER, slots", "irer": "IRER, any mistake", "semer": "SemER"}
#: Columns of a row, each with its name in the table, its scale there, and the digits behind the point.
_COSTS = {"train_s": ("training, s", 1, 1), "predict_ms": ("one answer, ms", 1, 2), "bytes": ("size, kB", 1e-3, 0)}


@dataclass(frozen=True)
class Report:
    """What a comparison found.

    Attributes:
        skills: name → how many utterances were asked.
        folds: of the cross-validation.
        seeds: how often it was repeated.
        pretrained_inputs: model → what its pretrained input was trained on, ``"nothing"`` without it; of models that
            take one. Their key in JSON is ``beneath``.
        errors: metric → model → mean error over the skills; the models from the simplest.
        reductions: metric → model → its relative error reduction against the simplest one.
        costs: model → ``train_s``, ``predict_ms`` and ``bytes``, each a mean over skills, seeds and folds.
        recommended: the name of a model.
        reason: a sentence.
    """

    skills: dict[str, int]
    folds: int
    seeds: int
    pretrained_inputs: dict[str, str]
    errors: dict[str, dict[str, Interval]]
    reductions: dict[str, dict[str, Comparison]]
    costs: dict[str, dict[str, float]]
    recommended: str
    reason: str

    @property
    def too_few(self) -> bool:
        """Tells whether some skill has too few utterances for its intervals to be believed."""
        return min(self.skills.values()) < LEAST

    def to_json(self) -> dict:
        """Returns the report as JSON can hold it; what is not finite becomes ``null``."""
        keys = {"pretrained_inputs": "beneath"}
        fields = {keys.get(name, name): value for name, value in asdict(self).items()}
        return json.loads(json.dumps({**fields, "too_few": self.too_few}), parse_constant=lambda _: None)

    def table(self) -> Table:
        """Returns the report for a terminal; errors in percent, with 95 % intervals where there is enough for them."""
        heads = (Column(METHODS[m].title, justify="right") for m in self.costs)
        table = Table(Column("errors in %", no_wrap=True), *heads, box=None, padding=(0, 2, 0, 0))
        for metric, name in _METRIC_NAMES.items():
            table.add_row(name, *map(self._shown, self.errors[metric].values()))
        table.add_row("relative reduction", "against this")
        for metric, name in _METRIC_NAMES.items():
            table.add_row(name, "", *map(self._shown, self.reductions[metric].values()))
        for cost, (name, scale, digits) in _COSTS.items():
            table.add_row(name, *(f"{costs[cost] * scale:.{digits}f}" for costs in self.costs.values()))
        return table

    def _shown(self, error: Interval) -> str:
        return f"{100 * error.point:.1f}" if self.too_few else error.percent()


def compare(
    skills: Sequence[OwnSkill],
    pretrained: Mapping[str, PretrainedInput | None],
    folds: int = 5,
    seeds: int = 1,
    replicates: int = 2000,
) -> Report:
    """Cross-validates models on every skill.

    Args:
        skills: checked by :func:`slubook.own.skill.check`.
        pretrained: which models, of :data:`slubook.own.methods.METHODS` from the simplest, and what each starts from.
        folds: parts that each skill is cut into.
        seeds: how often it is cut anew.
        replicates: of the bootstrap.
    """
    models = {name: partial(METHODS[name].make, given) for name, given in pretrained.items()}
    with tqdm(total=len(skills) * seeds * folds * len(models), desc="cross-validation", unit="model") as bar:
        rows = [
            row for s in skills for seed in range(seeds) for row in cross_validate(s, models, folds, seed, bar.update)
        ]
    against = partial(compare_rows, rows, replicates=replicates)
    simplest, *others = models
    errors = {
        metric: {m: mean_error(rows, metric, m, replicates=replicates) for m in models} for metric in _METRIC_NAMES
    }
    reductions = {metric: {m: against(metric, simplest, m) for m in others} for metric in _METRIC_NAMES}
    costs = {m: {c: float(np.mean([getattr(r, c) for r in rows if r.method == m])) for c in _COSTS} for m in models}
    asked = {s.name: len(s.asked) for s in skills}
    inputs = {m: given.trained_on if given else "nothing" for m, given in pretrained.items() if METHODS[m].needs}
    verdict = recommend(list(models), partial(against, DECISIVE), min(asked.values()))
    return Report(asked, folds, seeds, inputs, errors, reductions, costs, *verdict)


def cross_validate(
    skill: OwnSkill, models: Mapping[str, Callable[[], NLUModel]], folds: int, seed: int, done: Callable[[], object]
) -> list[Row]:
    """Returns one row a model, its outcomes over all utterances asked; costs are means over the folds.

    Args:
        skill: what is learned.
        models: how each is made.
        folds: how many.
        seed: of the folds and the models.
        done: called after each model.
    """
    judged = set(skill.asked)
    answers: dict[str, dict[int, Prediction]] = {name: {} for name in models}
    costs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in models}
    for fold in k_folds(skill.utterances, skill.groups, folds, seed):
        asked = [i for i in fold.test if i in judged]
        train, dev, test = ([skill.utterances[i] for i in part] for part in (fold.train, fold.dev, asked))
        for name, make in models.items():
            seed_everything(seed, threads=1)
            start = time.perf_counter()
            model = make().fit(train, dev, seed)
            seconds = time.perf_counter() - start
            answers[name].update(zip(asked, model.predict([u.text for u in test]), strict=True))
            costs[name].append((seconds, latency_ms(model, test), model.size_bytes()))
            done()
    rows, gold = [], [skill.utterances[i] for i in skill.asked]
    for name in models:
        seconds, latency, size = np.mean(costs[name], axis=0)
        measured = outcomes(gold, [answers[name][i] for i in skill.asked])
        rows.append(Row(skill.name, name, len(skill.utterances), seed, measured, seconds, latency, int(size)))
    return rows


def recommend(models: Sequence[str], against: Callable[[str, str], Comparison], asked: int) -> tuple[str, str]:
    """Returns which model to use, and why: the simplest, unless a later one errs less than the one chosen so far.

    Args:
        models: from the simplest.
        against: relative reduction of the second model's IRER against the first's.
        asked: how many utterances the smallest skill was judged by.
    """
    chosen, *challengers = models
    if asked < LEAST:
        return chosen, (
            f"Use {METHODS[chosen].noun} for now, the simplest: {asked} utterances are too few for an interval, so "
            f"these figures are a first look and no evidence (it takes {LEAST}, better hundreds)."
        )
    reasons = []
    for challenger in challengers:
        reduction, (one, other) = against(chosen, challenger), (METHODS[m] for m in (chosen, challenger))
        found = f"the 95 % interval of its relative error reduction, {reduction.percent()} %,"
        if reduction.low > 0:
            reasons.append(f"{other.noun} errs less than {one.noun} on whole utterances: {found} lies above zero.")
            chosen = challenger
        elif reduction.high < 0:
            reasons.append(f"{other.noun} errs more than {one.noun} on whole utterances: {found} lies below zero.")
        else:
            reasons.append(
                f"your data cannot tell {other.noun} from {one.noun}: {found} includes zero; "
                f"and {one.noun} is simpler, as it needs no {other.needs}."
            )
    return chosen, " ".join([f"Use {METHODS[chosen].noun}.", *(r[0].upper() + r[1:] for r in reasons)])
