"""Tuning of the benchmark: as many trials for either network, over what each reads, and the choice the code holds."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.skillsets import Skill
from slubook.ch3_elmol import tuning_benchmark
from slubook.ch3_elmol.benchmark import QUICK_UPDATES, START, Contextual, Settings, brief
from slubook.ch3_elmol.embeddings import Read
from slubook.ch3_elmol.tuning_benchmark import FIRST, ROUNDS, SECOND, BenchmarkSearch
from slubook.corpora.utterance import Prediction
from slubook.experiments.search import data_hash
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.trials import SEEDS


def test_both_networks_have_ten_trials_that_differ():
    search = BenchmarkSearch()
    for method, [first] in ROUNDS.items():
        for stands in FIRST:
            trials = [*first.trials, *({**stands, **change} for change in SECOND[method])]
            assert len({json.dumps(asdict(search.configured(method, t))) for t in trials}) == 10
    assert search.configured("dnn_pool", {}) == START
    assert search.configured("elmol", {}) == Contextual.of(START) and Contextual.of(START).network.layers == 3


class Silent:
    """A model that gets every utterance wrong, and notes what it is asked to learn."""

    def __init__(self, config, seen):
        self.config, self.seen = config, seen

    def fit(self, train, dev, seed):
        self.seen.append((self.config, len(train), len(dev), seed))
        return self

    def predict(self, texts):
        return [Prediction("none of them", (), 1.0)] * len(texts)


def test_a_trial_learns_the_training_split_and_is_judged_on_dev(toy_skill, monkeypatch, tmp_path):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    seen = []
    monkeypatch.setattr(tuning_benchmark, "DNN", lambda table, config: Silent((table, config), seen))
    monkeypatch.setattr(Contextual, "over", lambda self, reader: Silent((reader, self), seen))
    reads = {"vectors": Read("pool", "toy", 1.0, "t", "t"), "reader": Read("elmol", "toy", 1.0, "r", "r")}
    places = SimpleNamespace(**reads, load=lambda: SimpleNamespace(table="table", reader="reader"))
    whole = Skill("toy", "toy", ("shopping",), (), tuple(toy_skill))
    path, search = tmp_path / "record.json", BenchmarkSearch(whole, toy_skill[:36], toy_skill[36:50], places)
    record = search.run(path)
    assert {s[1:] for s in seen} == {(36, 14, SEEDS[0])} and len(seen) == 20
    over = (
        {s[0][0] for s in seen if isinstance(s[0][1], DNNConfig)},
        {s[0][0] for s in seen if isinstance(s[0][1], Contextual)},
    )
    assert over == ({"table"}, {"reader"})
    assert {m: len(found["trials"]) for m, found in record["methods"].items()} == {"dnn_pool": 10, "elmol": 10}
    data = record["methods"]["elmol"]["stamp"]["data"]
    drawn = f"toy, draw {SEEDS[0]}"
    assert data == {"language model toy": "r", drawn: data_hash(toy_skill[:36], toy_skill[36:50])}
    assert BenchmarkSearch().load(path) == record


@pytest.mark.skipif(not BenchmarkSearch().record.is_file(), reason="the benchmark has not been tuned yet")
def test_the_defaults_are_what_tuning_chose():
    methods, settings = BenchmarkSearch().load(BenchmarkSearch().record)["methods"], Settings()
    for method, default in (("dnn_pool", settings.dnn), ("elmol", settings.contextual)):
        assert methods[method]["config"] == json.loads(json.dumps(asdict(default)))
    assert {found["stamp"]["protocol"] for found in methods.values()} == {EXPERIMENTS["benchmark"].protocol}


def test_the_quick_profile_changes_length_only():
    short = brief(Settings())
    for one, usual in ((short.dnn, Settings().dnn), (short.contextual, Settings().contextual)):
        assert replace(one, training=replace(one.training, updates=usual.training.updates)) == usual
        assert one.training.updates == QUICK_UPDATES
