"""Stage one of transfer with an embedding: as chapter 2's, and the embedding may learn when its schedule says so.

The networks are kept as those of chapter 2 are.
Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from slubook.ch1_skills.encoding import distinct_words
from slubook.ch2_transfer.pretraining import (
    NETWORKS,
    Pretraining,
    PretrainingConfig,
    kept_network,
    learn,
    pretrained_key,
)
from slubook.ch2_transfer.source import SourceDomain
from slubook.ch3_elmol.context_pretrained import READING, ContextPretrained
from slubook.ch3_elmol.contextual import ContextBatch, ContextualNetwork, Embedding, with_context
from slubook.ch3_elmol.unfreezing import Unfreezing, UnfreezingConfig
from slubook.experiments.kept import Artefacts
from slubook.profiles import seed_everything

#: How often the schedule looks at the loss of the batches since.
LOOKS = 20


class ContextPretraining(Pretraining):
    """Chapter 2's pretraining of a network that reads an embedding beside the words it learns."""

    def __init__(self, domains: Sequence[SourceDomain], config: PretrainingConfig, embedding: Embedding) -> None:
        super().__init__(domains, config, None, lambda *given: ContextualNetwork(*given[:2], embedding, *given[2]))
        self.spelled = embedding.spell(self.lexicon)  # [V, ...]

    def batch(self, domain, rows: np.ndarray) -> tuple[ContextBatch, Tensor]:
        """The utterances at ``rows`` of a domain as a batch that the network reads, and their tags, [B, T]."""
        batch, tags = super().batch(domain, rows)
        used, _, _ = distinct_words([domain.words[r] for r in rows])
        return with_context(batch, self.spelled[used]), tags

    @torch.no_grad()
    def finished_with_embedding(self, name: str) -> ContextPretrained:
        """What a new skill takes over; see :meth:`slubook.ch2_transfer.pretraining.Pretraining.finished`."""
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
    """Train on all domains over an embedding, and keep what can move to a new skill.

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
