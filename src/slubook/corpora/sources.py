"""The pinned sources: where each public corpus comes from, byte for byte.

``sources.json`` names for each source its repository, commit, licence and address, and every file with its size and
SHA-256. Readers take their list of files from here, so that a folder with more files in it reads the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from slubook.corpora.errors import CorpusError


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a source: its path in the source's folder, its bytes and its SHA-256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """A public source at one commit.

    Attributes:
        name: also its folder in the mirror and in the cache.
        repository: where it is published: ``owner/name`` on GitHub, or the address of a page.
        commit: the pinned commit or release.
        licence: as its publisher states it.
        url: the address that a file's path is appended to.
        files: the files to fetch.
        left_out: files of the same release that this book does not use.
        note: what a reader should know of the pin itself.
    """

    name: str
    repository: str
    commit: str
    licence: str
    url: str
    files: tuple[PinnedFile, ...]
    left_out: tuple[str, ...] = ()
    note: str = ""

    @property
    def bytes(self) -> int:
        """Adds up the sizes of its files."""
        return sum(f.bytes for f in self.files)

    @property
    def page(self) -> str:
        """Returns the address of its repository or page."""
        return self.repository if "://" in self.repository else f"https://github.com/{self.repository}"


@cache
def sources() -> dict[str, Source]:
    """Reads all pinned sources, by name."""
    text = resources.files("slubook.corpora").joinpath("sources.json").read_text(encoding="utf-8")
    found = {}
    for name, entry in json.loads(text).items():
        files, left_out = tuple(PinnedFile(**file) for file in entry["files"]), tuple(entry.get("left_out", ()))
        found[name] = Source(name, **{**entry, "files": files, "left_out": left_out})
    return found


def source(name: str) -> Source:
    """Returns one pinned source.

    Raises:
        CorpusError: for a name that is not pinned.
    """
    if name not in sources():
        raise CorpusError(f"source {name!r} is unknown: choose one of {', '.join(sources())}")
    return sources()[name]
