"""What a translator is taught of its own lists, the weak model of them, and how requests are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slubook.ch5_bootstrapping import methods
from slubook.ch5_bootstrapping.material import Material
from slubook.ch5_bootstrapping.methods import MethodSettings, TunedTranslator, choose, distinct, taught, weak_model
from slubook.ch5_bootstrapping.translator import Translation, TranslatorConfig, train_translator, translate
from slubook.corpora.errors import CorpusError
from slubook.corpora.parallel import Pair, embedded

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


def test_human_translations_of_drawn_dialogues_are_not_read_again():
    some = replace(material(), human=[[Pair("human", str(k))] for k in range(6)] + [[Pair("human", "other")]])
    for size in (1, 4, 5, 12):
        own, _ = some.draw(size, seed=0)
        drawn = {words[0].removeprefix("शब्द") for words in own}
        assert {pair.hindi for pair in some.human_beside(size, seed=0)} == {*"012345", "other"} - drawn


def test_the_weak_model_knows_every_word_of_the_lists():
    model = weak_model(OWN, LISTS)
    assert {"नदी", "पता", "क्या"} <= set(model.vocabulary.words)
    assert np.isfinite(model.sentence_scores([["नदी", "सागर"]])).all()


def test_the_least_perplexity_is_chosen():
    tried = [
        {"weight": 0.5, "perplexity": 9.0}, {"weight": 1.0, "perplexity": 8.0}, {"weight": 2.0, "perplexity": 8.5},
        {"keep": 0.2, "perplexity": 7.0}, {"keep": 0.8, "perplexity": 7.5},
    ]  # fmt: skip
    assert choose(tried) == (1.0, 0.2)


def test_a_sentence_of_a_text_is_there_once():
    assert distinct([["a", "b"], ["c"], ("a", "b")]) == [["a", "b"], ["c"]]


@pytest.fixture(scope="module")
def base():
    pairs = embedded("restaurant")[:40]
    config = TranslatorConfig(pieces=200, width=32, batch=8, updates=20)
    return pairs, train_translator(pairs, config)


def test_repeated_requests_are_translated_once_and_stay_repeated(base, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    pairs, translator = base
    some, asked = [pairs[k].english for k in (0, 1, 0, 2, 0)], []
    monkeypatch.setattr(methods, "translate", lambda t, texts, *a: asked.append(texts) or translate(t, texts, *a))
    lists = TunedTranslator(MethodSettings(), translator).translations(some)
    assert asked == [[some[0], some[1], some[3]]] and len(lists) == 5 and lists[0] == lists[2] == lists[4]
    assert TunedTranslator(MethodSettings(), translator).translations(some) == lists and len(asked) == 1, (
        "they are kept"
    )


def test_a_translator_is_tuned_stage_by_stage_and_only_when_it_is_needed(base, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    (pairs, translator), starts = base, []
    settings = MethodSettings(translator.config, updates=2, best=2)

    def spy(*args, start):
        starts.append(start.stamp)
        return train_translator(*args, start=start)

    monkeypatch.setattr(methods, "train_translator", spy)
    near = TunedTranslator(settings, translator).then(pairs[:9], 0)
    further = near.then(pairs[9:], 0)
    assert starts == [] and len({translator.stamp, near.key, further.key, near.then(pairs[9:], 1).key}) == 4
    lists = further.translations([pairs[0].english])
    assert starts == [translator.stamp, near.translator.stamp], "the second stage goes on from the first"
    again = TunedTranslator(settings, translator).then(pairs[:9], 0).then(pairs[9:], 0)
    assert again.translations([pairs[0].english]) == lists and len(starts) == 2
