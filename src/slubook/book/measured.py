"""Measures what a claim asks of its results file, and keeps the figures in the cache.

A bootstrap takes seconds, and the ledger has dozens. A kept figure is found again by the bytes of the results file,
what is asked of them, and the code that computes it; so nothing kept outlives a change of any of these.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial, reduce
from importlib.metadata import version
from operator import getitem
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import TypeAdapter

from slubook.book.claims import Claim, OfComparison, OfSlices, OfTable
from slubook.evaluation import intervals
from slubook.evaluation.intervals import STATISTICS, Comparison, Interval, compare, ends
from slubook.evaluation.resampling import bootstrap, collect, measured_error
from slubook.experiments import records
from slubook.experiments.cells import CellStore
from slubook.experiments.records import SLICES, Results, with_slices
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS, cache_dir


@dataclass(frozen=True)
class ByCorpus:
    """How much a comparison hangs on the corpora that its skills are from."""

    best: str  # the corpus without which the figure is smallest
    without_best: float  # the figure without it
    fixed_low: float  # the interval when each corpus's own skills are drawn, and the corpora are not
    fixed_high: float
    equal_weight: float  # the mean of the corpora's own figures, each of which weighs the same

    FIGURES: ClassVar[tuple[str, ...]] = ("without_best", "fixed_low", "fixed_high", "equal_weight")


@dataclass(frozen=True)
class Found:
    """What a results file says of a claim."""

    missing: str  # what it lacks, in words; then the rest is empty
    interval: Comparison | Interval | None = None  # the figure
    broken: tuple[str, ...] = ()  # the limits that did not hold, in words
    protocol: int | None = None  # under which the figure was measured
    by_corpus: ByCorpus | None = None  # for headline comparisons over several corpora


_FOUND = TypeAdapter(Found)


def published(experiment: str, folder: Path = RESULTS) -> Results | None:
    """Loads the published results of an experiment; ``None`` where the full profile has not been run yet.

    Raises:
        RecordsError: when the file is damaged or was edited by hand.
    """
    path = folder / f"{experiment}.json"
    return with_slices(Results.load(path), folder) if path.is_file() else None


def how_far(results: Results | None) -> str:
    """Says how many of a run's cells are measured; empty where there is no run, or it is complete."""
    cells = results.tables.get("cells") if results else None
    return f"{cells['done']} of {cells['planned']} cells" if cells and cells["done"] < cells["planned"] else ""


class Measurements:
    """The figures of a folder of results, each computed once and kept in the cache."""

    def __init__(self, folder: Path = RESULTS, replicates: int = 2000) -> None:
        self.folder, self.replicates = folder, replicates
        self._digest, self._load = cache(_digest), cache(partial(published, folder=folder))  # each file is read once

    def of(self, claim: Claim) -> Found:
        """Returns what the results say of a testable claim.

        Raises:
            RecordsError: when the file is damaged or was edited by hand.
            ValueError: when the records allow no comparison, as in a half-finished run.
        """
        path = self.folder / f"{claim.experiment}.json"
        if not path.is_file():
            return Found("there are no published results of this experiment")
        kept, asked = CellStore(cache_dir() / "ledger"), (claim.metric, claim.measure.model_dump_json(), claim.headline)
        key = (claim.experiment, self._digest(path), _code(), *asked, self.replicates)
        if content := kept.get(key):
            return _FOUND.validate_python(content)
        results = self._load(claim.experiment)
        missing = _missing(claim.measure, results)
        found = Found(missing) if missing else figure(claim, results, self.replicates)
        with suppress(OSError):  # verdicts are worth having where the cache cannot be written
            kept.put(key, asdict(found))
        return found


def _digest(path: Path) -> str:
    beside = path.with_name(SLICES)
    return hashlib.sha256(path.read_bytes() + (beside.read_bytes() if beside.is_file() else b"")).hexdigest()


@cache
def _code() -> str:
    """Returns a hash of the code that turns records into figures, and of the versions of what it computes with."""
    files = [*sorted(Path(intervals.__file__).parent.glob("*.py")), Path(records.__file__), Path(__file__)]
    versions = "".join(map(version, ("numpy", "scipy"))).encode()
    return hashlib.sha256(b"".join([versions, *(file.read_bytes() for file in files)])).hexdigest()


