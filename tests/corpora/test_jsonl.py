import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slubook.corpora import errors, jsonl
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Slot, slot_problems

GOOD = {
    "id": "1",
    "text": "wake me at nine",
    "intent": "SetAlarm",
    "slots": [{"type": "time", "start": 11, "end": 15}],
    "domain": "alarms",
    "split": "train",
}


def save(path, *lines, encoding="utf-8", end="\n"):
    text = end.join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_bytes(text.encode(encoding))
    return path


def problems_of(path):
    with pytest.raises(CorpusError) as error:
        jsonl.read(path)
    return error.value.problems


def test_reads_all_fields(tmp_path):
    (read,) = jsonl.read(save(tmp_path / "a.jsonl", GOOD))
    assert (read.id, read.text, read.intent) == ("1", "wake me at nine", "SetAlarm")
    assert (read.slots, read.domain, read.split) == ((Slot("time", 11, 15),), "alarms", "train")


def test_only_text_and_intent_are_needed(tmp_path):
    lines = ["", '{"text": "stop", "intent": "Stop"}', "  ", '{"text": "go", "intent": "Go", "id": 7, "note": [1]}']
    stop, go = jsonl.read(save(tmp_path / "robot.jsonl", *lines))
    assert (stop.id, stop.domain, stop.split, stop.slots) == ("robot/2", "robot", "", ())
    assert go.id == "7"


@pytest.mark.parametrize(("encoding", "end"), [("utf-8", "\r\n"), ("utf-8-sig", "\n"), ("utf-8-sig", "\r\n")])
def test_byte_order_mark_and_line_ends(tmp_path, encoding, end):
    path = save(
        tmp_path / "a.jsonl", GOOD, GOOD | {"id": "2", "text": "मुझे जगा दो nine"}, "", encoding=encoding, end=end
    )
    assert [u.text for u in jsonl.read(path)] == ["wake me at nine", "मुझे जगा दो nine"]


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ('{"text": "a", "intent": }', 25, "not JSON"),
        ('{"text": "a", "intent": "b"', 28, "not JSON"),
        ('["a", "b"]', 1, "is a list: write an object"),
        ('{"intent": "b"}', 1, "'text' is missing: add it"),
        ('{"text": "a"}', 1, "'intent' is missing"),
        ('{"text": null, "intent": "b"}', 2, "'text' is missing"),
        ('{"text": 5, "intent": "b"}', 2, "'text' is 5: write a string"),
        ('{"text": " ", "intent": "b"}', 2, "'text' is empty"),
        ('{"text": "a", "intent": ""}', 15, "'intent' is empty"),
        ('{"text": "a\\ud83d", "intent": "b"}', 2, "half a character"),
        ('{"text": "a", "intent": "b", "domain": ["c"]}', 30, "'domain' is"),
        ('{"text": "a", "intent": "b", "split": "valid"}', 30, "split 'valid' is unknown: write train, dev or test"),
        ('{"text": "a", "intent": "b", "slot": []}', 30, "'slot' is unknown: did you mean 'slots'?"),
        ('{"text": "a", "intent": "b", "slots": {}}', 30, "'slots' is no list"),
        ('{"text": "a", "intent": "b", "slots": [["x", 0, 1]]}', 30, "no object with type, start and end"),
        (
            '{"text": "a", "intent": "b", "slots": [{"type": "x", "start": 0}]}',
            30,
            "no object with type, start and end",
        ),
        ('{"text": "a", "intent": "b", "slots": [{"type": "x", "start": "0", "end": 1}]}', 30, "whole numbers"),
        ('{"text": "a", "intent": "b", "slots": [{"type": "x", "start": false, "end": 1}]}', 30, "whole numbers"),
        ('{"text": "a", "intent": "b", "slots": [{"type": "x", "start": 0.0, "end": 1}]}', 30, "whole numbers"),
        ('{"text": "a", "intent": "b", "slots": [{"type": "x", "start": 0, "end": 2}]}', 30, "spans 0–2, but the text"),
        ('{"text": "a", "intent": "b", "slots": [{"type": "x", "start": -1, "end": 1}]}', 30, "spans -1–1"),
        ('{"text": "a", "intent": "b", "slots": [{"type": "", "start": 0, "end": 1}]}', 30, "has no type"),
        (
            '{"text": "a b", "intent": "b", "slots": [{"type": "x", "start": 0, "end": 3}, '
            '{"type": "y", "start": 2, "end": 3}]}',
            32,
            "overlaps",
        ),
    ],
)
def test_each_fault_has_line_column_and_remedy(tmp_path, line, column, message):
    path = save(tmp_path / "bad.jsonl", GOOD, line)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}, line 2, column {column}: ")
    assert message in problem


def test_all_bad_lines_at_once(tmp_path):
    path = save(tmp_path / "bad.jsonl", "{", GOOD, GOOD | {"split": "x"}, GOOD, "7", GOOD | {"id": "9"})
    found = problems_of(path)
    assert [problem.split(",")[1] for problem in found] == [" line 1", " line 3", " line 4", " line 5"]
    assert "id '1' stands on line 2 already" in found[2]


def test_a_long_list_is_cut_in_the_message_only(tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "LISTED", 3)
    with pytest.raises(CorpusError, match=r"and 4 more$") as error:
        jsonl.read(save(tmp_path / "bad.jsonl", *["{"] * 7))
    assert len(error.value.problems) == 7


def test_not_utf8_is_named_with_its_line(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"text": "caf\xe9", "intent": "x"}\n')
    (problem,) = problems_of(path)
    assert problem == f"{path}, line 2, column 14: not UTF-8: save the file in UTF-8"


def test_utf16_is_named(tmp_path):
    (problem,) = problems_of(save(tmp_path / "bad.jsonl", GOOD, encoding="utf-16"))
    assert "UTF-16: save it in UTF-8" in problem


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_corpus(tmp_path, content):
    (problem,) = problems_of(save(tmp_path / "empty.jsonl", content))
    assert "holds no utterance" in problem


def test_missing_file(tmp_path):
    (problem,) = problems_of(tmp_path / "nowhere.jsonl")
    assert "nowhere.jsonl: cannot be read (No such file or directory): check the path" in problem


def test_a_folder(tmp_path):
    (problem,) = problems_of(tmp_path)
    assert "cannot be read" in problem


any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["", "a", "a b", "train"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "start", "end"]), inner),
    max_leaves=4,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from([*GOOD]), any_json))
def test_any_object_is_read_or_refused(tmp_path_factory, fields):
    path = save(tmp_path_factory.getbasetemp() / "any.jsonl", json.dumps(GOOD | fields))
    try:
        (read,) = jsonl.read(path)
    except CorpusError as error:
        assert all("any.jsonl, line 1, column " in problem for problem in error.problems)
    else:
        assert not slot_problems(read.text, read.slots)
