"""``slubook run bootstrapping`` on a user's own text."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from slubook.ch5_bootstrapping import arpa, own_text
from slubook.ch5_bootstrapping.translator import TranslatorConfig
from slubook.cli.main import app
from slubook.corpora import parallel
from slubook.corpora.parallel import embedded

SMALL = TranslatorConfig(pieces=200, width=32, batch=16, updates=30)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A user's three files, no public corpus on this machine, and a translator that is trained in a second."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(own_text, "QUICK", SMALL)
    monkeypatch.setattr(parallel, "GENERAL", ())
    pairs = embedded("restaurant")
    texts = {
        "hindi.txt": [p.hindi for p in pairs[:40]],
        "english.txt": [p.english for p in pairs[40:80]],
        "pairs.tsv": ["\t".join(p) for p in pairs[80:]],
    }
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def run(folder, *more, **names):
    given = {"--in-domain": "hindi.txt", "--english": "english.txt", "--parallel": "pairs.tsv", **names}
    arguments = [part for option, name in given.items() if name for part in (option, str(folder / name))]
    return CliRunner().invoke(app, ["run", "bootstrapping", *arguments, "--out", str(folder), *more])


def test_it_writes_a_model_and_says_what_it_is_worth(files):
    done = run(files, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["in_domain"], said["held_out"], said["translated"], said["pairs"]) == (36, 4, 40, 240)
    assert 0 <= said["weight"] <= 1
    assert said["after"]["oov"] <= said["before"]["oov"]
    model = arpa.read(files / "bootstrapped.arpa")
    held_out = [parallel.spoken(line) for line in (files / "hindi.txt").read_text("utf-8").splitlines()[::10]]
    assert model.perplexity(held_out).value == pytest.approx(said["after"]["value"], rel=1e-4)
    again = run(files)
    assert again.exit_code == 0 and "with translations" in again.stdout
    assert "training" not in again.stderr, "the translator is kept"
    assert all(len(line) <= 80 for line in again.stdout.splitlines() if str(files) not in line)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("pairs.tsv", b"one\tek\ntwo\n\xff\tx\n", ["line 2: a sentence, one tab", "line 3, column 1: not UTF-8"]),
        ("pairs.tsv", b"", ["holds no pair"]),
        ("hindi.txt", "पानी दो\n".encode() * 3, ["has 3 lines with words: 20 at least"]),
        ("hindi.txt", b"\xff\n", ["line 1, column 1: not UTF-8"]),
        ("english.txt", b"...\n", ["has no line with words"]),
        ("english.txt", None, ["english.txt: cannot be read"]),
    ],
)
def test_bad_files_are_refused_with_place_and_remedy(files, name, content, said):
    (files / name).unlink()
    if content is not None:
        (files / name).write_bytes(content)
    done = run(files)
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert all(part in done.stderr for part in said), done.stderr
    assert not (files / "bootstrapped.arpa").exists()


def test_bad_use_is_refused(files):
    assert run(files, **{"--english": None}).exit_code == 2
    done = CliRunner().invoke(app, ["run", "skills", "--english", str(files / "english.txt")])
    assert done.exit_code == 2 and "bootstrapping" in done.stderr
