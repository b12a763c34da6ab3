"""``slubook data``: what it prints, and the codes it exits with."""

import hashlib
import json

import pytest
from typer.testing import CliRunner

from slubook.cli.main import app
from slubook.corpora import catalogue, download
from slubook.corpora.sources import PinnedFile, Source


def run(*arguments):
    return CliRunner().invoke(app, ["data", *arguments])


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with one file of the source *snips*, and the source pinned to that file."""
    content = b"hello\n"
    pinned = PinnedFile("a.txt", len(content), hashlib.sha256(content).hexdigest())
    toy = Source("snips", "", "", "", "https://example.org/", (pinned,))
    monkeypatch.setattr(download, "source", lambda name: toy)
    monkeypatch.setattr(catalogue, "sources", lambda: {"snips": toy})
    monkeypatch.setenv("SLUBOOK_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mirror" / "snips").mkdir(parents=True)
    (tmp_path / "mirror" / "snips" / "a.txt").write_bytes(content)
    return tmp_path / "mirror" / "snips"


def test_list_names_everything_without_network(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_MIRROR", str(tmp_path))
    done = run("list", "--json")
    assert done.exit_code == 0
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert {"skills", "assistant-en", "assistant-hi", "snips", "polyai"} <= set(entries)
    assert entries["polyai"]["corpora"] == ["banking77", "nlupp", "restaurant8k"]
    assert entries["skills"]["here"] and not entries["snips"]["here"]
    assert entries["sgd"]["licence"] == "CC-BY-SA-4.0"


def test_list_prints_a_table(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_MIRROR", str(tmp_path))
    done = run("list")
    assert done.exit_code == 0
    assert "hinglish_top" in done.stdout


def test_fetch_and_verify(mirror):
    for command in ("fetch", "verify"):
        done = run(command, "snips", "--json")
        assert done.exit_code == 0
        assert json.loads(done.stdout) == [{"source": "snips", "folder": str(mirror), "problems": []}]


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_a_damaged_file_exits_with_1(mirror, command):
    (mirror / "a.txt").write_text("jello\n")
    done = run(command, "snips")
    assert done.exit_code == 1
    assert "problems: 1" in done.stdout
    assert "error: " in done.stderr and "a.txt: has SHA-256" in done.stderr
    assert "Traceback" not in done.output


def test_verify_without_names_passes_over_what_is_not_here(mirror):
    (mirror / "a.txt").unlink()
    mirror.rmdir()
    done = run("verify")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing to verify: `slubook data fetch`\n")
    assert json.loads(run("verify", "--json").stdout) == []
    assert run("verify", "snips").exit_code == 1


def test_embedded_corpora_need_no_fetching(mirror):
    done = run("fetch", "skills", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_unknown_names_exit_with_2_and_are_listed_at_once(command):
    done = run(command, "sinps", "zzz")
    assert done.exit_code == 2
    assert "error: 'sinps' is no corpus and no source: did you mean 'snips'?" in done.stderr
    assert "'zzz' is no corpus" in done.stderr
    assert "Traceback" not in done.output


def test_bad_use_exits_with_2():
    assert run("fetch", "--nonsense").exit_code == 2
    assert run("bogus").exit_code == 2
