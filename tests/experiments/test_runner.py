"""The runner: what is kept, what goes on, what is refused, and what the stamp says afterwards."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from slubook.corpora.errors import CorpusError
from slubook.evaluation.metrics import Outcomes
from slubook.experiments import runner
from slubook.experiments.cells import CellsFailed, Measured
from slubook.experiments.options import SEEDS, Options
from slubook.experiments.records import RecordsError, Results, Row, Test
from slubook.experiments.runner import Identity, Work, load_earlier
from slubook.experiments.stamps import config_hash
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS

GOLD = np.array([1, 1, 1])
TESTS = {name: Test("own", "music", ("a", "b", "c"), GOLD) for name in ("tea", "radio")}
IDENTITY = Identity("skills", 2, "quick", {"profile": "quick", "sizes": (100,)}, {"tea": "ab", "radio": "cd"})


def keys(seeds):
    return [(name, 100, seed) for seed in range(seeds) for name in TESTS]


def measured(skill, size, seed, bad=()):
    """A cell of two methods; those in ``bad`` cannot be measured."""
    if (skill, seed) in bad:
        raise ArithmeticError(f"no {skill} today")
    right, noted = np.random.default_rng(seed).integers(0, 2, 3), {"updates": 10 * seed}
    outcomes = Outcomes(right, GOLD, GOLD, GOLD, 0 * GOLD)
    slices = {"unseen": np.array([True, False, True])}
    rows = [Row(skill, method, size, seed, outcomes, 1.0, slices=slices, figures=noted) for method in ("old", "new")]
    return Measured(rows, {"pool": "stamp-1"})


class Run:
    """Runs in a cache and with a file of their own, and counts the cells that are measured."""

    def __init__(self, tmp_path):
        self.cache, self.out, self.asked = tmp_path / "cache", tmp_path / "results" / "skills.json", []

    def __call__(self, seeds=2, *, identity=IDENTITY, file=True, bad=(), jobs=1, **how):
        self.asked, out = [], self.out if file else None

        def task(key):
            self.asked.append(key)
            return measured, (*key, bad)

        work = Work(keys(seeds), task, TESTS, identity.data)
        return work.measure(identity, Options(jobs=jobs, out=out, **how), time.time())

    def empty_cache(self):
        for cell in self.cache.rglob("*.json"):
            cell.unlink()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    return Run(tmp_path)


def values(results):
    return [row.to_json() for row in results.rows]


def test_a_run_goes_on_from_the_cache_alone(run):
    first = run(1, file=False)
    again = run(2, file=False)
    assert run.asked == keys(2)[2:] and not run.out.exists()
    assert values(again)[:4] == values(first) and again.stamp["seeds"] == [0, 1]
    assert again.tables["cells"] == {"done": 4, "planned": 4}


def test_a_run_goes_on_from_the_file_alone_with_all_that_it_holds(run):
    first = run(1)
    run.empty_cache()
    again = run(2)
    assert run.asked == keys(2)[2:]
    assert values(again)[:4] == values(first) == values(Results.load(run.out))[:4]
    assert {row.figures["updates"] for row in again.rows} == {0.0, 10.0}
    assert all(row.slices["unseen"].sum() == 2 for row in again.rows)


def test_rows_of_the_file_have_the_slices_that_their_test_has_today(run, monkeypatch):
    run(1)
    of_test = {"new_slots": np.array([False, True, True])}
    monkeypatch.setattr(f"{__name__}.TESTS", {name: replace(test, slices=of_test) for name, test in TESTS.items()})
    again = run(2)
    assert run.asked == keys(2)[2:] and len(again.rows) == 8
    for found in (again, Results.load(run.out)):
        assert all(r.slices["new_slots"].sum() == 2 == r.slices["unseen"].sum() for r in found.rows)


def test_sittings_that_measured_cells_are_told_apart(run):
    run(1)
    assert run(1).tables["sittings"] == run(1).tables["sittings"], "nothing was left to measure"
    sittings = run(3).tables["sittings"]
    assert [s["cells"] for s in sittings] == [2, 4] and all(s["wall_s"] >= 0 and s["jobs"] == 1 for s in sittings)


def test_a_run_killed_in_the_middle_loses_what_was_not_finished(run, monkeypatch):
    put, kept = IDENTITY.store().put, []

    def put_one(store, key, content):
        if kept:
            raise KeyboardInterrupt
        kept.append(key)
        put(key, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("slubook.experiments.cells.CellStore.put", put_one)
        run(2)
    assert not run.out.exists()
    assert len(run(2).rows) == 8 and run.asked == [key for key in keys(2) if key not in kept]


def test_fewer_seeds_neither_shrink_a_file_nor_finish_it(run):
    run(5, until=0.0)
    assert run.asked == [] and Results.load(run.out).tables["cells"] == {"done": 0, "planned": 10}
    assert run(1).tables["cells"] == {"done": 2, "planned": 10}
    run(3)
    assert run(2).tables["cells"] == {"done": 6, "planned": 10} and run.asked == []
    assert len(Results.load(run.out).rows) == 12


@pytest.mark.parametrize("other", [False, True])
def test_what_another_run_wrote_meanwhile_is_not_lost(run, monkeypatch, other):
    measure = runner.measure

    def and_another(*given):
        monkeypatch.setattr(runner, "measure", measure)
        errors = measure(*given)
        run(3, identity=changed("data", {"tea": "xx"}) if other else IDENTITY)
        return errors

    monkeypatch.setattr(runner, "measure", and_another)
    if other:
        with pytest.raises(RecordsError, match="other data"):
            run(1)
    else:
        assert run(1).tables["cells"] == {"done": 6, "planned": 6}
    left = Results.load(run.out)
    assert len(left.rows) == 12 and left.tables["sittings"][-1]["cells"] == (6 if other else 4)


def changed(name, value):
    return replace(IDENTITY, **{name: value})


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        (changed("config", {"profile": "quick", "sizes": (300,)}), "other settings"),
        (changed("data", {"tea": "ab", "radio": "xx"}), "other data"),
        (changed("protocol", 1), r"other protocol \(2, now 1\)"),
        (changed("experiment", "transfer"), "other experiment"),
    ],
)
def test_results_of_another_identity_are_not_replaced(run, identity, named):
    run(1)
    before = run.out.read_bytes()
    with pytest.raises(RecordsError, match=rf"skills\.json: .*{named}.*move the file away.*--out"):
        run(1, identity=identity)
    assert run.out.read_bytes() == before and run.asked == []
    assert len(run(1, identity=identity, file=False).rows) == 4 and len(run.asked) == 2, "nor are its cells taken over"


def test_results_of_an_older_protocol_are_replaced_and_it_is_said(run, capsys):
    run(2)
    again = run(1, identity=replace(IDENTITY, protocol=3, data={}))
    assert "of protocol 2, will be replaced by 3" in capsys.readouterr().err
    assert len(run.asked) == 2 and len(Results.load(run.out).rows) == len(again.rows) == 4
    assert again.tables["cells"] == {"done": 2, "planned": 2} and again.tables["origins"][0]["cells"] == 2


def test_a_damaged_file_is_refused_before_anything_is_planned(run):
    run(1)
    run.out.write_text(run.out.read_text().replace('"seed": 0', '"seed": 7'))
    with pytest.raises(RecordsError, match=r"changed by hand.*move it away"):
        load_earlier(run.out, IDENTITY)


def test_a_failing_cell_does_not_hold_up_the_others(run, capsys):
    with pytest.raises(CellsFailed, match=r"radio, size 100, seed 0: ArithmeticError: no radio today") as caught:
        run(2, bad=[("radio", 0)])
    assert list(caught.value.errors) == [("radio", 100, 0)]
    assert "in measured" in capsys.readouterr().err, "where it failed"
    assert Results.load(run.out).tables["cells"] == {"done": 3, "planned": 4}
    assert run(2).tables["cells"] == {"done": 4, "planned": 4} and run.asked == [("radio", 100, 0)]


def test_a_draw_that_cannot_be_made_is_a_failed_cell(run):
    def task(key):
        if key == ("tea", 100, 0):
            raise ValueError("too small")
        return measured, key

    with pytest.raises(CellsFailed, match=r"tea, size 100, seed 0: ValueError.*too small"):
        Work(keys(1), task, TESTS, IDENTITY.data).measure(IDENTITY, Options(jobs=1, out=run.out), time.time())
    assert len(Results.load(run.out).rows) == 2


def test_the_bar_does_not_count_what_was_skipped(run, capsys):
    run(1, until=0.0)
    assert "0/2" in capsys.readouterr().err


def test_the_stamp_is_that_of_all_calls(run, monkeypatch):
    monkeypatch.setattr("slubook.experiments.cells.peak_memory_mb", lambda: 900.0)
    first = run(1)
    monkeypatch.setattr("slubook.experiments.cells.peak_memory_mb", lambda: 500.0)
    monkeypatch.setattr("slubook.experiments.cells.hardware", lambda: {"processor": "another"})
    run.empty_cache()
    again = run(2)
    assert again.stamp["peak_memory_mb"] == 900.0
    here, there = again.tables["origins"]
    assert here == first.tables["origins"][0] and there["hardware"] == {"processor": "another"}
    assert [origin["cells"] for origin in (here, there)] == [2, 2]
    assert here["vectors"] == there["vectors"] == {"pool": "stamp-1"}
    assert again.stamp["cell_s"] == round(here["cell_s"] + there["cell_s"], 1)
    idle = run(2, jobs=2)
    assert idle.tables["origins"] == [here, there], "a run with nothing to do changes nothing"
    assert idle.stamp["threads"] == 1, "nor does it say how many processes measured"


def test_cells_keep_their_format(run):
    run(1)
    path = next(run.cache.glob("cells/skills-quick/tea_100_0-*.json"))
    cell = json.loads(path.read_text())
    assert list(cell) == ["key", "fingerprint", "sha256", "content"] and cell["fingerprint"] == IDENTITY.fingerprint
    assert list(cell["content"]) == ["rows", "wall_s", "memory_mb", "hardware", "vectors"]
    assert cell["content"]["rows"][0]["slices"] == {"unseen": "101"}


def where(*key):
    return replace(measured(*key), more={"where": [os.getpid(), threading.current_thread().name]})


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_cells_are_measured_elsewhere_and_kept_here(run, backend):
    here, client = [os.getpid(), threading.current_thread().name], nullcontext()
    if backend == "dask":
        distributed = pytest.importorskip("distributed")
        client = distributed.Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None)
    with client:
        work = Work(keys(2), lambda key: (where, key), TESTS, IDENTITY.data)
        results = work.measure(IDENTITY, Options(jobs=2, backend=backend), time.time())
    assert len(results.rows) == 8
    places = [IDENTITY.store().get(key)["where"] for key in keys(2)]
    assert here not in places


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_refuses_results_of_other_settings_before_it_plans_or_trains(name, tmp_path, monkeypatch):
    out = tmp_path / "results.json"
    shutil.copy(RESULTS / "skills.json", out)
    monkeypatch.setattr(EXPERIMENTS[name].load(), "prepare", lambda *given: pytest.fail("planned"))
    with pytest.raises(RecordsError, match=r"results.json: holds results of other .*settings"):
        runner.run(name, Options("quick", out=out))


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if (RESULTS / f"{name}.json").is_file()])
def test_published_results_have_the_settings_of_today(name):
    module, stamp = EXPERIMENTS[name].load(), json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["stamp"]
    assert config_hash(module.config_of("full", module.settings_of("full"))) == stamp["config_sha256"], (
        "finished cells would be measured again: add options elsewhere, or raise the protocol's number in the table"
    )


def test_cells_are_found_under_the_same_fingerprint():
    config, data = {"profile": "full", "rate": 1.0}, {"a": "b"}
    identity = Identity("skills", 2, "full", config, data)
    assert identity.fingerprint == "8c33359b933159c6ce2e6765b1eeeef69ae5f5910fefeeb6958b93fbc1d4d15b"
    assert identity.store().folder.name == "skills-full"


@pytest.mark.parametrize("name", [name for name, about in EXPERIMENTS.items() if about.not_corpus])
def test_an_experiment_that_a_corpus_is_nothing_for_says_so(name, tmp_path):
    with pytest.raises(CorpusError, match=f"experiment '{name}' .*: not --corpus"):
        runner.run(name, Options(corpora=[tmp_path / "mine.jsonl"]))


def test_a_users_corpus_has_no_full_profile(tmp_path):
    with pytest.raises(CorpusError, match="no full profile"):
        Options("full", [tmp_path / "mine.jsonl"])


def test_the_kind_of_a_run_says_how_many_draws_there_are():
    for options, kind, draws in (
        (Options(), "quick", 1),
        (Options("full"), "full", SEEDS),
        (Options(corpora=["mine.jsonl"]), "corpus", SEEDS),
        (Options("full", seeds=2), "full", 2),
    ):
        assert (options.kind, options.draws) == (kind, draws)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_table_says_what_an_experiment_compares(name):
    about = EXPERIMENTS[name]
    assert about.baseline in about.methods and {*about.intent_only} < about.methods.keys()
    published = RESULTS / f"{name}.json"
    if published.is_file():
        assert set(Results.load(published).methods) <= about.methods.keys()


def test_the_table_is_light():
    code = "import sys, slubook.experiments.table; print(sorted({'numpy', 'torch', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
