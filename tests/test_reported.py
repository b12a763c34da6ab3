"""The benchmark page's rows: published figures that are well-formed, and the book's own beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from slubook.evaluation.metrics import Outcomes
from slubook.experiments.benchmark import BENEATH, METHODS, MODELS
from slubook.experiments.records import Results, Row, Test
from slubook.reported import COLUMNS, Reported, accuracy, ahead, cost_line, measured_line, reported

ROW = {
    "model": "A",
    "beneath": "nothing",
    "intent": 75.0,
    "slot_f1": 60.0,
    "paper": "https://a.org",
    "read_in": "https://b.org",
}


@pytest.fixture
def results() -> Results:
    """Four utterances of one slot each, two seeds: intents right in three, slots in two, both right in one of them."""
    ones = np.ones(4, int)
    measured = Outcomes(np.array([1, 1, 1, 0]), np.array([1, 0, 0, 1]), ones, ones, 0 * ones)
    figures = {"parameters": 2_500_000, "beneath": 0}
    slices = {"fresh": np.array([True, False, False, False])}
    rows = [Row("snips_iob", "dnn", 9, seed, measured, 60.0, 1.0, 10_000_000, slices, figures) for seed in (0, 1)]
    return Results("benchmark", {}, {"snips_iob": Test("snips_iob", "snips", tuple("abcd"), ones)}, rows)


def test_the_published_table_is_whole():
    rows = reported()
    assert {"ELMoL", "ELMo", "JointBERT", "Capsule-NLU"} < {row.model for row in rows}
    assert len({row.model for row in rows}) == len(rows)
    assert all(row.paper != row.read_in for row in rows if row.second_hand)


@pytest.mark.parametrize("wrong", [{"intent": 970}, {"slot": 1}, {"paper": "ftp://a"}, {"unconfirmed": ["f1"]}])
def test_a_row_that_is_not_well_formed_is_refused(wrong):
    with pytest.raises(ValidationError):
        Reported.model_validate({**ROW, **wrong})


def test_lines_have_the_same_heads(results):
    theirs = Reported.model_validate({**ROW, "sentence": 50.0, "second_hand": True, "unconfirmed": ["sentence"]}).line()
    mine = measured_line(results, "dnn", "DNN")
    assert list(theirs) == list(mine)
    assert [theirs[c] for c in COLUMNS.values()] == ["75.0", "60.0", "50.0?"]
    assert "second-hand" in theirs["from"] and "second-hand" not in Reported.model_validate(ROW).line()["from"]
    assert Reported.model_validate(ROW).line()["sentence accuracy %"] == "–"
    assert [mine[c].split()[0] for c in COLUMNS.values()] == ["75.0", "50.0", "25.0"]
    assert mine["from"] == "here, seeds: 2" and mine["beneath"] == "nothing"


def test_costs(results):
    line = cost_line(results, "dnn", "DNN")
    assert list(line.values()) == ["DNN", "2,500,000", "0", "60", "10.0", "1.0"]


def test_accuracy_turns_errors_around(results):
    interval = accuracy(results, "dnn", "intent")
    assert interval.low <= interval.point == 0.75 <= interval.high
    assert accuracy(results, "dnn", "sentence", "fresh").point == 1.0


def test_ahead_asks_for_both_figures(results):
    rows = [
        Reported.model_validate({**ROW, "model": name, "intent": intent, "slot_f1": f1})
        for name, intent, f1 in (("both", 75.0, 50.0), ("intent", 70.0, 51.0), ("slots", 76.0, 40.0))
    ]
    assert ahead(results, "dnn", rows) == ["both"]


def test_every_model_has_a_label_and_says_what_it_stands_on(results):
    assert list(METHODS) == list(MODELS)
    assert set(BENEATH) == {"dnn_pool", "fasttext_pool", "elmol"}
    over = Results("benchmark", {}, results.tests, [replace(row, method="elmol") for row in results.rows])
    assert measured_line(over, "elmol", "ELMoL")["beneath"] == "language model of requests"
