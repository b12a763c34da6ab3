"""Joint training: one network learns the source domains and the new skill together, from the first update on.

It is what transfer is compared with when the source is at hand each time a skill comes. Every second update is of the
new skill, so that it is shown as often as to a network from scratch, and the source as often again. The skill's heads
are what its labels' names say and rows of their own, as those of every domain in pretraining. Taught in chapter 2,
*What makes it work*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.training import one_cycle, swap
from slubook.ch2_transfer.pretrained import MOVABLE
from slubook.ch2_transfer.pretraining import Pretraining, PretrainingConfig
from slubook.ch2_transfer.source import SourceDomain, make_domain
from slubook.ch2_transfer.stacked import PARTS, StackedNetwork
from slubook.ch2_transfer.transfer import Recipe
from slubook.corpora.utterance import Utterance
from slubook.evaluation.metrics import mistakes
from slubook.profiles import seed_everything

TARGET = "new skill"


def fit_joint(
    domains: Sequence[SourceDomain],
    train_set: Sequence[Utterance],
    dev: Sequence[Utterance],
    seed: int,
    recipe: Recipe,
    source: PretrainingConfig,
) -> DNN:
    """Train one network from scratch on source domains and a new skill in turn.

    Args:
        domains: the source.
        train_set: of the new skill.
        dev: chooses the evaluation whose averaged weights are kept, as in :func:`slubook.ch1_skills.training.train`.
        seed: of initial weights, batches and dropout.
        recipe: rates, batch, dropout and updates on the new skill; there are as many on the source.
        source: what only pretraining has: which words are known, how a domain is drawn, how often names are alone.

    Raises:
        ValueError: when there is no domain, or no training utterance.
    """
    if not domains or not train_set:
        raise ValueError("joint training: source domains and training utterances are needed")
    rng, t = seed_everything(seed, threads=1), recipe.training
    sizes = replace(
        source.network, dropout=recipe.network.dropout, word_dropout=recipe.network.word_dropout, ngram_order=0
    )
    model = Pretraining([*domains, make_domain(TARGET, train_set)], replace(source, network=sizes), None)
    *others, target = model.domains
    unused = {f"network.{n}" for n in PARTS["heads"]}
    parameters = [p for n, p in model.named_parameters() if n not in unused]
    optimizer = torch.optim.AdamW(
        parameters, t.rate * recipe.rate, weight_decay=t.weight_decay, betas=(0.9, 0.98), fused=True
    )
    schedule, updates = one_cycle(optimizer, 2 * t.updates, last=20), 2 * t.updates
    often = np.array([len(d.words) for d in others]) ** source.power
    average, best, least = [p.detach().clone() for p in parameters], None, float("inf")
    for step in range(1, updates + 1):
        model.train()
        domain = target if step % 2 else others[rng.choice(len(others), p=often / often.sum())]
        rows = rng.integers(len(domain.words), size=t.batch)
        loss = model.loss(domain, rows, own=domain is target or rng.random() >= source.names_alone)
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
        schedule.step()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(t.average, step / (step + 10)))
        if step % max(1, updates // t.evaluations) and step != updates:
            continue
        current = swap(parameters, average)
        learned = _learned(model.eval(), train_set)
        swap(parameters, current)
        error = mistakes(dev, learned.predict([u.text for u in dev])) if dev else 0
        if error <= least:
            best, least = learned, error
    return best


@torch.no_grad()
def _learned(model: Pretraining, train_set: Sequence[Utterance]) -> DNN:
    """The new skill's network as a model of its own: what pretraining leaves, and the rows of the skill's labels."""
    kept, target = model.finished(TARGET, None), model.domains[-1]
    config = replace(kept.config, ngram_order=0)
    encoder = Encoder(train_set, config.ngram_order, kept.characters)
    network = StackedNetwork(encoder, config, [False])
    kept.carry_over(network, 0, encoder, MOVABLE)
    network.tag_head.weight[0] += model.own_tags[target.tag_rows].t()
    if len(target.intent_mix):
        network.intent_head.weight[0] += model.own_intents[target.intent_rows].t()
    found = DNN(kept.table, DNNConfig(config))
    found.encoder, found.network = encoder, network.eval()
    return found
