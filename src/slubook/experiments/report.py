"""Tabulates a run's results: for each method its errors with intervals, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from rich.table import Column, Table

from slubook.evaluation.intervals import Comparison, Interval, compare, mean_error
from slubook.experiments.records import Results
from slubook.experiments.table import EXPERIMENTS, Experiment


def summarise(results: Results, replicates: int = 2000) -> list[dict]:
    """Returns one object a method and size: errors, reduction of IRER against the baseline, seconds, bytes, latency.

    The bootstrap draws sources before the skills in them. Where the experiment's metric is another, such as WER, it
    stands in place of IRER, and ICER and SER are not there.

    Returns:
        ``[point, low, high]`` for each figure with an interval. ``ser``, ``irer``, ``irer_reduction`` and ``wins`` are
        ``None`` for a method that looks for no slots where there are some; the last two also for the baseline.
    """
    about = EXPERIMENTS[results.experiment]
    baseline, lines = about.baseline, []
    how = {"groups": results.groups(), "replicates": replicates, "crossed": results.crossed}
    names, main = _errors(about), about.metric
    has_slots = "ser" in names and any(row.outcomes.gold.any() for row in results.rows)
    for size, method in product(results.sizes, results.methods):
        if rows := results.select([method], [size]):
            whole = not (has_slots and method in about.intent_only)
            errors = {m: mean_error(rows, m, method, size, **how) for m in names}
            pair = results.select([method, baseline], [size])
            better = compare(pair, main, baseline, method, size, **how) if whole and method != baseline else None
            line = {"method": method, "size": size}
            line |= {m: _numbers(error) if whole or m == "icer" else None for m, error in errors.items()}
            won = better and [better.wins, better.n_skills]
            line |= {f"{main}_reduction": better and _numbers(better), "wins": won}
            costs = ("train_s", "bytes", "predict_ms")
            lines.append(line | {cost: float(np.mean([getattr(row, cost) for row in rows])) for cost in costs})
    return lines


def headlines(results: Results) -> dict[str, list[float]]:
    """Returns the single figures that are no rows, ``[point, low, high]`` each; a bare number is its own interval."""
    parts, found = ("point", "low", "high"), {}
    for name, figure in results.tables.items():
        if isinstance(figure, int | float):
            figure = dict.fromkeys(parts, figure)
        if isinstance(figure, dict) and figure.keys() >= {*parts}:
            found[name] = [float(figure[part]) for part in parts]
    return found


def tabulate(lines: Sequence[dict], about: Experiment, wide: bool = False) -> Table:
    """Returns the lines of :func:`summarise` for a terminal; errors in percent with their 95 % intervals.

    A ``wide`` table has decimals, other errors and costs as well, for which 80 columns are too few.
    """
    names = _errors(about) if wide else (about.metric,)
    size, after = "utterances" if about.metric == "irer" else "size", ("train s", "MB", "ms") if wide else ()
    heads = (size, *(f"{name.upper()} %" for name in names), "reduction %", "wins", *after)
    numbers = (Column(head, justify="right", no_wrap=True) for head in heads)
    base, more = about.methods[about.baseline], "" if wide else "; more with --wide"
    said = f"reduction against {base}; [95 % interval]{more}"
    table = Table("method", *numbers, box=None, padding=(0, 2, 0, 0), caption=said, caption_justify="left")
    form = ".1f" if wide else ".0f"
    for line in lines:
        errors = [_percent(line[name], form) for name in names]
        reduced = _percent(line[f"{about.metric}_reduction"], form)
        reduction = "baseline" if line["method"] == about.baseline else reduced
        wins = "/".join(map(str, line["wins"])) if line["wins"] else ""
        cost = f"{line['train_s']:.1f}", f"{line['bytes'] / 1e6:.1f}", f"{line['predict_ms']:.1f}"
        name = about.methods.get(line["method"], line["method"])
        table.add_row(name, str(line["size"]), *errors, reduction, wins, *(cost if wide else ()))
    return table


def _errors(about: Experiment) -> tuple[str, ...]:
    return ("icer", "ser", "irer") if about.metric == "irer" else (about.metric,)


def _numbers(interval: Interval | Comparison) -> list[float]:
    return [float(interval.point), float(interval.low), float(interval.high)]


def _percent(numbers: Sequence[float] | None, form: str) -> str:
    return Interval(*numbers, 0).percent(form=form) if numbers else "–"
