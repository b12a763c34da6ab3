"""Figures that any chapter or page may use; the last line of a cell is ``show(figure, name, alt)``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from slubook.book import figure_style as style
from slubook.book import ledger
from slubook.book.figure_style import TEXT, blank, faded, marker, show, wrap
from slubook.evaluation.intervals import Interval

__all__ = ["forest", "learning_curves", "show"]


def forest(assessed: Sequence[ledger.Assessed], *, ratios: bool = False) -> go.Figure:
    """Draws the ledger as a forest plot: each claim's measurement with its interval, and the claimed figure.

    A bar runs from the lower to the upper end where a range is claimed.

    Args:
        assessed: rows of the ledger; those without a measurement are left out.
        ratios: draw the claims of speed and size, in times, on a logarithmic axis; else those in percent. Counts are
            never drawn.
    """
    scale = 1 if ratios else 100
    rows = [row for row in assessed if row.claim.claimed.unit != "count" and row.interval is not None]
    rows = [row for row in rows if (row.claim.claimed.unit == "ratio") == ratios]
    name = {row.claim.id: wrap(row.claim.name, 26) for row in rows}
    height = 110 + sum(18 + 16 * (name[row.claim.id].count("<br>") + 1) for row in rows)
    figure = blank(style.SMALL, height=height, yaxis={"autorange": "reversed", "type": "category"}, showlegend=True)
    figure.update_xaxes(title="times as good (×)" if ratios else "improvement (%)", type="log" if ratios else "linear")
    figure.update_yaxes(categoryorder="array", categoryarray=list(name.values()), tickfont={"size": 12})
    figure.add_vline(x=1 if ratios else 0, line={"color": TEXT, "width": 1})
    for verdict, (colour, symbol) in style.VERDICTS.items():
        measured = [row for row in rows if row.verdict == verdict]
        if not measured:
            continue
        low, point, high = style.percentages((row.interval for row in measured), scale)
        figure.add_scatter(
            x=point, y=[name[row.claim.id] for row in measured], mode="markers", name=verdict,
            error_x=style.bars(low, point, high),
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
            text=[f"{wrap(r.claim.claim)}<br><b>{ledger.show_measured(r)}</b>" for r in measured],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    stated = {name[row.claim.id]: row.claim for row in rows if row.claim.claimed.value is not None}
    style.add_claimed(
        figure, [(c.claimed.value, c.claimed.upper) for c in stated.values()], list(stated), "claimed", scale,
        text=[f"{wrap(c.claim)}<br>claimed: <b>{ledger.show_claimed(c.claimed)}</b>" for c in stated.values()],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    return figure


def learning_curves(
    curves: Mapping[str, Mapping[int, Interval]],
    *,
    y: str = "utterances with a mistake (%)",
    claimed: tuple[str, Mapping[int, float]] | None = None,
    bands: Collection[str] | None = None,
) -> go.Figure:
    """Draws error against the number of training utterances, with interval bands.

    Args:
        curves: for each method, its mean error (a fraction) at each size.
        y: the axis title.
        claimed: a name and, at each size, the error (a fraction) that the article's figure would mean.
        bands: the methods with a band, where those of all would hide each other; all by default.
    """
    yaxis = {"title": y, "rangemode": "tozero"}
    figure = blank(height=style.HEIGHT, xaxis={"title": "training utterances"}, yaxis=yaxis, hovermode="x unified")
    for k, (method, curve) in enumerate(curves.items()):
        sizes, look = sorted(curve), marker(k, 8)
        low, point, high = style.percentages(curve[s] for s in sizes)
        if bands is None or method in bands:
            figure.add_scatter(
                x=[*sizes, *sizes[::-1]], y=np.concatenate([high, low[::-1]]), mode="lines", line={"width": 0},
                fill="toself", fillcolor=faded(look["color"], 0.15), hoverinfo="skip", legendgroup=method,
                showlegend=False,
            )  # fmt: skip
        figure.add_scatter(
            x=sizes, y=point, customdata=np.stack([low, high], axis=1), mode="lines+markers",
            line={"color": look.pop("color")}, marker=look, name=method, legendgroup=method,
            hovertemplate="%{y:.1f} [%{customdata[0]:.1f}, %{customdata[1]:.1f}]",
        )  # fmt: skip
    if claimed is not None:
        name, levels = claimed
        figure.add_scatter(
            x=sorted(levels), y=[100 * levels[s] for s in sorted(levels)], mode="lines", name=name,
            line={"color": TEXT, "dash": "dash"}, hovertemplate="%{y:.1f}",
        )  # fmt: skip
    return figure
