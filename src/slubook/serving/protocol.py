"""Runs chapter 1's second experiment: what one shared table and many small stores cost, and what they give up.

Protocol (raise its number in the table when its meaning changes):

- *Accuracy*: on the skills of chapter 1, a hundred training utterances each, the same draws for all: the generic table
  alone, with a small local table (what is served), a local table alone, and a private copy of the whole table,
  fine-tuned. The private copy is trained as a correction to the rows of the training words: the other rows would get no
  gradient. The served network is also judged as it is packed, and with all its matrices at eight and at four bits.
- *Serving*: the skills of the first draw (full: the embedded ones too), packed and copied to thousands
  (:func:`slubook.serving.packing.copy_of`), then asked real test utterances by :mod:`slubook.serving.traffic`, in one
  process, on one thread. Every answer is compared with the original's.
- *Cost*: exact bytes of the store, and of what the same skills would need with private tables.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from slubook.ch1_skills.bench import latency_ms
from slubook.ch1_skills.dnn import DNN, DNNConfig, fit_together
from slubook.ch1_skills.protocol import vectors_for
from slubook.ch1_skills.skillsets import QUICK_SIZE, Skill, fingerprint, skills_of, test_of
from slubook.ch1_skills.tables import table_folder
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.evaluation.metrics import outcomes
from slubook.experiments.cells import CellsFailed, Key, Measured, Task, measure
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results, Row
from slubook.experiments.runner import Identity, Work, load_earlier
from slubook.experiments.stamps import add_origins, stamp
from slubook.files import KeptError
from slubook.profiles import cache_dir
from slubook.serving.packed import PackedSkill
from slubook.serving.packing import BITS, bytes_per_part, copy_of, pack
from slubook.serving.store import PAGE, append

SIZE = QUICK_SIZE  # training utterances of each skill
#: Bits of each matrix, of the methods that are packed.
PACKINGS = {"packed": BITS, "packed_8": dict.fromkeys(BITS, 8), "packed_4": dict.fromkeys(BITS, 4)}
#: What the chapter compares, (baseline, proposed).
PAIRS = (
    *((baseline, "shared_local") for baseline in ("generic_only", "local_only", "private_full")),
    *(("shared_local", packing) for packing in PACKINGS),
    ("private_full", "packed"),
)


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


def skills_and_table(profile: str) -> tuple[Sequence[Skill], Sequence[Skill], VectorTable]:
    """Returns the skills to compare the methods on, those that are only served, and the generic table of both.

    It is the FastText table that chapter 1 trains on its pool, if need be now. Raises CorpusError without a corpus.
    """
    vectors = vectors_for(Options(profile))
    served = skills_of("skills", load("skills"), keep_split=True) if profile == "full" else []
    return vectors.skills, served, vectors.trained("pool", None)


def settings_of(kind: str) -> DNNConfig:
    """Returns the usual network; the quick profile trains a third as long: it shows the machinery."""
    return DNNConfig(training=TrainingConfig(updates=160)) if kind == "quick" else DNNConfig()


def config_of(kind: str, settings: DNNConfig) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": kind, "size": SIZE, "bits": dict(BITS), **asdict(settings)}


def prepare(options: Options, settings: DNNConfig) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts.

    Raises:
        CorpusError: when asked for a limit of time or a cluster; when a corpus is missing.
    """
    asked = {"--minutes": options.until < math.inf, "--backend dask": options.backend != "loky"}
    if refused := [option for option, given in asked.items() if given]:
        raise CorpusError(f"experiment 'serving' runs as a whole, on the book's skills: not {', '.join(refused)}")
    compared, served, table = skills_and_table(options.profile)
    scale, skills = replace(SCALES[options.profile], seeds=options.draws), {s.name: s for s in (*compared, *served)}
    tests = {s.name: test_of(s) for s in compared}

    def task(key: Key) -> Task:
        name, size, seed = key
        return measure_cell, (skills[name], size, seed, name in tests, table.name, settings)

    drawn = [*((s, 0) for s in served), *((s, seed) for seed in range(scale.seeds) for s in compared)]
    data = {**{name: fingerprint(s) for name, s in skills.items()}, f"vectors {table.name}": table.stamp}
    every = [(s.name, SIZE, seed) for s, seed in drawn]
    if (keys := options.choose(every, lambda key: [table.name])) != every:  # some cells serve nothing
        return Work(keys, task, tests, data)
    return Serving(keys, task, tests, data, skills=skills, table=table, scale=scale)


