import json
from dataclasses import replace

import pytest

from slubook.ch1_skills import protocol as skills
from slubook.ch1_skills.bench import Cell, slices_of
from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.offtheshelf import SpacyConfig
from slubook.ch1_skills.pool import Pool
from slubook.ch1_skills.protocol import SkillsSettings, run_cell
from slubook.ch1_skills.skillsets import make_skill
from slubook.ch1_skills.training import TrainingConfig
from slubook.corpora.errors import CorpusError
from slubook.evaluation.metrics import irer
from slubook.experiments.options import Options
from slubook.experiments.records import Results
from slubook.experiments.report import summarise, tabulate
from slubook.experiments.runner import run
from slubook.experiments.table import EXPERIMENTS

QUICK = SkillsSettings(dnn=DNNConfig(training=TrainingConfig(updates=40, evaluations=4)), spacy=SpacyConfig(epochs=2))


@pytest.fixture
def cell(toy_skill) -> Cell:
    skill = make_skill("toy", "toy", ["shopping"], toy_skill)
    train, dev = skill.draw(skill.sizes()[0], 0)
    return Cell(skill.name, len(train), 0, train, dev, skill.test)


def test_every_method_is_judged_on_the_same_utterances(cell):
    rows = run_cell(cell, {"dnn_scratch": None, "dnn_pool": None}, {"apples": [1, 3], "bread": [1, 4]}, QUICK)
    assert {r.method for r in rows} == set(EXPERIMENTS["skills"].methods) - {
        "dnn_general",
        "dnn_pool_other",
        "dnn_mlm",
        "dnn_mlm_other",
    }
    assert {len(r.outcomes) for r in rows} == {len(cell.test)}
    assert all(r.bytes > 0 and r.predict_ms > 0 and r.train_s > 0 for r in rows)
    hybrid, linear, network = (next(r for r in rows if r.method == m) for m in ("hybrid", "maxent_crf", "dnn_pool"))
    assert list(hybrid.outcomes.intent) == list(linear.outcomes.intent)
    assert list(hybrid.outcomes.correct) == list(network.outcomes.correct)


def test_slices_split_by_new_words_and_by_near_repetition(cell):
    known = {w for u in cell.train for w in u.text.split()}
    slices = slices_of(cell)
    assert list(slices["unseen"]) == [bool(set(u.text.split()) - known) for u in cell.test]
    assert list(slices["seen"]) == [not new for new in slices["unseen"]]
    again = slices_of(replace(cell, train=[*cell.train, cell.test[0]]))
    assert not again["fresh"][0]
    assert slices["fresh"].any()


def own_corpus(path, toy_skill):
    with path.open("w") as file:
        for u in toy_skill:
            for n in range(3):
                text = u.text + ["", " now", " for the weekend"][n]
                slots = [s._asdict() for s in u.slots]
                row = {
                    "id": f"{u.id}-{n}",
                    "text": text,
                    "intent": u.intent,
                    "slots": slots,
                    "domain": "toy",
                    "split": "",
                }
                file.write(json.dumps(row) + "\n")
    return path


def test_a_users_corpus_runs_the_protocol_and_a_stopped_run_goes_on(tmp_path, toy_skill, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(skills, "QUICK_SOURCES", ())
    monkeypatch.setattr(skills, "MaskedLMConfig", lambda **_: skills_masked)
    path = own_corpus(tmp_path / "mine.jsonl", toy_skill)
    out = tmp_path / "skills.json"
    options = Options(corpora=[path], seeds=1, jobs=1, out=out)
    stopped = run("skills", replace(options, until=0.0), QUICK)
    assert stopped.tables["cells"] == {"done": 0, "planned": 1} and not stopped.rows
    done = run("skills", options, QUICK)
    assert done.tables["cells"]["done"] == 1
    again = run("skills", replace(options, seeds=2), QUICK)
    assert {r.seed for r in again.rows} == {0, 1}
    first = {r.key: r.train_s for r in done.rows}
    assert all(r.train_s == first[r.key] for r in again.rows if r.seed == 0), "finished cells must not be run again"
    lines = summarise(Results.load(out), replicates=50)
    assert {line["method"] for line in lines} == {r.method for r in done.rows}
    assert done.tables["pool_without"] == {}, "the full profile's"
    assert tabulate(lines, EXPERIMENTS["skills"]).row_count == len(lines)
    assert all(0 <= irer(r.outcomes) <= 1 for r in done.rows)


skills_masked = skills.MaskedLMConfig(dim=300, inner=16, heads=2, candidates=10, epochs=1)


def test_a_corpus_too_small_to_split_is_refused(tmp_path, toy_skill):
    path = tmp_path / "tiny.jsonl"
    rows = [
        {"id": u.id, "text": u.text, "intent": u.intent, "slots": [], "domain": "d", "split": ""} for u in toy_skill[:9]
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(CorpusError, match="too few"):
        skills.plan(Options(corpora=[path]))


def test_a_full_plan_says_how_much_text_is_left_without_each_folds_topics(toy_skill, monkeypatch):
    class Vectors:
        folds = {"toy": 0}, [{"shopping"}, {"music", "news"}]

        def __init__(self, *_): ...

        def paths(self, name): ...

        def keys(self):
            return {}

    pool = Pool(("a", "b", "c"), ("shopping", "shopping+music", "travel"), {"read": 9, "distinct": 4, "left": 3})
    monkeypatch.setattr(skills, "public_skills", lambda: [make_skill("toy", "toy", ["shopping"], toy_skill)])
    monkeypatch.setattr(skills, "public_pool", lambda found: pool)
    monkeypatch.setattr(skills, "SkillVectors", Vectors)
    planned = skills.plan(Options("full", seeds=1))
    assert planned.pool_counts["left"] == 3 and planned.pool_without == {"0": 1, "1": 2}
