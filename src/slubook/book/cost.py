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
    runs = {name: results for name in EXPERIMENTS if (results := published(name, folder))}
    return [
        {
            "experiment": name,
            "profile": run.stamp["config"]["profile"],
            "seeds": len(run.stamp["seeds"]),
            "cells": len({(r.skill, r.size, r.seed) for r in run.rows}) or run.tables["cells"]["done"],
            # the hybrid trains nothing itself; without rows, the minutes are those of all cells
            "training_minutes": round(
                (sum(r.train_s for r in run.rows if r.method != "hybrid") or run.stamp["cell_s"]) / 60, 1
            ),
            "peak_memory_mb": run.stamp["peak_memory_mb"],
            "download_mb": round(sum(sources()[source].bytes for source in EXPERIMENTS[name].downloads) / 1e6),
            "processor": run.stamp["hardware"]["processor"],
            "commit": commit_of(run.stamp),
        }
        for name, run in runs.items()
    ]


def blocks(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Writes what :func:`costs` gives as text of 80 columns: a block each experiment."""
    for line in lines:
        name, *figures, processor, commit = line.items()
        said = ", ".join(f"{value} {LABELS.get(key, key)}" for key, value in figures)
        yield "\n".join([name[1], *(wrapped(text, "  ") for text in (said, processor[1], f"commit {commit[1]}")), ""])
