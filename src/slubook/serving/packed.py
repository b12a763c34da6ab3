"""Answers from a packed skill: a trained network in a few hundred kilobytes.

:mod:`slubook.serving.packing` writes one blob a skill in the safetensors format: matrices as 8- or 4-bit integers with
one scale a row, everything else as 16-bit floats. :class:`PackedSkill` reads it and answers with plain NumPy: on one
utterance at a time, a network this small spends more time in torch's bookkeeping than in arithmetic. Taught in
chapter 1, *Shared and local embeddings*; the language model in a pack in chapter 3, *Build it*.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from slubook.ch1_skills.maxent import utterance_features
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.bio import from_bio
from slubook.corpora.utterance import Prediction, Token, tokenize
from slubook.profiles import stable_hash

FORMAT = 1
#: The two float32 that one byte stands for at four bits, low half first; as one complex number each, [256], because
#: NumPy looks up single numbers several times faster than pairs.
_PAIRS = np.stack([np.arange(256) % 16 - 8, np.arange(256) // 16 - 8], 1).astype(np.float32).view(np.complex64)[:, 0]


class StoreError(ValueError):
    """A packed skill cannot be found, read or used; the message says which and what to do."""


class Rows(NamedTuple):
    """A quantised matrix: row r is ``codes[r] * scales[r]``."""

    codes: np.ndarray  # [..., R, C] int8, or [..., R, ceil(C / 2)] uint8 with two integers a byte
    scales: np.ndarray  # [..., R, 1] float16

    def decode(self, rows: np.ndarray | slice | Sequence[int] = slice(None)) -> np.ndarray:
        """Returns the ``rows`` (all by default; of the first axis) as float32; at four bits C is rounded up to even."""
        codes, scales = self.codes[rows], self.scales[rows].astype(np.float32)
        if codes.dtype == np.uint8:
            return _PAIRS.take(codes).view(np.float32) * scales
        return codes * scales


def quantise(matrix: np.ndarray, bits: int) -> Rows:
    """Rounds each row of [..., R, C] to whole multiples of its largest magnitude over 127 (8 bits) or 7 (4 bits).

    Raises:
        ValueError: for other bits, or values that are not finite.
    """
    if bits not in (4, 8):
        raise ValueError(f"cannot quantise to {bits} bits: use 8 or 4")
    if not np.isfinite(matrix).all():
        raise ValueError("cannot quantise a matrix that is not finite: was the training stable?")
    top = 2 ** (bits - 1) - 1
    scales = (np.abs(matrix).max(-1, keepdims=True, initial=0) / top).astype(np.float16)
    steps = np.where(scales > 0, scales, 1).astype(np.float32)
    codes = np.where(scales > 0, np.clip(np.round(matrix / steps), -top, top), 0).astype(np.int8)
    return Rows(codes if bits == 8 else to_nibbles(codes), scales)


def to_nibbles(codes: np.ndarray) -> np.ndarray:
    """Packs two integers from -8 to 7 into a byte: int8 [..., C] → uint8 [..., ceil(C / 2)]."""
    shifted = (codes + 8).astype(np.uint8)
    if shifted.shape[-1] % 2:
        shifted = np.concatenate([shifted, np.full_like(shifted[..., :1], 8)], -1)
    return shifted[..., ::2] | shifted[..., 1::2] << 4


def from_nibbles(codes: np.ndarray) -> np.ndarray:
    """Inverts :func:`to_nibbles`, padding included."""
    pairs = np.stack([codes & 15, codes >> 4], -1).view(np.int8)
    return pairs.reshape(*codes.shape[:-1], 2 * codes.shape[-1]) - np.int8(8)


def hashed(features: Iterable[str]) -> np.ndarray:
    """Returns the 32 bits that stand for each n-gram in a pack (feature hashing, Weinberger et al., 2009)."""
    return np.array([stable_hash("ngram", feature) for feature in features], np.uint32)


class Decoder:
    """Decodes the tensors of a blob to float32, by name; ``nbytes`` counts those of everything decoded so far."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors, self.nbytes = tensors, 0

    def rows(self, name: str) -> Rows:
        """Returns a quantised matrix as it is."""
        return Rows(self.tensors[f"{name}.codes"], self.tensors[f"{name}.scales"])

    def __call__(self, name: str, columns: int | None = None) -> np.ndarray:
        """Returns a tensor, quantised or not; its first ``columns`` where four bits may have padded it."""
        plain = self.tensors.get(name)
        found = self.rows(name).decode()[:, :columns] if plain is None else plain.astype(np.float32)
        self.nbytes += found.nbytes
        return found

    def affine(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns weight [I, O] and bias [O]."""
        bias = self(f"{name}.bias")
        return self(name, len(bias)), bias

    def layer(self, name: str) -> list[np.ndarray]:
        """Returns a bi-LSTM layer with the gates input, forget and output halved, as :func:`bilstm` takes it."""
        layer = [self(f"{name}.{part}") for part in ("w_in", "w_rec", "bias")]
        for part in layer:
            part[..., : part.shape[-1] // 4 * 3] *= 0.5
        return layer


def bilstm(x: np.ndarray, w_in: np.ndarray, w_rec: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Runs a bi-LSTM layer over one utterance, [T, I] → [T, 2H]; each direction may have its own input, [2, T, I].

    As sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, one tanh serves all four gates. w_in: [2, I, 4H]; w_rec: [2, H, 4H]; bias:
    [2, 1, 4H].
    """
    z_in = x @ w_in + bias  # [2, T, 4H]
    z_in[1] = z_in[1, ::-1].copy()
    steps, hidden = z_in.shape[1], w_rec.shape[1]
    states = np.empty((2, steps, hidden), np.float32)
    h = c = np.zeros((2, 1, hidden), np.float32)
    for t in range(steps):
        z = np.tanh(z_in[:, t : t + 1] + h @ w_rec)
        gates = z[..., : 3 * hidden] * 0.5 + 0.5
        c = gates[..., hidden : 2 * hidden] * c + gates[..., :hidden] * z[..., 3 * hidden :]
        h = gates[..., 2 * hidden :] * np.tanh(c)
        states[:, t] = h[:, 0]
    return np.concatenate([states[0], states[1, ::-1]], 1)


def viterbi(emissions: np.ndarray, start: np.ndarray, step: np.ndarray, end: np.ndarray) -> list[int]:
    """Returns the best tag sequence. emissions: [T, K]; start, end: [K]; step: [K, K], from row to column."""
    best, back = start + emissions[0], []
    for emitted in emissions[1:]:
        scores = best[:, None] + step
        back.append(scores.argmax(0))
        best = scores.max(0) + emitted
    path = [int((best + end).argmax())]
    for before in reversed(back):
        path.append(int(before[path[-1]]))
    return path[::-1]


def spelled(words: Sequence[str], rows: Mapping[str, int], unknown: int, longest: int, *signs: int) -> np.ndarray:
    """Returns the rows of each word's first characters, between two ``signs`` if given, [T, longest + len(signs)]."""
    found = np.zeros((len(words), longest + len(signs)), np.int64)
    for row, word in zip(found, words, strict=True):
        known = [*signs[:1], *(rows.get(c, unknown) for c in word[:longest]), *signs[1:]]
        row[: len(known)] = known
    return found


def strongest(characters: np.ndarray, window: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Returns each filter's strongest answer in each word: [T, L, E], weight [window · E, F], bias [F] → [T, F]."""
    places = characters.shape[1] - window + 1
    windows = np.concatenate([characters[:, k : k + places] for k in range(window)], -1)
    return np.maximum((windows @ weight).max(1) + bias, 0)


class PackedReader:
    """Reads one utterance with a packed language model, as :class:`slubook.ch3_elmol.contextual.ContextualNetwork`."""

    def __init__(self, about: Mapping[str, Any], decode: Decoder) -> None:
        """Decodes the whole model; ``about`` are its facts."""
        self._rows = {c: row for row, c in enumerate(about["characters"], about["first"])}
        self._unknown, *self._signs = about["signs"]
        self._longest = about["longest"]
        self._characters, self._boundary = decode("reader.letters"), decode("reader.boundary")  # [C, E], [1, W]
        self._filters = [(window, *decode.affine(f"reader.filters.{k}")) for k, window in enumerate(about["windows"])]
        self._highway, self._project, self._context = (
            decode.affine(f"reader.{name}") for name in ("highway", "project", "context")
        )
        self._layers = [(decode.layer(f"reader.{k}"), decode(f"reader.{k}.project")) for k in range(about["layers"])]
        self._mix = about["mix"]  # one factor a layer: its weight in the mix, its scale, and the network's norm

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """Returns what the network reads in addition to each word, [T, project]."""
        vectors = np.concatenate([self._boundary, self._vectors(words), self._boundary])  # [T + 2, W]
        states = np.stack([vectors, vectors])  # of both directions, in the order of the text
        mixed = self._mix[0] * states
        for number, (layer, project) in enumerate(self._layers):
            made = np.stack(np.split(bilstm(states, *layer), 2, 1)) @ project
            states = made + states if number else made
            mixed = mixed + self._mix[number + 1] * states
        weight, bias = self._context
        return np.tanh(np.concatenate([*mixed[:, 1:-1]], 1) @ weight + bias)

    def _vectors(self, words: Sequence[str]) -> np.ndarray:
        """Returns the vector of each word from its characters, [T, W]."""
        characters = self._characters[spelled(words, self._rows, self._unknown, self._longest, *self._signs)]
        x = np.concatenate([strongest(characters, *of_window) for of_window in self._filters], 1)
        weight, bias = self._highway
        gate, changed = np.split(x @ weight + bias, 2, axis=1)
        x += (np.tanh(gate * 0.5) * 0.5 + 0.5) * (np.maximum(changed, 0) - x)
        weight, bias = self._project
        return x @ weight + bias


class PackedSkill:
    """Answers from a blob: what every utterance needs is decoded, the skill's own rows stay packed until used.

    Attributes:
        nbytes: memory that it takes: its arrays, and about 100 bytes a word of its vocabulary.
        vocabulary: how many words have a row of their own.
    """

    def __init__(self, blob: bytes, table: VectorTable) -> None:
        """Reads what :func:`slubook.serving.packing.pack` wrote, and answers over the table of the training.

        Raises:
            StoreError: when the blob is damaged or of another format, or the table is another one.
        """
        try:
            tensors = load(blob)
            about = json.loads(tensors["about"].tobytes())
        except (SafetensorError, KeyError, ValueError) as error:
            raise StoreError(f"not a whole packed skill ({error}): pack and store it again") from error
        if about.get("format") != FORMAT:
            raise StoreError(f"packed skill of format {about.get('format')}, not {FORMAT}: pack it again")
        if about["table"] != table.stamp:
            raise StoreError(
                f"the skill was trained over table {about['table_name']!r} ({about['table']}), "
                f"not {table.name!r} ({table.stamp}): load that table, or train and pack the skill over this one"
            )
        self.table, self.intents, self.tags = table, about["intents"], about["tags"]
        self._order, self._length, self._unknown = about["ngram_order"], about["word_length"], about["unknown"]
        self._stacked = about.get("stacked", False)  # one common layer, and one a task on it
        self._rows = {w: i for i, w in enumerate(tensors["words"].tobytes().decode().splitlines(), 1)}
        self._alphabet = {c: i for i, c in enumerate(about["characters"], about["unknown"] + 1)}
        decode = Decoder(tensors)
        self._local, self._ngrams, self._hashes = decode.rows("local"), decode.rows("ngrams"), tensors["ngrams.hashes"]
        self._characters = decode("characters")  # [C, E]
        weight, bias = decode.affine("project")
        self._project = weight * np.float32(about["vector_norm"]), bias
        self._filter, self._tag_head, self._intent_head = map(decode.affine, ("char_filter", "tag_head", "intent_head"))
        self._crf = decode("crf.start"), decode("crf.step"), decode("crf.end")
        self._layers = [decode.layer(f"{i}") for i in range(about["layers"])]
        self._reader = PackedReader(about["reader"], decode) if "reader" in about else None
        self.vocabulary = len(self._rows)
        packed = sum(part.nbytes for part in (*self._local, *self._ngrams, self._hashes))
        self.nbytes = decode.nbytes + packed + 100 * self.vocabulary

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Returns intent, confidence and slots of each text, one at a time."""
        return [self._predict(tokenize(text)) for text in texts]

    def _predict(self, tokens: Sequence[Token]) -> Prediction:
        emissions, logits = self.scores(tokens)
        slots = from_bio(tokens, [self.tags[k] for k in viterbi(emissions, *self._crf)]) if tokens else ()
        top = int(logits.argmax())
        return Prediction(self.intents[top], slots, float(1 / np.exp(logits - logits[top]).sum()))

    def scores(self, tokens: Sequence[Token]) -> tuple[np.ndarray, np.ndarray]:
        """Returns tag emissions [T, K] and intent logits [I] of one utterance; no token counts as one unknown word."""
        words = [t.text.lower() for t in tokens] or [""]
        x = self._words(words)
        if self._reader:
            x = np.concatenate([x, self._reader(words)], 1)
        states: list[np.ndarray] = []  # of each layer, [T, 2H]
        for layer in self._layers:
            source = x if not states else states[0] if self._stacked else states[-1]
            states.append(bilstm(source, *layer))
        weight, bias = self._tag_head
        emissions = states[1 if self._stacked else -1] @ weight + bias
        weight, bias = self._intent_head
        logits = np.concatenate([states[0].max(0), states[-1].max(0)]) @ weight + bias
        return emissions, logits + self._ngram_scores(tokens)

    def _words(self, words: list[str]) -> np.ndarray:
        """Returns what the first layer reads of each word, [T, project + char_filters]."""
        weight, bias = self._project
        local = self._local.decode([self._rows.get(w, 0) for w in words])  # only these rows are ever decoded
        word = self.table.vectors(words) @ weight + bias + local[:, : weight.shape[1]]
        characters = self._characters[spelled(words, self._alphabet, self._unknown, self._length)]  # [T, L, E]
        return np.concatenate([np.tanh(word), strongest(characters, 3, *self._filter)], 1)

    def _ngram_scores(self, tokens: Sequence[Token]) -> np.ndarray | float:
        if not len(self._hashes):
            return 0.0
        wanted = hashed(utterance_features(tokens, self._order))
        at = np.searchsorted(self._hashes, wanted).clip(max=len(self._hashes) - 1)
        found = at[self._hashes[at] == wanted]
        return self._ngrams.decode(found)[:, : len(self.intents)].sum(0)
