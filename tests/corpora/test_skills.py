"""Promises about every embedded skill: enough of everything, tests worded independently of samples, valid spans."""

import pytest

from slubook.corpora import registry, skills, topics
from slubook.corpora.ask import built_in_types
from slubook.corpora.dedupe import near_duplicates
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import slot_problems

NAMES = skills.embedded_skills()


def test_at_least_thirty_skills_over_fifteen_topics():
    assert len(NAMES) >= 30
    assert len({topics.topic_of(skills.load(name)[0], "skills") for name in NAMES}) >= 15


@pytest.mark.parametrize("name", NAMES)
def test_a_skill_is_large_and_varied_enough(name):
    model, utterances = skills.model(name), skills.load(name)
    test = [u for u in utterances if u.split == "test"]
    assert 4 <= len(model.intents) <= 8
    assert sum(len(intent.samples) for intent in model.intents) >= 120
    assert len(test) >= 60
    assert {u.intent for u in test} == {intent.name for intent in model.intents}
    assert {u.domain for u in utterances} == {name}
    assert len({u.id for u in utterances}) == len(utterances)
    assert not [u.id for u in utterances if slot_problems(u.text, u.slots)]
    declared = {slot for intent in model.intents for slot in intent.slots}
    assert {slot.type for u in test for slot in u.slots} <= declared
    own = [values for type, values in model.types.items() if type not in built_in_types()]
    assert len(own) >= 3 and all(len(values) >= 8 for values in own)


@pytest.mark.parametrize("name", NAMES)
def test_tests_are_worded_independently_of_the_samples(name):
    utterances = skills.load(name)
    test = [u.text for u in utterances if u.split == "test"]
    train = [u.text for u in utterances if u.split == "train"]
    assert near_duplicates(test, train).mean() <= 0.05
    assert near_duplicates(test, train, 1.0).sum() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_the_values_in_the_tests_is_new(name):
    model = skills.model(name)
    listed = {value for values in model.types.values() for value in values}
    test = [u for u in skills.load(name) if u.split == "test"]
    new = [u.text[s.start : s.end] not in listed for u in test for s in u.slots]
    assert 0.1 < sum(new) / len(new) < 0.8


def test_the_registry_knows_them():
    one = registry.load(f"skills/{NAMES[0]}")
    everything = registry.load("skills")
    assert {u.domain for u in one} == {NAMES[0]}
    assert {u.domain for u in everything} == set(NAMES)
    assert len({u.id for u in everything}) == len(everything)
    assert set(one) <= set(everything)


def test_unknown_skill():
    with pytest.raises(CorpusError, match="'cofee_shop' is unknown: choose one of alarm_timer, "):
        skills.model("cofee_shop")
