"""The pinned sources: where each public corpus comes from, byte for byte.

``sources.json`` names for each source its repository, commit, licence and address, and every file with its size and
SHA-256. Readers take their list of files from here, so that a folder with more files in it reads the same.

Some publishers state no checksum. What their address serves cannot be checked the first time, so it is never fetched
unasked. The user says once that they trust the address (``slubook data fetch NAME --trust``), the SHA-256 of every file
that arrived is recorded in the cache, and later files are held to it. Nothing in a source is ever executed, and only
files that ``sources.json`` names are taken out of an archive.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import pooch

from slubook.corpora.errors import CorpusError
from slubook.files import write_atomically
from slubook.profiles import cache_dir


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of a source: its path in the source's folder, its bytes (0: unknown) and its SHA-256 ("": unknown)."""

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
        """Adds up the sizes of its files."""
        return sum(f.bytes for f in self.files)

    @property
    def page(self) -> str:
        """Returns the address of its repository or page."""
        return self.repository if "://" in self.repository else f"https://github.com/{self.repository}"

    @property
    def pinned(self) -> bool:
        """Tells whether a checksum of each of its files is known."""
        return all(file.sha256 for file in self.files)


@cache
def sources() -> dict[str, Source]:
    """Reads all pinned sources, by name."""
    text = resources.files("slubook.corpora").joinpath("sources.json").read_text(encoding="utf-8")
    found = {}
    for name, entry in json.loads(text).items():
        archive = PinnedFile(**entry["archive"]) if "archive" in entry else None
        files, left_out = tuple(PinnedFile(**file) for file in entry["files"]), tuple(entry.get("left_out", ()))
        found[name] = Source(name, **{**entry, "files": files, "left_out": left_out, "archive": archive})
    return found


def source(name: str) -> Source:
    """Returns one pinned source.

    Raises:
        CorpusError: for a name that is not pinned.
    """
    if name not in sources():
        raise CorpusError(f"source {name!r} is unknown: choose one of {', '.join(sources())}")
    return sources()[name]


def record_path(name: str) -> Path:
    """Returns the file that records the checksums of a source; without it the user is asked again."""
    return cache_dir() / "recorded" / f"{name}.json"


def recorded(source: Source) -> Source:
    """Completes a source with the checksums recorded in the cache; a damaged record counts as none."""
    if source.pinned:
        return source
    try:
        known = dict(json.loads(record_path(source.name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return source

    def held(file: PinnedFile) -> PinnedFile:
        return replace(file, sha256=file.sha256 or known.get(file.path, ""))

    return replace(source, files=tuple(map(held, source.files)), archive=source.archive and held(source.archive))


def record(source: Source, root: Path) -> None:
    """Records the SHA-256 of each file in ``root`` for which the source has none, and of its archive.

    Raises:
        OSError: when the cache cannot be written.
    """
    files = [*source.files, *([source.archive] if source.archive else [])]
    found = [file.path for file in files if not file.sha256 and (root / file.path).is_file()]
    digests = {path: pooch.file_hash(root / path) for path in found}
    write_atomically(record_path(source.name), json.dumps(digests, indent=1))


def untrusted(source: Source) -> str:
    """Writes the message about a source that has neither a pinned nor a recorded checksum."""
    return (
        f"{source.name}: nobody states a checksum of what {source.url} serves, so that it is fetched and read only "
        f"when you say that you trust this address: `slubook data fetch {source.name} --trust` writes down the "
        "checksums of what arrives, and later files are held to them"
    )
