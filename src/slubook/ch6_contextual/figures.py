"""The figures that only chapter 6 needs: one interaction in time, what context is worth, and late vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from slubook.book.figure_style import PALETTE, TEXT, add_claimed, bars, blank, marker, percentages
from slubook.evaluation.intervals import Interval


def timeline(spans: Sequence[tuple[str, str, float, float]], opens: float) -> go.Figure:
    """Draws one interaction in seconds.

    Args:
        spans: of each bar its row, its text, and when it begins and ends.
        opens: when the microphone opens.
    """
    rows = list(dict.fromkeys(row for row, *_ in spans))[::-1]
    figure = blank(
        {"yaxis.tickfont.size": 10}, height=90 + 44 * len(rows), showlegend=False, barmode="overlay", bargap=0.35,
        xaxis={"title": "seconds since the interaction began"}, yaxis={"categoryorder": "array", "categoryarray": rows},
    )  # fmt: skip
    for k, row in enumerate(dict.fromkeys(row for row, *_ in spans)):
        own = [span for span in spans if span[0] == row]
        figure.add_bar(
            x=[end - start for *_, start, end in own], base=[start for *_, start, _ in own], y=[row] * len(own),
            orientation="h", marker={"color": PALETTE[k % len(PALETTE)], "opacity": 0.35},
            hovertext=[text for _, text, *_ in own], text=[text for _, text, *_ in own], textposition="inside",
            insidetextanchor="start", insidetextfont={"color": TEXT}, constraintext="none", textangle=0,
            cliponaxis=False,
        )  # fmt: skip
    said = {"annotation_text": "the microphone opens", "annotation_position": "top left"}
    figure.add_vline(x=opens, line={"color": TEXT, "dash": "dot"}, **said)
    return figure


def worth(found: Mapping[str, Interval | None], claimed: float) -> go.Figure:
    """Draws by how much each method reduces the errors of the baseline, with intervals, and the article's figure."""
    shown = {name: interval for name, interval in found.items() if interval}
    low, point, high = percentages(shown.values())
    figure = blank(
        {"margin.l": 150}, height=150 + 34 * len(shown), yaxis={"autorange": "reversed"},
        xaxis={"title": "fewer word errors than decoder A (%)"}, showlegend=True,
    )  # fmt: skip
    figure.add_scatter(
        x=point, y=list(shown), mode="markers", name="measured", marker=marker(0, 10), error_x=bars(low, point, high)
    )
    add_claimed(figure, [(claimed, None)] * len(shown), list(shown), "the article's figure")
    figure.add_vline(x=0, line={"color": TEXT, "width": 1})
    return figure


def lateness(seconds: Sequence[float], served: Sequence[float], errors: Mapping[str, Sequence[float]]) -> go.Figure:
    """Draws what a slow encoder costs: the share of turns with a vector in time, and word error rates.

    Args:
        seconds: that an encoding takes, [S].
        served: the share of turns that had their vector, [S].
        errors: word error rates, [S] each, by what they are of.
    """
    figure = blank(xaxis={"title": "seconds that the encoder takes"}, yaxis={"title": "%", "rangemode": "tozero"})
    lines: dict[str, Any] = {"turns with their vector in time": served, **errors}
    for k, (name, values) in enumerate(lines.items()):
        figure.add_scatter(
            x=list(seconds), y=[100 * value for value in values], name=name, mode="lines+markers",
            line={"color": PALETTE[k % len(PALETTE)], "dash": "dot" if k == 0 else "solid"}, marker=marker(k, 7),
        )  # fmt: skip
    return figure
