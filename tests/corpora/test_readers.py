"""Each reader on a few lines of ours in the layout and with the traps of its corpus."""

import json

import pytest

from slubook.corpora import (
    banking77,
    clinc150,
    hinglish_top,
    hwu64,
    nlupp,
    restaurant8k,
    sgd,
    snips,
    snips_iob,
    taskmaster4,
)
from slubook.corpora.bio import from_markup
from slubook.corpora.sources import PinnedFile, Source
from slubook.corpora.utterance import Slot


def values(utterance):
    return [(s.type, utterance.text[s.start : s.end]) for s in utterance.slots]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def pin(monkeypatch):
    """Pin the given paths in place of a source's own list."""

    def replace(module, *paths):
        files = tuple(PinnedFile(path, 0, "") for path in paths)
        monkeypatch.setattr(module, "source", lambda name: Source(name, "", "", "", "", files))

    return replace


def test_snips_joins_surrogates_and_keeps_accents(tmp_path):
    for intent in snips.INTENTS:
        for name in ("train_{}_full.json", "validate_{}.json"):
            write(tmp_path / snips.FOLDER / intent / name.format(intent), json.dumps({intent: []}))
    raw = '{"PlayMusic": [{"data": [{"text": "spin "}, {"text": "Raíces ?", "entity": "album"}, {"text": " now"}]}]}'
    raw = raw.encode().replace(b"?", b"\xed\xa0\xbc\xed\xbe\xb5")  # a musical note as two surrogates
    write(tmp_path / snips.FOLDER / "PlayMusic" / "train_PlayMusic_full.json", raw)
    (read,) = snips.read(tmp_path)
    assert read.text == "spin Raíces 🎵 now"
    assert values(read) == [("album", "Raíces 🎵")]
    assert (read.id, read.intent, read.split) == ("snips/PlayMusic/train/0", "PlayMusic", "train")


def test_markup():
    text, slots = from_markup("wake me [date : on monday] at [time:six]")
    assert text == "wake me on monday at six"
    assert slots == (Slot("date", 8, 17), Slot("time", 21, 24))
    assert from_markup("no slots [x : ] here") == ("no slots  here", ())


def test_hwu64_names_intents_by_scenario(tmp_path, pin):
    head = "answerid;scenario;intent;answer_annotation;answer_from_anno;answer_from_user\n"
    pin(hwu64, "fold/testset/csv/alarm_query.csv", "fold/trainset/lists_query.csv")
    write(tmp_path / "fold/testset/csv/alarm_query.csv", head + 'null;alarm;query;"any at [time : nine; ten]";"";""\n')
    write(tmp_path / "fold/trainset/lists_query.csv", head + 'null;lists;query;"read my list";"";""\n')
    write(tmp_path / "fold/trainset/not_pinned.csv", head + 'null;lists;query;"never read";"";""\n')
    alarm, lists = hwu64.read(tmp_path)
    assert values(alarm) == [("time", "nine; ten")]
    assert (alarm.intent, alarm.domain, alarm.split) == ("alarm_query", "alarm", "test")
    assert (lists.intent, lists.domain, lists.split) == ("lists_query", "lists", "train")
    assert alarm.id != lists.id


def test_sgd_keeps_turns_that_state_an_intent_of_one_service(tmp_path, pin):
    def frame(service, *acts, slots=()):
        return {
            "service": service,
            "actions": [{"act": act} for act in acts],
            "slots": [dict(zip(("slot", "start", "exclusive_end"), s, strict=True)) for s in slots],
            "state": {"active_intent": f"Use{service}"},
        }

    def turn(speaker, text, *frames):
        return {"speaker": speaker, "utterance": text, "frames": frames}

    turns = [
        turn("USER", "a cab to the zoo", frame("Ride_1", "INFORM_INTENT", slots=[("to", 9, 16)])),
        turn("SYSTEM", "for how many", frame("Ride_1", "REQUEST")),
        turn("USER", "two, from my hotel", frame("Ride_1", "INFORM", slots=[("from", 10, 18), ("riders", 0, 3)])),
        turn(
            "USER",
            "fine, and music",
            frame("Music_1", "INFORM_INTENT", slots=[("what", 10, 15)]),
            frame("Ride_1", "SELECT"),
        ),
    ]
    pin(sgd, "dev/dialogues_001.json", "dev/schema.json")
    write(tmp_path / "dev/dialogues_001.json", json.dumps([{"dialogue_id": "1_0", "turns": turns}]))
    write(tmp_path / "dev/dialogues_002.json", "not pinned, not read")
    (read,) = sgd.read(tmp_path)
    assert (read.intent, read.domain, read.split, read.group) == ("UseRide_1", "Ride_1", "dev", "sgd/dev/1_0")
    assert values(read) == [("to", "the zoo")]
    pool = sgd.all_user_turns(tmp_path)
    assert [u.text for u in pool] == ["a cab to the zoo", "two, from my hotel", "fine, and music"]
    assert [u.domain for u in pool] == ["Ride_1", "Ride_1", "Music_1+Ride_1"]
    assert pool[0] == read
    assert [u.intent for u in pool] == ["UseRide_1", "", ""]  # an answer states none; a turn of two services, neither
    assert values(pool[1]) == [("riders", "two"), ("from", "my hotel")]
    assert pool[2].slots == ()


