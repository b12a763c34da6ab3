"""Published cells measured anew: which are drawn, what counts as a difference, and what is not read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from slubook.book import reproduction
from slubook.book.reproduction import CHANGED, POINTS, Difference, differences, drawn, reproduce
from slubook.ch1_skills import protocol
from slubook.cli.main import app
from slubook.evaluation.metrics import Outcomes
from slubook.experiments import runner
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results, Row, Test
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS

N, SEEDS = 20, 3
GOLD = np.ones(N, dtype=int)
TESTS = {name: Test("own", "music", tuple(f"{name}-{k}" for k in range(N)), GOLD) for name in ("tea", "radio")}
KEYS = [(name, 100, seed) for seed in range(SEEDS) for name in TESTS]
METHODS = ("maxent_crf", "dnn_pool", "fasttext")


def measured(skill, size, seed, changes):
    """A cell of three methods, all intents wrong but the first five; ``changes`` names columns to count otherwise."""
    rows = []
    for method in METHODS:
        columns = {
            "intent": np.arange(N) < 5,
            "correct": GOLD,
            "predicted": GOLD,
            "gold": GOLD,
            "substituted": 0 * GOLD,
        }
        columns = {name: column.astype(int) for name, column in columns.items()}
        for column, utterances in changes.get(method, {}).items():
            columns[column][utterances] = 1 - columns[column][utterances]
        rows.append(Row(skill, method, size, seed, Outcomes(**columns), 1.0))
    return rows


class Book:
    """A published experiment, and the folder in which it is measured anew."""

    def __init__(self, folder):
        self.results, self.out, self.asked, self.changes, self.data = folder / "results", folder / "out", [], {}, "ab"

    def prepare(self, options, settings):
        def task(key):
            self.asked.append(key)
            return measured, (*key, self.changes)

        return Work(KEYS[: 2 * options.draws], task, TESTS, {"tea": self.data})

    def options(self, folder=None):
        return Options("full", jobs=1, out=(folder or self.out) / "skills.json")

    def again(self, cells=None, **changes):
        self.asked, self.changes = [], changes
        anew = reproduce(self.published, self.options(), cells)
        return {one.method: one for one in differences(self.published, anew)}


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    found = Book(tmp_path)
    monkeypatch.setattr(protocol, "prepare", found.prepare)
    monkeypatch.setattr(reproduction, "RESULTS", found.results)
    runner.run("skills", replace(found.options(found.results), seeds=SEEDS))
    found.published = Results.load(found.results / "skills.json")
    return found


def test_nothing_differs_where_nothing_changed(book):
    assert book.again() == {method: Difference(method, 6 * N, 0.0, 0.0) for method in METHODS}
    assert sorted(book.asked) == sorted(KEYS), "all are measured, although all are published and kept"
    assert len(Results.load(book.out / "skills.json").rows) == 6 * 3


def test_every_column_counts_once_an_utterance(book):
    found = book.again(2, dnn_pool={"intent": [0, 7], "predicted": [0, 1, 2]}, fasttext={"predicted": [3]})
    assert found["maxent_crf"] == Difference("maxent_crf", 2 * N, 0.0, 0.0)
    assert found["dnn_pool"] == Difference("dnn_pool", 2 * N, 4 / N, 100 * 2 / N), (
        "0, 1 and 2 are wrong now, 7 is right"
    )
    assert found["fasttext"] == Difference("fasttext", 2 * N, 1 / N, 0.0), "it looks for no slots: its intents alone"


@pytest.mark.parametrize(
    ("changed", "points", "tolerated"),
    [
        (0.0, 0.0, True),
        (CHANGED, POINTS, True),
        (CHANGED, -POINTS, True),
        (CHANGED + 0.001, 0.0, False),
        (0.0, POINTS + 0.1, False),
        (0.0, -POINTS - 0.1, False),
    ],
)
def test_the_tolerance_is_of_both(changed, points, tolerated):
    assert Difference("dnn_pool", N, changed, points).tolerated is tolerated


def test_the_same_cells_are_drawn_each_time_and_more_come_in_addition(book):
    book.again(2)
    first = book.asked
    assert len(first) == 2 and first == drawn("skills", KEYS[::-1], 2)
    book.again(2)
    assert book.asked == [], "the same folder resumes"
    book.again(4)
    assert len(book.asked) == 2 and first + book.asked == drawn("skills", KEYS, 4)
    assert drawn("transfer", KEYS) != drawn("skills", KEYS), "of each experiment others"


def test_neither_results_nor_kept_cells_are_read(book, monkeypatch, tmp_path):
    kept = {
        path: path.read_bytes() for folder in ("cache/cells", "results") for path in (tmp_path / folder).rglob("*.json")
    }
    get, load = runner.CellStore.get, Results.load
    monkeypatch.setattr(runner.Identity, "store", lambda self: pytest.fail("the cells of the cache"))
    monkeypatch.setattr(
        runner.CellStore,
        "get",
        lambda store, key: get(store, key) if book.out in store.folder.parents else pytest.fail("a kept cell"),
    )
    monkeypatch.setattr(
        Results, "load", lambda path: load(path) if path.parent == book.out else pytest.fail("published results")
    )
    book.again(dnn_pool={"intent": [0]})
    assert len(book.asked) == 6 and len(kept) == 7
    assert {path: path.read_bytes() for path in kept} == kept, "nor written"


def test_what_cannot_be_compared_is_refused(book, monkeypatch):
    with pytest.raises(RecordsError, match="is what is published"):
        reproduce(book.published, book.options(book.results))
    with pytest.raises(RecordsError, match="'serving' is measured as a whole"):
        reproduce(replace(book.published, experiment="serving"), book.options(), 1)
    book.data = "xx"
    with pytest.raises(RecordsError, match="of other data"):
        book.again()
    assert book.asked == []


def test_other_methods_or_utterances_are_no_comparison(book):
    book.again(1)
    anew = Results.load(book.out / "skills.json")
    with pytest.raises(RecordsError, match="other methods"):
        differences(book.published, replace(anew, rows=anew.rows[1:]))
    tests = {name: replace(test, ids=test.ids[::-1]) for name, test in TESTS.items()}
    with pytest.raises(RecordsError, match="other utterances"):
        differences(book.published, replace(anew, tests=tests))


def test_a_chapter_s_experiment_gives_the_same_outcomes_anew(tiny):
    published = tiny.run("transfer")
    anew = reproduce(published, tiny.options(out=tiny.out.with_name("anew") / "transfer.json"), 1, tiny.settings)
    assert {one.changed for one in differences(published, anew)} == {0.0} and len(anew.rows) == len(anew.methods)


def test_the_command_says_what_differs_and_exits_with_1_beyond_the_tolerance(book, monkeypatch):
    monkeypatch.setattr("slubook.book.measured.published", lambda name: book.published if name == "skills" else None)

    def command(*arguments, folder="a"):
        given = ["reproduce", *map(str, arguments), "--jobs", "1", "--device", "cpu", "--out", str(book.out / folder)]
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, given)

    same = command("skills", "--cells", 2)
    assert same.exit_code == 0, same.output
    assert "MaxEnt-CRF" in same.stdout and "too much" not in same.stdout and "2 cells measured anew" in same.stderr
    book.changes = {"dnn_pool": {"intent": [0, 1]}}
    other = command("skills", "--cells", 2, folder="b")
    assert other.exit_code == 1 and other.stdout.count("too much") == 1
    assert "10.0%" in other.stdout and "+10.0" in other.stdout and "…" not in other.stdout
    as_json = command("skills", "--json", folder="b")
    assert as_json.exit_code == 1
    assert [one["method"] for one in json.loads(as_json.stdout) if not one["tolerated"]] == ["dnn_pool"]
    for name in ("worth", "nothing"):
        refused = command(name, folder="c")
        assert refused.exit_code == 2 and "no published results" in " ".join(refused.stderr.split())


def test_the_help_states_the_tolerance_and_why():
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["reproduce", "--help"])
    text = " ".join(done.stdout.replace("│", " ").split())
    assert f"{100 * CHANGED:.0f} % of the utterances and {POINTS:.0f} points" in text and "type of processor" in text


def test_what_is_measured_as_a_whole_is_an_experiment():
    assert set(reproduction.WHOLE) <= set(EXPERIMENTS)
