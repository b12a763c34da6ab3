"""Selects what to learn from among the relevant utterances of a pool (Cho et al., ASRU 2019, arXiv 1910.04196).

The n-gram filter says which utterances are relevant at all. Each strategy then spends a budget of k utterances on them,
and sees texts only, never the pool's labels. Taught in chapter 4, *Self-training*.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from slubook.ch4_selftraining.paraphrase import Detector

#: Batches in which the strategies by paraphrase score choose: a batch is compared with all that was chosen before it.
BATCHES = 10


@dataclass(frozen=True)
class Candidates:
    """What a strategy sees of N annotated utterances and M relevant ones of the pool."""

    annotated: Sequence[str]  # texts of the target's training set, N
    texts: Sequence[str]  # texts of the filtered pool, M, by falling relevance
    relevance: np.ndarray  # p(target) by the n-gram filter, [M]
    features: csr_matrix  # word 1- to 3-grams of annotated utterances, then of texts, [N + M, V]


#: A strategy returns the places of the texts that it chooses, [min(k, M)], in the order in which it chose them.
Strategy = Callable[[Candidates, int, Generator, Detector | None], np.ndarray]


def relevant(probabilities: np.ndarray, limit: int) -> np.ndarray:
    """Returns the places of the ``limit`` utterances with the highest p(target), best first.

    The filter goes by rank: with few examples of the target, hardly any utterance reaches p > 0.5.
    """
    return np.argsort(-probabilities, kind="stable")[:limit]


def top(candidates: Candidates, k: int, rng: Generator, detector: Detector | None = None) -> np.ndarray:
    """Chooses the most relevant texts."""
    return np.arange(min(k, len(candidates.texts)))


def random(candidates: Candidates, k: int, rng: Generator, detector: Detector | None = None) -> np.ndarray:
    """Chooses texts evenly at random: the comparison that a clever strategy has to win."""
    return rng.permutation(len(candidates.texts))[:k]


def k_centre(candidates: Candidates, k: int, rng: Generator, detector: Detector | None = None) -> np.ndarray:
    """Chooses the text that is farthest from all that is annotated or chosen, again and again (Gonzalez, 1985).

    The distance is 1 − the cosine of n-grams; of texts at the same distance, the most relevant is taken.
    """
    rows = normalize(candidates.features)
    known, texts = rows[: len(candidates.annotated)], rows[len(candidates.annotated) :]  # [N, V], [M, V]
    nearest = (texts @ known.T).max(1).toarray().ravel() if known.shape[0] else np.zeros(texts.shape[0])  # cosines, [M]
    chosen = np.zeros(min(k, texts.shape[0]), int)
    for n in range(len(chosen)):
        chosen[n] = best = nearest.argmin()
        nearest = np.maximum(nearest, (texts @ texts[best].T).toarray().ravel())
        nearest[best] = np.inf
    return chosen


class Coverage:
    """The n-gram coverage of a set S of texts, Σ w(v) · √c(v): a monotone submodular function.

    c(v) counts the annotated and chosen utterances that have the n-gram v. The root makes each further one worth less,
    and w(v) makes n-grams of many relevant texts worth more (feature-based functions: Wei, Liu, Kirchhoff, Bartels and
    Bilmes, ICASSP 2014).
    """

    def __init__(self, candidates: Candidates) -> None:
        features = candidates.features.tocsr()
        known, self.texts = features[: len(candidates.annotated)], features[len(candidates.annotated) :]
        self.weights = self.texts.T @ candidates.relevance  # w, [V]
        self.counts = np.asarray(known.sum(0)).ravel()  # c, [V]

    def gain(self, text: int) -> float:
        """Returns by how much the coverage grows with one more text; never rises as more texts are added.

        √(c + 1) − √c is written as 1 / (√(c + 1) + √c), which does not rise in floating point either.
        """
        grams = self.texts.indices[self.texts.indptr[text] : self.texts.indptr[text + 1]]
        c = self.counts[grams]
        return float((self.weights[grams] / (np.sqrt(c + 1) + np.sqrt(c))).sum())

    def add(self, text: int) -> None:
        """Adds a text to the set."""
        self.counts[self.texts.indices[self.texts.indptr[text] : self.texts.indptr[text + 1]]] += 1


def coverage(candidates: Candidates, k: int, rng: Generator, detector: Detector | None = None) -> np.ndarray:
    """Chooses the text that adds most n-gram coverage, again and again: at least 1 − 1/e of the best possible.

    The greedy choice is made lazily (Minoux, 1978): a gain of before is an upper bound of today's, so that only texts
    at the top of the queue are looked at again.
    """
    covered = Coverage(candidates)
    queue = [(-covered.gain(text), text, 0) for text in range(len(candidates.texts))]
    heapq.heapify(queue)
    chosen: list[int] = []
    while queue and len(chosen) < k:
        _, text, when = queue[0]
        if when == len(chosen):
            heapq.heappop(queue)
            covered.add(text)
            chosen.append(text)
        else:
            heapq.heapreplace(queue, (-covered.gain(text), text, len(chosen)))
    return np.array(chosen, int)


def _by_paraphrase(candidates: Candidates, k: int, detector: Detector | None, sign: int) -> np.ndarray:
    """Chooses, batch by batch, the texts with the lowest (sign 1) or highest (−1) score against the training set."""
    if detector is None:
        raise ValueError("a strategy by paraphrase score needs a detector: train one, or choose another strategy")
    k = min(k, len(candidates.texts))
    texts = detector.encode(candidates.texts)  # [M, D]
    score = detector.nearest(texts, detector.encode(candidates.annotated))[0]  # [M]
    chosen = np.zeros(0, int)
    for batch in np.array_split(np.arange(k), BATCHES):
        left = np.setdiff1d(np.arange(len(texts)), chosen)
        new = left[np.argsort(sign * score[left], kind="stable")[: len(batch)]]
        chosen = np.concatenate([chosen, new])
        score = np.maximum(score, detector.nearest(texts, texts[new])[0])
    return chosen


def bad_paraphrases(candidates: Candidates, k: int, rng: Generator, detector: Detector | None = None) -> np.ndarray:
    """Chooses texts that paraphrase nothing in the training set so far: the article's proposal.

    Raises:
        ValueError: without a detector.
    """
    return _by_paraphrase(candidates, k, detector, 1)


def good_paraphrases(candidates: Candidates, k: int, rng: Generator, detector: Detector | None = None) -> np.ndarray:
    """Chooses texts that paraphrase something in the training set: the article's comparison.

    Raises:
        ValueError: without a detector.
    """
    return _by_paraphrase(candidates, k, detector, -1)


#: Every strategy by name.
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {s.__name__: s for s in (top, random, k_centre, coverage, bad_paraphrases, good_paraphrases)}
)
