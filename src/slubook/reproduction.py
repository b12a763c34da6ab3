"""Measures published cells anew, and counts what differs from what is published.

Nothing is taken from the published results but the cells that they have, and nothing from finished cells in the cache.
Word vectors and pretrained networks in the cache are read there, as by every run.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slubook.evaluation.metrics import METRICS
from slubook.experiments.cells import CellStore, Key
from slubook.experiments.kept import FACTS
from slubook.experiments.options import Choice, Options
from slubook.experiments.records import RecordsError, Results, Row
from slubook.experiments.runner import Identity, Work, prepare
from slubook.experiments.stamps import config_hash
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS, cache_dir, stable_hash

#: What may differ, for each method: the share of utterances whose outcome changed, and the error in points. Word
#: vectors and networks differ in their last digits from one type of processor to another, and a network trained on
#: other digits answers a few utterances otherwise. Another random start changes the outcomes of 14 % of the utterances
#: in the published records (``scratch`` and ``scratch_again`` of convergence; 13 % for ``elmol`` and ``elmol_again``):
#: half of that is allowed. It changes the error of three drawn cells by at most 2.7 points in 95 of 100 draws. A test
#: counts these figures again.
CHANGED, POINTS = 0.07, 3.0
#: What may differ in a table that has no interval, as a share of the published number.
TABLED = 0.01
#: Experiments that are measured as a whole, unless some cells are drawn: these say nothing of their tables.
WHOLE = ("serving", "engineering")
#: Seconds that one table of word vectors takes, by a part of its name; records have those of all else. The embedded
#: corpora have a sixth of the public requests.
TABLE_S, SMALLER = {"pool": 60, "general": 480, "mlm": 300}, 6
#: Figures of tables that depend on the machine and its hour.
TIMED = re.compile(r"_ms|_s$|second|speed|memory|resident|disk|cache|origins|paid_back")


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
    """An identity whose finished cells are kept in a ``folder`` of its own, not in the cache.

    Its data are those of the drawn cells, which were compared with the published ones; more cells may be added.
    """

    folder: Path

    def store(self) -> CellStore:
        """Returns where the cells are kept."""
        return CellStore(self.folder, config_hash({"config": self.config, "protocol": self.protocol}))

    def differences(self, results: Results) -> list[str]:
        """Names what of the results is of another identity, whatever their data are."""
        return Identity.differences(replace(self, data={}), results)


def drawn(cells: Collection[Key], n: int | None, needs: Callable[[Key], Sequence[str]]) -> list[Key]:
    """Draws n of the cells, the same each time, or takes all; a larger n adds cells to those of a smaller one.

    The first table or network that a cell ``needs`` is drawn first, such as that of its fold of topics, and cells among
    those that need it: others only when these are too few. So little has to be trained for a few cells.
    """
    return sorted(
        cells, key=lambda cell: (stable_hash("reproduce", *needs(cell)[:1]), stable_hash("reproduce", *cell))
    )[:n]


def expecting(published: Results, choose: Choice, jobs: int, fresh: bool = False) -> Choice:
    """Returns the same choice; made, it tells on stderr how many minutes cells and training take, by published records.

    Tables and networks that the cache has are not counted, unless what is trained is ``fresh``.
    """
    origins, networks = published.tables["origins"], published.tables.get("pretraining", {})
    of_cell = sum(origin["cell_s"] for origin in origins) / sum(origin["cells"] for origin in origins)
    variant = re.compile(r"(elmol-)?[a-z]+-\d+")

    def seconds(name: str) -> float:
        if table := re.match(r"[a-z]+-(pool|mlm|general)", name):
            return TABLE_S[table[1]] / (1 if name.startswith("full") else SMALLER) * jobs  # one after the other
        alike = [about["seconds"] for n, about in networks.items() if variant.sub("", n) == variant.sub("", name)]
        return sum(alike) / max(1, len(alike))

    def chosen(keys: Sequence[Key], needs: Callable[[Key], Sequence[str]]) -> Sequence[Key]:
        cells = choose(keys, needs)
        todo = {name for key in cells for name in needs(key) if fresh or not any(cache_dir().glob(f"*/{name}/{FACTS}"))}
        minutes = math.ceil((len(cells) * of_cell + sum(map(seconds, todo))) / jobs / 60)
        said = f"cells: {len(cells)}; tables and networks to train before: {len(todo)}; expected minutes: {minutes:,}"
        print(f"{said}, on {jobs} free cores like those of the published run", file=sys.stderr, flush=True)
        return cells

    return chosen


def trained(results: Results) -> str:
    """Says by a run's stamp how long it trained what, such as ``pretraining 8,000 updates of 64; spacy 24 epochs``."""
    config, found = results.stamp["config"], dict[str, list[str]]()

    def read(part: Mapping[str, Any], name: str) -> None:
        lengths = [f"{part[unit]:,} {unit}" for unit in ("updates", "epochs") if isinstance(part.get(unit), int)]
        if lengths and not ("updates" in config and name in EXPERIMENTS[results.experiment].methods):
            batch = part.get("batch", ())
            said = " ".join(lengths) + (f" of {batch}" if isinstance(batch, int) else "")
            found.setdefault(said, []).append(name.replace("_", " "))
        for key, value in part.items():
            if isinstance(value, Mapping) and not (key in ("small", "fasttext") and "small" in config):
                read(value, name if key in ("training", "model") else key)
            elif key != "epochs" and name == "epochs":
                found.setdefault(f"{value} epochs", []).append(f"table {key}")

    read(config, "networks" if "updates" in config or "training" in config else "networks at least")
    return "; ".join(f"{', '.join(dict.fromkeys(of))} {said}" for said, of in found.items())


