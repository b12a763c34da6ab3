"""Figures of chapter 5 hold what they are given: who is near, what was misheard, points beside claims."""

from __future__ import annotations

import numpy as np
import pytest

from slubook.book.figure_style import PALETTE
from slubook.ch5_bootstrapping.figures import aligned, reductions, selection


@pytest.mark.parametrize(
    ("said", "heard", "shown"),
    [
        ("a b c", "a b c", "a b c"),
        ("a b c", "a x c", "a <s>b</s> <b>x</b> c"),
        ("a b c", "a c", "a <s>b</s> c"),
        ("a c", "a b c", "a <b>b</b> c"),
        ("a", "<i>", "<s>a</s> <b>&lt;i&gt;</b>"),
    ],
)
def test_misheard_words_are_marked(said, heard, shown):
    assert aligned(said.split(), heard.split()) == shown


def test_a_step_of_the_slider_selects_what_is_within_its_radius():
    pool, requests = np.arange(8.0).reshape(4, 2), np.zeros((2, 2))
    figure = selection(requests, pool, [0.1, 0.4, 0.2, 0.9], ["one", "two", "three", "four"], [0.15, 0.5])
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == ["0.15", "0.50"]
    near = [[colour == PALETTE[0] for colour in step.args[0]["marker.color"][0]] for step in steps]
    assert near == [[True, False, False, False], [True, True, True, False]]
    assert list(figure.data[0].marker.color) == steps[0].args[0]["marker.color"][0]
    assert "three" in figure.data[0].text[2]


def test_reductions_stand_beside_the_article_s():
    measured = {"all": {100: (0.1, 0.05, 0.2), 1000: (0.02, -0.01, 0.04)}}
    figure = reductions(measured, {100: 0.1565, 1000: 0.0786})
    points, claimed = figure.data
    assert list(points.x) == list(claimed.x) == ["100", "1,000"]
    np.testing.assert_allclose(points.error_y.arrayminus, [5, 3])
    np.testing.assert_allclose(points.error_y.array, [10, 2])
    np.testing.assert_allclose(claimed.y, [15.65, 7.86])
