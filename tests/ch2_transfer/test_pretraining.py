import numpy as np
import pytest

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.masked_lm import MaskedLMConfig, train_masked_lm
from slubook.ch1_skills.tables import kept_table, text_key

#: Two kinds of words in two kinds of places: what is drunk, and where one goes.
SENTENCES = [
    f"{opening} {word} {closing}".split()
    for opening, words, closing in (
        ("bring me a glass of", ("milk", "juice", "water", "tea"), "to drink please"),
        ("drive me over to", ("london", "paris", "berlin", "rome"), "by the motorway tonight"),
    )
    for word in words
    for _ in range(30)
]
FAST = FastTextConfig(dim=16, epochs=60, buckets=200, least=1)
MASKED = MaskedLMConfig(dim=16, inner=16, heads=2, candidates=20, batch=16, epochs=8, rate=1e-2)


def likeness(table, a: str, b: str) -> float:
    x, y = table.vectors([a, b])
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@pytest.mark.parametrize(("train", "config"), [(train_fasttext, FAST), (train_masked_lm, MASKED)])
def test_words_of_one_kind_come_to_lie_together(train, config):
    table = train("toy", SENTENCES, config)
    within = np.mean([likeness(table, "milk", w) for w in ("juice", "water", "tea")])
    across = np.mean([likeness(table, "milk", w) for w in ("paris", "berlin", "rome")])
    assert within > across + 0.1


@pytest.mark.parametrize(("train", "config"), [(train_fasttext, FAST), (train_masked_lm, MASKED)])
def test_same_text_same_vectors_and_mean_norm_one(train, config):
    first, second = train("a", SENTENCES, config), train("a", SENTENCES, config)
    assert np.array_equal(first.rows, second.rows)
    norms = np.linalg.norm(first.rows.astype(np.float32), axis=1)
    assert norms.mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("train", "config"), [(train_fasttext, FAST), (train_masked_lm, MASKED)])
def test_text_without_repeated_words_is_refused(train, config):
    with pytest.raises((ValueError, RuntimeError)):
        train("empty", [], config)


def test_a_table_is_trained_again_only_when_its_text_or_settings_change(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    trained = []

    def train(name, sentences, config):
        trained.append(name)
        return train_fasttext(name, sentences, config)

    first = kept_table("t", SENTENCES, train, FAST)
    assert np.array_equal(kept_table("t", SENTENCES, train, FAST).rows, first.rows)
    assert trained == ["t"]
    assert (
        capsys.readouterr().err.count(f"word-vector table t: training FastText on {len(SENTENCES)} requests, once") == 1
    )
    kept_table("t", SENTENCES[:-1], train, FAST)
    assert trained == ["t", "t"]
    assert text_key(SENTENCES, FAST) != text_key(SENTENCES, MASKED)
