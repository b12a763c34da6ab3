"""Trains several networks of one skill at once; dev error chooses the weights that each keeps.

Taught in chapter 1, *Build it*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slubook.ch1_skills.encoding import Encoded, Encoder
from slubook.ch1_skills.network import Network
from slubook.corpora.bio import from_bio
from slubook.corpora.utterance import Prediction, Utterance
from slubook.evaluation.metrics import mistakes

#: Batches are cut from pools of POOL batches, sorted by length, so that short utterances are not padded to long ones.
#: Lengths are blurred by up to BLUR tokens, so that a batch is not all of one sentence pattern.
POOL, BLUR = 4, 4.0
#: The first rate of the cycle divided by the last.
LAST = 20


@dataclass(frozen=True)
class TrainingConfig:
    """Steps and rates; the learning rate rises for a tenth of the updates, then falls along a cosine."""

    rate: float = 5e-3
    batch: int = 16
    updates: int = 600
    weight_decay: float = 0.01
    average: float = 0.98
    evaluations: int = 10


@dataclass(frozen=True)
class Pace:
    """A separate learning rate for some parameters of some networks of a bank."""

    shares: Sequence[tuple[str, int]]  # a parameter's name, and the network whose part of it is meant
    speed: Callable[[int], float]  # for an update, from 1, a factor on the learning rate; 0 freezes


@torch.no_grad()
def predict(network: Network, encoder: Encoder, encoded: Encoded, batch: int = 64) -> list[list[Prediction]]:
    """Predicts the encoded utterances with each of the G networks: G lists of predictions."""
    network.eval()
    answers: list[list[Any]] = [[None] * len(encoded) for _ in range(network.groups)]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded.words[i]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        part = encoded.batch(rows)
        emissions, logits = network(part)
        paths = network.crf.decode(emissions, part.mask)
        top, intent = torch.softmax(logits, -1).max(-1)  # [G, B]
        for g, out in enumerate(answers):
            for i, row in enumerate(rows):
                tokens = encoded.tokens[row]
                slots = from_bio(tokens, [encoder.tags[k] for k in paths[g][i]]) if tokens else ()
                out[row] = Prediction(encoder.intents[int(intent[g, i])], slots, float(top[g, i]))
    return answers


def train(
    network: Network,
    encoder: Encoder,
    data: Encoded,
    dev: Encoded,
    dev_gold: Sequence[Utterance],
    config: TrainingConfig,
    seed: int,
    on_evaluation: Callable[[int, list[float]], None] | None = None,
    paces: Sequence[Pace] = (),
    schedule: Callable[[int], float] | None = None,
    pool: int = POOL,
) -> list[float]:
    """Trains all G networks for a fixed number of updates; each keeps its best averaged weights.

    Weights are averaged exponentially (Polyak and Juditsky, 1992), and the averages are evaluated: by the share of dev
    utterances with a mistake, where the later evaluation wins a tie. Returns the best dev error of each network, [G].

    Args:
        network: G networks, changed in place; ``encoder`` has their vocabulary.
        data: training utterances with gold labels.
        dev: dev utterances, ``dev_gold`` the same before they were encoded; without any, the last average is kept.
        config: steps and rates.
        seed: of the batches' order; dropout uses torch's own generator.
        on_evaluation: called with the update and the G dev errors.
        paces: separate rates, which together cover every parameter of every network; none when all learn alike.
        schedule: for an update, a factor on ``config.rate``, called just before that update; ``None`` for the one cycle
            of :class:`TrainingConfig`.
        pool: of :func:`batches`.
    """
    parameters = list(network.parameters())
    shares = {n: p.detach().chunk(network.groups) for n, p in network.named_parameters()} if paces else {}
    optimizer = torch.optim.AdamW(
        [{"params": [shares[name][g] for name, g in pace.shares]} for pace in paces] or parameters,
        config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    if schedule is None:
        rates = one_cycle(optimizer, config.updates, LAST)
    else:
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: schedule(done + 1))
    average, best = ([p.detach().clone() for p in parameters] for _ in range(2))
    errors = [float("inf")] * network.groups
    every = max(1, config.updates // config.evaluations)
    for step, rows in enumerate(batches([len(w) for w in data.words], config, seed, pool), 1):
        network.train().zero_grad()
        network.loss(data.batch(rows)).sum().backward()
        for group, pace in zip(optimizer.param_groups, paces, strict=False):  # the schedule resets them afterwards
            group["lr"] *= pace.speed(step)
        for name, own in shares.items():
            whole = network.get_parameter(name).grad  # none while it is frozen
            parts = [None] * len(own) if whole is None else whole.chunk(network.groups)
            for share, gradient in zip(own, parts, strict=True):
                share.grad = gradient
        optimizer.step()
        rates.step()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(config.average, step / (step + 10)))
        if step % every and step != config.updates:
            continue
        current = swap(parameters, average)
        answers = predict(network, encoder, dev) if dev_gold else [[]] * network.groups
        now = [mistakes(dev_gold, p) / max(len(dev_gold), 1) for p in answers]
        swap(parameters, current)
        for g, error in enumerate(now):
            if error <= errors[g]:
                errors[g] = error
                keep(best, average, g, network.groups)
        if on_evaluation:
            on_evaluation(step, now)
    swap(parameters, best)
    network.eval()
    return errors


def one_cycle(optimizer: torch.optim.Optimizer, updates: int, last: float) -> torch.optim.lr_scheduler.OneCycleLR:
    """Makes a schedule in which rates rise to a peak, then fall along a cosine (Smith, 2018).

    The peak is the rate that each group of the optimiser has now, ``last`` the first rate divided by the last. The
    rise, from a twenty-fifth of the peak, takes a tenth of the updates, and at least two, since torch divides by their
    number less one. The fall takes at least one: a shorter cycle is the beginning of one of three updates.
    """
    updates, peaks = max(3, updates), [group["lr"] for group in optimizer.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peaks, updates, pct_start=max(0.1, 2 / updates), cycle_momentum=False, final_div_factor=last
    )


def batches(lengths: Sequence[int], config: TrainingConfig, seed: int, pool: int = POOL) -> list[list[int]]:
    """Draws the rows of each update: epoch after epoch in a new order, cut at ``config.updates``.

    Args:
        lengths: tokens of each utterance, [N]; utterances of similar length share a batch.
        config: batch size and number of updates.
        seed: of the order.
        pool: batches in a pool that is sorted by length; with 1, batches are drawn at random.

    Raises:
        ValueError: when there are no rows.
    """
    if not len(lengths):
        raise ValueError("batches: no training utterances")
    generator = torch.Generator().manual_seed(seed)
    size, rows = config.batch, []
    while len(rows) < config.updates:
        order = torch.randperm(len(lengths), generator=generator).tolist()
        blurred = (torch.tensor(lengths) + BLUR * torch.rand(len(lengths), generator=generator)).tolist()
        many = pool * size
        pools = [sorted(order[i : i + many], key=blurred.__getitem__) for i in range(0, len(order), many)]
        epoch = [some[i : i + size] for some in pools for i in range(0, len(some), size)]
        rows += [epoch[k] for k in torch.randperm(len(epoch), generator=generator).tolist()]
    return rows[: config.updates]


@torch.no_grad()
def swap(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> list[Tensor]:
    """Copies ``values`` into ``parameters``, and returns the old values."""
    before = [p.detach().clone() for p in parameters]
    torch._foreach_copy_(list(parameters), list(values))
    return before


@torch.no_grad()
def keep(best: Sequence[Tensor], now: Sequence[Tensor], group: int, groups: int) -> None:
    """Copies network ``group`` from ``now`` into ``best``; a parameter's first axis holds one or two rows a network."""
    for b, n in zip(best, now, strict=True):
        b.chunk(groups)[group].copy_(n.chunk(groups)[group])
