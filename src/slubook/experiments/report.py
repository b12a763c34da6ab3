"""A run's results as a table: for each method its errors with intervals, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Column, Table

from slubook.evaluation.intervals import Comparison, Interval, compare, mean_error
from slubook.experiments.records import Results


def summarise(results: Results, baseline: str, replicates: int = 2000) -> list[dict]:
    """One object a method and size: errors, the reduction of IRER against ``baseline``, seconds, bytes, latency."""
    lines = []
    for size in results.sizes:
        for method in results.methods:
            rows = results.select([method], [size])
            if not rows:
                continue
            errors = {m: mean_error(rows, m, method, size, replicates=replicates) for m in ("icer", "ser", "irer")}
            pair = results.select([method, baseline], [size])
            better = (
                compare(pair, "irer", baseline, method, size, replicates=replicates) if method != baseline else None
            )
            lines.append(
                {
                    "method": method,
                    "size": size,
                    **{name: _numbers(interval) for name, interval in errors.items()},
                    "irer_reduction": better and _numbers(better),
                    "wins": better and [better.wins, better.n_skills],
                    "train_s": float(np.mean([r.train_s for r in rows])),
                    "bytes": float(np.mean([r.bytes for r in rows])),
                    "predict_ms": float(np.mean([r.predict_ms for r in rows])),
                }
            )
    return lines


def headlines(results: Results) -> dict[str, list[float]]:
    """The results' single figures that are no rows, ``[point, low, high]`` each; a bare number is its own interval."""
    found = {}
    for name, figure in results.tables.items():
        if isinstance(figure, dict) and {"point", "low", "high"} <= figure.keys():
            found[name] = [float(figure[part]) for part in ("point", "low", "high")]
        elif isinstance(figure, int | float):
            found[name] = [float(figure)] * 3
    return found


def tabulate(lines: Sequence[dict], names: dict[str, str]) -> Table:
    """The lines of :func:`summarise` for a terminal; errors in percent with their 95 % intervals."""
    heads = ("utterances", "ICER %", "SER %", "IRER %", "IRER reduction %", "wins", "train s", "MB", "ms")
    table = Table(Column("method", no_wrap=True), *heads)
    for line in lines:
        errors = [_percent(line[name]) for name in ("icer", "ser", "irer")]
        reduction = _percent(line["irer_reduction"]) if line["irer_reduction"] else "baseline"
        wins = "/".join(map(str, line["wins"])) if line["wins"] else ""
        cost = f"{line['train_s']:.1f}", f"{line['bytes'] / 1e6:.1f}", f"{line['predict_ms']:.1f}"
        name = names.get(line["method"], line["method"])
        table.add_row(name, str(line["size"]), *errors, reduction, wins, *cost)
    return table


def _numbers(interval: Interval | Comparison) -> list[float]:
    return [float(interval.point), float(interval.low), float(interval.high)]


def _percent(numbers: list[float]) -> str:
    point, low, high = (100 * n for n in numbers)
    return f"{point:.1f} [{low:.1f}, {high:.1f}]"