@dataclass(frozen=True, kw_only=True)
class Serving(Work):
    """Networks to train, of ``skills`` over a generic ``table``, and the traffic that they serve together."""

    skills: Mapping[str, Skill]
    table: VectorTable
    scale: Scale

    def measure(self, identity: Identity, options: Options, began: float) -> Results:
        """Trains and serves; finished cells and a finished serving run are kept.

        Raises:
            RecordsError: when the results file holds results of other data, or of a larger run.
            CellsFailed: when networks could not be trained; the others are kept.
            KeptError: when the disk has no room for the store.
        """
        earlier, scale, table, out = load_earlier(options.out, identity), self.scale, self.table, options.out
        if earlier and any(earlier.tables["scale"][k] > v for k, v in asdict(scale).items()):
            raise RecordsError(f"{out}: holds a larger run: move it away, or name another folder with --out")
        cells = identity.store()
        if errors := measure(self.keys, self.task, cells, options, identity.experiment):
            raise CellsFailed(errors)
        contents = {key: cells.get(key) for key in self.keys}
        first = {name: contents[name, SIZE, 0] for name in self.skills}
        blobs = {name: base64.b64decode(cell["blob"]) for name, cell in first.items()}
        key = ("traffic", *asdict(scale).values())
        if not cells.has(key):
            cells.put(key, serve_copies(blobs, [*self.skills.values()], table, scale))
        rows = [Row.from_json(row, self.tests) for cell in contents.values() for row in cell["rows"]]
        origins, done = add_origins((), contents.values()), len(self.keys)
        tables = {
            "bytes": byte_table(blobs, [cell["float32"] for cell in first.values()], table, scale.copies),
            "scale": asdict(scale),
            "traffic": cells.get(key),
            "cells": {"done": done, "planned": done},
            "origins": origins,
        }
        memory, spent = max(c["memory_mb"] for c in contents.values()), sum(origin["cell_s"] for origin in origins)
        measured = (range(scale.seeds), time.time() - began, options.jobs, memory, spent)
        stamped = stamp(identity.protocol, identity.config, identity.data, *measured)
        results = Results(identity.experiment, stamped, self.tests, rows, tables)
        if out:
            results.save(out)
        return results


def measure_cell(skill: Skill, size: int, seed: int, compared: bool, table_name: str, settings: DNNConfig) -> Measured:
    """Measures all methods on one draw of one skill, or trains what is served alone; packs that at seed 0."""
    table, (train, dev) = VectorTable.load(table_folder(table_name)), skill.draw(size, seed)
    rows: list[Row] = []

    def judge(method: str, model: DNN | PackedSkill, seconds: float, nbytes: int) -> None:
        measured = outcomes(skill.test, model.predict([u.text for u in skill.test]))
        rows.append(Row(skill.name, method, size, seed, measured, seconds, latency_ms(model, skill.test), nbytes))

    def learn(correction: str, **tables: VectorTable | None) -> dict[str, DNN]:
        start = time.perf_counter()
        changed = replace(settings, network=replace(settings.network, correction=correction))
        models = fit_together(tables, train, dev, seed, changed)
        share = (time.perf_counter() - start) / len(models)
        private = correction == "generic"  # a private copy holds every row of the table, not the corrected ones alone
        for method, model in models.items():
            more = table.nbytes - 4 * model.network.local.numel() if private else 0
            judge(method, model, share, model.size_bytes() + more)
        return models

    if compared:
        served = learn("projected", shared_local=table, local_only=None)["shared_local"]
        learn("none", generic_only=table)
        learn("generic", private_full=table)
        for method, bits in PACKINGS.items():
            blob = pack(served.network, served.encoder, table, bits)
            judge(method, PackedSkill(blob, table), 0.0, len(blob))
    else:
        served = DNN(table, settings).fit(train, dev, seed)
    blob = {} if seed else {"blob": base64.b64encode(pack(served.network, served.encoder, table)).decode()}
    return Measured(rows, {table.name: table.stamp}, {"float32": served.size_bytes(), **blob})


