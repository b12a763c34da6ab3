"""The word vectors that chapter 1 compares, trained once per corpus of requests and kept in the cache.

Two kinds (FastText, masked language model) on three texts: general English, the pool of requests, and the
pool without the skill's topic. Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sklearn.cluster import MiniBatchKMeans

from slubook.corpora import general
from slubook.corpora.registry import source_folder
from slubook.corpora.skillsets import Skill
from slubook.learning.fasttext import FastTextConfig, train_fasttext
from slubook.learning.masked_lm import MaskedLMConfig, train_masked_lm
from slubook.learning.pool import Pool, topic_folds
from slubook.learning.tables import kept_table
from slubook.models.vectors import VectorTable

CLUSTERS = 300


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
        """The fold of each skill, and the topics that each fold leaves out of the pool."""
        return topic_folds(self.skills)

    def general(self) -> VectorTable:
        """FastText on general English."""
        sentences = [s for source in general.SOURCES for s in general.read(source_folder(source), source)]
        return kept_table(f"{self.profile}-general", sentences, train_fasttext, self.fasttext)

    def trained(self, kind: str, fold: int | None) -> VectorTable:
        """One table on the pool: ``kind`` is ``"pool"`` (FastText) or ``"mlm"``; ``fold`` leaves its topics out."""
        sentences = (self.pool if fold is None else self.pool.without(self.folds[1][fold])).sentences()
        name = f"{self.profile}-{kind}" + ("" if fold is None else f"-without-{fold}")
        if kind == "pool":
            return kept_table(name, sentences, train_fasttext, self.fasttext)
        return kept_table(name, sentences, train_masked_lm, self.masked_lm)

    def names(self) -> list[tuple[str, int | None]]:
        """All (kind, fold) pairs of :meth:`trained`."""
        return [(kind, fold) for kind in ("pool", "mlm") for fold in (None, *range(len(self.folds[1])))]


def clusters(table: VectorTable, count: int = CLUSTERS) -> dict[str, int]:
    """k-means over the word vectors: for each word, its cluster. Features for the linear model."""
    words: Iterable[str] = sorted(table.index)
    vectors = table.vectors(list(words))
    vectors /= (vectors**2).sum(1, keepdims=True) ** 0.5 + 1e-9
    count = min(count, len(vectors))
    means = MiniBatchKMeans(count, random_state=0, n_init=3, batch_size=4096).fit(vectors)
    return dict(zip(words, means.labels_.tolist(), strict=True))
