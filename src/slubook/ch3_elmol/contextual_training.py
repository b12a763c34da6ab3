"""Trains networks over an embedding: stage one on annotated domains, stage two on a new skill.

All settings are those of chapter 2; new is when the embedding may learn. A skill with thousands of examples can also
begin at random over an embedding, without any annotated source. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.encoding import Encoder, distinct_words
from slubook.ch1_skills.training import predict, train
from slubook.ch2_transfer import pretraining
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.source import SourceDomain
from slubook.ch2_transfer.transfer import LOWER_LAYERS, TransferConfig
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.contextual import (
    ContextBatch,
    ContextEncoded,
    ContextualNetwork,
    Embedding,
    WordVectors,
    with_context,
)
from slubook.ch3_elmol.unfreezing import Unfreezing, UnfreezingConfig, paces_of, unfreezing_of
from slubook.corpora.utterance import Prediction, Utterance
from slubook.experiments import kept
from slubook.experiments.kept import Artefacts
from slubook.files import replaced_folder
from slubook.profiles import seed_everything

#: How often the schedule looks at the loss of the batches since.
LOOKS = 20
#: The parameters by which a network reads an embedding.
READING = ("mix.weights", "mix.gamma", "context.weight", "context.bias")


@dataclass
class ContextPretrained:
    """A pretrained network without the labels it was trained on.

    Attributes:
        base: the network's lower parts and the words of its source.
        embedding: as pretraining left it; a language model may have been tuned.
        reading: the parameters named in :data:`READING`.
    """

    base: Pretrained
    embedding: Embedding
    reading: dict[str, Tensor]

    @property
    def about(self) -> dict[str, Any]:
        """Returns what it was trained on and how."""
        return self.base.about

    @torch.no_grad()
    def carry_over(self, network: ContextualNetwork, encoder: Encoder, parts: Collection[str]) -> None:
        """Puts ``parts`` of the base, and how the embedding is read, into a network over it; errors as of the base."""
        self.base.carry_over(network, 0, encoder, parts)
        for name, value in self.reading.items():
            network.get_parameter(name).copy_(value)

    def save(self, folder: Path) -> None:
        """Writes everything but a table of word vectors, which is kept elsewhere, all or nothing."""
        with replaced_folder(folder) as draft:
            self.base.save(draft / "base")
            kept.write_weights(draft / "reading.safetensors", self.reading)
            if isinstance(self.embedding, BiLM):
                self.embedding.save(draft / "reader")

    @classmethod
    def load(cls, folder: Path, embedding: Embedding) -> Self:
        """Reads what :meth:`save` wrote, over the ``embedding`` of its training; a language model as it was tuned.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged or of another format.
        """
        base = Pretrained.load(folder / "base")
        with kept.reading(folder, "pretrained network"):
            found = load_file(folder / "reading.safetensors")
            reading = {name: found[name] for name in READING}
        return cls(base, BiLM.load(folder / "reader") if isinstance(embedding, BiLM) else embedding, reading)


class ContextPretraining(pretraining.Pretraining):
    """Chapter 2's pretraining of a network that reads an embedding beside the words it learns."""

    def __init__(self, domains: Sequence[SourceDomain], config: PretrainingConfig, embedding: Embedding) -> None:
        super().__init__(domains, config, None, lambda *given: ContextualNetwork(*given[:2], embedding, *given[2]))
        self.spelled = embedding.spell(self.lexicon)  # [V, ...]

    def batch(self, domain, rows: np.ndarray) -> tuple[ContextBatch, Tensor]:
        """Returns the utterances at ``rows`` of a domain as a batch that the network reads, and their tags, [B, T]."""
        batch, tags = super().batch(domain, rows)
        used, _, _ = distinct_words([domain.words[r] for r in rows])
        return with_context(batch, self.spelled[used]), tags

    @torch.no_grad()
    def finished_with_embedding(self, name: str) -> ContextPretrained:
        """Returns what a new skill takes over; see :meth:`slubook.ch2_transfer.pretraining.Pretraining.finished`."""
        self.network.unfreeze(0)
        reading = {n: self.network.get_parameter(n).detach().clone() for n in READING}
        return ContextPretrained(self.finished(name, None), self.network.embedding, reading)


def pretrain_contextual(
    name: str,
    domains: Sequence[SourceDomain],
    embedding: Embedding,
    config: PretrainingConfig | None = None,
    unfreezing: UnfreezingConfig | None = None,
    seed: int = 0,
) -> tuple[ContextPretrained, list[float]]:
    """Trains on all domains over an embedding, and keeps what can move to a new skill.

    Args:
        name, domains, config, seed: as for :func:`slubook.ch2_transfer.pretraining.pretrain`.
        embedding: what the network reads; it is copied before it learns.
        unfreezing: when the embedding may learn; *gradual* is a schedule for new skills only.

    Returns:
        What can move, and the progress at which each layer of the embedding was unfrozen.

    Raises:
        ValueError: when there is no domain, or for the schedule *gradual*.
    """
    c, t = config or PretrainingConfig(), unfreezing or UnfreezingConfig()
    if t.how == "gradual":
        raise ValueError("the schedule 'gradual' is for new skills: pretrain with another one")
    if not domains:
        raise ValueError("pretrain: no source domains are left: leave out fewer topics")
    rng = seed_everything(seed, threads=1)
    model = ContextPretraining(domains, c, embedding)
    state, losses, every = Unfreezing(model.network, t, c.updates), [], max(1, c.updates // LOOKS)

    def watch(update: int, loss: float) -> None:
        losses.append(loss)
        if update % every == 0:
            state.look(float(np.mean(losses)), update)
            losses.clear()

    layers = enumerate(model.network.embedding.parts())
    paces = [(part, partial(state.speed, f"embedding {k}")) for k, part in layers]
    pretraining.learn(model, name, c, rng, paces, watch)
    return model.eval().finished_with_embedding(name), state.since


def networks_over(embedding: Embedding) -> Artefacts[ContextPretrained]:
    """Returns the kind of kept networks that read ``embedding``."""
    return replace(pretraining.NETWORKS, load=partial(ContextPretrained.load, embedding=embedding))


def kept_contextual(
    name: str,
    domains: Sequence[SourceDomain],
    embedding: Embedding,
    origin: str,
    config: PretrainingConfig,
    unfreezing: UnfreezingConfig,
    seed: int = 0,
) -> ContextPretrained:
    """Returns the pretrained network ``name`` over an embedding: the one that is kept if all was the same.

    Its ``about`` also has the progress at which each layer of the embedding was unfrozen (``unfrozen``).

    Args:
        name, domains, embedding, config, unfreezing, seed: as for :func:`pretrain_contextual`.
        origin: a hash of what the embedding was made from.

    Raises:
        KeptError, OSError: as :meth:`slubook.experiments.kept.Artefacts.kept` does.
    """
    parts = (pretraining.pretrained_key(domains, config), origin, repr((unfreezing, seed)))
    key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]

    def train() -> ContextPretrained:
        network, unfrozen = pretrain_contextual(name, domains, embedding, config, unfreezing, seed)
        network.about["unfrozen"] = unfrozen
        return network

    return pretraining.kept_network(networks_over(embedding), name, key, domains, config, train)


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
    """How one method is trained: its network and training, the ``rate`` of its start, ``reduced`` of its schedule."""

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
        """Learns one skill by :func:`fit_contextual`."""
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
        """Returns the size of the skill's own weights and words; an embedding that never learned is shared."""
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
