"""Skills in any number: copies of real ones that differ in nearly every byte and answer alike.

There are not 100,000 public skills. To serve that many, real ones are copied, and each copy is written in an
order of its own: of its words, intents, projected dimensions, character filters, and the hidden units of each
layer and direction. A network does not care in which order its units stand, so a copy gives the answers of
its original, which is how a run checks them; its bytes are its own, so neither the file nor the page cache
nor memory can hold two copies as one. Only the small CRF and the hashes of the n-grams stay as they are.
"""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import load, save

from slubook.serving.packed import from_nibbles, to_nibbles


def copy_of(blob: bytes, rng: np.random.Generator) -> bytes:
    """A copy of a packed skill with its words, intents and units in a random order.

    Args:
        blob: a packed skill.
        rng: where the orders come from: equal states give equal copies.
    """
    tensors = dict(load(blob))
    about = json.loads(tensors["about"].tobytes())
    words = tensors["words"].tobytes().decode().splitlines()
    hidden = tensors["0.w_rec.scales"].shape[1]
    by_word = rng.permutation(len(words))
    by_intent = rng.permutation(len(about["intents"]))
    by_dimension, by_filter = (rng.permutation(len(tensors[f"{n}.bias"])) for n in ("project", "char_filter"))
    by_unit = [[rng.permutation(hidden) for _ in range(2)] for _ in range(about["layers"])]

    about["intents"] = [about["intents"][i] for i in by_intent]
    tensors["about"] = np.frombuffer(json.dumps(about, ensure_ascii=False).encode(), np.uint8)
    tensors["words"] = np.frombuffer("".join(f"{words[i]}\n" for i in by_word).encode(), np.uint8)

    def reorder(name: str, rows: np.ndarray | None = None, columns: np.ndarray | None = None) -> None:
        codes, scales = tensors[f"{name}.codes"], tensors[f"{name}.scales"]
        if rows is not None:
            codes, scales = codes[rows], scales[rows]
        tensors[f"{name}.codes"], tensors[f"{name}.scales"] = _columns(codes, columns), scales
        if columns is not None and f"{name}.bias" in tensors:
            tensors[f"{name}.bias"] = tensors[f"{name}.bias"][columns]

    reorder("local", np.concatenate([[0], 1 + by_word]), by_dimension)
    reorder("project", None, by_dimension)
    reorder("char_filter", None, by_filter)
    reorder("ngrams", None, by_intent)
    inputs = np.concatenate([by_dimension, len(by_dimension) + by_filter])
    outputs = []
    for i, units in enumerate(by_unit):
        gates = [np.concatenate([k * hidden + order for k in range(4)]) for order in units]
        for name, rows in ((f"{i}.w_in", (inputs, inputs)), (f"{i}.w_rec", units)):
            codes, scales = tensors[f"{name}.codes"], tensors[f"{name}.scales"]
            tensors[f"{name}.codes"] = np.stack([_columns(codes[d][rows[d]], gates[d]) for d in range(2)])
            tensors[f"{name}.scales"] = np.stack([scales[d][rows[d]] for d in range(2)])
        tensors[f"{i}.bias"] = np.stack([tensors[f"{i}.bias"][d][:, gates[d]] for d in range(2)])
        inputs = np.concatenate([units[0], hidden + units[1]])
        outputs.append(inputs)
    reorder("tag_head", outputs[-1])
    reorder("intent_head", np.concatenate([outputs[0], 2 * hidden + outputs[-1]]), by_intent)
    return save({name: np.ascontiguousarray(values) for name, values in tensors.items()})


def _columns(codes: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    if order is None:
        return codes
    return codes[..., order] if codes.dtype == np.int8 else to_nibbles(from_nibbles(codes)[..., order])
