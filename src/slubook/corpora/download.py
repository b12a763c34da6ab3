"""Public sources onto this machine: from a mirror folder, the cache, or their official addresses.

Every file is held to its SHA-256, pinned or recorded (:mod:`slubook.corpora.sources`), before anything reads it. A
verified file is remembered by size and time of change, so that it is hashed once. Downloads go through pooch: to a
temporary name first, and into place only when the checksum is right.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import IO
from urllib.parse import quote

import pooch
import requests
from tqdm import tqdm

from slubook import profiles
from slubook.corpora.errors import DownloadError
from slubook.corpora.sources import PinnedFile, Source, record, record_path, recorded, source, untrusted
from slubook.files import replaced_file, write_atomically

RETRIES = 2


def folder(name: str) -> Path:
    """Returns the folder in which a source's files are looked for: in the mirror when one is set, else in the cache."""
    return (profiles.mirror_dir() or profiles.cache_dir()) / source(name).name


def available(name: str) -> bool:
    """Tells whether all files of a source are there in their right sizes; needs no network, computes no checksum.

    A source without checksums is not available until a user who trusts it has fetched it.
    """
    held = recorded(source(name))
    return held.pinned and all(_right_size(folder(name) / file.path, file) for file in held.files)


def fetch(name: str, progress: bool = True, trust: bool = False) -> Path:
    """Returns the folder of a source, complete and verified; without a mirror, downloads what is missing or damaged.

    Args:
        name: one of ``sources()``.
        progress: show a bar.
        trust: where no checksum is known, take what arrives, or what the mirror has, and record its checksums.

    Raises:
        DownloadError: with file, address and remedy for each file that is missing in the mirror, cannot be downloaded
            or written, or has the wrong checksum, and for a source without checksums that is not trusted. Nothing
            half-written is left.
    """
    pinned, root = recorded(source(name)), folder(name)
    if not pinned.pinned and not trust:
        raise DownloadError(untrusted(pinned))
    seen = _Verified(name)
    unfit = [file for file in pinned.files if not seen.holds(root / file.path, file)]
    if not unfit:
        return root
    if profiles.mirror_dir():
        _trust_mirror(pinned, root, unfit, seen, progress)
    else:
        _download(pinned, root, unfit, seen, progress)
    if not pinned.pinned:
        record(pinned, root)
    return root


def verify(name: str, progress: bool = True) -> list[str]:
    """Lists what is wrong with the files of a source on this machine; computes every checksum again."""
    pinned, root = recorded(source(name)), folder(name)
    if not pinned.pinned:
        return [untrusted(pinned)]
    bar = _bar(pinned.files, f"verify {name}", progress)
    return [problem for file in bar if (problem := _problem(root / file.path, pinned, file))]


class _Verified:
    """Remembers which files had the right checksum: path → [size, time of change in ns, SHA-256]."""

    def __init__(self, name: str) -> None:
        self.path = profiles.cache_dir() / "verified" / f"{name}.json"
        try:
            self.known = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or damaged: verify again
            self.known = {}

    def holds(self, path: Path, file: PinnedFile) -> bool:
        return path.is_file() and self.known.get(str(path.resolve())) == _mark(path, file)

    def add(self, path: Path, file: PinnedFile) -> None:
        self.known[str(path.resolve())] = _mark(path, file)

    def save(self) -> None:
        """Stores it if the cache can be written; if not, the files are hashed again next time."""
        try:
            write_atomically(self.path, json.dumps(self.known))
        except OSError:
            return


def _mark(path: Path, file: PinnedFile) -> list:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, file.sha256]


def _trust_mirror(pinned: Source, root: Path, unfit: list[PinnedFile], seen: _Verified, progress: bool) -> None:
    problems = []
    for file in _bar(unfit, f"verify {pinned.name}", progress):
        if problem := _problem(root / file.path, pinned, file):
            problems.append(problem)
        else:
            seen.add(root / file.path, file)
    seen.save()
    if problems:
        raise DownloadError(problems)


