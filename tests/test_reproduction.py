"""Published cells measured anew: which are drawn, what counts as a difference, and what is not read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from slubook import reproduction
from slubook.ch1_skills import protocol
from slubook.ch2_transfer.plan import PretrainingSource
from slubook.cli.main import app
from slubook.evaluation.metrics import Outcomes
from slubook.experiments import runner
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results, Row, Test
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS
from slubook.reproduction import (
    CHANGED,
    POINTS,
    TABLE_S,
    Difference,
    differences,
    drawn,
    expecting,
    reproduce,
    tabled,
    trained,
)

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
        self.planned = []

    def prepare(self, options, settings):
        def task(key):
            self.asked.append(key)
            return measured, (*key, self.changes)

        keys = self.planned = options.choose(KEYS[: 2 * options.draws], lambda key: [key[0]])
        tests = {name: test for name, test in TESTS.items() if name in {key[0] for key in keys}}
        return Work(keys, task, tests, {name: self.data for name in tests})

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
    assert len(first) == 2 and first == drawn(KEYS[::-1], 2, lambda key: [key[0]]) == book.planned
    book.again(2)
    assert book.asked == [], "the same folder resumes"
    book.again(4)
    assert len(book.asked) == 2 and first + book.asked == drawn(KEYS, 4, lambda key: [key[0]]) == book.planned
    book.again(1)
    assert book.asked == [] and len(Results.load(book.out / "skills.json").rows) == 4 * 3, "nothing is thrown away"


def test_cells_are_drawn_among_those_that_read_the_same_network_until_these_are_too_few():
    fold = {f"skill {k}": f"full-{k % 3}" for k in range(9)}
    keys = [(name, 100, seed) for seed in range(2) for name in fold]
    found = drawn(keys, 8, lambda key: [fold[key[0]], "full-general"])
    assert len({fold[name] for name, *_ in found[:6]}) == 1 and len({fold[name] for name, *_ in found}) == 2
    assert found[:3] == drawn(keys, 3, lambda key: [fold[key[0]]])
    assert {key[0] for key in found[:6]} == {name for name in fold if fold[name] == fold[found[0][0]]}
    assert len({fold[drawn(keys, 1, lambda key, salt=salt: [salt + fold[key[0]]])[0][0]] for salt in "abcdefgh"}) > 1


def test_minutes_are_expected_by_what_was_published_and_what_the_cache_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    origins = [{"cells": 1, "cell_s": 100.0}, {"cells": 3, "cell_s": 140.0}]  # a minute each
    networks = {"full-1": {"seconds": 60.0}, "full-2": {"seconds": 180.0}, "full-2-double": {"seconds": 600.0}}
    published = Results("ablation", {}, tables={"origins": origins, "pretraining": networks})
    needs = {"a": ["full-7", "full-7-double"], "b": ["full-7", "full-pool-without-0"]}

    def minutes(fresh=False):
        choose = expecting(published, lambda keys, needs: keys[:4], 2, fresh)
        assert choose([("a", 1, 0), ("b", 1, 0)] * 4, lambda key: needs[key[0]]) == [("a", 1, 0), ("b", 1, 0)] * 2
        said = capsys.readouterr().err
        assert "on 2 free cores" in said and "cells: 4" in said
        return int(said.split("minutes: ")[1].split(",")[0])

    table = TABLE_S["pool"] // 60
    assert minutes() == (4 + 2 + 10) // 2 + table, "one table after the other, all else on both cores"
    for place, name in (("pretrained", "full-7"), ("vectors", "full-pool-without-0")):
        (tmp_path / place / name).mkdir(parents=True)
        (tmp_path / place / name / "meta.json").touch()
    assert minutes() == (4 + 10) // 2 and minutes(fresh=True) == 8 + table


def test_figures_of_tables_are_compared_where_all_cells_were_measured(book):
    figure = {"point": 2.0, "low": 1.0, "high": 3.0, "n": 2}
    tables = {"gain_ratio": figure, "seconds_ratio": figure, "bytes": {"skill": {"packed": 1000}, "write_s": 9.0}}
    was = replace(book.published, experiment="serving", tables=tables)

    def beyond(experiment="serving", **changes):
        found = tabled(replace(was, experiment=experiment), replace(was, tables=tables | changes))
        return len(found), [name for name, _, _, tolerated in found if not tolerated]

    assert beyond() == (2, [])
    assert beyond(gain_ratio=figure | {"point": 3.0}, seconds_ratio=figure | {"point": 99.0}) == (2, [])
    assert beyond(gain_ratio=figure | {"point": 3.1}) == (2, ["gain_ratio"])
    assert beyond(bytes={"skill": {"packed": 1010}, "write_s": 1.0}) == (2, [])
    assert beyond(bytes={"skill": {"packed": 989}}) == (2, ["bytes.skill.packed"])
    assert beyond(bytes={}) == (2, ["bytes.skill.packed"]), "missing"
    assert beyond("skills", bytes={}) == (1, []), "numbers without interval are serving's"
    assert tabled(was, replace(was, rows=was.rows[:3])) == [], "of a part there is nothing to compare"


def test_the_tolerance_is_half_of_what_another_random_start_changes_in_the_published_records():
    draw, shares = np.random.default_rng(0), []
    for name, methods in (("convergence", ("scratch", "scratch_again")), ("elmol", ("elmol", "elmol_again"))):
        rows = {row.key: row for row in Results.load(reproduction.RESULTS / f"{name}.json").select(methods)}
        other = [(row, rows[row.skill, methods[1], *key[2:]]) for key, row in rows.items() if key[1] == methods[0]
                 and (row.skill, methods[1], *key[2:]) in rows]  # fmt: skip
        columns = [[one.outcomes.perfect, two.outcomes.perfect] for one, two in other]
        unlike = [
            np.any([one.outcomes[c] != two.outcomes[c] for c in one.outcomes.columns()], axis=0) for one, two in other
        ]
        shares.append(round(100 * float(np.concatenate(unlike).mean())))
        cells = np.array([(len(one), one.sum() - two.sum()) for one, two in columns])
        three = cells[[draw.choice(len(cells), 3, replace=False) for _ in range(5000)]].sum(1)
        points = np.quantile(np.abs(100 * three[:, 1] / three[:, 0]), 0.95)
        assert POINTS - 0.5 < points < POINTS and len(cells) >= 85
    text = " ".join(reproduction.Path(reproduction.__file__).read_text("utf-8").replace("#:", " ").split())
    assert shares[0] == round(200 * CHANGED) and f"changes the outcomes of {shares[0]} % of" in text
    assert f"({'``scratch`` and ``scratch_again``'} of convergence; {shares[1]} % for" in text
    said = " ".join(CliRunner(env={"COLUMNS": "200"}).invoke(app, ["reproduce", "--help"]).stdout.split())
    assert f"random start changes {shares[0]} %" in said.replace("│ ", "")


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


def test_only_what_the_drawn_cells_read_is_trained(tiny, monkeypatch):
    published, about, read = tiny.run("transfer", seeds=2), PretrainingSource.about, []
    monkeypatch.setenv("SLUBOOK_CACHE", str(tiny.out.parent / "bare"))
    monkeypatch.setattr(PretrainingSource, "about", lambda self: read.append(self.name) or about(self))
    options = tiny.options(out=tiny.out.with_name("anew") / "transfer.json")
    anew = reproduce(published, options, 2, tiny.settings)
    assert len(anew.skills) == len(read) == 1 and {row.seed for row in anew.rows} == {0, 1}
    assert {one.changed for one in differences(published, anew)} == {0.0}
    reproduce(published, options, 3, tiny.settings)
    assert len(set(read)) == 2, "those of a fold are too few"


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


@pytest.mark.parametrize(
    "name", [name for name, about in EXPERIMENTS.items() if about.chapter < 4 and not about.not_corpus]
)
def test_a_stamp_s_settings_are_those_in_force_and_said_in_words(name):
    module, said = EXPERIMENTS[name].load(), {}
    for kind in ("quick", "corpus", "full"):
        config = json.loads(json.dumps(module.config_of(kind, module.settings_of(kind))))
        said[kind] = trained(Results(name, {"config": config}))
    chapter = EXPERIMENTS[name].chapter
    pretraining = {1: "masked lm 2 epochs", 2: "pretraining 1,000 updates of 32", 3: "pretraining 400 updates of 32"}
    in_full = {1: "masked lm 4 epochs", 2: "pretraining 8,000 updates of 64", 3: "pretraining 4,000 updates of 64"}
    assert pretraining[chapter] in said["quick"] and in_full[chapter] in said["corpus"]
    assert (in_full[chapter] in said["full"]) == (chapter > 1), "published stamps have the key of the vectors instead"
    if name == "elmol":
        assert "bilm 2 epochs" in said["corpus"] and "table pool 15 epochs" in said["corpus"]
        assert "bilm 5 epochs" in said["full"] and "table pool 45 epochs" in said["full"]
    if name == "convergence":
        assert said["quick"].startswith("networks 200 updates") and "400" not in said["corpus"]
    assert not set("{}[]'_") & set("".join(said.values()))
