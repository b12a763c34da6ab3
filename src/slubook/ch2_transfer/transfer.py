"""Stage two of transfer: a new skill starts from what pretraining left, not at random.

A :class:`Start` says which parts move, how fast each of them may change, and when. Several starts are trained side by
side on the same batches, as banks of networks are in chapter 1. Taught in chapter 2, *Build it*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from slubook.ch1_skills.dnn import DNN, DNNConfig, single
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import POOL, Pace, TrainingConfig, train
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import LOWER, MOVABLE, Pretrained
from slubook.ch2_transfer.stacked import PARTS, StackedNetwork
from slubook.corpora.utterance import Utterance
from slubook.profiles import seed_everything

#: When parts that moved may change: always, never, or one after the other from the top (Howard and Ruder, 2018).
UNFREEZING = ("all", "frozen", "gradual")
#: What the paper moves: all but the output layers, which get the size of the new skill and start at random.
LOWER_LAYERS = ("words", *LOWER)


@dataclass(frozen=True)
class Start:
    """How one network begins, and how it may change.

    Attributes:
        pretrained: what it takes over; ``None`` for a start at random.
        parts: which of :data:`slubook.ch2_transfer.pretrained.MOVABLE` move.
        rate: a multiple of the configured learning rate, for the parts that moved.
        unfreezing: one of :data:`UNFREEZING`, for the parts that moved.
        fresh: the multiple for the parts that start at random; ``None`` for the same.
        dropout: of this network; ``None`` for the configured one.
        table: of word vectors, for a start that takes over no words.
    """

    pretrained: Pretrained | None = None
    parts: tuple[str, ...] = ()
    rate: float = 1.0
    unfreezing: str = "all"
    fresh: float | None = None
    dropout: float | None = None
    table: VectorTable | None = None

    def __post_init__(self) -> None:
        if self.unfreezing not in UNFREEZING:
            raise ValueError(f"unfreezing {self.unfreezing!r} is unknown: use {', '.join(UNFREEZING)}")
        if unknown := set(self.parts) - set(MOVABLE):
            raise ValueError(f"part {min(unknown)!r} cannot move: choose from {', '.join(MOVABLE)}")
        if self.parts and self.pretrained is None:
            raise ValueError("parts move from a pretrained network: give one, or no parts")
        if self.table and "words" in self.parts:
            raise ValueError("words move with the table of the pretrained network: give no other one")

    @property
    def vectors(self) -> VectorTable | None:
        """Returns the table of its words: the source's where they move, else its own or none."""
        return self.pretrained.table if self.pretrained and "words" in self.parts else self.table

    def speed(self, part: str, progress: float) -> float:
        """Returns the multiple of the configured rate for ``part`` at ``progress`` in (0, 1] of the training.

        With gradual unfreezing, the highest moved part learns from the start and the next ones follow at equal
        distances, so that all learn before half of the training.
        """
        if part not in self.parts:
            return self.rate if self.fresh is None else self.fresh
        if self.unfreezing == "all":
            return self.rate
        if self.unfreezing == "frozen":
            return 0.0
        order = [p for p in reversed(MOVABLE) if p in self.parts]
        return self.rate if progress >= 0.5 * order.index(part) / len(order) else 0.0


@dataclass(frozen=True)
class TransferConfig:
    """Chapter 2's network for a new skill, and its training; ``dim`` is that of the pretrained word table."""

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(dim=96, layers=3, word_dropout=0.5))
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(updates=400))

    def lasting(self, updates: int) -> Self:
        """Returns the same for another number of updates."""
        return replace(self, training=replace(self.training, updates=updates))

    @property
    def alike(self) -> tuple[NetworkConfig, TrainingConfig]:
        """Returns what networks that are trained side by side have in common: all but dropout."""
        return replace(self.network, dropout=0.0), self.training


