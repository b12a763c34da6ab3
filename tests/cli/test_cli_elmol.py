"""``slubook elmol train``: what it writes and tells, that it goes on, and what it refuses."""

import errno
import json
from functools import partial

import pytest
from typer.testing import CliRunner

from slubook import profiles
from slubook.ch1_skills.masked_lm import OutputWords
from slubook.ch3_elmol.bilm import BiLMConfig, LanguageModel
from slubook.ch3_elmol.bilm_training import BiLMTraining, train_bilm
from slubook.cli.main import app
from slubook.own import elmol as own_elmol
from slubook.profiles import RESULTS

READER = BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8)
SAID = [
    f"{verb} {what} {place}"
    for verb in ("play", "stop", "find", "love")
    for what in ("jazz", "a song", "my album", "it")
    for place in ("here", "in the kitchen", "at home", "for us", "now", "on every floor")
]


@pytest.fixture
def text(tmp_path, monkeypatch):
    """Ninety-six requests, one of them twice, and a language model that reads them in no time."""
    monkeypatch.setattr(own_elmol, "BiLMTraining", partial(BiLMTraining, READER, batch=16, candidates=20))
    monkeypatch.setattr(own_elmol, "EPOCHS", 1)
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff" + "\n".join([*SAID, "", "Play jazz HERE!"]) + "\n", encoding="utf-8")
    return path


def train(*arguments):
    return CliRunner().invoke(app, ["elmol", "train", *map(str, arguments)])


def refused(*arguments) -> str:
    done = train(*arguments)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return " ".join(done.stderr.replace("│", " ").split())


