"""The style of the book's figures, and how they are shown: one template, legible on light and on dark pages.

``SLUBOOK_FIGURES=div`` (the default, for the book and nbval) shows a figure as a plain HTML division that
draws with the page's own copy of Plotly; ``SLUBOOK_FIGURES=lab`` leaves it to JupyterLab's renderer.
"""

from __future__ import annotations

import html
import json
import math
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import yaml

from slubook.evaluation.intervals import Interval

_STYLE = yaml.safe_load(resources.files("slubook.book").joinpath("style.yml").read_text("utf-8"))
PALETTE, SYMBOLS, TEXT, GRID = tuple(_STYLE["palette"]), tuple(_STYLE["symbols"]), _STYLE["text"], _STYLE["grid"]
VERDICTS = _STYLE["verdicts"]  # the colour and the symbol of each
TEMPLATE = go.layout.Template(layout=_STYLE["layout"])
HEIGHT = 420
#: The widths, in pixels, that figures are laid out for: that of the book's column, and that of a phone held upright.
WIDE, PHONE = 660, 340
_ROW, _CHARACTER, _SYMBOL = 20, 6.2, 52  # of a legend: the height of a row, the widths of a character and a symbol

#: Labels of axes on a phone: small, so that what is drawn keeps its room.
SMALL = {f"{axis}.tickfont.size": 10 for axis in ("xaxis", "yaxis")}

#: Where buttons stand in a row.
IN_A_ROW = {"type": "buttons", "direction": "right"}


def blank(phone: Mapping[str, Any] | None = None, **layout: Any) -> go.Figure:
    """Returns an empty figure; ``phone`` is what changes in its layout on a phone, as ``Plotly.relayout`` takes it."""
    return go.Figure(layout={"template": TEMPLATE, "meta": {"phone": dict(phone or {})}, **layout})


def wrap(text: str, width: int = 60) -> str:
    """Breaks text for a figure into lines of at most ``width`` characters, and escapes it for HTML."""
    return "<br>".join(textwrap.wrap(html.escape(text), width))


def faded(colour: str, alpha: float) -> str:
    """Returns a colour of the palette at an opacity of ``alpha``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def marker(k: int, size: float, **look: Any) -> dict[str, Any]:
    """Returns the marker of the k-th series: its colour and its symbol."""
    return {"color": PALETTE[k % len(PALETTE)], "symbol": SYMBOLS[k % len(SYMBOLS)], "size": size, **look}


def percentages(intervals: Iterable[Interval], scale: float = 100) -> np.ndarray:
    """Returns the lower ends, points and upper ends of intervals in percent, [3, N]."""
    return scale * np.array([[i.low, i.point, i.high] for i in intervals]).T


def bars(low: np.ndarray, point: np.ndarray, high: np.ndarray, **look: Any) -> dict[str, Any]:
    """Returns the error bars of points with intervals."""
    return {"array": high - point, "arrayminus": point - low, "thickness": 2, **look}


def add_claimed(
    figure: go.Figure, ends: Sequence[tuple[float, float | None]], y: Sequence, name: str, scale: float = 100, **how
) -> None:
    """Adds a mark for each claimed figure, with a bar up to the upper end (not ``None``) of a claimed range."""
    reach = [scale * (upper - value) if upper else 0 for value, upper in ends]
    figure.add_scatter(
        x=[scale * value for value, _ in ends], y=y, mode="markers", name=name,
        error_x={"array": reach, "arrayminus": [0] * len(reach), "color": TEXT, "thickness": 5, "width": 0},
        marker={"color": TEXT, "symbol": "line-ns-open", "size": 16, "line": {"width": 3, "color": TEXT}}, **how,
    )  # fmt: skip


def add_menu(figure: go.Figure, choices: Mapping[str, list], method: str = "restyle", **place: Any) -> None:
    """Adds a menu, or a row of buttons: under each name, the arguments of one of Plotly's methods."""
    buttons = [{"label": name, "method": method, "args": args} for name, args in choices.items()]
    where = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", **place}
    figure.update_layout(updatemenus=[{**_STYLE["button"], **where, "buttons": buttons}])


def show(figure: go.Figure, name: str, alt: str = "") -> Any:
    """Returns what shows a figure as the value of a notebook cell's last line.

    Args:
        figure: any Plotly figure.
        name: the id of its division, unique on its page.
        alt: what the figure shows, in a sentence, for readers who cannot see it.

    Raises:
        ValueError: when ``SLUBOOK_FIGURES`` is neither ``div`` nor ``lab``.
    """
    mode = os.environ.get("SLUBOOK_FIGURES") or "div"
    if mode == "lab":
        return figure
    if mode != "div":
        raise ValueError(f"SLUBOOK_FIGURES={mode!r}: use div (the book) or lab (JupyterLab)")
    from IPython.display import HTML

    division = to_div(figure, name)
    return HTML(f'<div role="figure" aria-label="{html.escape(alt)}">{division}</div>' if alt else division)


def to_div(figure: go.Figure, name: str) -> str:
    """Writes a figure as an HTML division of the page's width that loads nothing; numbers are rounded, as plain text.

    The page's script takes the layout for phones from ``layout.meta``: see :func:`fitted`.
    """
    figure = fitted(figure)
    drawn = {part: [one.to_plotly_json() for one in getattr(figure, part)] for part in ("data", "frames")}
    text = pio.to_json({**drawn, "layout": figure.layout.to_plotly_json()}, validate=False)  # arrays as lists
    rounded = json.loads(text, parse_float=lambda digits: float(f"{float(digits):.5g}"))
    return pio.to_html(
        rounded, config=_STYLE["config"], full_html=False, include_plotlyjs=False, include_mathjax=False,
        auto_play=False, div_id=name, default_width="100%", default_height=f"{figure.layout.height}px", validate=False,
    )  # fmt: skip


def fitted(figure: go.Figure) -> go.Figure:
    """Copies a figure, with room for its legend and with what changes in its layout on a phone.

    ``layout.meta`` holds two sets of changes for ``Plotly.relayout``: ``phone``, those of the figure itself with the
    height that the legend needs there, and ``wide``, which takes them back.
    """
    height = figure.layout.height or HEIGHT
    phone = {"height": height, **((figure.layout.meta or {}).get("phone") or {})}
    wide = {key: figure.layout[key] for key in phone} | {"height": height + _ROW * legend_rows(figure, WIDE)}
    phone["height"] += _ROW * legend_rows(figure, PHONE)
    return go.Figure(figure).update_layout(height=wide["height"], meta={"phone": phone, "wide": wide})


def legend_rows(figure: go.Figure, width: int) -> int:
    """Counts the rows of the legend at ``width`` pixels: in equal columns, or as they come where there are groups."""
    names = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    wanted = len(names) > 1 if figure.layout.showlegend is None else figure.layout.showlegend
    if not wanted:
        return 0
    widths = [_SYMBOL + _CHARACTER * len(name) for name in names]
    if not any(trace.legendgroup for trace in figure.data):
        return math.ceil(len(names) / max(1, width // max(widths, default=1)))
    rows, used = 1, 0.0
    for entry in widths:
        rows, used = (rows + 1, entry) if used and used + entry > width else (rows, used + entry)
    return rows
