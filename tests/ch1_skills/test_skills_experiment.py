import json
from dataclasses import replace

import pytest

from slubook.ch1_skills import protocol as skills
from slubook.ch1_skills import skill_vectors
from slubook.ch1_skills.bench import Cell, slices_of
from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.offtheshelf import SpacyConfig
from slubook.ch1_skills.pool import Pool
from slubook.ch1_skills.protocol import SkillsSettings, run_cell
from slubook.ch1_skills.skill_vectors import SkillVectors
from slubook.ch1_skills.skillsets import Skill, make_skill
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.errors import CorpusError
from slubook.evaluation.metrics import irer
from slubook.experiments.options import Options
from slubook.experiments.records import Results
from slubook.experiments.report import summarise, tabulate
from slubook.experiments.runner import run
from slubook.experiments.table import EXPERIMENTS

QUICK = SkillsSettings(
    dnn=DNNConfig(training=TrainingConfig(updates=40, evaluations=4)),
    spacy=SpacyConfig(epochs=2),
    masked_lm=skills.MaskedLMConfig(dim=300, inner=16, heads=2, candidates=10, epochs=1),
)


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

        def __init__(self, kind, found, pool, *_):
            self.skills, self.pool = found, pool

        def paths(self, name): ...

        def keys(self, names):
            return dict.fromkeys(names, "")

        def needs(self, name):
            return [f"of {name}"]

    pool = Pool(("a", "b", "c"), ("shopping", "shopping+music", "travel"), {"read": 9, "distinct": 4, "left": 3})
    monkeypatch.setattr(skills, "public_skills", lambda: [make_skill("toy", "toy", ["shopping"], toy_skill)])
    monkeypatch.setattr(skills, "public_pool", lambda found: pool)
    monkeypatch.setattr(skills, "SkillVectors", Vectors)
    planned = skills.plan(Options("full", seeds=1))
    assert planned.pool_counts["left"] == 3 and planned.pool_without == {"0": 1, "1": 2}
    assert planned.vector_keys == {"toy": ""} and len(planned.keys) == 1
    none = skills.plan(Options("full", seeds=1, choose=lambda keys, needs: [k for k in keys if needs(k) != ["of toy"]]))
    assert none.vector_keys == {} and not none.skills, "nothing is trained for a cell that is not measured"


def test_a_skill_reads_the_tables_of_its_own_fold_and_no_others_are_trained(monkeypatch):
    made = []

    def kept_table(name, sentences, train, config):
        made.append((name, len(sentences)))
        return VectorTable(name, {}, *[None] * 3)

    monkeypatch.setattr(skill_vectors, "kept_table", kept_table)
    monkeypatch.setattr(skill_vectors, "general_table", lambda: VectorTable("full-general", {}, *[None] * 3))
    pool = Pool(("a", "b", "c"), ("music", "news", "music+news"), {})
    found = [Skill(name, "toy", (topic,), (), ()) for name, topic in (("radio", "music"), ("paper", "news"))]
    vectors = SkillVectors("full", found, pool, FastTextConfig(), skills.MaskedLMConfig())
    folds = {name: vectors.folds[0][name] for name in ("radio", "paper")}
    assert folds["radio"] != folds["paper"]
    own = [f"full-{kind}-without-{folds['radio']}" for kind in ("mlm", "pool")]
    assert vectors.needs("radio")[:2] == own and set(vectors.needs("radio")[2:]) == {
        "full-general", "full-pool", "full-mlm",
    }  # fmt: skip
    keys = vectors.keys(["radio"])
    assert keys.keys() == {f"vectors {name}" for name in vectors.needs("radio")}
    assert sorted(made) == sorted([("full-pool", 3), ("full-mlm", 3), (own[0], 1), (own[1], 1)])
    made.clear()
    quick = SkillVectors("quick", found, pool, FastTextConfig(), skills.MaskedLMConfig())
    quick.keys(["radio", "paper"])
    assert sorted(made) == [("quick-mlm", 3), ("quick-pool", 3)]
