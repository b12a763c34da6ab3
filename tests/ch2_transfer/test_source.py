"""What is pretrained on: every annotated domain but those of the new skill's topics, and no test in any wording."""

import pytest

from slubook.ch2_transfer import source
from slubook.ch2_transfer.source import LEAST, make_domain, source_domains, source_key
from slubook.corpora.utterance import Slot, Utterance

#: Made up, so that no two texts are near-duplicates.
WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("anu", "elo", "iri", "omo", "upa")]


def say(i: int, intent: str, domain: str, slot: str = "", text: str = "") -> Utterance:
    """The ``i``-th of many short texts; its first word is the slot."""
    text = text or f"{domain} {' '.join(WORDS[(i * k) % len(WORDS)] for k in (1, 7, 11, 13))} {WORDS[i]}"
    slots = (Slot(slot, 0, len(text.split()[0])),) if slot else ()
    return Utterance(f"{domain}-{i}", text, intent, slots, domain)


CORPORA = {
    "snips": [say(i, ("GetWeather", "PlayMusic")[i % 2], "snips", "city") for i in range(60)],
    "hwu64": [say(i, f"weather_{i % 3}", "weather", "date") for i in range(40)]
    + [say(i, f"play_{i % 2}", "music", "song") for i in range(40)]
    + [say(i, "iot_coffee", "iot") for i in range(40)],  # one intent, no slot
    "sgd_turns": [say(i, ("GetWeather", "")[i % 2], "Weather_1", "city") for i in range(40)]
    + [say(i, ("FindBus", "BuyTicket", "")[i % 3], "Buses_1", "to") for i in range(40)]
    + [say(i, "", "Buses_1+Weather_1") for i in range(40)]
    + [say(i, "", "Buses_1+Hotels_2") for i in range(40)],
    "nlupp": [say(i, f"change+{i % 5}", "hotels", "date_from") for i in range(40)],
    "restaurant8k": [say(i, "", "restaurants", "people") for i in range(40)],
    "own.jsonl": [say(i, ("Feed", "Clean")[i % 2], "aquarium") for i in range(40)],
}


@pytest.fixture(autouse=True)
def corpora(monkeypatch):
    """The corpora above in place of those of the registry; yields them to be changed."""
    found = {name: list(us) for name, us in CORPORA.items()}
    monkeypatch.setattr(source, "load", lambda name: list(found[name]))
    return found


def names(domains) -> list[str]:
    return [d.name for d in domains]


def test_each_service_of_each_corpus_is_a_domain_with_the_labels_it_uses():
    domains = {d.name: d for d in source_domains(CORPORA)}
    assert list(domains) == sorted(domains)
    assert set(domains) == {
        "snips/snips", "hwu64/weather", "hwu64/music", "sgd_turns/Weather_1", "sgd_turns/Buses_1", "nlupp/hotels",
        "restaurant8k/restaurants", "own.jsonl/aquarium",
    }  # fmt: skip
    assert domains["hwu64/weather"].intents == ("weather_0", "weather_1", "weather_2")
    assert domains["sgd_turns/Buses_1"].intents == ("BuyTicket", "FindBus")  # "": not known
    assert domains["sgd_turns/Weather_1"].intents == ()  # a choice of one is none
    assert domains["own.jsonl/aquarium"].slot_types == ()
    assert {len(domains[n].utterances) for n in ("snips/snips", "hwu64/music")} == {60, 40}


def test_a_topic_is_left_out_of_every_corpus():
    domains = source_domains(CORPORA, ["weather"])
    assert names(domains) == [
        "hwu64/music", "nlupp/hotels", "own.jsonl/aquarium", "restaurant8k/restaurants", "sgd_turns/Buses_1",
        "snips/snips",
    ]  # fmt: skip
    [snips] = [d for d in domains if d.name == "snips/snips"]
    assert {u.intent for u in snips.utterances} == {"PlayMusic"}
    assert snips.intents == ()
    assert len(snips.utterances) == 30
    without = names(source_domains(CORPORA, ["weather", "buses", "music", "hotels", "restaurants", "aquarium"]))
    assert without == []


