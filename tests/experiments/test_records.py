"""Results files and cells: what is written comes back, what was tampered with is noticed."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import slubook
from slubook import profiles
from slubook.evaluation.intervals import compare
from slubook.evaluation.metrics import METRICS, Counted, Outcomes, irer
from slubook.experiments import records
from slubook.experiments.cells import CellStore
from slubook.experiments.records import RecordsError, Results, Row, Test, with_slices
from slubook.experiments.stamps import code, commit_of, config_hash, stamp

GOLD = np.array([0, 1, 2])


def outcome(intent=(1, 1, 0), correct=(0, 1, 1), predicted=(0, 1, 3), substituted=(0, 0, 1)):
    return Outcomes(*map(np.array, (intent, correct, predicted)), gold=GOLD, substituted=np.array(substituted))


def row(method="maxent_crf", size=100, seed=0, skill="music", **more):
    return Row(skill, method, size, seed, outcome(), train_s=1.23456, predict_ms=0.5, bytes=1000, **more)


@pytest.fixture
def results():
    mask = {"unseen": np.array([True, False, True])}
    rows = [row(slices=mask), row("dnn_mlm", slices=mask), row(seed=1), row(size=300)]
    tests = {"music": Test("own", "music", ("a1", "a2", "ä3"), GOLD)}
    made = stamp(3, {"profile": "quick"}, {"own": "ab" * 32}, [0, 1], 12.34, threads=2)
    return Results("skills", made, tests, rows, {"tuning": [{"method": "maxent_crf", "trials": 8}]})


def test_round_trip(results, tmp_path):
    results.save(tmp_path / "skills.json")
    again = Results.load(tmp_path / "skills.json")
    assert [r.to_json() for r in again.rows] == [r.to_json() for r in results.rows]
    assert irer(again.rows[0].outcomes) == irer(results.rows[0].outcomes) == pytest.approx(1 / 3)
    assert again.rows[0].slices["unseen"].tolist() == [True, False, True]
    assert again.tests["music"].ids == ("a1", "a2", "ä3") and again.tests["music"].gold.tolist() == [0, 1, 2]
    assert again.tables == results.tables and again.stamp == results.stamp
    assert list(tmp_path.iterdir()) == [tmp_path / "skills.json"]  # no draft is left


def test_one_row_a_line(results, tmp_path):
    results.save(tmp_path / "skills.json")
    lines = (tmp_path / "skills.json").read_text().splitlines()
    assert sum('"method": ' in line for line in lines) == len(results.rows) + 1  # and the table of tuning
    assert [line for line in lines if '"masks"' in line] == [
        '  {"skill": "music", "size": 100, "seed": 0, "masks": {"unseen": "101"}}'
    ], "once for all methods"
    assert not any('"a1"' in line for line in lines if '"ids"' not in line)


def test_saving_twice_changes_nothing(results, tmp_path):
    results.save(tmp_path / "one.json")
    Results.load(tmp_path / "one.json").save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [('"intent": "110"', '"intent": "111"'), ('"trials": 8', '"trials": 9'), ('"protocol": 3', '"protocol": 4')],
)
def test_an_edit_by_hand_is_noticed(results, tmp_path, before, after):
    path = tmp_path / "skills.json"
    results.save(path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(RecordsError, match=r"skills\.json.*changed by hand.*move it away, or restore it"):
        Results.load(path)


def test_slices_in_the_rows_of_earlier_files_are_read(results, tmp_path):
    path = tmp_path / "skills.json"
    results.save(path)
    body = json.loads(path.read_text())
    del body["slices"], body["stamp"][records.SEAL]
    body["rows"] = [row.to_json() for row in results.rows]
    body["stamp"][records.SEAL] = records._seal(body)
    path.write_text(json.dumps(body))
    assert [r.to_json() for r in Results.load(path).rows] == body["rows"]


def test_slices_of_the_test_stand_there_once_and_are_every_rows(results, tmp_path):
    of_test = {"new_slots": np.array([False, False, True])}
    results.tests["music"] = replace(results.tests["music"], slices=of_test)
    results.rows[0] = replace(results.rows[0], slices={**results.rows[0].slices, **of_test})
    results.save(tmp_path / "one.json")
    again = Results.load(tmp_path / "one.json")
    assert all(row.slices["new_slots"].tolist() == [False, False, True] for row in again.rows)
    assert again.rows[0].slices["unseen"].any() and "unseen" not in again.rows[2].slices
    again.save(tmp_path / "two.json")
    text = (tmp_path / "two.json").read_text()
    assert text == (tmp_path / "one.json").read_text() and text.count("new_slots") == 1


def test_slices_that_were_made_after_a_run_are_added_to_its_rows(results, tmp_path):
    assert with_slices(results, tmp_path) is results
    cells = [{"skill": "music", "size": 100, "seed": s, "without": {"new": [2] if s else [0, 2]}} for s in (0, 1)]
    (tmp_path / records.SLICES).write_text(json.dumps({"skills": cells}))
    found = with_slices(results, tmp_path)
    masks = [[False, True, False], [False, True, False], [True, True, False]]
    assert [row.slices["new"].tolist() for row in found.rows[:3]] == masks and "new" not in found.rows[3].slices
    assert found.rows[0].slices["unseen"].tolist() == [True, False, True] and "unseen" not in found.rows[2].slices
    assert all("new" not in row.slices for row in results.rows), "the results file is as it was"
    assert with_slices(replace(results, experiment="transfer"), tmp_path).rows == results.rows


def test_further_figures_come_back_and_take_no_room_where_there_are_none(results, tmp_path):
    results.rows[0] = row(figures={"updates": 120}, slices=results.rows[0].slices)
    results.save(tmp_path / "skills.json")
    again = Results.load(tmp_path / "skills.json")
    assert [dict(r.figures) for r in again.rows] == [{"updates": 120.0}, {}, {}, {}]
    assert (tmp_path / "skills.json").read_text().count("figures") == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stamp": {}}', '{"stamp": 3}'])
def test_damaged_files(tmp_path, text):
    (tmp_path / "skills.json").write_text(text)
    with pytest.raises(RecordsError, match=r"skills\.json"):
        Results.load(tmp_path / "skills.json")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Results.load(tmp_path / "skills.json")


def test_refusals_leave_the_old_file(results, tmp_path):
    path = tmp_path / "skills.json"
    results.save(path)
    before = path.read_bytes()
    results.rows.append(row())
    with pytest.raises(ValueError, match="two rows measure"):
        results.save(path)
    results.rows[-1] = row(skill="weather")
    with pytest.raises(ValueError, match="no test"):
        results.save(path)
    results.rows[-1] = row(seed=9, slices={"unseen": np.array([True])})
    with pytest.raises(ValueError, match="does not cover its 3"):
        results.save(path)
    results.rows[-1] = row("dnn_pool", slices={"unseen": np.array([True, True, True])})
    with pytest.raises(ValueError, match="different slices"):
        results.save(path)
    results.rows[-1] = replace(row("dnn_pool"), outcomes=replace(outcome(), gold=GOLD[::-1]))
    with pytest.raises(ValueError, match="another truth than its test"):
        results.save(path)
    assert path.read_bytes() == before


def test_select(results):
    assert len(results.select()) == 4
    assert [r.seed for r in results.select(["maxent_crf"], [100])] == [0, 1]
    assert results.select(sizes=[500]) == []
    assert results.methods == ["maxent_crf", "dnn_mlm"] and results.sizes == [100, 300]
    assert set(results.groups()) == {"music"}


def test_stamp_says_what_matters(results):
    made = results.stamp
    assert made["config_sha256"] == config_hash({"profile": "quick"})
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1}) != config_hash({"a": 1, "b": 3})
    assert made["hardware"]["cores"] >= 1 and made["peak_memory_mb"] > 10
    assert made["packages"].keys() == {"torch", "numpy", "scikit-learn", "gensim", "python-crfsuite"}
    assert made["packages"]["numpy"] == np.__version__
    json.dumps(made)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that holds the package; ``git(...)`` runs git in it."""
    if not shutil.which("git"):
        pytest.skip("git is not here")
    package = tmp_path / "src" / "slubook" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("")
    monkeypatch.setattr(slubook, "__file__", str(package))

    def git(*arguments):
        given = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(given, capture_output=True, text=True, check=True).stdout.strip()

    return git


