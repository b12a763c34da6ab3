"""The pinned sources: where each public corpus comes from, byte for byte.

``sources.json`` names for each source its repository, commit, licence and address, and every file with its
size and SHA-256. Readers take their list of files from here, so that a folder with more files in it reads the same.
Where nobody states a checksum there is none: :mod:`slubook.corpora.recorded` says what is done then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from slubook.corpora.errors import CorpusError


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a source: its path in the source's folder, its bytes (0: not known), its SHA-256 ("": not known)."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """A public source at one commit.

    Attributes:
        name: also its folder in the mirror and in the cache.
        repository: where it is published: ``owner/name`` on GitHub, or the address of a page.
        commit: the commit (or release) that is pinned.
        licence: as its publisher states it.
        url: the address that a file's path is appended to.
        files: what is fetched.
        left_out: files of the same release that this book does not use.
        archive: the file at ``url`` that holds the others, where they are not served one by one.
        note: what a reader should know of the pin itself.
    """

    name: str
    repository: str
    commit: str
    licence: str
    url: str
    files: tuple[PinnedFile, ...]
    left_out: tuple[str, ...] = ()
    archive: PinnedFile | None = None
    note: str = ""

    @property
    def bytes(self) -> int:
        """The size of all its files."""
        return sum(f.bytes for f in self.files)

    @property
    def page(self) -> str:
        """The address of its repository or page."""
        return self.repository if "://" in self.repository else f"https://github.com/{self.repository}"

    @property
    def pinned(self) -> bool:
        """Whether a checksum of each of its files is known."""
        return all(file.sha256 for file in self.files)


@cache
def sources() -> dict[str, Source]:
    """All pinned sources by name."""
    text = resources.files("slubook.corpora").joinpath("sources.json").read_text(encoding="utf-8")
    return {name: _source(name, entry) for name, entry in json.loads(text).items()}


def source(name: str) -> Source:
    """One pinned source.

    Raises:
        CorpusError: for a name that is not pinned.
    """
    if name not in sources():
        raise CorpusError(f"source {name!r} is unknown: choose one of {', '.join(sources())}")
    return sources()[name]


def _source(name: str, entry: dict) -> Source:
    return Source(
        name,
        entry["repository"],
        entry["commit"],
        entry["licence"],
        entry["url"],
        tuple(PinnedFile(**file) for file in entry["files"]),
        tuple(entry.get("left_out", ())),
        PinnedFile(**entry["archive"]) if "archive" in entry else None,
        entry.get("note", ""),
    )