def test_a_turn_of_two_topics_goes_with_either(corpora):
    corpora["sgd_turns"] = [say(i, "", "Buses_1+Weather_1", "to") for i in range(40)]
    for topic, left in (("weather", 0), ("buses", 0), ("music", 1)):
        assert len(source_domains(["sgd_turns"], [topic])) == left


def test_what_has_nothing_to_learn_is_no_domain():
    assert "hwu64/iot" not in names(source_domains(["hwu64"]))
    assert not [name for name in names(source_domains(["sgd_turns"])) if "+" in name]


def test_near_duplicates_of_tests_are_dropped_in_every_corpus():
    tests = [f"{CORPORA[c][3].text}!" for c in ("snips", "nlupp", "own.jsonl")]
    before, after = ({d.name: d.utterances for d in source_domains(CORPORA, (), t)} for t in ((), tests))
    dropped = {n: {u.id for u in before[n]} - {u.id for u in after[n]} for n in before}
    assert {n: ids for n, ids in dropped.items() if ids} == {
        "snips/snips": {"snips-3"}, "nlupp/hotels": {"hotels-3"}, "own.jsonl/aquarium": {"aquarium-3"},
    }  # fmt: skip


def test_a_text_counts_once_a_domain_and_small_domains_not_at_all(corpora):
    corpora["own.jsonl"] += [say(0, "Stop", "aquarium", text=CORPORA["own.jsonl"][0].text.upper() + "?")]
    [domain] = source_domains(["own.jsonl"])
    assert len(domain.utterances) == 40 and "Stop" not in domain.intents
    corpora["own.jsonl"] = corpora["own.jsonl"][:LEAST]
    assert len(source_domains(["own.jsonl"])) == 1
    assert source_domains(["own.jsonl"], tests=[corpora["own.jsonl"][0].text]) == []


def test_many_intents_an_utterance_are_not_used_but_slots_are():
    [nlupp], [restaurant] = (source_domains([c]) for c in ("nlupp", "restaurant8k"))
    assert (nlupp.intents, nlupp.slot_types) == ((), ("date_from",))
    assert {u.intent for u in nlupp.utterances} == {""}
    assert (restaurant.intents, restaurant.slot_types) == ((), ("people",))


def test_domains_of_ones_own_stand_beside_them_and_know_no_tests():
    own = [say(i, ("Cut", "Dye")[i % 2], "barber", "hair") for i in range(35)]
    domains = source_domains(["snips"], (), [own[2].text], own)
    assert names(domains) == ["own/barber", "snips/snips"]
    assert own[2] not in domains[0].utterances and own[3] in domains[0].utterances


def test_the_key_follows_texts_and_labels():
    domains = source_domains(CORPORA)
    key = source_key(domains)
    assert key == source_key(source_domains(CORPORA))
    first, *rest = domains
    u = first.utterances[0]
    for other in (
        Utterance(u.id, u.text + "!", u.intent, u.slots),
        Utterance(u.id, u.text, u.intent + "x", u.slots),
        Utterance(u.id, u.text, u.intent, (Slot("new", 0, 2),)),
    ):
        assert source_key([make_domain(first.name, [other, *first.utterances[1:]]), *rest]) != key
    assert source_key(rest) != key
    assert source_key([make_domain("renamed", first.utterances), *rest]) != key


def test_the_embedded_source_needs_no_download(monkeypatch):
    monkeypatch.undo()
    domains = source_domains(["skills"], ["weather"])
    assert len(domains) > 25
    assert all(d.name.startswith("skills/") and d.slot_types and d.intents for d in domains)
    assert {d.name for d in source_domains(["skills"])} - {d.name for d in domains}
