import dataclasses
import hashlib
import json

import pytest

from slubook.corpora import passports, registry
from slubook.corpora.passports import passport
from slubook.corpora.sources import sources

LINES = [
    {"id": "1", "text": "feed the fish now", "intent": "Feed", "slots": [{"type": "pet", "start": 9, "end": 13}]},
    {"id": "2", "text": "feed my old cat now", "intent": "Feed", "slots": [{"type": "pet", "start": 12, "end": 14}]},
    {"id": "3", "text": "stop that", "intent": "Stop"},
    {"id": "4", "text": "Feed the fish, now!", "intent": "Feed"},
]
SPLITS = ["train", "train", "test", "test"]


@pytest.fixture
def corpus(tmp_path):
    lines = [json.dumps(line | {"split": split}) for line, split in zip(LINES, SPLITS, strict=True)]
    (tmp_path / "pets.jsonl").write_text("\n".join(lines))
    return tmp_path / "pets.jsonl"


def test_counts(corpus):
    read = passport(corpus)
    assert (read.utterances, read.domains, read.intents, read.slots, read.slot_types) == (4, 1, 2, 2, 1)
    assert read.snapped == 1
    assert {name: split.utterances for name, split in read.splits.items()} == {"train": 2, "test": 2}
    assert read.splits["test"].near_duplicates == 0.5
    assert read.splits["train"].near_duplicates is None
    assert read.origin.kind == "file"
    assert read.origin.checksum == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert json.loads(json.dumps(dataclasses.asdict(read)))["splits"]["test"]["utterances"] == 2


def test_split_hashes_follow_contents_not_order(corpus):
    before = passport(corpus).splits
    lines = corpus.read_text().split("\n")
    corpus.write_text("\n".join(reversed(lines)))
    assert passport(corpus).splits == before
    corpus.write_text("\n".join(lines).replace("Stop", "Halt"))
    after = passport(corpus).splits
    assert after["train"] == before["train"]
    assert after["test"].sha256 != before["test"].sha256


@pytest.mark.parametrize("name", [*registry.PUBLIC, "skills", "skills/quiz_game", "assistant-en", "assistant-hi"])
def test_every_corpus_has_an_origin_and_known_faults(name):
    origin = passports.origin(name)
    assert origin.licence and origin.address and origin.version
    assert len(origin.checksum) == 64
    faults = passports.faults(name)
    assert faults
    assert all(fault[0].isupper() or fault[0] in "`*" for fault in faults)
    assert not any("``" in fault or ":mod:" in fault or "  " in fault or "\n" in fault for fault in faults)


def test_passport_of_an_embedded_skill():
    read = passport("skills/quiz_game")
    assert read.origin.kind == "embedded"
    assert set(read.splits) == {"train", "test"}
    assert read.splits["test"].near_duplicates <= 0.05


def test_pins_do_not_change_unnoticed():
    """Changing one checksum, size or path of a public corpus must be a decision: then change this one, too."""
    pins = [(s.name, s.commit, f.path, f.bytes, f.sha256) for s in sources().values() for f in s.files]
    digest = hashlib.sha256(repr(pins).encode()).hexdigest()
    assert digest == "b473b18fb61c78f575f7c8795dbe9bb39f7a012d85c1a56d063e7a24a07ab427"


@pytest.mark.public
def test_passport_of_a_public_corpus(public):
    public("snips_iob")
    read = passport("snips_iob")
    assert {name: split.utterances for name, split in read.splits.items()} == {"train": 13084, "dev": 700, "test": 700}
    assert 0 < read.splits["test"].near_duplicates < 0.5
