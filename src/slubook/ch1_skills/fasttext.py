"""Trains FastText vectors with gensim. Taught in chapter 1, *Embeddings from text nobody labelled*."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gensim.models import FastText
from gensim.models.callbacks import CallbackAny2Vec
from tqdm import tqdm

from slubook.ch1_skills.vectors import VectorTable, unit_scale


@dataclass(frozen=True)
class FastTextConfig:
    """Skip-gram with sub-words (Bojanowski et al., 2017)."""

    dim: int = 300
    window: int = 5
    least: int = 2
    epochs: int = 5
    buckets: int = 50_000
    ngrams: tuple[int, int] = (3, 5)


class _EpochBar(CallbackAny2Vec):
    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def on_epoch_end(self, model: FastText) -> None:
        self.bar.update()


def train_fasttext(
    name: str, sentences: Sequence[Sequence[str]], config: FastTextConfig | None = None, seed: int = 0
) -> VectorTable:
    """Trains on ``sentences`` with one worker, so that the same text gives the same vectors.

    Rows are scaled to a mean norm of 1, so that tables do not differ by scale alone.

    Raises:
        ValueError: when no word occurs often enough.
    """
    c = config or FastTextConfig()
    model = FastText(
        vector_size=c.dim, window=c.window, min_count=c.least, sg=1, bucket=c.buckets,
        min_n=c.ngrams[0], max_n=c.ngrams[1], workers=1, seed=seed,
    )  # fmt: skip
    model.build_vocab(sentences)
    if not len(model.wv):
        raise ValueError(f"FastText {name!r}: no word occurs {c.least} times in {len(sentences)} sentences")
    with tqdm(total=c.epochs, desc=f"FastText {name}", unit="epoch", disable=None) as bar:
        model.train(sentences, total_examples=model.corpus_count, epochs=c.epochs, callbacks=[_EpochBar(bar)])
    scale = unit_scale(model.wv.vectors)
    rows, buckets = ((m * scale).astype(np.float16) for m in (model.wv.vectors, model.wv.vectors_ngrams))
    return VectorTable(name, dict(model.wv.key_to_index), rows, buckets, c.ngrams)
