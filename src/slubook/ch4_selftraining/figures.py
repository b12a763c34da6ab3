"""Figures of chapter 4: errors against the number of requests labelled, and the map of what is selected."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from slubook.book.figure_style import GRID, IN_A_ROW, PALETTE, TEXT, add_menu, blank, marker, wrap

#: What each operating point is called in figures, and what the names of its methods end in.
POINTS = {"at equal false alarms": "", "at p > 0.5": "_argmax"}


def curves(errors: Mapping[str, Mapping[str, Mapping[int, float]]], title: str) -> go.Figure:
    """Draws the error against the amount of data that was added; a button for each operating point.

    Args:
        errors: under each of :data:`POINTS`, for each way to choose, SemER by the amount; 0 is a level to compare with.
        title: what the amount is.
    """
    first, *_ = errors.values()
    numbers = sorted({n for line in first.values() for n in line if n})
    ticks = {"tickvals": numbers, "ticktext": [f"{n:,}" for n in numbers]}
    figure = blank(
        height=440,
        xaxis={"title": title, "type": "log", **ticks},
        yaxis={"title": "SemER (%)"},
        margin={"t": 60},
    )
    for k, (name, line) in enumerate(first.items()):
        flat = 0 in line
        figure.add_scatter(
            x=[numbers[0], numbers[-1]] if flat else sorted(line), y=_heights(line, flat), name=name,
            mode="lines" if flat else "lines+markers",
            line={"color": TEXT if flat else PALETTE[k % len(PALETTE)], "dash": "dot" if flat else "solid"},
            marker=marker(k, 9), hovertemplate="%{x:,}: %{y:.1f} %<extra>" + html.escape(name) + "</extra>",
        )  # fmt: skip
    choices = {point: [{"y": [_heights(line, 0 in line) for line in of.values()]}] for point, of in errors.items()}
    add_menu(figure, choices, **IN_A_ROW)
    return figure


def _heights(line: Mapping[int, float], flat: bool) -> list[float]:
    return [100 * line[0]] * 2 if flat else [100 * line[n] for n in sorted(line)]


def selection_map(
    points: np.ndarray, texts: Sequence[str], annotated: Sequence[int], rounds: Sequence[Sequence[int]]
) -> go.Figure:
    """Draws utterances in two dimensions; a slider goes through the rounds of a selection.

    Args:
        points: positions, [N, 2].
        texts: what each shows when pointed at, [N].
        annotated: places of the annotated ones.
        rounds: places chosen in each round; what is in none of them was filtered and not chosen.
    """
    figure = blank(height=560, xaxis={"visible": False}, yaxis={"visible": False})
    chosen = {i for batch in rounds for i in batch}
    left = [i for i in range(len(texts)) if i not in chosen and i not in set(annotated)]
    looks = [("filtered", left, {"color": GRID, "size": 6}), ("annotated", annotated, marker(0, 10))]
    looks += [(f"round {n}", batch, marker(1, 8)) for n, batch in enumerate(rounds, 1)]
    for k, (name, places, look) in enumerate(looks):
        figure.add_scatter(
            x=points[list(places), 0], y=points[list(places), 1], mode="markers", marker=look, name=name,
            text=[wrap(texts[i]) for i in places], hovertemplate=f"%{{text}}<extra>{name}</extra>", showlegend=k < 3,
        )  # fmt: skip
    steps = [
        {"label": str(n), "method": "restyle", "args": ["visible", [k < 2 + n for k in range(len(looks))]]}
        for n in range(len(rounds) + 1)
    ]
    figure.data[2].name = "selected"
    slider = {"active": len(rounds), "currentvalue": {"prefix": "rounds: "}, "pad": {"t": 10}, "steps": steps}
    return figure.update_layout(sliders=[slider])
