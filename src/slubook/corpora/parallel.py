"""Sentence pairs, English and Hindi: general ones of public sources, and an embedded set.

The embedded set was written for this book: requests to a voice assistant about restaurants, and general ones. Half of
the requests fill fifteen patterns of ours.

Traps:
    * Most public pairs are encyclopaedia and news: what people ask an assistant is rare in them.
    * Joshua has four English translations of each Hindi sentence, by people who were paid for speed.
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

#: Public sources of general pairs, and the one of turns in dialogues for tests of translators.
GENERAL = ("joshua_hi_en", "tatoeba_manythings", "tatoeba_laser", "tico19", "ntrex")
DIALOGUES = "risawoz_fewshot"
#: Words and numbers of any script with their combining signs, which ``\w`` leaves out, as Hindi's dependent vowels.
_WORD = re.compile(r"(?:\w[\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963'’]*)+")
_INVISIBLE = re.compile("[\u200b-\u200d\ufeff]")


class Pair(NamedTuple):
    """A sentence and its translation."""

    english: str
    hindi: str


def spoken(text: str) -> list[str]:
    """Returns the words of a text as they are said: in lower case, without punctuation, in one Unicode form."""
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).lower()
    return [word for found in _WORD.findall(text) if (word := found.replace("’", "'").strip("'_"))]


def embedded(domain: str) -> list[Pair]:
    """Returns the pairs of this book: of domain ``"restaurant"`` or ``"general"``."""
    lines = resources.files("slubook.corpora").joinpath("hindi.tsv").read_text("utf-8").splitlines()
    return [Pair(english, hindi) for of, english, hindi in (line.split("\t") for line in lines) if of == domain]


def read(root: Path, source: str) -> list[Pair]:
    """Reads the pairs of a source of :data:`GENERAL`, or of :data:`DIALOGUES`, from its folder."""
    pairs = {pair: None for pair in _READERS[source](root) if spoken(pair.english) and spoken(pair.hindi)}
    return list(pairs)


def _aligned(*names: Path) -> Iterator[Pair]:
    english, hindi = (name.read_text("utf-8").rstrip("\n").split("\n") for name in names)
    yield from (Pair(one.strip(), two.strip()) for one, two in zip(english, hindi, strict=True))


def _joshua(root: Path) -> Iterator[Pair]:
    for hindi in sorted((root / "hi-en").glob("*.hi-en.hi")):
        for english in sorted(hindi.parent.glob(f"{hindi.name.removesuffix('hi')}en.[0-3]")):
            yield from _aligned(english, hindi)


def _manythings(root: Path) -> Iterator[Pair]:
    with (root / "hin.txt").open(encoding="utf-8-sig", newline="") as lines:
        yield from (Pair(*row[:2]) for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _tmx(root: Path) -> Iterator[Pair]:
    for unit in ElementTree.parse(root / "data/TM/all.en-hi.tmx").iter("tu"):
        yield Pair(*("".join(segment.itertext()) for segment in unit.iter("seg")))


def _risawoz(root: Path) -> Iterator[Pair]:
    folder = root / "dialogues/risawoz/data/original"
    english, hindi = (json.loads((folder / f"{language}_fewshot.json").read_text("utf-8")) for language in ("en", "hi"))
    for one, two in zip(english, hindi, strict=True):
        for turn, translated in zip(one["dialogue"], two["dialogue"], strict=True):
            yield Pair(turn["user_utterance"][0], translated["user_utterance"][0])


_READERS = {
    "joshua_hi_en": _joshua,
    "tatoeba_manythings": _manythings,
    "tatoeba_laser": lambda root: _aligned(*(root / f"data/tatoeba/v1/tatoeba.hin-eng.{e}" for e in ("eng", "hin"))),
    "tico19": _tmx,
    "ntrex": lambda root: _aligned(*(root / f"NTREX-128/newstest2019-{e}.txt" for e in ("src.eng", "ref.hin"))),
    DIALOGUES: _risawoz,
}
