"""Every corpus by name, and the user's own by file: the one door to utterances.

Slots are fitted to whole tokens on the way (:func:`slubook.corpora.utterance.snap`); how many moved is kept for the
passports. Taught in notebook 00, *Meet the data*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from slubook import profiles
from slubook.corpora import (
    banking77,
    clinc150,
    hinglish_top,
    hwu64,
    massive,
    nlupp,
    restaurant8k,
    sgd,
    snips,
    snips_iob,
    taskmaster4,
)
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Utterance, snap


class Public(NamedTuple):
    """A corpus read from the files of a pinned source."""

    source: str
    read: Callable[[Path], list[Utterance]]


#: Public corpora by name. ``sgd_turns`` is the unlabelled pool of all of SGD's user turns.
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
    "massive": Public("massive", massive.read),
}


def names() -> list[str]:
    """The names that :func:`load` knows."""
    return list(PUBLIC)


def load(name: str | Path) -> list[Utterance]:
    """The utterances of a corpus, its slots fitted to whole tokens.

    Args:
        name: one of :func:`names`.

    Raises:
        CorpusError: for an unknown name.
    """
    return list(_loaded(str(name))[0])


def snapped(name: str | Path) -> int:
    """How many slots of the corpus had to be moved to token boundaries or dropped."""
    return _loaded(str(name))[1]


@cache
def _loaded(name: str) -> tuple[list[Utterance], int]:
    pairs = [snap(utterance) for utterance in _read(name)]
    return [utterance for utterance, _ in pairs], sum(moved for _, moved in pairs)


def _read(name: str) -> list[Utterance]:
    if name in PUBLIC:
        return PUBLIC[name].read(source_folder(PUBLIC[name].source))
    raise CorpusError(f"corpus {name!r} is unknown: choose one of {', '.join(names())}")


def source_folder(source: str) -> Path:
    """Where the files of a pinned source lie: in the mirror if one is set, else in the cache."""
    return (profiles.mirror_dir() or profiles.cache_dir()) / source
