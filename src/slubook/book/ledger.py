"""The ledger: the articles' claims, our measurements, and the verdicts.

Claims stand in ``book/claims.yml``, measurements in ``results/``. Verdicts are computed each time by the rules of
:func:`judge`, and stored nowhere. Taught on the ledger page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slubook.book.claims import Claim, Claimed, OfComparison, OfSlices, OfTable
from slubook.evaluation.intervals import Comparison, Interval, compare, holm
from slubook.experiments.records import Results, stale
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS

EXCEEDED, REPRODUCED, DIRECTION_ONLY = "exceeded", "reproduced", "direction only"
NOT_REPRODUCED, NOT_TESTABLE, NOT_RUN = "not reproduced", "not testable here", "not run yet"
#: Seeds that a comparison needs before it is judged.
LEAST_SEEDS = 5
VERDICTS = (EXCEEDED, REPRODUCED, DIRECTION_ONLY, NOT_REPRODUCED, NOT_TESTABLE, NOT_RUN)


@dataclass(frozen=True)
class Assessed:
    """A claim with its measurement (``None`` where nothing was measured), its verdict and the reason of the verdict."""

    claim: Claim
    verdict: str
    interval: Interval | None = None
    stale: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the row that ``slubook claims --json`` prints."""
        claim, i = self.claim, self.interval
        ends = {"measured": i.point, "low": i.low, "high": i.high} if i else dict.fromkeys(("measured", "low", "high"))
        return {
            **{field: getattr(claim, field) for field in ("id", "article", "experiment", "metric")},
            "claimed": claim.claimed.value,
            **{name: end if end is not None and math.isfinite(end) else None for name, end in ends.items()},
            "n": i.n_skills if i else None,
            "counts": claim.counts,
            "verdict": self.verdict,
            "protocol": claim.protocol,
            "stale": self.stale,
        }


def judge(claim: Claim, measured: Interval, broken: Sequence[str] = ()) -> tuple[str, str]:
    """Returns the verdict on a testable claim, and its reason.

    *exceeded*: the whole interval at or above the claim (its upper end where a range is claimed).
    *reproduced*: the interval excludes no effect in the claim's direction, and reaches the claim.
    *direction only*: it excludes no effect but falls short of the claim, or no figure is known to reach.
    *not reproduced*: anything else.

    No effect is 1 for ratios, else 0. A claimed direction is reproduced when the interval excludes no effect, and a
    claim of no loss when the interval lies above minus the margin. Of a claim that something is feasible, we chose the
    figure: reaching it within all limits reproduces the claim, and nothing exceeds it.

    Args:
        claim: a testable one.
        measured: the figure.
        broken: for the rule ``feasible``, the limits that did not hold, in words.
    """
    value, unit = claim.claimed.value, claim.claimed.unit
    no_effect, none = (1, "one") if unit == "ratio" else (0, "zero")
    it = "the figure" if measured.low == measured.high else "the interval"
    match claim.rule:
        case "feasible" if measured.point < value:
            return NOT_REPRODUCED, "fewer than claimed were tried"
        case "feasible" if broken:
            return NOT_REPRODUCED, "; ".join(broken)
        case "feasible":
            return REPRODUCED, "as many as claimed were tried, and every limit held"
        case "no_loss" if measured.low >= 0:
            return EXCEEDED, f"{it} excludes a loss"
        case "no_loss":
            margin = f"the margin, a loss of {show(claim.margin, unit)}"
            held = measured.low > -claim.margin
            beyond = "lies beyond" if measured.high < -claim.margin else "reaches beyond"
            return (REPRODUCED, f"{it} stays within {margin}") if held else (NOT_REPRODUCED, f"{it} {beyond} {margin}")
    if not measured.low > no_effect:
        where = f"lies below {none}" if measured.high < no_effect else f"includes {none}"
        return NOT_REPRODUCED, "nothing to compare" if math.isnan(measured.low) else f"{it} {where}"
    if claim.rule == "direction":
        return REPRODUCED, f"{it} lies above {none}; only the direction is claimed"
    if value is None:
        return DIRECTION_ONLY, f"{it} lies above {none}; no figure to reach is known"
    if measured.low >= (value if claim.claimed.upper is None else claim.claimed.upper):
        return EXCEEDED, f"{it} lies at or above the claim"
    if measured.point >= value:
        return REPRODUCED, "the point reaches the claim"
    if measured.high >= value:
        return REPRODUCED, "the interval reaches the claim, the point falls short of it"
    return DIRECTION_ONLY, f"{it} lies above {none} and falls short of the claim"


