"""Selection finds sentences of the domain in a pool, and chance does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills.fasttext import train_fasttext
from slubook.ch5_bootstrapping import selection
from slubook.ch5_bootstrapping.selection import at_random, centroid_distances, moore_lewis, nearest, sentence_vectors
from slubook.corpora import parallel

RESTAURANT, GENERAL = ([parallel.spoken(p.english) for p in parallel.embedded(d)] for d in ("restaurant", "general"))
IN_DOMAIN, POOL = RESTAURANT[::2], [*RESTAURANT[1::2], *GENERAL]
OF_DOMAIN = len(RESTAURANT[1::2])


def found(chosen: list[int]) -> float:
    """The share of chosen sentences that are of the domain."""
    return np.mean([i < OF_DOMAIN for i in chosen])


def test_methods_find_the_domain_better_than_chance():
    text = [*IN_DOMAIN, *POOL]
    counts = Counter(word for sentence in text for word in sentence)
    table = train_fasttext("toy", text, replace(selection.VECTORS, buckets=2000))
    vectors = [sentence_vectors(table, some, counts) for some in (IN_DOMAIN, POOL)]
    by_centroid = nearest(centroid_distances(*vectors), 30)
    by_models = np.mean([found(nearest(moore_lewis(IN_DOMAIN, POOL, seed), 30)) for seed in range(5)])
    chance = np.mean([found(at_random(POOL, 30, seed)) for seed in range(20)])
    assert 0.5 < chance < 0.7, "of the pool, 120 of 200 are of the domain"
    assert found(by_centroid) > 0.85 and by_models > 0.75


def test_distances_are_of_directions():
    near, far = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [2.0, 0.0], [-1.0, 0.0]])
    assert centroid_distances(near, far / np.linalg.norm(far, axis=1, keepdims=True)) == pytest.approx([1, 0, 2])
    with pytest.raises(ValueError, match="no centroid"):
        centroid_distances(near[:0], far)


def test_frequent_words_weigh_less(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    table = selection.vectors_of("toy", IN_DOMAIN)
    assert selection.vectors_of("toy", IN_DOMAIN).key == table.key
    both, rare = sentence_vectors(table, [["the", "restaurant"], ["restaurant"]], Counter(the=1000, restaurant=1))
    assert float(both @ rare) > 0.95
    assert not sentence_vectors(table, [[]], Counter()).any()


def test_chance_and_nearest_are_stable():
    assert nearest(np.array([2.0, 1.0, 1.0, 3.0]), 3) == [1, 2, 0]
    assert at_random(POOL, 5, 1) == at_random(POOL, 5, 1) != at_random(POOL, 5, 2)
    with pytest.raises(ValueError, match="neither may be empty"):
        moore_lewis([], POOL)