def figure(claim: Claim, results: Results, replicates: int = 2000) -> Found:
    """Computes the figure of a testable claim from results that have what it takes, or raises ValueError."""
    how, protocol = claim.measure, results.stamp.get("protocol")
    if isinstance(how, OfTable):
        value = _entry(results, how.table, how.entry)
        interval = table_interval(value / _entry(results, how.table, how.over) if how.over else value)
        return Found("", interval, tuple(_broken(how, results)), protocol)
    shared = {"slice": how.slice, "groups": results.groups() if how.groups else None, "replicates": replicates}
    shared["crossed"] = results.crossed
    against = how.against if isinstance(how, OfSlices) else None
    pair = (results.rows, claim.metric, how.baseline, how.proposed, how.sizes)
    interval = compare(*pair, **shared, statistic=how.statistic, against=against)
    hangs = claim.headline and how.groups and not against
    return Found("", interval, (), protocol, by_corpora(results, claim.metric, how, replicates) if hangs else None)


def by_corpora(results: Results, metric: str, how: OfComparison, replicates: int) -> ByCorpus | None:
    """Computes how much a comparison hangs on its corpora; ``None`` where all skills are from one.

    With the corpora held fixed, each keeps its share of the skills: its own are drawn, domains first, then skills.
    """
    pair, corpus_of, of = [how.baseline, how.proposed], results.groups(), STATISTICS[how.statistic]
    cells = collect(results.rows, metric, pair, how.sizes, how.slice)
    errors = {skill: measured_error(own) for skill, own in cells.items()}
    corpora = {c: [s for s in errors if corpus_of[s] == c] for c in sorted({corpus_of[s] for s in errors})}
    if len(corpora) < 2:
        return None

    def of_skills(skills: list[str]) -> float:
        return float(of(*np.mean([errors[skill] for skill in skills], axis=0)))

    without = {c: of_skills([s for s in errors if s not in own]) for c, own in corpora.items()}
    best = min(without, key=without.get)
    drawn = [
        len(own) / len(errors) * bootstrap({s: cells[s] for s in own}, corpus_of, replicates, seed, results.crossed)[1]
        for seed, own in enumerate(corpora.values())
    ]  # of each corpus, [replicates, 2]
    least = min(map(len, drawn))  # a replicate without an utterance of the slice is left out
    mean = np.sum([one[:least] for one in drawn], axis=0)
    alike = float(np.mean([of_skills(own) for own in corpora.values()]))
    return ByCorpus(best, without[best], *ends(of(mean[:, 0], mean[:, 1])), alike)


def _missing(measure: OfComparison | OfTable, results: Results) -> str:
    """Says what the results lack for a measurement; empty when nothing."""
    if (profile := results.stamp.get("config", {}).get("profile")) != "full":
        return f"the results are of the {profile} profile: a verdict takes the full one"
    if far := how_far(results):
        return f"the run is not over: {far} are measured"
    if isinstance(measure, OfTable):
        lacking, rows = [f"a table {measure.table!r}"] * (measure.table not in results.tables), results.rows
    else:
        lacking = [m for m in (measure.baseline, measure.proposed) if m not in results.methods]
        lacking += [f"size {size}" for size in measure.sizes or () if size not in results.sizes]
        rows = results.select([measure.baseline, measure.proposed], measure.sizes)
        lacking += [f"slice {measure.slice}"] * any(measure.slice not in {None, *row.slices} for row in rows)
    if lacking:
        return f"the results lack {', '.join(lacking)}"
    least = EXPERIMENTS[results.experiment].least_seeds if results.rows else 0  # what trains nothing has no rows
    seeds = {row.seed for row in rows}
    return f"the results have {len(seeds)} seeds: a verdict takes {least}" if len(seeds) < least else ""


def _entry(results: Results, table: str, path: str) -> Any:
    """Returns the entry of a table under a dotted path; without a path, the table itself."""
    try:
        return reduce(getitem, filter(None, path.split(".")), results.tables[table])
    except (KeyError, TypeError, IndexError):
        raise ValueError(f"the table {table!r} of experiment {results.experiment!r} has no entry {path!r}") from None


def _broken(measure: OfTable, results: Results) -> list[str]:
    """Lists the limits of a measurement that did not hold, in words."""
    found = ((entry, _entry(results, measure.table, entry), most) for entry, most in measure.most.items())
    return [f"{entry} is {value:,.0f}, at most {most:,.0f} was allowed" for entry, value, most in found if value > most]


def table_interval(figure: float | dict[str, float]) -> Interval:
    """Turns a tabled figure, ``{"point", "low", "high", "n"}`` or a bare number, into an interval."""
    figure = figure if isinstance(figure, dict) else {"point": figure}
    point = float(figure["point"])
    return Interval(point, float(figure.get("low", point)), float(figure.get("high", point)), int(figure.get("n", 1)))
