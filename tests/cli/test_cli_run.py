"""``slubook run`` from the shell: where it writes, when it stops, what it refuses."""

from __future__ import annotations

import errno
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from slubook import profiles
from slubook.ch1_skills import protocol as skills
from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.masked_lm import MaskedLMConfig
from slubook.ch1_skills.offtheshelf import SpacyConfig
from slubook.ch1_skills.protocol import SkillsSettings
from slubook.ch1_skills.training import TrainingConfig
from slubook.cli.main import app
from slubook.corpora.errors import CorpusError
from slubook.experiments.options import Options
from slubook.experiments.records import Results
from slubook.experiments.table import EXPERIMENTS
from slubook.files import KeptError

SMALL = SkillsSettings(
    dnn=DNNConfig(training=TrainingConfig(updates=20, evaluations=2)),
    spacy=SpacyConfig(epochs=1),
    masked_lm=MaskedLMConfig(dim=300, inner=16, heads=2, candidates=10, epochs=1),
)


def run(*arguments):
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


@pytest.fixture
def corpus(tmp_path, toy_skill, monkeypatch):
    """A corpus of one domain, a protocol made small, and a checkout and a cache of its own."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    monkeypatch.setattr(skills, "QUICK_SOURCES", ())
    monkeypatch.setattr(skills, "SkillsSettings", lambda **changes: replace(SMALL, **changes))
    path = tmp_path / "mine.jsonl"
    said = [(u, ending) for u in toy_skill for ending in ("", " now", " for the weekend")]
    rows = [
        {"id": str(k), "text": u.text + ending, "intent": u.intent, "slots": [s._asdict() for s in u.slots]}
        for k, (u, ending) in enumerate(said)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_run_stops_in_time_goes_on_and_refuses_other_data(corpus, tmp_path):
    common = ("skills", "--corpus", corpus, "--jobs", 1, "--seeds", 1)
    stopped = run(*common, "--minutes", 0)
    assert stopped.exit_code == 1 and "0 of 1 cells" in stopped.stderr
    assert "tables and networks to train before: 2; expected minutes: " in stopped.stderr, "of the published run"
    done = run(*common, "--json")
    assert done.exit_code == 0, done.stderr
    assert "1 of 1 cells" in done.stderr and "baseline" not in done.stdout
    assert {"maxent_crf", "dnn_pool", "spacy"} <= {line["method"] for line in json.loads(done.stdout)}
    written = tmp_path / "work" / "skills-mine.json"
    assert [path.name for path in written.parent.iterdir()] == ["skills-mine.json"], "not the quick profile's"
    assert len(Results.load(written).rows) == len(json.loads(done.stdout))

    elsewhere = run(*common, "--out", tmp_path / "other")
    assert elsewhere.exit_code == 0 and "MaxEnt-CRF" in elsewhere.stdout
    assert elsewhere.stdout.startswith("corpus profile, trained: dnn 20 updates of 16; ")
    assert "masked lm 1 epochs of 96" in " ".join(elsewhere.stdout.splitlines()[:2])
    assert (tmp_path / "other" / "skills-mine.json").is_file()

    brief = run(*common, "--quick", "--minutes", 0, "--out", tmp_path / "brief")
    assert "expected minutes" not in brief.stderr and "masked lm 2 epochs" in brief.stdout

    corpus.write_text("".join(corpus.read_text().splitlines(keepends=True)[9:]))
    before = written.read_bytes()
    refused = run(*common)
    assert refused.exit_code == 2 and written.read_bytes() == before
    assert "other data" in refused.stderr and "move the file away" in refused.stderr
    assert refused.stderr.rstrip().splitlines()[-1].startswith("error: ")


def test_a_damaged_file_is_one_clear_line(tmp_path):
    (tmp_path / "serving.json").write_text("{}")
    done = run("serving", "--out", tmp_path)
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert done.stderr.startswith("error: ") and "serving.json: not a readable results file" in done.stderr
    assert "move it away, or restore it from version control" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serving", "--corpus", "mine.jsonl"), "not --corpus"),
        (("serving", "--minutes", 5), "not --minutes"),
        (("skills", "--profile", "full", "--corpus", "mine.jsonl"), "no full profile"),
        (("skills", "--quick"), "--quick shortens the training on a --corpus"),
        (("skills", "--scheduler", "tcp://there:1"), "--backend dask"),
        (("skills", "--profile", "slow"), "'slow' is not one of 'quick', 'full'"),
        (("skills", "--backend", "threads"), "'threads' is not one of 'loky', 'dask'"),
        (("transfers",), "experiment 'transfers' is unknown: choose from skills"),
        (("elmol", "--device", "tpu"), "device 'tpu' is unknown: use auto, cpu or cuda"),
        (("elmol", "--device", "cuda"), "torch sees no GPU: use --device cpu"),
        (("skills", "--device", "cuda"), "torch sees no GPU: use --device cpu"),
    ],
)
def test_what_cannot_be_honoured_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = run(*arguments, "--out", tmp_path)
    assert done.exit_code == 2 and message in " ".join(done.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda"])
def test_a_gpu_is_refused_where_it_is_not_worth_while(device, tmp_path, monkeypatch):
    asked = []

    def measure(*given):
        asked.append(given)
        raise CorpusError("enough")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("slubook.experiments.runner.run", measure)
    for name, about in EXPERIMENTS.items():
        asked.clear()
        done = run(name, "--device", device, "--out", tmp_path)
        if device == "cuda" and not about.language_model:
            assert not asked, "it trains networks only"
            assert "networks too small for a GPU: use --device cpu" in " ".join(done.stderr.replace("│", " ").split())
        else:
            found = "cpu" if device == "cpu" else "cuda"
            assert asked == [(name, Options(out=tmp_path / f"{name}.json", device=found))] and "enough" in done.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeptError("the language model in /a is damaged: delete the folder"), "error: the language model in /a"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache"), "set SLUBOOK_CACHE to a folder"),
        (OSError(errno.ENOSPC, "No space left on device", "/cache"), "No space left on device"),
    ],
)
def test_what_is_kept_and_cannot_be_used_is_told_in_words(monkeypatch, error, says):
    def fails(*given, **named):
        raise error

    monkeypatch.setattr("slubook.experiments.runner.run", fails)
    asked = run("skills")
    assert asked.exit_code == 2 and says in asked.stderr and isinstance(asked.exception, SystemExit)


def test_any_other_error_of_the_system_is_a_bug_and_shows_where_it_is(monkeypatch):
    def fails(*given, **named):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/gone")

    monkeypatch.setattr("slubook.experiments.runner.run", fails)
    assert isinstance(run("skills").exception, FileNotFoundError)


def test_the_help_names_every_experiment():
    asked = " ".join(run("--help").stdout.replace("│", " ").split())
    assert all(name in asked for name in EXPERIMENTS)
