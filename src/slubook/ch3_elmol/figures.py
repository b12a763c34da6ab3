"""Figures of chapter 3: which layers learn when, the dev loss, rates, a word's senses, gains beside the claims."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from slubook.book import figure_style as style
from slubook.book.figure_style import PALETTE, SMALL, TEXT, blank, marker, wrap
from slubook.ch2_transfer.diagram import LEARNS, LIT, STILL, Box, Diagram, Stage, diagram
from slubook.evaluation.intervals import Interval

__all__ = ["Senses", "losses", "rates", "reductions", "senses", "stages"]

_READER = {
    "characters": Box(0, 5.6, 0.0, "letters", "a vector for any word, from its letters"),
    "forwards": Box(0, 2.7, 2.3, "LSTM →", "has read what stands before a word"),
    "backwards": Box(2.9, 5.6, 2.3, "← LSTM", "has read what stands behind a word"),
}
_GUESS = {"guess": Box(6.1, 10, 1.15, "which word?", "guesses each word from one side; thrown away when all is read")}
_NETWORK = {
    "words": Box(6.1, 10, 4.6, "words", "chapter 2's word vectors and letters"),
    "mix": Box(0, 5.6, 4.6, "scalar mix", "weighs the layers, and brings them to the network's width"),
    "common": Box(0, 10, 6.9, "common bi-LSTM", "chapter 2's, which reads both"),
    "slots": Box(0, 4.8, 9.2, "slots", "a bi-LSTM and a score for each tag"),
    "intent": Box(5.2, 10, 9.2, "intent", "a bi-LSTM and a score for each intent"),
}
_ABOVE = (("characters", "forwards"), ("characters", "backwards"), ("forwards", "mix"), ("backwards", "mix"),
          ("mix", "common"), ("words", "common"), ("common", "slots"), ("common", "intent"))  # fmt: skip
_TEXT, _LABELS, _ABSENT = "learned from text alone", "learned from annotations", "not part of it"
_KINDS = {_TEXT: PALETTE[0], _LABELS: PALETTE[2], _ABSENT: PALETTE[6]}
_AROUND = ((2.8, -0.8, "<i>book a table</i>"), (8.05, 3.9, "<i>book a table</i>"))
_DIAGRAM = Diagram(_READER | _GUESS | _NETWORK, _ABOVE, _AROUND, _KINDS)


def _stage(button: str, caption: str, lstm: float, characters: float) -> Stage:
    """Returns a stage with annotations, with the fill of the language model's two layers."""
    looks = {"characters": (_TEXT, characters), "forwards": (_TEXT, lstm), "backwards": (_TEXT, lstm)}
    return Stage(button, caption, looks | {"guess": (_ABSENT, STILL)} | dict.fromkeys(_NETWORK, (_LABELS, LEARNS)))


STAGES = (
    Stage(
        "text",
        "A language model reads requests that nobody annotated, and guesses their words.",
        dict.fromkeys((*_READER, *_GUESS), (_TEXT, LEARNS)) | dict.fromkeys(_NETWORK, (_ABSENT, STILL)),
    ),
    _stage("frozen", "The network learns from annotations; the language model is read as it is.", STILL, STILL),
    _stage("highest", "The loss begins to converge: the LSTMs may learn, at a lower rate.", LIT, STILL),
    _stage("all", "At the next look the letters may learn as well, more slowly still.", LEARNS, LIT),
    _stage("new skill", "A new skill brings a hundred requests: frozen again, and so on from there.", STILL, STILL),
)


def stages() -> go.Figure:
    """Draws the network of chapter 3; buttons go through the stages, and layers light up when they are unfrozen.

    Filled boxes learn at that stage, hollow ones are read as they are.
    """
    return diagram(_DIAGRAM, STAGES, height=560, top=13.0)


