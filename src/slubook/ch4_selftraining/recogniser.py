"""Recognises one new intent beside an assistant's others: a MaxEnt classifier, a CRF for slots, and a threshold.

Taught in chapter 4, *Build it*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_matrix, vstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from slubook.ch1_skills.maxent import Clusters, MaxEntConfig, MaxEntCRF
from slubook.corpora.utterance import Prediction, Utterance, words

#: Columns of the n-gram features.
BUCKETS = 2**20
#: The share of other requests that a recogniser may take for its own, and the usual operating point.
FALSE_ALARMS, ARGMAX = 0.003, 0.5


@dataclass(frozen=True)
class RecogniserConfig:
    """Settings, the same for every method.

    Attributes:
        inverse_l2: of the classifier.
        crf: of the tagger; its regularisation is fixed, since nothing is kept apart to choose it on.
    """

    inverse_l2: float = 16.0
    crf: MaxEntConfig = field(default_factory=lambda: MaxEntConfig(l1_l2=((0.05, 0.02),), max_iterations=100))


def grams(text: str, clusters: Clusters | None = None, order: int = 3) -> list[str]:
    """Lists the word 1- to 3-grams of a request and, where there are any, the clusters of its words."""
    tokens = ["<s>", *words(text), "</s>"]
    found = [" ".join(tokens[i : i + n]) for n in range(1, order + 1) for i in range(len(tokens) - n + 1)]
    return found + [f"cluster{k}={c}" for w in tokens for k, c in enumerate((clusters or {}).get(w, ()))]


def features(texts: Sequence[str], clusters: Clusters | None = None) -> csr_matrix:
    """Marks the hashed n-grams of each text, [N, BUCKETS]: no vocabulary has to be kept, nor seen before."""
    hashing = HashingVectorizer(
        analyzer=lambda text: grams(text, clusters), n_features=BUCKETS, binary=True, norm=None, alternate_sign=False
    )
    return hashing.transform(texts) if len(texts) else csr_matrix((0, BUCKETS))


@dataclass
class IntentRecogniser:
    """A trained recogniser of one intent.

    Attributes:
        intent: its name.
        weights, bias: of the classifier, [BUCKETS] and a number.
        tagger: of slots, which was trained on utterances of the intent alone.
        clusters: of words, where it reads them.
        threshold: above which p(intent) makes a request its own.
    """

    intent: str
    weights: np.ndarray
    bias: float
    tagger: MaxEntCRF
    clusters: Clusters | None = None
    threshold: float = ARGMAX

    def probability(self, rows: csr_matrix) -> np.ndarray:
        """Computes p(intent) of requests by their features, [N]."""
        return 1 / (1 + np.exp(-(rows @ self.weights + self.bias)))

    def at(self, others: np.ndarray, rate: float = FALSE_ALARMS) -> IntentRecogniser:
        """Returns the recogniser with the threshold at which a ``rate`` of other requests is a false alarm.

        Args:
            others: p(intent) of development requests that do not ask for the intent, [N].
            rate: of false alarms, at most.
        """
        return replace(self, threshold=threshold(others, rate))

    def answer(self, texts: Sequence[str], p: np.ndarray | None = None) -> list[Prediction]:
        """Returns intent and slots of each text; ``""`` and no slots where it leaves the request to others."""
        p = self.probability(features(texts, self.clusters)) if p is None else p
        return reject(self.tagger.predict(texts), p, self.intent, self.threshold)


def reject(tagged: Sequence[Prediction], p: np.ndarray, intent: str, threshold: float) -> list[Prediction]:
    """Returns the predictions with p(intent) above a threshold, and ``""`` without slots for the others."""
    pairs = zip(tagged, p.tolist(), strict=True)
    return [Prediction(intent, t.slots, q) if q > threshold else Prediction("", (), 1 - q) for t, q in pairs]


def threshold(others: np.ndarray, rate: float = FALSE_ALARMS) -> float:
    """Returns the lowest threshold above which lies at most a ``rate`` of the probabilities of other requests, [N].

    Raises:
        ValueError: when there are too few of them for one false alarm.
    """
    allowed = int(rate * len(others))
    if not allowed:
        raise ValueError(f"{len(others)} development requests cannot show a false-alarm rate of {rate}: give more")
    return float(np.sort(others)[-allowed - 1])


def train(
    positives: Sequence[Utterance],
    negatives: csr_matrix,
    config: RecogniserConfig,
    clusters: Clusters | None = None,
    weight: float = 1.0,
) -> IntentRecogniser:
    """Trains a recogniser.

    Args:
        positives: utterances of the intent, annotated or labelled by a teacher.
        negatives: features of requests of other intents, [N, BUCKETS], with the same clusters.
        config: settings.
        clusters: of words, for features of both halves.
        weight: of a positive in the classifier.

    Raises:
        ValueError: when one of the two is empty.
    """
    if not len(positives) or not negatives.shape[0]:
        raise ValueError("a recogniser learns from utterances of its intent and of others: one of the two is missing")
    x = vstack([features([u.text for u in positives], clusters), negatives]).tocsr()
    y = np.arange(x.shape[0]) < len(positives)
    columns, places = np.unique(x.indices, return_inverse=True)
    seen = csr_matrix((x.data, places, x.indptr), (x.shape[0], len(columns)))
    # Warm starts and loose tolerances stop such a lopsided problem at once; this solver runs to the end.
    model = LogisticRegression(C=config.inverse_l2, max_iter=300, tol=1e-4).fit(seen, y, np.where(y, weight, 1.0))
    weights = np.zeros(BUCKETS)
    weights[columns] = model.coef_[0]
    tagger = MaxEntCRF(config.crf, clusters).fit(positives, [])
    return IntentRecogniser(positives[0].intent, weights, float(model.intercept_[0]), tagger, clusters)
