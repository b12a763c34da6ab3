"""Every corpus by name, and the user's own by file.

Slots are fitted to whole tokens on the way (:func:`slubook.corpora.utterance.snap`); passports state how many moved.
Taught in notebook 00, *Meet the data*.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from slubook.corpora import (
    ask,
    assistant,
    banking77,
    clinc150,
    hinglish_top,
    hwu64,
    jsonl,
    nlupp,
    restaurant8k,
    sgd,
    skills,
    snips,
    snips_iob,
    taskmaster4,
)
from slubook.corpora.download import fetch
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Utterance, snap


class Public(NamedTuple):
    """A corpus read from the files of a pinned source."""

    source: str
    read: Callable[[Path], list[Utterance]]


#: The embedded skills together; one of them is ``skills/<name>``.
SKILLS = "skills"

#: Public corpora by name. ``sgd_turns`` has all of SGD's user turns, ``sgd`` only those that state an intent.
PUBLIC = {
    "snips": Public("snips", snips.read),
    "snips_iob": Public("snips_iob", snips_iob.read),
    "hwu64": Public("hwu64", hwu64.read),
    "sgd": Public("sgd", sgd.read),
    "sgd_turns": Public("sgd", sgd.all_user_turns),
    "hinglish_top": Public("hinglish_top", hinglish_top.read),
    "clinc150": Public("clinc150", clinc150.read),
    "banking77": Public("polyai", banking77.read),
    "nlupp": Public("polyai", nlupp.read),
    "restaurant8k": Public("polyai", restaurant8k.read),
    "taskmaster4": Public("taskmaster4", taskmaster4.read),
}


def names() -> list[str]:
    """Lists the names that :func:`load` knows; it reads files as well."""
    return [*PUBLIC, *assistant.NAMES, SKILLS, *(f"{SKILLS}/{name}" for name in skills.embedded_skills())]


def load(name: str | Path) -> list[Utterance]:
    """Returns the utterances of a corpus, its slots fitted to whole tokens; fetches a public corpus first.

    Args:
        name: one of :func:`names`, or the path of a JSONL corpus (``.jsonl``) or of an ASK interaction model
            (``.json``), whose samples are expanded.

    Raises:
        CorpusError: for an unknown name, a file with faults, or a public corpus that cannot be fetched.
    """
    if is_file(name):
        return _fitted(_read_file(Path(name)))[0]
    return list(_loaded(str(name))[0])


def snapped(name: str | Path) -> int:
    """Counts the slots of a corpus that had to be moved to token boundaries or dropped."""
    return _fitted(_read_file(Path(name)))[1] if is_file(name) else _loaded(str(name))[1]


def read_texts(path: Path) -> list[str]:
    """Reads unannotated requests from a text file in UTF-8, one a line, or the texts of a JSONL corpus or an ASK model.

    Raises:
        CorpusError: when the file cannot be read or holds nothing; it lists every line in another encoding.
    """
    if path.suffix in _FILES:
        return [u.text for u in load(path)]
    return [text for _, text in jsonl.read_log(path)]


def is_file(name: str | Path) -> bool:
    """Tells whether ``name`` means a file of the user's and not a corpus of the book."""
    if isinstance(name, Path):
        return True
    return name not in names() and (Path(name).suffix in _FILES or Path(name).is_file())


@cache
def _loaded(name: str) -> tuple[list[Utterance], int]:
    return _fitted(_read(name))


def _fitted(utterances: list[Utterance]) -> tuple[list[Utterance], int]:
    bar = tqdm(utterances, desc="fit slots to tokens", delay=2, leave=False, disable=None)
    pairs = [snap(utterance) if utterance.slots else (utterance, 0) for utterance in bar]
    return [utterance for utterance, _ in pairs], sum(moved for _, moved in pairs)


def _read(name: str) -> list[Utterance]:
    if name in PUBLIC:
        return PUBLIC[name].read(fetch(PUBLIC[name].source))
    if name in assistant.NAMES:
        return assistant.sample(assistant.NAMES[name])
    if name == SKILLS:
        return [utterance for skill in skills.embedded_skills() for utterance in skills.load(skill)]
    if name.removeprefix(f"{SKILLS}/") in skills.embedded_skills():
        return skills.load(name.removeprefix(f"{SKILLS}/"))
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise CorpusError(
        f"corpus {name!r} is unknown{hint}: choose one of {', '.join([*PUBLIC, *assistant.NAMES, SKILLS])}, "
        f"{SKILLS}/NAME, or give a .jsonl or .json file"
    )


def _read_file(path: Path) -> list[Utterance]:
    if path.suffix not in _FILES:
        raise CorpusError(f"{path}: a corpus is read from .jsonl, an interaction model from .json: rename the file")
    return _FILES[path.suffix](path)


_FILES = {
    ".jsonl": jsonl.read,
    ".json": lambda path: ask.expand(ask.read(path), skills.PER_SAMPLE, skills.SEED),
}
