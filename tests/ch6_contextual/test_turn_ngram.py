"""Trigram models: probabilities sum to one, mixtures are exact, and the general one is read as pocketsphinx does."""

import math
from collections import Counter

import numpy as np
import pocketsphinx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch6_contextual.ngram import END, START, count_texts, mix, train
from slubook.ch6_contextual.recogniser import general_model

texts = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=8)


def row(model, *history):
    """The probabilities of every word but the start after a history."""
    numbers = [model.numbers.get(word, -1) for word in history]
    grams = np.array([[*numbers, k] for k in range(len(model.words))])
    return model.probability(grams)


def histories(model):
    words = [*model.words, "never"]
    return [(), *((a,) for a in words), *((a, b) for a in words for b in words)]


@given(texts)
def test_probabilities_sum_to_one(some):
    model = train(count_texts(some))
    for history in histories(model):
        assert row(model, *history).sum() == pytest.approx(1)


@given(texts, texts, st.floats(0.1, 0.9, allow_subnormal=False))
def test_a_mixture_sums_to_one_and_is_exact_where_both_have_seen(some, others, weight):
    models = [train(count_texts(part)) for part in (some, others)]
    mixed = mix(models, [weight, 1 - weight])
    for history in histories(mixed):
        assert row(mixed, *history).sum() == pytest.approx(1, abs=1e-4)
    for grams in mixed.grams:
        for gram in grams:
            words = [mixed.words[k] for k in gram]
            each = [m.probability(np.array([[m.numbers.get(w, -1) for w in words]]))[0] for m in models]
            assert mixed.probability(gram[None])[0] == pytest.approx(weight * each[0] + (1 - weight) * each[1])


def test_witten_bell_by_hand():
    """After *call*: two kinds of words seen three times, so two fifths of the mass go to the unigrams."""
    model = train(count_texts(["call meg", "call meg", "call tom"]))
    unigram = (1 + 4 / 5) / (9 + 4)  # seen once of nine; four of five kinds were seen
    bigram = (1 + 2 * unigram) / (3 + 2)
    assert model.probability(np.array([[model.numbers[w] for w in ("call", "tom")]]))[0] == pytest.approx(bigram)
    assert row(model, START, "call")[model.numbers["tom"]] == pytest.approx((1 + 2 * bigram) / 5)


def test_fractions_of_counts_are_counts():
    whole = count_texts(["a b", "a c"])
    halves = Counter({gram: 0.5 * count for gram, count in (whole + whole).items()})
    assert train(halves).p[2] == pytest.approx(train(whole).p[2])


def test_the_general_model_is_pocketsphinxs():
    """Its own Python answers for one n-gram at a time, the newest word first, in logarithms to the base 1.0001."""
    model, rng = general_model(), np.random.default_rng(0)
    decoder = pocketsphinx.Decoder(loglevel="FATAL")
    theirs, unit = decoder.get_lm("_default"), math.log(1.0001)
    for grams in model.grams:
        for gram in grams[rng.integers(len(grams), size=25)]:
            words = [model.words[k] for k in gram]
            ours = math.log(model.probability(gram[None])[0]) / unit
            assert ours == pytest.approx(theirs.prob(words[::-1]), abs=2), words
    unseen = [model.numbers[word] for word in ("zucchini", "meg", "hour")]
    assert math.log(model.probability(np.array([unseen]))[0]) / unit == pytest.approx(
        theirs.prob(["hour", "meg", "zucchini"]), abs=2
    )


def test_an_arpa_file_is_read_as_it_was_meant(tmp_path):
    model = train(count_texts(["call meg bauer", "call meg", "meg bauer please"]))
    path = model.write(tmp_path / "small.arpa")
    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    decoder.add_lm_file("small", str(path))
    theirs = decoder.get_lm("small")
    for words in (["meg"], ["call", "meg"], ["call", "meg", "bauer"], ["please", "meg", END]):
        ours = model.probability(np.array([[model.numbers[w] for w in words]]))[0]
        assert theirs.prob(words[::-1]) * math.log(1.0001) == pytest.approx(math.log(ours), abs=2e-3), words
