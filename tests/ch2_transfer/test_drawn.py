"""The recipe that draws two hundred skills: what each has, that the draw repeats itself, and what is refused."""

import random

import pytest

from slubook.ch2_transfer import drawn
from slubook.ch2_transfer.drawn import DRAWN_FROM, LEAST_TEST, MOST_INTENTS, SIZES, drawn_skills
from slubook.corpora.utterance import Utterance

WORDS = ("apple", "river", "stone", "cloud", "lamp", "horse", "paper", "green", "seven", "night", "bread", "glass")


def corpus(domains: dict[str, int], each: int = 60) -> list[Utterance]:
    """Utterances of made-up words: for each domain so many intents, ``each`` utterances an intent."""
    draw, made = random.Random(3), []
    for domain, intents in domains.items():
        for i in range(intents):
            for k in range(each):
                text = " ".join(draw.choices(WORDS, k=7)) + f" {chr(97 + k % 26)}"
                made.append(Utterance(f"{domain}-{i}-{k}", text, f"{domain}{i}", (), domain))
    return made


@pytest.fixture
def toys(monkeypatch):
    """One corpus stands for all: two domains that are drawn from, a small one, and texts without an intent."""
    made = corpus({"shop": 6, "bank": 14, "tiny": 2})
    made += [Utterance(f"o{k}", f"what {w}", "oos", (), "shop") for k, w in enumerate(WORDS)]
    monkeypatch.setattr(drawn, "DRAWN_FROM", {"toy": 5})
    monkeypatch.setattr(drawn, "load", lambda name: made)
    monkeypatch.setattr(drawn, "topics_of", lambda u, name: {f"about {u.domain}"})
    return made


def test_every_skill_has_room_and_something_to_tell_apart(toys):
    for skill, size in drawn_skills(8):
        assert size in SIZES and skill.allows(size) and len(skill.test) >= LEAST_TEST
        texts = [{u.text for u in part} for part in (skill.test, skill.pool)]
        assert not texts[0] & texts[1]
        intents = {u.intent for part in (skill.test, skill.pool) for u in part}
        assert 2 <= len(intents) <= MOST_INTENTS and "oos" not in intents
        assert skill.topics == (f"about {skill.name.split('/')[1].split('#')[0]}",)


def test_the_draw_is_the_same_each_time_and_shorter_ones_are_its_beginning(toys):
    first, again, less = drawn_skills(8), drawn_skills(8), drawn_skills(5)
    assert first == again and less == first[:5]
    assert len({s.name for s, _ in first}) == 8


def test_domains_take_turns_and_give_themselves_whole_first(toys):
    skills = [s for s, _ in drawn_skills(8)]
    assert {s.name for s in skills[:2]} == {"toy/shop#0", "toy/bank#0"}
    assert {s.name.split("#")[1] for s in skills[2:4]} == {"1"}
    of = {s.name: {u.intent for u in (*s.test, *s.pool)} for s in skills}
    assert len(of["toy/shop#0"]) == 6 and len(of["toy/bank#0"]) == MOST_INTENTS
    assert len({frozenset(intents) for intents in of.values()}) == 8, "no choice of intents twice"


def test_a_domain_gives_no_more_than_its_share_and_a_small_one_nothing(toys):
    names = [s.name for s, _ in drawn_skills(10)]
    assert not any("tiny" in name for name in names) and sum("shop" in name for name in names) <= 5
    with pytest.raises(ValueError, match="the corpora give 10 skills, not 11"):
        drawn_skills(11)


def test_two_hundred_from_the_public_corpora(public):
    for source in ("sgd", "hwu64", "hinglish_top", "snips", "clinc150", "polyai"):
        public(source)
    skills = drawn_skills()
    assert len({s.name for s, _ in skills}) == len(skills) == 200
    assert {s.corpus for s, _ in skills} == set(DRAWN_FROM)
    assert {size for _, size in skills} == set(SIZES)
    assert all(s.allows(size) and len(s.test) >= LEAST_TEST for s, size in skills)
    taken: dict[str, int] = {}
    for s, _ in skills:
        taken[s.name.split("#")[0]] = taken.get(s.name.split("#")[0], 0) + 1
    assert all(n <= DRAWN_FROM[name.split("/")[0]] for name, n in taken.items())
