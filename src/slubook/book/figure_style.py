"""How the book's figures look and how they are shown: one template, legible on light and on dark pages.

``SLUBOOK_FIGURES=div`` (the default, for the book and nbval) shows a figure as a plain HTML division that
draws with the page's own copy of Plotly; ``SLUBOOK_FIGURES=lab`` leaves it to JupyterLab's renderer.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

#: Colours that people with any common colour blindness tell apart (Okabe and Ito, 2008), without its black
#: and yellow, which vanish on dark and on light pages.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C8C8C")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "cross")
TEXT, GRID = "#7b7b7b", "rgba(128, 128, 128, 0.25)"  # about 4 : 1 against white and against near-black
HEIGHT = 420
#: The widths, in pixels, that figures are laid out for: that of the book's column, and that of a phone held upright.
WIDE, PHONE = 660, 340
_ROW, _LETTER, _SYMBOL = 20, 6.2, 52  # of a legend: the height of a row, the widths of a letter and of a symbol

_AXIS = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True, "title": {"standoff": 8}}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"color": TEXT, "size": 13},
        "colorway": PALETTE,
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {
            "orientation": "h", "xref": "container", "x": 0, "yref": "container", "yanchor": "bottom", "y": 0,
            "maxheight": 1, "tracegroupgap": 0, "font": {"size": 12},
        },
        "modebar": {"bgcolor": "rgba(0, 0, 0, 0)", "color": TEXT, "activecolor": PALETTE[0]},
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "hoverlabel": {"align": "left"},
        "autosize": True,
    }
)  # fmt: skip
# The buttons are listed, since Plotly's own set has one that uploads the figure; the book stays offline.
_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "plotlyServerURL": "",
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}


#: Labels of axes on a phone: small, so that what is drawn keeps its room.
SMALL = {f"{axis}.tickfont.size": 10 for axis in ("xaxis", "yaxis")}

#: A menu or a row of buttons.
BUTTON = {"font": {"color": TEXT, "size": 12}, "bordercolor": GRID, "pad": {"t": 0, "b": 0, "l": 0, "r": 4}}


def blank(phone: Mapping[str, Any] | None = None, **layout: Any) -> go.Figure:
    """An empty figure; ``phone`` is what changes in its layout on a phone, as ``Plotly.relayout`` takes it."""
    return go.Figure(layout={"template": TEMPLATE, "meta": {"phone": dict(phone or {})}, **layout})


def wrap(text: str, width: int = 60) -> str:
    """Text for a figure, in lines of at most ``width`` characters; what HTML would read as its own is escaped."""
    return "<br>".join(textwrap.wrap(html.escape(text), width))


def faded(colour: str, alpha: float) -> str:
    """A colour of the palette that lets the page shine through; ``alpha`` is 1 where it does not."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def show(figure: go.Figure, name: str, alt: str = "") -> Any:
    """What the last line of a notebook cell returns to show a figure.

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
    """The figure as an HTML division of the page's width that loads nothing; numbers are rounded and in plain text.

    The page's script takes the layout for phones from ``layout.meta``: see :func:`fitted`.
    """
    figure = fitted(figure)
    return pio.to_html(
        _plain(json.loads(figure.to_json())),
        config=_CONFIG,
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        auto_play=False,
        div_id=name,
        default_width="100%",
        default_height=f"{figure.layout.height}px",
        validate=False,
    )


def fitted(figure: go.Figure) -> go.Figure:
    """A copy that leaves room for its legend, and knows what is to change in its layout on a phone.

    ``layout.meta`` holds two sets of changes for ``Plotly.relayout``: ``phone``, those of the figure itself with the
    height that the legend needs there, and ``wide``, which takes them back.
    """
    height = figure.layout.height or HEIGHT
    phone = {"height": height, **((figure.layout.meta or {}).get("phone") or {})}
    wide = {key: figure.layout[key] for key in phone} | {"height": height + _ROW * legend_rows(figure, WIDE)}
    phone["height"] += _ROW * legend_rows(figure, PHONE)
    return go.Figure(figure).update_layout(height=wide["height"], meta={"phone": phone, "wide": wide})


def legend_rows(figure: go.Figure, width: int) -> int:
    """How many rows the legend takes at ``width`` pixels; Plotly sets it in equal columns, but groups as they come."""
    if figure.layout.showlegend is False:
        return 0
    names = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    if len(names) < 2 and not figure.layout.showlegend:
        return 0
    widths = [_SYMBOL + _LETTER * len(name) for name in names]
    if not any(trace.legendgroup for trace in figure.data):
        return math.ceil(len(names) / max(1, width // max(widths, default=1)))
    rows, used = 1, 0.0
    for entry in widths:
        rows, used = (rows + 1, entry) if used and used + entry > width else (rows, used + entry)
    return rows


def _plain(value: Any) -> Any:
    """Typed arrays (base64) to lists, and floats to five significant digits, so that diffs can be read."""
    if isinstance(value, dict):
        if "bdata" in value:
            flat = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
            shape = [int(n) for n in str(value.get("shape", len(flat))).split(",")]
            return _plain(flat.reshape(shape).tolist())
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
