"""Two hundred skills with little data, drawn from public corpora by a published recipe.

A skill is a service, a scenario or a domain of a corpus, or some of its intents: developers' skills overlap in
subject, too. The recipe uses no model and no result, and draws the same skills at every call. Taught in
chapter 2, *Two hundred skills*.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from slubook.ch1_skills.skillsets import Skill, labels, make_skill
from slubook.corpora.dedupe import normalise
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance
from slubook.profiles import stable_hash

COUNT = 200
#: The corpora, and how many skills one domain of each may give. Where only intents are annotated, two.
DRAWN_FROM = {"sgd": 8, "hwu64": 8, "hinglish_top": 12, "snips": 12, "clinc150": 2, "banking77": 4}
SIZES = (100, 200, 300, 400, 500)
LEAST_TEST = 100
LEAST_OF_AN_INTENT = 20
MOST_INTENTS, MOST_OF_SOME = 12, 8
_TRIES = 40


def drawn_skills(count: int = COUNT) -> list[tuple[Skill, int]]:
    """Draws ``count`` skills and the training size of each: 100 to 500 utterances, as many as it has room for.

    Domains take turns: each gives all of its intents first, then two to eight of them, drawn at random, until it
    has given as many skills as :data:`DRAWN_FROM` allows or no other choice has room for 100 utterances to train on,
    a dev set and 100 to test on.

    Raises:
        ValueError: when the corpora do not hold that many.
    """
    offers = [(f"{corpus}/{domain}", corpus, us) for corpus in DRAWN_FROM for domain, us in _domains(corpus)]
    offers.sort(key=lambda offer: stable_hash("turn", offer[0]))
    streams = [_drawn(*offer) for offer in offers]
    skills: list[Skill] = []
    while streams and len(skills) < count:
        streams = [stream for stream in streams if (skill := next(stream, None)) and not skills.append(skill)]
    if len(skills) < count:
        raise ValueError(f"the corpora give {len(skills)} skills, not {count}")
    return [(s, _size(s)) for s in skills[:count]]


def _domains(corpus: str) -> list[tuple[str, list[Utterance]]]:
    found: dict[str, dict[str, Utterance]] = defaultdict(dict)
    for u in load(corpus):
        if u.intent and u.intent != "oos":
            found[u.domain].setdefault(normalise(u.text), u)
    return [(domain, list(us.values())) for domain, us in sorted(found.items())]


def _drawn(name: str, corpus: str, utterances: Sequence[Utterance]) -> Iterator[Skill]:
    draw, members = random.Random(f"skills of {name}"), defaultdict[str, list[Utterance]](list)
    for u in utterances:
        members[u.intent].append(u)
    intents = sorted(i for i, us in members.items() if len(us) >= LEAST_OF_AN_INTENT)
    choices = [tuple(sorted(draw.sample(intents, min(len(intents), MOST_INTENTS))))]
    if len(intents) > 2:
        most = min(len(intents) - 1, MOST_OF_SOME)
        choices += [tuple(sorted(draw.sample(intents, draw.randint(2, most)))) for _ in range(_TRIES)]
    given = 0
    for chosen in dict.fromkeys(choices):
        us = [u for intent in chosen for u in members[intent]]
        topics = sorted({t for u in us for t in topics_of(u, corpus)})
        skill = make_skill(f"{name}#{given}", corpus, topics, us, least_test=LEAST_TEST)
        if len(labels(us)) > 1 and len(skill.test) >= LEAST_TEST and skill.allows(SIZES[0]):
            yield skill
            given += 1
            if given == DRAWN_FROM[corpus]:
                return


def _size(skill: Skill) -> int:
    room = [size for size in SIZES if skill.allows(size)]
    return room[stable_hash("size", skill.name) % len(room)]
