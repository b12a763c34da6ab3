"""Puts the DNN behind ``fit`` and ``predict``: encoder, network and training loop.

:func:`fit_together` trains one network for each word-vector table, side by side, on the same batches.
Taught in chapter 1, *Build it*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch

from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import Network, NetworkConfig
from slubook.ch1_skills.training import TrainingConfig, predict, train
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.utterance import Prediction, Utterance
from slubook.profiles import seed_everything


@dataclass(frozen=True)
class DNNConfig:
    """The tuned settings of the network and its training."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class DNN:
    """One network over a generic table, or over none (``table=None``: word vectors learned from scratch)."""

    table: VectorTable | None = None
    config: DNNConfig = field(default_factory=DNNConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Learns one skill as :func:`fit_together` does; ``dev`` chooses the weights to keep."""
        fitted = fit_together({"only": self.table}, train, dev, seed, self.config)["only"]
        self.encoder, self.network = fitted.encoder, fitted.network
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predicts intent, confidence and slots of each text."""
        if not texts:
            return []
        encoded = self.encoder.encode(texts, [self.table], self.config.network.dim)
        return predict(self.network, self.encoder, encoded)[0]

    def size_bytes(self) -> int:
        """Counts the bytes of the skill's float32 weights and local words; the generic table is shared, not counted."""
        words = sum(len(w.encode()) + 4 for w in self.encoder.words)
        return words + 4 * self.parameters()[0]

    def parameters(self) -> tuple[int, int]:
        """Counts the parameters of the skill's own network, and those of the generic table."""
        own = sum(p.numel() for p in self.network.parameters())
        return own, 0 if self.table is None else self.table.rows.size + self.table.buckets.size


def fit_together(
    tables: Mapping[str, VectorTable | None],
    train_set: Sequence[Utterance],
    dev: Sequence[Utterance],
    seed: int,
    config: DNNConfig | None = None,
) -> dict[str, DNN]:
    """Trains one network for each table, all at once on the same batches; results have the names of the tables.

    Raises:
        ValueError: when ``train_set`` is empty.
    """
    config = config or DNNConfig()
    seed_everything(seed)
    listed = list(tables.values())
    encoder = Encoder(train_set, config.network.ngram_order)
    network = Network(encoder, config.network, [t is None for t in listed])
    data, held = (encoder.encode_gold(part, listed, config.network.dim) for part in (train_set, dev))
    train(network, encoder, data, held, dev, config.training, seed)
    models = {name: DNN(table, config) for name, table in tables.items()}
    for g, model in enumerate(models.values()):
        model.encoder, model.network = encoder, single(network, encoder, g, model.table is None)
    return models


def single(network: Network, encoder: Encoder, group: int, trained_words: bool) -> Network:
    """Copies network ``group`` of a bank into a network of its own."""
    alone = type(network)(encoder, network.config, [trained_words])
    with torch.no_grad():
        for own, shared in zip(alone.parameters(), network.parameters(), strict=True):
            own.copy_(shared.chunk(network.groups)[group])
    return alone.eval()
