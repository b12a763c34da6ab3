"""The ledger: the articles' claims, our measurements, and the verdicts.

Claims stand in ``book/claims.yml``, measurements in ``results/``. Verdicts are computed each time by the rules of
:func:`judge`, and stored nowhere. Taught on the ledger page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slubook.book.claims import Claim, Claimed, OfSlices
from slubook.book.measured import ByCorpus, Measurements
from slubook.book.measured import table_interval as table_interval  # pages take it from here
from slubook.evaluation.intervals import Comparison, Interval, holm
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS

EXCEEDED, REPRODUCED, COMPATIBLE, DIRECTION_ONLY = "exceeded", "reproduced", "compatible", "direction only"
INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTABLE = "inconclusive", "not reproduced", "not testable here"
NOT_RUN = "not run yet"
VERDICTS = (
    EXCEEDED, REPRODUCED, COMPATIBLE, DIRECTION_ONLY, INCONCLUSIVE, NOT_REPRODUCED, NOT_TESTABLE, NOT_RUN,
)  # fmt: skip
#: What stands in place of a verdict where a claim was added when its figures had been seen.
ADDED = "added afterwards"


@dataclass(frozen=True)
class Assessed:
    """A claim with its measurement (``None`` where nothing was measured), its verdict and the reason of the verdict.

    ``by_corpus`` says of a headline comparison how much its figure hangs on the corpora.
    """

    claim: Claim
    verdict: str
    interval: Interval | None = None
    stale: bool = False
    reason: str = ""
    by_corpus: ByCorpus | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the row that ``slubook claims --json`` prints."""
        claim, i = self.claim, self.interval
        figures = {"measured": i.point, "low": i.low, "high": i.high, "n": i.n_skills} if i else {}
        figures |= {name: getattr(self.by_corpus, name) for name in ByCorpus.FIGURES} if self.by_corpus else {}
        known = {name: figure for name, figure in figures.items() if math.isfinite(figure)}
        return {
            **{field: getattr(claim, field) for field in ("id", "article", "experiment", "metric")},
            "claimed": claim.claimed.value,
            **{name: known.get(name) for name in ("measured", "low", "high", "n")},
            "counts": claim.counts,
            "verdict": self.verdict,
            "reason": self.reason,
            "protocol": claim.protocol,
            "stale": self.stale,
            **{field: getattr(claim, field) for field in ("headline", "name", "role", "of")},
            **{name: known.get(name) for name in ByCorpus.FIGURES},
        }


