"""Judges models on one cell: trained on one draw of one skill, timed, and asked about the same test utterances.

Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from slubook.corpora.dedupe import near_duplicates
from slubook.corpora.utterance import Prediction, Utterance, words
from slubook.evaluation.metrics import Outcomes, outcomes
from slubook.evaluation.model import NLUModel
from slubook.experiments.records import Row

TIMED = 20  # utterances answered one at a time, for the latency


@dataclass(frozen=True)
class Cell:
    """One draw of one skill."""

    skill: str
    size: int
    seed: int
    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]

    @property
    def draw(self) -> tuple[Sequence[Utterance], Sequence[Utterance], int]:
        """Returns what a model is trained with: training set, dev set and seed."""
        return self.train, self.dev, self.seed


@dataclass
class Bench:
    """Judges one method after the other on a cell, and keeps a row of each."""

    cell: Cell
    rows: list[Row] = field(default_factory=list)

    @cached_property
    def slices(self) -> dict[str, np.ndarray]:
        """Returns the :func:`slices_of` the cell."""
        return slices_of(self.cell)

    def keep(self, method: str, measured: Outcomes, costs: tuple[float, float, int], **figures: float) -> None:
        """Keeps a row; ``costs`` are seconds of training, milliseconds an answer, and bytes."""
        c = self.cell
        self.rows.append(Row(c.skill, method, c.size, c.seed, measured, *costs, self.slices, figures))

    def judge(self, method: str, model: NLUModel, train_s: float, **figures: float) -> list[Prediction]:
        """Asks a trained model about the test utterances, and times a few of them one by one."""
        predictions = model.predict([u.text for u in self.cell.test])
        costs = (train_s, latency_ms(model, self.cell.test), model.size_bytes())
        self.keep(method, outcomes(self.cell.test, predictions), costs, **figures)
        return predictions

    def learn(self, method: str, make: Callable[[], NLUModel]) -> list[Prediction]:
        """Trains a model on the cell, and judges it."""
        return self.learn_together(lambda: {method: make().fit(*self.cell.draw)})[method]

    def learn_together(
        self, train: Callable[[], Mapping[str, NLUModel]], **figures: float
    ) -> dict[str, list[Prediction]]:
        """Trains several models side by side, and judges each; each is given an equal share of the seconds."""
        start = time.perf_counter()
        models = train()
        share = (time.perf_counter() - start) / len(models)
        return {method: self.judge(method, model, share, **figures) for method, model in models.items()}


def slices_of(cell: Cell) -> dict[str, np.ndarray]:
    """Returns parts of the test set that are judged by themselves too, [N] bool each.

    ``unseen`` utterances have a word that no training utterance has, ``seen`` have none such; ``fresh`` ones
    do not nearly repeat a training utterance (:func:`slubook.corpora.dedupe.near_duplicates`).
    """
    known = {w for u in cell.train for w in words(u.text)}
    unseen = np.array([any(w not in known for w in words(u.text)) for u in cell.test])
    near = near_duplicates([u.text for u in cell.test], [u.text for u in cell.train])
    return {"unseen": unseen, "seen": ~unseen, "fresh": ~near}


def latency_ms(model: NLUModel, test: Sequence[Utterance]) -> float:
    """Measures the median time to answer one utterance, in milliseconds, over the first few of ``test``."""
    times = []
    for u in test[:TIMED]:
        start = time.perf_counter()
        model.predict([u.text])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times)) if times else 0.0
