"""Public sources onto this machine: from a mirror folder, the cache, or their official addresses.

Every file is held to its pinned SHA-256 (:mod:`slubook.corpora.sources`) before anything reads it. A
verified file is remembered by size and time of change, so that it is hashed once. Downloads go through pooch: to a
temporary name first, and into place only when the checksum is right.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pooch
import requests
from tqdm import tqdm

from slubook import profiles
from slubook.corpora.errors import DownloadError
from slubook.corpora.sources import PinnedFile, Source, source
from slubook.files import write_atomically

RETRIES = 2


def folder(name: str) -> Path:
    """Returns the folder in which a source's files are looked for: in the mirror when one is set, else in the cache."""
    return (profiles.mirror_dir() or profiles.cache_dir()) / source(name).name


def available(name: str) -> bool:
    """Tells whether all files of a source are there in their right sizes; needs no network, computes no checksum."""
    return all(_right_size(folder(name) / file.path, file) for file in source(name).files)


def fetch(name: str, progress: bool = True) -> Path:
    """Returns the folder of a source, complete and verified; without a mirror, downloads what is missing or damaged.

    Args:
        name: one of ``sources()``.
        progress: show a bar.

    Raises:
        DownloadError: with file, address and remedy for each file that is missing in the mirror, cannot be downloaded
            or written, or has the wrong checksum. Nothing half-written is left.
    """
    pinned, root, seen = source(name), folder(name), _Verified(name)
    unfit = [file for file in pinned.files if not seen.holds(root / file.path, file)]
    if not unfit:
        return root
    if profiles.mirror_dir():
        _check_mirror(pinned, root, unfit, seen, progress)
    else:
        _download(pinned, root, unfit, seen, progress)
    return root


def verify(name: str, progress: bool = True) -> list[str]:
    """Lists what is wrong with the files of a source on this machine; computes every checksum again."""
    pinned, root = source(name), folder(name)
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


def _check_mirror(pinned: Source, root: Path, unfit: list[PinnedFile], seen: _Verified, progress: bool) -> None:
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
        for file in _bar(unfit, f"fetch {pinned.name}", progress):
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


def _get(pinned: Source, root: Path, file: PinnedFile) -> None:
    """Downloads one file into place, or raises an error with the remedy."""
    address = pinned.url + quote(file.path)
    pooch.get_logger().setLevel("WARNING")  # the bar shows the progress
    store = pooch.create(
        path=root,
        base_url=pinned.url,
        registry={file.path: f"sha256:{file.sha256}"},
        urls={file.path: address},
        retry_if_failed=RETRIES,
    )
    try:
        store.fetch(file.path, downloader=pooch.HTTPDownloader(progressbar=False))
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
        raise DownloadError(
            f"{root / file.path}: what {address} serves has another checksum than the pinned {file.sha256[:12]}…, "
            f"and was thrown away: run `slubook data fetch {pinned.name}` again; if that does not help, the address "
            f"has changed, and a mirror with the pinned file is needed (SLUBOOK_MIRROR)"
        ) from error


def _problem(path: Path, pinned: Source, file: PinnedFile) -> str:
    """Says why a file cannot be trusted, with the remedy; ``""`` when it can."""
    address = pinned.url + quote(file.path)
    if profiles.mirror_dir():
        remedy = f"copy it from {address} into the mirror, or unset SLUBOOK_MIRROR to download it"
    else:
        remedy = f"run `slubook data fetch {pinned.name}`, which gets it from {address}"
    if not path.is_file():
        return f"{path}: this file is missing: {remedy}"
    if not _right_size(path, file):
        return f"{path}: has {path.stat().st_size} bytes instead of {file.bytes}, as if half-written: {remedy}"
    found = pooch.file_hash(path)
    if found != file.sha256:
        return f"{path}: has SHA-256 {found[:12]}… instead of {file.sha256[:12]}…: {remedy}"
    return ""


def _right_size(path: Path, file: PinnedFile) -> bool:
    return path.is_file() and file.bytes == path.stat().st_size


def _bar(files: list[PinnedFile] | tuple[PinnedFile, ...], label: str, progress: bool) -> tqdm:
    return tqdm(files, desc=label, unit="file", leave=False, disable=None if progress else True)
