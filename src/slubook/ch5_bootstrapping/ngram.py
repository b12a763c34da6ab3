"""Estimates n-gram language models: interpolated modified Kneser-Ney, mixtures, pruning.

The n-grams of one order are a sorted array of keys, context × V + word, where a context is a row of the order below.
So the models of all orders form a trie, the words seen after a context lie side by side, and everything is counted,
smoothed and looked up with whole arrays. All logarithms are natural.

Sources: Chen and Goodman (1999), sections 2.7 and 3; Stolcke (1998) for pruning. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

UNKNOWN, START, END = 0, 1, 2
SPECIAL = ("<unk>", "<s>", "</s>")
#: Discounts of n-grams seen once, twice, and more often, for text too small or too odd to estimate them from.
FALLBACK = (0.5, 1.0, 1.5)

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Vocabulary:
    """The words that models may name; perplexities can be compared only over one and the same vocabulary.

    Attributes:
        words: the three special words first, then the others; a word's place is its id.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, *texts: Sentences, least: int = 1) -> Vocabulary:
        """Collects the words that occur ``least`` times in all texts together, in alphabetical order."""
        counts = Counter(word for text in texts for sentence in text for word in sentence)
        return cls((*SPECIAL, *sorted(w for w, n in counts.items() if n >= least and w not in SPECIAL)))

    @cached_property
    def index(self) -> dict[str, int]:
        """Returns the id of each word."""
        return {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def stream(self, sentences: Sentences) -> np.ndarray:
        """Returns the ids of all sentences in one row, each between its start and end marks: [T]."""
        known = self.index.get
        return np.array([i for s in sentences for i in (START, *(known(w, UNKNOWN) for w in s), END)], np.int64)

    def windows(self, sentences: Sentences, order: int) -> np.ndarray:
        """Returns each word and end mark behind its context, ids with −1 before a sentence begins: [N, order]."""
        stream = self.stream(sentences)
        at = np.arange(len(stream))
        begin = np.maximum.accumulate(np.where(stream == START, at, 0))
        places = at[stream != START, None] + np.arange(1 - order, 1)
        return np.where(places >= begin[stream != START, None], stream[np.maximum(places, 0)], -1)


@dataclass(frozen=True)
class Level:
    """All n-grams of one order, sorted by key: [N] each."""

    keys: np.ndarray  # row of the context in the level below × V + word
    prob: np.ndarray  # ln P(word | context)
    backoff: np.ndarray  # ln of the weight of shorter contexts where this n-gram is the context; 0 where it is none


@dataclass(frozen=True)
class Perplexity:
    """How well a model guesses text; words outside the vocabulary are counted, and left out of the value."""

    value: float
    tokens: int  # words and end marks that were guessed
    oov: int  # words outside the vocabulary

    @property
    def oov_rate(self) -> float:
        """Returns the share of words and end marks that are outside the vocabulary."""
        return self.oov / max(1, self.tokens + self.oov)


@dataclass(frozen=True)
class NGram:
    """A back-off n-gram model over a vocabulary; its levels are of order 1, 2, …"""

    vocabulary: Vocabulary
    levels: tuple[Level, ...]
    discounts: tuple[tuple[float, ...], ...] = field(default=(), compare=False)  # of each order, where trained

    @property
    def order(self) -> int:
        """Returns n."""
        return len(self.levels)

    def find(self, level: int, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Returns the rows in ``levels[level]`` of words after contexts, −1 where there is none: [N]."""
        keys = self.levels[level].keys
        if not len(keys):
            return np.full(len(words), -1)
        wanted = contexts * len(self.vocabulary) + words
        rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((contexts >= 0) & (words >= 0) & (keys[rows] == wanted), rows, -1)

    def rows(self, grams: np.ndarray) -> np.ndarray:
        """Returns the rows of n-grams of one length, ids [N, k], in their level; 0 for the empty context."""
        rows = np.zeros(len(grams), np.int64)
        for level in range(grams.shape[1]):
            rows = self.find(level, rows, grams[:, level])
        return rows

    def log_probs(self, windows: np.ndarray) -> np.ndarray:
        """Returns ln P of the last word of each window after those before it: ids [N, k ≤ order] → [N]."""
        total, todo = np.zeros(len(windows)), np.ones(len(windows), bool)
        for length in range(windows.shape[1] - 1, -1, -1):
            context = self.rows(windows[:, windows.shape[1] - 1 - length : -1])
            hit = self.find(length, context, windows[:, -1])
            now = todo & (hit >= 0)
            total[now] += self.levels[length].prob[hit[now]]
            todo &= hit < 0
            if length:
                back = todo & (context >= 0)
                total[back] += self.levels[length - 1].backoff[context[back]]
        return total

    def row(self, history: Sequence[int]) -> np.ndarray:
        """Returns ln P of every word of the vocabulary after a history of ids: [V]; zero for the start mark."""
        out, size = self.levels[0].prob.copy(), len(self.vocabulary)
        for length in range(1, min(len(history), self.order - 1) + 1):
            context = int(self.rows(np.array([history[-length:]]))[0])
            if context < 0:
                continue
            level = self.levels[length]
            seen = slice(*np.searchsorted(level.keys, (context * size, (context + 1) * size)))
            out += self.levels[length - 1].backoff[context]
            out[level.keys[seen] - context * size] = level.prob[seen]
        return out

    def sentence_scores(self, sentences: Sentences) -> np.ndarray:
        """Returns ln P of each sentence, its end mark included: [sentences]; unknown words count as ``<unk>``."""
        scores = self.log_probs(self.vocabulary.windows(sentences, self.order))
        starts = np.cumsum([0, *(len(s) + 1 for s in sentences)])[:-1]
        return np.add.reduceat(scores, starts) if len(starts) else np.zeros(0)

    def perplexity(self, sentences: Sentences) -> Perplexity:
        """Computes the perplexity of text per known word and end mark, with the number of unknown words beside it."""
        windows = self.vocabulary.windows(sentences, self.order)
        known = windows[:, -1] != UNKNOWN
        mean = self.log_probs(windows)[known].mean() if known.any() else math.nan
        return Perplexity(float(np.exp(-mean)), int(known.sum()), int((~known).sum()))

    def grams(self, level: int) -> np.ndarray:
        """Returns the n-grams of ``levels[level]`` in words: ids [N, level + 1]."""
        contexts, words = np.divmod(self.levels[level].keys, len(self.vocabulary))
        before = self.grams(level - 1)[contexts] if level else np.zeros((len(words), 0), np.int64)
        return np.column_stack([before, words])


def train(
    sentences: Sentences, vocabulary: Vocabulary, order: int = 3, modified: bool = True, interpolated: bool = True
) -> NGram:
    """Estimates a Kneser-Ney model: modified and interpolated, or in its older forms for comparison.

    Args:
        sentences: in words; those outside the vocabulary count as ``<unk>``.
        vocabulary: of the model. Interpolation gives every word of it a probability; the older form, backing off, gives
            zero to those that never occur.
        order: n; a model of text with short sentences may have no n-grams at its highest orders.
        modified: three discounts an order (Chen and Goodman 1999, equation 26) instead of one, which is estimated from
            the plain counts, as in SRILM's ``-ukndiscount -kn-modify-counts-at-end``.
        interpolated: shorter contexts have a say always, not only where the longer one has no count.

    Raises:
        ValueError: when there are no sentences, or ``order`` is below 1.
    """
    if order < 1 or not len(sentences):
        raise ValueError("an n-gram model needs at least one sentence, and an order of 1 or more")
    size, stream = len(vocabulary), vocabulary.stream(sentences)
    keys, counts, suffixes = [np.arange(size)], [np.bincount(stream, minlength=size)], [np.zeros(size, np.int64)]
    at, rows = np.arange(len(stream)), stream  # of the n-grams of the order so far: last word's place, row
    for _ in range(1, order):
        longer = at + 1 < len(stream)
        longer[longer] = stream[at[longer] + 1] != START
        at, contexts = at[longer] + 1, rows[longer]
        found, rows, count = np.unique(contexts * size + stream[at], return_inverse=True, return_counts=True)
        below, words = np.divmod(found, size)
        suffix = np.searchsorted(keys[-1], suffixes[-1][below] * size + words)
        keys, counts, suffixes = [*keys, found], [*counts, count], [*suffixes, suffix]

    model, discounts = NGram(vocabulary, ()), []
    lower = np.full(1, -math.log(size - 1))  # evenly over all words but the start mark
    for k in range(order):
        adjusted = counts[k]
        if k < order - 1:  # how many words stand before it; what begins with a start mark keeps its count
            before = np.bincount(suffixes[k + 1], minlength=len(keys[k]))
            adjusted = np.where(before > 0, before, counts[k])
            if k == 0:
                adjusted[START] = 0
        elif k == 0:
            adjusted = np.where(keys[0] == START, 0, adjusted)
        discounts.append(_discounts(adjusted if modified else counts[k], modified) if k or interpolated else (0.0,) * 3)
        off = np.array([0.0, *discounts[k]])[np.minimum(adjusted, 3)]
        contexts = keys[k] // size
        total = np.bincount(contexts, adjusted, len(keys[k - 1]) if k else 1)
        freed = np.bincount(contexts, off, len(total)) / np.maximum(total, 1)
        prob = (adjusted - off) / total[contexts]
        if interpolated:
            prob += freed[contexts] * np.exp(lower[suffixes[k]])
        if k == 0:
            prob[START] = 0.0
        elif interpolated:
            model.levels[-1].backoff[:] = np.log(freed, where=total > 0, out=np.zeros(len(total)))
        with np.errstate(divide="ignore"):
            lower = np.log(prob)
        model = NGram(vocabulary, (*model.levels, Level(keys[k], lower, np.zeros(len(prob)))), tuple(discounts))
    return model if interpolated else _normalised(model)


def _discounts(counts: np.ndarray, modified: bool) -> tuple[float, float, float]:
    """The discounts of n-grams counted once, twice, and more often, from how many there are of each."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    if n[1] == 0 or n[2] == 0:
        return FALLBACK if modified else (0.5, 0.5, 0.5)
    share = n[1] / (n[1] + 2 * n[2])
    if not modified:
        return (share, share, share)
    found = tuple(k - (k + 1) * share * n[k + 1] / n[k] if n[k] else -1.0 for k in (1, 2, 3))
    return found if all(0 < d <= k for k, d in zip((1, 2, 3), found, strict=True)) else FALLBACK


def _normalised(model: NGram) -> NGram:
    """Sets the back-off weights so that probabilities sum to one after every context."""
    for k in range(1, model.order):
        seen, lower = _seen(model, k)
        weight = model.levels[k - 1].backoff
        has = np.bincount(model.levels[k].keys // len(model.vocabulary), minlength=len(weight)) > 0
        weight[:] = np.where(has, _left(seen) - _left(lower), 0.0)
    return model


def _seen(model: NGram, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Adds up, for each context of ``levels[k]``, P of the words seen after it, and P of them after one word less."""
    level, contexts = model.levels[k], model.levels[k].keys // len(model.vocabulary)
    length = len(model.levels[k - 1].keys)
    lower = model.log_probs(model.grams(k)[:, 1:])
    return np.bincount(contexts, np.exp(level.prob), length), np.bincount(contexts, np.exp(lower), length)


def _left(seen: np.ndarray) -> np.ndarray:
    """The logarithm of what is left of 1; rounding leaves a trace where every word was seen."""
    return np.log(np.maximum(1.0 - seen, 1e-12))


def build(
    vocabulary: Vocabulary, grams: Sequence[np.ndarray], probs: Sequence[np.ndarray], backoffs: Sequence[np.ndarray]
) -> NGram:
    """Builds a model of n-grams in any order, ids [N, k] for each k; the context of each must be among them."""
    model = NGram(vocabulary, ())
    for some, prob, backoff in zip(grams, probs, backoffs, strict=True):
        keys = model.rows(some[:, :-1]) * len(vocabulary) + some[:, -1]
        order = np.argsort(keys, kind="stable")
        model = NGram(vocabulary, (*model.levels, Level(keys[order], prob[order], backoff[order])))
    return model


def mixture_weights(models: Sequence[NGram], sentences: Sentences, steps: int = 200) -> np.ndarray:
    """Estimates the weights of a linear interpolation that suit development text best, by expectation–maximisation.

    Raises:
        ValueError: when the models have different vocabularies, or the text has no known word.
    """
    _same_vocabulary(models)
    windows = [model.vocabulary.windows(sentences, model.order) for model in models]
    known = windows[0][:, -1] != UNKNOWN
    if not known.any():
        raise ValueError("no known word in the development text: no weights can be estimated from it")
    probs = np.exp([model.log_probs(w[known]) for model, w in zip(models, windows, strict=True)])  # [M, N]
    weights = np.full(len(models), 1 / len(models))
    for _ in range(steps):
        joint = weights[:, None] * probs
        weights = (joint / np.maximum(joint.sum(0), 1e-300)).mean(1)
    return weights / weights.sum()


def interpolate(models: Sequence[NGram], weights: Sequence[float]) -> NGram:
    """Mixes models into one: the mixture's probability for each n-gram of any of them, new back-off weights.

    Raises:
        ValueError: when the models have different vocabularies.
    """
    _same_vocabulary(models)
    vocabulary, order = models[0].vocabulary, max(model.order for model in models)
    grams, probs = [], []
    for k in range(order):
        grams.append(np.unique(np.vstack([model.grams(k) for model in models if model.order > k]), axis=0))
        mixed = sum(
            weight * np.exp(model.log_probs(grams[k][:, -model.order :]))
            for model, weight in zip(models, weights, strict=True)
        )
        with np.errstate(divide="ignore"):
            probs.append(np.log(mixed))
    return _normalised(build(vocabulary, grams, probs, [np.zeros(len(p)) for p in probs]))


def _same_vocabulary(models: Sequence[NGram]) -> None:
    if any(model.vocabulary != models[0].vocabulary for model in models):
        raise ValueError("the models have different vocabularies: train them over a shared one")


def prune(model: NGram, threshold: float) -> NGram:
    """Drops the n-grams without which the model's perplexity would rise by a share of less than ``threshold`` each.

    Unigrams stay, and so do contexts of n-grams that stay (Stolcke 1998, equation 5).
    """
    size, kept = len(model.vocabulary), [np.ones(len(level.keys), bool) for level in model.levels]
    for k in range(model.order - 1, 0, -1):
        level, grams, contexts = model.levels[k], model.grams(k), model.levels[k].keys // size
        seen, lower_seen = (s[contexts] for s in _seen(model, k))
        lower = model.log_probs(grams[:, 1:])
        history = sum(np.where(grams[:, i] == START, 0.0, model.log_probs(grams[:, : i + 1])) for i in range(k))
        new = _left(seen - np.exp(level.prob)) - _left(lower_seen - np.exp(lower))
        old = model.levels[k - 1].backoff[contexts]
        loss = np.exp(level.prob) * (lower + new - level.prob) + np.maximum(1 - seen, 0) * (new - old)
        kept[k] = np.expm1(-np.exp(history) * loss) >= threshold
        if k < model.order - 1:
            kept[k][model.levels[k + 1].keys[kept[k + 1]] // size] = True
    grams = [model.grams(k)[keep] for k, keep in enumerate(kept)]
    probs = [level.prob[keep] for level, keep in zip(model.levels, kept, strict=True)]
    return _normalised(build(model.vocabulary, grams, probs, [np.zeros(len(p)) for p in probs]))
