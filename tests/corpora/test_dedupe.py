import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.corpora.dedupe import near_duplicates, normalise

sentences = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f,", "7", "12", "G'", "?"]), max_size=7).map(" ".join)


def brute_force(texts, references, threshold):
    def similar(x, y):
        x, y = normalise(x), normalise(y)
        p, q = set(x.split()), set(y.split())
        return x == y or (bool(p | q) and len(p & q) / len(p | q) >= threshold)

    return [any(similar(x, y) for y in references) for x in texts]


@given(st.lists(sentences, max_size=8), st.lists(sentences, max_size=8), st.sampled_from([0.3, 0.5, 0.75, 0.8, 1.0]))
def test_equals_brute_force(texts, references, threshold):
    assert near_duplicates(texts, references, threshold).tolist() == brute_force(texts, references, threshold)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefghij"), size=rng.integers(1, 9))) for _ in range(120)]
    whole = near_duplicates(texts[:60], texts[60:])
    monkeypatch.setattr("slubook.corpora.dedupe._ROWS", 7)
    monkeypatch.setattr("slubook.corpora.dedupe._PAIRS", 5)
    assert near_duplicates(texts[:60], texts[60:]).tolist() == whole.tolist()
    assert 0 < whole.sum() < 60


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Wake me at 7:30!", "wake me at 12:45", True),
        ("what's the time", "Whats the time?", True),
        ("play some old jazz now", "play some old jazz", True),
        ("play some jazz", "play some rock", False),
        ("बत्ती जलाओ", "बत्ती जलाओ।", True),
        ("बत्ती जलाओ", "बत्ती बुझाओ", False),
        ("?", "!", True),
        ("?", "yes", False),
    ],
)
def test_examples(one, other, alike):
    assert near_duplicates([one], [other]).tolist() == [alike]


def test_threshold_is_checked():
    with pytest.raises(ValueError, match="threshold"):
        near_duplicates(["a"], ["a"], 0)
