"""A trained skill in a few hundred kilobytes, and answers straight from it.

:mod:`slubook.serving.packing` writes one blob a skill: matrices as 8- or 4-bit integers with one scale a row,
everything else as 16-bit floats, in the safetensors format. :class:`PackedSkill` reads such a blob and
answers with plain NumPy: at one utterance a time, a network this small spends more time in torch's
bookkeeping than in arithmetic. Taught in chapter 1, *Shared and local embeddings*.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from slubook.ch1_skills.maxent import utterance_features
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.bio import from_bio
from slubook.corpora.utterance import Prediction, Token, tokenize
from slubook.profiles import stable_hash
from slubook.serving.packed_reader import Layer, PackedReader, bilstm, halved

FORMAT = 1
#: The two float32 that one byte stands for at four bits a number, low half first; as one complex number each,
#: [256], because NumPy looks up single numbers several times faster than pairs.
_PAIRS = np.stack([np.arange(256) % 16 - 8, np.arange(256) // 16 - 8], 1).astype(np.float32).view(np.complex64)[:, 0]


class StoreError(ValueError):
    """A packed skill cannot be found, read or used; the message says which and what to do."""


class Rows(NamedTuple):
    """A quantised matrix: row r is ``codes[r] * scales[r]``.

    Attributes:
        codes: [..., R, C] int8, or [..., R, ceil(C / 2)] uint8 with two numbers a byte.
        scales: one a row, [..., R, 1], float16.
    """

    codes: np.ndarray
    scales: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.codes.nbytes + self.scales.nbytes

    def numbers(self, rows: np.ndarray | slice | Sequence[int] = slice(None)) -> np.ndarray:
        """The ``rows`` (all by default; of the first axis) as float32; at four bits C is rounded up to even."""
        codes, scales = self.codes[rows], self.scales[rows].astype(np.float32)
        if codes.dtype == np.uint8:
            return _PAIRS.take(codes).view(np.float32) * scales
        return codes * scales


def quantise(matrix: np.ndarray, bits: int) -> Rows:
    """Round each row to whole multiples of its largest magnitude over 127 (8 bits) or 7 (4 bits).

    Args:
        matrix: [..., R, C].
        bits: 8 or 4.

    Raises:
        ValueError: for other bits, or numbers that are not finite.
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
    """Two numbers a byte: int8 from -8 to 7, [..., C] → uint8 [..., ceil(C / 2)]."""
    shifted = (codes + 8).astype(np.uint8)
    if shifted.shape[-1] % 2:
        shifted = np.concatenate([shifted, np.full_like(shifted[..., :1], 8)], -1)
    return shifted[..., ::2] | shifted[..., 1::2] << 4


def from_nibbles(codes: np.ndarray) -> np.ndarray:
    """The inverse of :func:`to_nibbles`, padding included."""
    pairs = np.stack([codes & 15, codes >> 4], -1).view(np.int8)
    return pairs.reshape(*codes.shape[:-1], 2 * codes.shape[-1]) - np.int8(8)


def hashed(feature: str) -> int:
    """The 32 bits that stand for an n-gram in a packed skill (feature hashing, Weinberger et al., 2009)."""
    return stable_hash("ngram", feature)


def viterbi(emissions: np.ndarray, start: np.ndarray, step: np.ndarray, end: np.ndarray) -> list[int]:
    """The best tag sequence. emissions: [T, K]; start, end: [K]; step: [K, K], from row to column."""
    best, back = start + emissions[0], []
    for emitted in emissions[1:]:
        scores = best[:, None] + step
        back.append(scores.argmax(0))
        best = scores.max(0) + emitted
    path = [int((best + end).argmax())]
    for before in reversed(back):
        path.append(int(before[path[-1]]))
    return path[::-1]


