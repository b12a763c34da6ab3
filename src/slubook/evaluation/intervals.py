"""How sure a difference is: a hierarchical paired bootstrap over skills, seeds and utterances.

One replicate draws skills with replacement, then for each drawn skill its seeds, then its test utterances.
Both methods see the same draws, so what they have in common cancels out. Every drawn skill gets draws of
its own, and a drawn utterance counts in every cell (size and seed) of the skill, since the test is shared.
See Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8.
Taught in notebook 01, *The evidence*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from slubook.evaluation.metrics import METRICS
from slubook.evaluation.paired import Measured, SkillCells, collect

LEVEL = 0.95
_BLOCK = 4_000_000  # numbers in one matrix of utterance weights: 32 MB


@dataclass(frozen=True)
class Interval:
    """A point estimate and its 95 % percentile interval over ``n_skills`` skills."""

    point: float
    low: float
    high: float
    n_skills: int


@dataclass(frozen=True)
class Comparison(Interval):
    """A difference between two methods; positive when the proposal makes fewer errors.

    Attributes:
        wins: skills in which the proposal's error is lower.
        ties: skills in which both errors are equal.
        mean_of_skill_reductions: the mean over skills of each one's relative reduction, which differs from
            the relative reduction of the mean: here a skill with few errors weighs as much as one with many.
        n_undefined: skills left out of that mean because the baseline, and only the baseline, has no error.
        p_wilcoxon: two-sided signed-rank test over the skills' error differences.
    """

    wins: int
    ties: int
    mean_of_skill_reductions: float
    n_undefined: int
    p_wilcoxon: float


def _relative(baseline: np.ndarray, proposed: np.ndarray) -> np.ndarray:
    """(baseline − proposed) / baseline; 0 where neither errs, −∞ where only the proposal does."""
    gained, safe = baseline - proposed, np.where(baseline == 0, 1.0, baseline)
    return np.where(baseline == 0, np.where(gained == 0, 0.0, -np.inf), gained / safe)


#: How two mean errors are compared: each takes (baseline, proposed) and is positive when the proposal is better.
STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "relative_reduction": _relative,  # of the error
    "absolute_gain": lambda baseline, proposed: baseline - proposed,  # of the accuracy, as a share of all utterances
    "relative_gain": lambda baseline, proposed: (baseline - proposed) / (1 - baseline),  # of the accuracy
}


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the last axis that leaves out NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    weights = weights * known
    whole = weights.sum(axis=-1)
    total = (np.where(known, values, 0.0) * weights).sum(axis=-1)
    return np.divide(total, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _errors(skill: SkillCells, metric: str, utterances: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The skill's error under each draw.

    Args:
        skill: its cells.
        metric: a name in ``METRICS``.
        utterances: how often each utterance counts, [draws, N].
        seeds: how often each seed counts, [draws, seeds].

    Returns:
        [draws, methods]: the mean over the drawn seeds' cells.
    """
    methods, cells, n, columns = skill.counts.shape
    flat = skill.counts.transpose(2, 0, 1, 3).reshape(n, -1)
    totals = (utterances @ flat).reshape(-1, methods, cells, columns)
    return _mean(METRICS[metric](totals), (seeds @ skill.seeds)[:, None, :])  # over [draws, methods, cells]


def _measured(skill: SkillCells, metric: str) -> np.ndarray:
    """The skill's error as it was measured, [methods]."""
    return _errors(skill, metric, np.ones((1, skill.counts.shape[2])), np.ones((1, len(skill.seeds))))[0]