def reproduce(published: Results, options: Options, cells: int | None = None, settings: object = None) -> Results:
    """Measures published cells anew, and writes and returns their results; the same folder again resumes.

    Args:
        published: what is compared with; its cells are drawn from.
        options: of the published profile; ``out`` is the new results file.
        cells: how many to draw, beside those that ``out`` has; ``None`` for all.
        settings: other than the tuned ones.

    Raises:
        CorpusError, RecordsError, CellsFailed: as :func:`slubook.experiments.runner.run` does; RecordsError also when
            the published file would be overwritten, or what is published is of other settings or data.
    """
    began, name, out, picked = time.time(), published.experiment, options.out, list[Key]()
    if out.resolve().parent == RESULTS.resolve():
        raise RecordsError(f"{out}: is what is published: name another folder with --out")
    whole, there = cells is None and name in WHOLE, {_cell(row) for row in published.rows}
    before = {_cell(row) for row in Results.load(out).rows} if out.is_file() else set()

    def choose(keys: Sequence[Key], needs: Callable[[Key], Sequence[str]]) -> Sequence[Key]:
        found = drawn([key for key in keys if key in there], cells, needs)
        picked[:] = keys if whole else [*found, *(key for key in keys if key in before.difference(found))]
        return picked

    asked = replace(options, seeds=1 + max(published.stamp["seeds"], default=0))
    identity, work = prepare(name, replace(asked, choose=expecting(published, choose, options.jobs)), settings)
    if not picked:
        choose(work.keys, lambda key: ())  # an experiment that trains the same for all
    was = published.stamp["data"]
    rows = {table for table in was if table.startswith("vectors ")} if name in WHOLE else ()  # of their last digits
    unlike = {key for key, made in work.data.items() if key not in rows and was.get(key) != made}
    others = replace(identity, data={}).differences(published) + (["data"] if unlike else [])
    if others:
        raise RecordsError(f"{name}: what is published is of other {', '.join(others)}: there is nothing to compare")
    if cells is not None:  # tables of a few cells have nothing to be compared with
        work = Work(picked, work.task, work.tests, work.data)
    return replace(work, keys=picked).measure(Anew(**vars(identity), folder=out.with_suffix(".cells")), asked, began)


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


def tabled(published: Results, anew: Results) -> list[tuple[str, float, float, bool]]:
    """Compares figures of tables where all cells were measured: name, published, now, whether so much is tolerated.

    A figure with an interval may lie anywhere in the published one. Other numbers are compared of what is measured as
    a whole, within :data:`TABLED`. What :data:`TIMED` names is left out.
    """
    if {_cell(row) for row in published.rows} != {_cell(row) for row in anew.rows}:
        return []
    now, whole, found = dict(_figures(anew.tables)), published.experiment in WHOLE, []
    for name, (point, low, high) in _figures(published.tables):
        if not TIMED.search(name) and (whole or low < high):
            again, slack = now.get(name, (math.nan,))[0], 0 if low < high else TABLED * abs(point)
            found.append((name, point, again, low - slack <= again <= high + slack))
    return found


def _figures(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yields the figures of tables by dotted names: point, low and high, which are one for a bare number."""
    for name, value in table.items():
        if isinstance(value, int | float):
            yield path + name, (value, value, value)
        elif isinstance(value, Mapping) and value.keys() >= {"point", "low", "high"}:
            yield path + name, (value["point"], value["low"], value["high"])
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{path}{name}.")


def report(found: Collection[Difference], experiment: str) -> Iterator[str]:
    """Writes two lines for each method: its name, then what differs and whether that is too much."""
    for one in found:
        said = f"{one.changed:.1%} of {one.utterances:,} utterances changed, error {one.points:+.1f} points"
        yield f"{EXPERIMENTS[experiment].methods[one.method]}\n  {said}{'' if one.tolerated else ': too much'}"


def to_json(found: Collection[Difference]) -> list[dict[str, object]]:
    """Returns the differences as JSON can hold them."""
    return [{**asdict(one), "tolerated": one.tolerated} for one in found]


def _cell(row: Row) -> Key:
    return row.skill, row.size, row.seed
