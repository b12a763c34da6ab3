"""How sure a difference is: intervals from a hierarchical paired bootstrap over skills, seeds and utterances.

The draws are those of :mod:`slubook.evaluation.resampling`. An interval counts the luck of seeds and utterances twice,
once as it shows in the differences between skills and once as it is drawn again, so it is rather too wide than too
narrow. Taught in notebook 01, *The evidence*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from slubook.evaluation.paired import Measured, beside, collect
from slubook.evaluation.resampling import bootstrap, measured_error

LEVEL = 0.95
#: Less than one utterance can make: what differs by less is a tie that rounding has hidden.
TIE = 1e-9
#: Less than this, in percent, is shown as nought.
HIDDEN = 1e-3


@dataclass(frozen=True)
class Interval:
    """A point estimate and its 95 % percentile interval over ``n_skills`` skills."""

    point: float
    low: float
    high: float
    n_skills: int

    def percent(self, unit: str = "", form: str = ".1f") -> str:
        """``12.3 [10.1, 14.5]``, with ``unit`` behind the point; ``form`` is how each number is formatted.

        Where rounding would hide on which side of nought a number lies, it has more digits.
        """
        point, low, high = (_shown(100 * value, form) for value in (self.point, self.low, self.high))
        return f"{point}{unit} [{low}, {high}]"

    def figure(self) -> dict[str, float]:
        """As a figure of a results file's tables, which the ledger reads."""
        return {"point": float(self.point), "low": float(self.low), "high": float(self.high), "n": self.n_skills}


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


def _shown(value: float, form: str) -> str:
    text = f"{value:{form}}"
    if float(text) != 0:
        return text
    return f"{value:{'+' * form.startswith('+')}.1g}" if abs(value) > HIDDEN else f"{0.0:{form}}"


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


def ends(values: np.ndarray) -> tuple[float, float]:
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
    return {name: measured_error(skill, metric) for name, skill in collect(rows, methods, sizes, slice).items()}


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
        groups: the source of each skill, as for :func:`slubook.evaluation.resampling.draw_skills`.
        replicates: bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        ValueError: when there are no such rows or no such slice.
    """
    skills = collect(rows, [method], sizes, slice)
    errors, means = bootstrap(skills, metric, groups, replicates, seed)
    return Interval(float(errors.mean()), *ends(means[:, 0]), len(skills))


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
    errors, means = bootstrap(skills, metric, groups, replicates, seed)  # [skills, 2], [replicates, 2]
    of = STATISTICS[statistic]
    return _comparison(
        of(*errors.mean(axis=0)),
        of(means[:, 0], means[:, 1]),
        differences=errors[:, 0] - errors[:, 1],
        each=_relative(errors[:, 0], errors[:, 1]),
    )


def compare_slices(
    rows: Iterable[Measured],
    metric: str,
    baseline: str,
    proposed: str,
    sizes: int | Collection[int] | None = None,
    *,
    slice: str,
    against: str,
    statistic: str = "relative_reduction",
    groups: Mapping[str, str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Comparison:
    """How much more one method gains over another on one slice of the test than on another slice.

    Whoever says that a method helps *there* has to show that it helps less elsewhere. Utterances are drawn once, and
    both slices are counted in the same draw. Skills that lack one of the slices are left out.

    Args:
        rows, metric, baseline, proposed, sizes, statistic, groups, replicates, seed: as for :func:`compare`.
        slice: where the gain should be larger.
        against: where it should be smaller, such as the complement.

    Returns:
        The gain on ``slice`` minus the gain on ``against``. ``wins``, ``ties``, the mean and the rank test are over
        the skills' own differences of gains; those without a finite one count as undefined.

    Raises:
        ValueError: as for :func:`compare`, and when no skill has utterances of both slices.
    """
    rows = list(rows)
    skills = beside(*(collect(rows, [baseline, proposed], sizes, name) for name in (slice, against)))
    if not skills:
        raise ValueError(f"no skill has utterances of both slices, {slice!r} and {against!r}")
    errors, means = bootstrap(skills, metric, groups, replicates, seed)  # [skills, 4], [replicates, 4]
    of = STATISTICS[statistic]

    def more(error: np.ndarray) -> np.ndarray:  # [..., 4] → [...]
        with np.errstate(invalid="ignore"):  # nothing to compare where only the proposal errs, on both
            return of(error[..., 0], error[..., 1]) - of(error[..., 2], error[..., 3])

    each = more(errors)
    return _comparison(more(errors.mean(axis=0)), more(means), differences=each[np.isfinite(each)], each=each)


def _comparison(point: np.ndarray, drawn: np.ndarray, *, differences: np.ndarray, each: np.ndarray) -> Comparison:
    """A comparison from its replicates, the skills' differences, and their own figures, not all of them finite."""
    differences = np.where(np.abs(differences) < TIE, 0.0, differences)
    defined = each[np.isfinite(each)]
    return Comparison(
        float(point),
        *ends(drawn),
        n_skills=len(each),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        mean_of_skill_reductions=float(defined.mean()) if len(defined) else 0.0,
        n_undefined=len(each) - len(defined),
        p_wilcoxon=float(wilcoxon(differences).pvalue) if differences.any() else 1.0,
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