def losses(
    curves: Mapping[str, Mapping[int, float]], unfrozen: Mapping[str, Sequence[float]], layers: Sequence[str]
) -> go.Figure:
    """Draws dev loss against updates for each schedule, with stars where a layer of the embedding was unfrozen.

    ``unfrozen`` has for each schedule the updates at which ``layers`` were unfrozen, the highest first in both.
    """
    figure = blank(height=440, xaxis={"title": "updates"}, yaxis={"title": "dev loss, an utterance"})
    for k, (name, curve) in enumerate(curves.items()):
        at, loss = sorted(curve), [curve[u] for u in sorted(curve)]
        look = marker(k, 6)
        line = {"color": look.pop("color")}
        figure.add_scatter(
            x=at, y=loss, mode="lines+markers", line=line, marker=look, name=name, legendgroup=name,
            hovertemplate=f"after %{{x}} updates: %{{y:.2f}}<extra>{html.escape(name)}</extra>",
        )  # fmt: skip
        if not len(unfrozen[name]):
            continue
        figure.add_scatter(
            x=list(unfrozen[name]), y=np.interp(unfrozen[name], at, loss), mode="markers", showlegend=False,
            marker={"symbol": "star", "size": 15, "color": PALETTE[k], "line": {"width": 1, "color": TEXT}},
            legendgroup=name, text=[f"{name}: {layer} unfrozen" for layer in layers], hoverinfo="text",
        )  # fmt: skip
    look = {"symbol": "star", "size": 13, "color": TEXT}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=look, name="a layer is unfrozen")
    return figure


def rates(by_schedule: Mapping[str, Mapping[str, Sequence[float]]], *, every: int = 2) -> go.Figure:
    """Draws the rate of each layer over the updates; a button for each schedule. A frozen layer has no line.

    Args:
        by_schedule: for each schedule, each layer's rates as :func:`slubook.ch3_elmol.unfreezing.rates_of` gives them.
        every: draw one update in so many.
    """
    drawn = {
        how: [[r or None for r in layer[::every]] for layer in layers.values()] for how, layers in by_schedule.items()
    }
    layers = next(iter(by_schedule.values()))
    updates = list(range(1, len(next(iter(layers.values()))) + 1, every))
    figure = blank(
        height=440,
        xaxis={"title": "update", "range": [0, updates[-1]]},
        yaxis={"title": "rate, the network's = 1", "type": "log", "range": [-4, 0.1], "dtick": 1, "tickformat": "~g"},
        hovermode="x unified",
        margin={"t": 60},
    )
    for k, (name, y) in enumerate(zip(layers, next(iter(drawn.values())), strict=True)):
        dash = "dash" if name.startswith("ELMoL") else "solid"
        line = {"color": PALETTE[k], "dash": dash, "width": 2.5}
        figure.add_scatter(x=updates, y=y, mode="lines", line=line, name=name, hovertemplate="%{y:.2g}")
    style.add_menu(figure, {how: [{"y": y}] for how, y in drawn.items()}, **style.IN_A_ROW)
    return figure


class Senses(NamedTuple):
    """One word in its requests, laid out twice.

    Attributes:
        panels: under two names, positions of the requests, [N, 2] each.
        groups: by which they are coloured, [N].
        texts: what each shows when pointed at, [N].
    """

    panels: Mapping[str, np.ndarray]
    groups: Sequence[str]
    texts: Sequence[str]


_GROUPS = 6  # told apart in a map; the last are all others


