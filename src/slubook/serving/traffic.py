"""Sends requests to a skill store, one at a time in one process, and measures waiting and memory.

It is a process of its own (``python -m slubook.serving.traffic``, arguments and answer of :func:`serve` as JSON on the
standard streams), so that memory is that of serving alone: nothing here imports torch. Three phases:

- *first*: every skill once, in random order, with nothing open and, where the system allows it, none of the file in the
  page cache: what the first user of a skill waits;
- *zipf*: a few skills are asked often and most hardly ever (the chance of the skill of rank r goes as 1 / r);
- *uniform*: all skills are asked equally, the worst case for keeping some of them open.

In the last two, *warm* requests find their skill open and *cold* ones do not; what the system has in its page cache by
then stays there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from slubook.ch1_skills.vectors import VectorTable
from slubook.serving.store import DATA, SkillStore

WATCHED = 50  # requests between two looks at the resident memory
#: What users say to each original skill, and what it answers: intent and slots, as JSON has them.
Dialogues = Mapping[str, Sequence[tuple[str, list]]]


def serve(store: str, table: str, dialogues: Dialogues, capacity: int, requests: int, seed: int = 0) -> dict[str, Any]:
    """Runs the three phases.

    Args:
        store, table: folders of the skill store, where ``name#7`` is a copy of ``name``, and of the generic table.
        dialogues: of the originals.
        capacity: bytes for open skills.
        requests: of the *zipf* and the *uniform* phase, each.
        seed: of the order of requests.

    Returns:
        ``phases`` (latencies in milliseconds, hit rate, requests a second, memory), ``memory`` before the first
        request, and ``wrong`` (answers that differ from the original's).
    """
    rng, vectors = np.random.default_rng(seed), VectorTable.load(Path(table))
    with SkillStore(Path(store), vectors, capacity) as opened:
        names = list(opened.places)
        start = {"skills": len(names), "memory": memory(vectors, Path(table), opened)}
        phases, wrong = {}, 0
        order = rng.permutation(len(names))
        chances = 1.0 / np.arange(1, len(names) + 1)
        draws = {
            "first": order,
            "zipf": order[rng.choice(len(names), requests, p=chances / chances.sum())],
            "uniform": rng.integers(len(names), size=requests),
        }
        for phase, skills in draws.items():
            opened.clear()
            if dropped := phase == "first" and hasattr(os, "posix_fadvise"):
                with open(Path(store) / DATA, "rb") as file:  # asks the system to drop it from the page cache
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            read = disk_bytes()
            measured = measure(opened, [names[k] for k in skills], dialogues, rng, phase)
            wrong += measured.pop("wrong")
            measured |= {"cache_dropped": dropped, "disk_bytes": disk_bytes() - read}
            phases[phase] = {**measured, "memory": memory(vectors, Path(table), opened)}
    return {**start, "phases": phases, "wrong": wrong}


def measure(
    store: SkillStore, names: Sequence[str], dialogues: Dialogues, rng: np.random.Generator, phase: str
) -> dict[str, Any]:
    """Sends one request to each of ``names``, in order, and times it; answers are checked after the clock stops."""
    seconds, warm, which = np.empty(len(names)), np.empty(len(names), bool), rng.random(len(names))
    process, start, wrong, peak = psutil.Process(), time.perf_counter(), 0, 0
    for i, name in enumerate(tqdm(names, desc=phase, unit="request", mininterval=1.0)):
        said_to_it = dialogues[name.rpartition("#")[0]]
        text, expected = said_to_it[int(which[i] * len(said_to_it))]
        hits, begun = store.hits, time.perf_counter()
        said = store.skill(name).predict([text])[0]
        seconds[i] = time.perf_counter() - begun
        warm[i] = store.hits > hits
        wrong += [said.intent, [*map(list, said.slots)]] != expected
        if i % WATCHED == 0:
            peak = max(peak, process.memory_info().rss)
    return {
        "requests": len(names),
        "skills_asked": len(set(names)),
        "hit_rate": float(warm.mean()),
        "per_second": len(names) / (time.perf_counter() - start),
        "all": percentiles(seconds),
        "warm": percentiles(seconds[warm]),
        "cold": percentiles(seconds[~warm]),
        "peak_resident": peak,
        "wrong": wrong,
    }


def percentiles(seconds: np.ndarray) -> dict[str, float] | None:
    """Returns median, 99th percentile and mean in milliseconds; ``None`` where there was no request."""
    if not len(seconds):
        return None
    p50, p99 = np.percentile(seconds * 1000, [50, 99])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "mean_ms": float(seconds.mean() * 1000)}


def memory(table: VectorTable, folder: Path, store: SkillStore) -> dict[str, Any]:
    """Returns the memory of this process in bytes, and how much of it other processes share.

    ``resident`` pages; of these ``unique`` to this process and ``shared`` with others; on Linux ``proportional``
    (shared pages divided by their sharers) and the same two of the ``table`` alone; what the ``open_skills`` take and
    how many are ``opened``.
    """
    full = (process := psutil.Process()).memory_full_info()
    found = {"resident": full.rss, "unique": full.uss, "shared": max(full.rss - full.uss, 0)}
    if hasattr(full, "pss"):
        mapped = [m for m in process.memory_maps() if Path(m.path).parent == folder.resolve()]
        resident, proportional = (sum(getattr(m, kind) for m in mapped) for kind in ("rss", "pss"))
        found["proportional"] = full.pss
        found["table"] = {"bytes": table.nbytes, "resident": resident, "proportional": proportional}
    return {**found, "open_skills": store.open_bytes, "opened": len(store.opened)}


def disk_bytes() -> int:
    """Returns the bytes that this process had read from storage so far; 0 where the system does not say."""
    try:
        return psutil.Process().io_counters().read_bytes
    except (AttributeError, psutil.Error):
        return 0


if __name__ == "__main__":
    json.dump(serve(**json.load(sys.stdin)), sys.stdout)
