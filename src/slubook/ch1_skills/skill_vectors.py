"""The word vectors that chapter 1 compares, trained once per corpus of requests and kept in the cache.

Two kinds (FastText, masked language model) on three texts: general English, the pool of requests, and the
pool without the skill's topic. Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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

    @cached_property
    def tables(self) -> dict[str, VectorTable]:
        """Returns all tables of the profile by name; the full one adds general text and the pool without topics."""
        folds = (None, *range(len(self.folds[1]))) if self.profile == "full" else (None,)
        made = {self._name(kind, fold): self.trained(kind, fold) for kind in ("pool", "mlm") for fold in folds}
        return made | ({GENERAL: general_table()} if self.profile == "full" else {})

    def keys(self) -> dict[str, str]:
        """Returns what each table was trained from: a hash of text and settings."""
        return {f"vectors {name}": table.key for name, table in self.tables.items()}

    def paths(self, skill: str) -> VectorPaths:
        """Returns the tables of one skill, by the names of its networks, and the word clusters of the pool."""
        names = {"dnn_scratch": None, "dnn_pool": self._name("pool", None), "dnn_mlm": self._name("mlm", None)}
        if self.profile == "full":
            fold = self.folds[0][skill]
            names |= {
                "dnn_general": GENERAL,
                "dnn_pool_other": self._name("pool", fold),
                "dnn_mlm_other": self._name("mlm", fold),
            }
        pool = self._name("pool", None)
        grouped = table_folder(pool) / f"clusters-{'-'.join(map(str, GRAINS))}.json"
        with one_at_a_time(grouped):
            if not grouped.is_file():
                announce("word clusters", pool, f"k-means into {' and '.join(map(str, GRAINS))}")
                write_atomically(grouped, json.dumps(clusters(self.tables[pool]), ensure_ascii=False))
        return VectorPaths({m: name and table_folder(name) for m, name in names.items()}, grouped)

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