def byte_table(blobs: Mapping[str, bytes], float32: Sequence[int], table: VectorTable, copies: int) -> dict[str, Any]:
    """Returns the exact bytes of one skill, of the shared table, and of other ways to serve as many copies.

    Args:
        blobs, float32: the packed originals, and the bytes of each before it was packed.
        table: the generic table.
        copies: skills served.

    Returns:
        ``skill`` (means over the originals), ``table``, and ``total`` for that many skills.
    """
    parts = [bytes_per_part(blob) for blob in blobs.values()]
    mean = {part: float(np.mean([p[part] for p in parts])) for part in parts[0]}
    words = float(np.mean([PackedSkill(b, table).vocabulary for b in blobs.values()]))
    packed = float(np.mean([len(b) for b in blobs.values()]))
    heads, row = packed - mean["local"], table.dim * 2  # private rows would be float16 like the shared ones
    return {
        "skill": {"parts": mean, "packed": packed, "float32": float(np.mean(float32)), "words": words},
        "table": {
            "name": table.name, "words": len(table.index), "buckets": len(table.buckets), "dim": table.dim,
            "bytes": table.nbytes, "per_skill": table.nbytes / copies,
        },
        "total": {
            "shared": table.nbytes + copies * packed,  # one table and all packed skills
            "private_full": copies * (table.nbytes + heads),  # each with a table of its own, packed heads
            "private_rows": copies * (len(table.index) * row + heads),  # the same without the sub-word rows
            "private_small": copies * (words * row + heads),  # each with the generic vectors of its own words only
            # the same, already projected and corrected: rows as wide and exact as the local ones, and no projection
            "private_folded": copies * (packed - mean["project"]),
        },
    }  # fmt: skip


def serve_copies(
    blobs: Mapping[str, bytes], skills: Sequence[Skill], table: VectorTable, scale: Scale
) -> dict[str, Any]:
    """Writes copies of skills to a store on disk, serves them in a process of their own, and deletes the store.

    The packed originals are copied in turn: the k-th copy is called ``name#k`` and shuffled by seed k.

    Returns:
        What :func:`slubook.serving.traffic.serve` measured, and how long writing took (``write_s``).

    Raises:
        KeptError: when the disk has no room for the store.
    """
    (home := cache_dir() / "serving").mkdir(parents=True, exist_ok=True)
    need = sum(len(b) + PAGE for b in blobs.values()) / len(blobs) * scale.copies
    if need > (free := shutil.disk_usage(home).free):
        raise KeptError(
            f"a store of {scale.copies:,} skills takes {need / 1e9:.1f} GB, {home} has {free / 1e9:.1f} GB free: "
            "serve fewer, or set SLUBOOK_CACHE to a folder on a larger disk"
        )
    dialogues = {}
    for skill in skills:
        said = PackedSkill(blobs[skill.name], table).predict(texts := [u.text for u in skill.test])
        dialogues[skill.name] = [(text, (p.intent, p.slots)) for text, p in zip(texts, said, strict=True)]
    order = (list(blobs)[k % len(blobs)] for k in tqdm(range(scale.copies), "copies", unit="skill", mininterval=1.0))
    copies = ((f"{name}#{k}", copy_of(blobs[name], np.random.default_rng(k))) for k, name in enumerate(order))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory(dir=home) as folder:
        start = time.perf_counter()
        append(Path(folder), copies)
        written = time.perf_counter() - start
        job = {"store": folder, "table": str(table_folder(table.name)), "dialogues": dialogues}
        job |= {"capacity": scale.capacity, "requests": scale.requests}
        command = [sys.executable, "-m", "slubook.serving.traffic"]
        done = subprocess.run(
            command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **threads}
        )
    return {**json.loads(done.stdout), "write_s": written}
