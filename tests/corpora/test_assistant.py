from collections import Counter

import pytest
from hassil import Intents, recognize_all
from hassil.intents import TextSlotList
from home_assistant_intents import get_intents

from slubook.corpora import assistant, registry
from slubook.corpora.topics import topic_of
from slubook.corpora.utterance import slot_problems


@pytest.mark.parametrize(("name", "intents", "least"), [("assistant-en", 42, 2000), ("assistant-hi", 19, 800)])
def test_every_intent_is_there_and_capped(name, intents, least):
    utterances = registry.load(name)
    counts = Counter(u.intent for u in utterances)
    assert len(counts) == intents
    assert max(counts.values()) == assistant.PER_INTENT
    assert len(utterances) >= least
    assert len({u.id for u in utterances}) == len(utterances) == len({(u.intent, u.text) for u in utterances})
    assert not [u for u in utterances if slot_problems(u.text, u.slots) or set(u.text) & set("[]{}<>|")]
    assert all(topic_of(u, name) for u in utterances)
    assert all(u.id.startswith(u.group) for u in utterances)


def test_the_seed_decides():
    assert assistant.sample("hi", 5, seed=1) == assistant.sample("hi", 5, seed=1)
    assert assistant.sample("hi", 5, seed=1) != assistant.sample("hi", 5, seed=2)


def test_hassil_recognises_what_was_sampled():
    """Spans carry the text that hassil itself finds for the slot."""
    intents = Intents.from_dict(get_intents("en"))
    values = assistant._values()["en"]
    names = [name for kind in values["name"].values() for name in kind]
    lists = {
        "area": TextSlotList.from_strings(values["area"], name="area"),
        "floor": TextSlotList.from_strings(values["floor"], name="floor"),
        "name": TextSlotList.from_strings(names, name="name"),
    }
    context = {"area": "kitchen", "domain": "climate"}
    wanted = {"HassStartTimer", "HassCancelTimer", "HassClimateSetTemperature", "HassGetCurrentDate"}
    sampled = [u for u in assistant.sample("en", 4) if u.intent in wanted]
    assert len(sampled) == 16
    for u in sampled:
        readings = recognize_all(u.text, intents, slot_lists=lists, intent_context=context)
        found = [r for r in readings if r.intent.name == u.intent]
        assert found, u.text
        spans = {(s.type, u.text[s.start : s.end]) for s in u.slots}
        assert any(spans == {(e.name, e.text.strip()) for e in r.entities_list if e.text} for r in found), u.text
