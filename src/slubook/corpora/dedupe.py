"""Near-duplicates: utterances that differ from another by a digit, a comma or one word in five.

They reward a model for memorising. Taught in notebook 00, *Meet the data*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from tqdm import tqdm

from slubook.corpora.utterance import words

_ROWS = 4096  # texts compared at a time
_PAIRS = 500_000  # candidate pairs checked at a time
_EPSILON = 1e-9  # so that 4 of 5 words reach a threshold of 0.8 in floating point, too


def normalise(text: str) -> str:
    """Normalises a text: lower case, 0 for each number, no punctuation, one space between words."""
    kept = (re.sub(r"['’_]", "", word) for word in words(re.sub(r"\d+", "0", text)))
    return " ".join(word for word in kept if any(c.isalnum() for c in word))


def opened(text: str) -> str:
    """Replaces each apostrophe by a space: some corpora write *I d like* where others write *I'd like*."""
    return re.sub(r"['’`]", " ", text)


def near_duplicates(texts: Sequence[str], references: Sequence[str], threshold: float = 0.8) -> np.ndarray:
    """Finds the texts that have a near-duplicate among the references.

    Two utterances are near-duplicates when the Jaccard similarity of their normalised word sets reaches the
    threshold; equal normalised texts always are. Candidates come from the prefix filter (Chaudhuri, Ganti and
    Kaushik, 2006, *A primitive operator for similarity joins in data cleaning*): sets that similar must share one of
    their few rarest words.

    Args:
        texts: the texts to test, [N].
        references: the texts to compare with, [M].
        threshold: in (0, 1].

    Returns:
        One boolean a text, [N].

    Raises:
        ValueError: for a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not in (0, 1]")
    if not len(texts) or not len(references):
        return np.zeros(len(texts), bool)
    sets, of_text = np.unique([_word_set(text) for text in texts], return_inverse=True)
    others = np.unique([_word_set(reference) for reference in references])
    found = np.isin(sets, others)
    rows, columns = np.flatnonzero(~found & (sets != "")), others[others != ""]
    if len(rows) and len(columns):
        found[rows] = _similar(sets[rows], columns, threshold)
    return found[of_text]


def _word_set(text: str) -> str:
    return " ".join(sorted(set(normalise(text).split())))


def _similar(sets: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
    """Finds the word sets, written as strings, whose similarity to one of the others reaches the threshold."""
    vectorizer = CountVectorizer(analyzer=str.split, dtype=np.int32).fit(np.concatenate([sets, others]))
    a, b = vectorizer.transform(sets), vectorizer.transform(others)  # [N, V], [M, V], 0 or 1
    rarest_first = np.argsort(a.getnnz(axis=0) + b.getnnz(axis=0), kind="stable")
    a, b = a[:, rarest_first].tocsr(), b[:, rarest_first].tocsr()
    prefix_a, prefix_b = _prefix(a, threshold), _prefix(b, threshold).T.tocsr()
    sizes_a, sizes_b = np.diff(a.indptr), np.diff(b.indptr)
    found = np.zeros(a.shape[0], bool)
    for first in tqdm(range(0, a.shape[0], _ROWS), desc="near-duplicates", delay=2, leave=False, disable=None):
        candidates = (prefix_a[first : first + _ROWS] @ prefix_b).tocoo()
        i, j = candidates.row + first, candidates.col
        near_size = np.minimum(sizes_a[i], sizes_b[j]) >= threshold * np.maximum(sizes_a[i], sizes_b[j]) - _EPSILON
        i, j = i[near_size], j[near_size]
        for start in range(0, len(i), _PAIRS):
            p, q = i[start : start + _PAIRS], j[start : start + _PAIRS]
            shared = np.asarray(a[p].multiply(b[q]).sum(axis=1)).ravel()
            alike = shared >= threshold * (sizes_a[p] + sizes_b[q] - shared) - _EPSILON
            found[p[alike]] = True
    return found


def _prefix(matrix: sparse.csr_matrix, threshold: float) -> sparse.csr_matrix:
    """Keeps each row's rarest words: so many that a set of the given similarity must share one of them."""
    matrix.sort_indices()
    sizes = np.diff(matrix.indptr)
    kept = sizes - np.ceil(threshold * sizes - _EPSILON).astype(int) + 1
    place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], sizes)
    mask = place < np.repeat(kept, sizes)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(kept, sizes))])
    return sparse.csr_matrix((matrix.data[mask], matrix.indices[mask], indptr), matrix.shape)