def protocol_now(experiment: str) -> int | None:
    """Returns today's protocol number of an experiment; ``None`` for one that is not written yet."""
    return EXPERIMENTS[experiment].protocol if experiment in EXPERIMENTS else None


def assess(
    claims: Sequence[Claim],
    folder: Path = RESULTS,
    *,
    replicates: int = 2000,
    protocol: Callable[[str], int | None] = protocol_now,
    progress: bool = True,
) -> list[Assessed]:
    """Assesses every claim by the results in a folder.

    Args:
        claims: as :func:`slubook.book.claims.load_claims` returns them.
        folder: holds ``<experiment>.json``; a claim whose experiment has none is *not run yet*.
        replicates: of the bootstrap.
        protocol: today's protocol number of an experiment; results of another number are stale.
        progress: show a bar on a terminal.

    Raises:
        RecordsError: when a results file is damaged or was edited by hand.
        ValueError: when the records allow no comparison, as in a half-finished run.
    """
    loaded, assessed = {}, []
    for claim in tqdm(claims, desc="claims", unit="claim", leave=False, disable=None if progress else True):
        if claim.not_testable is not None:
            assessed.append(Assessed(claim, NOT_TESTABLE, reason=claim.not_testable))
            continue
        if claim.experiment not in loaded:
            loaded[claim.experiment] = published(claim.experiment, folder)
        results = loaded[claim.experiment]
        if missing := _missing(claim.measure, results):
            assessed.append(Assessed(claim, NOT_RUN, reason=missing))
            continue
        measured = _measure(claim, results, replicates)
        now = protocol(claim.experiment)
        said, why = judge(claim, measured, _broken(claim.measure, results))
        assessed.append(Assessed(claim, said, measured, now is None or stale(results, now), why))
    return assessed


def published(experiment: str, folder: Path = RESULTS) -> Results | None:
    """Loads the published results of an experiment; ``None`` where the full profile has not been run yet.

    Raises:
        RecordsError: when the file is damaged or was edited by hand.
    """
    path = folder / f"{experiment}.json"
    return Results.load(path) if path.is_file() else None


def _missing(measure: OfComparison | OfTable, results: Results | None) -> str:
    """Says what the results lack for a measurement; empty when nothing."""
    if results is None:
        return "there are no published results of this experiment"
    if (profile := results.stamp.get("config", {}).get("profile")) != "full":
        return f"the results are of the {profile} profile: a verdict takes the full one"
    cells = results.tables.get("cells", {"done": 1, "planned": 1})
    if cells["done"] < cells["planned"]:
        return f"the run is not over: {cells['done']} of {cells['planned']} cells are measured"
    if isinstance(measure, OfTable):
        lacking = [f"a table {measure.table!r}"] if measure.table not in results.tables else []
        rows = results.rows
    else:
        lacking = [m for m in (measure.baseline, measure.proposed) if m not in results.methods]
        lacking += [f"size {size}" for size in measure.sizes or () if size not in results.sizes]
        rows = results.select([measure.baseline, measure.proposed], measure.sizes)
    if lacking:
        return f"the results lack {', '.join(lacking)}"
    seeds = {row.seed for row in rows}
    return f"the results have {len(seeds)} seeds: a verdict takes {LEAST_SEEDS}" if len(seeds) < LEAST_SEEDS else ""


