"""The training loop: several networks of one skill at once, the best epoch of each kept by dev error.

Taught in chapter 1, *Build it*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slubook.ch1_skills.encoding import Encoded, Encoder
from slubook.ch1_skills.network import Network
from slubook.corpora.bio import from_bio
from slubook.corpora.utterance import Prediction, Utterance
from slubook.evaluation.metrics import mistakes

#: Batches are cut from pools of this many, sorted by length, so that short utterances are not padded to long ones;
#: lengths are blurred by up to so many tokens, so that a batch is not all of one sentence pattern.
POOL, BLUR = 4, 4.0
#: How many times less than the first rate of the cycle the last one is.
LAST = 20


@dataclass(frozen=True)
class TrainingConfig:
    """Steps and rates. The learning rate rises for a tenth of the updates, then falls along a cosine."""

    rate: float = 5e-3
    batch: int = 16
    updates: int = 600
    weight_decay: float = 0.01
    average: float = 0.98
    evaluations: int = 10


@dataclass(frozen=True)
class Pace:
    """A rate of their own for some parameters of some networks of a bank.

    Attributes:
        shares: parameters by name, each with the network whose share of it is meant.
        speed: for an update, from 1, a factor on the learning rate; 0 freezes.
    """

    shares: Sequence[tuple[str, int]]
    speed: Callable[[int], float]


@torch.no_grad()
def predict(network: Network, encoder: Encoder, encoded: Encoded, batch: int = 64) -> list[list[Prediction]]:
    """What each of the G networks says of the encoded utterances: G lists of predictions."""
    network.eval()
    answers: list[list[Prediction]] = [[] for _ in range(network.groups)]
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
                out.append(Prediction(encoder.intents[int(intent[g, i])], slots, float(top[g, i])))
    back = sorted(range(len(order)), key=order.__getitem__)
    return [[out[i] for i in back] for out in answers]


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
    """Train all G networks for a fixed number of updates; each ends with its own best averaged weights.

    Weights are averaged exponentially along the way (Polyak and Juditsky, 1992), and the average is what is
    evaluated: the share of dev utterances with a mistake, ties broken by the later evaluation.

    Args:
        network: G networks, changed in place.
        encoder: their vocabulary.
        data: training utterances with gold labels.
        dev: dev utterances; without any, the last average is kept.
        dev_gold: the same dev utterances.
        config: steps and rates.
        seed: of the batches' order; dropout follows torch's own generator.
        on_evaluation: called with the update and the G dev errors.
        paces: which networks' shares of which parameters learn at a rate of their own, all of them together; none
            when all learn alike.
        schedule: for an update, a factor on ``config.rate``, asked for just before that update; ``None`` for the
            one cycle of :class:`TrainingConfig`.
        pool: of :func:`batches`.

    Returns:
        The best dev error of each network, [G].
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
    average = [p.detach().clone() for p in parameters]
    best = [p.clone() for p in average]
    errors = [float("inf")] * network.groups
    every = max(1, config.updates // config.evaluations)
    for step, rows in enumerate(batches([len(w) for w in data.words], config, seed, pool), 1):
        network.train()
        network.zero_grad()
        network.loss(data.batch(rows)).sum().backward()
        set_paces(optimizer, paces, step)
        for name, own in shares.items():
            whole = network.get_parameter(name).grad  # none while the parameter is frozen
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
    """A schedule in which the optimiser's rates are the peaks: up to it, then down along a cosine (Smith, 2018).

    The way up, from a twenty-fifth of the peak, takes a tenth of the updates, and two at the least: torch divides by
    its length less one. The way down takes one at the least: a shorter cycle is the beginning of one of three.

    Args:
        optimizer: the rate of each of its groups is that group's peak.
        updates: in all.
        last: how many times less than the first rate the last one is.
    """
    updates, peaks = max(3, updates), [group["lr"] for group in optimizer.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peaks, updates, pct_start=max(0.1, 2 / updates), cycle_momentum=False, final_div_factor=last
    )


def set_paces(optimizer: torch.optim.Optimizer, paces: Sequence[Pace], update: int) -> None:
    """Multiply the rate of each of the optimiser's groups, one a pace, for one update; schedules set it anew."""
    for group, pace in zip(optimizer.param_groups, paces, strict=False):
        group["lr"] *= pace.speed(update)


def batches(lengths: Sequence[int], config: TrainingConfig, seed: int, pool: int = POOL) -> list[list[int]]:
    """The rows of each update: epoch after epoch in a fresh order, cut at ``config.updates``.

    Args:
        lengths: tokens of each utterance, [N]; utterances of like length share a batch.
        config: batch size and number of updates.
        seed: of the order.
        pool: batches are cut from pools of this many; 1 leaves it to chance who shares a batch.

    Raises:
        ValueError: when there are no rows to cut.
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
    """Put ``values`` into ``parameters`` and return what stood there."""
    before = [p.detach().clone() for p in parameters]
    torch._foreach_copy_(list(parameters), list(values))
    return before


@torch.no_grad()
def keep(best: Sequence[Tensor], now: Sequence[Tensor], group: int, groups: int) -> None:
    """Copy network ``group`` from ``now`` into ``best``; a parameter's first axis holds one or two rows a network."""
    for b, n in zip(best, now, strict=True):
        share = n.shape[0] // groups
        part = slice(group * share, (group + 1) * share)
        b[part] = n[part]