def _download(pinned: Source, root: Path, unfit: list[PinnedFile], seen: _Verified, progress: bool) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        if pinned.archive:
            _unpack(pinned, root, unfit, progress)
        for file in _bar(unfit, f"fetch {pinned.name}", progress):
            if not pinned.archive:
                _get(pinned, root, file)
            if problem := _problem(root / file.path, pinned, file):
                raise DownloadError(problem)
            seen.add(root / file.path, file)
    except OSError as error:
        raise DownloadError(
            f"{root}: the cache cannot be written ({error.strerror or error}), so {pinned.url} was not downloaded: "
            "make room, or set SLUBOOK_CACHE to a folder that you may write to"
        ) from error
    finally:
        seen.save()


def _get(pinned: Source, root: Path, file: PinnedFile, progress: bool = False) -> Path:
    """Downloads one file into place, or raises an error with the remedy."""
    address = pinned.url + quote(file.path)
    pooch.get_logger().setLevel("WARNING")  # the bar shows the progress
    store = pooch.create(
        path=root,
        base_url=pinned.url,
        registry={file.path: f"sha256:{file.sha256}" if file.sha256 else None},
        urls={file.path: address},
        retry_if_failed=RETRIES,
    )
    try:
        return Path(store.fetch(file.path, downloader=pooch.HTTPDownloader(progressbar=progress)))
    except requests.RequestException as error:
        reason = "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
        if error.response is not None:
            reason = f"the server answers {error.response.status_code}"
        raise DownloadError(
            f"{root / file.path}: {address} cannot be downloaded ({reason}): check the network and run "
            f"`slubook data fetch {pinned.name}` again, or set SLUBOOK_MIRROR to a folder that holds "
            f"{pinned.name}/{file.path}"
        ) from error
    except ValueError as error:
        kept = record_path(pinned.name)
        remedy = "a mirror with the pinned file is needed (SLUBOOK_MIRROR)"
        if kept.is_file():
            remedy = f"remove {kept} to trust what it serves now"
        raise DownloadError(
            f"{root / file.path}: what {address} serves has another checksum than the pinned {file.sha256[:12]}…, "
            f"and was thrown away: run `slubook data fetch {pinned.name}` again; if that does not help, the address "
            f"has changed, and {remedy}"
        ) from error


def _unpack(pinned: Source, root: Path, files: list[PinnedFile], progress: bool) -> None:
    """Takes the wanted files out of the source's archive, each into place under its own path."""
    archive = _get(pinned, root, pinned.archive, progress)
    try:
        with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as members:
            for file in files:
                with replaced_file(root / file.path) as temporary, temporary.open("wb") as out:
                    shutil.copyfileobj(_member(members, file.path), out)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, KeyError) as error:
        archive.unlink()
        address = pinned.url + quote(pinned.archive.path)
        raise DownloadError(
            f"{archive}: what {address} serves is no whole archive that holds the files wanted, and was thrown "
            f"away: run `slubook data fetch {pinned.name}` again; if that does not help, the address has changed"
        ) from error


def _member(members: zipfile.ZipFile | tarfile.TarFile, path: str) -> IO[bytes]:
    return members.open(path) if isinstance(members, zipfile.ZipFile) else members.extractfile(path)


def _problem(path: Path, pinned: Source, file: PinnedFile) -> str:
    """Says why a file cannot be trusted, with the remedy; ``""`` when it can."""
    address = pinned.url + quote(pinned.archive.path if pinned.archive else file.path)
    if profiles.mirror_dir():
        remedy = f"copy it from {address} into the mirror, or unset SLUBOOK_MIRROR to download it"
    else:
        remedy = f"run `slubook data fetch {pinned.name}`, which gets it from {address}"
    if not path.is_file():
        return f"{path}: this file is missing: {remedy}"
    if not _right_size(path, file):
        return f"{path}: has {path.stat().st_size} bytes instead of {file.bytes}, as if half-written: {remedy}"
    found = pooch.file_hash(path)
    if file.sha256 and found != file.sha256:
        return f"{path}: has SHA-256 {found[:12]}… instead of {file.sha256[:12]}…: {remedy}"
    return ""


def _right_size(path: Path, file: PinnedFile) -> bool:
    return path.is_file() and file.bytes in (0, path.stat().st_size)


def _bar(files: list[PinnedFile] | tuple[PinnedFile, ...], label: str, progress: bool) -> tqdm:
    return tqdm(files, desc=label, unit="file", leave=False, disable=None if progress else True)
