"""Rows of several methods, brought together so that like is compared with like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from slubook.evaluation.metrics import Outcomes


class Measured(Protocol):
    """A row as intervals need it; :class:`slubook.experiments.records.Row` is one."""

    @property
    def skill(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def outcomes(self) -> Outcomes: ...
    @property
    def slices(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class SkillCells:
    """The cells of one skill: counts [methods, cells, N, 7] and which of its seeds each cell has, [seeds, cells]."""

    counts: np.ndarray
    seeds: np.ndarray


def collect(
    rows: Iterable[Measured], methods: Sequence[str], sizes: int | Collection[int] | None, slice: str | None
) -> dict[str, SkillCells]:
    """Collect the cells of ``methods``, skill by skill, in an order that does not depend on that of the rows."""
    wanted = {sizes} if isinstance(sizes, int) else sizes
    cells: dict[str, dict[tuple[int, int], dict[str, Measured]]] = defaultdict(lambda: defaultdict(dict))
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
        counts = np.stack([np.stack([_counts(by_cell[key][m], slice) for key in keys]) for m in methods])
        if slice and len({counts[k, ..., 0].tobytes() for k in range(len(methods))}) > 1:
            raise ValueError(f"slice {slice!r} of skill {skill!r} differs between {' and '.join(methods)}")
        distinct = sorted({seed for seed, _ in keys})
        skills[skill] = SkillCells(counts, np.array([[seed == d for seed, _ in keys] for d in distinct], dtype=float))
    kept = {skill: data for skill, data in skills.items() if data.counts[..., 0].any()}
    if not kept:
        raise ValueError(f"slice {slice!r} holds no utterance of any skill")
    return kept


def beside(first: Mapping[str, SkillCells], second: Mapping[str, SkillCells]) -> dict[str, SkillCells]:
    """The skills of two slices of the same rows, the second's methods after the first's: [2 methods, cells, N, 7].

    A draw of utterances then counts in both slices. Skills that only one of them has are left out.
    """
    return {
        skill: SkillCells(np.concatenate([cells.counts, second[skill].counts]), cells.seeds)
        for skill, cells in first.items()
        if skill in second
    }


def _counts(row: Measured, slice: str | None) -> np.ndarray:
    """The row's counts with everything outside the slice set to nothing, [N, 7]."""
    if slice is None:
        return row.outcomes.counts().astype(float)
    if slice not in row.slices:
        raise ValueError(f"skill {row.skill!r}, method {row.method!r} has no slice {slice!r}")
    return row.outcomes.counts() * np.asarray(row.slices[slice], dtype=float)[:, None]
