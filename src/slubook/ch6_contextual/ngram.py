"""Trigram language models as arrays: trained, mixed, and written as ARPA files that a decoder reads.

A model of a turn's context must be made while the reply is spoken, so everything is done with arrays. Smoothing is
Witten and Bell's (1991), interpolated: it needs no held-out counts, and takes fractions. Taught in chapter 6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ORDER = 3
START, END, UNKNOWN = "<s>", "</s>", "<UNK>"
#: Probability of what cannot be followed or said, such as a start within a sentence.
NEVER = 1e-30


@dataclass(frozen=True)
class Trigrams:
    """A model of V words. ``grams[n]`` are its n-grams as word numbers, [N, n + 1] each, sorted.

    ``p[n]`` are their probabilities, ``back[n]`` the backoff weights of those that are histories, [N] each.
    """

    words: tuple[str, ...]
    grams: tuple[np.ndarray, ...]
    p: tuple[np.ndarray, ...]
    back: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(_key(grams, len(self.words)) for grams in self.grams))
        object.__setattr__(self, "numbers", {word: k for k, word in enumerate(self.words)})

    def probability(self, grams: np.ndarray) -> np.ndarray:
        """Returns P(last word | words before) of n-grams, [N, n] → [N]; words by number, −1 for those not in it."""
        n = grams.shape[1] - 1
        where, there = self._find(grams)
        found = self.p[n][where] if len(self.p[n]) else np.zeros(len(grams))
        if n == 0:
            return np.where(there, found, 0.0)
        return np.where(there, found, self._backoff(grams[:, :-1]) * self.probability(grams[:, 1:]))

    def score(self, text: str) -> float:
        """Returns the natural logarithm of a sentence's probability, its end included."""
        numbers = [self.numbers.get(w, self.numbers.get(UNKNOWN, -1)) for w in (START, *text.split(), END)]
        total = 0.0
        for k in range(1, len(numbers)):
            gram = np.array([numbers[max(0, k - ORDER + 1) : k + 1]])
            total += float(np.log(np.maximum(self.probability(gram), NEVER))[0])
        return total

    def write(self, path: Path) -> Path:
        """Writes an ARPA file and returns its path."""
        lines = ["\\data\\", *(f"ngram {n + 1}={len(grams)}" for n, grams in enumerate(self.grams))]
        words = np.array(self.words, dtype=object)
        for n, grams in enumerate(self.grams):
            logs = np.log10(np.maximum(self.p[n], NEVER))
            texts = words[grams[:, 0]]
            for column in grams.T[1:]:
                texts = texts + " " + words[column]
            lines += ["", f"\\{n + 1}-grams:"]
            if n < len(self.back):
                backs = np.log10(np.maximum(self.back[n], NEVER))
                lines += [f"{p:.4f}\t{t}\t{b:.4f}" for p, t, b in zip(logs, texts, backs, strict=True)]
            else:
                lines += [f"{p:.4f}\t{t}" for p, t in zip(logs, texts, strict=True)]
        path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
        return path

    def _find(self, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys, wanted = self.keys[grams.shape[1] - 1], _key(grams, len(self.words))
        where = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        known = (grams >= 0).all(axis=1)
        return where, known & (keys[where] == wanted) if len(keys) else np.zeros(len(grams), dtype=bool)

    def _backoff(self, histories: np.ndarray) -> np.ndarray:
        where, there = self._find(histories)
        back = self.back[histories.shape[1] - 1]
        return np.where(there, back[where], 1.0) if len(back) else np.ones(len(histories))


def count_texts(texts: Iterable[str], weight: float = 1.0) -> Counter[tuple[str, ...]]:
    """Counts the n-grams of sentences, each worth ``weight``."""
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = (START, *text.split(), END)
        for k in range(1, len(words)):
            for n in range(min(k + 1, ORDER)):
                counts[words[k - n : k + 1]] += weight
    return counts


def train(counts: Mapping[tuple[str, ...], float], least: Sequence[float] = (0, 0, 0)) -> Trigrams:
    """Estimates a model of n-gram counts, interpolated: p(w | h) = (c(hw) + T(h) p(w | h')) / (c(h) + T(h)).

    T(h) is the number of words seen after h. N-grams counted less than ``least`` of their order are left out; what
    they were worth goes to the backoff.
    """
    words = (START, END, UNKNOWN, *sorted({w for gram in counts for w in gram} - {START, END, UNKNOWN}))
    numbers, size = {word: k for k, word in enumerate(words)}, len(words)
    tables: list[tuple[np.ndarray, np.ndarray]] = []
    for n in range(ORDER):
        rows = [(*(numbers[w] for w in gram), c) for gram, c in counts.items() if len(gram) == n + 1 and c > least[n]]
        table = np.array(rows, dtype=float).reshape(-1, n + 2)
        grams = table[:, :-1].astype(np.int64)
        order = np.argsort(_key(grams, size))
        tables.append((grams[order], table[order, -1]))
    seen, total = np.zeros(size), tables[0][1].sum()
    seen[tables[0][0][:, 0]] = tables[0][1]
    types = np.count_nonzero(seen)
    p = [(seen + types / (size - 1)) / (total + types)]
    p[0][0] = 0.0  # nothing is followed by a start
    grams, back = [np.arange(size)[:, None]], []
    for n in range(1, ORDER):
        model = Trigrams(words, tuple(grams), tuple(p), (*back, np.ones(len(grams[-1]))))
        own, c = tables[n]
        where, _ = model._find(own[:, :-1])  # closed: whoever counts an n-gram counts its history
        mass = np.bincount(where, c, minlength=len(grams[-1]))
        kinds = np.bincount(where, minlength=len(grams[-1]))
        free = np.divide(kinds, mass + kinds, out=np.ones(len(kinds)), where=kinds > 0)
        p.append(c / (mass + kinds)[where] + free[where] * model.probability(own[:, 1:]))
        grams.append(own)
        back.append(free)
    return Trigrams(words, tuple(grams), tuple(p), tuple(back))


def mix(models: Sequence[Trigrams], weights: Sequence[float]) -> Trigrams:
    """Interpolates models linearly; n-grams of any of them have the exact mixture, and all others back off from it."""
    words = (START, END, UNKNOWN, *sorted({w for m in models for w in m.words} - {START, END, UNKNOWN}))
    numbers, size = {word: k for k, word in enumerate(words)}, len(words)
    there = [np.array([numbers[w] for w in model.words]) for model in models]  # each word's new number
    grams, p, back = [], [], []
    for n in range(ORDER):
        parts = [new[model.grams[n]] for model, new in zip(models, there, strict=True)]
        keys = np.unique(np.concatenate([_key(part, size) for part in parts]))
        grams.append(np.stack([keys // size ** (n - k) % size for k in range(n + 1)], axis=1))
        total = np.zeros(len(keys))
        for model, new, weight in zip(models, there, weights, strict=True):
            old = np.full(size, -1)
            old[new] = np.arange(len(new))
            total += weight * model.probability(old[grams[n]])
        p.append(total)
        if n:
            lower = Trigrams(words, tuple(grams[:n]), tuple(p[:n]), (*back, np.ones(len(grams[n - 1]))))
            where, _ = lower._find(grams[n][:, :-1])
            of = len(grams[n - 1])
            used, covered = (np.bincount(where, v, minlength=of) for v in (total, lower.probability(grams[n][:, 1:])))
            listed = np.bincount(where, minlength=of) > 0
            left = np.maximum(1 - used, 1e-6) / np.maximum(1 - covered, 1e-6)
            back.append(np.where(listed, left, 1.0))
    return Trigrams(words, tuple(grams), tuple(p), tuple(back))


def read_trie(path: Path) -> Trigrams:
    """Reads pocketsphinx's binary trie of trigrams, which its Python cannot mix with another model nor write as text.

    A trie of reversed n-grams, bit by bit as in KenLM (Heafield 2011, section 3.2), with probabilities and backoffs
    as 16-bit codes of a table, in logarithms to the base 1.0001.
    """
    raw = path.read_bytes()
    unigrams, bigrams, trigrams = (int(count) for count in np.frombuffer(raw, "<u4", ORDER, offset=20))
    codes = 1.0001 ** np.frombuffer(raw, "<f4", 3 << 16, offset=36).astype(float).reshape(3, -1)
    of_word = [("p", "<f4"), ("back", "<f4"), ("next", "<u4")]
    start = 36 + codes.size * 4
    first = np.frombuffer(raw, of_word, unigrams + 1, offset=start)
    start += first.nbytes
    bits, further = unigrams.bit_length(), trigrams.bit_length()  # of a word, of a place among the trigrams
    length = ((bigrams + 1) * (bits + 32 + further) + 7) // 8 + 8, ((trigrams + 1) * (bits + 16) + 7) // 8 + 8
    middle = np.frombuffer(raw, np.uint8, length[0], offset=start)
    last = np.frombuffer(raw, np.uint8, length[1], offset=start + length[0])
    words = tuple(raw[start + sum(length) + 4 :].decode().split("\0")[:unigrams])

    step, n = bits + 32 + further, int(first["next"][-1])
    before = _bits(middle, n, step, 0, bits)
    after = np.repeat(np.arange(unigrams), np.diff(first["next"].astype(np.int64)))
    places = np.append(_bits(middle, n, step, bits + 32, further), trigrams)
    of = np.repeat(np.arange(n), np.diff(places))
    oldest = _bits(last, trigrams, bits + 16, 0, bits)
    tables = (
        (np.arange(unigrams)[:, None], 1.0001 ** first["p"][:-1].astype(float)),
        (np.stack([before, after], axis=1), codes[0][_bits(middle, n, step, bits + 16, 16)]),
        (np.stack([oldest, before[of], after[of]], axis=1), codes[2][_bits(last, trigrams, bits + 16, bits, 16)]),
    )
    backs = 1.0001 ** first["back"][:-1].astype(float), codes[1][_bits(middle, n, step, bits, 16)]
    orders = [np.argsort(_key(grams, unigrams)) for grams, _ in tables]
    grams, p = zip(*((g[o], p[o]) for (g, p), o in zip(tables, orders, strict=True)), strict=True)
    return Trigrams(words, grams, p, tuple(back[o] for back, o in zip(backs, orders, strict=False)))


def _bits(packed: np.ndarray, count: int, step: int, start: int, width: int) -> np.ndarray:
    """Reads ``count`` numbers of ``width`` bits, ``step`` bits apart, the least significant bit first."""
    at = np.arange(count, dtype=np.int64) * step + start
    value = np.zeros(count, dtype=np.uint64)
    for k in range(8):
        value |= packed[(at >> 3) + k].astype(np.uint64) << np.uint64(8 * k)
    return (value >> (at & 7).astype(np.uint64) & np.uint64((1 << width) - 1)).astype(np.int64)


def _key(grams: np.ndarray, size: int) -> np.ndarray:
    key = np.zeros(len(grams), dtype=np.int64)
    for column in grams.T:
        key = key * size + column
    return key
