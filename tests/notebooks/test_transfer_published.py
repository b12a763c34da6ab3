"""Notebook 02 before its runs, while they last, and after: every cell that is made from ``results/`` is executed.

Such cells are tagged ``published``. The records here are made up, and stand in a folder of the test's own.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer import ablation, arriving, convergence
from slubook.ch2_transfer.plan import Chosen, TransferPlan
from slubook.ch2_transfer.tuning import SEARCH
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import SLICES, Results, Row, Test
from slubook.experiments.table import EXPERIMENTS

SKILLS = {f"{corpus}/s{k}": corpus for corpus, k in zip(("sgd", "hwu64") * 2, range(4), strict=True)}
N = 20
#: How many of the mistakes from scratch each method keeps; methods not named here keep three of four.
LEFT = {"scratch": 1.0, "maxent_crf": 0.9, "transfer": 0.3, "transfer_names": 0.2}
DEV = {f"dev_{u}": 1 / u for u in convergence.KEPT}


def rows(methods: dict[str, str], sizes: dict[str, tuple[int, ...]], seeds: int, **figures: float) -> list[Row]:
    """Made-up outcomes: a method keeps so many of the mistakes from scratch, the same ones at every size."""
    draw, made, ones = np.random.default_rng(0), [], np.ones(N, dtype=int)
    slices = {"new_intents": np.arange(N) < 19, "new_slots": np.arange(N) < 8, "fresh": np.arange(N) < 15}
    slices |= {"known_slots": (np.arange(N) >= 8) & (np.arange(N) < 16), "no_slots": np.arange(N) >= 16}
    for skill, size, seed in ((s, n, k) for s in SKILLS for n in sizes[s] for k in range(seeds)):
        wrong = draw.permutation(N) < 12
        for method in methods:
            still = wrong & (wrong.cumsum() <= 12 * LEFT.get(method, 0.75))
            measured = Outcomes(1 - still, ones, ones, ones, 0 * ones)
            paced = {n: v * LEFT.get(method, 1) for n, v in figures.items()}
            made.append(Row(skill, method, size, seed, measured, 1.0, 0.5, 10**6, slices, paced))
    return made


@cache
def measured() -> dict[str, tuple[list[Row], dict[str, Any]]]:
    """Rows and tables of the four experiments."""
    methods = {name: about.methods for name, about in EXPERIMENTS.items()}
    one, growing = dict.fromkeys(SKILLS, (100,)), dict.fromkeys(SKILLS, (50, 100)) | {"sgd/s0": (50, 100, 200)}
    arrived, ablated = rows(methods["arriving"], growing, 5), rows(methods["ablation"], one, 5)
    reached = {"updates_to_scratch_best": 300.0, "updates_to_near_best": 200.0, "seconds_to_scratch_best": 9.0}
    reached |= {"reached_scratch_best": 1.0}
    paced = rows(methods["convergence"], one, 5, **reached, **DEV)
    chosen = Chosen("full", [(Skill(name, corpus, (), (), ()), 100) for name, corpus in SKILLS.items()])
    plan = TransferPlan(chosen, {}, {"full-0": {"seconds": 60.0}}, range(5))
    pace = convergence.pace_tables(paced, plan, convergence.UPDATES)
    against = {f"against_{base}": ablation.reductions(ablated, base, SKILLS) for base in ("scratch", "transfer")}
    return {
        "transfer": (rows(methods["transfer"], one, 5), {}),
        "arriving": (arrived, arriving.gain_tables(arrived, [50, 100], SKILLS)),
        "convergence": (paced, pace),
        "ablation": (ablated, against),
    }


def published(folder: Path, done: int) -> None:
    """The four results files, as if ``done`` of five cells were measured, and the record of tuning as it is."""
    shutil.copy(SEARCH.record, folder)
    tests = {s: Test(c, "music", tuple(f"{s}-{k}" for k in range(N)), np.ones(N, dtype=int)) for s, c in SKILLS.items()}
    slices = {}
    for name, (some, tables) in measured().items():
        stamp = {"protocol": EXPERIMENTS[name].protocol, "config": {"profile": "full"}, "threads": 1}
        stamp |= {"hardware": {"processor": "a processor"}, "peak_memory_mb": 500.0}
        shared = {"cells": {"done": done, "planned": 5}, "train_seconds": {"scratch": 7200.0, "transfer": 3600.0}}
        shared["sittings"] = [{"cells": 2, "wall_s": 300.0, "jobs": 2}, {"cells": 1, "wall_s": 300.0, "jobs": 2}]
        shared["pretraining"] = {"full-0": {"seconds": 3600.0}}
        Results(name, stamp, tests, some, shared | tables).save(folder / f"{name}.json")
        cells = dict.fromkeys((row.skill, row.size, row.seed) for row in some)
        slices[name] = [{"skill": s, "size": n, "seed": k, "without": {"new_template": [0]}} for s, n, k in cells]
    (folder / SLICES).write_text(json.dumps({"transfer": slices["transfer"]}))


@pytest.fixture
def shown(published_cells):
    """Runs the cells of notebook 02."""
    return lambda: published_cells("02_transfer_learning")


def test_before_anything_is_measured(shown):
    text, glued = shown()
    assert glued["state"].startswith("transfer: not measured yet; arriving: not measured yet; convergence:")
    assert "There is no verdict yet: there are no published results" in text and text.count("Not run yet.") >= 10
    assert "- Fewer mistakes after transfer than from scratch, on two hundred skills: not run yet." in text
    assert "Provisional" not in text and "Plotly" not in text


def test_while_runs_last_there_are_figures_and_no_verdict(shown, tmp_path):
    published(tmp_path, done=4)
    text, glued = shown()
    assert glued["state"].startswith("transfer: lasts (4 of 5 cells; figures are provisional), 4 skills, 5 draws")
    assert "*Provisional, from 4 of 5 cells.*" in text and "So far, transfer leaves" in text
    assert "Every claim has its figure." in text and "<b>provisional</b>" in text
    assert "Not run yet." not in text and "**exceeded**" not in text and "<b>exceeded</b>" not in text


def test_when_runs_are_over_every_figure_and_verdict_is_there(shown, tmp_path):
    published(tmp_path, done=5)
    text, glued = shown()
    assert "lasts" not in glued["state"] and "not measured" not in glued["state"].lower()
    assert "Not run yet." not in text and "Provisional" not in text and "provisional" not in text
    for figure in ("skills", "arriving", "pace", "published-cases"):
        assert f'id="transfer-{figure}"' in text
    assert "<td>10 for 3 cells</td>" in text and glued["sweep"] == "180 minutes of 1 processes"
    assert "On the claim itself, the records say: transfer leaves 75.0 %" in text and "**exceeded**" in text
    assert "<td>paid back" not in text and "no number of skills" not in text
    assert "Every claim has its figure." in text
