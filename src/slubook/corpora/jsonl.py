"""Reader of the user's own corpus: one JSON object a line.

``{"id": "7", "text": "wake me at nine", "intent": "SetAlarm", "slots": [{"type": "time", "start": 11, "end": 15}],
"domain": "alarms", "split": "train"}`` — ``text`` and ``intent`` are required, the rest is optional. All bad lines are
reported at once; half a corpus is not read.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from slubook.corpora.errors import CorpusError, place
from slubook.corpora.utterance import Slot, Utterance, slot_problems

_FIELDS = ("id", "text", "intent", "slots", "domain", "split", "group")
_SPLITS = ("train", "dev", "test", "")
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class _Bad(ValueError):
    """A fault of a line, and the field in which it is."""

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(problem)
        self.field = field


def read(path: Path | str) -> list[Utterance]:
    """Reads a file in UTF-8 (with or without byte-order mark, any line ends, empty lines skipped).

    The default id of an utterance is its line, the default domain the name of the file.

    Raises:
        CorpusError: listing every bad line with file, line, column and remedy.
    """
    path = Path(path)
    utterances, problems, lines_of = [], [], {}
    for number, raw in numbered_lines(path):
        try:
            utterance = _utterance(raw, number, path.stem)
            if utterance.id in lines_of:
                first = lines_of[utterance.id]
                raise _Bad(f"id {utterance.id!r} stands on line {first} already: give each utterance its own", "id")
        except json.JSONDecodeError as error:
            problems.append(f"{place(path, number, error.colno)}: not JSON ({error.msg}): write one object a line")
        except UnicodeDecodeError as error:
            problems.append(f"{place(path, number, error.start + 1)}: not UTF-8: save the file in UTF-8")
        except _Bad as error:
            problems.append(f"{place(path, number, _column(raw, error.field))}: {error}")
        else:
            lines_of[utterance.id] = number
            utterances.append(utterance)
    if not utterances and not problems:
        problems = [f"{path}: holds no utterance: write one JSON object a line, with text and intent"]
    if problems:
        raise CorpusError(problems)
    return utterances


def read_log(path: Path | str) -> list[tuple[int, str]]:
    """Reads requests that nobody annotated, with their lines: one a line, or in ``.jsonl`` objects that have a text.

    Raises:
        CorpusError: listing every bad line with file, line, column and remedy.
    """
    path = Path(path)
    found, problems = [], []
    for number, raw in numbered_lines(path):
        try:
            if path.suffix == ".jsonl":
                found.append((number, _string(_object(raw), "text", None)))
            elif b"\0" in raw:
                raise _Bad("holds a zero byte, so it is no text file: export the requests as text, one a line")
            else:
                found.append((number, raw.decode("utf-8").strip()))
        except json.JSONDecodeError as error:
            problems.append(f"{place(path, number, error.colno)}: not JSON ({error.msg}): write one object a line")
        except UnicodeDecodeError as error:
            problems.append(f"{place(path, number, error.start + 1)}: not UTF-8: save the file in UTF-8")
        except _Bad as error:
            problems.append(f"{place(path, number, _column(raw, error.field))}: {error}")
    if not problems and found and all(text.startswith("{") and text.endswith("}") for _, text in found):
        problems = [f"{path}: every line looks like JSON: call the file {path.stem}.jsonl, and its texts are read"]
    if not found and not problems:
        problems = [f"{path}: holds no text: write one request a line"]
    if problems:
        raise CorpusError(problems)
    return found


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not empty, numbered from 1, without byte-order mark and line end."""
    try:
        size, file = path.stat().st_size, path.open("rb")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    with file, tqdm(total=size, desc=path.name, unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar:
        for number, line in enumerate(file, 1):
            bar.update(len(line))
            if number == 1:
                if line.startswith(_UTF16):
                    raise CorpusError(f"{place(path, 1, 1)}: the file is in UTF-16: save it in UTF-8")
                line = line.removeprefix(_BOM)
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def _utterance(raw: bytes, number: int, name: str) -> Utterance:
    entry = _object(raw)
    for field in sorted(entry.keys() - set(_FIELDS)):
        if meant := _meant(field):
            raise _Bad(f"field {field!r} is unknown: did you mean {meant!r}?", field)
    text = _string(entry, "text", None)
    slots = tuple(sorted(_slots(entry), key=lambda s: s.start))
    if problems := slot_problems(text, slots):
        raise _Bad("; ".join(problems), "slots")
    split = _string(entry, "split", "")
    if split not in _SPLITS:
        raise _Bad(f"split {split!r} is unknown: write train, dev or test, or leave it out", "split")
    id, intent = _string(entry, "id", f"{name}/{number}"), _string(entry, "intent", None)
    return Utterance(id, text, intent, slots, _string(entry, "domain", name), split, _string(entry, "group", ""))


def _object(raw: bytes) -> dict:
    entry = json.loads(raw.decode("utf-8"))
    if not isinstance(entry, dict):
        raise _Bad(f'the line is a {type(entry).__name__}: write an object, {{"text": …, "intent": …}}')
    return entry


@lru_cache(maxsize=256)
def _meant(field: str) -> str:
    """Returns the field that an unknown one resembles; ``""`` for a field of the user's own, which is ignored."""
    return next(iter(difflib.get_close_matches(field, _FIELDS, n=1, cutoff=0.75)), "")


def _string(entry: dict, field: str, default: str | None) -> str:
    """Returns a field's string, ``default`` where it is missing; raises an error where there is no default."""
    value = entry.get(field, default)
    if value is None and default is None:
        raise _Bad(f"{field!r} is missing: add it", field)
    if field == "id" and type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise _Bad(f"{field!r} is {json.dumps(value)[:40]}: write a string", field)
    if default != "" and not value.strip():
        raise _Bad(f"{field!r} is empty: fill it in", field)
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise _Bad(f"{field!r} holds half a character (a lone surrogate): write the whole one", field)
    return value


def _slots(entry: dict) -> list[Slot]:
    slots = entry.get("slots", [])
    if not isinstance(slots, list):
        raise _Bad('\'slots\' is no list: write [{"type": …, "start": …, "end": …}]', "slots")
    for slot in slots:
        if not isinstance(slot, dict) or not {"type", "start", "end"} <= set(slot):
            raise _Bad(f"slot {json.dumps(slot)[:60]} is no object with type, start and end: write all three", "slots")
        if not isinstance(slot["type"], str) or type(slot["start"]) is not int or type(slot["end"]) is not int:
            problem = f"slot {json.dumps(slot)[:60]}: type must be a string, start and end whole numbers"
            raise _Bad(f"{problem}: correct it", "slots")
    return [Slot(slot["type"], slot["start"], slot["end"]) for slot in slots]


def _column(raw: bytes, field: str) -> int:
    """Finds the column, from 1, at which the field's name begins in the line; 1 where it is absent."""
    return max(raw.decode("utf-8", "replace").find(f'"{field}"'), 0) + 1 if field else 1
