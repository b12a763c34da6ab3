"""Packs a trained network into the blob that :class:`slubook.serving.packed.PackedSkill` reads, and copies such blobs.

Taught in chapter 1, *Shared and local embeddings*. Networks of later chapters add to the blob what chapter 1's lacks:
see :func:`slubook.serving.served.pack_network`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors.numpy import load, save
from torch import Tensor

from slubook.ch1_skills.encoding import UNKNOWN, WORD_LENGTH, Encoder
from slubook.ch1_skills.network import Network
from slubook.ch1_skills.vectors import VectorTable
from slubook.serving.packed import FORMAT, Rows, StoreError, from_nibbles, hashed, quantise, to_nibbles

#: Bits of each matrix. The recurrent layers and the rows of words and n-grams are nine tenths of a skill, and lose
#: nothing measurable at four bits; the small matrices on the way in and out keep eight.
BITS: Mapping[str, int] = MappingProxyType(
    {"local": 4, "ngrams": 4, "lstm": 4, "project": 8, "char_filter": 8, "tag_head": 8, "intent_head": 8}
)
#: The parts of a blob, by the first word of its tensors' names, for :func:`bytes_per_part`.
_PARTS = {"words": "local", "about": "labels", "crf": "heads", "tag_head": "heads", "intent_head": "heads"}


def pack(
    network: Network,
    encoder: Encoder,
    table: VectorTable,
    bits: Mapping[str, int] = BITS,
    facts: Mapping[str, Any] = MappingProxyType({}),
    added: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> bytes:
    """Returns one skill as one blob.

    Args:
        network, encoder: trained, a single one (G = 1), its own word rows added after the projection.
        table: the generic table that it was trained over; the blob keeps its stamp, not its rows.
        bits: 4 or 8 for each matrix, as in ``BITS``.
        facts, added: what to know of a network of a later chapter, and the tensors that only such a network has.

    Raises:
        StoreError: when the network is another one.
    """
    if network.groups != 1:
        raise StoreError(f"a bank of {network.groups} networks cannot be packed: pack each one's `single`")
    if network.config.correction != "projected":
        raise StoreError(f"a network with {network.config.correction!r} corrections has no small local table to pack")
    if type(network) is not Network and not facts:
        raise StoreError(f"a {type(network).__name__} is packed by slubook.serving.served.pack_network")
    order = np.argsort(hashes := hashed(encoder.ngrams))
    if len(np.unique(hashes)) < len(hashes):
        raise StoreError("two n-grams share a 32-bit hash: change one training utterance")
    about = {
        "format": FORMAT,
        "table": table.stamp,
        "table_name": table.name,
        "vector_norm": network.config.vector_norm,
        "layers": network.config.layers,
        "ngram_order": encoder.ngram_order,
        "word_length": WORD_LENGTH,
        "unknown": UNKNOWN,
        "characters": "".join(encoder.characters),
        "intents": encoder.intents,
        "tags": encoder.tags,
        **facts,
    }
    plain, matrices = network.packed_parts()
    matrices["ngrams"] = matrices["ngrams"][order.copy()]
    tensors = encode(plain, matrices, lambda name: bits["lstm" if name[0].isdigit() else name])
    return save(tensors | _labels(about, encoder.words) | {"ngrams.hashes": hashes[order], **added})


def encode(
    plain: Mapping[str, Tensor], matrices: Mapping[str, Tensor], bits: Callable[[str], int], prefix: str = ""
) -> dict[str, np.ndarray]:
    """Returns tensors as a blob keeps them: 16-bit floats where ``plain``, else quantised to ``bits`` of their name."""

    def array(values: Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.detach().numpy())

    tensors = {f"{prefix}{name}": array(values).astype(np.float16) for name, values in plain.items()}
    for name, matrix in matrices.items():
        rows = quantise(array(matrix), bits(name))
        tensors |= {f"{prefix}{name}.codes": rows.codes, f"{prefix}{name}.scales": rows.scales}
    return tensors


def _labels(about: Mapping[str, Any], words: list[str]) -> dict[str, np.ndarray]:
    texts = {"about": json.dumps(about, ensure_ascii=False), "words": "".join(f"{w}\n" for w in words)}
    return {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}


def bytes_per_part(blob: bytes) -> dict[str, int]:
    """Returns the bytes of each part of a skill; they sum to the blob's length."""
    parts: dict[str, int] = {}
    for name, values in load(blob).items():
        first = name.split(".")[0]
        part = "lstm" if first.isdigit() else "characters" if first.startswith("char") else _PARTS.get(first, first)
        parts[part] = parts.get(part, 0) + values.nbytes
    return {**parts, "container": len(blob) - sum(parts.values())}


