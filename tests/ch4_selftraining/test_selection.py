"""The n-gram filter and the strategies: what they choose, in which order, and how good it is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix

from slubook.ch4_selftraining.paraphrase import Detector, DetectorConfig
from slubook.ch4_selftraining.selection import STRATEGIES, Candidates, Coverage, relevant
from slubook.profiles import seed_everything


def candidates(features: np.ndarray, annotated: int, relevance: np.ndarray | None = None) -> Candidates:
    """Candidates with given features, [N + M, V], named by their places."""
    names = [f"utterance number {n}" for n in range(len(features))]
    p = np.linspace(1, 0.1, len(features) - annotated) if relevance is None else relevance
    return Candidates(names[:annotated], names[annotated:], p, csr_matrix(features.astype(float)))


@st.composite
def small(draw):
    """Candidates few enough to try every choice of k."""
    annotated, m, v = draw(st.integers(0, 2)), draw(st.integers(1, 7)), draw(st.integers(1, 8))
    features = draw(arrays(np.int8, (annotated + m, v), elements=st.integers(0, 1)))
    p = draw(arrays(np.float64, m, elements=st.floats(0, 1, allow_subnormal=False)))
    return candidates(features, annotated, np.sort(p)[::-1]), draw(st.integers(1, m))


def choose(name: str, some: Candidates, k: int, detector: Detector | None = None) -> list[int]:
    return STRATEGIES[name](some, k, np.random.default_rng(0), detector).tolist()


def covered(some: Candidates, chosen) -> float:
    """The coverage that a set adds, computed from its definition."""
    x = some.features.toarray()
    known, texts = x[: len(some.annotated)], x[len(some.annotated) :]
    weights = texts.T @ some.relevance
    return float(weights @ (np.sqrt(known.sum(0) + texts[list(chosen)].sum(0)) - np.sqrt(known.sum(0))))


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A detector without any training: two texts are compared by vectors of random numbers."""
    seed_everything(3, threads=1)
    return Detector({}, DetectorConfig(width=4)).eval()


@pytest.fixture
def many() -> Candidates:
    return candidates(np.random.default_rng(1).integers(0, 2, (65, 30)), 5)


def test_the_filter_goes_by_rank_and_keeps_the_order_of_equals():
    p = np.array([0.1, 0.4, 0.2, 0.4, 0.0])  # none would pass p > 0.5
    assert relevant(p, 3).tolist() == [1, 3, 2]
    assert relevant(p, 9).tolist() == [1, 3, 2, 0, 4]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("k", [1, 7, 60, 99])
def test_a_budget_is_spent_on_different_texts(name, k, many, detector):
    chosen = choose(name, many, k, detector)
    assert len(chosen) == len(set(chosen)) == min(k, 60)
    assert set(chosen) <= set(range(60))


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_strategy_changes_what_it_is_given(name, many, detector):
    before = many.features.copy()
    choose(name, many, 20, detector)
    assert (many.features != before).nnz == 0


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "random"])
def test_only_random_is_random(name, many, detector):
    again = [STRATEGIES[name](many, 20, np.random.default_rng(s), detector).tolist() for s in range(2)]
    assert again[0] == again[1]


def test_random_follows_the_seed(many):
    def draw(seed):
        return STRATEGIES["random"](many, 20, np.random.default_rng(seed), None).tolist()

    assert draw(1) == draw(1) != draw(2)


def test_top_takes_the_most_relevant(many):
    assert choose("top", many, 3) == [0, 1, 2]


def test_k_centre_takes_what_is_farthest_from_all_that_is_known():
    features = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0]])
    assert choose("k_centre", candidates(features, 1), 4) == [2, 1, 3, 0]


@given(small())
@settings(deadline=None)
def test_k_centre_is_greedy(drawn):
    some, k = drawn
    x = some.features.toarray()
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    known, left = list(range(len(some.annotated))), list(range(len(some.annotated), len(x)))
    for text in choose("k_centre", some, k):
        near = [max((x[i] @ x[j] for j in known), default=0.0) for i in left]
        assert near[left.index(text + len(some.annotated))] == pytest.approx(min(near))
        known.append(text + len(some.annotated))
        left.remove(text + len(some.annotated))


@given(small())
@settings(deadline=None)
def test_lazy_greedy_is_plain_greedy(drawn):
    some, k = drawn
    plain, greedy = Coverage(some), []
    for _ in range(k):
        gains = {text: plain.gain(text) for text in range(len(some.texts)) if text not in greedy}
        greedy.append(max(gains, key=gains.__getitem__))  # the first of the best
        plain.add(greedy[-1])
    assert choose("coverage", some, k) == greedy


@given(small())
@settings(deadline=None)
def test_greedy_coverage_is_near_the_best_possible(drawn):
    some, k = drawn
    best = max(covered(some, chosen) for chosen in combinations(range(len(some.texts)), k))
    assert covered(some, choose("coverage", some, k)) >= (1 - 1 / np.e) * best - 1e-9


@given(small())
@settings(deadline=None)
def test_coverage_is_monotone_and_submodular(drawn):
    some, _ = drawn
    now = Coverage(some)
    before = [now.gain(text) for text in range(len(some.texts))]
    assert min(before) >= 0
    for text in range(len(some.texts)):
        assert now.gain(text) == pytest.approx(covered(some, range(text + 1)) - covered(some, range(text)))
        now.add(text)
        after = [now.gain(text) for text in range(len(some.texts))]
        assert all(a <= b for a, b in zip(after, before, strict=True))
        before = after


@pytest.mark.parametrize("name, pick", [("bad_paraphrases", min), ("good_paraphrases", max)])
def test_batches_are_compared_with_all_that_was_chosen_before(name, pick, many, detector):
    known, left = [*many.annotated], [*many.texts]
    for text in choose(name, many, 10, detector):  # batches of one
        nearest = {t: max(detector.score([t] * len(known), known)) for t in left}
        assert nearest[many.texts[text]] == pytest.approx(pick(nearest.values()), abs=1e-5)
        known.append(many.texts[text])
        left.remove(many.texts[text])


@pytest.mark.parametrize("name", ["bad_paraphrases", "good_paraphrases"])
def test_paraphrases_need_a_detector(name, many):
    with pytest.raises(ValueError, match="needs a detector: train one"):
        choose(name, many, 3)
