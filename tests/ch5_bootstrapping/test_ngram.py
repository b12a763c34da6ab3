"""Kneser-Ney models against a published tool, the formulas written out, and the laws of probability."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch5_bootstrapping import arpa, ngram
from slubook.ch5_bootstrapping.ngram import END, START, Vocabulary, interpolate, mixture_weights, prune, train
from slubook.corpora.errors import CorpusError

WORDS = [f"w{i}" for i in range(6)]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6), min_size=1, max_size=25)
VOCABULARY = Vocabulary.of([WORDS, ["never", "seen"]])


def drawn_text(sentences: int, seed: int = 0) -> list[list[str]]:
    """Sentences in which a word says something about the next, with a long tail; the same on any machine."""
    draw, text = Random(seed).random, []

    def word() -> int:
        return int(1 / (1 - draw())) % 300

    for _ in range(sentences):
        sentence = [word()]
        while draw() < 0.85 and len(sentence) < 12:
            sentence.append((sentence[-1] * 7 + word()) % 300 if draw() < 0.7 else word())
        text.append([f"w{i}" for i in sentence])
    return text


def total(model: ngram.NGram, history: list[int]) -> float:
    return float(np.exp(model.row(history)).sum())


HISTORIES = st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=4)


@given(TEXTS, TEXTS, st.integers(1, 4), HISTORIES, st.floats(0, 1, allow_subnormal=False))
def test_probabilities_sum_to_one_after_any_history(text, other, order, history, share):
    history = [i for i in history if i not in (START, END)]
    one, two = train(text, VOCABULARY, order), train(other, VOCABULARY, 2)
    mixed = interpolate([one, two], [share, 1 - share])
    for model in (one, two, mixed, prune(mixed, 0.01), train(text, VOCABULARY, order, modified=False)):
        assert total(model, history) == pytest.approx(1, abs=1e-8)
        assert total(model, [START, *history]) == pytest.approx(1, abs=1e-8)


@given(TEXTS, st.integers(1, 4), HISTORIES)
def test_a_row_holds_what_single_words_are_scored_with(text, order, history):
    model = train(text, VOCABULARY, order)
    padded = [-1] * 9 + history
    windows = np.array([[*padded, word][-order:] for word in range(len(VOCABULARY))])
    assert np.allclose(np.exp(model.row(history)), np.exp(model.log_probs(windows)), atol=1e-12)


@given(TEXTS, st.integers(1, 4))
def test_arpa_files_keep_the_model(tmp_path_factory, text, order):
    model, path = train(text, VOCABULARY, order), tmp_path_factory.mktemp("arpa") / "lm.arpa"
    arpa.write(model, path)
    read = arpa.read(path)
    assert read.vocabulary == model.vocabulary
    assert [len(level.keys) for level in read.levels] == [len(level.keys) for level in model.levels]
    assert np.allclose(read.sentence_scores(text), model.sentence_scores(text), atol=1e-4)
    assert total(read, [START]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("order", "published"), [(2, 14.3965), (3, 15.8751), (4, 17.3946)])
def test_the_older_form_is_that_of_a_public_tool(order, published):
    """The tool is kaldingram 0.1.2: ``kaldingram train`` on the first text, ``kaldingram ppl`` on the second."""
    text = drawn_text(3000)
    known = {word for sentence in text for word in sentence}
    held_out = [[word for word in sentence if word in known] for sentence in drawn_text(300, seed=1)]
    model = train(text, Vocabulary.of(text), order, modified=False, interpolated=False)
    assert model.perplexity(held_out).value == pytest.approx(published, rel=1e-5)
    assert train(text, Vocabulary.of(text), order).perplexity(held_out).value < published


def written_out(text, vocabulary, order):
    """P(word | history) by the formulas of Chen and Goodman (1999), one n-gram at a time."""
    counts = [Counter() for _ in range(order + 1)]
    for sentence in text:
        marked = ("<s>", *sentence, "</s>")
        for k in range(1, order + 1):
            counts[k].update(marked[i : i + k] for i in range(len(marked) - k + 1))
    adjusted = [Counter() for _ in range(order + 1)]
    adjusted[order] = counts[order]
    for k in range(1, order):
        for gram in counts[k + 1]:
            adjusted[k][gram[1:]] += 1
        adjusted[k].update({g: n for g, n in counts[k].items() if g[0] == "<s>" and k > 1})
    adjusted[1].pop(("<s>",), None)
    discounts = [None]
    for k in range(1, order + 1):
        n = Counter(adjusted[k].values())
        y = n[1] / (n[1] + 2 * n[2])
        discounts.append([0, *(i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))])
    after = [defaultdict(dict) for _ in range(order + 1)]
    for k in range(1, order + 1):
        for gram, count in adjusted[k].items():
            after[k][gram[:-1]][gram[-1]] = count

    def probability(word, history):
        k = len(history) + 1
        lower = probability(word, history[1:]) if history else 1 / (len(vocabulary) - 1)
        if not (seen := after[k].get(history)):
            return lower
        d, whole = discounts[k], sum(seen.values())
        count = seen.get(word, 0)
        freed = sum(d[min(c, 3)] for c in seen.values()) / whole
        return (count - d[min(count, 3)]) / whole + freed * lower

    return probability


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_estimate_is_that_of_the_formulas(order):
    text = drawn_text(400)
    vocabulary = Vocabulary.of(text, [["never"]], drawn_text(20, seed=1))
    model, expected = train(text, vocabulary, order), written_out(text, vocabulary, order)
    assert all(d != ngram.FALLBACK for d in model.discounts)
    for sentence in drawn_text(20, seed=1):
        marked = ["<s>", *sentence, "</s>"]
        for i in range(1, len(marked)):
            history = tuple(marked[max(0, i - order + 1) : i])
            ids = [vocabulary.index[w] for w in history]
            got = math.exp(model.row(ids)[vocabulary.index[marked[i]]])
            assert got == pytest.approx(expected(marked[i], history), rel=1e-9)


def test_perplexity_counts_unknown_words_apart():
    text = [["a", "b"], ["a", "c"], ["b", "a"]]
    model = train(text, Vocabulary.of(text), 2)
    whole, with_unknown = model.perplexity([["a", "b"]]), model.perplexity([["a", "b"], ["x"]])
    assert (whole.tokens, whole.oov, whole.oov_rate) == (3, 0, 0)
    assert (with_unknown.tokens, with_unknown.oov) == (4, 1)
    assert with_unknown.oov_rate == pytest.approx(1 / 5)
    assert math.log(whole.value) * -3 == pytest.approx(model.sentence_scores([["a", "b"]])[0])


def test_the_mixture_suits_development_text_better_than_its_parts():
    one, two, held_out = drawn_text(200), [[*reversed(s)] for s in drawn_text(200, 1)], drawn_text(50, 2)
    vocabulary = Vocabulary.of(one, two, held_out)
    models = [train(one, vocabulary), train(two, vocabulary)]
    weights = mixture_weights(models, held_out)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.6
    mixed = interpolate(models, weights).perplexity(held_out).value
    assert mixed < min(model.perplexity(held_out).value for model in models)
    with pytest.raises(ValueError, match="different vocabularies"):
        interpolate([models[0], train(one, VOCABULARY, 2)], [0.5, 0.5])


def test_pruning_drops_what_costs_little():
    text, held_out = drawn_text(2000), drawn_text(200, 1)
    model = train(text, Vocabulary.of(text, held_out))
    small = prune(model, 3e-5)
    sizes = [sum(len(level.keys) for level in m.levels) for m in (model, small)]
    assert sizes[1] < 0.7 * sizes[0]
    assert small.perplexity(held_out).value < 1.05 * model.perplexity(held_out).value
    assert [len(level.keys) for level in prune(model, 0.0).levels] >= [len(level.keys) for level in small.levels]


def test_no_text_is_an_error():
    with pytest.raises(ValueError, match="at least one sentence"):
        train([], VOCABULARY)


GOOD = r"""
\data\
ngram 1=4
ngram 2=1