def _resample(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """How often each of ``n`` things is drawn when n are drawn with replacement, [draws, n]."""
    where = rng.integers(n, size=(draws, n)) + np.arange(draws)[:, None] * n
    return np.bincount(where.ravel(), minlength=draws * n).reshape(draws, n).astype(float)


def _drawn_skills(
    names: Sequence[str], groups: Mapping[str, str] | None, replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each replicate draws each skill, [replicates, skills]; groups first where there are any."""
    if groups is None:
        return _resample(rng, len(names), replicates).astype(int)
    members = defaultdict(list)
    for k, name in enumerate(names):
        members[groups[name]].append(k)
    times = _resample(rng, len(members), replicates).astype(int)  # [replicates, groups]
    drawn = np.zeros((replicates, len(names)), dtype=int)
    for g, inside in enumerate(members.values()):
        visits = np.repeat(np.arange(replicates), times[:, g])
        drawn[:, inside] = _by_owner(visits, _resample(rng, len(inside), len(visits)), replicates)
    return drawn


def _bootstrap(
    skills: Mapping[str, SkillCells], metric: str, groups: Mapping[str, str] | None, replicates: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each skill's measured error, [skills, methods], and the mean error of each replicate, [replicates, methods]."""
    rng = np.random.default_rng(seed)
    drawn = _drawn_skills(list(skills), groups, replicates, rng)
    measured, sums, known = [], 0.0, 0.0
    for k, skill in enumerate(skills.values()):
        n, n_seeds = skill.counts.shape[2], len(skill.seeds)
        measured.append(_measured(skill, metric))
        owner = np.repeat(np.arange(replicates), drawn[:, k])  # the replicate of each draw, [draws]
        step = max(1, _BLOCK // n)
        blocks = [
            _errors(skill, metric, _resample(rng, n, draws), _resample(rng, n_seeds, draws))
            for draws in (min(step, len(owner) - start) for start in range(0, len(owner), step))
        ]
        errors = np.concatenate([np.empty((0, skill.counts.shape[0])), *blocks])  # [draws, methods]
        there = ~np.isnan(errors)
        sums = sums + _by_owner(owner, np.where(there, errors, 0.0), replicates)
        known = known + _by_owner(owner, there.astype(float), replicates)
    means = np.divide(sums, known, out=np.full(np.shape(sums), np.nan), where=known > 0)
    return np.array(measured), means[~np.isnan(means).any(axis=1)]


def _by_owner(owner: np.ndarray, values: np.ndarray, replicates: int) -> np.ndarray:
    """Sum the rows of ``values`` [draws, methods] by replicate, [replicates, methods]."""
    return np.stack([np.bincount(owner, column, minlength=replicates) for column in values.T], axis=1)


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The percentile interval; the outer neighbours are taken, so that infinite replicates stay harmless."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, tail, method="lower"), np.quantile(values, 1 - tail, method="higher")
    return float(low), float(high)


def skill_errors(
    rows: Iterable[Measured],
    metric: str,
    methods: Sequence[str],
    sizes: int | Collection[int] | None = None,
    slice: str | None = None,
) -> dict[str, np.ndarray]:
    """Each skill's error, [methods], as the mean over its seeds and sizes; see :func:`mean_error` for the arguments."""
    return {name: _measured(skill, metric) for name, skill in collect(rows, methods, sizes, slice).items()}


def mean_error(
    rows: Iterable[Measured],
    metric: str,
    method: str,
    sizes: int | Collection[int] | None = None,
    *,
    slice: str | None = None,
    groups: Mapping[str, str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean error of one method over skills, for learning curves.

    Args:
        rows: measured rows; others than the method's and the sizes' are ignored.
        metric: a name in ``METRICS``.
        method: whose error.
        sizes: one training size, several (each skill's error is the mean over those it has), or ``None`` for all.
        slice: count only the utterances of this named slice; skills with none are left out.
        groups: the source of each skill; sources are drawn before the skills in them.
        replicates: bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        ValueError: when there are no such rows or no such slice.
    """
    skills = collect(rows, [method], sizes, slice)
    errors, means = _bootstrap(skills, metric, groups, replicates, seed)
    return Interval(float(errors.mean()), *_ends(means[:, 0]), len(skills))


def compare(
    rows: Iterable[Measured],
    metric: str,
    baseline: str,
    proposed: str,
    sizes: int | Collection[int] | None = None,
    *,
    statistic: str = "relative_reduction",
    slice: str | None = None,
    groups: Mapping[str, str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Comparison:
    """How much better one method is than another, with a paired interval.

    Args:
        rows, metric, sizes, slice, groups, replicates, seed: as for :func:`mean_error`.
        baseline: the method to beat.
        proposed: the method that should.
        statistic: a name in ``STATISTICS``.

    Raises:
        ValueError: when there are no such rows, or a cell was measured for one method only.
    """
    skills = collect(rows, [baseline, proposed], sizes, slice)
    errors, means = _bootstrap(skills, metric, groups, replicates, seed)
    of = STATISTICS[statistic]
    each = _relative(errors[:, 0], errors[:, 1])
    defined = each[np.isfinite(each)]
    difference = errors[:, 0] - errors[:, 1]
    return Comparison(
        float(of(*errors.mean(axis=0))),
        *_ends(of(means[:, 0], means[:, 1])),
        n_skills=len(skills),
        wins=int((difference > 0).sum()),
        ties=int((difference == 0).sum()),
        mean_of_skill_reductions=float(defined.mean()) if len(defined) else 0.0,
        n_undefined=len(each) - len(defined),
        p_wilcoxon=float(wilcoxon(difference).pvalue) if difference.any() else 1.0,
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
