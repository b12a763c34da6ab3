"""The linear baseline has the article's features, learns, repeats itself, and survives odd input."""

import pytest

from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF, shape, token_features, utterance_features
from slubook.corpora.utterance import Utterance, tokenize
from slubook.evaluation.model import NLUModel

QUICK = MaxEntConfig(inverse_l2=(4.0,), l1_l2=((0.05, 0.02),), max_iterations=60)


def test_utterance_features_are_ngrams_and_length():
    features = utterance_features(tokenize("Buy me an apple"), order=2)
    assert {"buy", "apple", "buy me", "<s> buy", "apple </s>", "length=1"} <= set(features)
    assert not any(name.count(" ") > 1 for name in features)
    assert len(utterance_features(tokenize("Buy me an apple"), order=3)) > len(features)


def test_token_features_are_words_around_and_relative_position():
    rows = token_features(tokenize("buy me an apple"))
    assert {"0:apple", "-1:an", "1:</s>", "-1:an apple", "place=3", "length=1", "suffix=le", "shape=x"} <= set(rows[3])
    assert [next(f for f in row if f.startswith("place=")) for row in rows] == [f"place={i}" for i in range(4)]


def test_a_window_of_none_keeps_the_word_itself():
    assert "0:apple" in token_features(tokenize("apple"), window=0)[0]


def test_clusters_are_extra_features_and_only_those():
    tokens, clusters = tokenize("buy apples"), {"apples": (3, 17)}
    added = set(utterance_features(tokens, 1, clusters)) - set(utterance_features(tokens, 1))
    assert added == {"cluster0=3", "cluster1=17"}
    plain, with_them = token_features(tokens), token_features(tokens, clusters=clusters)
    assert [set(w) - set(p) for p, w in zip(plain, with_them, strict=True)] == [
        {"1:cluster0=3", "1:cluster1=17"},
        {"0:cluster0=3", "0:cluster1=17"},
    ]


def test_shape_shortens_runs():
    assert [shape(w) for w in ("apple", "7", "b2b", "…", "rock'n'roll")] == ["x", "d", "xdx", "…", "x'x'x"]


def test_learns_a_small_skill(toy_skill):
    model = MaxEntCRF().fit(toy_skill[:40], toy_skill[40:50])
    answers = model.predict([u.text for u in toy_skill[50:]])
    assert isinstance(model, NLUModel)
    assert sum(a.intent == u.intent and a.slots == u.slots for a, u in zip(answers, toy_skill[50:], strict=True)) >= 9
    assert all(0.0 < a.confidence <= 1.0 for a in answers)
    assert model.size_bytes() > 1000


def test_generalises_through_clusters(toy_skill):
    clusters = {w: [0] for u in toy_skill for s in u.slots if s.type == "item" for w in u.text[s.start : s.end].split()}
    unseen = ["we need anchovies", "no more anchovies"]
    model = MaxEntCRF(QUICK, clusters | {"anchovies": [0]}).fit(toy_skill, [])
    assert all(unseen[i][s.start : s.end] == "anchovies" for i, a in enumerate(model.predict(unseen)) for s in a.slots)
    assert [len(a.slots) for a in model.predict(unseen)] == [1, 1]


def test_same_data_same_answers(toy_skill):
    texts = [u.text for u in toy_skill] + ["something quite different"]
    first = MaxEntCRF(QUICK).fit(toy_skill[:40], toy_skill[40:]).predict(texts)
    assert MaxEntCRF(QUICK).fit(toy_skill[:40], toy_skill[40:]).predict(texts) == first


def test_dev_chooses_the_regularisation(toy_skill):
    weak = MaxEntConfig(order=3, inverse_l2=(1e-6, 4.0), l1_l2=((50.0, 50.0), (0.0, 0.05)), max_iterations=60)
    model = MaxEntCRF(weak).fit(toy_skill[:40], toy_skill[40:])
    assert (model.chosen.inverse_l2, model.chosen.l1_l2) == ((4.0,), ((0.0, 0.05),))
    assert any(p.slots for p in model.predict([u.text for u in toy_skill]))


def test_one_intent(toy_skill):
    adds = [u for u in toy_skill if u.intent == "AddIntent"]
    model = MaxEntCRF(QUICK).fit(adds, [])
    answers = model.predict([u.text for u in adds])
    assert {(a.intent, a.confidence) for a in answers} == {("AddIntent", 1.0)}
    assert sum(a.slots == u.slots for a, u in zip(answers, adds, strict=True)) >= len(adds) - 1


def test_no_slots_at_all():
    model = MaxEntCRF(QUICK).fit([Utterance("1", "good day", "Hi"), Utterance("2", "so long", "Bye")], [])
    assert [(p.intent, p.slots) for p in model.predict(["good day", "so long"])] == [("Hi", ()), ("Bye", ())]


def test_empty_texts(toy_skill):
    model = MaxEntCRF(QUICK).fit([*toy_skill, Utterance("e", "", "ReadIntent")], [Utterance("d", " ", "ReadIntent")])
    assert [p.slots for p in model.predict(["", "   "])] == [(), ()]
    assert model.predict([]) == []


@pytest.mark.parametrize("train", [[], [Utterance("1", "", "Hi"), Utterance("2", "  ", "Bye")]])
def test_nothing_to_learn_from(train):
    with pytest.raises(ValueError, match="no training utterances with words"):
        MaxEntCRF().fit(train, [])
