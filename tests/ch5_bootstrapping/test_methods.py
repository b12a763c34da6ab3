"""What a translator is taught of its own lists, the weak model of them, and how requests are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from slubook.ch5_bootstrapping.material import Material
from slubook.ch5_bootstrapping.methods import taught, weak_model
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


def test_a_translator_is_taught_by_its_own_first_translations_that_are_left():
    english = material().english
    pairs = taught(english, LISTS)
    assert [pair.english for pair in pairs] == ["one", "two", "four"] and pairs[2].hindi == "खाना चाहिए"
    assert [pair.english for pair in taught(english, LISTS, [LISTS[3]])] == ["four"]


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
