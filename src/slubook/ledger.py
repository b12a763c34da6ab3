"""The ledger: the articles' claims against our records, and the verdicts that follow.

Claims stand in ``book/claims.yml``, measurements in ``results/``; a verdict is computed each time and
written nowhere. The rules are those of :func:`verdict`. Taught on the ledger page.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slubook.claims import Claim, Claimed, OfComparison, OfTable
from slubook.evaluation.intervals import Comparison, Interval, compare, holm
from slubook.experiments.records import Results, stale
from slubook.profiles import RESULTS

EXCEEDED, REPRODUCED, DIRECTION_ONLY = "exceeded", "reproduced", "direction only"
NOT_REPRODUCED, NOT_TESTABLE, NOT_RUN = "not reproduced", "not testable here", "not run yet"
VERDICTS = (EXCEEDED, REPRODUCED, DIRECTION_ONLY, NOT_REPRODUCED, NOT_TESTABLE, NOT_RUN)


@dataclass(frozen=True)
class Assessed:
    """A claim with its measurement and verdict; ``interval`` is ``None`` where nothing was measured."""

    claim: Claim
    verdict: str
    interval: Interval | None = None
    stale: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The row that ``slubook claims --json`` prints."""
        i = self.interval
        figures = (i.point, i.low, i.high) if i else (None,) * 3
        measured, low, high = (v if v is not None and math.isfinite(v) else None for v in figures)
        return {
            "id": self.claim.id,
            "article": self.claim.article,
            "experiment": self.claim.experiment,
            "metric": self.claim.metric,
            "claimed": self.claim.claimed.value,
            "measured": measured,
            "low": low,
            "high": high,
            "n": i.n_skills if i else None,
            "verdict": self.verdict,
            "protocol": self.claim.protocol,
            "stale": self.stale,
        }


def verdict(claim: Claim, measured: Interval) -> str:
    """The verdict on a testable claim.

    *exceeded*: the whole interval at or above the claim (its upper end where a range is claimed).
    *reproduced*: the interval excludes no effect in the claim's direction, and reaches the claim.
    *direction only*: it excludes no effect but falls short of the claim, or no figure is known to reach.
    *not reproduced*: anything else.

    No effect is 1 for ratios, else 0. Where only a direction is claimed, excluding no effect is enough to
    be reproduced. Where no loss is claimed, an interval above minus the margin is.
    """
    value, no_effect = claim.claimed.value, 1.0 if claim.claimed.unit == "ratio" else 0.0
    if claim.rule == "no_loss":
        return EXCEEDED if measured.low >= 0 else REPRODUCED if measured.low > -claim.margin else NOT_REPRODUCED
    if not measured.low > no_effect:
        return NOT_REPRODUCED
    if claim.rule == "direction":
        return REPRODUCED
    if value is None:
        return DIRECTION_ONLY
    if measured.low >= (value if claim.claimed.upper is None else claim.claimed.upper):
        return EXCEEDED
    return REPRODUCED if max(measured.point, measured.high) >= value else DIRECTION_ONLY


def protocol_now(experiment: str) -> int | None:
    """The constant ``PROTOCOL`` of an experiment's module, read without importing it (experiments import torch)."""
    spec = find_spec(f"slubook.experiments.{experiment}")
    if spec is None or spec.origin is None:
        return None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = list(zip(names, values, strict=True))
            case ast.Assign(targets=[name], value=value):
                pairs = [(name, value)]
            case _:
                continue
        for name, value in pairs:
            if isinstance(name, ast.Name) and name.id == "PROTOCOL":
                return int(ast.literal_eval(value))
    return None


