"""Figures of chapter 1: errors skill by skill, maps of embeddings, and which label is taken for which."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from slubook.book.figure_style import PALETTE, SMALL, SYMBOLS, TEXT, add_menu, blank, faded, marker, wrap


def skill_scatter(
    errors: Mapping[str, Sequence[float]],
    names: tuple[str, str],
    *,
    groups: Mapping[str, str] | None = None,
    metric: str = "utterances with a mistake (%)",
) -> go.Figure:
    """Draws one point a skill: the error of one method against that of another; below the line the second is better.

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
            x=[100 * errors[skill][0] for skill in inside], y=[100 * errors[skill][1] for skill in inside],
            mode="markers", marker=marker(k, 9), name=group, text=inside,
            hovertemplate=f"<b>%{{text}}</b><br>{names[0]}: %{{x:.1f}}<br>{names[1]}: %{{y:.1f}}<extra></extra>",
        )  # fmt: skip
    return figure


def embedding_map(
    points: np.ndarray,
    groups: Sequence[str],
    texts: Sequence[str],
    *,
    labelled: Sequence[int] = (),
    height: int = 520,
) -> go.Figure:
    """Draws utterances or words in two dimensions, coloured by group; pointing at one shows its text.

    Args:
        points: positions, [N, 2].
        groups: the group of each, [N].
        texts: what each shows when pointed at, [N].
        labelled: indices of those whose text stands beside the point.
        height: in pixels.
    """
    figure = blank(height=height, xaxis={"visible": False}, yaxis={"visible": False})
    belongs, many = np.asarray(groups), len(PALETTE)
    for k, (group, _) in enumerate(Counter(groups).most_common()):
        inside = np.flatnonzero(belongs == group)
        look = {"color": PALETTE[k % many], "symbol": SYMBOLS[k // many % len(SYMBOLS)], "size": 6, "opacity": 0.8}
        figure.add_scatter(
            x=points[inside, 0], y=points[inside, 1], mode="markers", marker=look, name=group,
            text=[wrap(texts[i]) for i in inside], hovertemplate=f"%{{text}}<extra>{html.escape(group)}</extra>",
        )  # fmt: skip
    for i in labelled:
        where = {"x": float(points[i, 0]), "y": float(points[i, 1])}
        figure.add_annotation(**where, text=html.escape(texts[i]), arrowcolor=TEXT, arrowwidth=1, ax=30, ay=-30)
    return figure


def confusion(cases: Mapping[str, Sequence[tuple[str, str, str]]], *, examples: int = 5) -> go.Figure:
    """Draws which label is taken for which as a heat map; a menu chooses among several models or skills.

    Args:
        cases: under each name, (true label, predicted label, text or id) of each utterance.
        examples: how many utterances a cell shows when it is pointed at.
    """
    titles = {"xaxis.title.text": "columns: predicted, rows: true", "yaxis.title.text": ""}
    figure = blank(
        {**SMALL, "coloraxis.showscale": False, "xaxis.tickangle": -90, **titles},
        height=520,
        xaxis={"title": "predicted", "showgrid": False},
        yaxis={"title": "true", "autorange": "reversed", "showgrid": False},
        coloraxis={
            "cmin": 0, "cmax": 1, "colorscale": [[0, faded(PALETTE[0], 0.04)], [1, PALETTE[0]]],
            "colorbar": {"title": "share", "thickness": 12, "tickformat": ".0%"},
        },
    )  # fmt: skip
    for k, some in enumerate(cases.values()):
        labels = sorted({label for true, said, _ in some for label in (true, said)})
        counts, of_true = Counter((t, s) for t, s, _ in some), Counter(t for t, _, _ in some)
        share = [[counts[t, s] / of_true[t] if of_true[t] else 0.0 for s in labels] for t in labels]  # [true, said]
        hover = [[_cell(t, s, counts[t, s], some, examples) for s in labels] for t in labels]
        figure.add_heatmap(
            x=labels, y=labels, z=share, coloraxis="coloraxis", customdata=hover, xgap=1, ygap=1, visible=k == 0,
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    if len(cases) > 1:
        choices = {name: ["visible", [other == name for other in cases]] for name in cases}
        add_menu(figure, choices, x=1, xanchor="right", font=None, pad=None)
        figure.update_layout(margin={"t": 60})
    return figure


def _cell(true: str, said: str, count: int, cases: Sequence[tuple[str, str, str]], examples: int) -> str:
    """Returns the hover text of one cell of the confusion: how many, and some of their utterances."""
    shown = [wrap(text) for t, s, text in cases if (t, s) == (true, said)][:examples]
    return "<br>".join([f"<b>{html.escape(true)} → {html.escape(said)}: {count}</b>", *shown])
