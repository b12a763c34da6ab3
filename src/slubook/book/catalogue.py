"""What corpora there are, by source, and whether they are on this machine: what ``slubook data list`` shows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from slubook.book import passports
from slubook.corpora import assistant, registry
from slubook.corpora.download import available
from slubook.corpora.errors import CorpusError
from slubook.corpora.sources import sources


@dataclass(frozen=True, slots=True)
class Entry:
    """A source, or an embedded corpus.

    Attributes:
        name: of the source or corpus.
        kind: ``"embedded"`` or ``"public"``.
        corpora: the names under which the registry reads it; none for sources of plain text and sentence pairs.
        licence, address, version: of its publisher.
        bytes: of all its files, 0 when that is not known.
        here: whether it can be read without network.
        pinned: whether its checksums are known; what is not is fetched only by name, and when the user trusts it.
    """

    name: str
    kind: str
    corpora: tuple[str, ...]
    licence: str
    address: str
    version: str
    bytes: int
    here: bool
    pinned: bool = True


def entries() -> list[Entry]:
    """Everything there is, embedded corpora first. Reads no data and asks no network."""
    embedded = []
    for name in (*assistant.NAMES, registry.SKILLS):
        o = passports.origin(name)
        embedded.append(Entry(name, o.kind, (name,), o.licence, o.address, o.version, o.bytes, True))
    public = [
        Entry(
            name,
            "public",
            tuple(corpus for corpus, entry in registry.PUBLIC.items() if entry.source == name),
            pinned.licence,
            pinned.url,
            pinned.commit,
            pinned.archive.bytes if pinned.archive else pinned.bytes,
            available(name),
            pinned.pinned,
        )
        for name, pinned in sources().items()
    ]
    return embedded + public


def sources_of(names: Sequence[str] | None, pinned: bool = False) -> list[str]:
    """The public sources that corpora or sources of these names are read from, each once.

    Args:
        names: of corpora or sources; all sources for none.
        pinned: whether "all" leaves those out whose checksums are not known.

    Raises:
        CorpusError: listing every name that is unknown. Embedded corpora have no source: they are always there.
    """
    if not names:
        return [name for name, entry in sources().items() if entry.pinned or not pinned]
    known = {**{name: name for name in sources()}, **{name: entry.source for name, entry in registry.PUBLIC.items()}}
    embedded = set(registry.names()) - set(known)
    unknown = [name for name in names if name not in known and name not in embedded]
    if unknown:
        raise CorpusError([_unknown(name, [*known, *embedded]) for name in unknown])
    return list(dict.fromkeys(known[name] for name in names if name in known))


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{name!r} is no corpus and no source: {hint}`slubook data list` names them all"
