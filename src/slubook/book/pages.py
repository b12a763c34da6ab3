"""What every chapter prints from its records: tables and sentences, so that notebooks hold only what is their own.

Intervals here are those of the ledger: sources and domains are drawn before the skills in them, as often.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slubook.book import ledger
from slubook.book.claims import OfTable
from slubook.evaluation.intervals import Comparison, Interval, compare, mean_error, skill_errors
from slubook.experiments.records import Results, Row
from slubook.profiles import RESULTS

if TYPE_CHECKING:
    from IPython.display import HTML

Sizes = int | Collection[int] | None


def published(experiment: str, folder: Path = RESULTS) -> Results | None:
    """The published results of an experiment, or ``None`` where the full profile has not been run yet.

    Raises:
        RecordsError: when the file is damaged or was changed by hand.
    """
    path = folder / f"{experiment}.json"
    return Results.load(path) if path.is_file() else None


def how_far(results: Results | None) -> str:
    """How many of the cells of a run are measured, in words; empty where there is no run, or where it is over."""
    cells = results.tables.get("cells") if results else None
    return f"{cells['done']} of {cells['planned']} cells" if cells and cells["done"] < cells["planned"] else ""


def so_far(row: ledger.Assessed, results: Results | None) -> ledger.Assessed:
    """A row of the ledger with what an unfinished run measures of its claim, and no verdict; other rows as they are."""
    how = row.claim.measure
    if not how_far(results) or not results.rows:
        return row
    if isinstance(how, OfTable):
        figure = None if how.entry else results.tables.get(how.table)
        return replace(row, interval=ledger.table_interval(figure)) if figure else row
    names = {name: getattr(how, name, None) for name in ("slice", "against")}
    sizes = sorted({*results.sizes} & {*(how.sizes or results.sizes)})
    has = {how.baseline, how.proposed} <= {*results.methods} and has_slices(results, *filter(None, names.values()))
    names |= {"metric": row.claim.metric, "statistic": how.statistic}
    return replace(row, interval=gain(results, how.baseline, how.proposed, sizes, **names)) if has and sizes else row


def table(rows: Sequence[Mapping[str, Any]]) -> HTML:
    """Rows as a table, or a line that says that there are none yet."""
    from IPython.display import HTML

    return HTML(pd.DataFrame(rows).to_html(index=False, border=0) if rows else "<p>Not run yet.</p>")


def has_slices(results: Results | None, *names: str) -> bool:
    """Whether there are results, and every row of them has these slices."""
    return results is not None and all(set(names) <= row.slices.keys() for row in results.rows)


def skills_of_all_sizes(results: Results) -> list[str]:
    """The skills that were measured at every size of the results: a curve over others would change its skills."""
    sizes = {skill: {row.size for row in results.select(skills=[skill])} for skill in results.skills}
    return [skill for skill, own in sizes.items() if own == set(results.sizes)]


def curve(results: Results, method: str, metric: str = "irer") -> dict[int, Interval]:
    """A method's mean error at each size, always over the same skills: :func:`skills_of_all_sizes`."""
    rows, groups = results.select([method], skills=skills_of_all_sizes(results)), results.groups()
    return {size: mean_error(rows, metric, method, size, groups=groups) for size in sorted({row.size for row in rows})}


def error(
    results: Results, method: str, sizes: Sizes = None, metric: str = "irer", slice: str | None = None
) -> Interval:
    """A method's mean error over skills."""
    how = {"slice": slice, "groups": results.groups()}
    return mean_error(results.rows, metric, method, sizes, **how)


def gain(
    results: Results,
    baseline: str,
    proposed: str,
    sizes: Sizes = None,
    *,
    slice: str | None = None,
    against: str | None = None,
    skills: Sequence[str] | None = None,
    **how: Any,
) -> Comparison:
    """How many of the baseline's mistakes the proposal removes; ``against``: less how many it removes there.

    Args:
        results: of a run.
        baseline: the method to beat.
        proposed: the method that should.
        sizes: one, several, or all.
        slice: count these test utterances only.
        against: the slice to compare with, as in :func:`slubook.evaluation.intervals.compare`.
        skills: count these only.
        how: other arguments of :func:`slubook.evaluation.intervals.compare`.
    """
    how = {"groups": results.groups(), "slice": slice, **how}
    rows = results.select([baseline, proposed], skills=skills)
    pair = (rows, how.pop("metric", "irer"), baseline, proposed, sizes)
    return compare(*pair, **how, against=against)


def side(better: Interval) -> str:
    """On which side of nought an interval of fewer mistakes lies, in words."""
    if better.low > 0:
        return "fewer mistakes, the interval lies right of nought"
    return "more mistakes, the interval lies left of nought" if better.high < 0 else "the interval holds nought"


