"""Trains a new skill's network over an embedding, stage two of transfer, from what pretraining left.

All settings are those of :mod:`slubook.ch2_transfer.transfer`; new is when the embedding may learn. A skill with
thousands of examples can also begin at random over an embedding, without any annotated source. Taught in chapter 3,
*Build it*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.training import predict, train
from slubook.ch2_transfer.transfer import LOWER_LAYERS, TransferConfig
from slubook.ch3_elmol.contextual import ContextEncoded, ContextualNetwork, Embedding, WordVectors
from slubook.ch3_elmol.contextual_pretraining import ContextPretrained
from slubook.ch3_elmol.unfreezing import UnfreezingConfig, paces_of, unfreezing_of
from slubook.corpora.utterance import Prediction, Utterance
from slubook.profiles import seed_everything


@dataclass(frozen=True)
class ContextStart:
    """How one network begins, and when its embedding may learn.

    Attributes:
        pretrained: what it takes over; of an embedding alone, all else begins at random.
        unfreezing: the schedule.
        rate: a multiple of the configured learning rate, for all parts.
        parts: of the base that move; all but the heads, as in the paper.
    """

    pretrained: ContextPretrained | Embedding
    unfreezing: UnfreezingConfig = field(default_factory=UnfreezingConfig)
    rate: float = 1.0
    parts: tuple[str, ...] = LOWER_LAYERS


@dataclass(frozen=True)
class ContextRecipe(TransferConfig):
    """How one method is trained: its network and training, and how fast what it takes over may change.

    Attributes:
        rate: of the start; see there.
        reduced: of the schedule; see :class:`slubook.ch3_elmol.unfreezing.UnfreezingConfig`.
    """

    rate: float = 1.0
    reduced: float = UnfreezingConfig.reduced

    def start(self, pretrained: ContextPretrained | Embedding, unfreezing: UnfreezingConfig) -> ContextStart:
        """Returns a start by this recipe; ``unfreezing`` is its schedule in all but ``reduced``."""
        return ContextStart(pretrained, replace(unfreezing, reduced=self.reduced), self.rate)


@dataclass
class ContextDNN(DNN):
    """One network over words and an embedding, as a model like any other.

    Attributes:
        since: the progress at which each layer of the embedding was unfrozen.
        start: how it begins.
    """

    since: tuple[float, ...] = ()
    start: ContextStart = field(kw_only=True)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Learns one skill by :func:`fit_contextual`.

        Raises:
            ValueError: when ``train`` is empty.
        """
        fitted = fit_contextual(self.start, train, dev, seed, TransferConfig(self.config.network, self.config.training))
        self.table, self.encoder, self.network, self.since = fitted.table, fitted.encoder, fitted.network, fitted.since
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Returns intent, confidence and slots of each text."""
        if not texts:
            return []
        encoded = self.encoder.encode(texts, [self.table], self.config.network.dim)
        return predict(self.network, self.encoder, ContextEncoded(encoded, self.network.embedding))[0]

    def size_bytes(self) -> int:
        """Returns the size of the skill's own weights (float32) and words; an embedding that never learned is shared."""
        words = sum(len(w.encode()) + 4 for w in self.encoder.words)
        own, read = self.parameters()[0], sum(p.numel() for p in self.network.embedding.parameters())
        return words + 4 * (own + read if self.since else own)

    def parameters(self) -> tuple[int, int]:
        """Counts the parameters of the skill's own network, and of what it reads: word table and embedding."""
        own, table = super().parameters()
        embedding = self.network.embedding
        read = sum(p.numel() for p in embedding.parameters())
        if isinstance(embedding, WordVectors):
            table += embedding.table.rows.size + embedding.table.buckets.size
        return own - read, table + read


def fit_contextual(
    start: ContextStart,
    train_set: Sequence[Utterance],
    dev: Sequence[Utterance],
    seed: int,
    config: TransferConfig | None = None,
    on_loss: Callable[[int, float], None] | None = None,
) -> ContextDNN:
    """Trains one network over its embedding; while that is frozen, its vectors are computed once an utterance.

    Args:
        start: what it takes over, and when its embedding may learn.
        train_set: of the new skill.
        dev: chooses the evaluation whose weights are kept, and says when the network begins to converge.
        seed: of initial weights, batches and dropout.
        config: sizes and training.
        on_loss: called with the update and the dev loss at every evaluation, whether or not the schedule watches it.

    Raises:
        ValueError: when ``train_set`` is empty, or the network is configured otherwise than the pretrained one.
    """
    config = config or TransferConfig()
    seed_everything(seed, threads=1)
    source, updates, dim = start.pretrained, config.training.updates, config.network.dim
    if isinstance(source, ContextPretrained):
        table, encoder = source.base.table, Encoder(train_set, config.network.ngram_order, source.base.characters)
        network = ContextualNetwork(encoder, config.network, source.embedding, False)
        source.carry_over(network, encoder, start.parts)
    else:
        table, encoder = None, Encoder(train_set, config.network.ngram_order)
        network = ContextualNetwork(encoder, config.network, source, True)
    unfreezing = unfreezing_of(network, start.unfreezing, updates, math.ceil(len(train_set) / config.training.batch))
    data, held = (
        ContextEncoded(encoder.encode_gold(part, [table], dim), network.embedding, network.frozen)
        for part in (train_set, dev)
    )

    def look(update: int, _: list[float]) -> None:
        if unfreezing.watches or on_loss:
            loss = mean_loss(network, held)
            unfreezing.look(loss, update)
            if on_loss:
                on_loss(update, loss)

    paces = paces_of(network, lambda part, update: start.rate * unfreezing.speed(part, update))
    train(network, encoder, data, held, dev, config.training, seed, look, paces, unfreezing.triangle)
    model = ContextDNN(table, DNNConfig(config.network, config.training), tuple(unfreezing.since), start=start)
    model.encoder, model.network = encoder, network
    return model


@torch.no_grad()
def mean_loss(network: ContextualNetwork, encoded: ContextEncoded, batch: int = 64) -> float:
    """Returns the mean loss of a network on encoded utterances with gold labels; infinite without any."""
    network.eval()
    starts = range(0, len(encoded), batch)
    parts = [encoded.batch(range(start, min(start + batch, len(encoded)))) for start in starts]
    return sum(float(network.loss(p)) * len(p.words) for p in parts) / len(encoded) if parts else math.inf
