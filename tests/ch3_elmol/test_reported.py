"""The benchmark page's rows: published figures that are well-formed, and the book's own beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from slubook.ch3_elmol.benchmark import INPUTS, MODELS
from slubook.ch3_elmol.reported import (
    COLUMNS,
    Reported,
    accuracy,
    ahead,
    cost_line,
    distance_line,
    measured_line,
    missed,
    missed_by_all,
    missed_line,
    reported,
    trial_lines,
)
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Results, Row, Test
from slubook.experiments.table import EXPERIMENTS

ROW = {
    "model": "A",
    "pretrained_input": "nothing",
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
    assert mine["from"] == "here, seeds: 2" and mine["pretrained input"] == "nothing"


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


def test_a_distance_is_that_of_the_best_mean(results):
    better = Outcomes(np.ones(4, int), np.array([1, 0, 0, 0]), *(np.ones(4, int),) * 2, np.zeros(4, int))
    rows = [*results.rows, *(replace(row, method="elmol", outcomes=better) for row in results.rows)]
    theirs = Reported.model_validate({**ROW, "model": "A", "intent": 99.5, "slot_f1": 40.0})
    line = distance_line(replace(results, rows=rows), ["dnn", "elmol"], theirs)
    assert line == {"reported": "A", "intent accuracy, points": "+0.50", "slot F1, points": "+10.00"}


def test_what_all_seeds_miss_and_what_some_do(results):
    second = Outcomes(np.array([0, 1, 1, 0]), np.ones(4, int), *(np.ones(4, int),) * 2, np.zeros(4, int))
    results = replace(results, rows=[results.rows[0], replace(results.rows[1], outcomes=second)])
    assert missed(results, "dnn", "intent").tolist() == [[False, False, False, True], [True, False, False, True]]
    assert list(missed_line(results, "dnn", "DNN").values()) == ["DNN", "1.5", "1", "1", "2.5", "1", "3"]
    other = replace(results.rows[0], method="elmol")
    assert missed_by_all(replace(results, rows=[*results.rows, other]), "intent") == "1 of 4"
    right = replace(other, outcomes=replace(second, intent=np.ones(4, int)))
    assert missed_by_all(replace(results, rows=[*results.rows, right]), "intent") == "0 of 4"


def test_every_model_has_a_label_and_says_what_was_pretrained(results):
    assert list(EXPERIMENTS["benchmark"].methods) == list(MODELS)
    assert set(INPUTS) == {"dnn_pool", "fasttext_pool", "elmol"}
    over = Results("benchmark", {}, results.tests, [replace(row, method="elmol") for row in results.rows])
    assert measured_line(over, "elmol", "ELMoL")["pretrained input"] == "language model of requests"


def test_a_line_for_each_trial_of_tuning_tells_where_it_started_and_what_was_chosen():
    longer = {"training.updates": 90, "network.word_dropout": 0.5}
    trials = [{"changes": {}, "dev_error": 0.12}, {"changes": longer, "dev_error": 0.1086}]
    start = {"training": {"updates": 30, "rate": 1.0}, "network": {"word_dropout": 0.25}}
    assert trial_lines({"trials": trials, "chosen": longer}, start, "DNN") == [
        {"DNN": "the start: updates 30, word dropout 0.25", "IRER on dev": "12.0 %"},
        {"DNN": "with updates 90, word dropout 0.5", "IRER on dev": "10.9 %, chosen"},
    ]
