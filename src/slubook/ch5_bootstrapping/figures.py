"""Figures of chapter 5: which sentence pairs are near enough, what was heard, word errors beside the claims."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np
import plotly.graph_objects as go

from slubook.book.figure_style import GRID, PALETTE, TEXT, blank, faded, wrap

__all__ = ["aligned", "reductions", "selection"]


def selection(
    requests: np.ndarray, pool: np.ndarray, distances: Sequence[float], texts: Sequence[str], radii: Sequence[float]
) -> go.Figure:
    """Draws a map of requests [N, 2] and of a pool [P, 2]; a slider sets the radius within which pairs are selected.

    Args:
        requests, pool: positions.
        distances: of the pool from the requests' centroid, [P].
        texts: of the pool, shown when pointed at.
        radii: steps of the slider.
    """
    axis = {"visible": False}
    figure = blank(height=460, xaxis=axis, yaxis={**axis, "scaleanchor": "x"}, margin={"t": 70})
    shown = [f"{wrap(text)}<br>distance {distance:.2f}" for text, distance in zip(texts, distances, strict=True)]
    inside = [np.asarray(distances) <= radius for radius in radii]

    def look(near: np.ndarray) -> dict:
        return {"color": [PALETTE[0] if one else faded(PALETTE[6], 0.35) for one in near]}

    figure.add_scatter(
        x=pool[:, 0], y=pool[:, 1], mode="markers", marker={**look(inside[0]), "size": 7}, text=shown,
        hovertemplate="%{text}<extra></extra>", name="general pairs: blue ones are selected",
    )  # fmt: skip
    figure.add_scatter(
        x=requests[:, 0], y=requests[:, 1], mode="markers", hoverinfo="skip", name="in-domain requests",
        marker={"color": PALETTE[1], "symbol": "diamond-open", "size": 7},
    )  # fmt: skip
    steps = [
        {"label": f"{radius:.2f}", "method": "restyle", "args": [{"marker.color": [look(near)["color"]]}, [0]]}
        for radius, near in zip(radii, inside, strict=True)
    ]
    slider = {
        "steps": steps, "active": 0, "y": 1.0, "yanchor": "bottom", "pad": {"t": 0, "b": 0},
        "currentvalue": {"prefix": "radius ", "font": {"size": 12, "color": TEXT}}, "font": {"size": 9, "color": TEXT},
        "bgcolor": GRID, "bordercolor": GRID, "activebgcolor": PALETTE[0], "ticklen": 2, "minorticklen": 0,
    }  # fmt: skip
    return figure.update_layout(sliders=[slider])


def aligned(reference: Sequence[str], heard: Sequence[str]) -> str:
    """Returns what was heard as HTML: right words plain, wrong ones bold, missing ones struck out."""
    shown = []
    for what, i, j, k, n in SequenceMatcher(None, reference, heard, autojunk=False).get_opcodes():
        said, words = (html.escape(" ".join(some)) for some in (reference[i:j], heard[k:n]))
        shown += [words] if what == "equal" else [f"<s>{said}</s>"] * bool(said) + [f"<b>{words}</b>"] * bool(words)
    return " ".join(shown)


def reductions(
    measured: Mapping[str, Mapping[int, tuple[float, float, float]]], claimed: Mapping[int, float]
) -> go.Figure:
    """Draws relative reductions of word errors at each size, with intervals, and the article's beside them.

    Args:
        measured: for each method and size, point and interval, fractions.
        claimed: the article's fraction at the size of ours that stands for its own.
    """
    sizes = sorted({size for points in measured.values() for size in points})
    names = [f"{size:,}" for size in sizes]
    figure = blank(
        height=460, yaxis={"title": "fewer word errors (%)"}, scattermode="group",
        xaxis={"title": "in-domain requests", "type": "category", "categoryarray": names},
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": TEXT, "width": 1})
    for k, (method, points) in enumerate(measured.items()):
        point, low, high = 100 * np.array([points[size] for size in sorted(points)]).T
        figure.add_scatter(
            x=[f"{size:,}" for size in sorted(points)], y=point, name=method, mode="markers",
            error_y={"array": high - point, "arrayminus": point - low, "thickness": 2},
            marker={"color": PALETTE[k % len(PALETTE)], "size": 9}, hovertemplate="%{y:.1f}",
        )  # fmt: skip
    figure.add_scatter(
        x=[f"{size:,}" for size in claimed], y=[100 * value for value in claimed.values()], mode="markers",
        name="the article", marker={"color": TEXT, "symbol": "line-ew-open", "size": 22, "line": {"width": 3}},
        hovertemplate="%{y:.1f}",
    )  # fmt: skip
    return figure
