"""The English side of MTOP (Li et al., 2021, EACL): requests in eleven domains, of which TOPv2 has some as well.

Traps:
    * Parses nest. What is read is the flat column beside them: the outermost intent and the outermost slots, so that
      *TODO* or *CONTENT_EXACT* may span a whole phrase.
    * Places of slots are counted in characters. Elsewhere tools of the same publisher count bytes; where a text is not
      ASCII and counting characters would cut a word, they are taken for bytes.
    * It is of the same family as Hinglish-TOP's English side: labels and phrases of *alarm*, *event*, *messaging*,
      *music*, *reminder*, *timer* and *weather* are shared, so that training on one tells a model about the other.
    * The checksums pinned are second-hand.
"""

from __future__ import annotations

from pathlib import Path

from slubook.corpora.errors import CorpusError, place
from slubook.corpora.utterance import Slot, Utterance

LOCALE = "en"
_SPLITS = {"train": "train", "dev": "eval", "test": "test"}
_COLUMNS = 8  # an id that other locales share, intent, slots, text, domain, locale, parse, tokens


def read(root: Path, locale: str = LOCALE) -> list[Utterance]:
    """Reads all utterances of one locale, without the ``IN:`` and ``SL:`` of their labels.

    Raises:
        CorpusError: listing every line that has another layout, or a slot outside of its text.
    """
    utterances, problems = [], []
    for split, name in _SPLITS.items():
        path = root / "mtop" / locale / f"{name}.txt"
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = line.rstrip("\r\n").split("\t")
                    utterances.append(_utterance(f"mtop/{locale}/{split}/{number}", row, split))
                except ValueError as error:
                    problems.append(f"{place(path, number)}: {error}: is it the second data format?")
    if problems:
        raise CorpusError(problems)
    return utterances


def _utterance(id: str, row: list[str], split: str) -> Utterance:
    if len(row) != _COLUMNS:
        raise ValueError(f"{len(row)} columns instead of {_COLUMNS}")
    _, intent, column, text, domain = row[:5]
    slots = sorted((_slot(text, entry) for entry in column.split(",") if entry), key=lambda s: s.start)
    if outside := [s for s in slots if not 0 <= s.start < s.end <= len(text)]:
        raise ValueError(f"slot {outside[0].type!r} at {outside[0].start}–{outside[0].end} is not inside the text")
    return Utterance(id, text, intent.removeprefix("IN:"), tuple(slots), domain, split)


def _slot(text: str, entry: str) -> Slot:
    """Parses a slot: ``"5:8:SL:CONTACT"`` → ``Slot("CONTACT", 5, 8)``."""
    start, end, kind = entry.split(":", 2)
    start, end = int(start), int(end)
    if not text.isascii() and not _whole_words(text, start, end):
        encoded = text.encode()
        as_bytes = [len(encoded[:n].decode(errors="ignore")) for n in (start, end)]
        if _whole_words(text, *as_bytes):
            start, end = as_bytes
    return Slot(kind.removeprefix("SL:"), start, end)


def _whole_words(text: str, start: int, end: int) -> bool:
    """Tells whether a span is inside the text, cuts no word, and neither begins nor ends with a space."""
    if not 0 <= start < end <= len(text) or text[start:end] != text[start:end].strip():
        return False
    return not any(text[k - 1 : k].isalnum() and text[k : k + 1].isalnum() for k in (start, end))
