"""Joint training: one network learns the source domains and the new skill together, from the first update on.

Transfer is compared with it where the source is at hand each time a skill comes. Every second update is of the new
skill, so that the skill is read as often as by a network from scratch, and the source as often again. The skill's heads
are weights from its labels' names and rows of their own, as those of every domain in pretraining. Taught in chapter 2,
*What makes it work*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.training import LAST, swap
from slubook.ch2_transfer.pretrained import MOVABLE
from slubook.ch2_transfer.pretraining import Pretraining, PretrainingConfig, learn
from slubook.ch2_transfer.source import SourceDomain, make_domain
from slubook.ch2_transfer.stacked import StackedNetwork
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
    """Trains one network from scratch on source domains and a new skill in turn.

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
    rng, t, own = seed_everything(seed, threads=1), recipe.training, recipe.network
    sizes = replace(source.network, dropout=own.dropout, word_dropout=own.word_dropout, ngram_order=0)
    steps = {"updates": 2 * t.updates, "batch": t.batch, "rate": t.rate * recipe.rate, "weight_decay": t.weight_decay}
    config = replace(source, network=sizes, **steps)
    model = Pretraining([*domains, make_domain(TARGET, train_set)], config, None)
    parameters = model.used_parameters()
    average, every = [p.detach().clone() for p in parameters], max(1, config.updates // t.evaluations)
    best, least = None, float("inf")

    def watch(step: int, _: float) -> None:
        nonlocal best, least
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(t.average, step / (step + 10)))
        if step % every and step != config.updates:
            return
        current = swap(parameters, average)
        learned = _learned(model.eval(), train_set)
        swap(parameters, current)
        model.train()
        error = mistakes(dev, learned.predict([u.text for u in dev])) if dev else 0
        if error <= least:
            best, least = learned, error

    learn(model, "", config, rng, watch=watch, target=model.domains[-1], last=LAST)
    return best


@torch.no_grad()
def _learned(model: Pretraining, train_set: Sequence[Utterance]) -> DNN:
    """Returns the new skill's network as a model of its own: what pretraining leaves, and the rows of its labels."""
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
