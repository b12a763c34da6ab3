"""Builds the unlabelled pool: requests of many services, without any test utterance or near-duplicate of one.

Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from slubook.ch1_skills.skillsets import Skill
from slubook.corpora.dedupe import near_duplicates, normalise, opened
from slubook.corpora.registry import load
from slubook.corpora.topics import topic_of
from slubook.corpora.utterance import words
from slubook.profiles import stable_hash

#: The public corpora of the pool.
SOURCES = (
    "banking77", "clinc150", "hinglish_top", "hwu64", "nlupp", "restaurant8k", "sgd_turns", "snips", "taskmaster4",
)  # fmt: skip
FOLDS = 3
#: The share of a pool on which a language model is evaluated.
HELD_OUT = 0.01
#: How many texts the mean norm of an embedding is measured on.
MEASURED = 2000


@dataclass(frozen=True)
class Pool:
    """N unlabelled requests and their topics."""

    texts: tuple[str, ...]  # distinct
    topics: tuple[str, ...]  # of each text
    counts: dict[str, int]  # how many were read, distinct, and left after near-duplicates of tests were removed

    def without(self, topics: Collection[str]) -> Pool:
        """Returns the pool without the requests of ``topics``, of any corpus."""
        return self._where([not set(k.split("+")) & set(topics) for k in self.topics])

    def unlike(self, texts: Sequence[str]) -> Pool:
        """Returns the pool without near-duplicates of ``texts``, where both are spelled without apostrophes."""
        near = near_duplicates([opened(t) for t in self.texts], [opened(t) for t in texts])
        return self._where([not n for n in near])

    def part(self, share: float) -> Pool:
        """Returns a share of the pool, by hash: a smaller one is a subset of a larger one."""
        return self._where([_place("part", t) <= share for t in self.texts])

    def held_out(self, share: float = HELD_OUT) -> tuple[Pool, list[str]]:
        """Returns the pool without a share of it, by hash, and that share without near-duplicates of the rest."""
        held = [_place("held out", t) <= share for t in self.texts]
        left, out = self._where([not h for h in held]), self._where(held).texts
        near = near_duplicates(out, left.texts)
        return left, [t for t, n in zip(out, near, strict=True) if not n]

    def _where(self, wanted: Sequence[bool]) -> Pool:
        kept = [(t, k) for t, k, w in zip(self.texts, self.topics, wanted, strict=True) if w]
        return Pool(tuple(t for t, _ in kept), tuple(k for _, k in kept), {**self.counts, "left": len(kept)})

    def sentences(self) -> list[list[str]]:
        """Returns the tokens of each text."""
        return [words(t) for t in self.texts]

    def measured(self) -> list[list[str]]:
        """Returns the tokens of :data:`MEASURED` texts, chosen by hash, on which norms are measured."""
        return [words(t) for t in sorted(self.texts, key=lambda t: (stable_hash("measured", t), t))[:MEASURED]]


def _place(what: str, text: str) -> float:
    """Hashes a text to a number from 0 to 1, the same for texts that differ only in case, digits or punctuation."""
    return (stable_hash(what, normalise(text)) + 1) / 2**32


def build_pool(sources: Iterable[str], tests: Sequence[str], own: Sequence[str] = ()) -> Pool:
    """Collects the distinct texts of corpora, and ``own`` texts of no topic, without near-duplicates of ``tests``."""
    texts, read = {normalise(t): (t, "") for t in own}, len(own)
    for source in sources:
        for u in load(source):
            read += 1
            texts.setdefault(normalise(u.text), (u.text, topic_of(u, source)))
    texts.pop("", None)
    distinct = list(texts.values())
    near = near_duplicates([t for t, _ in distinct], tests) if tests else np.zeros(len(distinct), bool)
    every = Pool(
        tuple(t for t, _ in distinct), tuple(k for _, k in distinct), {"read": read, "distinct": len(distinct)}
    )
    return every._where([not n for n in near])


def public_pool(skills: Sequence[Skill]) -> Pool:
    """Builds the pool of all public corpora, without the tests of ``skills``."""
    return build_pool(SOURCES, [u.text for s in skills for u in s.test])


def topic_folds(skills: Sequence[Skill], folds: int = FOLDS) -> tuple[dict[str, int], list[set[str]]]:
    """Assigns skills to folds: vectors "of other topics" are trained once a fold, not once a skill.

    A fold leaves out every topic of every skill in it. Skills of several topics share fold 0 with all skills of those
    topics; the other topics are distributed over the remaining folds. Returns the fold of each skill, by name, and the
    topics that each fold leaves out.
    """
    left_out: list[set[str]] = [set() for _ in range(folds)]
    left_out[0] = {t for s in skills if len(s.topics) > 1 for t in s.topics}
    alone = sorted({t for s in skills for t in s.topics} - left_out[0], key=lambda t: stable_hash("fold", t))
    for i, topic in enumerate(alone):
        left_out[1 + i % (folds - 1)].add(topic)
    fold_of = {s.name: next(f for f, topics in enumerate(left_out) if set(s.topics) <= topics) for s in skills}
    return fold_of, left_out
