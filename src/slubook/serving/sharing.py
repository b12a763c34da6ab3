"""Shared, local and private word vectors side by side: what each gets right and what each weighs.

Part of the serving experiment; see :mod:`slubook.serving.protocol`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from slubook.ch1_skills.dnn import DNN, DNNConfig, fit_together
from slubook.ch1_skills.skillsets import Skill
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.utterance import Prediction
from slubook.evaluation.metrics import outcomes
from slubook.experiments.bench import latency_ms
from slubook.experiments.records import Row
from slubook.serving.packed import PackedSkill
from slubook.serving.packing import BITS, bytes_per_part, pack

METHODS = {
    "generic_only": "Generic table alone",
    "shared_local": "Shared + local",
    "local_only": "Local table alone",
    "private_full": "Private copy of the table",
    "packed": "Shared + local, as served",
    "packed_8": "Shared + local, all at 8 bits",
    "packed_4": "Shared + local, all at 4 bits",
}
PACKINGS: dict[str, Mapping[str, int]] = {
    "packed": BITS,
    "packed_8": dict.fromkeys(BITS, 8),
    "packed_4": dict.fromkeys(BITS, 4),
}
#: What the chapter compares, (baseline, proposed).
PAIRS = (
    ("generic_only", "shared_local"),
    ("local_only", "shared_local"),
    ("private_full", "shared_local"),
    ("shared_local", "packed"),
    ("shared_local", "packed_8"),
    ("shared_local", "packed_4"),
    ("private_full", "packed"),
)
VECTOR_BYTES = 2  # a private table would be float16 like the shared one


def compare_methods(
    skill: Skill, size: int, seed: int, table: VectorTable, settings: DNNConfig
) -> tuple[list[Row], DNN]:
    """Train and judge every method of ``METHODS`` on one draw of one skill.

    Returns:
        One row a method, and the network that is served.
    """
    train, dev = skill.draw(size, seed)
    texts = [u.text for u in skill.test]
    rows: list[Row] = []

    def judge(method: str, said: list[Prediction], seconds: float, latency: float, weight: int) -> None:
        rows.append(Row(skill.name, method, size, seed, outcomes(skill.test, said), seconds, latency, weight))

    def learn(tables: dict[str, VectorTable | None], correction: str) -> dict[str, DNN]:
        start = time.perf_counter()
        changed = replace(settings, network=replace(settings.network, correction=correction))
        models = fit_together(tables, train, dev, seed, changed)
        share = (time.perf_counter() - start) / len(models)
        for method, model in models.items():
            weight = model.size_bytes()
            if correction == "generic":  # a private copy holds every row of the table, not the corrected ones alone
                weight += table.nbytes - 4 * model.network.local.numel()
            judge(method, model.predict(texts), share, latency_ms(model, skill.test), weight)
        return models

    served = learn({"shared_local": table, "local_only": None}, "projected")["shared_local"]
    learn({"generic_only": table}, "none")
    learn({"private_full": table}, "generic")
    for method, bits in PACKINGS.items():
        blob = pack(served.network, served.encoder, table, bits)
        packed = PackedSkill(blob, table)
        judge(method, packed.predict(texts), 0.0, latency_ms(packed, skill.test), len(blob))
    return rows, served


def byte_table(blobs: Mapping[str, bytes], float32: Sequence[int], table: VectorTable, copies: int) -> dict[str, Any]:
    """Exact bytes: of one skill and its parts, of the shared table, and of other ways to serve as many skills.

    Args:
        blobs: the packed originals.
        float32: bytes of each original before it was packed.
        table: the generic table.
        copies: skills served.

    Returns:
        ``skill`` (means over the originals: its parts, ``packed``, ``float32``, ``words``), ``table``, and
        ``total`` for that many skills: ``shared`` (one table and all packed skills), ``private_full`` (each with
        a table of its own, packed heads), ``private_rows`` (the same without the sub-word rows),
        ``private_small`` (each with the generic vectors of its own words only) and ``private_folded`` (the same,
        already projected and corrected: rows as wide and as exact as the local ones, and no projection beside them).
    """
    parts = [bytes_per_part(blob) for blob in blobs.values()]
    mean = {part: float(np.mean([p[part] for p in parts])) for part in parts[0]}
    words = float(np.mean([PackedSkill(b, table).vocabulary for b in blobs.values()]))
    packed = float(np.mean([len(b) for b in blobs.values()]))
    heads = packed - mean["local"]
    return {
        "skill": {"parts": mean, "packed": packed, "float32": float(np.mean(float32)), "words": words},
        "table": {
            "name": table.name, "words": len(table.index), "buckets": len(table.buckets), "dim": table.dim,
            "bytes": table.nbytes, "per_skill": table.nbytes / copies,
        },
        "total": {
            "shared": table.nbytes + copies * packed,
            "private_full": copies * (table.nbytes + heads),
            "private_rows": copies * (len(table.index) * table.dim * VECTOR_BYTES + heads),
            "private_small": copies * (words * table.dim * VECTOR_BYTES + heads),
            "private_folded": copies * (packed - mean["project"]),
        },
    }  # fmt: skip
