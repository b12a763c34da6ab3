import json
from dataclasses import replace

import pytest

from slubook.ch1_skills.skillsets import DEV, MARGIN, TEST_MOST, labels, make_skill, own_skills, skills_of
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Slot, Utterance

COLOURS = ["red", "green", "blue", "black", "white", "brown"]
THINGS = ["lamp", "door", "chair", "table", "blanket", "window", "carpet", "curtain", "shelf", "kettle"]


def corpus(count: int, domain: str = "home", dialogues: int = 0, split: str = "") -> list[Utterance]:
    made = []
    for i in range(count):
        colour, thing = COLOURS[i % 6], THINGS[i // 6 % 10]
        text = f"paint the {thing} {colour} {'very ' * (i // 60)}please"
        slots = (Slot("thing", 10, 10 + len(thing)),)
        group = f"d{i // dialogues}" if dialogues else ""
        made.append(Utterance(f"{domain}-{i}", text, f"Paint{i % 2}", slots, domain, split, group))
    return made


def test_the_test_set_leaves_room_for_the_largest_size_that_fits():
    skill = make_skill("x/home", "x", ["home"], corpus(1000))
    assert len(skill.test) == TEST_MOST
    assert skill.sizes() == [100, 300, 500]
    small = make_skill("x/home", "x", ["home"], corpus(500))
    assert small.sizes() == [100, 300]
    assert len(small.test) == 500 - 300 - DEV - MARGIN


def test_no_text_stands_on_two_sides():
    skill = make_skill("x/home", "x", ["home"], corpus(900))
    train, dev = skill.draw(500, 3)
    sides = [{u.text for u in side} for side in (train, dev, skill.test)]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    assert len(train) == 500 and len(dev) == DEV


def test_no_dialogue_stands_on_two_sides():
    skill = make_skill("x/home", "x", ["home"], corpus(900, dialogues=7))
    train, dev = skill.draw(300, 1)
    groups = [{u.group for u in side} for side in (train, dev, skill.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_draws_differ_by_seed_and_nest_by_size():
    skill = make_skill("x/home", "x", ["home"], corpus(900))
    small, dev = skill.draw(100, 0)
    large, same_dev = skill.draw(500, 0)
    assert large[:100] == small and dev == same_dev
    assert skill.draw(100, 1)[0] != small
    assert make_skill("x/home", "x", ["home"], corpus(900)[::-1]) == skill


def test_a_few_training_utterances_come_from_many_samples():
    fillings = corpus(600, dialogues=6)  # each group stands for one sample here
    (skill,) = skills_of("mine", fillings, keep_split=True)
    train, dev = skill.draw(100, 0)
    assert len({u.group for u in train}) > 40
    assert not {u.group for u in train} & {u.group for u in dev}
    assert skill.draw(300, 0)[0][:100] == train


@pytest.mark.parametrize("samples", [False, True])
def test_a_long_dialogue_that_the_dev_set_cuts_goes_to_the_training_set(samples):
    skill = replace(make_skill("x/home", "x", ["home"], corpus(900, dialogues=30)), samples=samples)
    size = len(skill.pool) - DEV - MARGIN
    filled = 0
    for seed in range(9):
        small, first_dev = skill.draw(100, seed)
        train, dev = skill.draw(size, seed)
        filled += len(dev) < DEV
        assert len(train) == len({u.id for u in train}) == size and train[:100] == small
        assert dev and set(dev) <= set(first_dev) and not {u.group for u in dev} & {u.group for u in train}
    assert filled


def test_a_group_that_fills_the_dev_set_is_refused_where_too_few_are_left():
    skill = replace(make_skill("x/home", "x", ["home"], corpus(900)), pool=tuple(corpus(300, dialogues=300)))
    with pytest.raises(ValueError, match="group 'd0' alone"):
        skill.draw(200, 0)


def test_texts_that_differ_by_case_digits_or_punctuation_count_once():
    twice = [
        Utterance("a", "Wake me at 7!", "A", domain="d"),
        Utterance("b", "wake me at 8", "A", domain="d"),
        Utterance("c", "good night", "B", domain="d"),
    ]
    skill = make_skill("x/d", "x", ["d"], twice)
    assert len(skill.test) + len(skill.pool) == 2


def test_the_users_own_test_split_is_kept():
    own = corpus(300) + corpus(380, split="test")[300:]
    (skill,) = skills_of("mine", own, keep_split=True)
    assert {u.split for u in skill.test} == {"test"} and {u.split for u in skill.pool} == {""}
    assert skill.name == "mine/home"


def test_a_size_beyond_the_pool_is_refused():
    skill = make_skill("x/home", "x", ["home"], corpus(200))
    with pytest.raises(ValueError, match="x/home"):
        skill.draw(500, 0)


def test_labels_count_intents_and_slot_types():
    assert labels(corpus(4)) == {"Paint0", "Paint1", "slot thing"}


class TestOwnFiles:
    def written(self, path):
        path.parent.mkdir(exist_ok=True)
        rows = [
            {"id": u.id, "text": f"{u.text} {u.domain}", "intent": u.intent, "domain": u.domain, "slots": []}
            for domain in ("iot", "alarm")
            for u in corpus(80, domain)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    @pytest.mark.parametrize("name", ["mine", "hwu64", "skills"])
    def test_domains_are_their_own_topics_whatever_the_file_is_called(self, tmp_path, name):
        """Else a file called like a corpus of the book keeps the new domain in the source of its own transfer."""
        found = own_skills([self.written(tmp_path / f"{name}.jsonl")])
        assert {s.name: s.topics for s in found} == {f"{name}/alarm": ("alarm",), f"{name}/iot": ("iot",)}

    def test_two_files_of_one_name_are_refused(self, tmp_path):
        files = [self.written(tmp_path / folder / "mine.jsonl") for folder in ("a", "b")]
        with pytest.raises(CorpusError, match=r"mine/alarm, mine/iot stands in two files of one name: rename one"):
            own_skills(files)
