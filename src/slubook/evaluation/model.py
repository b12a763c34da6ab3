"""Says what every model of the book can do: learn from a few utterances, answer new ones, tell its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

from slubook.corpora.utterance import Prediction, Utterance


@runtime_checkable
class NLUModel(Protocol):
    """Intent and slots for one skill. Taught in chapter 1."""

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int) -> Self:
        """Learns from ``train``; chooses among settings or epochs on ``dev`` only."""
        ...

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Returns one prediction a text, in order."""
        ...

    def size_bytes(self) -> int:
        """Counts what a private copy of the learned parameters weighs."""
        ...