def _measure(claim: Claim, results: Results, replicates: int) -> Interval:
    how = claim.measure
    if isinstance(how, OfTable):
        figure = _entry(results, how.table, how.entry)
        return table_interval(figure / _entry(results, how.table, how.over) if how.over else figure)
    groups = results.groups() if how.groups else None
    pair = (results.rows, claim.metric, how.baseline, how.proposed, how.sizes)
    shared = {"statistic": how.statistic, "slice": how.slice, "groups": groups, "replicates": replicates}
    if isinstance(how, OfSlices):
        return compare(*pair, **shared, against=how.against)
    return compare(*pair, **shared)


def _entry(results: Results, table: str, path: str) -> Any:
    """Returns the entry of a table under a dotted path; without a path, the table itself."""
    value = results.tables[table]
    for key in filter(None, path.split(".")):
        if not isinstance(value, Mapping) or key not in value:
            raise ValueError(f"the table {table!r} of experiment {results.experiment!r} has no entry {path!r}")
        value = value[key]
    return value


def _broken(measure: OfComparison | OfTable, results: Results) -> list[str]:
    """Lists the limits of a measurement that did not hold, in words."""
    limits = measure.most if isinstance(measure, OfTable) else {}
    found = {entry: _entry(results, measure.table, entry) for entry in limits}
    return [f"{e} is {found[e]:,.0f}, at most {most:,.0f} was allowed" for e, most in limits.items() if found[e] > most]


def table_interval(figure: float | dict[str, float]) -> Interval:
    """Turns a tabled figure, ``{"point", "low", "high", "n"}`` or a bare number, into an interval."""
    if not isinstance(figure, dict):
        figure = {"point": figure}
    point = float(figure["point"])
    return Interval(point, float(figure.get("low", point)), float(figure.get("high", point)), int(figure.get("n", 1)))


def show(value: float | None, unit: str) -> str:
    """Formats a figure: percent for shares and reductions, points, × for ratios, digits for counts."""
    if value is None or math.isnan(value):
        return "–"
    if unit.startswith("points"):
        return f"{100 * value:.1f} points"
    if unit == "ratio":
        return f"{value:.1f}×"
    return f"{value:,.0f}" if unit == "count" else f"{100 * value:.1f} %"


def show_claimed(claimed: Claimed) -> str:
    """Formats the claimed figure or range; where there is none, says why."""
    ends = [end for end in (claimed.value, claimed.upper) if end is not None]
    return claimed.note if claimed.value is None else " to ".join(show(end, claimed.unit) for end in ends)


def show_measured(row: Assessed) -> str:
    """Formats the measured figure with its interval; a dash where nothing was measured."""
    if row.interval is None:
        return "–"
    unit, i = row.claim.claimed.unit, row.interval
    if i.low == i.high or math.isnan(i.low):
        return show(i.point, unit)
    if unit == "ratio":  # one more digit than the claim has, or an interval may look like its point
        return f"{i.point:.2f}× [{i.low:.2f}×, {i.high:.2f}×]"
    if unit == "count":
        return f"{show(i.point, unit)} [{show(i.low, unit)}, {show(i.high, unit)}]"
    return i.percent(" points" if unit.startswith("points") else " %")


def show_n(row: Assessed) -> str:
    """Formats how many skills, or other things counted, a figure rests on; empty where nothing was measured."""
    n, counts = str(row.interval.n_skills) if row.interval else "", row.claim.counts
    return f"{n} {counts}" if n and counts != "skills" else n


def rank_tests(assessed: Sequence[Assessed]) -> dict[str, float]:
    """Computes the p-values of signed-rank tests over skills, adjusted by Holm's method for the number of tests.

    Readings of one comparison rest on one test, which is counted once, under the first of their ids.
    """
    tests: dict[tuple, Assessed] = {}
    for row in assessed:
        if isinstance(row.interval, Comparison):
            how = row.claim.measure
            key = (row.claim.experiment, row.claim.metric, how.baseline, how.proposed, how.sizes, how.slice)
            tests.setdefault((*key, how.against, how.statistic) if isinstance(how, OfSlices) else key, row)
    adjusted = holm([row.interval.p_wilcoxon for row in tests.values()])
    return {row.claim.id: float(p) for row, p in zip(tests.values(), adjusted, strict=True)}
