"""Says what the published runs cost, from their stamps: training time, memory, downloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slubook.book.measured import published
from slubook.book.verdicts import wrapped
from slubook.corpora.sources import sources
from slubook.experiments.stamps import commit_of
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import RESULTS

#: How tables call what :func:`costs` gives, where they call it otherwise.
LABELS = {
    "training_minutes": "min of training",
    "peak_memory_mb": "MiB of memory at most",
    "download_mb": "MB to download",
}


def costs(folder: Path = RESULTS) -> list[dict]:
    """Returns one object a results file: training minutes of all cells, peak memory in MiB, download in MB, processor,
    commit.

    Raises:
        RecordsError: when a results file is damaged.
    """
    found = []
    for name, about in EXPERIMENTS.items():
        if (results := published(name, folder)) is None:
            continue
        seconds = sum(row.train_s for row in results.rows if row.method != "hybrid")  # the hybrid trains nothing itself
        megabytes = sum(sources()[source].bytes for source in about.downloads) / 1e6
        found.append(
            {
                "experiment": name,
                "profile": results.stamp["config"]["profile"],
                "seeds": len(results.stamp["seeds"]),
                "cells": len({(r.skill, r.size, r.seed) for r in results.rows}),
                "training_minutes": round(seconds / 60, 1),
                "peak_memory_mb": results.stamp["peak_memory_mb"],
                "download_mb": round(megabytes),
                "processor": results.stamp["hardware"]["processor"],
                "commit": commit_of(results.stamp),
            }
        )
    return found


def blocks(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Writes what :func:`costs` gives as text of 80 columns: a block each experiment."""
    for line in lines:
        name, *figures, processor, commit = line.items()
        said = ", ".join(f"{value} {LABELS.get(key, key)}" for key, value in figures)
        yield "\n".join([name[1], *(wrapped(text, "  ") for text in (said, processor[1], f"commit {commit[1]}")), ""])