def test_the_commit_of_a_checkout_and_whether_it_is_clean(checkout, tmp_path):
    assert (code()["commit"], code()["clean"]) == (None, None), "no checkout"
    checkout("init")
    assert code()["commit"] is None, "no commit yet"
    checkout("add", ".")
    checkout("commit", "-m", "first")
    head = checkout("rev-parse", "HEAD")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "skills.json").write_text("what a run writes")
    assert (code()["commit"], code()["clean"]) == (head, True) and commit_of(code()) == head[:10]
    (tmp_path / "src" / "slubook" / "new.py").write_text("")
    assert (code()["commit"], code()["clean"]) == (head, False) and commit_of(code()) == f"{head[:10]}, with changes"


def test_without_git_the_commit_is_not_known(checkout, monkeypatch):
    checkout("init")
    monkeypatch.setenv("PATH", "")
    assert (code()["commit"], code()["clean"]) == (None, None) and commit_of(code()) == "not known"


def test_older_stamps_say_that_the_commit_is_not_known():
    assert commit_of({"version": "0.1.0"}) == "not known"


def test_cells(tmp_path):
    store = CellStore(tmp_path / "cells", "v1")
    key = ("music/pop", "dnn", 100, 0)
    assert not store.has(key) and store.get(key) is None
    store.put(key, {"x": [1, 2.5]})
    assert store.has(key) and store.get(key) == {"x": [1, 2.5]}
    assert not store.has(("music-pop", "dnn", 100, 0))  # the same readable name, another cell
    assert not CellStore(tmp_path / "cells", "v2").has(key), "of another fingerprint"


