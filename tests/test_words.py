"""The words of the code: standard terms of the field, and none that has to be read twice."""

from __future__ import annotations

import re

import pytest

from slubook.profiles import ROOT

PACKAGE = ROOT / "src" / "slubook"
#: What the code does not say → what it says instead. Found in names as well, such as ``_letters``.
WORDS = {
    r"noughts?": "zero",
    r"beneath": "base model, pretrained input",
    r"by rights": "say what should happen, and why it does not",
    r"letters?": "characters",
    r"sittings?": "run",
}
FOUND = re.compile(rf"(?<![a-z])(?:{'|'.join(WORDS)})(?![a-z])", re.IGNORECASE)
#: Keys of tables and figures in published results, which may stand in quotation marks, in docstrings in backticks.
KEYS = ("beneath", "sittings")
#: What stands in published records and in stored outputs of notebooks, by file.
STORED = {
    "ch2_transfer/figures.py": ('0.0, "letters", "a convolution over the letters of each word"',),
    "ch3_elmol/contextual.py": ('{"letters": spelling.table.weight',),
    "ch3_elmol/figures.py": (
        '0.0, "letters", "a vector for any word, from its letters"',
        "chapter 2's word vectors and letters",
        "At the next look the letters may learn as well",
    ),
    "corpora/snips.py": ("every accented letter of the file",),
    "serving/packed.py": ('"reader.letters"',),
}


def quaint(text: str, stored: tuple[str, ...] = ()) -> list[str]:
    """The lines of a module that hold one of :data:`WORDS`, without what may stand there, with their numbers."""
    for allowed in stored:
        text = text.replace(allowed, "")
    text = re.sub(rf"([\"']|``)(?:{'|'.join(KEYS)})\1", "", text)
    return [f"{n}: {line.strip()}" for n, line in enumerate(text.splitlines(), 1) if FOUND.search(line)]


@pytest.mark.parametrize(
    "line",
    [
        "# starts at nought",
        "class Beneath:",
        "BENEATH = 1",
        "self._letters = 2",
        "a letter",
        "of this sitting",
        "By rights",
    ],
)
def test_words_are_found(line):
    assert quaint(line)


@pytest.mark.parametrize(
    "line", ["newsletters", 'tables["sittings"]', "figures['beneath']", "a ``beneath``", "visiting", "zero characters"]
)
def test_other_words_are_not(line):
    assert not quaint(line)


@pytest.mark.parametrize("name", STORED)
def test_what_is_excepted_stands_there(name):
    text = (PACKAGE / name).read_text("utf-8")
    assert all(allowed in text for allowed in STORED[name])


@pytest.mark.parametrize("module", sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py")))
def test_modules_use_plain_words(module):
    found = quaint((PACKAGE / module).read_text("utf-8"), STORED.get(module, ()))
    assert not found
