"""Requests to a skill store, one at a time in one process: who waits how long, and what stays in memory.

Runs as a process of its own (``python -m slubook.serving.traffic JOB ANSWER``), so that memory is that of
serving alone: nothing here imports torch. The caller sets ``OMP_NUM_THREADS=1`` and its like, so that linear
algebra runs on one thread. Three phases:

- *first*: every skill once, in random order, with nothing open and, where the system allows it, none of the
  file in the page cache: what the first user of a skill waits;
- *zipf*: a few skills are asked often and most hardly ever (the chance of the skill of rank r goes as 1 / r);
- *uniform*: all skills are asked equally, the worst case for keeping some of them open.

In the last two, *warm* requests find their skill open and *cold* ones do not; whatever part of the file the system
has come to keep in its page cache stays there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from slubook.ch1_skills.vectors import VectorTable
from slubook.files import write_atomically
from slubook.serving.store import DATA, SkillStore

WATCHED = 50  # requests between two looks at the resident memory


@dataclass(frozen=True)
class Job:
    """What to serve and whom.

    Attributes:
        store: folder of the skill store; the skill ``name#7`` is a copy of ``name``.
        table: folder of the generic table.
        texts: what users say to each original.
        answers: what the original answers to it, as :func:`answer` writes it.
        capacity: bytes for open skills.
        requests: of the *zipf* and the *uniform* phase, each.
        seed: of the order of requests.
    """

    store: str
    table: str
    texts: dict[str, list[str]]
    answers: dict[str, list[str]]
    capacity: int
    requests: int
    seed: int = 0


def serve(job: Job) -> dict[str, Any]:
    """Run the three phases and measure.

    Returns:
        ``phases`` (one dict each: latencies in milliseconds, hit rate, requests a second, memory), ``memory``
        before the first request, and ``wrong`` (answers that differ from the original's).
    """
    rng = np.random.default_rng(job.seed)
    table = VectorTable.load(Path(job.table))
    with SkillStore(Path(job.store), table, job.capacity) as store:
        names = list(store.stored.places)
        start = {"skills": len(names), "memory": memory(table, Path(job.table), store)}
        phases, wrong = {}, 0
        order = rng.permutation(len(names))
        chances = 1.0 / np.arange(1, len(names) + 1)
        draws = {
            "first": order,
            "zipf": order[rng.choice(len(names), job.requests, p=chances / chances.sum())],
            "uniform": rng.integers(len(names), size=job.requests),
        }
        for phase, skills in draws.items():
            store.clear()
            dropped = phase == "first" and drop_cache(Path(job.store) / DATA)
            read = disk_bytes()
            measured = measure(store, [names[k] for k in skills], job, rng, phase)
            wrong += measured.pop("wrong")
            read = disk_bytes() - read
            phases[phase] = {
                **measured,
                "cache_dropped": dropped,
                "disk_bytes": read,
                "memory": memory(table, Path(job.table), store),
            }
        return {**start, "phases": phases, "wrong": wrong}


def measure(store: SkillStore, names: Sequence[str], job: Job, rng: np.random.Generator, phase: str) -> dict[str, Any]:
    """Send one request to each of ``names``, in order, and time it; the answer is checked after the clock stops."""
    seconds, warm = np.empty(len(names)), np.empty(len(names), bool)
    which = rng.random(len(names))
    wrong = peak = 0
    process, start = psutil.Process(), time.perf_counter()
    for i, name in enumerate(tqdm(names, desc=phase, unit="request", mininterval=1.0)):
        original = name.rpartition("#")[0]
        k = int(which[i] * len(job.texts[original]))
        hits, begun = store.hits, time.perf_counter()
        said = store.skill(name).predict([job.texts[original][k]])[0]
        seconds[i] = time.perf_counter() - begun
        warm[i] = store.hits > hits
        wrong += answer(said.intent, said.slots) != job.answers[original][k]
        if i % WATCHED == 0:
            peak = max(peak, process.memory_info().rss)
    wall = time.perf_counter() - start
    return {
        "requests": len(names),
        "skills_asked": len(set(names)),
        "hit_rate": float(warm.mean()),
        "per_second": len(names) / wall,
        "all": percentiles(seconds),
        "warm": percentiles(seconds[warm]),
        "cold": percentiles(seconds[~warm]),
        "peak_resident": peak,
        "wrong": wrong,
    }


def answer(intent: str, slots: Sequence[tuple[str, int, int]]) -> str:
    """An answer in one line, to be compared."""
    return json.dumps([intent, *map(list, slots)], ensure_ascii=False)


def percentiles(seconds: np.ndarray) -> dict[str, float] | None:
    """Median, 99th percentile and mean in milliseconds; ``None`` where there was no request."""
    if not len(seconds):
        return None
    p50, p99 = np.percentile(seconds * 1000, [50, 99])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "mean_ms": float(seconds.mean() * 1000)}


def memory(table: VectorTable, folder: Path, store: SkillStore) -> dict[str, Any]:
    """Memory of this process in bytes, and how much of it other processes share.

    Returns:
        ``resident`` pages; of these ``unique`` to this process and ``shared`` with others; on Linux
        ``proportional`` (shared pages divided by their sharers) and the same two of the ``table`` alone; what the
        ``open_skills`` take and how many are ``opened``.
    """
    process = psutil.Process()
    full = process.memory_full_info()
    kept = {"resident": full.rss, "unique": full.uss, "shared": max(full.rss - full.uss, 0)}
    if hasattr(full, "pss"):
        mapped = [m for m in process.memory_maps() if Path(m.path).parent == folder.resolve()]
        kept |= {
            "proportional": full.pss,
            "table": {
                "bytes": table.nbytes,
                "resident": sum(m.rss for m in mapped),
                "proportional": sum(m.pss for m in mapped),
            },
        }
    return {**kept, "open_skills": store.open_bytes, "opened": store.opened}


def drop_cache(path: Path) -> bool:
    """Ask the system to forget its copy of a file; whether it could be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def disk_bytes() -> int:
    """Bytes that this process had read from storage so far; 0 where the system does not say."""
    try:
        return psutil.Process().io_counters().read_bytes
    except (AttributeError, psutil.Error):
        return 0


def main(job: str, out: str) -> None:
    """Read a job, serve it, write what was measured."""
    measured = serve(Job(**json.loads(Path(job).read_text(encoding="utf-8"))))
    write_atomically(Path(out), json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