def assess(
    claims: Sequence[Claim],
    folder: Path = RESULTS,
    *,
    replicates: int = 2000,
    protocol: Callable[[str], int | None] = protocol_now,
    progress: bool = True,
) -> list[Assessed]:
    """Give every claim its verdict, from the results in ``folder``.

    Args:
        claims: as :func:`slubook.claims.load_claims` gives them.
        folder: where ``<experiment>.json`` stand; a claim whose experiment has none is *not run yet*.
        replicates: of the bootstrap.
        protocol: today's protocol number of an experiment; results of another number are stale.
        progress: show a bar on a terminal.

    Raises:
        RecordsError: when a results file is damaged or was changed by hand.
        ValueError: when the records do not allow a comparison, such as a half-finished run.
    """
    loaded: dict[str, Results | None] = {}
    assessed = []
    for claim in tqdm(claims, desc="claims", unit="claim", leave=False, disable=None if progress else True):
        if claim.not_testable is not None:
            assessed.append(Assessed(claim, NOT_TESTABLE, reason=claim.not_testable))
            continue
        if claim.experiment not in loaded:
            path = folder / f"{claim.experiment}.json"
            loaded[claim.experiment] = Results.load(path) if path.is_file() else None
        results = loaded[claim.experiment]
        missing = _missing(claim.measure, results)
        if missing:
            assessed.append(Assessed(claim, NOT_RUN, reason=missing))
            continue
        measured = _measure(claim, results, replicates)
        now = protocol(claim.experiment)
        assessed.append(Assessed(claim, verdict(claim, measured), measured, stale=now is None or stale(results, now)))
    return assessed


def _missing(measure: OfComparison | OfTable, results: Results | None) -> str:
    """What the results lack for this measurement, in words; empty when nothing."""
    if results is None:
        return "there are no published results of this experiment"
    if isinstance(measure, OfTable):
        return "" if measure.table in results.tables else f"the results have no table {measure.table!r}"
    cells = results.tables.get("cells", {"done": 1, "planned": 1})
    if cells["done"] < cells["planned"]:
        return f"the run is not over: {cells['done']} of {cells['planned']} cells are measured"
    lacking = [m for m in (measure.baseline, measure.proposed) if m not in results.methods]
    lacking += [f"size {size}" for size in measure.sizes or () if size not in results.sizes]
    return f"the results lack {', '.join(lacking)}" if lacking else ""


def _measure(claim: Claim, results: Results, replicates: int) -> Interval:
    if isinstance(claim.measure, OfTable):
        return table_interval(results.tables[claim.measure.table])
    how = claim.measure
    return compare(
        results.rows,
        claim.metric,
        how.baseline,
        how.proposed,
        how.sizes,
        statistic=how.statistic,
        slice=how.slice,
        groups=results.groups(how.groups) if how.groups else None,
        replicates=replicates,
    )


def table_interval(figure: float | dict[str, float]) -> Interval:
    """A tabled figure, ``{"point", "low", "high", "n"}`` or a bare number, as an interval."""
    if not isinstance(figure, dict):
        figure = {"point": figure}
    point = float(figure["point"])
    return Interval(point, float(figure.get("low", point)), float(figure.get("high", point)), int(figure.get("n", 1)))


def show(value: float | None, unit: str) -> str:
    """A figure as the ledger prints it: per cent for shares and reductions, × for ratios, digits for counts."""
    if value is None:
        return "–"
    if unit == "ratio":
        return f"{value:.1f}×"
    return f"{value:,.0f}" if unit == "count" else f"{100 * value:.1f} %"


def show_claimed(claimed: Claimed) -> str:
    """The claimed figure or range, or why there is none."""
    if claimed.value is None:
        return claimed.note
    parts = [show(claimed.value, claimed.unit)]
    if claimed.upper is not None:
        parts.append(show(claimed.upper, claimed.unit))
    return " to ".join(parts)


def show_measured(row: Assessed) -> str:
    """The measured figure with its interval, or a dash."""
    if row.interval is None:
        return "–"
    unit, i = row.claim.claimed.unit, row.interval
    if i.low == i.high:
        return show(i.point, unit)
    return f"{show(i.point, unit)} [{show(i.low, unit)}, {show(i.high, unit)}]"


def rank_tests(assessed: Sequence[Assessed]) -> dict[str, float]:
    """The p-values of the signed-rank tests over skills by claim id, adjusted by Holm's method for their number."""
    rows = [row for row in assessed if isinstance(row.interval, Comparison)]
    adjusted = holm([row.interval.p_wilcoxon for row in rows])
    return {row.claim.id: float(p) for row, p in zip(rows, adjusted, strict=True)}
