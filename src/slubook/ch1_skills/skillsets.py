"""Makes the skills of experiments: a fixed test set, and a pool from which training and dev sets are drawn.

Splits are made once, by hash, before anything is trained. Dialogues stay whole, and texts that differ only in case,
digits or punctuation count as one. Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slubook.corpora.dedupe import normalise
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance
from slubook.experiments.records import Test
from slubook.profiles import stable_hash

DEV = 80
TEST_LEAST, TEST_MOST = 80, 300
#: Reserve for the rest of a dialogue that the dev set cuts in two, which is left out.
MARGIN = 8
SIZES = (100, 300, 500)
QUICK_SKILLS = ("coffee_shop", "flight_search", "fruit_market", "music_player")
QUICK_SIZE = 100
#: The public sources of chapter 1; a skill is a service, a scenario, a domain and a corpus of them, respectively.
PUBLIC_SOURCES = ("sgd", "hwu64", "hinglish_top", "snips")


@dataclass(frozen=True)
class Skill:
    """One skill of an experiment.

    Its groups are dialogues or, with ``samples``, fillings of one sample. Fillings share words, so training utterances
    are drawn one by one then, and even a small set comes from many samples.
    """

    name: str  # corpus/domain
    corpus: str
    topics: tuple[str, ...]  # from the table of topics, the same names in every corpus
    test: tuple[Utterance, ...]  # the same for all methods, sizes and seeds
    pool: tuple[Utterance, ...]  # of training and dev sets; no dialogue or text of the test
    samples: bool = False

    @property
    def dev_size(self) -> int:
        """Returns 80, or a quarter of a smaller pool."""
        return min(DEV, len(self.pool) // 4)

    def draw(self, size: int, seed: int) -> tuple[list[Utterance], list[Utterance]]:
        """Draws a training set of ``size`` and a dev set; smaller training sets are prefixes of larger ones.

        The rest of a dialogue that the dev set cuts in two is left out. If too few utterances remained to train on, the
        whole dialogue goes to the training set, and the dev set is smaller.

        Raises:
            ValueError: when the pool is too small, or one dialogue is larger than the dev set.
        """
        n = self.dev_size
        if not self.allows(size):
            raise ValueError(f"skill {self.name} has {len(self.pool)} utterances to draw {size} + {n} from")
        order = sorted(self.pool, key=lambda u: (stable_hash("draw", seed, u.group or u.id), u.id))
        cut = order[n - 1].group or None
        dev, rest = order[:n], [u for u in order[n:] if u.group != cut]
        if self.samples:
            rest.sort(key=lambda u: (stable_hash("draw", seed, u.id), u.id))
        if len(rest) < size:
            dev, rest = [u for u in dev if u.group != cut], rest + [u for u in order if u.group == cut]
            if not dev:
                raise ValueError(
                    f"skill {self.name}: group {cut!r} alone has more than {n} utterances, all that the dev set takes: "
                    "give it more than one group name, or none"
                )
        return rest[:size], dev

    def allows(self, size: int) -> bool:
        """Tells whether ``size`` training utterances and a dev set can be drawn."""
        return len(self.pool) >= size + self.dev_size + MARGIN

    def sizes(self) -> list[int]:
        """Returns the training sizes that the pool allows; for a smaller pool, all of it."""
        return [s for s in SIZES if self.allows(s)] or [len(self.pool) - self.dev_size - MARGIN]


def make_skill(
    name: str,
    corpus: str,
    topics: Collection[str],
    utterances: Sequence[Utterance],
    keep_split: bool = False,
    least_test: int = TEST_LEAST,
) -> Skill:
    """Splits one skill's utterances by hash of the dialogue; repeated texts count once.

    The test set takes up to 300 utterances, and leaves what the largest possible training size needs.

    Args:
        name, corpus, topics, utterances: of the skill.
        keep_split: for a developer's own skill: use the test split of the corpus, if it has one, and treat groups as
            fillings of a sample.
        least_test: size of the test set below which a larger training size is not allowed.
    """
    unique: dict[str, Utterance] = {}
    for u in sorted(utterances, key=lambda u: (u.split != "test", u.id) if keep_split else (False, u.id)):
        unique.setdefault(normalise(u.text), u)
    kept = list(unique.values())
    if keep_split and any(u.split == "test" for u in kept):
        test, pool = ([u for u in kept if (u.split == "test") == wanted] for wanted in (True, False))
        return Skill(name, corpus, tuple(topics), tuple(test), tuple(pool), samples=True)
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for u in kept:
        groups[u.group or u.id].append(u)
    fits = [s for s in SIZES if s + DEV + MARGIN + least_test <= len(kept)]
    target = min(TEST_MOST, len(kept) - fits[-1] - DEV - MARGIN) if fits else len(kept) // 3
    test, pool = [], []
    for _, members in sorted(groups.items(), key=lambda item: stable_hash("test", name, item[0])):
        (test if len(test) + len(members) <= target else pool).extend(members)
    return Skill(name, corpus, tuple(topics), tuple(test), tuple(pool), samples=keep_split)


def skills_of(corpus: str, utterances: Sequence[Utterance], keep_split: bool = False, own: bool = False) -> list[Skill]:
    """Makes a skill of each domain of a corpus, by name; domains of a user's ``own`` file are their own topics."""
    domains: dict[str, list[Utterance]] = defaultdict(list)
    for u in utterances:
        domains[u.domain].append(u)
    return [
        make_skill(
            domain if domain == corpus else f"{corpus}/{domain}",
            corpus,
            [domain] if own else sorted({t for u in members for t in topics_of(u, corpus)}),
            members,
            keep_split,
        )
        for domain, members in sorted(domains.items())
    ]


