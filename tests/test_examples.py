"""The examples of *Your own skill*: large enough for every command, and their stored output is what is printed.

``python tests/test_examples.py`` writes the outputs again, in a few minutes, with word vectors and a
network of the embedded corpora.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from slubook.ch1_skills.skillsets import skills_of
from slubook.cli.main import app
from slubook.corpora.registry import load
from slubook.own import skill as own
from slubook.own.compare import LEAST, cross_validate
from slubook.own.methods import METHODS, SIMPLEST
from slubook.profiles import ROOT

EXAMPLES = Path("book/examples")
MODEL, CORPUS = EXAMPLES / "tea-house.json", EXAMPLES / "tea-house.jsonl"
#: What the page shows: commands with their output, one file each.
SHOWN = {
    "compare.txt": [["compare", str(CORPUS)]],
    "compare-transfer.txt": [["compare", str(CORPUS), "--transfer"]],
    "predict.txt": [["predict", str(MODEL), text] for text in ("two cups of oolong please", "tell me a joke")],
}


def printed(command: list[str]) -> str:
    """A command and what it prints, as a terminal shows it; without the bars of the comparison."""
    done = CliRunner().invoke(app, ["skill", *command])
    assert done.exit_code == 0, done.output
    said = " ".join(f'"{word}"' if " " in word else word for word in command)
    shown = done.stdout if command[0] == "compare" else done.output
    return f"$ slubook skill {said}\n" + "".join(f"{line.rstrip()}\n" for line in shown.splitlines())


def stored(name: str) -> str:
    return (EXAMPLES / name).read_text("utf-8")


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """In the checkout, as a reader would be, and with nothing kept."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))


def test_every_command_has_enough_to_run_on():
    for path in (MODEL, CORPUS):
        [skill] = own.read(path)
        assert own.folds_for([skill]) == own.FOLDS
        own.check(skill, own.FOLDS)
    assert len(skill.asked) >= LEAST  # the corpus: enough for intervals
    [drawn] = skills_of(CORPUS.stem, load(CORPUS), keep_split=True)
    assert len(drawn.test) >= 10 and drawn.sizes()[-1] >= 20  # what `slubook run skills --corpus` asks for


def test_answers_on_the_page_are_the_models():
    assert "\n".join(printed(command) for command in SHOWN["predict.txt"]) == stored("predict.txt")


def test_the_comparisons_on_the_page_are_of_this_corpus():
    """The networks take half a minute, so the linear model's part of the tables is measured again."""
    [skill] = own.read(CORPUS)
    models = {SIMPLEST: lambda: METHODS[SIMPLEST].make(None)}
    [row] = cross_validate(skill, models, own.FOLDS, seed=0, done=lambda: None)
    for name in ("compare.txt", "compare-transfer.txt"):
        text = stored(name)
        assert f"{skill.name} ({len(skill.asked)} utterances); {own.FOLDS} folds" in text
        assert ("Transfer" in text) is ("--transfer" in text.splitlines()[0])
        shown = re.search(r"^IRER, any mistake +([\d.]+) \[", text, re.MULTILINE)
        one = 100 / len(row.outcomes)  # utterance, which rounding by another processor may turn
        assert shown and float(shown[1]) == pytest.approx(100 * (1 - np.mean(row.outcomes.perfect)), abs=1.1 * one)


if __name__ == "__main__":
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SLUBOOK_CACHE"] = cache
        for file, commands in SHOWN.items():
            Path(EXAMPLES / file).write_text("\n".join(printed(command) for command in commands), encoding="utf-8")
