"""``slubook run selftraining --corpus … --pool … --target …``: what it finds in a log, says and refuses."""

from __future__ import annotations

import json
from functools import partial

import pytest
from typer.testing import CliRunner

from slubook import profiles
from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch4_selftraining import review as module
from slubook.ch4_selftraining.paraphrase import DetectorConfig, train_detector
from slubook.ch4_selftraining.recogniser import ARGMAX
from slubook.ch4_selftraining.review import ENOUGH, LEAST, review
from slubook.ch4_selftraining.teachers import TeacherConfig
from slubook.cli.main import app
from slubook.corpora.registry import load
from slubook.corpora.utterance import slot_problems
from slubook.profiles import stable_hash

TARGET = "PlayMusicIntent"


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Settings that train in seconds, and a checkout of its own."""
    network = DNNConfig(
        NetworkConfig(dim=30, layers=1, project=30, hidden=20), TrainingConfig(updates=60, evaluations=1)
    )
    monkeypatch.setattr(module, "TEACHER", TeacherConfig(network))
    monkeypatch.setattr(module, "FASTTEXT", FastTextConfig(dim=30, epochs=1, buckets=500))
    monkeypatch.setattr(module, "train_detector", partial(train_detector, config=DetectorConfig(pairs=400, passes=1)))
    monkeypatch.setattr(profiles, "ROOT", tmp_path)


@pytest.fixture(scope="module")
def music():
    """Requests of a skill of the book's, those of the target first; each sentence template in many places of them."""
    return sorted(load("skills/music_player"), key=lambda u: (u.intent != TARGET, stable_hash(u.text)))


def written(path, utterances, split="train"):
    rows = [
        {"id": u.id, "text": u.text, "intent": u.intent, "slots": [s._asdict() for s in u.slots], "domain": "mine",
         "split": split}
        for u in utterances
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def corpus(tmp_path, music):
    """Forty utterances of the target and sixty of other intents."""
    return written(tmp_path / "mine.jsonl", [*music[:40], *music[-60:]])


@pytest.fixture
def log(tmp_path, music):
    """Ninety other requests for music among those of three other skills, with an empty line and two that repeat."""
    other = [u.text for name in ("pizza_delivery", "taxi_booking", "thermostat") for u in load(f"skills/{name}")]
    texts = [u.text for u in music[60:150]] + other
    path = tmp_path / "log.txt"
    path.write_text("\n".join([texts[0], "", music[3].text, *sorted(texts), "!!!"]))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["run", "selftraining", *map(str, arguments)])


def test_it_writes_a_corpus_to_review(corpus, log, tmp_path, music):
    done = run("--corpus", corpus, "--pool", log, "--target", TARGET)
    assert done.exit_code == 0, done.output
    file = tmp_path / "work" / f"selftraining-mine-{TARGET}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert f"{len(rows)} requests to review are in {file}" in done.stdout
    lines, annotated = log.read_text().splitlines(), {u.text for u in music[:40]}
    for row in rows:
        assert lines[int(row["id"].removeprefix("log/")) - 1] == row["text"]
        assert row["text"] not in annotated and row["nearest"] in annotated
        assert ARGMAX < row["confidence"] <= 1 and row["intent"] == TARGET
    assert len({row["text"] for row in rows}) == len(rows)
    right = {u.text for u in music[60:150]}
    assert sum(row["text"] in right for row in rows) > 0.9 * len(rows) > 30
    read = load(file)
    assert [u.text for u in read] == [row["text"] for row in rows]
    assert {(u.domain, u.split) for u in read} == {("mine", "train")}
    assert not any(slot_problems(u.text, u.slots) for u in read) and any(u.slots for u in read)
    assert "above p = " in done.stdout and "threshold is 0.5, or higher" in " ".join(done.stdout.split())

    before = file.read_bytes()
    again = run("--corpus", corpus, "--pool", log, "--target", TARGET)
    assert again.exit_code == 2 and "move it away" in again.stderr and file.read_bytes() == before


def test_it_says_when_the_log_hardly_holds_the_intent(corpus, tmp_path):
    log = tmp_path / "pizza.jsonl"
    log.write_text("".join(json.dumps({"text": u.text, "heard": 1}) + "\n" for u in load("skills/pizza_delivery")))
    done = run("--corpus", corpus, "--pool", log, "--target", TARGET, "--json", "--out", tmp_path / "out")
    told = json.loads(done.stdout)
    assert any("hardly holds the intent" in reason for reason in told["warnings"])
    assert any("fewer than are annotated" in reason for reason in told["warnings"])
    assert (done.exit_code == 0) == bool(told["lines"]) == (tmp_path / "out").exists()


