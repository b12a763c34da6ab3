"""Measurements drawn again: skills, seeds and utterances, with replacement, level by level.

One replicate draws skills, then for each drawn skill its seeds, then its test utterances. Where the sources of skills
are given, it draws sources first, then domains of a source, then skills of a domain: skills called ``domain#k`` share
one, and with it utterances. All methods and slices see the same draws, so what they have in common cancels out. Every
drawn skill gets draws of its own, and a drawn utterance counts in every cell (size and seed) of the skill, since the
test is shared. Where a seed is one and the same draw for all skills, the two are crossed: then each replicate draws its
seeds once, for all. See Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8.
Taught in notebook 01, *The protocol*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from slubook.evaluation.metrics import METRICS, Columns, Metric

_BLOCK = 4_000_000  # numbers in one matrix of utterance weights: 32 MB
#: One training size, several, or all.
Sizes = int | Collection[int] | None


class MeasuredRow(Protocol):
    """A row as intervals need it; :class:`slubook.experiments.records.Row` is one."""

    skill: str
    method: str
    size: int
    seed: int
    outcomes: Columns
    slices: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class SkillCells:
    """The cells of one skill, each one size and seed, as a metric needs them.

    Attributes:
        metric: the error rate.
        parts: its parts of each utterance, [methods, cells, N, 3]; see :meth:`slubook.evaluation.metrics.Metric.parts`.
        seeds: which of the skill's seeds each cell has, [seeds, cells].
        names: the seeds themselves, in order.
    """

    metric: Metric
    parts: np.ndarray
    seeds: np.ndarray
    names: tuple[int, ...] = ()


def collect(
    rows: Iterable[MeasuredRow], metric: str, methods: Sequence[str], sizes: Sizes, slice: str | None
) -> dict[str, SkillCells]:
    """Collects the cells of ``methods``, skill by skill, in an order that does not depend on that of the rows.

    Raises:
        ValueError: when there are no such rows or no such slice, a cell was measured for some methods only, or the rows
            hold no such metric.
    """
    measure, wanted = METRICS[metric], {sizes} if isinstance(sizes, int) else sizes
    cells: dict[str, dict[tuple[int, int], dict[str, MeasuredRow]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row.method in methods and (wanted is None or row.size in wanted):
            cells[row.skill][row.seed, row.size][row.method] = row
    if not cells:
        raise ValueError(f"no rows for {' and '.join(methods)} at {'any size' if sizes is None else f'size {sizes}'}")
    skills = {}
    for skill, by_cell in sorted(cells.items()):
        for (seed, size), found in by_cell.items():
            if missing := [m for m in methods if m not in found]:
                raise ValueError(
                    f"skill {skill!r}, size {size}, seed {seed} was measured for {' and '.join(found)} but not for "
                    f"{missing[0]}: finish the run, so that the comparison is paired"
                )
        keys = sorted(by_cell)
        parts = np.stack([np.stack([_parts(by_cell[key][m], measure, slice) for key in keys]) for m in methods])
        if slice and len({parts[k, ..., 0].tobytes() for k in range(len(methods))}) > 1:
            raise ValueError(f"slice {slice!r} of skill {skill!r} differs between {' and '.join(methods)}")
        names = tuple(sorted({seed for seed, _ in keys}))
        seeds = np.array([[seed == each for seed, _ in keys] for each in names], float)
        if parts[..., 0].any():
            skills[skill] = SkillCells(measure, parts, seeds, names)
    if not skills:
        raise ValueError(f"slice {slice!r} holds no utterance of any skill")
    return skills


def beside(first: Mapping[str, SkillCells], second: Mapping[str, SkillCells]) -> dict[str, SkillCells]:
    """Puts two slices of the same rows side by side, the second's methods after the first's: [2 methods, cells, N, 3].

    A draw of utterances then counts in both slices. Skills that only one of them has are left out.
    """
    return {
        skill: replace(cells, parts=np.concatenate([cells.parts, second[skill].parts]))
        for skill, cells in first.items()
        if skill in second
    }


def _parts(row: MeasuredRow, metric: Metric, slice: str | None) -> np.ndarray:
    """Returns the row's parts of a metric with everything outside the slice set to zero, [N, 3]."""
    parts = metric.parts(row.outcomes).astype(float)
    if slice is None:
        return parts
    if slice not in row.slices:
        raise ValueError(f"skill {row.skill!r}, method {row.method!r} has no slice {slice!r}")
    return parts * np.asarray(row.slices[slice], dtype=float)[:, None]


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the weighted mean over the last axis without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    weights = weights * known
    whole = weights.sum(axis=-1)
    total = (np.where(known, values, 0.0) * weights).sum(axis=-1)
    return np.divide(total, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _errors(skill: SkillCells, utterances: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Computes the skill's error under each draw.

    Args:
        skill: its cells.
        utterances: how often each utterance counts, [draws, N].
        seeds: how often each seed counts, [draws, seeds].

    Returns:
        [draws, methods]: the mean over the drawn seeds' cells.
    """
    methods, cells, n, parts = skill.parts.shape
    flat = skill.parts.transpose(2, 0, 1, 3).reshape(n, -1)
    sums = (utterances @ flat).reshape(-1, methods, cells, parts)
    return _mean(skill.metric.rate(sums), (seeds @ skill.seeds)[:, None, :])  # over [draws, methods, cells]


def measured_error(skill: SkillCells) -> np.ndarray:
    """Returns the skill's error as it was measured, [methods]."""
    return _errors(skill, np.ones((1, skill.parts.shape[2])), np.ones((1, len(skill.seeds))))[0]


def _resample(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """Draws n of ``n`` things with replacement: how often each is drawn, [draws, n]."""
    where = rng.integers(n, size=(draws, n)) + np.arange(draws)[:, None] * n
    return np.bincount(where.ravel(), minlength=draws * n).reshape(draws, n).astype(float)


def draw_skills(
    names: Sequence[str], groups: Mapping[str, str] | None, replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws skills: how often each replicate draws each, [replicates, skills].

    Args:
        names: of the skills.
        groups: the source of each, for drawing sources, domains, skills; ``None`` for skills that stand alone.
        replicates: how often.
        rng: the source of chance.
    """
    paths = [(groups[name], name.split("#")[0]) if groups else () for name in names]
    return _draw(paths, replicates, rng).astype(int)


def _draw(paths: Sequence[Sequence[str]], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draws things within their groups, [draws, things]; a path names the groups around each, the widest first."""
    if not paths[0]:
        return _resample(rng, len(paths), draws)
    members = defaultdict(list)
    for k, path in enumerate(paths):
        members[path[0]].append(k)
    times = _resample(rng, len(members), draws).astype(int)  # [draws, groups]
    drawn = np.zeros((draws, len(paths)))
    for g, inside in enumerate(members.values()):
        visits = np.repeat(np.arange(draws), times[:, g])
        drawn[:, inside] = by_owner(visits, _draw([paths[k][1:] for k in inside], len(visits), rng), draws)
    return drawn


def bootstrap(
    skills: Mapping[str, SkillCells],
    groups: Mapping[str, str] | None,
    replicates: int,
    seed: int,
    crossed: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the measurements again and again.

    Args:
        skills: as :func:`collect` gives them.
        groups: as for :func:`draw_skills`.
        replicates: how often.
        seed: of the draws.
        crossed: whether a seed is the same draw for all skills.

    Returns:
        each skill's measured error, [skills, methods], and the mean error of each replicate, [replicates, methods];
        replicates in which some method has no utterance at all are left out.
    """
    rng = np.random.default_rng(seed)
    drawn = draw_skills(list(skills), groups, replicates, rng)
    shared = sorted({name for skill in skills.values() for name in skill.names}) if crossed else []
    of_all = _resample(rng, len(shared), replicates) if crossed else np.empty((replicates, 0))  # [replicates, seeds]
    measured, sums, known = [], 0.0, 0.0
    for k, skill in enumerate(skills.values()):
        n, n_seeds = skill.parts.shape[2], len(skill.seeds)
        measured.append(measured_error(skill))
        owner = np.repeat(np.arange(replicates), drawn[:, k])  # the replicate of each draw, [draws]
        own, step = of_all[owner][:, [shared.index(name) for name in skill.names if crossed]], max(1, _BLOCK // n)
        blocks = [
            _errors(skill, _resample(rng, n, len(some)), some if crossed else _resample(rng, n_seeds, len(some)))
            for some in (own[start : start + step] for start in range(0, len(owner), step))
        ]
        errors = np.concatenate([np.empty((0, skill.parts.shape[0])), *blocks])  # [draws, methods]
        there = ~np.isnan(errors)
        sums = sums + by_owner(owner, np.where(there, errors, 0.0), replicates)
        known = known + by_owner(owner, there.astype(float), replicates)
    means = np.divide(sums, known, out=np.full(np.shape(sums), np.nan), where=known > 0)
    return np.array(measured), means[~np.isnan(means).any(axis=1)]


def by_owner(owner: np.ndarray, values: np.ndarray, replicates: int) -> np.ndarray:
    """Sums the rows of ``values``, [draws, columns], by the replicate that owns each, [replicates, columns]."""
    return np.stack([np.bincount(owner, column, minlength=replicates) for column in values.T], axis=1)