\1-grams:
-99 <s> -0.3
-0.6 </s>
-0.6 <unk>
-0.3 वर्षा

\2-grams:
-0.1 <s> वर्षा

\end\
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\\end\\", "", "is no whole ARPA file"),
        ("ngram 2=1", "ngram 2=7", "line 12: 1 n-grams of order 2 follow, and .data. promises 7"),
        ("-0.6 </s>", "-0.6 end", "has no unigram </s>"),
        ("-0.3 वर्षा", "-0.3 वर्षा और कल", "line 10: a logarithm, 1 words"),
        ("-0.1 <s>", "0.1 <s>", "line 13: 0.1 is no logarithm"),
        ("-0.1 <s>", "nan <s>", "line 13: nan is no logarithm"),
        ("-0.1 <s>", "x <s>", "line 13: the first and last field must be numbers"),
        ("-0.1 <s>", "-0.1 धूप", "line 13: 'धूप' is not among the unigrams"),
        ("-0.6 <unk>", "-0.6 </s>", "line 9: '</s>' stands here again"),
        ("2-grams", "3-grams", "line 12: .2-grams: is expected here"),
    ],
)
def test_broken_arpa_files_are_refused_with_place_and_remedy(tmp_path, old, new, said):
    path = tmp_path / "lm.arpa"
    path.write_text(GOOD.replace(old, new), "utf-8")
    with pytest.raises(CorpusError, match=said):
        arpa.read(path)


def test_a_model_without_unknown_words_gives_them_zero(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(GOOD.replace("-0.6 <unk>\n", "").replace("1=4", "1=3"), "utf-8")
    model = arpa.read(path)
    assert np.exp(model.row([START]))[ngram.UNKNOWN] == 0
    assert model.perplexity([["वर्षा", "धूप"]]).oov == 1


def test_a_context_must_be_listed(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(
        GOOD.replace("ngram 2=1", "ngram 2=1\nngram 3=1").replace(
            "\n\\end", "\n\\3-grams:\n-0.1 वर्षा वर्षा </s>\n\n\\end"
        ),
        "utf-8",
    )
    with pytest.raises(CorpusError, match="its context 'वर्षा वर्षा' is not listed"):
        arpa.read(path)
