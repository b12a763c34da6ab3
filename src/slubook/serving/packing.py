"""From a trained network to the blob that :class:`slubook.serving.packed.PackedSkill` reads.

Taught in chapter 1, *Shared and local embeddings*. Chapter 2's network is packed like chapter 1's, and chapter 3's like
that with the language model that it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from slubook.ch1_skills.encoding import UNKNOWN, WORD_LENGTH, Encoder
from slubook.ch1_skills.network import Network
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.stacked import StackedNetwork
from slubook.ch3_elmol.bilm import BEGIN, END, SPECIAL, BiLM
from slubook.ch3_elmol.bilm import UNKNOWN as UNKNOWN_LETTER
from slubook.ch3_elmol.contextual import ContextualNetwork
from slubook.serving.packed import FORMAT, StoreError, hashed, quantise

#: Bits of each matrix. The recurrent layers and the rows of words and n-grams are nine tenths of a skill, and
#: lose nothing measurable at four bits; the small matrices on the way in and out keep eight.
BITS: Mapping[str, int] = MappingProxyType(
    {"local": 4, "ngrams": 4, "lstm": 4, "project": 8, "char_filter": 8, "tag_head": 8, "intent_head": 8}
)
#: A language model keeps eight everywhere: what it reads is passed on through all layers above it.
READER_BITS = 8
#: The parts of a blob, by the first word of its tensors' names, for :func:`bytes_per_part`.
_PARTS = {"words": "local", "about": "labels", "crf": "heads", "tag_head": "heads", "intent_head": "heads"}


def pack(network: Network, encoder: Encoder, table: VectorTable, bits: Mapping[str, int] = BITS) -> bytes:
    """One skill as one blob.

    Args:
        network: trained, a single one (G = 1), its own word rows added after the projection.
        encoder: its vocabulary.
        table: the generic table that it was trained over; the blob keeps its stamp, not its rows.
        bits: 4 or 8 for each matrix, as in ``BITS``.

    Raises:
        StoreError: when the network is a bank of several, keeps its corrections elsewhere, or reads word vectors beside
            its words.
    """
    if network.groups != 1:
        raise StoreError(f"a bank of {network.groups} networks cannot be packed: pack each one's `single`")
    if network.config.correction != "projected":
        raise StoreError(f"a network with {network.config.correction!r} corrections has no small local table to pack")
    order = np.argsort(hashes := np.array([hashed(f) for f in encoder.ngrams], np.uint32))
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
    }
    if isinstance(network, StackedNetwork):
        about["stacked"] = True
    reader = pack_reader(network) if isinstance(network, ContextualNetwork) else None
    if reader:
        about["reader"] = reader[0]
    crf = network.crf
    plain = {
        "characters": network.characters[0],
        "crf.start": crf.start[0, 0] + crf.legal_start,
        "crf.step": crf.step[0] + crf.legal_step,
        "crf.end": crf.end[0, 0],
    }
    matrices = {"local": network.local[0], "ngrams": network.intent_ngrams.weight[0][order.copy()]}
    for name in ("project", "char_filter", "tag_head", "intent_head"):
        linear = getattr(network, name)
        matrices[name], plain[f"{name}.bias"] = linear.weight[0], linear.bias[0, 0]
    plain["intent_head.bias"] = plain["intent_head.bias"] + network.intent_ngrams.bias[0, 0]
    for i, layer in enumerate(network.encoders):
        matrices[f"{i}.w_in"], matrices[f"{i}.w_rec"], plain[f"{i}.bias"] = layer.w_in, layer.w_rec, layer.bias
    tensors = {
        "about": _bytes(json.dumps(about, ensure_ascii=False)),
        "words": _bytes("".join(f"{w}\n" for w in encoder.words)),
        "ngrams.hashes": hashes[order],
        **{name: _numpy(values).astype(np.float16) for name, values in plain.items()},
    }
    for name, matrix in matrices.items():
        rows = quantise(_numpy(matrix), bits["lstm" if name[0].isdigit() else name])
        tensors |= {f"{name}.codes": rows.codes, f"{name}.scales": rows.scales}
    return save(tensors | reader[1] if reader else tensors)


def pack_reader(network: ContextualNetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The facts and the tensors from which :class:`slubook.serving.packed_reader.PackedReader` reads.

    Raises:
        StoreError: when the network reads another embedding than a language model.
    """
    model = network.embedding
    if not isinstance(model, BiLM):
        raise StoreError("a network over word vectors beside its words cannot be packed: give it a language model")
    mix = network.mix.gamma * torch.softmax(network.mix.weights, 0) * model.scale * network.config.vector_norm
    about = {
        "characters": "".join(model.names),
        "first": SPECIAL,
        "signs": [UNKNOWN_LETTER, BEGIN, END],
        "longest": model.config.longest,
        "windows": [window for window, _ in model.config.filters],
        "layers": model.config.layers,
        "mix": mix.tolist(),
    }
    letters, context = model.characters, network.context
    plain = {"letters": letters.table.weight, "boundary": model.boundary, "context.bias": context.bias[0, 0]}
    matrices = {"context": context.weight[0]}
    for name, linear in (("highway", letters.highway), ("project", letters.project)):
        matrices[name], plain[f"{name}.bias"] = linear.weight.t(), linear.bias
    for k, filters in enumerate(letters.filters):
        matrices[f"filters.{k}"] = filters.weight.permute(2, 1, 0).flatten(0, 1)  # [window · E, F]
        plain[f"filters.{k}.bias"] = filters.bias
    for k, layer in enumerate(model.stack):
        matrices |= {f"{k}.w_in": layer.w_in, f"{k}.w_rec": layer.w_rec, f"{k}.project": layer.project}
        plain[f"{k}.bias"] = layer.bias
    tensors = {f"reader.{name}": _numpy(values).astype(np.float16) for name, values in plain.items()}
    for name, matrix in matrices.items():
        rows = quantise(_numpy(matrix), READER_BITS)
        tensors |= {f"reader.{name}.codes": rows.codes, f"reader.{name}.scales": rows.scales}
    return about, tensors


def bytes_per_part(blob: bytes) -> dict[str, int]:
    """What each part of a skill weighs; they sum to the blob's length."""
    parts: dict[str, int] = {}
    for name, values in load(blob).items():
        first = name.split(".")[0]
        part = "lstm" if first.isdigit() else "characters" if first.startswith("char") else _PARTS.get(first, first)
        parts[part] = parts.get(part, 0) + values.nbytes
    return {**parts, "container": len(blob) - sum(parts.values())}


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _numpy(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().numpy())
