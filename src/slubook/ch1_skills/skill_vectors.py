"""The word vectors that chapter 1 compares, trained once per corpus of requests and kept in the cache.

Two kinds (FastText, masked language model) on three texts: general English, the pool of requests, and the
pool without the skill's topic. Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.masked_lm import MaskedLMConfig, train_masked_lm
from slubook.ch1_skills.pool import Pool, topic_folds
from slubook.ch1_skills.skillsets import Skill
from slubook.ch1_skills.tables import kept_table, table_folder
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora import general
from slubook.corpora.download import fetch
from slubook.experiments.kept import announce
from slubook.files import one_at_a_time, write_atomically

#: Word clusters for the linear control: how many, in each of its clusterings (tuned on dev, see ``tuning``).
GRAINS = (100, 1000)
#: The name of the vectors of general English.
GENERAL = "full-general"


@dataclass
class SkillVectors:
    """Vector tables for the skills of one run; each is trained when it is first asked for.

    Attributes:
        profile: prefix of the tables' names.
        skills: whose topics make the folds of "the pool without this topic".
        pool: unlabelled requests, without tests.
        fasttext: settings.
        masked_lm: settings.
    """

    profile: str
    skills: Sequence[Skill]
    pool: Pool
    fasttext: FastTextConfig
    masked_lm: MaskedLMConfig

    @cached_property
    def folds(self) -> tuple[dict[str, int], list[set[str]]]:
        """Returns the fold of each skill, and the topics that each fold leaves out of the pool."""
        return topic_folds(self.skills)

    def trained(self, kind: str, fold: int | None) -> VectorTable:
        """Returns one table of the pool, ``kind`` is ``"pool"`` (FastText) or ``"mlm"``; ``fold`` leaves topics out."""
        sentences = (self.pool if fold is None else self.pool.without(self.folds[1][fold])).sentences()
        name = self._name(kind, fold)
        if kind == "pool":
            return kept_table(name, sentences, train_fasttext, self.fasttext)
        return kept_table(name, sentences, train_masked_lm, self.masked_lm)

    def keys(self, skills: Iterable[str]) -> dict[str, str]:
        """Trains the tables of some skills, and returns what each was trained from: a hash of text and settings."""
        wanted = {name: how for skill in skills for name, how in self._of(skill).values() if name}
        tables = {name: self.trained(*how) if how else general_table() for name, how in sorted(wanted.items())}
        return {f"vectors {name}": table.key for name, table in tables.items()}

    def needs(self, skill: str) -> list[str]:
        """Returns the names of the tables that one skill reads, that of its fold first."""
        return [name for name, _ in reversed(self._of(skill).values()) if name]

    def _of(self, skill: str) -> dict[str, tuple[str | None, tuple[str, int | None] | None]]:
        """Returns the table of each network of a skill: its name, and the kind and fold that it is trained for.

        The full profile adds general text and the pool without topics.
        """
        made = {"dnn_pool": ("pool", None), "dnn_mlm": ("mlm", None)}
        if self.profile == "full":
            fold = self.folds[0][skill]
            made |= {"dnn_general": None, "dnn_pool_other": ("pool", fold), "dnn_mlm_other": ("mlm", fold)}
        named = {network: (self._name(*how) if how else GENERAL, how) for network, how in made.items()}
        return {"dnn_scratch": (None, None), **named}

    def paths(self, skill: str) -> VectorPaths:
        """Returns the tables of one skill, by the names of its networks, and the word clusters of the pool."""
        pool = self._name("pool", None)
        grouped = table_folder(pool) / f"clusters-{'-'.join(map(str, GRAINS))}.json"
        with one_at_a_time(grouped):
            if not grouped.is_file():
                announce("word clusters", pool, f"k-means into {' and '.join(map(str, GRAINS))}")
                write_atomically(grouped, json.dumps(clusters(self.trained("pool", None)), ensure_ascii=False))
        return VectorPaths({m: name and table_folder(name) for m, (name, _) in self._of(skill).items()}, grouped)

    def _name(self, kind: str, fold: int | None) -> str:
        return f"{self.profile}-{kind}" + ("" if fold is None else f"-without-{fold}")


@dataclass(frozen=True)
class VectorPaths:
    """The files of one skill: for each network the folder of its table or ``None``, and the clusters."""

    tables: dict[str, Path | None]
    clusters: Path


def general_table(config: FastTextConfig | None = None) -> VectorTable:
    """Returns FastText vectors of general English, which chapter 2 gives to a source and chapter 3 compares.

    Args:
        config: the usual settings when ``None``; the table of another number of epochs has a name of its own.
    """
    c, usual = config or FastTextConfig(), FastTextConfig()
    name = GENERAL if c.epochs == usual.epochs else f"{GENERAL}-{c.epochs}"
    sentences = [s for source in general.SOURCES for s in general.read(fetch(source), source)]
    return kept_table(name, sentences, train_fasttext, c)


def clusters(table: VectorTable, grains: Sequence[int] = GRAINS) -> dict[str, list[int]]:
    """Clusters the words by k-means over their vectors: gives each word its cluster in each of the clusterings."""
    words = sorted(table.index)
    vectors = table.vectors(words)
    vectors /= (vectors**2).sum(1, keepdims=True) ** 0.5 + 1e-9
    means = [
        MiniBatchKMeans(min(n, len(words)), random_state=0, n_init=3, batch_size=4096).fit(vectors) for n in grains
    ]
    return dict(zip(words, np.stack([m.labels_ for m in means], 1).tolist(), strict=True))