def test_damaged_cells_are_redone(tmp_path):
    store = CellStore(tmp_path)
    store.put(("a",), {"right": 17})
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    for damaged in (whole[:-9], "", whole.replace("17", "18")):
        path.write_text(damaged)
        assert not store.has(("a",))
    store.put(("a",), {"right": 17})
    assert store.has(("a",))


def test_recognised_words_and_perplexities_are_kept_with_what_no_method_changes_in_the_test(results, tmp_path):
    truth = {"words": np.array([4, 40, 2]), "tokens": np.array([5, 41, 3])}
    heard = {"old": np.array([2, 9, 0]), "new": np.array([1, 9, 0])}
    results.tests["music"] = Test("own", "music", ("a1", "a2", "a3"), truth=truth)
    results.rows = [
        Row("music", method, 100, seed, Counted(errors=n, oov=0 * n, log_probability=-1.23456 * n, **truth))
        for method, n in heard.items()
        for seed in range(2)
    ]
    results.save(tmp_path / "one.json")
    again = Results.load(tmp_path / "one.json")
    again.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert (tmp_path / "one.json").read_text().count('"words": [4, 40, 2]') == 1, "once, in the test"
    assert [METRICS["wer"](r.outcomes) for r in again.rows] == [11 / 46] * 2 + [10 / 46] * 2
    assert METRICS["perplexity"](again.rows[0].outcomes) == pytest.approx(np.exp(1.23456 * 11 / 49), rel=1e-4)
    better = compare(again.rows, "wer", "old", "new", replicates=50)
    assert better.point == pytest.approx(1 / 11) and 0 <= better.low <= better.high < 1
    with pytest.raises(ValueError, match="'biased_errors' was not counted"):
        compare(again.rows, "b_wer", "old", "new")


PUBLISHED = [path for path in sorted(profiles.RESULTS.glob("*.json")) if path.open().read(13) == '{"experiment"']


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_rows_are_written_again_to_the_byte(path, tmp_path):
    Results.load(path).save(tmp_path / path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()
