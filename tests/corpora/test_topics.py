import pytest
import yaml

from slubook.corpora import registry, skills, topics
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Utterance


def say(intent, domain):
    return Utterance("1", "x", intent, domain=domain)


def test_an_intent_goes_before_its_domain():
    assert topics.topic_of(say("iot_coffee", "iot"), "hwu64") == "food_orders"
    assert topics.topic_of(say("iot_cleaning", "iot"), "hwu64") == "smart_home"


def test_a_turn_of_two_services_has_two_topics():
    turn = say("", "RideSharing_1+Hotels_2")
    assert topics.topics_of(turn, "sgd_turns") == {"hotels", "taxi"}
    assert topics.topic_of(turn, "sgd_turns") == "hotels+taxi"


def test_the_same_topic_in_every_corpus():
    weather = [("snips", "GetWeather", "snips"), ("sgd", "GetWeather", "Weather_1"), ("clinc150", "weather", "utility")]
    assert {topics.topic_of(say(intent, domain), corpus) for corpus, intent, domain in weather} == {"weather"}


def test_a_corpus_of_the_users_has_its_domains_as_topics():
    assert topics.topic_of(say("Feed", "aquarium"), "aquarium/fish.jsonl") == "aquarium"


def test_a_missing_line_is_an_error():
    with pytest.raises(CorpusError, match="no topic for domain 'Zoo_1'"):
        topics.topic_of(say("Visit", "Zoo_1"), "sgd")


def test_every_name_is_a_string():
    """YAML reads a bare ``yes`` as true."""
    tables = yaml.safe_load(topics.resources.files("slubook.corpora").joinpath("topics.yml").read_text())
    assert all(isinstance(word, str) for table in tables.values() for pair in table.items() for word in pair)


def test_the_embedded_skills_are_all_in_the_table():
    assert sorted(topics._tables()["skills"]) == skills.embedded_skills()


@pytest.mark.public
@pytest.mark.parametrize("name", [name for name in registry.PUBLIC if name != "sgd_turns"])
def test_every_domain_has_a_topic_and_every_line_a_use(name, public):
    public(registry.PUBLIC[name].source)
    utterances = registry.load(name)
    assert all(topics.topic_of(utterance, name) for utterance in utterances)
    unused = set(topics._tables()[name]) - {label for u in utterances for label in (u.intent, u.domain)}
    assert not unused


def test_the_table_lists_every_part_of_a_topic():
    table = topics.topic_table(["snips", "clinc150", "own.jsonl"])
    assert list(table) == sorted(table)
    songs = ["what_song", "play_music", "update_playlist", "next_song"]
    assert table["music"] == {"snips": ["AddToPlaylist", "PlayMusic"], "clinc150": songs}
    assert sum(len(parts["snips"]) for parts in table.values() if "snips" in parts) == 7
