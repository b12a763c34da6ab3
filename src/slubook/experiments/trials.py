"""What tuning tries: where the search for each method's settings starts, and its rounds of trials.

A round is a list of settings that were decided on together, and the draws that they are tried on. Rounds 1 and 2
are random search (Bergstra and Bengio, 2012) on one draw: ten trials for each of four methods. Rounds 3 and 4 are
for the linear models only, on three draws each, so that the baseline and the control that could explain the networks'
gain away are tuned harder than the networks, not less hard. Round 3 tries the standing MaxEnt-CRF again with
four changes that its first rounds suggested, and seven clusterings; round 4 three changes to the best clustering.
Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.offtheshelf import FastTextIntentConfig, SpacyConfig
from slubook.ch1_skills.training import TrainingConfig

#: Draws that no published run uses.
SEEDS = (1000, 1001, 1002)
#: Settings of one trial that differ from the start; a dotted name reaches into a part.
Changes = Mapping[str, Any]
Space = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Round:
    """Settings that were decided on together.

    Attributes:
        number: 1 and 2 are random search, later ones were made by hand from what came before.
        seeds: the draws that each of them is tried on.
        trials: the settings, as changes to the start.
    """

    number: int
    seeds: tuple[int, ...]
    trials: tuple[Changes, ...]


@dataclass(frozen=True)
class ClusterConfig:
    """MaxEnt-CRF with word clusters: how many clusters in each clustering, and the linear model's own settings."""

    grains: tuple[int, ...]
    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)


SPACES: dict[str, Space] = {
    "maxent_crf": {
        "order": (2, 3),
        "window": (1, 2, 3),
        "inverse_l2": ((1.0, 4.0, 16.0), (4.0, 16.0, 64.0), (0.5, 2.0, 8.0)),
        "l1_l2": (
            ((0.0, 0.05), (0.05, 0.02), (0.2, 0.01)),
            ((0.0, 0.01), (0.0, 0.1), (0.1, 0.1)),
            ((0.02, 0.005), (0.1, 0.01), (0.4, 0.01)),
        ),
        "max_iterations": (80, 120, 200),
    },
    "dnn": {
        "network.hidden": (48, 64, 96),
        "network.dropout": (0.3, 0.4, 0.5),
        "network.word_dropout": (0.1, 0.25, 0.5),
        "network.vector_norm": (2.0, 4.0, 8.0),
        "network.ngram_order": (0, 2),
        "training.rate": (3e-3, 5e-3, 8e-3),
        "training.batch": (16, 32),
        "training.updates": (200, 300, 400),
    },
    "spacy": {
        "width": (64, 96),
        "dropout": (0.1, 0.2, 0.35),
        "rate": (2e-3, 4e-3, 8e-3),
        "epochs": (16, 24),
    },
    "fasttext": {
        "dim": (25, 50, 100),
        "word_ngrams": (1, 2, 3),
        "buckets": (5_000, 20_000, 100_000),
    },
}  # fmt: skip
#: Where the second round looks, when that is not where the first did: short trainings had not converged.
SECOND: dict[str, Space] = {
    "dnn": {
        "network.dropout": (0.4, 0.5),
        "network.word_dropout": (0.25, 0.5),
        "training.rate": (5e-3, 1e-2, 1.5e-2),
        "training.batch": (16, 32),
        "training.updates": (400, 600),
    },
}
#: The linear model's settings after the first two rounds.
STANDING: Changes = {
    "order": 2, "window": 2, "inverse_l2": (4.0, 16.0, 64.0), "l1_l2": ((0.0, 0.05), (0.05, 0.02), (0.2, 0.01)),
    "max_iterations": 200,
}  # fmt: skip
#: Weaker regularisations of the intents, and one more to choose from for the slots.
LONGER: Changes = {
    "inverse_l2": (8.0, 32.0, 128.0), "l1_l2": ((0.0, 0.05), (0.05, 0.02), (0.2, 0.01), (0.02, 0.005)),
}  # fmt: skip
#: Where each search starts; the defaults of the package are where it ended.
START: dict[str, Any] = {
    "maxent_crf": MaxEntConfig(
        order=3, window=2, inverse_l2=(1.0, 4.0, 16.0), l1_l2=((0.0, 0.05), (0.05, 0.02), (0.2, 0.01)),
        max_iterations=120,
    ),
    "maxent_crf_clusters": ClusterConfig((300,), MaxEntConfig(**STANDING)),
    "dnn": DNNConfig(
        NetworkConfig(hidden=64, dropout=0.4, word_dropout=0.25, vector_norm=4.0, ngram_order=2),
        TrainingConfig(rate=5e-3, batch=16, updates=400),
    ),
    "spacy": SpacyConfig(width=64, dropout=0.2, rate=4e-3, epochs=16),
    "fasttext": FastTextIntentConfig(dim=50, word_ngrams=2, buckets=20_000),
}  # fmt: skip


def _random(method: str) -> tuple[Round, Round]:
    """Rounds 1 and 2: the start and five random settings, then four more; the same at every call."""
    first, second = random.Random(f"tuning {method}"), random.Random(f"second round {method}")
    space, later = SPACES[method], SECOND.get(method, SPACES[method])
    return (
        Round(1, SEEDS[:1], ({}, *({k: first.choice(list(v)) for k, v in space.items()} for _ in range(5)))),
        Round(2, SEEDS[:1], tuple({k: second.choice(list(v)) for k, v in later.items()} for _ in range(4))),
    )


ROUNDS: dict[str, tuple[Round, ...]] = {
    "maxent_crf": (
        *_random("maxent_crf"),
        Round(3, SEEDS, (
            STANDING,
            {**STANDING, "inverse_l2": (16.0, 64.0, 256.0)},
            {**STANDING, "l1_l2": ((0.0, 0.02), (0.02, 0.01), (0.1, 0.005))},
            {**STANDING, **LONGER},
            {**STANDING, "window": 3},
        )),
    ),
    "maxent_crf_clusters": (
        Round(3, SEEDS, (
            {},
            {"grains": (100,)},
            {"grains": (1000,)},
            {"grains": (50, 300)},
            {"grains": (100, 1000)},
            {"grains": (50, 200, 1000)},
            {"grains": (200, 2000)},
        )),
        Round(4, SEEDS, (
            {"grains": (100, 1000), "maxent.window": 3},
            {"grains": (100, 1000), "maxent.order": 3},
            {"grains": (100, 1000), **{f"maxent.{name}": values for name, values in LONGER.items()}},
        )),
    ),
    **{method: _random(method) for method in ("dnn", "spacy", "fasttext")},
}  # fmt: skip


def configured(method: str, changes: Changes) -> Any:
    """The method's first configuration with ``changes``."""
    return changed(START[method], changes)


def changed(config: Any, changes: Changes) -> Any:
    """A configuration, a dataclass of settings and of parts with settings, with ``changes``."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        part, _, setting = name.rpartition(".")
        parts.setdefault(part, {})[setting] = value
    own = parts.pop("", {})
    return replace(config, **own, **{part: replace(getattr(config, part), **new) for part, new in parts.items()})


def clearly_better(challenger: Mapping[str, Any], stands: Mapping[str, Any]) -> bool:
    """Whether a trial has less dev error than another by more than two standard errors of the paired difference."""
    gains = np.subtract(stands["errors"], challenger["errors"])
    return bool(gains.mean() > 2 * gains.std(ddof=1) / len(gains) ** 0.5)