class PackedSkill:
    """A skill read from its blob: what every utterance needs is decoded, its own rows stay packed until used."""

    def __init__(self, blob: bytes, table: VectorTable) -> None:
        """Read a blob.

        Args:
            blob: as :func:`slubook.serving.packing.pack` wrote it.
            table: the generic table that the skill was trained over.

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
        self._order, self._length = about["ngram_order"], about["word_length"]
        self._unknown = about["unknown"]
        self._stacked = about.get("stacked", False)  # one common layer, and one a task on it
        self._rows = {w: i for i, w in enumerate(tensors["words"].tobytes().decode().splitlines(), 1)}
        self._characters = {c: i for i, c in enumerate(about["characters"], about["unknown"] + 1)}

        def rows(name: str) -> Rows:
            return Rows(tensors[f"{name}.codes"], tensors[f"{name}.scales"])

        def plain(name: str) -> np.ndarray:
            return tensors[name].astype(np.float32)

        def affine(name: str) -> tuple[np.ndarray, np.ndarray]:
            bias = plain(f"{name}.bias")
            return rows(name).numbers()[:, : len(bias)], bias

        self._local, self._ngrams, self._hashes = rows("local"), rows("ngrams"), tensors["ngrams.hashes"]
        self._embedding = plain("characters")  # [C, E]
        weight, bias = affine("project")
        self._project = weight * np.float32(about["vector_norm"]), bias
        self._filter, self._tag_head, self._intent_head = map(affine, ("char_filter", "tag_head", "intent_head"))
        self._crf = plain("crf.start"), plain("crf.step"), plain("crf.end")
        self._layers = []
        for i in range(about["layers"]):
            layer = Layer(rows(f"{i}.w_in").numbers(), rows(f"{i}.w_rec").numbers(), plain(f"{i}.bias"))
            self._layers.append(halved(layer))

        def of_reader(name: str) -> np.ndarray:
            name = f"reader.{name}"
            return plain(name) if name in tensors else rows(name).numbers()

        self._reader = PackedReader(about["reader"], of_reader) if "reader" in about else None

    @property
    def nbytes(self) -> int:
        """Memory of this skill while it is open: numbers, and about 100 bytes a word of its vocabulary."""
        pairs = (self._project, self._filter, self._tag_head, self._intent_head, self._crf, *self._layers)
        dense = self._embedding.nbytes + sum(part.nbytes for pair in pairs for part in pair)
        dense += self._reader.nbytes if self._reader else 0
        return dense + self._local.nbytes + self._ngrams.nbytes + self._hashes.nbytes + 100 * len(self._rows)

    @property
    def vocabulary(self) -> int:
        """How many words have a row of their own."""
        return len(self._rows)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Intent, confidence and slots of each text, one at a time."""
        return [self._predict(text) for text in texts]

    def _predict(self, text: str) -> Prediction:
        tokens = tokenize(text)
        emissions, logits = self.scores(tokens)
        slots = from_bio(tokens, [self.tags[k] for k in viterbi(emissions, *self._crf)]) if tokens else ()
        top = int(logits.argmax())
        return Prediction(self.intents[top], slots, float(1 / np.exp(logits - logits[top]).sum()))

    def scores(self, tokens: Sequence[Token]) -> tuple[np.ndarray, np.ndarray]:
        """Tag emissions [T, K] and intent logits [I] of one utterance; no token counts as one unknown word."""
        words = [t.text.lower() for t in tokens] or [""]
        x = self._words(words)
        if self._reader:
            x = np.concatenate([x, self._reader(words)], 1)
        states: list[np.ndarray] = []  # of each layer, [T, 2H]
        for layer in self._layers:
            below = x if not states else states[0] if self._stacked else states[-1]
            states.append(bilstm(below, layer))
        weight, bias = self._tag_head
        emissions = states[1 if self._stacked else -1] @ weight + bias
        weight, bias = self._intent_head
        logits = np.concatenate([states[0].max(0), states[-1].max(0)]) @ weight + bias
        return emissions, logits + self._ngram_scores(tokens)

    def _words(self, words: list[str]) -> np.ndarray:
        """What the first layer sees of each word, [T, project + char_filters]."""
        weight, bias = self._project
        local = self._local.numbers([self._rows.get(w, 0) for w in words])  # only these rows are ever decoded
        word = self.table.vectors(words) @ weight + bias + local[:, : weight.shape[1]]
        ids = np.zeros((len(words), self._length), np.int64)
        for row, w in zip(ids, words, strict=True):
            row[: len(w)] = [self._characters.get(c, self._unknown) for c in w[: self._length]]
        chars = self._embedding[ids]  # [T, L, E]
        windows = np.concatenate([chars[:, :-2], chars[:, 1:-1], chars[:, 2:]], -1)  # [T, L-2, 3E]
        weight, bias = self._filter
        filtered = (windows @ weight).max(1) + bias
        return np.concatenate([np.tanh(word), np.maximum(filtered, 0)], 1)

    def _ngram_scores(self, tokens: Sequence[Token]) -> np.ndarray | float:
        if not len(self._hashes):
            return 0.0
        wanted = np.array([hashed(f) for f in utterance_features(tokens, self._order)], np.uint32)
        at = np.searchsorted(self._hashes, wanted).clip(max=len(self._hashes) - 1)
        found = at[self._hashes[at] == wanted]
        return self._ngrams.numbers(found)[:, : len(self.intents)].sum(0)