def test_nothing_found_is_no_file(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ARGMAX", 1.0)
    log = tmp_path / "log.txt"
    log.write_text("is the pizza on its way\n")
    done = run("--corpus", corpus, "--pool", log, "--target", TARGET)
    assert done.exit_code == 1 and "would probably not help" in done.stdout
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("better, told", [(("linear", "networks"), False), (("networks", "linear"), True)])
def test_it_says_when_the_teacher_is_no_better(corpus, log, monkeypatch, better, told):
    monkeypatch.setattr(module._Models, "cross_validate", lambda *_: {better[0]: 3, better[1]: 2})
    found = review(corpus, log, TARGET, most=5)
    assert any("no better than the linear model" in reason for reason in found.warnings) == told
    assert found.notes[1].startswith("A linear model" if told else "Networks and a linear model")
    assert len(found.lines) == 5


def test_it_says_when_much_is_annotated(tmp_path, log, music):
    texts = [u for name in ("train_times", "quiz_game") for u in load(f"skills/{name}")]
    corpus = written(tmp_path / "large.jsonl", [u for u in texts[: ENOUGH + 20]])
    rows = [json.loads(line) | {"intent": "One"} for line in corpus.read_text().splitlines()]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = review(corpus, log, "One", most=5)
    assert any("little is left to gain" in reason for reason in found.warnings)


def test_it_says_when_the_log_is_in_another_language(corpus, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("\n".join(u.text for u in load("assistant-hi")))
    assert any("in its language" in reason for reason in review(corpus, log, TARGET, most=5).warnings)


def test_an_embedded_intent_that_is_the_target_itself_is_no_negative(corpus, music):
    annotated, own = module._annotated(corpus, TARGET)
    background = module._background(annotated, own)
    assert not any((u.domain, u.intent) == ("music_player", TARGET) for u in background)
    assert len(background) > 3000
    assert background == module._background(annotated, own)


def test_its_test_is_left_alone(tmp_path, music):
    corpus = written(tmp_path / "mine.jsonl", music[:30])
    written(tmp_path / "more.jsonl", music[30:50], "test")
    corpus.write_text(corpus.read_text() + (tmp_path / "more.jsonl").read_text())
    assert {u.text for u in module._annotated(corpus, TARGET)[0]} == {u.text for u in music[:30]}


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("log.txt", "", "holds no text: write one request a line"),
        ("log.txt", b"play jazz\n\xff\xfe\n", "log.txt, line 2, column 1: not UTF-8: save the file in UTF-8"),
        ("log.txt", b"play\0jazz\n", "line 1, column 1: holds a zero byte, so it is no text file"),
        ("log.txt", '{"text": "play jazz"}\n', "every line looks like JSON: call the file log.jsonl"),
        ("log.jsonl", '{"text": "play jazz"}\n["x"]\n', "line 2, column 1: the line is a list: write an object"),
        ("log.jsonl", '{"text": "play jazz"}\n{"text": 4}\n', "line 2, column 2: 'text' is 4: write a string"),
        ("log.jsonl", '{"said": "play jazz"}\n', "line 1, column 1: 'text' is missing: add it"),
        ("log.jsonl", "play jazz\n", "line 1, column 1: not JSON"),
    ],
)
def test_bad_logs_are_named_with_place_and_remedy(corpus, tmp_path, name, content, told):
    log = tmp_path / name
    log.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("--corpus", corpus, "--pool", log, "--target", TARGET)
    assert done.exit_code == 2 and told in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "work").exists()


def test_a_log_of_what_is_annotated_is_refused(corpus, tmp_path, music):
    log = tmp_path / "log.txt"
    log.write_text(f"{music[0].text.upper()}!\n...\n")
    done = run("--corpus", corpus, "--pool", log, "--target", TARGET)
    assert done.exit_code == 2 and "no request that is not annotated already" in done.stderr


def test_unknown_and_small_intents_are_refused(corpus, log, tmp_path, music):
    done = run("--corpus", corpus, "--pool", log, "--target", "PlayMusic")
    assert done.exit_code == 2 and f"did you mean {TARGET!r}? its intents are " in done.stderr
    written(corpus, [*music[: LEAST - 1], *music[-5:]])
    done = run("--corpus", corpus, "--pool", log, "--target", TARGET)
    assert done.exit_code == 2 and f"has {LEAST - 1} different utterances or dialogues" in done.stderr


@pytest.mark.parametrize("left_out", ["--corpus", "--pool", "--target"])
def test_all_three_are_needed(corpus, log, left_out):
    given = {"--corpus": corpus, "--pool": log, "--target": TARGET}
    done = run(*(word for pair in given.items() if pair[0] != left_out for word in pair))
    assert done.exit_code == 2 and "give all three" in " ".join(done.stderr.split())


def test_other_experiments_search_no_log(corpus, log):
    done = CliRunner().invoke(app, ["run", "skills", "--corpus", str(corpus), "--pool", str(log), "--target", TARGET])
    assert done.exit_code == 2 and "give all three" in " ".join(done.stderr.replace("│", " ").split())
