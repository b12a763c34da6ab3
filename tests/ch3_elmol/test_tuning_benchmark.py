"""Tuning of the benchmark: as many trials for either network, over what each reads, and the choice the code holds."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

from slubook.ch3_elmol import tuning
from slubook.ch3_elmol.benchmark import QUICK_UPDATES, START, BenchmarkSettings, ContextConfig, PoolInputs
from slubook.ch3_elmol.embeddings import Read
from slubook.ch3_elmol.tuning import BENCHMARK_HEAD, BENCHMARK_SEARCH
from slubook.corpora.utterance import Prediction
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import SEED, Trial, changed, draw_hash


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
    monkeypatch.setattr(tuning, "DNN", lambda table, config: Silent((table, config), seen))
    monkeypatch.setattr(ContextConfig, "over", lambda self, reader: Silent((reader, self), seen))
    inputs = PoolInputs(Read("pool", "toy", 1.0, "t", "t"), Read("elmol", "toy", 1.0, "r", "r"))
    monkeypatch.setattr(PoolInputs, "load", lambda self: (SimpleNamespace(table="table"), "reader"))
    plan = SimpleNamespace(whole=SimpleNamespace(name="toy"), train=toy_skill[:36], dev=toy_skill[36:50], inputs=inputs)
    monkeypatch.setattr(tuning.benchmark, "plan", lambda profile, bilm, device: plan)
    path, trials = tmp_path / "record.json", [Trial(method=m, changes={}) for m in ("dnn_pool", "elmol")]
    record = BENCHMARK_SEARCH.run([*trials, Trial(method="elmol", changes={"unfreezing.reduced": 0.25})], path)
    assert {s[1:] for s in seen} == {(36, 14, SEED)}
    reduced = replace(ContextConfig.of(START), unfreezing=replace(ContextConfig.of(START).unfreezing, reduced=0.25))
    assert [s[0] for s in seen] == [("table", START), ("reader", ContextConfig.of(START)), ("reader", reduced)]
    data = record["methods"]["elmol"]["stamp"]["data"]
    splits = draw_hash(tuning.Splits("toy", tuple(toy_skill[:36]), tuple(toy_skill[36:50])), 36, SEED)
    assert data == {"language model toy": "r", f"toy, draw {SEED}": splits}
    assert record["methods"]["dnn_pool"]["stamp"]["data"]["vectors toy"] == "t"
    assert BENCHMARK_SEARCH.load(path) == record


def test_the_published_record_has_ten_trials_that_differ_for_either_network():
    record = BENCHMARK_SEARCH.load()
    assert {name: record[name] for name in BENCHMARK_HEAD} == BENCHMARK_HEAD
    assert list(record["methods"]) == list(BENCHMARK_SEARCH.start)
    for method, found in record["methods"].items():
        configs = [changed(BENCHMARK_SEARCH.start[method], t["changes"]) for t in found["trials"]]
        assert len({json.dumps(asdict(c)) for c in configs}) == found["settings"] == 10
        assert {seed for t in found["trials"] for seed in t["seeds"]} == {SEED}
        start = BENCHMARK_SEARCH.start[method]
        assert configs[0] == start and found["stamp"]["config"]["start"] == json.loads(json.dumps(asdict(start)))


def test_the_defaults_are_what_tuning_chose():
    methods, settings = BENCHMARK_SEARCH.load()["methods"], BenchmarkSettings()
    for method, default in (("dnn_pool", settings.dnn), ("elmol", settings.contextual)):
        assert methods[method]["config"] == json.loads(json.dumps(asdict(default)))
    assert {found["stamp"]["protocol"] for found in methods.values()} == {EXPERIMENTS["benchmark"].protocol}


def test_the_quick_profile_changes_length_only():
    short = BenchmarkSettings().brief()
    for one, usual in ((short.dnn, BenchmarkSettings().dnn), (short.contextual, BenchmarkSettings().contextual)):
        assert replace(one, training=replace(one.training, updates=usual.training.updates)) == usual
        assert one.training.updates == QUICK_UPDATES
