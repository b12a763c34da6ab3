"""The techniques on made-up lists: re-scoring, filtering, pooling; what a translator is taught; selection by draws."""

from __future__ import annotations

import numpy as np
import pytest

from slubook.ch5_bootstrapping.material import Material
from slubook.ch5_bootstrapping.methods import MethodSettings, pooled, probable, ranked, rescored, taught, weak_model
from slubook.ch5_bootstrapping.translator import Translation
from slubook.corpora.errors import CorpusError

OWN = [["मुझे", "खाना", "चाहिए"], ["मुझे", "पता", "चाहिए"], ["पता", "क्या", "है"]]
LISTS = [
    [Translation("चाहिए मुझे पता", -2.0), Translation("मुझे पता चाहिए", -2.1)],
    [Translation("नदी पहाड़ सागर", -1.0), Translation("", -1.5)],
    [],
    [Translation("खाना चाहिए", -9.0), Translation("खाना क्या है", -1.0)],
]


def material(dialogues: int = 6) -> Material:
    hindi = [[[f"शब्द{k}", "एक"], [f"शब्द{k}", "दो"]] for k in range(dialogues)]
    return Material("test", hindi, ["one", "two", "three", "four"], (), (), (), {})


def test_rescoring_prefers_what_the_requests_say_and_what_the_translator_is_sure_of():
    found = rescored(LISTS, weak_model(OWN, LISTS))
    assert found[0][0].text == "मुझे पता चाहिए", "its words stand in the order of the requests"
    assert found[3][0].text == "खाना क्या है", "the translator finds the other one far less likely"
    assert [sorted(some) for some in found] == [sorted(some) for some in LISTS]


def test_the_filter_empties_the_least_likely_lists():
    model = weak_model(OWN, LISTS)
    left = probable(LISTS, model, 0.5)
    assert sum(map(bool, left)) <= 2 and not left[1], "no request has its words"
    assert all(some in ([], before) for some, before in zip(left, LISTS, strict=True))
    assert probable(LISTS, model, 1.0) == LISTS


def test_texts_of_lists():
    assert ranked(LISTS, 0) == [["चाहिए", "मुझे", "पता"], ["नदी", "पहाड़", "सागर"], ["खाना", "चाहिए"]]
    assert ranked(LISTS, 1) == [["मुझे", "पता", "चाहिए"], ["खाना", "क्या", "है"]]
    assert pooled(LISTS, MethodSettings(best=2)) == ranked(LISTS, 0) + ranked(LISTS, 1)
    pairs = taught(material(), LISTS)
    assert [pair.english for pair in pairs] == ["one", "two", "four"] and pairs[2].hindi == "खाना चाहिए"


def test_whole_dialogues_are_drawn_and_the_rest_is_left():
    some = material()
    own, rest = some.draw(5, seed=0)
    assert len(own) == 5 and len(own) + len(rest) == 12
    assert [own[0][0], own[2][0]] == [own[1][0], own[3][0]], "turns of a dialogue stay together"
    assert own == some.draw(5, seed=0)[0] == some.draw(8, seed=0)[0][:5], "a larger draw has the smaller one in it"
    assert any(own != some.draw(5, seed=seed)[0] for seed in range(1, 5))
    with pytest.raises(CorpusError, match="ask for fewer"):
        some.draw(13, seed=0)


def test_the_weak_model_knows_every_word_of_the_lists():
    model = weak_model(OWN, LISTS)
    assert {"नदी", "पता", "क्या"} <= set(model.vocabulary.words)
    assert np.isfinite(model.sentence_scores([["नदी", "सागर"]])).all()
