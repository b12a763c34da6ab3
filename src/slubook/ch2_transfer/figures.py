"""Figures of chapter 2: the network and its stages, training curves, gains by skill, utterances won and lost."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from slubook.book.figure_style import GRID, PALETTE, TEXT, add_menu, bars, blank, faded, marker, percentages, wrap
from slubook.ch2_transfer.diagram import LEARNS, LIT, STILL, Box, Diagram, Stage, diagram
from slubook.evaluation.intervals import Interval

__all__ = ["gains_by_skill", "race", "stages", "won_and_lost"]

#: The parts, lowest first; the names are those of :data:`slubook.ch2_transfer.stacked.PARTS`.
_BOXES = {
    "words": Box(0, 6.4, 0.0, "words", "a vector for each word that the source had twice"),
    "characters": Box(6.8, 10, 0.0, "letters", "a convolution over the letters of each word"),
    "common": Box(0, 10, 2.3, "common bi-LSTM", "reads the request in both directions, for both tasks"),
    "tagger": Box(0, 4.8, 4.6, "bi-LSTM: slots", "reads what the common layer says, for the slots"),
    "classifier": Box(5.2, 10, 4.6, "bi-LSTM: intent", "reads what the common layer says, for the intent"),
    "tags": Box(0, 4.8, 6.9, "tags, CRF", "a score for each tag, and the best sequence of them"),
    "intents": Box(5.2, 10, 6.9, "intents", "a score for each intent"),
}
_ABOVE = (("words", "common"), ("characters", "common"), ("common", "tagger"), ("common", "classifier"),
          ("tagger", "tags"), ("classifier", "intents"))  # fmt: skip
_KINDS = {"as the source left it": PALETTE[0], "new, at random": PALETTE[1], "new, from label names": PALETTE[2]}
_AROUND = (
    (5, -0.8, "<i>order six oranges</i>"),
    (2.4, 8.8, "O, B-quantity, B-produce"),
    (7.6, 8.8, "BuyProduceIntent"),
)
_NETWORK = Diagram(_BOXES, _ABOVE, _AROUND, _KINDS)


def _stage(button: str, caption: str, heads: str, learning: bool) -> Stage:
    """Returns a stage whose layers below the heads are the source's; ``heads`` is the kind of the two heads."""
    below = LEARNS if learning else STILL
    looks = dict.fromkeys(_BOXES, (_LEFT, below))
    return Stage(button, caption, looks | dict.fromkeys(("tags", "intents"), (heads, below if heads == _LEFT else LIT)))


_LEFT, _RANDOM, _NAMED = _KINDS
STAGES = (
    _stage("source", "Stage one: everything learns, from domains with many annotated requests.", _LEFT, True),
    _stage("hand-over", "The top is thrown away; a new one, of the new skill's size, is put on.", _RANDOM, False),
    _stage("by names", "Or: the new top is put together from the words in the labels' names.", _NAMED, False),
    _stage("new skill", "Stage two: everything learns again, from the few requests of the new skill.", _RANDOM, True),
)


def stages() -> go.Figure:
    """Draws the network of chapter 2; buttons go through the stages, and the layers that are new light up.

    Filled boxes learn at that stage, hollow ones are only handed over.
    """
    return diagram(_NETWORK, STAGES)


def race(
    curves: Mapping[str, Mapping[int, float]],
    *,
    goal: tuple[str, float] | None = None,
    y: str = "dev utterances with a mistake (%)",
) -> go.Figure:
    """Draws error against updates, for several networks that were trained alike; a slider and a button animate them.

    Args:
        curves: for each network, its error (a fraction) after so many updates; the same updates for all.
        goal: a name, and an error (a fraction) that is to be reached.
        y: the axis title.
    """
    updates = sorted(next(iter(curves.values())))
    values = {name: [100 * curve[u] for u in updates] for name, curve in curves.items()}
    low, top = min(map(min, values.values())), max(map(max, values.values()))
    room = 0.06 * (top - low)
    figure = blank(
        height=470,
        xaxis={"title": "updates", "range": [0, 1.02 * updates[-1]]},
        yaxis={"title": y, "range": [max(0.0, low - room), top + room]},
        hovermode="x unified",
    )
    for k, (name, value) in enumerate(values.items()):
        look = marker(k, 7)
        line = {"color": look.pop("color")}
        figure.add_scatter(
            x=updates, y=value, mode="lines+markers", line=line, marker=look, name=name, hovertemplate="%{y:.1f}"
        )
    if goal is not None:
        said, level = goal
        ends = {"x": [0, updates[-1]], "y": [100 * level] * 2}
        figure.add_scatter(**ends, mode="lines", line={"color": TEXT, "dash": "dot"}, name=said, hoverinfo="skip")
    runners = list(range(len(curves)))
    figure.frames = [
        go.Frame(name=str(u), data=[{"x": updates[: k + 1], "y": v[: k + 1]} for v in values.values()], traces=runners)
        for k, u in enumerate(updates)
    ]
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    steps = [{"label": str(u), "method": "animate", "args": [[str(u)], still]} for u in updates]
    run = {"mode": "immediate", "frame": {"duration": 250, "redraw": False}, "transition": {"duration": 0}}
    slider = {
        "steps": steps, "active": len(steps) - 1, "x": 0.3, "len": 0.7, "y": 1.0, "yanchor": "bottom",
        "currentvalue": {"prefix": "after ", "suffix": " updates", "font": {"size": 12, "color": TEXT}},
        "ticklen": 2, "minorticklen": 0, "font": {"size": 9, "color": TEXT},
        "bgcolor": GRID, "bordercolor": GRID, "activebgcolor": PALETTE[0], "pad": {"t": 0, "b": 0},
    }  # fmt: skip
    play = {"▶ race": [[str(u) for u in updates], run]}
    add_menu(figure.update_layout(sliders=[slider]), play, "animate", type="buttons", y=1.04, showactive=False)
    return figure


