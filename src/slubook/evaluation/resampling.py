"""Measurements drawn again: skills, seeds and utterances, with replacement, level by level.

One replicate draws skills, then for each drawn skill its seeds, then its test utterances. Where the sources of skills
are given, it draws sources first, then domains of a source, then skills of a domain: skills called ``domain#k`` share
one, and with it utterances. All methods and slices see the same draws, so what they have in common cancels out. Every
drawn skill gets draws of its own, and a drawn utterance counts in every cell (size and seed) of the skill, since the
test is shared. See Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8.
Taught in notebook 01, *The protocol*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from slubook.evaluation.metrics import METRICS
from slubook.evaluation.paired import SkillCells

_BLOCK = 4_000_000  # numbers in one matrix of utterance weights: 32 MB


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


def measured_error(skill: SkillCells, metric: str) -> np.ndarray:
    """The skill's error as it was measured, [methods]."""
    return _errors(skill, metric, np.ones((1, skill.counts.shape[2])), np.ones((1, len(skill.seeds))))[0]


def _resample(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """How often each of ``n`` things is drawn when n are drawn with replacement, [draws, n]."""
    where = rng.integers(n, size=(draws, n)) + np.arange(draws)[:, None] * n
    return np.bincount(where.ravel(), minlength=draws * n).reshape(draws, n).astype(float)


def draw_skills(
    names: Sequence[str], groups: Mapping[str, str] | None, replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each replicate draws each skill, [replicates, skills].

    Args:
        names: of the skills.
        groups: the source of each, for drawing sources, domains, skills; ``None`` for skills that stand alone.
        replicates: how often.
        rng: the source of chance.
    """
    paths = [(groups[name], name.split("#")[0]) if groups else () for name in names]
    return _draw(paths, replicates, rng).astype(int)


def _draw(paths: Sequence[Sequence[str]], draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each draw takes each thing, [draws, things]; a path names the groups around it, the widest first."""
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
    skills: Mapping[str, SkillCells], metric: str, groups: Mapping[str, str] | None, replicates: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the measurements again and again.

    Args:
        skills: as :func:`slubook.evaluation.paired.collect` gives them.
        metric: a name in ``METRICS``.
        groups: as for :func:`draw_skills`.
        replicates: how often.
        seed: of the draws.

    Returns:
        each skill's measured error, [skills, methods], and the mean error of each replicate, [replicates, methods];
        replicates in which some method has no utterance at all are left out.
    """
    rng = np.random.default_rng(seed)
    drawn = draw_skills(list(skills), groups, replicates, rng)
    measured, sums, known = [], 0.0, 0.0
    for k, skill in enumerate(skills.values()):
        n, n_seeds = skill.counts.shape[2], len(skill.seeds)
        measured.append(measured_error(skill, metric))
        owner = np.repeat(np.arange(replicates), drawn[:, k])  # the replicate of each draw, [draws]
        step = max(1, _BLOCK // n)
        blocks = [
            _errors(skill, metric, _resample(rng, n, draws), _resample(rng, n_seeds, draws))
            for draws in (min(step, len(owner) - start) for start in range(0, len(owner), step))
        ]
        errors = np.concatenate([np.empty((0, skill.counts.shape[0])), *blocks])  # [draws, methods]
        there = ~np.isnan(errors)
        sums = sums + by_owner(owner, np.where(there, errors, 0.0), replicates)
        known = known + by_owner(owner, there.astype(float), replicates)
    means = np.divide(sums, known, out=np.full(np.shape(sums), np.nan), where=known > 0)
    return np.array(measured), means[~np.isnan(means).any(axis=1)]


def by_owner(owner: np.ndarray, values: np.ndarray, replicates: int) -> np.ndarray:
    """Sum the rows of ``values``, [draws, columns], by the replicate that owns each, [replicates, columns]."""
    return np.stack([np.bincount(owner, column, minlength=replicates) for column in values.T], axis=1)