def copy_of(blob: bytes, rng: np.random.Generator) -> bytes:
    """Returns a copy of a skill of chapter 1 that differs in nearly every byte and answers alike.

    There are not 100,000 public skills, so real ones are copied, each in an order of its own: of its words, intents,
    projected dimensions, character filters, and the hidden units of each layer and direction. A network's answers do
    not depend on that order, so a run can check them; but neither the file nor the page cache nor memory can hold two
    copies as one. Only the small CRF and the hashes of the n-grams stay as they are.
    """
    tensors = dict(load(blob))
    about = json.loads(tensors["about"].tobytes())
    words = tensors["words"].tobytes().decode().splitlines()
    hidden = tensors["0.w_rec.scales"].shape[1]
    by_word, by_intent = rng.permutation(len(words)), rng.permutation(len(about["intents"]))
    by_dimension, by_filter = (rng.permutation(len(tensors[f"{n}.bias"])) for n in ("project", "char_filter"))
    by_unit = np.array([[rng.permutation(hidden) for _ in range(2)] for _ in range(about["layers"])])

    def reorder(name: str, rows: np.ndarray | None = None, columns: np.ndarray | None = None) -> None:
        codes, scales = (tensors[f"{name}.{part}"] for part in Rows._fields)
        if rows is not None:
            codes, scales = _taken(codes, rows, -2), _taken(scales, rows, -2)
        if columns is not None and codes.dtype == np.uint8:
            codes = to_nibbles(_taken(from_nibbles(codes), columns, -1))
        elif columns is not None:
            codes = _taken(codes, columns, -1)
        tensors[f"{name}.codes"], tensors[f"{name}.scales"] = codes, scales
        if columns is not None and f"{name}.bias" in tensors:
            tensors[f"{name}.bias"] = tensors[f"{name}.bias"][columns]

    tensors |= _labels({**about, "intents": [about["intents"][i] for i in by_intent]}, [words[i] for i in by_word])
    reorder("local", np.concatenate([[0], 1 + by_word]), by_dimension)
    reorder("ngrams", None, by_intent)
    reorder("project", None, by_dimension)
    reorder("char_filter", None, by_filter)
    inputs = np.concatenate([by_dimension, len(by_dimension) + by_filter])
    outputs = []
    for i, units in enumerate(by_unit):  # units: [2, H]
        gates = np.concatenate([k * hidden + units for k in range(4)], 1)  # [2, 4H]
        reorder(f"{i}.w_in", np.stack([inputs, inputs]), gates)
        reorder(f"{i}.w_rec", units, gates)
        tensors[f"{i}.bias"] = _taken(tensors[f"{i}.bias"], gates, -1)
        inputs = np.concatenate([units[0], hidden + units[1]])
        outputs.append(inputs)
    reorder("tag_head", outputs[-1])
    reorder("intent_head", np.concatenate([outputs[0], 2 * hidden + outputs[-1]]), by_intent)
    return save({name: np.ascontiguousarray(values) for name, values in tensors.items()})


def _taken(values: np.ndarray, order: np.ndarray, axis: int) -> np.ndarray:
    """Returns values in another order along an axis; of a layer, which has two directions, each in its own."""
    if values.ndim == 2:
        return values.take(order, axis)
    return np.stack([part.take(one, axis) for part, one in zip(values, order, strict=True)])
