"""Says how sure a difference is: intervals from a hierarchical paired bootstrap over skills, seeds and utterances.

The draws are those of :mod:`slubook.evaluation.resampling`. An interval counts the luck of seeds and utterances twice,
which makes it too wide; with few sources, a percentile interval can be too narrow as well (Cameron, Gelbach and Miller,
2008). Taught in notebook 01, *The evidence*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from slubook.evaluation.resampling import MeasuredRow, Sizes, beside, bootstrap, collect, measured_error

LEVEL = 0.95
#: Less than one utterance can make: what differs by less is a tie that rounding has hidden.
TIE = 1e-9
#: Less than this, in percent, is shown as zero.
HIDDEN = 1e-3


@dataclass(frozen=True)
class Interval:
    """A point estimate and its 95 % percentile interval over ``n_skills`` skills."""

    point: float
    low: float
    high: float
    n_skills: int

    def percent(self, unit: str = "", form: str = ".1f") -> str:
        """Writes ``12.3 [10.1, 14.5]``, with ``unit`` behind the point; ``form`` is how each number is formatted.

        Where rounding would hide on which side of zero a number lies, it has more digits.
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
    """Computes (baseline − proposed) / baseline; 0 where neither errs, −∞ where only the proposal does."""
    gained, safe = baseline - proposed, np.where(baseline == 0, 1.0, baseline)
    return np.where(baseline == 0, np.where(gained == 0, 0.0, -np.inf), gained / safe)


#: How two mean errors are compared: each takes (baseline, proposed) and is positive when the proposal is better.
STATISTICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "relative_reduction": _relative,  # of the error
    "absolute_gain": lambda baseline, proposed: baseline - proposed,  # of the accuracy, as a share of all utterances
    "relative_gain": lambda baseline, proposed: (baseline - proposed) / (1 - baseline),  # of the accuracy
}


def ends(values: np.ndarray) -> tuple[float, float]:
    """Returns the percentile interval; the outer neighbours are taken, so that infinite replicates stay harmless."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, tail, method="lower"), np.quantile(values, 1 - tail, method="higher")
    return float(low), float(high)


def skill_errors(
    rows: Iterable[MeasuredRow], metric: str, methods: Sequence[str], sizes: Sizes = None, slice: str | None = None
) -> dict[str, np.ndarray]:
    """Returns each skill's error, [methods], the mean over its seeds and sizes; arguments as for :func:`mean_error`."""
    return {name: measured_error(skill) for name, skill in collect(rows, metric, methods, sizes, slice).items()}


def mean_error(
    rows: Iterable[MeasuredRow],
    metric: str,
    method: str,
    sizes: Sizes = None,
    *,
    slice: str | None = None,
    groups: Mapping[str, str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
    crossed: bool = False,
) -> Interval:
    """Computes the mean error of one method over skills, for learning curves.

    Args:
        rows: measured rows; others than the method's and the sizes' are ignored.
        metric: a name in ``METRICS``.
        method: whose error.
        sizes: one training size, several (each skill's error is the mean over those it has), or ``None`` for all.
        slice: count only the utterances of this named slice; skills with none are left out.
        groups: the source of each skill, as for :func:`slubook.evaluation.resampling.draw_skills`.
        replicates: bootstrap replicates.
        seed: of the bootstrap.
        crossed: whether a seed is the same draw for all skills, as for :func:`slubook.evaluation.resampling.bootstrap`.

    Raises:
        ValueError: when there are no such rows or no such slice.
    """
    skills = collect(rows, metric, [method], sizes, slice)
    errors, means = bootstrap(skills, groups, replicates, seed, crossed)
    return Interval(float(errors.mean()), *ends(means[:, 0]), len(skills))


def compare(
    rows: Iterable[MeasuredRow],
    metric: str,
    baseline: str,
    proposed: str,
    sizes: Sizes = None,
    *,
    statistic: str = "relative_reduction",
    slice: str | None = None,
    against: str | None = None,
    groups: Mapping[str, str] | None = None,
    replicates: int = 2000,
    seed: int = 0,
    crossed: bool = False,
) -> Comparison:
    """Compares two methods: how much better one is than the other, with a paired interval.

    Whoever says that a method helps on one slice of the test has to show that it helps less elsewhere: with
    ``against``, the result is the gain on ``slice`` minus that on ``against``, counted in the same draws.

    Args:
        rows, metric, sizes, slice, groups, replicates, seed, crossed: as for :func:`mean_error`.
        baseline: the method to beat.
        proposed: the method that should.
        statistic: a name in ``STATISTICS``.
        against: another slice, such as the complement; skills that lack one of the two are left out. ``wins``,
            ``ties``, the mean and the rank test are then over the skills' own differences of gains, and those without
            a finite one count as undefined.

    Raises:
        ValueError: when there are no such rows, a cell was measured for one method only, or no skill has both slices.
    """
    rows, both, of = list(rows), [baseline, proposed], STATISTICS[statistic]
    skills = collect(rows, metric, both, sizes, slice)
    if against and not (skills := beside(skills, collect(rows, metric, both, sizes, against))):
        raise ValueError(f"no skill has utterances of both slices, {slice!r} and {against!r}")
    errors, means = bootstrap(skills, groups, replicates, seed, crossed)  # [skills, 2 or 4], [replicates, 2 or 4]

    def gain(error: np.ndarray) -> np.ndarray:  # [..., 2 or 4] → [...]
        first = of(error[..., 0], error[..., 1])
        with np.errstate(invalid="ignore"):  # nothing to compare where only the proposal errs, on both
            return first - of(error[..., 2], error[..., 3]) if against else first

    each = gain(errors) if against else _relative(errors[:, 0], errors[:, 1])
    defined = each[np.isfinite(each)]
    differences = defined if against else errors[:, 0] - errors[:, 1]
    differences = np.where(np.abs(differences) < TIE, 0.0, differences)
    return Comparison(
        float(gain(errors.mean(axis=0))),
        *ends(gain(means)),
        n_skills=len(each),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        mean_of_skill_reductions=float(defined.mean()) if len(defined) else 0.0,
        n_undefined=len(each) - len(defined),
        p_wilcoxon=float(wilcoxon(differences).pvalue) if differences.any() else 1.0,
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjusts p-values for their number by Holm's step-down method (1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
