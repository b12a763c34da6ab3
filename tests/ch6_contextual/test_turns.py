"""The turns: what is drawn for clips is not what training has, and bad input is told line by line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from slubook import profiles
from slubook.ch6_contextual import data
from slubook.ch6_contextual.lists import OURS, contexts, shipped
from slubook.ch6_contextual.speech import drawn
from slubook.corpora.errors import CorpusError


@pytest.mark.parametrize("kind", OURS)
def test_training_shares_no_entry_with_clips(kind):
    assert not {*data.entries(kind, True)} & {*data.entries(kind, False)}
    training = {entry for turn in data.our_turns(kind, 30, "train") for entry in turn.context.catalogue}
    assert training <= {*data.entries(kind, True)}


def test_what_is_meant_was_offered():
    for turn in data.our_turns("contact", 50, "test"):
        assert 1 <= len(turn.context.named) <= 2 and {*turn.context.named} <= {*turn.context.catalogue}
        assert all(entry in turn.context.prompt for entry in turn.context.named)
        assert len(turn.context.catalogue) >= data.ENTRIES - 1


def test_turns_are_drawn_alike_every_time():
    assert data.our_turns("place", 5, "test") == data.our_turns("place", 5, "test")
    assert data.our_turns("place", 5, "test") != data.our_turns("place", 5, "test", seed=1)
    assert drawn("contact-test-0") == drawn("contact-test-0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Yes, that's it!", "yes that's it"),
        ("at 5 pm", ""),
        ("costs $9", ""),
        ("the ’90s … no", ""),
        ("'Quoted'", "quoted"),
    ],
)
def test_texts_become_words(text, words):
    assert data.normalise(text) == words


def test_controls_do_not_hold_what_was_said():
    turns, _ = shipped()
    for turn in turns:
        found = contexts(turn, turns)
        assert found["empty"] == data.Context()
        if turn.context.prompt:
            said = {*turn.text.split()} & turn.context.words
            assert not said & found["shuffled"].words
            assert found["context"] == turn.context and found["type"].kind == turn.context.kind
        else:
            assert found["context"].prompt, "a first turn gets the context of an interaction that it does not follow"
        if turn.context.kind in data.DISAMBIGUATION:
            assert len(found["small"].catalogue) == 10 and len(found["large"].catalogue) >= 500
            assert {*turn.context.named} <= {*found["small"].catalogue}


def test_what_ships_is_whole():
    turns, lists = shipped()
    assert len(turns) >= 120 and {turn.id for turn in turns} == lists.keys()
    assert {turn.split for turn in turns} == {"demo", "dev", "test"}
    for turn in turns:
        assert lists[turn.id].keys() >= {"general", "a", *contexts(turn, turns)}


def test_turns_are_read_as_they_were_written(tmp_path):
    turns = data.our_turns("device", 3, "test")
    (tmp_path / "a.flac").touch()
    path = tmp_path / "turns.jsonl"
    path.write_text("\n".join(data.written(turns, {turn.id: "a.flac" for turn in turns})), "utf-8")
    for turn, again in zip(turns, data.read_turns(path), strict=True):
        assert (again.id, again.text, again.context, again.stratum) == (turn.id, turn.text, turn.context, turn.stratum)


BAD = {
    "{": "line 1: ",
    "7": "line 1: ",
    json.dumps({"id": "1"}): "text is missing",
    json.dumps({"text": "at 5"}): "text is missing, or has digits",
    json.dumps({"text": "yes", "catalogue": "meg"}): "catalogue is no list",
    json.dumps({"text": "yes", "catalogue": [1]}): "catalogue is no list",
    json.dumps({"text": "yes", "prompt": 3}): "prompt is no text",
    json.dumps({"text": "yes", "audio": "gone.wav"}): "gone.wav is not there",
    json.dumps({"id": "1", "text": "yes"}) + "\n" + json.dumps({"id": "1", "text": "no"}): "stands on two lines",
    "": "holds no turn",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_bad_turns_are_named(tmp_path, content):
    path = tmp_path / "turns.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(CorpusError) as told:
        data.read_turns(path)
    assert BAD[content] in str(told.value) and "turns.jsonl" in str(told.value)


def dialogue(number, city):
    """Of SGD: somebody is asked for a city, and says one."""
    told = [("I want a bus", []), ("Where to?", [{"act": "REQUEST", "slot": "to", "values": []}])]
    told.append((f"To {city}", [{"act": "INFORM", "slot": "to", "values": [city]}]))
    turns = [{"utterance": text, "frames": [{"service": "Buses", "actions": acts}]} for text, acts in told]
    return {"dialogue_id": str(number), "turns": turns}


def test_a_catalogue_lacks_what_only_its_own_dialogue_has(tmp_path, monkeypatch):
    (tmp_path / "dev").mkdir()
    every = [dialogue(k, city) for k, city in enumerate(("Rome", "Rome", "Oslo"))]
    (tmp_path / "dev/dialogues_1.json").write_text(json.dumps(every), "utf-8")
    monkeypatch.setattr(data, "fetch", lambda name: tmp_path)
    monkeypatch.setattr(
        data, "source", lambda name: SimpleNamespace(files=[SimpleNamespace(path="dev/dialogues_1.json")])
    )
    follow_ups, _ = data.sgd_turns("dev")
    assert [turn.context.catalogue for turn in follow_ups] == [("oslo", "rome"), ("oslo", "rome"), ("rome",)]


@pytest.mark.public
@pytest.mark.skipif(not profiles.mirror_dir(), reason="SLUBOOK_MIRROR is not set")
def test_follow_ups_of_sgd_answer_something():
    follow_ups, first = data.sgd_turns("dev")
    assert len(follow_ups) > 1000 and len(first) > 300
    assert len({turn.id for turn in follow_ups}) == len(follow_ups)
    for turn in follow_ups:
        assert turn.context.kind.split()[0] in ("CONFIRM", "OFFER", "OFFER_INTENT", "REQUEST", "REQ_MORE")
        assert turn.text == data.normalise(turn.text) != ""
    repeated = sum(turn.context.previous == turn.text for turn in follow_ups)
    assert repeated < len(follow_ups) / 100, "people seldom say the same twice: previous is the turn before"


@pytest.mark.public
@pytest.mark.skipif(not profiles.mirror_dir(), reason="SLUBOOK_MIRROR is not set")
def test_orders_of_coffee_have_the_menu():
    orders = data.coffee_orders()
    assert len(orders) == 207 and all(Path(turn.audio).is_file() for turn in orders)
    for turn in orders:
        assert turn.values and {*turn.values} <= {*turn.context.catalogue} and not turn.context.prompt