def test_it_trains_once_and_tells_how_well_it_guesses(text, tmp_path):
    out = tmp_path / "deep" / "elmol"
    done = train(text, "--out", out, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "language model elmol: training ELMoL on " in done.stderr
    assert "perplexity on " in done.stdout and "requests held out: " in done.stdout and str(out) in done.stdout
    model = LanguageModel.load(out)
    assert [p.name for p in out.parent.iterdir()] == ["elmol"]
    again = json.loads(train(text, "--out", out, "--json").stdout)
    assert again["sentences"] == model.reader.about["sentences"] == len(SAID) - 9 and again["left_out"] == 0
    assert 0 < again["held_out"] < 10 and again["perplexity"]["forward"] > 1
    assert LanguageModel.load(out).reader.about == model.reader.about, "trained once"


def test_what_will_be_compared_can_be_left_out(text, tmp_path):
    skill = tmp_path / "skill.jsonl"
    skill.write_text("".join(json.dumps({"text": said, "intent": "A"}) + "\n" for said in SAID[:6]))
    done = train(text, "--out", tmp_path / "elmol", "--without", skill)
    assert done.exit_code == 0, done.output
    assert "left out, as they nearly repeat what it must not know: 6" in done.stdout
    whole = train(skill, "--out", tmp_path / "other", "--epochs", 2)  # an annotated corpus has texts, too
    assert whole.exit_code == 0 and "too small to hold requests out" in whole.stdout


def test_a_training_that_was_stopped_goes_on(text, tmp_path, monkeypatch):
    step, done = OutputWords.loss, []

    def interrupted(*given):
        done.append(1)
        if len(done) == 5:
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(OutputWords, "loss", interrupted)
    monkeypatch.setattr("slubook.ch3_elmol.bilm_training.train_bilm", partial(train_bilm, every=2))
    assert train(text, "--out", tmp_path / "elmol").exit_code != 0
    [half] = tmp_path.glob("elmol-*.safetensors")
    assert train(text, "--out", tmp_path / "elmol").exit_code == 0
    assert len(done) == 5 + 6 - 4 and not half.exists()


def test_what_stands_in_the_way_is_left_alone(text, tmp_path):
    kept = tmp_path / "letters"
    kept.mkdir()
    (kept / "letter").write_text("dear")
    assert "letters: is there already, and is not the language model of this text" in refused(text, "--out", kept)
    assert "is there already" in refused(text, "--out", kept / "letter")
    assert (kept / "letter").read_text() == "dear"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert train(text, "--out", empty).exit_code == 0
    text.write_text(text.read_text() + "another request\n")
    before = (empty / "output.safetensors").read_bytes()
    assert "name another folder, or remove it" in refused(text, "--out", empty)
    assert (empty / "output.safetensors").read_bytes() == before


def test_a_file_beside_the_model_is_never_lost(text, tmp_path):
    out = tmp_path / "elmol"
    assert train(text, "--out", out).exit_code == 0
    (out / "notes.txt").write_text("mine")
    assert "of this text and these settings and nothing else" in refused(text, "--out", out)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_file_that_comes_while_it_trains_is_not_lost(text, tmp_path, monkeypatch):
    out = tmp_path / "elmol"

    def meanwhile(*given, **more):
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        return train_bilm(*given, **more)

    monkeypatch.setattr("slubook.ch3_elmol.bilm_training.train_bilm", meanwhile)
    assert "of this text and these settings and nothing else" in refused(text, "--out", out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_written_is_found_before_the_training(text, tmp_path, monkeypatch):
    monkeypatch.setattr("slubook.ch3_elmol.bilm_training.train_bilm", lambda *_, **__: pytest.fail("it was trained"))
    told = refused(text, "--out", text / "elmol")
    assert "elmol: cannot be written (Not a directory): name another folder with --out" in told and text.is_file()


def test_half_of_another_training_is_removed(text, tmp_path):
    other, foreign = (tmp_path / f"elmol-{name}.safetensors" for name in ("0123456789abcdef", "0123456789abcdef-mine"))
    for path in (other, foreign):
        path.write_text("half")
    small = tmp_path / "small.txt"
    small.write_text("every word once\n")
    assert "too little text" in refused(small, "--out", tmp_path / "elmol") and other.exists()
    assert train(text, "--out", tmp_path / "elmol").exit_code == 0
    assert not other.exists() and foreign.exists()


def test_a_refused_text_leaves_nothing_behind(tmp_path):
    small, beside = tmp_path / "small.txt", tmp_path / "elmol.check"
    small.write_text("every word once\n")
    beside.write_text("mine")
    refused(small, "--out", tmp_path / "deep" / "elmol")
    refused(small, "--out", tmp_path / "elmol")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elmol.check", "small.txt"] and beside.read_text() == "mine"


def test_a_training_is_not_lost_when_its_model_cannot_be_saved(text, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slubook.ch3_elmol.bilm_training.train_bilm", partial(train_bilm, every=2))
    monkeypatch.setattr(LanguageModel, "save", full)
    assert "cannot be written (No space left on device)" in refused(text, "--out", tmp_path / "elmol")
    [half] = tmp_path.glob("elmol-*.safetensors")
    monkeypatch.undo()
    assert half.stat().st_size > 0


def test_passes_are_as_many_as_in_chapter_three():
    made = json.loads((RESULTS / "elmol.json").read_text())["tables"]["embeddings"]["elmol"]
    assert made["epochs"] == own_elmol.EPOCHS == 15, "the help says so, too"


def test_text_that_cannot_be_read(tmp_path, text):
    out = ("--out", tmp_path / "elmol")
    assert "nowhere.txt: cannot be read" in refused(tmp_path / "nowhere.txt", *out)
    assert "cannot be read" in refused(tmp_path, *out)
    text.write_bytes("naïve\ncafé\n".encode("latin-1"))
    told = refused(text, *out)
    assert "mine.txt, line 1, column 3: not UTF-8" in told and "line 2, column 4" in told
    text.write_text("\n \n")
    assert "holds no text: write one request a line" in refused(text, *out)
    text.write_text("every word here\n")
    assert "no language model can be trained (too little text: of 1 requests, no word occurs 2 times)" in refused(
        text, *out
    )
    assert not (tmp_path / "elmol").exists()


def test_a_device_that_is_not_there(text, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, says in (("cuda", "torch sees no GPU: use --device cpu"), ("tpu", "use auto, cpu or cuda")):
        assert says in refused(text, "--out", tmp_path / "elmol", "--device", device)
    assert profiles.device("auto") == "cpu" and not (tmp_path / "elmol").exists()
