"""Speed read off dev errors: figures of means over skills with their intervals, mean curves, and what is earned back.

Taught in chapter 2, *How much sooner*.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from slubook.evaluation.intervals import Interval
from slubook.evaluation.resampling import by_owner, draw_skills
from slubook.experiments.records import Row


def paid_back(pretraining: float, saved: float) -> dict[str, float | None]:
    """After how many skills one pretraining's seconds are saved again; ``None`` when nothing is saved."""
    skills = math.ceil(pretraining / saved) if saved > 0 else None
    return {"pretraining_s": pretraining, "saved_s": saved, "skills": skills}


def gather(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> dict[str, np.ndarray]:
    """Figures of methods, a column for each (method, figure), in every cell of each skill, [seeds, columns]."""
    cells: dict[str, dict[tuple[int, int], dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        cells[row.skill][row.size, row.seed][row.method] = row
    return {
        skill: np.array([[cell[method].figures[name] for method, name in columns] for cell in found.values()])
        for skill, found in cells.items()
    }


def pace(means: np.ndarray, kept: Sequence[int], above: float) -> float:
    """Updates from scratch for each update of another network, until the mean curves reach one goal.

    Args:
        means: mean dev error from scratch at each kept update, then that of the other network, [2 x kept].
        kept: the updates.
        above: how far above the lowest mean from scratch the goal lies.
    """
    scratch, other = means.reshape(2, -1)
    goal = scratch.min() + above
    return first_at(scratch, kept, goal) / first_at(other, kept, goal)


def own_pace(means: np.ndarray, kept: Sequence[int], above: float) -> float:
    """As :func:`pace`, but the goal of each network is above its own lowest mean."""
    scratch, other = (first_at(curve, kept, curve.min() + above) for curve in means.reshape(2, -1))
    return scratch / other


def first_at(curve: np.ndarray, updates: Sequence[int], goal: float) -> float:
    """Where a curve of straight lines first is as low as the goal; the last update where it never is."""
    low = np.flatnonzero(curve <= goal + 1e-9)
    if not len(low) or low[0] == 0:
        return float(updates[0] if len(low) else updates[-1])
    a, b = low[0] - 1, low[0]
    share = min(1.0, (curve[a] - goal) / (curve[a] - curve[b]))
    return float(updates[a] + share * (updates[b] - updates[a]))


def of_means(
    values: Mapping[str, np.ndarray],
    groups: Mapping[str, str],
    of: Callable[[np.ndarray], float],
    replicates: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """A figure made of means over skills, such as their ratio, and its 95 % percentile interval.

    Every skill counts alike. Corpora are drawn first, then their domains, skills of these, and seeds.

    Args:
        values: of each skill, [seeds, columns].
        groups: the corpus of each skill.
        of: the figure, from the mean of each column, [columns].
        replicates: of the bootstrap.
        seed: of the draws.
    """
    means = np.mean([cells.mean(0) for cells in values.values()], axis=0)
    rng, sums = np.random.default_rng(seed), np.zeros((replicates, len(means)))
    drawn = draw_skills(sorted(values), groups, replicates, rng)
    for times, (_, cells) in zip(drawn.T, sorted(values.items()), strict=True):
        owner = np.repeat(np.arange(replicates), times)  # the replicate of each draw, [draws]
        seeds = rng.integers(len(cells), size=(len(owner), len(cells)))
        sums += by_owner(owner, cells[seeds].mean(1), replicates)
    low, high = np.quantile([of(row) for row in sums / drawn.sum(1, keepdims=True)], (0.025, 0.975))
    return Interval(of(means), low, high, len(values)).figure()
