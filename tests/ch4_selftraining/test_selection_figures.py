"""Figures of chapter 4: the buttons and the slider show what they say."""

from __future__ import annotations

import numpy as np

from slubook.ch4_selftraining.figures import POINTS, curves, selection_map


def test_a_button_shows_the_errors_of_its_operating_point():
    lines = {"level": {0: 0.5}, "at random": {400: 0.4, 100: 0.45}}
    other = {"level": {0: 0.7}, "at random": {400: 0.6, 100: 0.65}}
    figure = curves(dict(zip(POINTS, (lines, other), strict=True)), "requests")
    level, line = figure.data
    assert list(level.x) == [100, 400] and list(level.y) == [50, 50]
    assert list(line.x) == [100, 400] and list(line.y) == [45, 40]
    matched, argmax = figure.layout.updatemenus[0].buttons
    assert (matched.label, argmax.label) == tuple(POINTS)
    assert np.allclose(argmax.args[0]["y"], [[70, 70], [65, 60]])


def test_the_slider_goes_through_the_rounds():
    points = np.arange(12.0).reshape(6, 2)
    figure = selection_map(points, ["a", "b", "c <d>", "e", "f", "g"], [0, 1], [[2], [3, 4]])
    filtered, annotated, *rounds = figure.data
    assert list(filtered.text) == ["g"] and list(annotated.text) == ["a", "b"]
    assert [list(r.text) for r in rounds] == [["c &lt;d&gt;"], ["e", "f"]], "text is escaped"
    shown = [list(step.args[1]) for step in figure.layout.sliders[0].steps]
    assert shown == [[True, True, False, False], [True, True, True, False], [True, True, True, True]]
