from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.pool import Pool
from slubook.ch1_skills.skillsets import Skill
from slubook.ch1_skills.tables import table_folder
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch3_elmol import benchmark
from slubook.ch3_elmol.benchmark import MODELS, BenchmarkPlan, BenchmarkSettings, ContextConfig, PoolInputs
from slubook.ch3_elmol.bilm import BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining, kept_bilm
from slubook.ch3_elmol.embeddings import Read, load_embedding, told
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora import registry
from slubook.corpora.download import available
from slubook.corpora.utterance import words
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results
from slubook.experiments.runner import run

EMPTY = Pool((), (), {})
DNN_CONFIG = DNNConfig(
    NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=8, ngram_order=0),
    TrainingConfig(updates=20, evaluations=4),
)
SMALL = BenchmarkSettings(
    MaxEntConfig(inverse_l2=(4.0,), l1_l2=((0.0, 0.05),), max_iterations=20),
    DNN_CONFIG,
    replace(ContextConfig.of(DNN_CONFIG), unfreezing=UnfreezingConfig(latest=0.25)),
    BiLMTraining(BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8), epochs=1),
)


@pytest.fixture
def the_plan(toy_skill, tmp_path, monkeypatch) -> BenchmarkPlan:
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    train, dev, test = toy_skill[:40], toy_skill[40:50], toy_skill[50:]
    rows = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float16)
    VectorTable("toy", {"read": 0, "add": 1}, rows, np.zeros((0, 8), np.float16)).save(table_folder("toy"))
    whole, said = Skill("toy", "toy", ("shopping",), tuple(test), (*train, *dev)), [words(u.text) for u in train]
    reader, counts = kept_bilm("toy", said, SMALL.bilm, said).reader, {"read": 2, "distinct": 2, "left": 2}
    table = VectorTable.load(table_folder("toy"))
    inputs = PoolInputs(Read.of_table("pool", table, said), Read.of_model("elmol", "toy", reader))
    return BenchmarkPlan(whole, train, dev, inputs, {"pool": counts, "language_model": told(reader)})


def test_a_run_is_kept_cell_by_cell_and_resumes(the_plan, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "plan", lambda *given: the_plan)
    options = Options(seeds=1, jobs=1, out=tmp_path / "benchmark.json")
    first = run("benchmark", options, SMALL)
    assert first.tables["cells"] == {"done": 1, "planned": 1} and first.methods == list(MODELS)
    both = run("benchmark", replace(options, seeds=2), SMALL)
    assert [row.seed for row in both.select(["dnn_pool"])] == [0, 1]
    assert both.select(["dnn_pool"], seeds=[0])[0].train_s == first.select(["dnn_pool"])[0].train_s, "measured once"
    learned = {row.method: row.figures for row in both.select(seeds=[0])}
    assert learned["dnn_pool"]["beneath"] == 16 and learned["dnn_scratch"]["beneath"] == 0
    assert learned["dnn_pool"]["parameters"] == learned["dnn_scratch"]["parameters"] > 0
    assert learned["elmol"]["beneath"] == sum(p.numel() for p in load_embedding(the_plan.inputs.reader).parameters())
    assert learned["elmol"]["parameters"] > learned["dnn_scratch"]["parameters"]
    own, over = learned["elmol"]["parameters"], learned["fasttext_pool"]["parameters"]
    assert 0 < own - over < 1000 and learned["fasttext_pool"]["beneath"] == 16, "they differ in what takes it in"
    assert both.tables["language_model"]["sentences"] == 40
    assert "language model toy" in both.stamp["data"]
    assert all(row.bytes > 0 and {"fresh", "unseen"} <= row.slices.keys() for row in both.rows)
    linear = both.select(["maxent_crf"])
    assert (linear[0].outcomes.correct == linear[1].outcomes.correct).all(), "nothing in it is random"
    assert Results.load(tmp_path / "benchmark.json").tables["pool"] == {"read": 2, "distinct": 2, "left": 2}
    with pytest.raises(RecordsError, match="other settings"):
        run("benchmark", options, BenchmarkSettings(SMALL.maxent))


@pytest.fixture
def seen(monkeypatch) -> dict:
    """What vectors and language model would be trained with; they are not."""
    seen = {}
    monkeypatch.setattr(benchmark, "build_pool", lambda sources, without: seen.update(without=without) or EMPTY)
    monkeypatch.setattr(benchmark, "kept_table", lambda *given: seen.update(vectors=given))
    monkeypatch.setattr(benchmark, "kept_bilm", lambda *given: seen.update(bilm=given) or SimpleNamespace(reader=None))
    monkeypatch.setattr(Read, "of_table", lambda *given: None)
    monkeypatch.setattr(Read, "of_model", lambda *given: None)
    monkeypatch.setattr(benchmark, "told", lambda reader: {})
    return seen


def test_the_quick_profile_keeps_dev_and_test_out_of_training_and_pool(seen):
    made = benchmark.plan("quick", SMALL.bilm, "cuda")
    train, dev, test = ({u.text for u in part} for part in (made.train, made.dev, made.whole.test))
    assert not train & (dev | test) and set(seen["without"]) == dev | test
    assert seen["vectors"][0] == "benchmark-quick" and len(made.train) == benchmark.QUICK_SIZE
    assert seen["bilm"] == ("benchmark-quick", EMPTY.sentences(), SMALL.bilm, EMPTY.measured(), "cuda")


def test_what_differs_from_a_test_in_an_apostrophe_is_not_read(the_plan, seen, monkeypatch):
    tests = [replace(u, text="what s on", slots=()) for u in the_plan.whole.test[:1]]
    whole = replace(the_plan.whole, test=tuple(tests))
    pool = Pool(("what's on", "play some jazz"), ("films", "music"), {})
    monkeypatch.setattr(benchmark, "skills_of", lambda *_: [whole])
    monkeypatch.setattr(Skill, "draw", lambda *_: (the_plan.train, the_plan.dev))
    monkeypatch.setattr(benchmark, "build_pool", lambda *_: pool)
    benchmark.plan("quick", SMALL.bilm)
    assert seen["vectors"][1] == seen["bilm"][1] == [["play", "some", "jazz"]]


@pytest.mark.public
def test_the_full_profile_is_the_published_split(seen):
    if not available(registry.PUBLIC[benchmark.CORPUS].source):
        pytest.skip("public corpora are not on this machine: set SLUBOOK_MIRROR or run `slubook data fetch`")
    made = benchmark.plan("full", SMALL.bilm)
    assert (len(made.train), len(made.dev), len(made.whole.test)) == (13084, 700, 700)