def senses(words: Mapping[str, Senses]) -> go.Figure:
    """Draws two maps of the requests that have a word, side by side; on a phone, one above the other.

    A menu chooses among the words; all have the same two panels.
    """
    plain = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    left, right = next(iter(words.values())).panels
    beside = {"xaxis.domain": [0, 1], "xaxis2.domain": [0, 1], "yaxis.domain": [0.54, 1], "yaxis2.domain": [0, 0.46]}
    figure = blank(
        {"height": 760, **beside},
        height=460,
        xaxis={**plain, "title": left, "side": "top", "domain": [0, 0.49]},
        yaxis={**plain, "domain": [0, 1]},
        xaxis2={**plain, "title": right, "side": "top", "domain": [0.51, 1], "anchor": "y2"},
        yaxis2={**plain, "anchor": "x2", "domain": [0, 1]},
        hovermode="closest",
        margin={"t": 90},
    )
    laid = {word: _laid_out(one) for word, one in words.items()}
    first = next(iter(laid.values()))
    for k in range(2 * _GROUPS):
        panel, group = divmod(k, _GROUPS)
        figure.add_scatter(
            **{name: values[k] for name, values in first.items()}, mode="markers", legendgroup=f"group {group}",
            marker=marker(group, 7, opacity=0.85), hovertemplate="%{text}<extra></extra>",
            xaxis="x2" if panel else "x", yaxis="y2" if panel else "y",
        )  # fmt: skip
    style.add_menu(figure, {word: [traces] for word, traces in laid.items()}, y=1.1)
    return figure


def _laid_out(one: Senses) -> dict[str, list]:
    """Returns, for each panel and group, the positions of its points, their texts, and its name in the legend."""
    common = [group for group, _ in Counter(one.groups).most_common()]
    named = common if len(common) <= _GROUPS else common[: _GROUPS - 1]
    place = np.array([named.index(g) if g in named else _GROUPS - 1 for g in one.groups])
    names = [*named, *["other"] * (_GROUPS - len(named))]
    found: dict[str, list] = {"x": [], "y": [], "text": [], "name": [], "showlegend": []}
    for panel, points in enumerate(one.panels.values()):
        for group, name in enumerate(names):
            inside = np.flatnonzero(place == group)
            found["x"].append(np.round(points[inside, 0], 2).tolist())
            found["y"].append(np.round(points[inside, 1], 2).tolist())
            found["text"].append([wrap(one.texts[i], 40) for i in inside])
            found["name"].append(name)
            found["showlegend"].append(panel == 0 and len(inside) > 0)
    return found


def reductions(
    series: Mapping[str, Mapping[str, Interval]],
    claimed: Mapping[tuple[str, str], tuple[float, float | None]] | None = None,
    *,
    x: str = "fewer utterances with a mistake (%)",
) -> go.Figure:
    """Draws relative error reductions of several methods against several others, with intervals and claimed figures.

    Args:
        series: for each baseline, the reduction of each method against it.
        claimed: for a baseline and a method the article's figure, and the upper end where it is a range (fractions).
        x: the axis title.
    """
    methods, claimed = list(dict.fromkeys(m for one in series.values() for m in one)), claimed or {}
    step = 0.7 / max(1, len(series))
    row = {
        (base, m): k + step * (j - (len(series) - 1) / 2)
        for j, (base, one) in enumerate(series.items())
        for k, m in enumerate(methods)
        if m in one
    }
    names = {"tickvals": list(range(len(methods))), "ticktext": [wrap(m, 18) for m in methods]}
    figure = blank(
        SMALL,
        height=150 + 24 * len(row),
        xaxis={"title": x},
        yaxis={**names, "range": [len(methods) - 0.5, -0.5], "showgrid": False, "zeroline": False},
        hovermode="closest",
        showlegend=True,
    )
    figure.add_vline(x=0, line={"color": TEXT, "width": 1})
    for k, (base, one) in enumerate(series.items()):
        low, point, high = style.percentages(one.values())
        figure.add_scatter(
            x=point, y=[row[base, m] for m in one], mode="markers", name=base,
            marker=marker(k, 9), error_x=style.bars(low, point, high, width=0),
            text=[f"<b>{html.escape(m)}</b> {html.escape(base)}:<br>{i.percent(' %')}" for m, i in one.items()],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    stated = {pair: ends for pair, ends in claimed.items() if pair in row}
    if stated:
        marks = [row[pair] for pair in stated]
        style.add_claimed(figure, [*stated.values()], marks, "the article's figure", hoverinfo="skip")
    return figure
