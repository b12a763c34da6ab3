"""What ``slubook run`` prints: uncut figures, sources drawn first, nothing said of slots that nobody looked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from slubook.evaluation.intervals import Interval, compare
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Results, Row, Test
from slubook.experiments.report import headlines, summarise, tabulate
from slubook.experiments.table import EXPERIMENTS

SKILLS = EXPERIMENTS["skills"]
METHODS = SKILLS.methods
SOURCES = {"a/one": "a", "a/two": "a", "b/one": "b"}


def measured(slots: bool = True) -> Results:
    """Every method of chapter 1 on three skills of two sources, right at random."""
    rng, rows, n = np.random.default_rng(0), [], 40
    for k, skill in enumerate(SOURCES):
        for method in METHODS:
            right = (rng.random(n) < 0.4 + 0.2 * k).astype(int)
            gold, found = np.full(n, int(slots)), np.full(n, int(slots and method != "fasttext"))
            rows.append(Row(skill, method, 300, 0, Outcomes(right, right * found, found, gold, 0 * gold), 123.4))
    tests = {s: Test(corpus, "", tuple(map(str, range(40))), np.ones(40, int)) for s, corpus in SOURCES.items()}
    return Results("skills", {}, tests, rows)


@pytest.fixture(scope="module")
def lines() -> list[dict]:
    return summarise(measured(), replicates=200)


def printed(lines: list[dict], wide: bool, columns: int) -> str:
    console = Console(file=io.StringIO(), width=columns)
    console.print(tabulate(lines, SKILLS, wide))
    return console.file.getvalue()


@pytest.mark.parametrize(("wide", "columns"), [(False, 80), (True, 160)])
def test_nothing_is_cut_and_every_method_stands_on_one_line(lines, wide, columns):
    text = printed(lines, wide, columns)
    assert "…" not in text and all(name in text for name in METHODS.values())
    assert ("SER %" in text) == ("123.4" in text) == wide
    for line in lines:
        if line["irer"]:
            assert Interval(*line["irer"], 3).percent(form=".1f" if wide else ".0f") in text
    assert len(text.splitlines()) == 1 + len(lines) + 1  # head and caption


def test_of_a_method_that_looks_for_no_slots_only_intents_are_judged(lines):
    [line] = [line for line in lines if line["method"] == "fasttext"]
    assert line["icer"] and not any(line[name] for name in ("ser", "irer", "irer_reduction", "wins"))
    [row] = [row for row in printed(lines, False, 80).splitlines() if row.startswith(METHODS["fasttext"])]
    assert row.split()[-2:] == ["–", "–"]
    [line] = [line for line in summarise(measured(slots=False), 50) if line["method"] == "fasttext"]
    assert line["irer"] == line["icer"], "where there are no slots, it does all there is to do"


def test_sources_are_drawn_before_skills(lines):
    [line] = [line for line in lines if line["method"] == "dnn_pool"]
    rows = measured().select(["maxent_crf", "dnn_pool"])
    drawn = compare(rows, "irer", "maxent_crf", "dnn_pool", 300, groups=SOURCES, replicates=200)
    assert line["irer_reduction"] == [drawn.point, drawn.low, drawn.high]


def test_headlines_are_single_figures():
    tables = {"gain": {"point": 0.2, "low": 0.1, "high": 0.3}, "ratio": 3, "pool": {"left": 7}}
    assert headlines(Results("toy", {}, tables=tables)) == {"gain": [0.2, 0.1, 0.3], "ratio": [3.0, 3.0, 3.0]}
