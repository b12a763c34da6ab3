"""Chapter 1's second experiment: what one shared table and many small stores cost, and what they give up.

Protocol (raise :data:`PROTOCOL` when its meaning changes):

- *Accuracy*: on the skills of chapter 1, 300 training utterances each, the same draws for all: the generic
  table alone, with a small local table (what is served), a local table alone, and a private copy of the whole
  table, fine-tuned. The private copy is trained as a correction to the rows of the training words: the other
  rows would get no gradient and stay as they are, so nothing is lost by not writing them down. The served network
  is also judged as it is packed, and with all its matrices at eight and at four bits.
- *Serving*: the skills of the first draw (full: the embedded ones too), packed and copied to thousands
  (:mod:`slubook.experiments.copies` says how copies differ), then asked real test utterances by
  :mod:`slubook.experiments.traffic`, in one process, on one thread. Every answer is compared with the original's.
- *Cost*: exact bytes of the store, and of what the same skills would need with private tables.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from slubook.corpora.registry import load
from slubook.corpora.skillsets import Skill, public_skills, skills_of
from slubook.evaluation.intervals import compare
from slubook.experiments.cells import CellStore, write_atomically
from slubook.experiments.copies import copy_of
from slubook.experiments.records import Results, Row
from slubook.experiments.sharing import accuracy_table, byte_table, compare_methods
from slubook.experiments.skills import QUICK_SIZE, QUICK_SKILLS, QUICK_SOURCES, fingerprint, test_of
from slubook.experiments.stamps import config_hash, stamp
from slubook.experiments.traffic import Job, answer
from slubook.experiments.vectors import SkillVectors
from slubook.learning.dnn import DNN, DNNConfig
from slubook.learning.fasttext import FastTextConfig
from slubook.learning.masked_lm import MaskedLMConfig
from slubook.learning.pool import build_pool, public_pool
from slubook.learning.tables import table_folder
from slubook.learning.training import TrainingConfig
from slubook.models.packed import PackedSkill
from slubook.models.packing import BITS, pack
from slubook.models.store import PAGE, append
from slubook.models.vectors import VectorTable
from slubook.profiles import cache_dir, seed_everything

EXPERIMENT, PROTOCOL = "serving", 1


@dataclass(frozen=True)
class Scale:
    """How much is served: copies in the store, bytes for open skills, requests a phase, draws for accuracy."""

    copies: int
    capacity: int
    requests: int
    seeds: int


SCALES = {
    "quick": Scale(copies=2_000, capacity=2**27, requests=4_000, seeds=1),
    "full": Scale(copies=100_000, capacity=2**32, requests=100_000, seeds=5),
}
#: The quick profile trains a third as long: it shows the machinery, the published run measures.
SETTINGS = {"quick": DNNConfig(training=TrainingConfig(updates=160)), "full": DNNConfig()}


@dataclass(frozen=True)
class Plan:
    """What a run consists of.

    Attributes:
        compared: skills to compare the methods on, and to serve.
        served: skills that are only served.
        table: the generic table, kept in the cache.
        size: training utterances of each.
    """

    compared: Sequence[Skill]
    served: Sequence[Skill]
    table: VectorTable
    size: int = QUICK_SIZE


def plan(profile: str) -> Plan:
    """The skills of the profile, and the FastText table that chapter 1 trains on its pool; trained if need be.

    Raises:
        CorpusError: when a corpus is missing.
    """
    embedded = skills_of("skills", load("skills"), keep_split=True)
    if profile == "full":
        compared, served = public_skills(), embedded
        pool = public_pool(compared)
    else:
        compared, served = [s for s in embedded if s.name.split("/")[1] in QUICK_SKILLS], []
        pool = build_pool(QUICK_SOURCES, [u.text for s in compared for u in s.test])
    vectors = SkillVectors(profile, compared, pool, FastTextConfig(), MaskedLMConfig())
    return Plan(compared, served, vectors.trained("pool", None))


def run(
    profile: str = "quick",
    out: Path | None = None,
    seeds: int | None = None,
    jobs: int = 2,
    copies: int | None = None,
    settings: DNNConfig | None = None,
    the_plan: Plan | None = None,
) -> Results:
    """Run the protocol; finished cells and a finished serving run are kept, and a stopped run goes on.

    Args:
        profile: ``quick`` or ``full``.
        out: where to write the results file; ``None`` writes none.
        seeds: how many draws for the accuracy.
        jobs: processes for training, one thread each; serving always takes one.
        copies: how many skills to serve.
        settings: of the networks, other than the profile's.
        the_plan: skills and table other than the profile's.

    Raises:
        OSError: when the disk has no room for the store.
    """
    start, the_plan = time.time(), the_plan or plan(profile)
    scale = SCALES[profile]
    scale = replace(scale, copies=copies or scale.copies, seeds=seeds or scale.seeds)
    settings = settings or SETTINGS[profile]
    config = {"profile": profile, "size": the_plan.size, "bits": dict(BITS), **asdict(settings)}
    skills = [*the_plan.compared, *the_plan.served]
    data = {s.name: fingerprint(s) for s in skills} | {f"vectors {the_plan.table.name}": the_plan.table.stamp}
    cells = CellStore(
        cache_dir() / "cells" / f"{EXPERIMENT}-{profile}",
        config_hash({"config": config, "data": data, "protocol": PROTOCOL}),
    )
    _measure(the_plan, scale, settings, cells, jobs)
    first = {s.name: cells.get((s.name, 0)) for s in skills}
    blobs = {name: base64.b64decode(cell["blob"]) for name, cell in first.items()}
    key = ("traffic", *asdict(scale).values())
    if not cells.has(key):
        cells.put(key, serve_copies(blobs, skills, the_plan.table, scale))
    tests = {s.name: test_of(s) for s in the_plan.compared}
    rows = [
        Row.from_json(row, tests)
        for s in the_plan.compared
        for seed in range(scale.seeds)
        for row in cells.get((s.name, seed))["rows"]
    ]
    weighed = byte_table(blobs, [cell["float32"] for cell in first.values()], the_plan.table, scale.copies)
    lost = compare(rows, "irer", "private_full", "shared_local", statistic="absolute_gain")
    tables = {
        "skills": cells.get(key)["phases"]["first"]["skills_asked"],
        "accuracy_difference": {"point": lost.point, "low": lost.low, "high": lost.high, "n": lost.n_skills},
        "memory_ratio": weighed["total"]["private_full"] / weighed["total"]["shared"],
        "accuracy": accuracy_table(rows),
        "bytes": weighed,
        "scale": asdict(scale),
        "traffic": cells.get(key),
    }
    stamped = stamp(PROTOCOL, config, data, range(scale.seeds), time.time() - start, jobs)
    results = Results(EXPERIMENT, stamped, tests, rows, tables)
    if out:
        results.save(out)
    return results


def _measure(the_plan: Plan, scale: Scale, settings: DNNConfig, cells: CellStore, jobs: int) -> None:
    todo = [(s, 0, False) for s in the_plan.served]
    todo += [(s, seed, True) for seed in range(scale.seeds) for s in the_plan.compared]
    todo = [(s, seed, compared) for s, seed, compared in todo if not cells.has((s.name, seed))]
    tasks = (joblib.delayed(_one)(*cell, the_plan.size, the_plan.table.name, settings, cells) for cell in todo)
    with tqdm(total=len(todo), desc=EXPERIMENT, unit="cell") as bar:
        for _ in joblib.Parallel(jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)(tasks):
            bar.update()


def _one(
    skill: Skill, seed: int, compared: bool, size: int, table_name: str, settings: DNNConfig, cells: CellStore
) -> None:
    seed_everything(seed, threads=1)
    table = VectorTable.load(table_folder(table_name))
    if compared:
        rows, served = compare_methods(skill, size, seed, table, settings)
    else:
        rows, served = [], DNN(table, settings).fit(*skill.draw(size, seed), seed)
    content = {"rows": [r.to_json() for r in rows], "float32": served.size_bytes()}
    if seed == 0:
        content["blob"] = base64.b64encode(pack(served.network, served.encoder, table)).decode()
    cells.put((skill.name, seed), content)


def serve_copies(
    blobs: Mapping[str, bytes], skills: Sequence[Skill], table: VectorTable, scale: Scale
) -> dict[str, Any]:
    """Write ``scale.copies`` skills to a store on disk, send them requests from a process of their own, clean up.

    Args:
        blobs: the packed originals; their copies are spread evenly.
        skills: for their test utterances.
        table: the generic table, saved in the cache.
        scale: how much.

    Returns:
        What :func:`slubook.experiments.traffic.serve` measured, and how long the store took to ``write_s``.

    Raises:
        OSError: when the disk has no room for the store.
    """
    (home := cache_dir() / "serving").mkdir(parents=True, exist_ok=True)
    need = sum(len(b) + PAGE for b in blobs.values()) / len(blobs) * scale.copies
    if need > (free := shutil.disk_usage(home).free):
        raise OSError(
            f"a store of {scale.copies:,} skills takes {need / 1e9:.1f} GB, {home} has {free / 1e9:.1f} GB free: "
            "serve fewer, or set SLUBOOK_CACHE to a folder on a larger disk"
        )
    texts = {s.name: [u.text for u in s.test] for s in skills}
    originals = {name: PackedSkill(blob, table) for name, blob in blobs.items()}
    answers = {name: [answer(p.intent, p.slots) for p in originals[name].predict(said)] for name, said in texts.items()}
    with tempfile.TemporaryDirectory(dir=home) as folder:
        start = time.perf_counter()
        append(Path(folder) / "store", copies_of(blobs, scale.copies))
        written = time.perf_counter() - start
        job = Job(f"{folder}/store", str(table_folder(table.name)), texts, answers, scale.capacity, scale.requests)
        write_atomically(Path(folder) / "job.json", json.dumps(asdict(job)))
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-m", "slubook.experiments.traffic", f"{folder}/job.json", f"{folder}/answer.json"],
            check=True,
            env=one_thread,
        )
        measured = json.loads((Path(folder) / "answer.json").read_text(encoding="utf-8"))
    return {**measured, "write_s": written}


def copies_of(blobs: Mapping[str, bytes], count: int) -> Iterator[tuple[str, bytes]]:
    """``count`` copies, of each original in turn: the k-th is called ``name#k`` and shuffled by seed k."""
    names = list(blobs)
    for k in tqdm(range(count), desc="copies", unit="skill", mininterval=1.0):
        name = names[k % len(names)]
        yield f"{name}#{k}", copy_of(blobs[name], np.random.default_rng(k))
