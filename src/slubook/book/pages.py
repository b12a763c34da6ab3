"""Tables and sentences that every chapter prints from its records.

Intervals are those of the ledger: the bootstrap draws sources and domains before the skills in them, as often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from slubook.book import ledger
from slubook.book.ledger import wins
from slubook.book.measured import figure, how_far
from slubook.book.measured import published as published  # pages take it from here
from slubook.evaluation.intervals import Comparison, Interval, compare, mean_error, skill_errors
from slubook.evaluation.resampling import Sizes
from slubook.experiments.records import Results, Row

#: What stands in place of a verdict while a run lasts.
PROVISIONAL = "provisional"


def so_far(row: ledger.Assessed, results: Results | None) -> ledger.Assessed:
    """Adds to a row of the ledger what an unfinished run measures so far, as provisional; keeps other rows."""
    if not how_far(results) or not results.rows or getattr(row.claim.measure, "entry", ""):
        return row
    try:
        return replace(row, verdict=PROVISIONAL, interval=figure(row.claim, results).interval)
    except ValueError:  # nothing of it is measured yet
        return row


def table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Shows rows as an HTML table; without rows, as a line that says so."""
    from IPython.display import HTML

    return HTML(pd.DataFrame(rows).to_html(index=False, border=0) if rows else "<p>Not run yet.</p>")


def has_slices(results: Results | None, *names: str) -> bool:
    """Tells whether there are results, and every row of them has these slices."""
    return results is not None and all(set(names) <= row.slices.keys() for row in results.rows)


def skills_of_all_sizes(results: Results) -> list[str]:
    """Lists the skills that were measured at every size of the results: a curve is over the same skills throughout."""
    sizes = {skill: {row.size for row in results.select(skills=[skill])} for skill in results.skills}
    return [skill for skill, own in sizes.items() if own == set(results.sizes)]


def curve(results: Results, method: str, metric: str = "irer") -> dict[int, Interval]:
    """Computes a method's mean error at each size, over the same skills: :func:`skills_of_all_sizes`."""
    rows, groups = results.select([method], skills=skills_of_all_sizes(results)), results.groups()
    sizes, how = sorted({row.size for row in rows}), {"groups": groups, "crossed": results.crossed}
    return {size: mean_error(rows, metric, method, size, **how) for size in sizes}


def error(results: Results, method: str, sizes: Sizes = None, metric: str = "irer", **how: Any) -> Interval:
    """Computes a method's mean error over skills, ``how`` as for `mean_error`, such as a ``slice``."""
    return mean_error(results.rows, metric, method, sizes, groups=results.groups(), crossed=results.crossed, **how)


def gain(
    results: Results,
    baseline: str,
    proposed: str,
    sizes: Sizes = None,
    *,
    metric: str = "irer",
    skills: Sequence[str] | None = None,
    **how: Any,
) -> Comparison:
    """Computes which share of the baseline's mistakes the proposal removes, or how that differs between two slices.

    Args:
        results: of a run, with both methods.
        baseline, proposed: the methods.
        sizes: one, several, or all.
        metric: a name in ``METRICS``.
        skills: count these only.
        how: ``slice``, ``against`` and others, as for :func:`slubook.evaluation.intervals.compare`.
    """
    rows = results.select([baseline, proposed], skills=skills)
    how = {"groups": results.groups(), "crossed": results.crossed, **how}
    return compare(rows, metric, baseline, proposed, sizes, **how)


def side(better: Interval) -> str:
    """Says on which side of zero an interval of fewer mistakes lies."""
    if better.low > 0:
        return "fewer mistakes, the interval lies right of zero"
    return "more mistakes, the interval lies left of zero" if better.high < 0 else "the interval holds zero"


def method_line(results: Results, method: str, name: str, slots: bool = True) -> dict[str, str]:
    """Makes a row of a table of methods: errors, IRER with its interval, and costs.

    ``name`` is what the table calls the method. One that does not find ``slots`` has no SER and no IRER.
    """
    rows = results.select([method])
    icer, ser = (np.mean(list(skill_errors(rows, metric, [method]).values())) for metric in ("icer", "ser"))
    return {
        "method": name,
        "ICER %": f"{100 * icer:.1f}",
        "SER %": f"{100 * ser:.1f}" if slots else "–",
        "IRER % [95 % interval]": error(results, method).percent() if slots else "–",
        "training s": f"{np.mean([r.train_s for r in rows]):.1f}",
        "MB": f"{np.mean([r.bytes for r in rows]) / 1e6:.1f}",
        "ms an utterance": f"{np.mean([r.predict_ms for r in rows]):.1f}",
    }


def slice_line(results: Results, pair: tuple[str, str], sizes: Sizes, slice: str, against: str) -> dict[str, str]:
    """Makes a row of what a method gains over another on two slices, and the difference with its interval."""
    each = {
        f"fewer mistakes, {name.replace('_', ' ')}": gain(results, *pair, sizes, slice=name)
        for name in (slice, against)
    }
    more = gain(results, *pair, sizes, slice=slice, against=against)
    shown = {name: better.percent(" %") for name, better in each.items()}
    return {**shown, "difference in points": more.percent(), "larger in": wins(more)}


def source_lines(results: Results, pair: tuple[str, str], names: Mapping[str, str]) -> list[dict[str, str]]:
    """Makes a row a source, with both methods' errors and the gain, and one without the source that gains most.

    The bootstrap draws the domains of a source, then skills; for the last row it draws sources first.
    """
    groups = results.groups()
    of = {source: [s for s, corpus in groups.items() if corpus == source] for source in dict.fromkeys(groups.values())}
    found = {s: gain(results, *pair, skills=some) for s, some in of.items() if results.select(pair, skills=some)}
    if len(found) > 2:
        best = max(found, key=lambda source: found[source].point)
        of[f"all but {best}"] = rest = [s for s in groups if s not in of[best]]
        found[f"all but {best}"] = gain(results, *pair, skills=rest)
    lines = []
    for source, better in found.items():
        errors = skill_errors(results.select(pair, skills=of[source]), "irer", pair).values()
        shown = {names[m]: f"{100 * e:.1f} %" for m, e in zip(pair, np.mean(list(errors), axis=0), strict=True)}
        lines.append({"source": source, **shown, "fewer mistakes": better.percent(" %"), "skills won": wins(better)})
    return lines


def share(rows: Sequence[Row], slice: str) -> float:
    """Computes the share of test utterances that are in a slice, over all seeds of one method."""
    masks = [row.slices[slice] for row in rows if row.method == rows[0].method]
    return float(np.concatenate(masks).mean())


def near_repeats(results: Results | None) -> float | None:
    """Computes the share of test utterances that nearly repeat a training utterance; ``None`` if not recorded."""
    return 1 - share(results.rows, "fresh") if has_slices(results, "fresh") else None


def sentence(row: ledger.Assessed, start: str) -> str:
    """Writes a row of the ledger as an item of a list in Markdown."""
    if row.interval is None:
        return f"- {start}: {row.verdict}."
    return f"- {start}: {ledger.show_measured(row)}, **{row.verdict}**: {row.reason}. {row.claim.caveat}".rstrip()
