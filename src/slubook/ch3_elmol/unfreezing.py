"""Decides when a pretrained embedding may learn: frozen first, then unfrozen slowly, from its highest layer down.

The rule, *slowly*: a loss is watched at regular intervals, on a new skill that of the dev utterances, in pretraining
that of the batches since the last look. The network *begins to converge* at the first look at which that loss is not at
least ``slack`` lower than the best before, and at the latest after ``latest`` of the training; a new skill without dev
utterances, just then. Then the highest layer of the embedding is unfrozen, and one more at each further look. Layers
learn at reduced rates, the lower the less. A layer begins as a network does: over ``rise`` of the training, its rate
climbs from zero, since an optimiser that knows nothing of a weight yet takes a full step in whatever direction.

The other schedules are its controls, with equally many updates: *frozen* for ever; *at once*, layer by layer at reduced
rates as well, but from the start; and that of Howard and Ruder (2018, arXiv 1801.06146), *gradual*: every layer of the
whole network waits, one more is unfrozen an epoch from the top, each learns 2.6 times slower than the one above, and
the rate is a slanted triangle. Taught in chapter 3, *When it may learn*.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from slubook.ch1_skills.training import LAST, Pace, one_cycle
from slubook.ch2_transfer.stacked import PARTS
from slubook.ch3_elmol.contextual import ContextualNetwork

SCHEDULES = ("slowly", "frozen", "at_once", "gradual")
#: The network's own layers from the top; the embedding's are below.
LAYERS = (("heads",), ("tagger", "classifier"), ("common",), ("words", "characters", "context"))
#: How much slower a layer learns than the one above it, in Howard and Ruder's schedule.
DISCRIMINATION = 2.6
#: Their slanted triangle: the share of updates in which the rate rises, and how many times higher its peak is.
CUT, RATIO = 0.1, 32


@dataclass(frozen=True)
class UnfreezingConfig:
    """A schedule; see above.

    Attributes:
        how: one of :data:`SCHEDULES`.
        slack: the relative fall of the loss from look to look that counts as not yet converging.
        latest: the share of the training after which the highest layer is unfrozen in any case.
        reduced: the rate of the embedding's highest layer, as a multiple of the network's.
        lower: the rate of each layer as a multiple of the one above.
        rise: the share of the training in which the rate of a layer that was unfrozen on the way climbs from zero.
    """

    how: str = "slowly"
    slack: float = 0.1
    latest: float = 0.5
    reduced: float = 0.5
    lower: float = 0.4
    rise: float = 0.05

    def __post_init__(self) -> None:
        if self.how not in SCHEDULES:
            raise ValueError(f"schedule {self.how!r} is unknown: use {', '.join(SCHEDULES)}")

    def rates(self, parts: int) -> list[float]:
        """Returns the rate of each part of an embedding, the highest first, as a multiple of the network's."""
        return [self.reduced * self.lower**depth for depth in range(parts)]


class Unfreezing:
    """A schedule at work on one network: it freezes the embedding, and unfreezes its layers when the time has come.

    Attributes:
        since: the progress, in [0, 1], at which each layer of the embedding was unfrozen, from the highest.
        triangle: the factor on the learning rate at an update, where the schedule has one of its own.
    """

    triangle: Callable[[int], float] | None = None

    def __init__(self, network: ContextualNetwork, config: UnfreezingConfig, updates: int) -> None:
        self.network, self.config, self.updates = network, config, updates
        self.parts = len(network.embedding.parts())
        self.rates, self.best = config.rates(self.parts), math.inf
        self.since = [0.0] * (self.parts if config.how == "at_once" else 0)
        network.unfreeze(len(self.since))

    @property
    def watches(self) -> bool:
        """Returns whether a loss still makes a difference."""
        return self.config.how == "slowly" and len(self.since) < self.parts

    def look(self, loss: float, update: int) -> None:
        """Takes note of a loss after ``update``, and unfreezes one more layer if it is time and updates are left."""
        progress = update / self.updates
        converging = loss > (1 - self.config.slack) * self.best or progress >= self.config.latest
        if self.watches and (self.since or converging) and update < self.updates:
            self.since.append(progress)
            self.network.unfreeze(len(self.since))
        self.best = min(self.best, loss)

    def speed(self, part: str, update: int) -> float:
        """Returns how fast a part of the network changes, as a multiple of the rate; see :func:`paces_of`."""
        if not part.startswith("embedding"):
            return 1.0
        layer = int(part.split()[1])
        if layer >= len(self.since):
            return 0.0
        begun, rise = self.since[layer], self.config.rise
        return self.rates[layer] * (min(1.0, (update / self.updates - begun) / rise) if begun and rise else 1.0)


