"""Figures: plain divisions that load nothing, rounded numbers, and the right things drawn."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from slubook.book import figures, ledger
from slubook.book.claims import Claim
from slubook.book.figure_style import legend_rows, to_div
from slubook.book.ledger import Assessed
from slubook.ch1_skills import figures as figures_skills
from slubook.ch2_transfer import figures as figures_transfer
from slubook.ch3_elmol import figures as figures_contextual
from slubook.evaluation.intervals import Interval


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
        name=f"What {id}",
        article="a",
        chapter=1,
        role="claim",
        claim="Networks <err> less.",
        stated="There.",
        metric="irer",
        claimed={"value": value, "upper": upper, "unit": unit, "note": "none"},
        not_testable="for this test",
    )
    return Assessed(claim, verdict, interval and Interval(*interval, n_skills=3))


LEDGER = [
    assessed("won", "exceeded", (0.2, 0.16, 0.25)),
    assessed("lost", "not reproduced", (0.01, -0.02, 0.04), upper=0.2),
    assessed("waits", "not run yet", upper=0.2),
    assessed("unstated", "not run yet", value=None),
    assessed("fast", "reproduced", (5, 4, 6), value=5, unit="ratio"),
    assessed("many", "exceeded", (10, 10, 10), value=10, unit="count"),
]

CURVES = {"MaxEnt-CRF": {100: Interval(0.5, 0.4, 0.6, 9), 300: Interval(0.3, 0.2, 0.4, 9)}}

SENSE = figures_contextual.Senses(
    {"FastText": np.array([[0, 1], [2, 3], [4, 5.0]]), "ELMoL": np.array([[6, 7], [8, 9], [10, 11.0]])},
    ["title", "no slot", "title"],
    ["say <this>", "that", "those"],
)

ALL = {
    "forest": lambda: figures.forest(LEDGER),
    "curves": lambda: figures.learning_curves(CURVES, claimed=("the article's 15 %", {100: 0.4, 300: 0.2})),
    "scatter": lambda: figures_skills.skill_scatter(
        {"a": (0.5, 0.4), "b": (0.1, 0.2)}, ("old", "new"), groups={"a": "x", "b": "y"}
    ),
    "confusion": lambda: figures_skills.confusion(
        {"m": [("A", "B", "say <this>"), ("A", "A", "that")], "n": [("A", "A", "t")]}
    ),
    "map": lambda: figures_skills.embedding_map(
        np.array([[0, 1], [2, 3.0]]), ["g", "h"], ["buy", "order"], labelled=[1]
    ),
    "stages": figures_transfer.stages,
    "race": lambda: figures_transfer.race(
        {"slow": {10: 0.9, 20: 0.5}, "fast": {10: 0.5, 20: 0.4}}, goal=("slow at its best", 0.5)
    ),
    "gains": lambda: figures_transfer.gains_by_skill(
        {"a/<x>": Interval(0.1, -0.2, 0.4, 1), "b/y": Interval(0.3, 0.1, 0.5, 1), "b/z": Interval(-4, -9, 0, 1)},
        Interval(0.15, 0.05, 0.25, 3),
        claimed=("the article's 14 %", 0.14),
        groups={"a/<x>": "a", "b/y": "b", "b/z": "b"},
        notes={"b/y": "100 utterances"},
    ),
    "cases": lambda: figures_transfer.won_and_lost(
        {"tea": [(False, True, "say <this>"), (True, True, "that"), (True, False, "those")], "cars": []}, across=2
    ),
    "layers": figures_contextual.stages,
    "losses": lambda: figures_contextual.losses(
        {"slowly": {10: 3.0, 20: 1.0}, "<frozen>": {10: 2.0, 20: 1.5}},
        {"slowly": [10, 15], "<frozen>": []},
        ["LSTMs", "letters"],
    ),
    "rates": lambda: figures_contextual.rates(
        {
            "frozen": {"heads": [1.0, 0.5, 0.2], "ELMoL: LSTMs": [0, 0, 0]},
            "slowly": {"heads": [1.0, 0.5, 0.2], "ELMoL: LSTMs": [0, 0, 0.1]},
        },
    ),
    "senses": lambda: figures_contextual.senses({"book": SENSE, "play": SENSE._replace(groups=["<a>", "<a>", "b"])}),
    "reductions": lambda: figures_contextual.reductions(
        {
            "against nothing": {"ELMoL": Interval(0.1, 0.05, 0.15, 3), "ELMo": Interval(0.2, 0.1, 0.3, 3)},
            "against ELMoL": {"ELMo": Interval(0.02, -0.01, 0.04, 3)},
        },
        {("against nothing", "ELMoL"): (0.08, None), ("against ELMoL", "ELMo"): (0.01, 0.02), ("a", "b"): (1.0, None)},
    ),
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
    on_a_phone = go.Figure(figure)
    for key, value in phone.items():
        on_a_phone.layout[key] = value  # every key is one of Plotly's
    now = {key: figure.layout[key] for key in wide if key != "height"}
    assert json.loads(json.dumps(now)) == {key: value for key, value in wide.items() if key != "height"}


def test_a_legend_has_room_and_no_scroll_bar():
    names = ["DNN, masked language model of the pool", "MaxEnt-CRF", "DNN, no other text", "spaCy"]
    curves = {name: {100: Interval(0.5, 0.4, 0.6, 9)} for name in names}
    figure = figures.learning_curves(curves)
    assert (legend_rows(figure, 340), legend_rows(figure, 660)) == (3, 1)
    spread = figures_skills.embedding_map(np.zeros((7, 2)), [f"a skill {k}" for k in range(7)], ["x"] * 7)
    assert (legend_rows(spread, 340), legend_rows(spread, 660)) == (3, 2)
    alone = figures_skills.confusion({"m": [("A", "B", "x")]})
    assert legend_rows(alone, 350) == 0
    assert drawn(figure)[1]["template"]["layout"]["legend"]["maxheight"] == 1


def test_long_names_on_axes_wrap():
    name = "DNN, masked language model of the pool without the topic"
    axes = figures_skills.skill_scatter({"a": (0.5, 0.4)}, (name, "MaxEnt-CRF")).layout
    assert max(map(len, axes.xaxis.title.text.split("<br>"))) <= 41


def test_forest():
    traces, layout = drawn(figures.forest(LEDGER))
    by_name = {t["name"]: t for t in traces}
    assert set(by_name) == {"exceeded", "not reproduced", "claimed"}
    assert by_name["claimed"]["y"] == ["What won", "What lost"], "names in words, and of what was measured"
    assert by_name["claimed"]["x"] == [15.0, 15.0] and layout["yaxis"]["categoryarray"] == ["What won", "What lost"]
    assert by_name["claimed"]["error_x"]["array"] == [0, 5.0]  # a range is a bar from its lower to its upper end
    assert by_name["claimed"]["error_x"]["arrayminus"] == [0, 0]
    won = by_name["exceeded"]
    assert (won["x"], won["y"]) == ([20.0], ["What won"])
    assert won["error_x"]["array"] == [5.0] and won["error_x"]["arrayminus"] == [4.0]
    assert "&lt;err&gt;" in won["text"][0] and layout["xaxis"]["type"] == "linear"
    traces, layout = drawn(figures.forest(LEDGER, ratios=True))
    assert [t["y"] for t in traces] == [["What fast"], ["What fast"]] and layout["shapes"][0]["x0"] == 1
    assert layout["xaxis"]["type"] == "log"


def test_every_verdict_has_a_look_of_its_own():
    looks = [figures.forest([assessed("a", v, (0.2, 0.1, 0.3))]).data[0].marker for v in ledger.VERDICTS[:6]]
    assert len({look.symbol for look in looks}) == len({look.color for look in looks}) == 6


def test_learning_curves():
    band, line, claimed = drawn(ALL["curves"]())[0]
    assert line["x"] == [100, 300] and line["y"] == [50.0, 30.0] and line["customdata"] == [[40.0, 60.0], [20.0, 40.0]]
    assert band["y"] == [60.0, 40.0, 20.0, 40.0] and band["x"] == [100, 300, 300, 100]
    assert claimed["name"] == "the article's 15 %" and claimed["y"] == [40.0, 20.0]
    two = {"a": CURVES[next(iter(CURVES))], "b": CURVES[next(iter(CURVES))]}
    for bands, shown in ((None, ["a", "a", "b", "b"]), (["b"], ["a", "b", "b"])):
        assert [t["legendgroup"] for t in drawn(figures.learning_curves(two, bands=bands))[0]] == shown


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
    assert "updatemenus" not in drawn(figures_skills.confusion({"m": [("A", "B", "x")]}))[1]


def test_embedding_map():
    traces, layout = drawn(ALL["map"]())
    assert [(t["name"], t["x"], t["y"], t["text"]) for t in traces] == [
        ("g", [0.0], [1.0], ["buy"]),
        ("h", [2.0], [3.0], ["order"]),
    ]
    assert [a["text"] for a in layout["annotations"]] == ["order"]


def test_stages_light_up_what_is_new():
    traces, layout = drawn(ALL["stages"]())
    buttons = layout["updatemenus"][0]["buttons"]
    boxes = buttons[0]["args"][2]
    labels = next(t["text"] for t in traces if t["mode"] == "text")
    assert [b["label"] for b in buttons] == [s.button for s in figures_transfer.STAGES] and len(boxes) == len(labels)
    edges = {b["label"]: dict(zip(labels, b["args"][0]["line.color"], strict=True)) for b in buttons}
    assert len(set(edges["source"].values())) == 1, "stage one: everything is the source's"
    for stage in ("hand-over", "by names", "new skill"):
        changed = {label for label, colour in edges[stage].items() if colour != edges["source"][label]}
        assert changed == {"tags, CRF", "intents"}, "only what scores labels is replaced"
    assert edges["by names"]["intents"] != edges["hand-over"]["intents"] == edges["new skill"]["intents"]
    first = buttons[0]["args"][0]
    assert [traces[k]["fillcolor"] for k in boxes] == first["fillcolor"], "the first stage is what is drawn"
    assert layout["annotations"][0]["text"] == buttons[0]["args"][1]["annotations[0].text"]


def test_a_race_ends_with_all_of_it_and_a_frame_holds_what_was_run():
    figure = ALL["race"]()
    traces, layout = drawn(figure)
    assert [(t["name"], t["y"]) for t in traces] == [
        ("slow", [90.0, 50.0]), ("fast", [50.0, 40.0]), ("slow at its best", [50.0, 50.0]),
    ]  # fmt: skip
    assert [(f.name, [t.y for t in f.data]) for f in figure.frames] == [
        ("10", [(90.0,), (50.0,)]), ("20", [(90.0, 50.0), (50.0, 40.0)]),
    ]  # fmt: skip
    steps = layout["sliders"][0]["steps"]
    assert [s["args"][0] for s in steps] == [["10"], ["20"]] and layout["sliders"][0]["active"] == 1
    assert layout["updatemenus"][0]["buttons"][0]["args"][0] == ["10", "20"]
    division = to_div(figure, "race")
    assert "Plotly.addFrames" in division and "Plotly.animate" not in division, "nothing moves by itself"


def test_gains_are_sorted_and_the_claim_stands_among_them():
    traces, layout = drawn(ALL["gains"]())
    a, b, whole, claimed = traces
    assert (a["name"], a["x"], a["y"]) == ("a", [10.0], [2]) and (b["x"], b["y"]) == ([30.0, -100.0], [1, 3])
    assert b["error_x"]["array"] == [20.0, 100.0] and b["error_x"]["arrayminus"] == [20.0, 0.0]
    assert a["text"][0].startswith("<b>a/&lt;x&gt;</b><br>10.0 % [-20.0, 40.0]") and "100 utterances" in b["text"][0]
    assert (whole["x"], claimed["name"], claimed["x"]) == ([15.0, 15.0], "the article's 14 %", [14.0, 14.0])
    band = next(s for s in layout["shapes"] if s["type"] == "rect")
    assert (band["x0"], band["x1"]) == (5.0, 25.0)


def test_utterances_won_and_lost_come_first():
    traces, layout = drawn(ALL["cases"]())
    assert [t["name"] for t in traces] == [
        "only after transfer (1)", "only from scratch (1)", "both (1)", "neither (0)",
    ]  # fmt: skip
    assert [(t["x"], t["y"], t["text"]) for t in traces] == [
        ([0], [0], ["say &lt;this&gt;"]), ([1], [0], ["those"]), ([0], [1], ["that"]), ([], [], []),
    ]  # fmt: skip
    tea, cars = layout["updatemenus"][0]["buttons"]
    assert (tea["label"], cars["label"]) == ("tea", "cars") and tea["args"][0]["text"][2] == ["that"]
    assert cars["args"][0]["name"][0] == "only after transfer (0)"


def test_layers_light_up_when_they_are_unfrozen():
    traces, layout = drawn(ALL["layers"]())
    buttons = layout["updatemenus"][0]["buttons"]
    labels = next(t["text"] for t in traces if t["mode"] == "text")
    assert [b["label"] for b in buttons] == ["text", "frozen", "highest", "all", "new skill"]
    fills = {b["label"]: dict(zip(labels, b["args"][0]["fillcolor"], strict=True)) for b in buttons}
    lit = {stage: {label for label, fill in boxes.items() if fill.endswith("0.45)")} for stage, boxes in fills.items()}
    assert lit == {
        "text": set(), "frozen": set(), "highest": {"LSTM →", "← LSTM"}, "all": {"letters"}, "new skill": set(),
    }  # fmt: skip
    still = {label for label, fill in fills["frozen"].items() if fill.endswith("0.04)")}
    assert still == {"letters", "LSTM →", "← LSTM", "which word?"}
    assert fills["text"]["common bi-LSTM"] == fills["frozen"]["which word?"], "neither is part of that stage"


def test_a_star_stands_where_a_layer_was_unfrozen():
    slowly, stars, frozen, legend = drawn(ALL["losses"]())[0]
    assert (slowly["x"], slowly["y"]) == ([10, 20], [3.0, 1.0]) and frozen["name"] == "<frozen>"
    assert (stars["x"], stars["y"]) == ([10, 15], [3.0, 2.0]), "on the curve, between two looks too"
    assert stars["text"] == ["slowly: LSTMs unfrozen", "slowly: letters unfrozen"]
    assert legend["name"] == "a layer is unfrozen" and legend["x"] == [None]


def test_a_frozen_layer_has_no_line():
    traces, layout = drawn(ALL["rates"]())
    assert [(t["name"], t["x"], t["y"]) for t in traces] == [
        ("heads", [1, 3], [1.0, 0.2]), ("ELMoL: LSTMs", [1, 3], [None, None]),
    ]  # fmt: skip
    slowly = layout["updatemenus"][0]["buttons"][1]
    assert slowly["label"] == "slowly" and slowly["args"][0]["y"] == [[1.0, 0.2], [None, 0.1]]
    assert layout["yaxis"]["type"] == "log"


def test_a_word_is_laid_out_twice_in_the_same_colours_and_the_rarest_groups_are_one():
    traces, layout = drawn(ALL["senses"]())
    left, right = traces[:6], traces[6:]
    assert [(t["name"], t["x"], t["y"]) for t in left[:2]] == [
        ("title", [0.0, 4.0], [1.0, 5.0]), ("no slot", [2.0], [3.0]),
    ]  # fmt: skip
    assert right[0]["x"] == [6.0, 10.0] and right[0]["xaxis"] == "x2" and right[0]["text"] == left[0]["text"]
    assert left[0]["text"] == ["say &lt;this&gt;", "those"]
    assert [t["showlegend"] for t in traces] == [True, True] + [False] * 10
    assert all(a["marker"] == b["marker"] for a, b in zip(left, right, strict=True))
    play = layout["updatemenus"][0]["buttons"][1]["args"][0]
    assert play["name"][:3] == ["<a>", "b", "other"] and play["x"][0] == [0.0, 2.0]
    many = SENSE._replace(
        panels={"FastText": np.zeros((9, 2)), "ELMoL": np.ones((9, 2))}, groups=list("aabbcdefg"), texts=["t"] * 9
    )
    names = [t["name"] for t in drawn(figures_contextual.senses({"w": many}))[0][:6]]
    counts = [len(t["x"]) for t in drawn(figures_contextual.senses({"w": many}))[0][:6]]
    assert names == [*"abcde", "other"] and counts == [2, 2, 1, 1, 1, 2]


def test_reductions_stand_in_rows_and_the_claim_beside_its_own():
    traces, layout = drawn(ALL["reductions"]())
    nothing, elmol, claimed = traces
    assert layout["yaxis"]["ticktext"] == ["ELMoL", "ELMo"] and nothing["x"] == [10.0, 20.0]
    assert nothing["error_x"]["array"] == [5.0, 10.0] and elmol["error_x"]["arrayminus"] == [3.0]
    assert claimed["x"] == [8.0, 1.0] and claimed["error_x"]["array"] == [0, 1.0]
    assert claimed["y"] == [nothing["y"][0], elmol["y"][0]], "in the row of its baseline and its method"
    assert nothing["y"][0] < 0 < nothing["y"][1] < 1 < elmol["y"][0]
