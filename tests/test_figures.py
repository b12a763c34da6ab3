"""Figures: plain divisions that load nothing, rounded numbers, and the right things drawn."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from slubook import figures
from slubook.claims import Claim
from slubook.evaluation.intervals import Interval
from slubook.figure_style import legend_rows, to_div
from slubook.ledger import Assessed


def drawn(figure, name="figure-a"):
    """The traces and layout that the division hands to Plotly."""
    division = to_div(figure, name)
    call = division.index("Plotly.newPlot(")
    decoder = json.JSONDecoder()
    start = division.index("[", call)
    traces, end = decoder.raw_decode(division, start)
    layout, _ = decoder.raw_decode(division, division.index("{", end))
    return traces, layout


def assessed(id, verdict, interval=None, value=0.15, unit="relative error reduction", upper=None):
    claim = Claim(
        id=id,
        article="a",
        chapter=1,
        role="primary",
        claim="Networks <err> less.",
        stated="There.",
        metric="irer",
        claimed={"value": value, "upper": upper, "unit": unit, "note": "none"},
        not_testable="for this test",
    )
    return Assessed(claim, verdict, interval and Interval(*interval, n_skills=3))


LEDGER = [
    assessed("won", "exceeded", (0.2, 0.16, 0.25)),
    assessed("lost", "not reproduced", (0.01, -0.02, 0.04)),
    assessed("waits", "not run yet", upper=0.2),
    assessed("unstated", "not run yet", value=None),
    assessed("fast", "reproduced", (5, 4, 6), value=5, unit="ratio"),
    assessed("many", "exceeded", (10, 10, 10), value=10, unit="count"),
]

CURVES = {"MaxEnt-CRF": {100: Interval(0.5, 0.4, 0.6, 9), 300: Interval(0.3, 0.2, 0.4, 9)}}

ALL = {
    "forest": lambda: figures.forest(LEDGER),
    "curves": lambda: figures.learning_curves(CURVES, claimed=("the article's 15 %", {100: 0.4, 300: 0.2})),
    "scatter": lambda: figures.skill_scatter(
        {"a": (0.5, 0.4), "b": (0.1, 0.2)}, ("old", "new"), groups={"a": "x", "b": "y"}
    ),
    "confusion": lambda: figures.confusion(
        {"m": [("A", "B", "say <this>"), ("A", "A", "that")], "n": [("A", "A", "t")]}
    ),
    "map": lambda: figures.embedding_map(np.array([[0, 1], [2, 3.0]]), ["g", "h"], ["buy", "order"], labelled=[1]),
}


@pytest.mark.parametrize("name", ALL)
def test_division_loads_nothing_and_is_plain(name):
    division = to_div(ALL[name](), f"figure-{name}")
    assert f'id="figure-{name}"' in division and "Plotly.newPlot" in division
    assert not re.search(r"<script[^>]+src=|<link|https?:|cdn|mathjax", division, re.IGNORECASE)
    assert "modeBarButtons" in division and "Cloud" not in division  # no button uploads anything
    assert "bdata" not in division
    assert len(division) < 30_000
    assert to_div(ALL[name](), f"figure-{name}") == division  # nothing random in it


@pytest.mark.parametrize("name", ALL)
def test_legible_on_light_and_dark(name):
    _, layout = drawn(ALL[name]())
    base = layout["template"]["layout"]
    assert base["paper_bgcolor"] == base["plot_bgcolor"] == "rgba(0, 0, 0, 0)"
    assert "width" not in layout and base["autosize"] is True  # the page decides

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    def contrast(one, other):
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert min(contrast(base["font"]["color"], page) for page in ("#ffffff", "#14181e")) > 4
    assert min(contrast(c, page) for c in base["colorway"] for page in ("#ffffff", "#14181e")) > 2


def test_numbers_are_rounded_and_listed():
    figure = go.Figure(go.Heatmap(z=np.array([[1 / 3, 2], [3, 4.123456789]]), x=np.array([1, 2], dtype=np.int16)))
    traces, _ = drawn(figure)
    assert traces[0]["z"] == [[0.33333, 2.0], [3.0, 4.1235]] and traces[0]["x"] == [1, 2]


def test_show_follows_the_setting(monkeypatch):
    figure = ALL["map"]()
    monkeypatch.delenv("SLUBOOK_FIGURES", raising=False)
    assert 'aria-label="A map of &quot;words&quot;"' in figures.show(figure, "m", 'A map of "words"').data
    monkeypatch.setenv("SLUBOOK_FIGURES", "lab")
    assert figures.show(figure, "m") is figure
    monkeypatch.setenv("SLUBOOK_FIGURES", "png")
    with pytest.raises(ValueError, match="use div"):
        figures.show(figure, "m")


@pytest.mark.parametrize("name", ALL)
def test_changes_for_a_phone_can_be_taken_back(name):
    figure = ALL[name]()
    _, layout = drawn(figure)
    phone, wide = layout["meta"]["phone"], layout["meta"]["wide"]
    assert phone.keys() == wide.keys() and phone["height"] >= wide["height"] == layout["height"]
    assert f"height:{layout['height']}px" in to_div(figure, "f")
    go.Figure(layout=phone)  # every key is one of Plotly's
    assert all(figure.layout[key] == value for key, value in wide.items() if key != "height")


def test_a_legend_has_room_and_no_scroll_bar():
    names = ["DNN, masked language model of the pool", "MaxEnt-CRF", "DNN, no other text", "spaCy"]
    curves = {name: {100: Interval(0.5, 0.4, 0.6, 9)} for name in names}
    figure = figures.learning_curves(curves)
    assert (legend_rows(figure, 340), legend_rows(figure, 660)) == (3, 1)
    spread = figures.embedding_map(np.zeros((7, 2)), [f"a skill {k}" for k in range(7)], ["x"] * 7)
    assert (legend_rows(spread, 340), legend_rows(spread, 660)) == (3, 2)
    alone = figures.confusion({"m": [("A", "B", "x")]})
    assert legend_rows(alone, 350) == 0
    assert drawn(figure)[1]["template"]["layout"]["legend"]["maxheight"] == 1


def test_long_names_on_axes_wrap():
    name = "DNN, masked language model of the pool without the topic"
    axes = figures.skill_scatter({"a": (0.5, 0.4)}, (name, "MaxEnt-CRF")).layout
    assert max(map(len, axes.xaxis.title.text.split("<br>"))) <= 41


def test_forest():
    traces, _ = drawn(figures.forest(LEDGER))
    by_name = {t["name"]: t for t in traces}
    assert set(by_name) == {"exceeded", "not reproduced", "claimed"}
    assert by_name["claimed"]["y"] == ["won", "lost", "waits"] and by_name["claimed"]["x"] == [15.0] * 3
    assert by_name["claimed"]["error_x"]["array"] == [0, 0, 5.0]  # a range is a bar from its lower to its upper end
    assert by_name["claimed"]["error_x"]["arrayminus"] == [0, 0, 0]
    won = by_name["exceeded"]
    assert (won["x"], won["y"]) == ([20.0], ["won"])
    assert won["error_x"]["array"] == [5.0] and won["error_x"]["arrayminus"] == [4.0]
    assert "&lt;err&gt;" in won["text"][0]
    traces, layout = drawn(figures.forest(LEDGER, ratios=True))
    assert [t["y"] for t in traces] == [["fast"], ["fast"]] and layout["shapes"][0]["x0"] == 1


def test_learning_curves():
    band, line, claimed = drawn(ALL["curves"]())[0]
    assert line["x"] == [100, 300] and line["y"] == [50.0, 30.0] and line["customdata"] == [[40.0, 60.0], [20.0, 40.0]]
    assert band["y"] == [60.0, 40.0, 20.0, 40.0] and band["x"] == [100, 300, 300, 100]
    assert claimed["name"] == "the article's 15 %" and claimed["y"] == [40.0, 20.0]


def test_skill_scatter():
    equal, first, second = drawn(ALL["scatter"]())[0]
    assert equal["x"] == equal["y"] == [0, 52.5]
    assert (first["name"], first["x"], first["y"]) == ("x", [50.0], [40.0])
    assert first["marker"]["symbol"] != second["marker"]["symbol"]


def test_confusion():
    traces, layout = drawn(ALL["confusion"]())
    assert traces[0]["z"] == [[0.5, 0.5], [0.0, 0.0]]
    assert traces[0]["customdata"][0][1] == "<b>A → B: 1</b><br>say &lt;this&gt;"
    assert [t["visible"] for t in traces] == [True, False]
    assert [b["label"] for b in layout["updatemenus"][0]["buttons"]] == ["m", "n"]
    assert "updatemenus" not in drawn(figures.confusion({"m": [("A", "B", "x")]}))[1]


def test_embedding_map():
    traces, layout = drawn(ALL["map"]())
    assert [(t["name"], t["x"], t["y"], t["text"]) for t in traces] == [
        ("g", [0.0], [1.0], ["buy"]),
        ("h", [2.0], [3.0], ["order"]),
    ]
    assert [a["text"] for a in layout["annotations"]] == ["order"]