def wins(comparison: Comparison) -> str:
    """In how many skills the proposal is better, and in how many it is as good."""
    tied = f", {comparison.ties} tied" if comparison.ties else ""
    return f"{comparison.wins} of {comparison.n_skills}{tied}"


def method_line(results: Results, method: str, name: str, slots: bool = True) -> dict[str, str]:
    """A row of a table of methods: its errors, IRER with an interval, and what it costs.

    Args:
        results: of a run.
        method: whose row.
        name: how the table calls it.
        slots: whether it finds slots; one that finds none has no SER and no IRER.
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
    """What a change of methods gains on a slice, what it gains on another, and the difference with its interval."""
    there, elsewhere = (gain(results, *pair, sizes, slice=name) for name in (slice, against))
    more = gain(results, *pair, sizes, slice=slice, against=against)
    return {
        f"fewer mistakes, {slice.replace('_', ' ')}": there.percent(" %"),
        f"fewer mistakes, {against.replace('_', ' ')}": elsewhere.percent(" %"),
        "difference in points": more.percent(),
        "larger in": wins(more),
    }


def source_lines(results: Results, pair: tuple[str, str], names: Mapping[str, str]) -> list[dict[str, str]]:
    """One row a source: both methods' errors on its skills, and the gain; then all but the source that gains most.

    Intervals draw the domains of the source, then skills; the last row's draw the sources first.
    """
    groups = results.groups()
    of = {source: [s for s, corpus in groups.items() if corpus == source] for source in dict.fromkeys(groups.values())}
    found = {s: gain(results, *pair, skills=some) for s, some in of.items() if results.select(pair, skills=some)}
    if len(found) > 2:
        best = max(found, key=lambda source: found[source].point)
        rest = [s for s in groups if s not in of[best]]
        of[f"all but {best}"], found[f"all but {best}"] = rest, gain(results, *pair, skills=rest)
    lines = []
    for source, better in found.items():
        errors = skill_errors(results.select(pair, skills=of[source]), "irer", pair).values()
        shown = {names[m]: f"{100 * e:.1f} %" for m, e in zip(pair, np.mean(list(errors), axis=0), strict=True)}
        lines.append({"source": source, **shown, "fewer mistakes": better.percent(" %"), "skills won": wins(better)})
    return lines


def share(rows: Sequence[Row], slice: str) -> float:
    """The share of test utterances that are in a slice, over all draws of one method."""
    masks = [row.slices[slice] for row in rows if row.method == rows[0].method]
    return float(np.concatenate(masks).mean())


def trial_lines(found: Mapping[str, Any], start: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """A line for each trial of a method's tuning: what it changes, its error on dev, and which was chosen.

    Args:
        found: what the record of tuning says of the method.
        start: the configuration that trials change, in parts, as ``asdict`` gives it.
        name: of the method, above the changes.
    """

    def said(settings: Mapping[str, Any]) -> str:
        return ", ".join(f"{key.split('.')[1].replace('_', ' ')} {value}" for key, value in settings.items())

    trials = found["trials"]
    parts = [key.split(".") for key in dict.fromkeys(key for trial in trials for key in trial["changes"])]
    begun = {f"{part}.{key}": start[part][key] for part, key in parts}
    return [
        {
            name: f"with {said(trial['changes'])}" if trial["changes"] else f"the start: {said(begun)}",
            "IRER on dev": f"{100 * trial['dev_error']:.1f} %" + ", chosen" * (trial["changes"] == found["chosen"]),
        }
        for trial in trials
    ]


def near_repeats(results: Results | None) -> float | None:
    """The share of test utterances that nearly repeat a training utterance; ``None`` where that was not recorded."""
    return 1 - share(results.rows, "fresh") if has_slices(results, "fresh") else None


def verdict_line(row: ledger.Assessed) -> dict[str, str]:
    """A row of a chapter's table of verdicts."""
    return {
        "claim": f"{row.claim.claim.rstrip('.')} ({row.claim.role})",
        "claimed": ledger.show_claimed(row.claim.claimed),
        "measured": ledger.show_measured(row),
        "skills won": wins(row.interval) if isinstance(row.interval, Comparison) else "–",
        "verdict": row.verdict + (" (stale)" if row.stale else ""),
        "because": row.reason,
    }


def sentence(row: ledger.Assessed, start: str) -> str:
    """What a row of the ledger says, as an item of a list in Markdown."""
    if row.interval is None:
        return f"- {start}: {row.verdict}."
    return f"- {start}: {ledger.show_measured(row)}, **{row.verdict}**: {row.reason}. {row.claim.caveat}".rstrip()
