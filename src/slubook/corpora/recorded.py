"""Checksums of sources for which nobody states any: taken from what arrives first, and held to ever after.

What comes from such an address cannot be checked the first time. So it is never fetched by itself: the user says once
that they trust the address (``slubook data fetch NAME --trust``), the SHA-256 of every file that arrived is written
down in the cache, and from then on the source is as good as pinned: other files are refused. Nothing in a source is
ever executed, and only files that ``sources.json`` names are taken out of an archive.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pooch

from slubook.corpora.sources import PinnedFile, Source
from slubook.files import write_atomically
from slubook.profiles import cache_dir


def record_path(name: str) -> Path:
    """Where the checksums of a source are written down; without the file the user is asked again."""
    return cache_dir() / "recorded" / f"{name}.json"


def recorded(source: Source) -> Source:
    """The source with the checksums that were written down where it has none; a damaged record counts as none."""
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
    """Write down the SHA-256 of each file in ``root`` that the source has none for, and of its archive if it is there.

    Raises:
        OSError: when the cache cannot be written.
    """
    files = [*source.files, *([source.archive] if source.archive else [])]
    found = [file.path for file in files if not file.sha256 and (root / file.path).is_file()]
    digests = {path: pooch.file_hash(root / path) for path in found}
    write_atomically(record_path(source.name), json.dumps(digests, indent=1))


def untrusted(source: Source) -> str:
    """What to say of a source that has neither a pinned nor a recorded checksum."""
    return (
        f"{source.name}: nobody states a checksum of what {source.url} serves, so that it is fetched and read only "
        f"when you say that you trust this address: `slubook data fetch {source.name} --trust` writes down the "
        "checksums of what arrives, and later files are held to them"
    )
