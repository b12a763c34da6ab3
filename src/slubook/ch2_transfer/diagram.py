"""A network drawn as boxes; buttons go through the stages of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from slubook.book.figure_style import IN_A_ROW, TEXT, add_menu, blank, faded, wrap

_HIGH = 1.3  # of a box
#: How much of its colour fills a box: one that is new or newly unfrozen, one that learns, one that stays as it is.
LIT, LEARNS, STILL = 0.45, 0.25, 0.04


class Box(NamedTuple):
    """A part of the network: its position in a square of ten, its label, and what it does."""

    left: float
    right: float
    bottom: float
    label: str
    does: str


class Stage(NamedTuple):
    """One state of a diagram.

    Attributes:
        button: a word or two.
        caption: what happens at this stage.
        looks: for each box the kind of its weights, and one of :data:`LIT`, :data:`LEARNS`, :data:`STILL`.
    """

    button: str
    caption: str
    looks: Mapping[str, tuple[str, float]]


class Diagram(NamedTuple):
    """The parts of a diagram that all stages share.

    Attributes:
        boxes: the parts, lowest first.
        above: pairs of a box and a box that it feeds.
        around: input and output: position and text.
        kinds: the colour of each kind of weights.
    """

    boxes: Mapping[str, Box]
    above: Sequence[tuple[str, str]]
    around: Sequence[tuple[float, float, str]]
    kinds: Mapping[str, str]

    def look(self, part: str, stage: Stage) -> tuple[str, str]:
        """Returns the fill and the edge of a box at a stage."""
        kind, strength = stage.looks[part]
        return faded(self.kinds[kind], strength), self.kinds[kind]


def diagram(of: Diagram, stages: Sequence[Stage], *, height: int = 480, top: float = 11.0) -> go.Figure:
    """Draws the boxes as they are at the first of ``stages``, with a button for each stage.

    The figure is ``height`` pixels high, and ``top`` units of the boxes; the caption stands just below its top.
    """
    figure = blank(
        {"font.size": 12},
        height=height,
        xaxis={"visible": False, "range": [-0.2, 10.2], "fixedrange": True},
        yaxis={"visible": False, "range": [-1.3, top], "fixedrange": True},
        hovermode="closest",
        margin={"t": 80},
    )
    for low, high in of.above:
        below, over = of.boxes[low], of.boxes[high]
        x = (max(below.left, over.left) + min(below.right, over.right)) / 2
        figure.add_scatter(
            x=[x, x], y=[below.bottom + _HIGH, over.bottom], mode="lines", line={"color": TEXT, "width": 1},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    first = len(figure.data)
    for name, box in of.boxes.items():
        x, y = (box.left, box.right, box.right, box.left, box.left), (0, 0, _HIGH, _HIGH, 0)
        fill, edge = of.look(name, stages[0])
        figure.add_scatter(
            x=x, y=[box.bottom + up for up in y], mode="lines", fill="toself", fillcolor=fill,
            line={"color": edge, "width": 2}, hoveron="fills", hoverinfo="text", text=box.does, showlegend=False,
        )  # fmt: skip
    named = [((b.left + b.right) / 2, b.bottom + _HIGH / 2, b.label) for b in of.boxes.values()]
    for written in (named, of.around):
        x, y, text = zip(*written, strict=True)
        figure.add_scatter(x=x, y=y, text=text, mode="text", hoverinfo="skip", showlegend=False)
    for name, colour in of.kinds.items():
        look = {"color": colour, "symbol": "square", "size": 12}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=look, name=name)
    said, place = wrap(stages[0].caption, 48), {"xanchor": "left", "yanchor": "middle", "align": "left"}
    figure.add_annotation(x=0, y=top - 0.6, text=said, showarrow=False, **place)
    traces = list(range(first, first + len(of.boxes)))
    choices = {}
    for stage in stages:
        fills, edges = zip(*(of.look(name, stage) for name in of.boxes), strict=True)
        caption = {"annotations[0].text": wrap(stage.caption, 48)}
        choices[stage.button] = [{"fillcolor": list(fills), "line.color": list(edges)}, caption, traces]
    add_menu(figure, choices, "update", **IN_A_ROW)
    return figure
