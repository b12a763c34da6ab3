"""``slubook skill``: what it prints, what it refuses, and the codes it exits with."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.transfer import Recipe
from slubook.ch3_elmol.bilm import BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining
from slubook.cli.main import app
from slubook.own import inputs, methods

TINY = {
    "MAXENT": MaxEntConfig(inverse_l2=(4.0,), l1_l2=((0.05, 0.02),), max_iterations=30),
    "DNN": DNNConfig(
        NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=8), TrainingConfig(updates=12, evaluations=1)
    ),
    "TRANSFER": Recipe(
        NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=8, layers=3, ngram_order=1),
        TrainingConfig(updates=12, evaluations=1),
    ),
}
READER = BiLMTraining(
    BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8), epochs=1, candidates=20
)
STAGE_ONE = PretrainingConfig(replace(TINY["TRANSFER"].network, ngram_order=0), updates=3, batch=4)


def run(*arguments):
    return CliRunner().invoke(app, ["skill", *map(str, arguments)])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    for name, config in TINY.items():
        monkeypatch.setattr(methods, name, config)
    monkeypatch.setattr(inputs, "EMBEDDED_SOURCE", ("skills/coffee_shop",))
    monkeypatch.setattr(inputs, "PRETRAINING", STAGE_ONE)
    monkeypatch.setattr(inputs, "POOL_SOURCES", ("skills/coffee_shop",))
    monkeypatch.setattr(inputs, "ELMOL_PRETRAINING", STAGE_ONE)
    monkeypatch.setattr(inputs, "SMALL", READER)
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path, cache, toy_skill):
    """The toy skill twice over, as the domains *home* and *office* of one file."""
    path = tmp_path / "lists.jsonl"
    seen = {u.text: u for u in toy_skill}.values()
    rows = [
        {"text": u.text, "intent": u.intent, "domain": d, "slots": [s._asdict() for s in u.slots]}
        for d in ("home", "office")
        for u in seen
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_compare_then_predict(corpus, cache):
    done = run("compare", corpus, "--folds", 2, "--vectors", "none", "--as-one", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert set(report["errors"]["irer"]) == {"maxent_crf", "dnn"}
    assert {"point", "low", "high"} <= set(report["reductions"]["irer"]["dnn"])
    assert report["reason"].startswith("Use ")
    assert set(report["kept"]["lists"]) == {"maxent_crf", "dnn"}
    said = run("predict", corpus, "please add soap to my basket", "--as-one", "--json", "--model", "maxent_crf")
    assert said.exit_code == 0, said.output
    assert said.stderr == ""  # nothing had to be trained
    answered = json.loads(said.stdout)
    assert (answered["intent"], answered["skill"], answered["model"]) == ("AddIntent", "lists", "maxent_crf")
    assert {"type": "item", "value": "soap", "start": 11, "end": 15} in answered["slots"]
    assert 0 < answered["confidence"] <= 1
    by_default = json.loads(run("predict", corpus, "read it", "--as-one", "--json").stdout)
    assert by_default["model"] == report["recommended"]


def test_compare_prints_a_table_and_a_recommendation(corpus):
    done = run("compare", corpus, "--folds", 2, "--vectors", "none")
    assert done.exit_code == 0, done.output
    for part in ("home (", "office (", "IRER, any mistake", "reduction", "training, s", "Use "):
        assert part in done.stdout


def test_a_small_skill_is_cut_into_fewer_folds_and_what_is_left_out_is_said(tmp_path, cache):
    samples = {"Brew": ["make tea", "brew a pot", "tea now", "put it on"], "Wait": ["not yet", "hold on", "later"]}
    intents = [{"name": n, "samples": s} for n, s in samples.items()] + [{"name": "AMAZON.StopIntent", "samples": []}]
    path = tmp_path / "en-US.json"
    path.write_text(json.dumps({"interactionModel": {"languageModel": {"invocationName": "urn", "intents": intents}}}))
    done = run("compare", path, "--vectors", "none")
    assert done.exit_code == 0, done.output
    assert "urn: left out, no samples: AMAZON.StopIntent" in done.stderr
    assert "3 folds instead of 5" in done.stderr
    assert "6 models are trained" in done.stderr
    assert "7 utterances are too few for an interval" in " ".join(done.stdout.split())
    assert "DNN stands on nothing" in done.stdout


def test_transfer_is_compared_on_request_and_kept_like_the_others(corpus, cache):
    done = run("compare", corpus, "--folds", 2, "--vectors", "none", "--as-one", "--transfer", "--json")
    assert done.exit_code == 0, done.output
    assert "6 models are trained and judged, then 3 a skill to keep" in done.stderr
    assert "pretrained network embedded: " in done.stderr
    report = json.loads(done.stdout)
    assert list(report["errors"]["irer"]) == list(report["kept"]["lists"]) == ["maxent_crf", "dnn", "transfer"]
    assert "requests of 1 domains" in report["beneath"]["transfer"]
    said = run("predict", corpus, "no more rice", "--as-one", "--model", "transfer")
    assert said.exit_code == 0, said.output
    assert said.stderr == "" and ", Transfer)" in said.stdout  # nothing had to be trained
    on_first_use = run("predict", corpus, "no more rice", "--skill", "home", "--model", "transfer")
    assert "home: no transfer is kept yet; training it" in on_first_use.stderr
    assert "pretraining" not in on_first_use.stderr  # the network is kept, too


def test_elmol_is_compared_on_request_and_answers_as_it_was_kept(corpus, cache):
    done = run("compare", corpus, "--folds", 2, "--vectors", "none", "--as-one", "--elmol", "auto", "--json")
    assert done.exit_code == 0, done.output
    assert "language model embedded: training ELMoL on " in done.stderr
    assert "pretrained network embedded-elmol-" in done.stderr
    report = json.loads(done.stdout)
    assert list(report["errors"]["irer"]) == list(report["kept"]["lists"]) == ["maxent_crf", "dnn", "elmol"]
    assert report["beneath"]["elmol"].startswith("a language model of the requests that come with this book; and on ")
    said = run("predict", corpus, "no more rice", "--as-one", "--model", "elmol")
    assert said.exit_code == 0, said.output
    assert said.stderr == "" and ", ELMoL)" in said.stdout  # nothing had to be trained
    on_first_use = run("predict", corpus, "no more rice", "--skill", "home", "--model", "elmol", "--elmol", "auto")
    assert on_first_use.stderr == "home: no elmol is kept yet; training it\n"


def test_predict_trains_on_first_use_and_says_so(corpus):
    said = run("predict", corpus, "no more rice", "--skill", "home")
    assert said.exit_code == 0, said.output
    assert "home: no maxent_crf is kept yet; training it" in said.stderr
    assert "RemoveIntent" in said.stdout
    assert "item: rice" in said.stdout
    assert run("predict", corpus, "no more rice", "--skill", "home").stderr == ""


def refused(*arguments) -> str:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.stderr


@pytest.mark.parametrize("command", [("compare",), ("predict", "hello")])
class TestRefusing:
    def test_bad_files(self, tmp_path, cache, command):
        def given(name: str, content: str) -> str:
            path = tmp_path / name
            path.write_text(content)
            return refused(command[0], path, *command[1:])

        slotless = {"name": "Add", "samples": ["add {item}", "more {item}"]}
        model = {"interactionModel": {"languageModel": {"invocationName": "x", "intents": [slotless]}}}
        assert "half.json, line 1, column" in given("half.json", '{"interactionModel": ')
        assert "uses slot 'item', which is not declared" in given("undeclared.json", json.dumps(model))
        assert "holds no utterance" in given("empty.jsonl", "")
        overlap = [{"type": "a", "start": 0, "end": 5}, {"type": "b", "start": 3, "end": 8}]
        assert "overlaps" in given("overlap.jsonl", json.dumps({"text": "good day", "intent": "A", "slots": overlap}))
        one = "".join(json.dumps({"text": f"hello number {w}", "intent": "Hi"}) + "\n" for w in "abcdefghijkl")
        assert "nothing to learn" in given("one.jsonl", one)
        assert "rename the file" in given("lists.txt", "hello")
        assert not cache.exists()

    def test_no_file(self, tmp_path, cache, command):
        assert "cannot be read" in refused(command[0], tmp_path / "none.json", *command[1:])


def test_too_few_utterances_for_the_folds(tmp_path, cache):
    path = tmp_path / "few.jsonl"
    path.write_text("".join(json.dumps({"text": w, "intent": i}) + "\n" for w, i in [("yes", "A"), ("no", "B")]))
    assert "2 different utterances or dialogues, and 5 folds need 10" in refused("compare", path, "--folds", 5)
    assert "2 different utterances or dialogues, and 2 folds need 4" in refused("compare", path)
    assert not cache.exists()


def test_predict_needs_a_skill_and_words(corpus):
    assert "has 2 skills: name one of home, office" in refused("predict", corpus, "hello")
    assert "has no skill 'shed'" in refused("predict", corpus, "hello", "--skill", "shed")
    assert "say something" in refused("predict", corpus, "  ", "--skill", "home")
    assert "choose from" in refused("predict", corpus, "hello", "--skill", "home", "--model", "gpt")


def test_a_language_model_that_is_not_there(corpus, cache, tmp_path):
    told = refused("compare", corpus, "--elmol", tmp_path)  # before any word vectors are made
    assert told.splitlines()[-1].startswith(f"error: ELMoL: {tmp_path} holds no language model: train one with")
    assert "holds no language model" in refused(
        "predict", corpus, "read it", "--skill", "home", "--model", "elmol", "--elmol", tmp_path / "nowhere"
    )


def test_vectors_that_are_not_there(corpus, cache, tmp_path):
    assert "--vectors none" in refused("compare", corpus, "--vectors", tmp_path / "nowhere")
    assert not cache.exists()
