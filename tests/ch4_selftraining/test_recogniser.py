"""The recogniser of one intent, its operating points, and the teachers that label for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch4_selftraining.recogniser import RecogniserConfig, features, grams, reject, threshold, train
from slubook.ch4_selftraining.teachers import TeacherConfig, labelled, slot_errors, train_ensemble, vote
from slubook.corpora.utterance import Prediction, Slot
from slubook.evaluation.metrics import outcomes, semer

CONFIG = RecogniserConfig(crf=MaxEntConfig(l1_l2=((0.05, 0.02),), max_iterations=40))
TINY = NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=6, layers=1)


@pytest.fixture(scope="module")
def halves(toy_skill):
    own = [u for u in toy_skill if u.intent == "AddIntent"]
    return own, [u for u in toy_skill if u.intent != "AddIntent"]


@pytest.fixture(scope="module")
def model(halves):
    own, others = halves
    return train(own, features([u.text for u in others]), CONFIG)


@given(
    arrays(float, st.integers(10, 60), elements=st.floats(0, 1, allow_subnormal=False)),
    st.floats(0.1, 0.9, allow_subnormal=False),
)
def test_the_threshold_is_the_lowest_with_so_many_false_alarms(p, rate):
    found = threshold(p, rate)
    assert (p > found).sum() <= rate * len(p)
    lower = p[p < found]
    assert not lower.size or (p > lower.max()).sum() > int(rate * len(p))


def test_too_few_requests_show_no_false_alarm_rate():
    with pytest.raises(ValueError, match="give more"):
        threshold(np.linspace(0, 1, 100), 0.003)


def test_features_do_not_depend_on_what_was_seen():
    together, alone = features(["play Adele", "stop"]), features(["stop"])
    assert (together[1] != alone[0]).nnz == 0
    assert grams("play it", {"play": [7]}) == [
        *("<s>", "play", "it", "</s>", "<s> play", "play it", "it </s>", "<s> play it", "play it </s>"),
        "cluster0=7",
    ]


def test_a_recogniser_finds_its_intent(model, halves):
    own, others = halves
    assert semer(outcomes(own, model.answer([u.text for u in own]))) < 0.1
    said = model.answer([u.text for u in others])
    assert all(p.intent == "" and p.slots == () for p in said)


def test_a_lower_threshold_accepts_more(model, halves):
    texts = [u.text for u in halves[1]]
    p = model.probability(features(texts))
    moved = model.at(p, rate=0.2)
    assert sum(a.intent != "" for a in moved.answer(texts)) == int(0.2 * len(texts))


def test_a_recogniser_needs_both_sides(halves):
    with pytest.raises(ValueError, match="missing"):
        train([], features(["stop"]), CONFIG)
    with pytest.raises(ValueError, match="missing"):
        train(halves[0], features([]), CONFIG)


def test_a_missed_utterance_loses_its_intent_and_its_slots(halves):
    own = halves[0][:4]
    right = [Prediction(u.intent, u.slots) for u in own]
    said = reject(right, np.array([0.9, 0.9, 0.9, 0.1]), "AddIntent", 0.5)
    slots = [len(u.slots) for u in own]
    assert semer(outcomes(own, said)) == pytest.approx((1 + slots[3]) / (4 + sum(slots)))


def test_most_taggers_see_a_slot():
    a, b = Slot("item", 0, 3), Slot("item", 0, 5)
    assert vote([[a], [a], [b]]) == (a,)
    assert vote([[a], [b], []]) == ()


def test_a_teacher_labels_what_it_takes_for_the_intent():
    slot = Slot("item", 0, 2)
    first, second = labelled(["it", "no"], [Prediction("", (slot,))] * 2, np.array([0.6, 0.4]), "AddIntent", 0.5)
    assert (first.text, first.intent, first.slots) == ("it", "AddIntent", (slot,)) and second is None


def test_cross_validation_never_tests_what_it_trained_on(halves):
    own, seen = halves[0], []

    def train_one(part):
        known = {u.text: u.slots for u in own}
        seen.append({u.id for u in part})
        return lambda texts: [Prediction("", known[t]) for t in texts]

    assert slot_errors(own, train_one, 2, 0) == 0.0
    assert not seen[0] & seen[1] and seen[0] | seen[1] == {u.id for u in own}
    assert slot_errors(own, lambda part: lambda texts: [Prediction("", ())] * len(texts), 2, 0) == 1.0


def test_an_ensemble_needs_both_opinions(halves, model):
    own, others = halves
    config = TeacherConfig(DNNConfig(TINY, TrainingConfig(batch=8, updates=30, evaluations=1)), others=20)
    ensemble = train_ensemble(own, others, model, None, config, 0, members=2)
    texts = [u.text for u in (*own[:3], *others[:3])]
    said, p = ensemble.label(texts)
    assert all(a.intent == "AddIntent" for a in said) and p.shape == (6,)
    assert (p**2 <= model.probability(features(texts)) + 1e-9).all()
    again = train_ensemble(own, others, model, None, config, 0, members=2).label(texts)
    assert again[0] == said and np.array_equal(again[1], p)
