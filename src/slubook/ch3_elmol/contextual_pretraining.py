"""Pretrains a network over an embedding, stage one of transfer; the embedding may learn when its schedule says so.

All else is as in chapter 2. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from slubook.ch1_skills.encoding import Encoder, distinct_words
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import (
    NETWORKS,
    Pretraining,
    PretrainingConfig,
    kept_network,
    learn,
    pretrained_key,
)
from slubook.ch2_transfer.source import SourceDomain
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.contextual import ContextBatch, ContextualNetwork, Embedding, with_context
from slubook.ch3_elmol.unfreezing import Unfreezing, UnfreezingConfig
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
        """Puts ``parts`` of the base, and how the embedding is read, into a network that was built over the embedding.

        Raises:
            ValueError: as :meth:`slubook.ch2_transfer.pretrained.Pretrained.carry_over` does.
        """
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
        """Reads what :meth:`save` wrote.

        Args:
            folder: where it lies.
            embedding: what it was trained over; a language model is read as it was tuned.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged or of another format.
        """
        base = Pretrained.load(folder / "base")
        with kept.reading(folder, "pretrained network"):
            found = load_file(folder / "reading.safetensors")
            reading = {name: found[name] for name in READING}
        return cls(base, BiLM.load(folder / "reader") if isinstance(embedding, BiLM) else embedding, reading)


class ContextPretraining(Pretraining):
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
        name: of the word table that comes out.
        domains: annotated source domains.
        embedding: what the network reads; it is copied before it learns.
        config: sizes, steps and rates.
        unfreezing: when the embedding may learn; *gradual* is a schedule for new skills only.
        seed: of everything drawn.

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
    learn(model, name, c, rng, [(part, partial(state.speed, f"embedding {k}")) for k, part in layers], watch)
    return model.eval().finished_with_embedding(name), state.since


def networks_over(embedding: Embedding) -> Artefacts[ContextPretrained]:
    """Returns the kind of kept networks that read ``embedding``."""
    return replace(NETWORKS, load=partial(ContextPretrained.load, embedding=embedding))


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

    Its ``about`` also says at which progress each layer of the embedding was unfrozen (``unfrozen``).

    Args:
        name, domains, config: as for :func:`slubook.ch2_transfer.pretraining.kept_pretrained`.
        embedding: what it reads.
        origin: a hash of what the embedding was made from.
        unfreezing: when the embedding may learn.
        seed: of everything drawn.

    Raises:
        KeptError, OSError: as :meth:`slubook.experiments.kept.Artefacts.kept` does.
    """
    parts = (pretrained_key(domains, config), origin, repr((unfreezing, seed)))
    key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]

    def train() -> ContextPretrained:
        network, unfrozen = pretrain_contextual(name, domains, embedding, config, unfreezing, seed)
        network.about["unfrozen"] = unfrozen
        return network

    return kept_network(networks_over(embedding), name, key, domains, config, train)
