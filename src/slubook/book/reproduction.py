"""Measures published cells anew, and counts what differs from what is published.

Nothing is taken from the published results but the cells that they have, and nothing from finished cells in the cache.
Word vectors and pretrained networks in the cache are read there, as by every run.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from slubook.evaluation.metrics import METRICS
from slubook.experiments.cells import CellStore, Key
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results, Row
from slubook.experiments.runner import Identity, Work, prepare
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS, stable_hash

#: What may differ, for each method: the share of utterances whose outcome changed, and the error in points. Word
#: vectors and networks differ in their last digits from one type of processor to another, and a network trained on
#: other digits answers a few utterances otherwise. Another random start changes the outcomes of 14 % of the utterances
#: in the published records (``scratch`` and ``scratch_again`` of convergence; 13 % for ``elmol`` and ``elmol_again``):
#: half of that is allowed. It changes the error of three drawn cells by at most 2.7 points in 95 of 100 draws.
CHANGED, POINTS = 0.07, 3.0
#: Experiments that are measured as a whole.
WHOLE = ("serving", "engineering")


@dataclass(frozen=True)
class Difference:
    """What differs between a method's rows as measured anew and as published.

    Attributes:
        method: its name.
        utterances: how many were compared, those of all cells together.
        changed: the share of them with another outcome in any column.
        points: by how many points of percent the error is higher now.
    """

    method: str
    utterances: int
    changed: float
    points: float

    @property
    def tolerated(self) -> bool:
        """Tells whether this little may differ."""
        return self.changed <= CHANGED and abs(self.points) <= POINTS


@dataclass(frozen=True)
class Anew(Identity):
    """An identity whose finished cells are kept in a ``folder`` of its own, not in the cache."""

    folder: Path

    def store(self) -> CellStore:
        """Returns where the cells are kept."""
        return CellStore(self.folder, self.fingerprint)


def drawn(experiment: str, cells: Collection[Key], n: int | None = None) -> list[Key]:
    """Draws n of the cells, the same each time, or takes all; a larger n adds cells to those of a smaller one."""
    return sorted(cells, key=lambda cell: stable_hash("reproduce", experiment, *cell))[:n]


def reproduce(published: Results, options: Options, cells: int | None = None, settings: object = None) -> Results:
    """Measures published cells anew, and writes and returns their results; the same folder again resumes.

    Args:
        published: what is compared with; its cells are drawn from.
        options: of the published profile; ``out`` is the new results file.
        cells: how many to draw; ``None`` for all.
        settings: other than the tuned ones.

    Raises:
        CorpusError, RecordsError, CellsFailed: as :func:`slubook.experiments.runner.run` does; RecordsError also when
            the published file would be overwritten, what is published is of other settings or data, or a part is asked
            for of what is measured as a whole.
    """
    began, name, out = time.time(), published.experiment, options.out
    if out.resolve().parent == RESULTS.resolve():
        raise RecordsError(f"{out}: is what is published: name another folder with --out")
    if cells is not None and name in WHOLE:
        raise RecordsError(f"experiment {name!r} is measured as a whole, it has no cells to draw: leave --cells out")
    seeds = 1 + max(published.stamp["seeds"], default=0)
    identity, work = prepare(name, replace(options, seeds=seeds), settings)
    if others := identity.differences(published):
        raise RecordsError(f"{name}: what is published is of other {', '.join(others)}: there is nothing to compare")
    if name not in WHOLE:
        keys = drawn(name, {_cell(row) for row in published.rows}, cells)
        work = Work(keys, work.task, work.tests, work.data)
    return work.measure(Anew(**vars(identity), folder=out.with_suffix(".cells")), options, began)


def differences(published: Results, anew: Results) -> list[Difference]:
    """Counts for each method what differs in the cells that were measured anew.

    The error is the experiment's metric, or that of intents for a method that looks for no slots.

    Raises:
        RecordsError: when the two have other methods or other utterances in these cells.
    """
    cells, found = {_cell(row) for row in anew.rows}, []
    before = {row.key: row for row in published.rows if _cell(row) in cells}
    if before.keys() != {row.key for row in anew.rows}:
        raise RecordsError(f"{published.experiment}: other methods were measured than what is published has")
    if any(published.tests[name].ids != anew.tests[name].ids for name, _, _ in cells):
        raise RecordsError(f"{published.experiment}: other utterances were measured than what is published has")
    for method in anew.methods:
        about = EXPERIMENTS[anew.experiment]
        metric = METRICS["icer" if method in about.intent_only else about.metric]
        pairs = [(before[row.key].outcomes, row.outcomes) for row in anew.select([method])]
        unlike = (np.any([was[name] != now[name] for name in was.columns()], axis=0) for was, now in pairs)
        changed = np.concatenate([*unlike])  # [N], of all cells
        more = sum(int((metric.errors(now) - metric.errors(was)).sum()) for was, now in pairs)
        found.append(Difference(method, len(changed), float(changed.mean()), 100 * more / len(changed)))
    return found


def report(found: Collection[Difference], experiment: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Writes a line for each method: its name, utterances, changed ones, difference of the error, and a verdict."""
    for one in found:
        name = EXPERIMENTS[experiment].methods.get(one.method, one.method)
        yield name, str(one.utterances), f"{one.changed:.1%}", f"{one.points:+.1f}", "" if one.tolerated else "too much"


def to_json(found: Collection[Difference]) -> list[dict[str, object]]:
    """Returns the differences as JSON can hold them."""
    return [{**asdict(one), "tolerated": one.tolerated} for one in found]


def _cell(row: Row) -> Key:
    return row.skill, row.size, row.seed