@pytest.mark.parametrize(
    ("parse", "text", "found"),
    [
        ("[IN:STOP halt ]", "halt", []),
        ("[IN:SET [SL:WHEN at 9 : 30 ] wake me ]", "at 9 : 30 wake me", [("WHEN", "at 9 : 30")]),
        (
            "[IN:SEND tell [SL:WHO [IN:KIN my [SL:KIND aunt ] ] ] [SL:WHAT I\\u2019m late ] ]",
            "tell my aunt I’m late",
            [("WHO", "my aunt"), ("WHAT", "I’m late")],
        ),
    ],
)
def test_top_parses_are_flattened_to_their_outermost_slots(parse, text, found):
    got, _, slots = hinglish_top.flatten(parse)
    assert got == text
    assert [(s.type, got[s.start : s.end]) for s in slots] == found


def test_top_parse_with_open_bracket_is_an_error():
    with pytest.raises(ValueError, match="brackets"):
        hinglish_top.flatten("[IN:SET wake me")


def test_hinglish_top_keeps_quotes(tmp_path):
    folder = tmp_path / "Dataset" / "Human Annotated Data"
    head = "en_query\tcs_query\ten_parse\tcs_parse\tdomain\n"
    for name in ("train.tsv", "validation.tsv", "test.tsv"):
        write(folder / name, head + 'say " hi\tx\t[IN:SAY say " hi ]\tx\tmessaging\n')
    read = hinglish_top.read(tmp_path)
    assert [u.split for u in read] == ["train", "dev", "test"]
    assert {(u.text, u.intent, u.domain) for u in read} == {('say " hi', "SAY", "messaging")}


def test_clinc150_puts_strangers_out_of_scope(tmp_path):
    parts = {name: [] for name in ("train", "val", "test", "oos_train", "oos_val", "oos_test")}
    parts |= {"val": [["is it raining", "weather"]], "oos_test": [["who am i", "oos"]]}
    write(tmp_path / "data/data_full.json", json.dumps(parts))
    write(tmp_path / "data/domains.json", json.dumps({"utility": ["weather"]}))
    assert [(u.intent, u.domain, u.split) for u in clinc150.read(tmp_path)] == [
        ("weather", "utility", "dev"),
        ("oos", "oos", "test"),
    ]


def test_banking77_reads_quoted_commas(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"banking_data/{split}.csv", 'text,category\n"my card, please",card_arrival\n')
    assert [(u.text, u.intent, u.split) for u in banking77.read(tmp_path)] == [
        ("my card, please", "card_arrival", "train"),
        ("my card, please", "card_arrival", "test"),
    ]


def test_nlupp_joins_intents_in_order(tmp_path):
    for domain in nlupp.DOMAINS:
        for fold in range(nlupp.FOLDS):
            write(tmp_path / f"nlupp/data/{domain}/fold{fold}.json", "[]")
    entries = [
        {"text": "when is it back", "intents": ["when", "refund"]},
        {"text": "for 3", "slots": {"number": {"span": [4, 5]}}},
    ]
    write(tmp_path / "nlupp/data/hotels/fold7.json", json.dumps(entries))
    both, neither = nlupp.read(tmp_path)
    assert (both.intent, both.domain, both.id) == ("refund+when", "hotels", "nlupp/hotels/fold7/0")
    assert neither.intent == nlupp.NO_INTENT
    assert values(neither) == [("number", "3")]


def test_restaurant8k_starts_at_zero_when_it_does_not_say(tmp_path):
    entry = {"userInput": {"text": "six of us"}, "labels": [{"slot": "people", "valueSpan": {"endIndex": 3}}]}
    for name in ("train_0.json", "test.json"):
        write(tmp_path / "span_extraction/restaurant8k" / name, json.dumps([entry]))
    train, test = restaurant8k.read(tmp_path)
    assert values(train) == [("people", "six")]
    assert (train.split, test.split, train.intent) == ("train", "test", "")


def test_taskmaster4_keeps_each_text_once(tmp_path, pin):
    turns = [("user", "a tea"), ("assistant", "sure"), ("user", "a tea"), ("user", "bye")]
    turns = [{"speaker": who, "text": text, "index": i} for i, (who, text) in enumerate(turns)]
    pin(taskmaster4, "data_00.json")
    write(tmp_path / "data_00.json", json.dumps([{"conversation_id": "dlg-1", "utterances": turns}]))
    assert [(u.id, u.text) for u in taskmaster4.read(tmp_path)] == [
        ("taskmaster4/dlg-1/0", "a tea"),
        ("taskmaster4/dlg-1/3", "bye"),
    ]


def test_snips_iob_turns_tags_into_spans(tmp_path):
    for folder in ("train", "valid", "test"):
        write(tmp_path / "data/snips" / folder / "seq.in", "play some old jazz \n")
        write(tmp_path / "data/snips" / folder / "seq.out", "O O B-genre I-genre \n")
        write(tmp_path / "data/snips" / folder / "label", "PlayMusic\n")
    read = snips_iob.read(tmp_path)
    assert [u.split for u in read] == ["train", "dev", "test"]
    assert (read[0].text, read[0].intent, values(read[0])) == (
        "play some old jazz",
        "PlayMusic",
        [("genre", "old jazz")],
    )
