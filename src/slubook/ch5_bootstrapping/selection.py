"""Selects the sentence pairs from which a translator learns, by how near they are to a little in-domain text.

The article embeds the sentences and takes those within a distance of the centroid of the in-domain ones. Here the
vectors are made from the text at hand: FastText's, averaged with rare words weighing more. Moore–Lewis and chance are
the controls.

Sources: Punjabi et al. (2019), arXiv 1912.00958, section 3.1; Arora et al. (2017), *A simple but tough-to-beat
baseline for sentence embeddings*, equation 1, for the weights; Moore and Lewis (2010). Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.tables import kept_table
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch5_bootstrapping.ngram import Sentences, Vocabulary, train

#: Of the vectors: small, as the text is.
VECTORS = FastTextConfig(dim=100, epochs=5)
#: The frequency at which a word weighs half.
HALF = 1e-3


def vectors_of(name: str, *texts: Sentences) -> VectorTable:
    """Returns word vectors of all texts together: those that are kept if they were of the same texts, else new ones."""
    return kept_table(name, [sentence for text in texts for sentence in text], train_fasttext, VECTORS)


def sentence_vectors(table: VectorTable, sentences: Sentences, counts: Counter[str]) -> np.ndarray:
    """Returns the mean of each sentence's word vectors, weighted against frequent words, of length 1: [N, D].

    Args:
        table: word vectors.
        sentences: in words; an empty one gets zeros.
        counts: how often each word occurs in the text that frequencies are taken from.
    """
    total, out = max(1, counts.total()), np.zeros((len(sentences), table.dim), np.float32)
    for i, sentence in enumerate(sentences):
        if sentence:
            weights = np.array([HALF / (HALF + counts[word] / total) for word in sentence], np.float32)
            out[i] = weights @ table.vectors(sentence)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def centroid_distances(in_domain: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Returns the cosine distance of each vector of a pool [P, D] from the centroid of in-domain vectors [N, D]: [P].

    Raises:
        ValueError: when there are no in-domain vectors.
    """
    if not len(in_domain):
        raise ValueError("no in-domain sentences: they have no centroid")
    centroid = in_domain.mean(0)
    return 1 - pool @ centroid / max(float(np.linalg.norm(centroid)), 1e-9)


def moore_lewis(in_domain: Sentences, pool: Sentences, seed: int = 0) -> np.ndarray:
    """Returns by how much an in-domain model finds each sentence of a pool less likely than a general one, a word: [P].

    Both are bigram models over the words that the in-domain text has; the general one is trained on as many sentences
    of the pool, drawn by ``seed``.

    Raises:
        ValueError: when one of the texts is empty.
    """
    if not in_domain or not pool:
        raise ValueError("Moore and Lewis's method compares in-domain text with a pool: neither may be empty")
    drawn = np.random.default_rng(seed).permutation(len(pool))[: len(in_domain)]
    vocabulary = Vocabulary.of(in_domain)
    own, general = (train(text, vocabulary, 2) for text in (in_domain, [pool[i] for i in drawn]))
    lengths = np.array([len(sentence) + 1 for sentence in pool])
    return (general.sentence_scores(pool) - own.sentence_scores(pool)) / lengths


def nearest(distances: np.ndarray, most: int) -> list[int]:
    """Returns the ``most`` places of the smallest distances, nearest first; ties in their order."""
    return np.argsort(distances, kind="stable")[:most].tolist()


def at_random(pool: Sequence, most: int, seed: int) -> list[int]:
    """Returns ``most`` places of a pool, drawn by ``seed``."""
    return np.random.default_rng(seed).permutation(len(pool))[:most].tolist()
