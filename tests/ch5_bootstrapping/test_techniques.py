"""What becomes of lists of translations, and of language models by it."""

from __future__ import annotations

from collections import Counter

import pytest

from slubook.ch5_bootstrapping.ngram import Vocabulary, train
from slubook.ch5_bootstrapping.techniques import adapt, drawn, filtered, first, pooled, rescored
from slubook.ch5_bootstrapping.translator import Translation
from slubook.corpora import parallel

RESTAURANT, GENERAL = ([parallel.spoken(p.hindi) for p in parallel.embedded(d)] for d in ("restaurant", "general"))
LISTS = [
    [Translation("चाहता मैं हूँ खाना", -2.0), Translation("मैं खाना चाहता हूँ", -2.2)],
    [Translation("पता क्या है", -1.0)],
    [],
    [Translation("", -0.5), Translation("कुत्ता भौंका", -9.0)],
]
TEXT = [parallel.spoken(t) for t in ("मैं खाना चाहता हूँ", "मैं पता चाहता हूँ", "पता क्या है", "नाम क्या है")]
MODEL = train(TEXT, Vocabulary.of(TEXT), 2)


def test_lists_become_text():
    assert first(LISTS) == [["चाहता", "मैं", "हूँ", "खाना"], ["पता", "क्या", "है"]]
    assert len(pooled(LISTS)) == 4


def test_draws_follow_the_translator():
    texts = Counter(map(" ".join, drawn(LISTS, 300, seed=0)))
    assert texts["चाहता मैं हूँ खाना"] == pytest.approx(300 * 0.55, abs=40)
    assert texts["कुत्ता भौंका"] <= 3
    assert drawn(LISTS, 2, seed=1) == drawn(LISTS, 2, seed=1)


def test_a_language_model_puts_the_likelier_order_first():
    assert rescored(LISTS, MODEL, 1.0)[0][0].text == "मैं खाना चाहता हूँ"
    assert [list(best) for best in rescored(LISTS, MODEL, 0.0)] == LISTS


def test_improbable_translations_are_filtered_out():
    assert [best[0].text for best in filtered(LISTS[:2], MODEL, 0.5)] == ["पता क्या है"]
    assert len(filtered(LISTS, MODEL, 1.0)) == 3
    assert filtered([[]], MODEL, 1.0) == []


def test_added_text_of_the_domain_helps_and_other_text_weighs_little():
    vocabulary = Vocabulary.of(RESTAURANT, GENERAL)
    in_domain, more, held_out = RESTAURANT[::4], [*RESTAURANT[1::4], *RESTAURANT[2::4]], RESTAURANT[3::4]
    alone, helped, other = (adapt(in_domain, added, vocabulary, 2) for added in ([], [more], [more, [["x"] * 9]]))
    values = [adapted.model.perplexity(held_out).value for adapted in (alone, helped, other)]
    assert values[1] < 0.95 * values[0]
    assert alone.weights == (1.0,)
    assert sum(other.weights) == pytest.approx(1) and other.weights[2] < 0.1
    with pytest.raises(ValueError, match="at least two"):
        adapt(in_domain[:1], [more], vocabulary)
