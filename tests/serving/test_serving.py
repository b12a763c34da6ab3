"""The serving experiment at the size of a toy: all methods, honest copies, nothing left behind."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from slubook.book.claims import OfComparison, OfTable, load_claims
from slubook.ch1_skills.dnn import DNN, DNNConfig, fit_together
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.skillsets import make_skill
from slubook.ch1_skills.tables import table_folder
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.errors import CorpusError
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results
from slubook.experiments.runner import run
from slubook.experiments.table import EXPERIMENTS
from slubook.files import KeptError
from slubook.reproduction import differences, reproduce, tabled
from slubook.serving import protocol as serving
from slubook.serving.packed import PackedSkill
from slubook.serving.packing import copy_of, pack
from slubook.serving.protocol import PAIRS, byte_table
from slubook.serving.traffic import percentiles

SETTINGS = DNNConfig(
    NetworkConfig(dim=8, project=6, char_dim=4, char_filters=4, hidden=5),
    TrainingConfig(updates=25, evaluations=2),
)


@pytest.fixture(scope="module")
def small_plan(toy_skill, tmp_path_factory):
    """Two toy skills over a random table in a cache of their own."""
    renamed = [replace(u, intent=f"New{u.intent}") for u in toy_skill]
    compared, served = (make_skill(n, "toy", ["toy"], u) for n, u in (("toy/a", toy_skill), ("toy/b", renamed)))
    words = sorted({w for u in toy_skill for w in u.text.split()})[::2]
    rows = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float16)
    table = VectorTable("toy", {w: i for i, w in enumerate(words)}, rows, np.zeros((0, 8), np.float16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        table.save(table_folder("toy"))
        patch.setattr(serving, "SIZE", 9)
        yield [compared], [served], VectorTable.load(table_folder("toy"))


@pytest.fixture(scope="module")
def results(small_plan, tmp_path_factory) -> Results:
    out = tmp_path_factory.mktemp("results") / "serving.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(serving.SCALES, "quick", serving.Scale(copies=9, capacity=30_000, requests=40, seeds=2))
        patch.setattr(serving, "skills_and_table", lambda profile: small_plan)
        options = Options(seeds=2, jobs=1, out=out)
        run("serving", options, SETTINGS)
        patch.setattr(serving, "measure_cell", None)  # a second run trains nothing
        patch.setattr(serving, "serve_copies", None)  # and serves nothing
        again = run("serving", replace(options, out=None), SETTINGS)
        with pytest.raises(RecordsError, match=r"serving\.json: holds a larger run.*--out"):
            run("serving", replace(options, seeds=1), SETTINGS)
    loaded = Results.load(out)
    assert [r.to_json() for r in again.rows] == [r.to_json() for r in loaded.rows]
    return loaded


def test_every_method_is_measured_on_the_same_draws(results):
    assert set(results.methods) == set(EXPERIMENTS["serving"].methods)
    assert {(r.skill, r.size, r.seed) for r in results.rows} == {("toy/a", 9, 0), ("toy/a", 9, 1)}
    assert len(results.rows) == 2 * len(EXPERIMENTS["serving"].methods)
    assert {method for pair in PAIRS for method in pair} == set(EXPERIMENTS["serving"].methods)


def test_some_cells_are_measured_anew_without_serving_anything_and_all_of_them_as_a_whole(
    results, small_plan, monkeypatch, tmp_path
):
    monkeypatch.setitem(serving.SCALES, "quick", serving.Scale(copies=9, capacity=30_000, requests=40, seeds=2))
    monkeypatch.setattr(serving, "skills_and_table", lambda profile: small_plan)
    whole = reproduce(results, Options(jobs=1, out=tmp_path / "whole" / "serving.json"), None, SETTINGS)
    assert {one.changed for one in differences(results, whole)} == {0.0}
    figures = tabled(results, whole)
    assert all(tolerated for *_, tolerated in figures) and "bytes.skill.packed" in {name for name, *_ in figures}
    monkeypatch.setattr(serving, "serve_copies", None)
    elsewhere = {**results.stamp["data"], "vectors toy": "trained elsewhere: other last digits"}
    there = replace(results, stamp={**results.stamp, "data": elsewhere})
    some = reproduce(there, Options(jobs=1, out=tmp_path / "some" / "serving.json"), 1, SETTINGS)
    assert len(some.rows) == len(results.methods) and "traffic" not in some.tables
    assert {one.changed for one in differences(results, some)} == {0.0} and tabled(results, some) == []
    there.stamp["data"]["toy/a"] = "another split"
    with pytest.raises(RecordsError, match="of other data"):
        reproduce(there, Options(jobs=1, out=tmp_path / "other" / "serving.json"), 1, SETTINGS)


def test_what_the_ledger_reads_is_there(results):
    measures = [claim.measure for claim in load_claims()[1] if claim.experiment == "serving"]
    tables = {m.table for m in measures if isinstance(m, OfTable)}
    assert set(results.tables) == tables | {"scale", "cells", "origins"}
    assert {(m.baseline, m.proposed) for m in measures if isinstance(m, OfComparison)} <= set(PAIRS)


def test_the_stamp_adds_up_what_the_cells_took(results):
    [origin] = results.tables["origins"]
    assert origin["cells"] == results.tables["cells"]["done"] == results.tables["cells"]["planned"] == 3
    assert origin["vectors"].keys() == {"toy"}
    assert results.stamp["cell_s"] == round(origin["cell_s"], 1) > 0


@pytest.mark.parametrize(
    ("option", "given"),
    [("--corpus", {"corpora": ["mine.jsonl"]}), ("--minutes", {"until": 9.0}), ("dask", {"backend": "dask"})],
)
def test_options_without_meaning_are_refused(option, given):
    with pytest.raises(CorpusError, match=f"not .*{option}"):
        run("serving", Options(**given))


def test_sizes_tell_private_from_shared(results, small_plan):
    size = {r.method: r.bytes for r in results.rows if r.seed == 0}
    assert size["packed_4"] < size["packed"] < size["packed_8"] < size["shared_local"]
    assert size["private_full"] - size["generic_only"] == small_plan[2].nbytes
    assert size["shared_local"] == size["local_only"]


def test_all_answers_are_those_of_the_originals(results):
    traffic = results.tables["traffic"]
    assert traffic["skills"] == 9
    assert traffic["wrong"] == 0
    assert list(traffic["phases"]) == ["first", "zipf", "uniform"]
    first, zipf = traffic["phases"]["first"], traffic["phases"]["zipf"]
    assert first["requests"] == first["skills_asked"] == 9 and first["hit_rate"] == 0 and first["warm"] is None
    assert zipf["requests"] == 40 and 0 < zipf["hit_rate"] < 1
    for phase in traffic["phases"].values():
        assert 0 < phase["all"]["p50_ms"] <= phase["all"]["p99_ms"]
        assert phase["memory"]["open_skills"] <= 30_000 < phase["peak_resident"]
        assert phase["memory"]["resident"] == phase["memory"]["unique"] + phase["memory"]["shared"]


def test_a_wrong_answer_would_be_noticed(small_plan, toy_skill, monkeypatch):
    blob = _blob(small_plan, toy_skill)
    other = _blob(small_plan, [replace(u, intent=f"Not{u.intent}") for u in toy_skill])
    monkeypatch.setattr(serving, "copy_of", lambda blob, rng: other)
    scale = serving.Scale(copies=2, capacity=10**6, requests=3, seeds=1)
    measured = serving.serve_copies({"toy/a": blob}, [small_plan[0][0]], small_plan[2], scale)
    assert measured["wrong"] == 2 + 3 + 3


def test_the_store_is_deleted_and_needs_room(results, small_plan, monkeypatch):
    home = serving.cache_dir() / "serving"
    assert list(home.iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    scale = serving.Scale(copies=2, capacity=1, requests=1, seeds=1)
    with pytest.raises(KeptError, match="SLUBOOK_CACHE"):
        serving.serve_copies({"a": b"12345678"}, [], small_plan[2], scale)
    assert list(home.iterdir()) == []


def test_bytes_are_exact(results, small_plan, toy_skill):
    blob = _blob(small_plan, toy_skill)
    measured = byte_table({"a": blob, "b": blob}, [4000, 5000], small_plan[2], 10)
    skill, total, table = measured["skill"], measured["total"], small_plan[2]
    assert skill["packed"] == len(blob) == sum(skill["parts"].values())
    assert skill["float32"] == 4500
    assert total["shared"] == table.nbytes + 10 * len(blob)
    heads = len(blob) - skill["parts"]["local"]
    assert total["private_full"] == total["private_rows"] == 10 * (len(table.index) * 8 * 2 + heads)
    assert total["private_small"] == 10 * (skill["words"] * 8 * 2 + heads)
    assert total["private_folded"] == 10 * (len(blob) - skill["parts"]["project"]) < total["shared"]
    kept = results.tables["bytes"]["table"]
    assert kept["bytes"] == table.nbytes and kept["per_skill"] == table.nbytes / 9


def test_copies_answer_alike_and_share_hardly_a_byte(small_plan, toy_skill):
    blob = _blob(small_plan, toy_skill)
    copies = [copy_of(blob, np.random.default_rng(k)) for k in range(6)]
    assert len({blob, *copies}) == 7
    assert copies[3] == copy_of(blob, np.random.default_rng(3))
    texts = [u.text for u in toy_skill] + ["", "zebras"]
    original = PackedSkill(blob, small_plan[2]).predict(texts)
    for copy in copies:
        said = PackedSkill(copy, small_plan[2]).predict(texts)
        assert [(p.intent, p.slots) for p in said] == [(p.intent, p.slots) for p in original]
        np.testing.assert_allclose([p.confidence for p in said], [p.confidence for p in original], atol=1e-5)


def test_where_the_correction_stands(small_plan, toy_skill):
    width = {"projected": 6, "generic": 8, "none": 0}
    for correction, columns in width.items():
        config = replace(SETTINGS, network=replace(SETTINGS.network, correction=correction))
        model = DNN(small_plan[2], config).fit(toy_skill[:40], toy_skill[40:], seed=1)
        assert model.network.local.shape[2] == columns
        before = model.predict(["throw rice out of my basket"])
        model.network.local.data += 3.0
        moved = model.predict(["throw rice out of my basket"]) != before
        assert moved == (correction != "none")


def test_percentiles():
    assert percentiles(np.array([])) is None
    assert percentiles(np.arange(101) / 1000) == pytest.approx({"p50_ms": 50, "p99_ms": 99, "mean_ms": 50})


def _blob(small_plan, utterances) -> bytes:
    model = fit_together({"m": small_plan[2]}, utterances[:40], utterances[40:], 0, SETTINGS)["m"]
    return pack(model.network, model.encoder, small_plan[2])