def gains_by_skill(
    gains: Mapping[str, Interval],
    overall: Interval,
    *,
    claimed: tuple[str, float] | None = None,
    groups: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
    least: float = -1.0,
) -> go.Figure:
    """Draws each skill's relative error reduction with its interval, sorted; the mean and the claim are lines.

    Args:
        gains: of each skill, as fractions.
        overall: the reduction of the mean error, a dashed line in a band.
        claimed: a name, and the article's figure (a fraction).
        groups: the corpus of each skill, for its colour and symbol.
        notes: what else a skill shows when it is pointed at.
        least: a reduction below it is drawn there, as are ends of intervals.
    """
    ranked = sorted(gains, key=lambda skill: (-gains[skill].point, skill))
    rank = {skill: k for k, skill in enumerate(ranked, 1)}
    groups, notes = groups or dict.fromkeys(gains, "skills"), notes or {}
    figure = blank(
        {"yaxis.title.text": "", "yaxis.showticklabels": False},
        height=min(640, 200 + 14 * len(ranked)),
        xaxis={"title": "fewer utterances with a mistake (%)", "range": [100 * least - 4, 104]},
        yaxis={"title": "skills, most gain first", "range": [len(ranked) + 0.7, 0.3], "showgrid": False},
        hovermode="closest",
    )
    figure.add_vrect(*(100 * max(end, least) for end in (overall.low, overall.high)), fillcolor=GRID, line_width=0)
    figure.add_vline(x=0, line={"color": TEXT, "width": 1})
    for k, group in enumerate(sorted({groups[skill] for skill in ranked})):
        inside = [skill for skill in ranked if groups[skill] == group]
        low, point, high = 100 * np.clip(percentages((gains[s] for s in inside), 1), least, 1)
        look = marker(k, 6)
        figure.add_scatter(
            x=point, y=[rank[s] for s in inside], mode="markers", marker=look, name=group,
            error_x=bars(low, point, high, thickness=1, width=0, color=faded(look["color"], 0.45)),
            text=[f"<b>{html.escape(s)}</b><br>{gains[s].percent(' %')}<br>{notes.get(s, '')}" for s in inside],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    lines: dict[str, tuple[float, dict[str, Any]]] = {"all skills": (overall.point, {"dash": "dash"})}
    if claimed is not None:
        lines[claimed[0]] = (claimed[1], {"dash": "solid", "width": 3})
    for name, (level, line) in lines.items():
        figure.add_scatter(
            x=[100 * level] * 2, y=[0.3, len(ranked) + 0.7], mode="lines", line={"color": TEXT, **line},
            name=name, hoverinfo="skip",
        )  # fmt: skip
    return figure


#: The outcomes of an utterance before and after transfer, in the order in which they are laid out.
OUTCOMES = {"only after transfer": PALETTE[2], "only from scratch": PALETTE[1], "both": PALETTE[0], "neither": TEXT}


def won_and_lost(cases: Mapping[str, Sequence[tuple[bool, bool, str]]], *, across: int = 16) -> go.Figure:
    """Draws test utterances as dots, those that one network alone gets right first; a menu chooses the skill.

    Args:
        cases: of each skill, for each utterance: right from scratch, right after transfer, its text or id.
        across: dots in a row.
    """
    rows = max(-(-len(some) // across) for some in cases.values())
    figure = blank(
        height=90 + 24 * rows,
        xaxis={"visible": False, "range": [-0.7, across - 0.3], "fixedrange": True},
        yaxis={"visible": False, "range": [rows - 0.4, -0.6], "fixedrange": True},
        hovermode="closest",
        margin={"t": 60},
    )
    laid = {skill: _laid_out(some, across) for skill, some in cases.items()}
    for k, (outcome, colour) in enumerate(OUTCOMES.items()):
        trace = {key: value[k] for key, value in next(iter(laid.values())).items()}
        figure.add_scatter(
            **trace,
            mode="markers",
            marker=marker(k, 11, opacity=1 if k < 2 else 0.45) | {"color": colour},
            hovertemplate=f"%{{text}}<extra>right: {outcome}</extra>",
        )
    if len(laid) > 1:
        add_menu(figure, {skill: [traces] for skill, traces in laid.items()}, x=1, xanchor="right")
    return figure


def _laid_out(cases: Sequence[tuple[bool, bool, str]], across: int) -> dict[str, list]:
    """Returns, for each of :data:`OUTCOMES`, the positions of its dots, their texts, and its name in the legend."""
    kinds = ((False, True), (True, False), (True, True), (False, False))  # (from scratch, after transfer)
    found: dict[str, list] = {"x": [], "y": [], "text": [], "name": []}
    begin = 0
    for outcome, kind in zip(OUTCOMES, kinds, strict=True):
        texts = [wrap(text) for *right, text in cases if tuple(right) == kind]
        places = range(begin, begin + len(texts))
        found["x"].append([p % across for p in places])
        found["y"].append([p // across for p in places])
        found["text"].append(texts)
        found["name"].append(f"{outcome} ({len(texts)})")
        begin += len(texts)
    return found
