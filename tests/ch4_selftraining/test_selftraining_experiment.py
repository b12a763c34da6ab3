"""One cell of the experiment, small: every method is judged at both thresholds, and the pool's labels stay unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch4_selftraining import protocol
from slubook.ch4_selftraining.data import Cut, Target, quick_data
from slubook.ch4_selftraining.paraphrase import DetectorConfig
from slubook.ch4_selftraining.protocol import SelfTrainingSettings, settings_of
from slubook.ch4_selftraining.recogniser import FALSE_ALARMS, threshold
from slubook.ch4_selftraining.teachers import TeacherConfig
from slubook.ch4_selftraining.trial import MAIN, MATCHED, IntentTrial, Shared, asked, prevalence_f1
from slubook.corpora.utterance import words
from slubook.evaluation.metrics import semer
from slubook.experiments.options import Options
from slubook.experiments.runner import run
from slubook.experiments.table import EXPERIMENTS

CUT = Cut((30, 40), mature=4, development=4, background=4, reserve=30, hidden=(30, 60), pool=800)
NETWORK = NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=6, layers=1)
SETTINGS = SelfTrainingSettings(
    CUT,
    teacher=TeacherConfig(DNNConfig(NETWORK, TrainingConfig(batch=8, updates=6, evaluations=1)), others=10),
    fasttext=FastTextConfig(dim=8, epochs=1, buckets=100),
    filtered=40, curve=(20, 60), grains=(5,), detector=DetectorConfig(pairs=200, passes=1, width=4),
    pretraining=PretrainingConfig(replace(NETWORK, layers=3, ngram_order=0), updates=3, batch=4, characters=20),
)  # fmt: skip


NAME = "assistant-en/HassLightSet"


@pytest.fixture(scope="module")
def shared() -> Shared:
    data = quick_data(CUT, per_intent=120)
    data.targets = {NAME: data.targets[NAME]}
    table = train_fasttext("tiny", [words(t) for t in data.pool], SETTINGS.fasttext)
    return Shared(data, table, {w: [len(w) % 5] for t in data.pool for w in words(t)})


def cell(shared: Shared, target: Target) -> IntentTrial:
    trial = IntentTrial(shared, target, 20, 3, SETTINGS)
    trial.run(None)
    return trial


@pytest.fixture(scope="module")
def trial(shared) -> IntentTrial:
    return cell(shared, shared.data.targets[NAME])


def test_the_pools_labels_are_never_seen(shared, trial):
    annotated, target = {u.id for u in trial.annotated}, shared.data.targets[NAME]
    rest = tuple(u if u.id in annotated else replace(u, slots=()) for u in target.rest)
    blind = cell(shared, replace(target, rest=rest))
    for one, other in zip(trial.rows, blind.rows, strict=True):
        same = all(np.array_equal(one.outcomes[c], other.outcomes[c]) for c in ("intent", "correct", "predicted"))
        assert one.method == other.method and (same or one.method.startswith("oracle")), one.method
    assert any(row.method == "oracle" and row.figures["added"] > 0 for row in trial.rows)


def test_what_is_annotated_is_not_chosen_again(shared, trial):
    model = trial.learn("annotated")
    chosen = {shared.data.pool[i] for i in trial.filtered(model, len(shared.data.pool) - len(trial.known))}
    assert trial.known and not chosen & {u.text for u in trial.annotated}


def test_few_false_alarms_where_the_threshold_was_set(shared, trial):
    model = trial.learn("annotated")
    p = model.probability(shared.heard("development", trial.target, False)[1])
    allowed = int(FALSE_ALARMS * len(p))
    assert (p > threshold(p)).sum() <= allowed and allowed > 0


def test_every_method_of_the_table_is_measured(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(protocol, "quick_data", lambda cut: shared.data)
    results = run("selftraining", Options(jobs=1, out=tmp_path / "out.json"), SETTINGS)
    measured = {m.removesuffix("_argmax") for m in results.methods}
    curves = {f"top_{k}" for s in (SETTINGS, settings_of("quick"), settings_of("full")) for k in s.curve}
    table = {m.removesuffix("_argmax") for m in EXPERIMENTS["selftraining"].methods}
    assert measured - curves == table - curves
    assert {f"top_{k}" for kind in ("quick", "full") for k in settings_of(kind).curve} == table & curves
    assert all(row.figures["others"] > 300 and np.isfinite(semer(row.outcomes)) for row in results.rows)
    assert set(results.tables["f1_at_prevalence"]) == set(results.methods)
    by_method = {row.method: row for row in results.rows}
    taken = by_method["ensemble"].figures["added"]
    for part, divisor in (("half", 2), ("quarter", 4)):
        added = {row.figures["added"] for m, row in by_method.items() if m.endswith(part) and "oracle" not in m}
        assert added == {taken // divisor}
    assert all(by_method[f"{name}_filtered"].figures["added"] <= SETTINGS.filtered // 2 for name in MAIN)
    assert not {f"{m}_argmax" for m in MATCHED} & set(results.methods)
    (judged,) = (found for topic, found in results.tables["detector"].items() if topic != "mean")
    assert judged == results.tables["detector"]["mean"] and 0 < judged["share"] < 1
    assert results.tables["asked"]["50"]["beyond"] < 1


def test_f1_falls_with_false_alarms(trial):
    row = next(r for r in trial.rows if r.method == "annotated")
    rows = [replace(row, method=m, figures={**row.figures, "false_alarms": n}) for m, n in (("few", 0), ("many", 50))]
    found = prevalence_f1(rows)
    assert found["few"]["20"] > found["many"]["20"]


def test_a_run_with_another_method_is_another_run(monkeypatch):
    before = protocol.config_of("quick", SETTINGS)
    table = EXPERIMENTS["selftraining"]
    longer = replace(table, methods={**table.methods, "new": "A new method"})
    monkeypatch.setattr(protocol, "EXPERIMENTS", {"selftraining": longer})
    assert before != protocol.config_of("quick", SETTINGS)


def test_what_networks_are_not_asked_about_is_counted(trial):
    (row,) = (r for r in trial.rows if r.method == "teacher")
    rows = [
        replace(row, figures={**row.figures, "p_at_rank": p, "threshold": 0.2, "beyond": b})
        for p, b in ((0.01, 0.0), (0.09, 0.5))
    ]
    assert asked([*rows, replace(row, method="dnn")]) == {"20": {"p_at_rank": 0.05, "beyond": 0.25, "open": 0.5}}
