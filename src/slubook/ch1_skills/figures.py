"""Plotly figures that any chapter may use; the last line of a cell is ``show(figure, name, alt)``."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from slubook.book.figure_style import GRID, HEIGHT, PALETTE, SMALL, SYMBOLS, TEXT, blank, faded, show, wrap
from slubook.book.ledger import (
    DIRECTION_ONLY,
    EXCEEDED,
    NOT_REPRODUCED,
    NOT_RUN,
    REPRODUCED,
    Assessed,
    show_claimed,
    show_measured,
)
from slubook.evaluation.intervals import Interval

__all__ = ["confusion", "embedding_map", "forest", "learning_curves", "show", "skill_scatter"]


_VERDICT_LOOKS = {
    EXCEEDED: (PALETTE[2], "star"),
    REPRODUCED: (PALETTE[0], "circle"),
    DIRECTION_ONLY: (PALETTE[5], "circle-open"),
    NOT_REPRODUCED: (PALETTE[1], "x"),
    NOT_RUN: (PALETTE[6], "line-ns-open"),
}


def forest(assessed: Sequence[Assessed], *, ratios: bool = False) -> go.Figure:
    """The ledger as a forest plot: each claim's measurement with its interval, and what was claimed.

    A bar runs from the lower to the upper end where a range is claimed.

    Args:
        assessed: rows of the ledger; those without a measurement and without a claimed figure are left out.
        ratios: draw the claims of speed and size, in times; else those in per cent. Counts are never drawn.
    """
    scale, unit = (1, "×") if ratios else (100, "%")
    rows = [
        row
        for row in assessed
        if (row.claim.claimed.unit == "ratio") == ratios
        and row.claim.claimed.unit != "count"
        and (row.interval is not None or row.claim.claimed.value is not None)
    ]
    figure = blank(
        SMALL, height=110 + 28 * len(rows), yaxis={"autorange": "reversed", "type": "category"}, showlegend=True
    )
    figure.update_xaxes(title=f"improvement ({unit})" if not ratios else "times as good (×)")
    figure.add_vline(x=1 if ratios else 0, line={"color": TEXT, "width": 1})
    for verdict, (colour, symbol) in _VERDICT_LOOKS.items():
        measured = [row for row in rows if row.verdict == verdict and row.interval is not None]
        if not measured:
            continue
        points = scale * np.array([[r.interval.point, r.interval.low, r.interval.high] for r in measured])
        figure.add_scatter(
            x=points[:, 0],
            y=[row.claim.id for row in measured],
            error_x={"array": points[:, 2] - points[:, 0], "arrayminus": points[:, 0] - points[:, 1], "thickness": 2},
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
            name=verdict,
            text=[f"{wrap(r.claim.claim)}<br><b>{show_measured(r)}</b>" for r in measured],
            hovertemplate="%{text}<extra></extra>",
        )
    stated = [row for row in rows if row.claim.claimed.value is not None]
    ranges = [scale * (c.upper - c.value) if c.upper else 0 for c in (row.claim.claimed for row in stated)]
    figure.add_scatter(
        x=[scale * row.claim.claimed.value for row in stated],
        y=[row.claim.id for row in stated],
        error_x={"array": ranges, "arrayminus": [0] * len(stated), "color": TEXT, "thickness": 5, "width": 0},
        mode="markers",
        marker={"color": TEXT, "symbol": "line-ns-open", "size": 16, "line": {"width": 3, "color": TEXT}},
        name="claimed",
        text=[f"{wrap(row.claim.claim)}<br>claimed: <b>{show_claimed(row.claim.claimed)}</b>" for row in stated],
        hovertemplate="%{text}<extra></extra>",
    )
    return figure


def learning_curves(
    curves: Mapping[str, Mapping[int, Interval]],
    *,
    y: str = "utterances with a mistake (%)",
    claimed: tuple[str, Mapping[int, float]] | None = None,
    bands: Collection[str] | None = None,
) -> go.Figure:
    """Error against the number of training utterances, with interval bands.

    Args:
        curves: for each method, its mean error (a fraction) at each size.
        y: the axis title.
        claimed: a name and, at each size, the error (a fraction) that the article's figure would mean.
        bands: the methods with a band, where those of all would hide each other; all by default.
    """
    figure = blank(height=HEIGHT, xaxis={"title": "training utterances"}, yaxis={"title": y, "rangemode": "tozero"})
    figure.update_layout(hovermode="x unified")
    for k, (method, curve) in enumerate(curves.items()):
        sizes = sorted(curve)
        colour = PALETTE[k % len(PALETTE)]
        low, point, high = (100 * np.array([getattr(curve[s], end) for s in sizes]) for end in ("low", "point", "high"))
        if bands is None or method in bands:
            figure.add_scatter(
                x=[*sizes, *sizes[::-1]],
                y=np.concatenate([high, low[::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=faded(colour, 0.15),
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=method,
                showlegend=False,
            )
        figure.add_scatter(
            x=sizes,
            y=point,
            customdata=np.stack([low, high], axis=1),
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": SYMBOLS[k % len(SYMBOLS)], "size": 8},
            name=method,
            legendgroup=method,
            hovertemplate="%{y:.1f} [%{customdata[0]:.1f}, %{customdata[1]:.1f}]",
        )
    if claimed is not None:
        name, levels = claimed
        figure.add_scatter(
            x=sorted(levels),
            y=[100 * levels[s] for s in sorted(levels)],
            mode="lines",
            line={"color": TEXT, "dash": "dash"},
            name=name,
            hovertemplate="%{y:.1f}",
        )
    return figure


def skill_scatter(
    errors: Mapping[str, Sequence[float]],
    names: tuple[str, str],
    *,
    groups: Mapping[str, str] | None = None,
    metric: str = "utterances with a mistake (%)",
) -> go.Figure:
    """One point a skill: the error of one method against that of another; below the line the second is better.

    Args:
        errors: for each skill its two errors (fractions), as ``intervals.skill_errors`` gives them.
        names: of the two methods, first the one on the horizontal axis.
        groups: the corpus or topic of each skill, for its colour and symbol.
        metric: the axes' unit.
    """
    xaxis, yaxis = ({"title": f"{wrap(name, 40)}:<br>{metric}"} for name in names)
    figure = blank(height=460, xaxis=xaxis, yaxis=yaxis)
    top = 105 * max((max(pair) for pair in errors.values()), default=1)
    figure.add_scatter(
        x=[0, top], y=[0, top], mode="lines", line={"color": TEXT, "dash": "dot"}, name="equal", hoverinfo="skip"
    )
    groups = groups or dict.fromkeys(errors, "skills")
    for k, group in enumerate(sorted({groups[skill] for skill in errors})):
        inside = [skill for skill in errors if groups[skill] == group]
        figure.add_scatter(
            x=[100 * errors[skill][0] for skill in inside],
            y=[100 * errors[skill][1] for skill in inside],
            mode="markers",
            marker={"color": PALETTE[k % len(PALETTE)], "symbol": SYMBOLS[k % len(SYMBOLS)], "size": 9},
            name=group,
            text=inside,
            hovertemplate=f"<b>%{{text}}</b><br>{names[0]}: %{{x:.1f}}<br>{names[1]}: %{{y:.1f}}<extra></extra>",
        )
    return figure


def confusion(cases: Mapping[str, Sequence[tuple[str, str, str]]], *, examples: int = 5) -> go.Figure:
    """Which label is taken for which, as a heat map; with several models or skills, a menu chooses among them.

    Args:
        cases: under each name, (true label, predicted label, text or id) of each utterance.
        examples: how many utterances a cell shows when it is pointed at.
    """
    figure = blank(
        {
            **SMALL,
            "coloraxis.showscale": False,
            "xaxis.tickangle": -90,
            "xaxis.title.text": "columns: predicted, rows: true",
            "yaxis.title.text": "",
        },
        height=520,
        xaxis={"title": "predicted", "showgrid": False},
        yaxis={"title": "true", "autorange": "reversed", "showgrid": False},
        coloraxis={
            "cmin": 0,
            "cmax": 1,
            "colorscale": [[0, faded(PALETTE[0], 0.04)], [1, PALETTE[0]]],
            "colorbar": {"title": "share", "thickness": 12, "tickformat": ".0%"},
        },
    )
    for k, some in enumerate(cases.values()):
        labels = sorted({label for true, said, _ in some for label in (true, said)})
        counts, of_true = Counter((t, s) for t, s, _ in some), Counter(t for t, _, _ in some)
        share = [[counts[t, s] / of_true[t] if of_true[t] else 0.0 for s in labels] for t in labels]  # [true, said]
        hover = [[_cell(t, s, counts[t, s], some, examples) for s in labels] for t in labels]
        figure.add_heatmap(
            x=labels,
            y=labels,
            z=share,
            coloraxis="coloraxis",
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            xgap=1,
            ygap=1,
            visible=k == 0,
        )
    if len(cases) > 1:
        buttons = [
            {"label": name, "method": "restyle", "args": ["visible", [j == k for j in range(len(cases))]]}
            for k, name in enumerate(cases)
        ]
        menu = {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "bordercolor": GRID}
        figure.update_layout(updatemenus=[menu], margin={"t": 60})
    return figure


def _cell(true: str, said: str, count: int, cases: Sequence[tuple[str, str, str]], examples: int) -> str:
    """The hover text of one cell of the confusion: how many, and some of their utterances."""
    shown = [wrap(text) for t, s, text in cases if (t, s) == (true, said)][:examples]
    return "<br>".join([f"<b>{html.escape(true)} → {html.escape(said)}: {count}</b>", *shown])


def embedding_map(
    points: np.ndarray,
    groups: Sequence[str],
    texts: Sequence[str],
    *,
    labelled: Sequence[int] = (),
    height: int = 520,
) -> go.Figure:
    """Utterances or words in two dimensions, coloured by group; pointing at one shows its text.

    Args:
        points: positions, [N, 2].
        groups: the group of each, [N].
        texts: what each shows when pointed at, [N].
        labelled: positions in the lists of those whose text stands beside the point.
        height: in pixels.
    """
    figure = blank(height=height, xaxis={"visible": False}, yaxis={"visible": False})
    belongs = np.asarray(groups)
    for k, (group, _) in enumerate(Counter(groups).most_common()):
        inside = np.flatnonzero(belongs == group)
        figure.add_scatter(
            x=points[inside, 0],
            y=points[inside, 1],
            mode="markers",
            marker={
                "color": PALETTE[k % len(PALETTE)],
                "symbol": SYMBOLS[k // len(PALETTE) % len(SYMBOLS)],
                "size": 6,
                "opacity": 0.8,
            },
            name=group,
            text=[wrap(texts[i]) for i in inside],
            hovertemplate=f"%{{text}}<extra>{html.escape(group)}</extra>",
        )
    for i in labelled:
        where = {"x": float(points[i, 0]), "y": float(points[i, 1])}
        figure.add_annotation(**where, text=html.escape(texts[i]), arrowcolor=TEXT, arrowwidth=1, ax=30, ay=-30)
    return figure
