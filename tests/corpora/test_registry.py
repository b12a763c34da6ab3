"""The registry's own promises, and what it says of the real corpora where they are at hand."""

import pytest

from slubook.corpora import registry
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import slot_problems

#: (utterances, domains, intents) of each public corpus at its pinned commit.
COUNTS = {
    "snips": (14484, 1, 7),
    "snips_iob": (14484, 1, 7),
    "hwu64": (11036, 18, 64),
    "sgd": (28204, 45, 46),
    "hinglish_top": (10896, 8, 64),
    "clinc150": (23700, 11, 151),
    "banking77": (13083, 1, 77),
    "nlupp": (3080, 2, 1017),
    "restaurant8k": (11929, 1, 1),
    "taskmaster4": (4843, 1, 1),
}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(CorpusError, match=r"'snps' is unknown \(did you mean 'snips'\?\): choose one of snips, "):
        registry.load("snps")


@pytest.mark.public
@pytest.mark.parametrize("name", COUNTS)
def test_public_corpus(name, public):
    public(registry.PUBLIC[name].source)
    utterances = registry.load(name)
    assert (len(utterances), len({u.domain for u in utterances}), len({u.intent for u in utterances})) == COUNTS[name]
    assert len({u.id for u in utterances}) == len(utterances)
    assert not [u.id for u in utterances if slot_problems(u.text, u.slots) or not u.text.strip()]


def test_files_are_corpora(tmp_path):
    line = '{"text": "feed the fish now", "intent": "Feed", "slots": [{"type": "pet", "start": 9, "end": 11}]}\n'
    (tmp_path / "tank.jsonl").write_text(line)
    (read,) = registry.load(str(tmp_path / "tank.jsonl"))
    assert (read.text, read.domain, read.slots[0].end) == ("feed the fish now", "tank", 13)
    assert registry.snapped(tmp_path / "tank.jsonl") == 1
    (tmp_path / "tank.jsonl").write_text(line.replace("now", "soon"))
    assert registry.load(tmp_path / "tank.jsonl")[0].text == "feed the fish soon"


def test_an_interaction_model_is_a_corpus(tmp_path):
    intent = '{"name": "Feed", "samples": ["feed {pet}"], "slots": [{"name": "pet", "type": "AMAZON.Animal"}]}'
    (tmp_path / "tank.json").write_text(f'{{"interactionModel": {{"languageModel": {{"intents": [{intent}]}}}}}}')
    assert {u.intent for u in registry.load(tmp_path / "tank.json")} == {"Feed"}


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nowhere.json"])
def test_a_file_that_is_not_there(name):
    with pytest.raises(CorpusError, match="cannot be read"):
        registry.load(name)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "tank.csv").write_text("text,intent\n")
    with pytest.raises(CorpusError, match=r"tank\.csv.*\.jsonl"):
        registry.load(str(tmp_path / "tank.csv"))


def test_what_is_loaded_twice_is_read_once_and_can_be_changed():
    registry.load("skills/quiz_game").clear()
    assert registry.load("skills/quiz_game")