def judge(claim: Claim, measured: Interval, broken: Sequence[str] = ()) -> tuple[str, str]:
    """Returns the verdict on a testable claim, and its reason.

    *exceeded*: the whole interval lies at or above the claim (its upper end where a range is claimed).
    *reproduced*: the interval excludes no effect in the claim's direction, and the point reaches the claim.
    *compatible*: it excludes no effect, the point falls short of the claim, and the interval covers the claim.
    *direction only*: it excludes no effect and lies below the claim, or no figure is known to reach.
    *inconclusive*: it covers both no effect and the claim.
    *not reproduced*: it excludes the claim, and does not exclude no effect in the claim's direction.

    No effect is 1 for ratios, else 0. Of a claimed direction, an interval that excludes no effect is *reproduced*, one
    that covers it *inconclusive*, one on the other side *not reproduced*. A claim of no loss is *reproduced* when the
    interval lies above minus the margin, and *not reproduced* when it lies below. Of a claim that something is
    feasible, we chose the figure: reaching it within all limits reproduces the claim, and nothing exceeds it. Where
    there is no interval, the point decides.

    Args:
        claim: a testable one.
        measured: the figure.
        broken: for the rule ``feasible``, the limits that did not hold, in words.
    """
    value, unit, low, high = claim.claimed.value, claim.claimed.unit, measured.low, measured.high
    no_effect, none = (1, "one") if unit == "ratio" else (0, "zero")
    it = "the figure" if low == high else "the interval"
    if claim.rule == "feasible":
        if broken := ["fewer than claimed were tried"] if measured.point < value else broken:
            return NOT_REPRODUCED, "; ".join(broken)
        return REPRODUCED, "as many as claimed were tried, and every limit held"
    if math.isnan(low):
        return INCONCLUSIVE, "nothing to compare"
    if claim.rule == "no_loss":
        margin = f"the margin, a loss of {show(claim.margin, unit)}"
        if low >= 0:
            return EXCEEDED, f"{it} excludes a loss"
        if low > -claim.margin:
            return REPRODUCED, f"{it} stays within {margin}"
        beyond = high < -claim.margin
        return (NOT_REPRODUCED, f"{it} lies beyond {margin}") if beyond else (INCONCLUSIVE, f"{it} covers {margin}")
    if claim.rule == "direction":
        value = None
    if low > no_effect:
        above = f"{it} lies above {none}"
        if value is None:
            known = REPRODUCED, f"{above}; only the direction is claimed"
            return known if claim.rule == "direction" else (DIRECTION_ONLY, f"{above}; no figure to reach is known")
        if low >= (value if claim.claimed.upper is None else claim.claimed.upper):
            return EXCEEDED, f"{it} lies at or above the claim"
        if measured.point >= value:
            return REPRODUCED, f"{above}, and the point reaches the claim"
        if high >= value:
            return COMPATIBLE, f"{above} and covers the claim, the point falls short of it"
        return DIRECTION_ONLY, f"{above} and falls short of the claim"
    if high < no_effect or low == high:
        return NOT_REPRODUCED, f"{it} lies below {none}" if high < no_effect else f"{it} is {none}"
    if value is None:
        return INCONCLUSIVE, f"{it} covers {none}"
    covers = f"{it} covers {none} and"
    return (INCONCLUSIVE, f"{covers} the claim") if high >= value else (NOT_REPRODUCED, f"{covers} excludes the claim")


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
    figures, assessed = Measurements(folder, replicates), []
    for claim in tqdm(claims, desc="claims", unit="claim", leave=False, disable=None if progress else True):
        if claim.not_testable is not None:
            row = Assessed(claim, NOT_TESTABLE, reason=claim.not_testable)
        elif (found := figures.of(claim)).missing:
            row = Assessed(claim, NOT_RUN, reason=found.missing)
        else:
            late = ADDED, f"added {claim.added}, so it gets no verdict"
            said, why = late if claim.added else judge(claim, found.interval, found.broken)
            old = found.protocol is None or found.protocol != protocol(claim.experiment)
            row = Assessed(claim, said, found.interval, old, why, found.by_corpus)
        assessed.append(row)
    return _with_controls(assessed)


def _with_controls(assessed: Sequence[Assessed]) -> list[Assessed]:
    """Judges claims together with their own controls: what its control contradicts is not reproduced."""
    lost = {row.claim.id: row for row in assessed if row.verdict == NOT_REPRODUCED}
    found = []
    for row in assessed:
        if (control := lost.get(row.claim.judged_with)) and row.verdict in VERDICTS[:4]:
            why = f"its control contradicts it ({control.claim.name}): {control.reason}"
            row = replace(row, verdict=NOT_REPRODUCED, reason=why)
        found.append(row)
    return found


def families(assessed: Sequence[Assessed]) -> list[tuple[Assessed, list[Assessed]]]:
    """Gathers with each headline the rows that fold out of it; a row whose headline is not there stands for itself."""
    there = {row.claim.id for row in assessed}
    heads = [row for row in assessed if row.claim.of not in there]
    return [(head, [row for row in assessed if row.claim.of == head.claim.id]) for head in heads]


def in_view(assessed: Sequence[Assessed]) -> list[tuple[Assessed, list[Assessed]]]:
    """Gathers the families whose headline is not still to be run."""
    return [(head, rest) for head, rest in families(assessed) if head.verdict != NOT_RUN]


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


def wins(comparison: Comparison) -> str:
    """Says in how many skills the proposal is better, and in how many it is as good."""
    tied = f", {comparison.ties} tied" if comparison.ties else ""
    return f"{comparison.wins} of {comparison.n_skills}{tied}"


def show_by_corpus(row: Assessed) -> str:
    """Formats how much a figure hangs on its corpora; empty where that is not computed."""
    if (by := row.by_corpus) is None:
        return ""
    unit = row.claim.claimed.unit
    without, fixed_low, fixed_high, alike = (show(getattr(by, name), unit) for name in ByCorpus.FIGURES)
    return (
        f"without {by.best} {without}; with the corpora held fixed {fixed_low} to {fixed_high}; "
        f"mean of the corpora's own figures {alike}"
    )


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