class Gradual(Unfreezing):
    """Howard and Ruder's schedule at work; an epoch is ``per_epoch`` of the updates."""

    def __init__(self, network: ContextualNetwork, config: UnfreezingConfig, updates: int, per_epoch: int) -> None:
        super().__init__(network, config, updates)
        self.per_epoch, self.triangle = per_epoch, self._triangle
        self.layers = [*LAYERS, *((f"embedding {k}",) for k in range(self.parts))]

    def _triangle(self, update: int) -> float:
        """Returns the factor just before an update, and unfreezes the embedding's layers that are due."""
        free = min(self.parts, (update - 1) // self.per_epoch + 1 - len(LAYERS))
        while len(self.since) < free and update <= self.updates:
            self.since.append((update - 1) / self.updates)
            self.network.unfreeze(len(self.since))
        peak = max(1, int(CUT * self.updates))
        p = update / peak if update < peak else 1 - (update - peak) / max(1, self.updates - peak)
        return (1 + p * (RATIO - 1)) / RATIO

    def speed(self, part: str, update: int) -> float:
        """Returns how fast a part of the network changes: not before its epoch, then the slower the lower it is."""
        layer = next(k for k, parts in enumerate(self.layers) if part in parts)
        return DISCRIMINATION**-layer if (update - 1) // self.per_epoch >= layer else 0.0


def paces_of(network: ContextualNetwork, speed: Callable[[str, int], float]) -> list[Pace]:
    """Returns the pace of each part of a network, for :func:`slubook.ch1_skills.training.train`.

    Parts are those of :data:`slubook.ch2_transfer.stacked.PARTS`, ``context``, and ``embedding 0``, the embedding's
    highest part, and so on; ``speed`` takes a part and an update.
    """
    part_of = {name: part for part, names in PARTS.items() for name in names}
    below = {id(p): f"embedding {k}" for k, part in enumerate(network.embedding.parts()) for p in part}
    shares: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        shares[below.get(id(parameter)) or part_of.get(name, "context")].append((name, 0))
    return [Pace(names, partial(speed, part)) for part, names in shares.items()]


def unfreezing_of(network: ContextualNetwork, config: UnfreezingConfig, updates: int, per_epoch: int) -> Unfreezing:
    """Returns the schedule of a configuration at work; ``per_epoch`` counts the updates of an epoch."""
    if config.how == "gradual":
        return Gradual(network, config, updates, per_epoch)
    return Unfreezing(network, config, updates)


def rates_of(
    network: ContextualNetwork, config: UnfreezingConfig, updates: int, per_epoch: int, losses: Mapping[int, float]
) -> dict[str, list[float]]:
    """Returns each layer's rate at every update, as a multiple of the configured one, 0 if frozen; trains nothing.

    The embedding of ``network`` is left as the schedule leaves it at its end.

    Args:
        network, config, updates, per_epoch: as for :func:`unfreezing_of`.
        losses: the watched loss after some of the updates.

    Returns:
        For each of :data:`LAYERS` its first part's rates, then those of ``embedding 0`` and so on, [updates] each.
    """
    unfreezing = unfreezing_of(network, config, updates, per_epoch)
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    cycle = one_cycle(optimizer, updates, LAST)
    parts = [*(layer[0] for layer in LAYERS), *(f"embedding {k}" for k in range(unfreezing.parts))]
    found: dict[str, list[float]] = {part: [] for part in parts}
    for update in range(1, updates + 1):
        rate = unfreezing.triangle(update) if unfreezing.triangle else optimizer.param_groups[0]["lr"]
        for part, rates in found.items():
            rates.append(rate * unfreezing.speed(part, update))
        optimizer.step()
        cycle.step()
        if update in losses:
            unfreezing.look(losses[update], update)
    return found
