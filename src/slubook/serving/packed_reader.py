"""ELMoL in a packed skill: its vectors of one utterance, weighed and projected, with plain NumPy.

:func:`slubook.serving.packing.pack_reader` writes it. Beside it stands the one recurrence that all packed
networks share. Taught in chapter 1, *Shared and local embeddings*, and chapter 3, *Build it*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Layer(NamedTuple):
    """One bi-LSTM layer, both directions; gates input, forget, output are halved: see :func:`bilstm`."""

    w_in: np.ndarray  # [2, I, 4H]
    w_rec: np.ndarray  # [2, H, 4H]
    bias: np.ndarray  # [2, 1, 4H]


def halved(layer: Layer) -> Layer:
    """The layer with its three gates halved, in place."""
    for part in layer:
        part[..., : 3 * layer.w_rec.shape[1]] *= 0.5
    return layer


def bilstm(x: np.ndarray, layer: Layer) -> np.ndarray:
    """One bi-LSTM layer over one utterance, [T, I] → [T, 2H], or with an input for each direction, [2, T, I].

    As sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, one tanh serves all four gates.
    """
    hidden = layer.w_rec.shape[1]
    z_in = x @ layer.w_in + layer.bias  # [2, T, 4H]
    z_in[1] = z_in[1, ::-1].copy()
    steps = z_in.shape[1]
    states = np.empty((2, steps, hidden), np.float32)
    h = c = np.zeros((2, 1, hidden), np.float32)
    for t in range(steps):
        z = np.tanh(z_in[:, t : t + 1] + h @ layer.w_rec)
        gates = z[..., : 3 * hidden] * 0.5 + 0.5
        c = gates[..., hidden : 2 * hidden] * c + gates[..., :hidden] * z[..., 3 * hidden :]
        h = gates[..., 2 * hidden :] * np.tanh(c)
        states[:, t] = h[:, 0]
    return np.concatenate([states[0], states[1, ::-1]], 1)


class PackedReader:
    """A language model and how its network reads it; see :class:`slubook.ch3_elmol.contextual.ContextualNetwork`."""

    def __init__(self, about: Mapping[str, Any], numbers: Callable[[str], np.ndarray]) -> None:
        """Decode all of it: every utterance needs it.

        Args:
            about: the facts that packing wrote.
            numbers: a tensor by its name, as float32.
        """
        self._rows = {c: row for row, c in enumerate(about["characters"], about["first"])}
        self._unknown, self._begin, self._end = about["signs"]
        self._longest = about["longest"]  # characters read of a word
        self._letters, self._boundary = numbers("letters"), numbers("boundary")  # [C, E], [1, W]
        self._filters = [
            (window, numbers(f"filters.{k}"), numbers(f"filters.{k}.bias"))  # [window · E, F], [F]
            for k, window in enumerate(about["windows"])
        ]
        self._highway, self._project, self._context = (
            (numbers(name), numbers(f"{name}.bias")) for name in ("highway", "project", "context")
        )
        self._layers = [
            (halved(Layer(*(numbers(f"{k}.{part}") for part in Layer._fields))), numbers(f"{k}.project"))
            for k in range(about["layers"])
        ]
        self._mix = about["mix"]  # one factor a layer: its weight in the mix, its scale, and the network's norm

    @property
    def nbytes(self) -> int:
        """Memory of all its numbers."""
        pairs = [self._highway, self._project, self._context, *(layer for layer, _ in self._layers)]
        alone = [self._letters, self._boundary, *(project for _, project in self._layers)]
        filters = sum(weight.nbytes + bias.nbytes for _, weight, bias in self._filters)
        return filters + sum(part.nbytes for part in [*alone, *(part for pair in pairs for part in pair)])

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """What the network reads beside each word of one utterance, [T, project]."""
        vectors = np.concatenate([self._boundary, self._spelled(words), self._boundary])  # [T + 2, W]
        states = np.stack([vectors, vectors])  # of both directions, in the order of the text
        mixed = self._mix[0] * states
        for number, (layer, project) in enumerate(self._layers):
            made = np.stack(np.split(bilstm(states, layer), 2, 1)) @ project
            states = made + states if number else made
            mixed = mixed + self._mix[number + 1] * states
        weight, bias = self._context
        return np.tanh(np.concatenate([*mixed[:, 1:-1]], 1) @ weight + bias)

    def _spelled(self, words: Sequence[str]) -> np.ndarray:
        """The vector of each word from its characters, [T, W]."""
        rows = np.zeros((len(words), self._longest + 2), np.int64)
        for row, word in zip(rows, words, strict=True):
            known = [self._rows.get(c, self._unknown) for c in word[: self._longest]]
            row[: len(known) + 2] = [self._begin, *known, self._end]
        letters, found = self._letters[rows], []  # [T, L, E]
        for window, weight, bias in self._filters:
            places = rows.shape[1] - window + 1
            windows = np.concatenate([letters[:, k : k + places] for k in range(window)], -1)
            found.append((windows @ weight).max(1) + bias)
        x = np.maximum(np.concatenate(found, 1), 0)
        weight, bias = self._highway
        gate, changed = np.split(x @ weight + bias, 2, axis=1)
        x += (np.tanh(gate * 0.5) * 0.5 + 0.5) * (np.maximum(changed, 0) - x)
        weight, bias = self._project
        return x @ weight + bias
