"""Stamps a results file: says what was run, on which data and machine, and what it cost."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

import slubook

#: Packages on whose versions results depend.
PACKAGES = ("torch", "numpy", "scikit-learn", "gensim", "python-crfsuite")


def canonical(value: Any) -> str:
    """Writes JSON with one way to write each value, to be hashed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def config_hash(config: Any) -> str:
    """Returns the SHA-256 of a configuration, or anything that JSON can hold, the same for every order of its keys."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


def hardware() -> dict[str, Any]:
    """Describes the processor, its cores, the memory, the GPU if torch is in use and sees one, and the software."""
    torch = sys.modules.get("torch")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__ if torch is not None else None,
    }


def code() -> dict[str, Any]:
    """Describes the code that runs: its commit, whether that is all of it, and the versions of what it stands on.

    ``commit`` and ``clean`` are ``None`` outside a checkout or without git. A checkout is clean when nothing differs
    from the commit but ``results/``, into which runs write.
    """
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", ".", ":!results")
    known = {"commit": commit, "clean": None if commit is None or changes is None else not changes}
    return {**known, "packages": {name: version(name) for name in PACKAGES}}


def commit_of(stamp: Mapping[str, Any]) -> str:
    """Writes the commit of a stamp, or of :func:`code`, for a page: *not known* in stamps of before it was kept."""
    commit, clean = stamp.get("commit"), stamp.get("clean")
    return f"{commit[:10]}{'' if clean else ', with changes'}" if commit else "not known"


def _git(*arguments: str) -> str | None:
    """Returns what git says of the checkout that the package stands in; ``None`` where there is none."""
    checkout = Path(slubook.__file__).resolve().parents[2]
    if not (checkout / ".git").exists():  # installed, perhaps inside the checkout of something else
        return None
    try:
        said = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def _processor() -> str:
    """Returns the processor's name; Linux tells Python only its architecture, so its own list is read there."""
    listing = Path("/proc/cpuinfo")
    text = listing.read_text(encoding="utf-8", errors="replace") if listing.is_file() else ""
    named = re.search(r"^model name[^:\n]*:(.*)", text, re.MULTILINE)
    return named.group(1).strip() if named else platform.processor() or platform.machine()


def peak_memory_mb() -> float:
    """Returns the most memory that this process or one of its finished children ever held, in MiB."""
    if sys.platform == "win32":
        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(peaks) * unit / 2**20, 1)


def stamp(
    protocol: int,
    config: Mapping[str, Any],
    data: Mapping[str, str],
    seeds: Sequence[int],
    wall_s: float,
    threads: int,
    memory_mb: float | None = None,
    cell_s: float | None = None,
) -> dict[str, Any]:
    """Returns what a reader must know to judge a results file or to repeat it.

    Args:
        protocol: the experiment's protocol number.
        config: profile and settings, as JSON can hold them; ``data`` has the SHA-256 of each corpus or split by name.
        seeds: of the draws.
        wall_s: seconds from start to end, on ``threads``; ``cell_s`` those of all cells ever, if they are known.
        memory_mb: peak memory when the caller measured it in its workers; else that of this process.
    """
    return {
        "version": slubook.__version__,
        **code(),
        "protocol": protocol,
        "config": dict(config),
        "config_sha256": config_hash(config),
        "data": dict(data),
        "seeds": list(seeds),
        "hardware": hardware(),
        "threads": threads,
        "wall_s": round(wall_s, 1),
        **({} if cell_s is None else {"cell_s": round(cell_s, 1)}),
        "peak_memory_mb": peak_memory_mb() if memory_mb is None else round(memory_mb, 1),
    }


def add_origins(before: Sequence[Mapping[str, Any]], contents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lists the distinct machines and word vectors that cells were measured on, with their ``cells`` and ``cell_s``.

    Those of earlier runs stand ``before``. Each cell since has ``hardware``, ``vectors`` (name → stamp) and ``wall_s``.
    """
    found = {canonical([origin["hardware"], origin["vectors"]]): dict(origin) for origin in before}
    for content in contents:
        of = {"hardware": content["hardware"], "vectors": content["vectors"]}
        origin = found.setdefault(canonical([*of.values()]), {**of, "cells": 0, "cell_s": 0.0})
        origin["cells"] += 1
        origin["cell_s"] = round(origin["cell_s"] + content["wall_s"], 3)
    return list(found.values())
