"""Notebook 04 before its run, while it lasts, and after: every cell that is made from ``results/`` is executed.

Such cells are tagged ``published``. The records here are made up, and stand in a folder of the test's own.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from slubook.ch4_selftraining.protocol import SIZES, settings_of
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Results, Row, Test
from slubook.experiments.table import EXPERIMENTS

SKILLS, N = ("snips/a", "sgd/b", "hinglish_top/c", "snips/d"), 20
#: How many of twelve mistakes of the annotated alone each method keeps; methods not named here keep nine.
KEPT = {"annotated": 12, "self": 12, "upweighted": 11, "ensemble": 8, "bad_paraphrases_half": 8, "oracle": 4}
#: Of the full profile: what is measured with many annotated utterances, too.
ONLY_FEW = ("top_", "half", "quarter", "filtered", "transfer")


@cache
def rows() -> list[Row]:
    """Five draws of every intent; a method keeps the first of the mistakes of the annotated alone."""
    draw, ones, made = np.random.default_rng(0), np.ones(N, dtype=int), []
    curve = {f"top_{n}" for n in settings_of("full").curve}
    for skill, size, seed in ((s, n, k) for s in SKILLS for n in SIZES for k in range(5)):
        wrong = draw.permutation(N) < 12
        for method in EXPERIMENTS["selftraining"].methods:
            name = method.removesuffix("_argmax")
            if (name.startswith("top_") and name[4:].isdigit() and name not in curve) or (
                size > SIZES[0] and any(part in name for part in ONLY_FEW)
            ):
                continue
            still = wrong & (wrong.cumsum() <= KEPT.get(name, 9))
            made.append(Row(skill, method, size, seed, Outcomes(1 - still, ones, ones, ones, 0 * ones)))
    return made


def published(folder: Path, done: int) -> None:
    """The results file, as if ``done`` of five cells were measured."""
    tests = {s: Test(s.split("/")[0], s, tuple(f"{s}-{k}" for k in range(N)), np.ones(N, dtype=int)) for s in SKILLS}
    stamp = {"protocol": EXPERIMENTS["selftraining"].protocol, "config": {"profile": "full"}, "cell_s": 7200.0}
    f1 = {m: {str(n): 0.5 for n in SIZES} for m in EXPERIMENTS["selftraining"].methods}
    judged = {"music": {"detector": 0.75, "tfidf": 0.5, "jaccard": 0.25, "share": 0.125}}
    tables = {"cells": {"done": done, "planned": 5}, "f1_at_prevalence": f1, "detector": judged}
    Results("selftraining", stamp, tests, rows(), tables).save(folder / "selftraining.json")


@pytest.fixture
def shown(published_cells):
    """Runs the cells of notebook 04."""
    return lambda: published_cells("04_self_training")


def test_before_anything_is_measured(shown):
    text, glued = shown()
    assert glued["claimed-gain"] == "15.0 %"
    assert text.count("Not run yet.") >= 5 and "Plotly" not in text
    assert "- Half of the data, at random: not run yet." in text


def test_while_the_run_lasts_there_is_no_verdict(shown, tmp_path):
    published(tmp_path, done=4)
    text, _ = shown()
    assert "*Provisional, from 4 of 5 cells.*" in text and "<b>provisional</b>" in text
    assert "Not run yet." not in text and "<b>exceeded</b>" not in text


def test_when_the_run_is_over_every_figure_and_verdict_is_there(shown, tmp_path):
    published(tmp_path, done=5)
    text, _ = shown()
    assert "Not run yet." not in text and "rovisional" not in text and "not run yet" not in text
    assert 'id="st-more"' in text and 'id="st-half"' in text
    assert "- Self-training, at equal false alarms: 33.3 % [23.0, 44.5], **exceeded**" in text, "twelve become eight"
    assert "- With the model's own labels: 0.0 %, **not reproduced**" in text
    assert "- Half of the data, bad paraphrases: 0.0 %, **exceeded**" in text, "no loss"
    cells = text.replace("\n", "").replace(" ", "")
    assert "<td>music</td><td>0.75</td><td>0.50</td><td>0.25</td>" in cells
    assert "<td>k-centre</td><td>22.5</td><td>22.5</td><td></td>" in cells, "nine of forty; not chosen before labels"
    assert "<td>Withitsownlabels?</td><td>0.0%" in cells and "<td>Doesself-traininghelp?</td><td>33.3%" in cells