@dataclass(frozen=True)
class Recipe(TransferConfig):
    """How one method is trained: its network and training, and rates and unfreezing of its :class:`Start`."""

    rate: float = 1.0
    unfreezing: str = "all"
    fresh: float | None = None

    def start(self, pretrained: Pretrained | None, parts: Sequence[str] = ()) -> Start:
        """Returns a start by this recipe that takes over ``parts``."""
        return Start(pretrained, tuple(parts), self.rate, self.unfreezing, self.fresh, self.network.dropout)


def banks(
    starts: Mapping[str, Start], recipes: Mapping[str, TransferConfig]
) -> list[tuple[TransferConfig, dict[str, Start]]]:
    """Groups starts that can be trained side by side: alike in all but dropout, and reading the same characters."""
    found: list[tuple[tuple, TransferConfig, dict[str, Start]]] = []
    for name, start in starts.items():
        alike = recipes[name].alike, start.pretrained and start.pretrained.characters
        bank = next((bank for known, _, bank in found if known == alike), None)
        if bank is None:
            found.append((alike, recipes[name], bank := {}))
        bank[name] = start
    return [(config, bank) for _, config, bank in found]


def fit_starts(
    starts: Mapping[str, Start],
    train_set: Sequence[Utterance],
    dev: Sequence[Utterance],
    seed: int,
    config: TransferConfig | None = None,
    on_evaluation: Callable[[int, list[float]], None] | None = None,
    schedule: Callable[[int], float] | None = None,
    pool: int = POOL,
) -> dict[str, DNN]:
    """Trains one network a start, all at once on the same batches; the names of ``starts`` name the results.

    Args:
        starts: at random or from a pretrained network; all from networks with the same characters.
        train_set: of the new skill.
        dev: chooses the evaluation whose weights are kept.
        seed: of initial weights, batches and dropout.
        config: sizes and training.
        on_evaluation, schedule, pool: of :func:`slubook.ch1_skills.training.train`.

    Raises:
        ValueError: when ``train_set`` is empty, or two pretrained networks have other characters.
    """
    config = config or TransferConfig()
    seed_everything(seed, threads=1)
    encoder = Encoder(train_set, config.network.ngram_order, _characters(starts))
    tables, usual = [start.vectors for start in starts.values()], config.network.dropout
    dropout = [usual if start.dropout is None else start.dropout for start in starts.values()]
    network = StackedNetwork(encoder, config.network, [t is None for t in tables], dropout)
    for group, start in enumerate(starts.values()):
        if start.pretrained:
            start.pretrained.carry_over(network, group, encoder, start.parts)
    data, held = (encoder.encode_gold(part, tables, config.network.dim) for part in (train_set, dev))
    paces = _paces(list(starts.values()), config.training.updates)
    train(network, encoder, data, held, dev, config.training, seed, on_evaluation, paces, schedule, pool)
    models = {}
    for group, (name, table) in enumerate(zip(starts, tables, strict=True)):
        model = DNN(table, DNNConfig(config.network, config.training))
        model.encoder, model.network = encoder, single(network, encoder, group, table is None)
        models[name] = model
    return models


def _characters(starts: Mapping[str, Start]) -> dict[str, int] | None:
    found = [s.pretrained.characters for s in starts.values() if s.pretrained]
    if any(f != found[0] for f in found):
        raise ValueError("two pretrained networks read other characters: train them in banks of their own")
    return found[0] if found else None


def _paces(starts: Sequence[Start], updates: int) -> list[Pace]:
    """Returns the pace of each part of each network; none when all parts of all change alike."""
    alike: dict[tuple, list[tuple[str, int]]] = defaultdict(list)  # each is a group of the optimiser
    for network, start in enumerate(starts):
        for part, names in PARTS.items():
            waits = start.unfreezing != "all" and part in start.parts
            alike[(network, part) if waits else float(start.speed(part, 1.0))] += [(name, network) for name in names]
    if list(alike) == [1.0]:
        return []
    return [Pace(shares, _speed(starts, key, updates)) for key, shares in alike.items()]


def _speed(starts: Sequence[Start], key: tuple[int, str] | float, updates: int) -> Callable[[int], float]:
    if isinstance(key, float):
        return lambda update: key
    network, part = key
    return lambda update: starts[network].speed(part, update / updates)
