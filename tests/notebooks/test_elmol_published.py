"""Notebook 03 before its run, while it lasts, and after: every cell that is made from ``results/`` is executed.

Such cells are tagged ``published``. The records here are made up, and stand in a folder of the test's own.
"""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slubook.ch3_elmol import protocol as elmol
from slubook.ch3_elmol import worth
from slubook.ch3_elmol.speed import RATIOS
from slubook.ch3_elmol.tuning import SEARCH
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Results, Row, Test
from slubook.experiments.table import EXPERIMENTS

#: Each skill's own size; two have room for the larger one.
SKILLS = {"sgd/s0": 100, "hwu64/s1": 200, "sgd/s2": 300, "hwu64/s3": 400, "sgd/s4": 500}
LARGER = ("sgd/s0", "hwu64/s1")
N = 20
#: How many of twelve mistakes without an embedding each method keeps; methods not named here keep nine.
KEPT = {"none": 12, "fasttext_general": 11, "fasttext_pool": 8, "elmol": 6, "elmo": 5, "elmol_light": 6, "elmol_1": 10}
SLICES = {"unseen": np.arange(N) < 5, "new_intents": np.arange(N) < 19, "new_slots": np.arange(N) < 8}
SLICES |= {"seen": ~SLICES["unseen"], "known_slots": ~SLICES["new_slots"], "no_slots": np.arange(N) >= 16}
SLICES |= {"fresh": np.arange(N) < 15}
LAYERS = {"elmol": 2, "elmo": 3, "elmol_frozen": 0}


def row(skill: str, method: str, size: int, seed: int, wrong: np.ndarray) -> Row:
    """Made-up outcomes: a method keeps the first of the mistakes without an embedding."""
    ones = np.ones(N, dtype=int)
    still = wrong & (wrong.cumsum() <= KEPT.get(method, 9))
    unfrozen = {f"unfrozen_{k}": 0.25 * (k + 1) for k in range(LAYERS.get(method, 0))}
    measured, seconds = Outcomes(1 - still, ones, ones, ones, 0 * ones), 99.0 if size == elmol.LARGE else 1.0
    return Row(skill, method, size, seed, measured, seconds, 0.5, 10**6, SLICES, unfrozen)


@cache
def rows() -> list[Row]:
    """Five draws of every skill, with all methods at its own size and a few at the larger one."""
    draw, made = np.random.default_rng(0), []
    for skill, own in SKILLS.items():
        for size, seed in ((n, k) for n in (own, *[elmol.LARGE] * (skill in LARGER)) for k in range(5)):
            wrong = draw.permutation(N) < 12
            methods = EXPERIMENTS["elmol"].methods if size == own else ("none", *elmol.AT_LARGE)
            made += [row(skill, method, size, seed, wrong) for method in methods]
    return made


def speed() -> dict[str, Any]:
    """Both tables of speed, where one layer is twice as fast as two."""
    ratio = {"point": 2.0, "low": 1.9, "high": 2.1, "n": 200}
    one = {"elmo": {**ratio, "point": 1.0}}
    for model, point in (("elmol", 0.5), ("elmol_light", 0.25)):
        one |= {model: {**ratio, "point": point}, f"{model}_ratio": {**ratio, "point": 1 / point}}
    runtimes = [f"{way}{known}" for known in ("", "_known") for way in ("torch", "onnx", "onnx_int8")]
    ways = {way: {"1": one, "32": one} for way in runtimes}
    exported = {way: {m: 0.005 for m in ("elmo", "elmol", "elmol_light")} for way in ("onnx", "onnx_int8")}
    return {"speed": ways, "exported": exported} | dict.fromkeys((name for name, *_ in RATIOS), ratio)


def published(folder: Path, done: int) -> None:
    """The results file, as if ``done`` of five cells were measured, and the record of tuning as it is."""
    shutil.copy(SEARCH.record, folder)
    tests = {
        s: Test(s.split("/")[0], "music", tuple(f"{s}-{k}" for k in range(N)), np.ones(N, dtype=int)) for s in SKILLS
    }
    guessed = {"forward_known": 90.0, "backward_known": 95.0, "unknown": 0.02, "words": 1000}
    made: dict[str, Any] = {"general": {"words": 70_000}, "pool": {"words": 20_000, "text": "a"}}
    for kind, share in (("elmol", 1.0), ("elmo", 1.0), ("elmol_light", 1.0), ("elmol10", 0.1), ("elmol1", 0.01)):
        counted = {"sentences": int(200_000 * share), "updates": 900, "output_words": 20_000, "seconds": 3600.0}
        counted |= {
            "epochs": 5,
            "devices": ["a card", "processor"],
            "tried": {"5": {}, "15": {}},
            "text": "a" if share == 1 else kind,
        }
        made[kind] = counted | {"perplexity": {"requests": guessed, "general": guessed}}
    recipes = {m: {"rate": 1.6, "reduced": 0.5} for m in ("elmol", "elmol_frozen", "elmol_trained", "elmol_ulmfit")}
    stamp = {
        "protocol": EXPERIMENTS["elmol"].protocol,
        "config": {"profile": "full", "recipes": recipes},
        "threads": 1,
        "peak_memory_mb": 500.0,
    }
    stamp["hardware"] = {"processor": "a processor"}
    tables = {"cells": {"done": done, "planned": 5}, "train_seconds": {"none": 7200.0}, "embeddings": made}
    tables["pretraining"] = {"elmol-full-1": {"seconds": 3600.0}}
    Results("elmol", stamp, tests, rows(), tables | speed()).save(folder / "elmol.json")
    stamp = stamp | {"protocol": EXPERIMENTS["worth"].protocol}
    saved = {"cells": tables["cells"], "train_seconds": {}, "capped": dict.fromkeys(worth.RATIOS, 0.75)}
    saved |= {name: {"point": 11.0, "low": 9.0, "high": 13.0, "n": 5} for name in worth.RATIOS}
    ones, made = np.ones(N, dtype=int), []
    for method, size, seed in ((m, n, k) for m in worth.METHODS for n in (500, 1000) for k in range(5)):
        right = (np.random.default_rng(seed).random(N) > 300 / size).astype(int)
        made.append(Row("snips", method, size, seed, Outcomes(right, ones, ones, ones, 0 * ones)))
    one = {"snips": Test("snips", "music", tuple(map(str, range(N))), ones)}
    Results("worth", stamp, one, made, saved).save(folder / "worth.json")


