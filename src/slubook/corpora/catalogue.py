"""The catalogue of corpora and sources that ``slubook data list`` shows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slubook.corpora import assistant, registry
from slubook.corpora.download import available, fetch, folder, verify
from slubook.corpora.errors import CorpusError, DownloadError
from slubook.corpora.passports import origin
from slubook.corpora.sources import sources


@dataclass(frozen=True, slots=True)
class Entry:
    """A source, or an embedded corpus.

    Attributes:
        name: of the source or corpus.
        kind: ``"embedded"`` or ``"public"``.
        corpora: the names under which the registry reads it; none for sources of plain text and sentence pairs.
        licence, address, version: of its publisher.
        bytes: of all its files, 0 when unknown.
        here: whether it can be read without network.
    """

    name: str
    kind: str
    corpora: tuple[str, ...]
    licence: str
    address: str
    version: str
    bytes: int
    here: bool


def entries() -> list[Entry]:
    """Lists every corpus and source, embedded corpora first; reads no public data and needs no network."""
    found = []
    for name in (*assistant.NAMES, registry.SKILLS):
        o = origin(name)
        found.append(Entry(name, o.kind, (name,), o.licence, o.address, o.version, o.bytes, True))
    for name, s in sources().items():
        read = tuple(corpus for corpus, entry in registry.PUBLIC.items() if entry.source == name)
        found.append(Entry(name, "public", read, s.licence, s.url, s.commit, s.bytes, available(name)))
    return found


def sources_of(names: Sequence[str] | None) -> list[str]:
    """Returns the public sources that corpora or sources of these names are read from, each once.

    Args:
        names: of corpora or sources; all sources for none. Embedded corpora have no source.

    Raises:
        CorpusError: listing every name that is unknown.
    """
    if not names:
        return list(sources())
    known = {**{name: name for name in sources()}, **{name: entry.source for name, entry in registry.PUBLIC.items()}}
    embedded = set(registry.names()) - set(known)
    problems = []
    for name in names:
        if name not in known and name not in embedded:
            close = difflib.get_close_matches(name, [*known, *embedded], n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            problems.append(f"{name!r} is no corpus and no source: {hint}`slubook data list` names them all")
    if problems:
        raise CorpusError(problems)
    return list(dict.fromkeys(known[name] for name in names if name in known))


def fetched(name: str) -> dict[str, Any]:
    """Fetches a source; returns its name, its folder, empty where it cannot be fetched, and every problem with it."""
    try:
        return {"source": name, "folder": str(fetch(name)), "problems": []}
    except DownloadError as error:
        return {"source": name, "folder": "", "problems": error.problems}


def verified(name: str) -> dict[str, Any]:
    """Computes the checksums of a source again; returns its name, its folder, and every problem with it."""
    return {"source": name, "folder": str(folder(name)), "problems": verify(name)}
