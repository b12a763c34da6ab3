"""Folds cover everything once, keep groups whole and intents even."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.corpora.utterance import Utterance
from slubook.evaluation.crossval import DEV_PARTS, deal, k_folds


def made(labels: list[tuple[str, str]]) -> tuple[list[Utterance], list[str]]:
    """Utterances of (intent, group) pairs."""
    return [Utterance(str(i), f"text {i}", intent) for i, (intent, _) in enumerate(labels)], [g for _, g in labels]


CORPORA = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 20).map(str)), min_size=1, max_size=60)


@given(CORPORA, st.integers(2, 5), st.integers(0, 3))
def test_every_utterance_once_and_groups_whole(labels, k, seed):
    utterances, groups = made(labels)
    if len(set(groups)) < k:
        with pytest.raises(ValueError, match="folds of"):
            k_folds(utterances, groups, k, seed)
        return
    folds = k_folds(utterances, groups, k, seed)
    assert sorted(i for f in folds for i in f.test) == list(range(len(labels)))
    for fold in folds:
        sides = [{groups[i] for i in part} for part in (fold.train, fold.dev, fold.test)]
        assert sum(map(len, sides)) == len(set(groups))  # disjoint
        assert sorted(fold.train + fold.dev + fold.test) == list(range(len(labels)))
        assert fold.train and fold.test


def test_intents_and_sizes_are_even():
    utterances, groups = made([(intent, f"{intent}{i}") for intent, n in (("A", 40), ("B", 10)) for i in range(n)])
    for fold in k_folds(utterances, groups, 5, seed=1):
        assert Counter(utterances[i].intent for i in fold.test) == {"A": 8, "B": 2}
        assert len(fold.dev) in (40 // DEV_PARTS, 40 // DEV_PARTS + 1)


def test_the_seed_decides():
    utterances, groups = made([("A", str(i)) for i in range(30)])
    assert k_folds(utterances, groups, 5, 1) == k_folds(utterances, groups, 5, 1) != k_folds(utterances, groups, 5, 2)


def test_one_large_group_does_not_upset_the_rest():
    utterances, groups = made([("A", "large")] * 20 + [("A", str(i)) for i in range(80)])
    assert sorted(Counter(deal(utterances, groups, 5, 0)).values()) == [20] * 5


def test_bad_input_is_named():
    utterances, groups = made([("A", "1"), ("A", "2"), ("B", "3")])
    with pytest.raises(ValueError, match="4 folds of 3 groups"):
        k_folds(utterances, groups, 4, 0)
    with pytest.raises(ValueError, match="1 folds"):
        k_folds(utterances, groups, 1, 0)
    with pytest.raises(ValueError, match="2 groups for 3 utterances"):
        k_folds(utterances, groups[:2], 2, 0)