@pytest.fixture
def shown(published_cells):
    """Runs the cells of notebook 03."""
    return lambda: published_cells("03_elmol")


def test_before_anything_is_measured(shown):
    text, glued = shown()
    assert glued["state"].startswith("Not measured yet, so there is no verdict")
    assert glued["claimed-fasttext"] == "8.0 %"
    assert "There is no verdict yet: there are no published results" in text and text.count("Not run yet.") >= 10
    assert "- Against FastText of the same requests: not run yet." in text
    assert "Provisional" not in text and "Plotly" not in text


def test_while_the_run_lasts_there_are_figures_and_no_verdict(shown, tmp_path):
    published(tmp_path, done=4)
    text, glued = shown()
    assert glued["state"] == "The run lasts (4 of 5 cells; figures are provisional): 5 skills, 5 draws."
    assert "*Provisional, from 4 of 5 cells.*" in text and "ELMoL against FastText of general text: 45.5 %" in text
    assert "ELMoL against FastText of the same requests: 25.0 %" in text
    assert "<b>provisional</b>" in text and "provisional." in text
    assert "There is no verdict yet." in text and "The interval holds" not in text
    assert "Not run yet." not in text and "**exceeded**" not in text and "<b>exceeded</b>" not in text


def test_when_the_run_is_over_every_figure_and_verdict_is_there(shown, tmp_path):
    published(tmp_path, done=5)
    text, glued = shown()
    assert glued["state"] == "The run is over: 5 skills, 5 draws."
    assert glued["timed-on"] == "a processor", "the record says whose times these are"
    assert "Not run yet." not in text and "rovisional" not in text
    assert "<td>a card, then processor</td>" in text
    gained = "errors than FastText embeddings of general text.* The interval holds neither nought nor the article's"
    assert gained in text, "twelve to six mistakes is far more than claimed"
    for figure in ("reductions", "sizes", "schedules", "share", "worth"):
        assert f'id="elmol-{figure}"' in text
    assert (
        "fewer utterances with a mistake: **exceeded**" in text
        and "fewer utterances with a mistake: **reproduced**" in text
    )
    assert "- One layer against two, times as fast: 2.00× [1.90×, 2.10×], **exceeded**" in text
    assert (
        "Every claim has its figure." in text
        and "<td>11.0 [9.0, 13.0]</td>" in text
        and "<td>at least 11,000</td>" in text
    )


def test_what_the_published_tables_say(shown, tmp_path):
    published(tmp_path, done=5)
    text, _ = shown()
    cells = text.replace("\n", "").replace(" ", "")
    assert "<td>ELMo</td><td>3</td><td>25of25</td><td>75%</td>" in cells, "when each layer was unfrozen"
    assert "<td>2,000utterances</td><td>2</td><td>50.0%" in cells, "the larger size, on the same two skills"
    line = r"<td>Noembedding</td>(?:<td>[^<]*</td>){3}<td>1\.0</td>"  # three errors, then seconds of training
    assert re.search(line, cells), "the table of methods leaves the larger size out, which some were not run at"
    assert (
        "<td>ONNXRuntime,eightbits</td><td>32</td><td>1.00</td><td>0.50,2.00×[1.90,2.10]</td><td>0.25,4.00×[1.90,2.10]</td>"
        in cells
    )
    assert "<td>ELMoLof1%oftherequests</td><td>general</td><td>20,000</td><td>90</td><td>95</td><td>2.0%</td>" in cells
    assert (
        "<td>ELMoLof10%oftherequests</td><td>20,000</td><td>–</td><td>20,000</td><td>5</td><td>no</td><td>5,15</td>"
        in cells
    )
    assert "<td>Thecontrol:context,ordata?</td><td>FastTextofthesamerequests</td><td>ELMoL</td><td>25.0%" in cells
