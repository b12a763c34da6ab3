"""Joint training: source and skill in turn, the skill's heads by name and by rows of their own, dev decides."""

from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch2_transfer import ablation
from slubook.ch2_transfer.ablation import fit_joint
from slubook.ch2_transfer.pretraining import Pretraining, PretrainingConfig
from slubook.ch2_transfer.source import make_domain, sample
from slubook.ch2_transfer.stacked import StackedNetwork
from slubook.ch2_transfer.transfer import Recipe
from slubook.evaluation.metrics import mistakes

SMALL = NetworkConfig(dim=8, project=16, char_dim=4, char_filters=6, hidden=10, layers=3, dropout=0.1, word_dropout=0.1)
SOURCE = PretrainingConfig(replace(SMALL, ngram_order=0), characters=30)
RECIPE = Recipe(SMALL, TrainingConfig(rate=2e-2, batch=8, updates=40, evaluations=2, average=0.5), rate=1.5)


@pytest.fixture(scope="module")
def parts(toy_skill):
    """A source domain, and training and dev sets of a skill without the labels of the source."""
    skill = [replace(u, intent=f"My{u.intent}", slots=()) for u in toy_skill[20:]]
    return make_domain("toy/first", toy_skill[:20]), skill[:20], skill[20:]


def test_the_skill_is_learned_and_answers_with_its_own_labels(parts):
    source, train, dev = parts
    model = fit_joint([source], train, dev, 1, RECIPE, SOURCE)
    answers = model.predict([u.text for u in dev])
    assert {a.intent for a in answers} <= {u.intent for u in train} and not any(a.slots for a in answers)
    assert mistakes(dev, answers) <= len(dev) // 2


def test_every_second_update_is_of_the_skill_and_there_are_as_many_of_the_source(parts, monkeypatch):
    source, train, dev = parts
    seen, loss = [], Pretraining.loss
    monkeypatch.setattr(Pretraining, "loss", lambda m, d, n, own: seen.append((d, len(n))) or loss(m, d, n, own))
    short = replace(RECIPE, training=replace(RECIPE.training, updates=3))
    made = [fit_joint([source], train, dev, 1, short, SOURCE).predict([u.text for u in dev]) for _ in range(2)]
    assert made[0] == made[1], "the same seed, the same network"
    seen = seen[:6]
    assert [len(d.words) for d, _ in seen] == [20, 20] * 3 and {n for _, n in seen} == {8}
    assert [d.types for d, _ in seen] == [0, 2] * 3, "the skill has no slots here"


def test_the_heads_of_the_skill_have_its_own_rows(toy_skill):
    source, train = make_domain("toy/first", toy_skill[:30]), toy_skill[30:]
    model = Pretraining([source, make_domain(ablation.TARGET, train)], SOURCE, None).eval()
    bare, target = ablation._learned(model, train), model.domains[-1]
    model.own_tags.data[target.tag_rows] += 1.0
    model.own_intents.data[target.intent_rows] += 2.0
    raised = ablation._learned(model, train)
    assert isinstance(raised.network, StackedNetwork) and not raised.network.training
    for name, by in (("tag_head.weight", 1.0), ("intent_head.weight", 2.0)):
        difference = raised.network.get_parameter(name) - bare.network.get_parameter(name)
        assert np.allclose(difference.detach().numpy(), by, atol=1e-5)


def test_nothing_to_learn_from(parts):
    source, train, dev = parts
    for domains, utterances in (([], train), ([source], [])):
        with pytest.raises(ValueError, match="source domains and training utterances are needed"):
            fit_joint(domains, utterances, dev, 1, RECIPE, SOURCE)


def test_a_sample_of_a_domain_is_some_of_its_utterances_whatever_their_order(toy_skill):
    texts = list({u.text: u for u in toy_skill}.values())
    whole = make_domain("toy", texts)
    few = sample(whole, 12)
    assert few.name == "toy" and len(few.utterances) == 12 and set(few.utterances) < set(whole.utterances)
    assert few == sample(make_domain("toy", texts[::-1]), 12)
    assert few.intents == tuple(sorted({u.intent for u in few.utterances}))
    assert set(sample(whole, 1000).utterances) == set(texts)