def quick_skills() -> list[Skill]:
    """Returns the embedded skills of the quick profile, of different topics."""
    embedded = skills_of("skills", load("skills"), keep_split=True)
    return [s for s in embedded if s.name.split("/")[1] in QUICK_SKILLS]


def own_skills(files: Sequence[Path]) -> list[Skill]:
    """Makes a skill of each domain of the user's files.

    Raises:
        CorpusError: when a file is missing, faulty or too small, or two files share their name and a domain.
    """
    found = [s for path in files for s in skills_of(path.stem, load(path), keep_split=True, own=True)]
    where = ", ".join(map(str, files))
    if twice := sorted(name for name, n in Counter(s.name for s in found).items() if n > 1):
        raise CorpusError(f"{where}: {', '.join(twice)} stands in two files of one name: rename one")
    if small := ", ".join(s.name for s in found if len(s.test) < 10 or s.sizes()[-1] < 20):
        raise CorpusError(f"{where}: too few distinct utterances in {small}: a domain needs about 50 at the least")
    return found


def public_skills(least: int = SIZES[1]) -> list[Skill]:
    """Returns the public skills with enough utterances for ``least`` + dev + test and at least two labels, by name."""
    skills = [skill for corpus in PUBLIC_SOURCES for skill in skills_of(corpus, load(corpus))]
    return [s for s in skills if s.allows(least) and len(labels(s.pool)) > 1]


def fingerprint(skill: Skill) -> str:
    """Computes the SHA-256 of a skill's split: ids, texts and labels of its test set and its pool."""
    digest = hashlib.sha256()
    for part in (skill.test, skill.pool):
        for u in part:
            digest.update(repr((u.id, u.text, u.intent, u.slots)).encode())
        digest.update(b"|")
    return digest.hexdigest()


def labels(utterances: Sequence[Utterance]) -> set[str]:
    """Returns the intents and slot types between which a skill distinguishes."""
    return {u.intent for u in utterances} | {f"slot {s.type}" for u in utterances for s in u.slots}


def test_of(skill: Skill) -> Test:
    """Returns the test set of a skill, as a results file names it."""
    gold = np.array([len(u.slots) for u in skill.test])
    return Test(skill.corpus, "+".join(skill.topics), tuple(u.id for u in skill.test), gold)
