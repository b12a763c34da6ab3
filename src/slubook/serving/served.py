"""Networks as they are served: trained, packed, and answering from its packed form.

Errors measured on these models are those their users will meet. Taught in *Your own skill*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.transfer import Start, TransferConfig, fit_starts
from slubook.ch3_elmol.contextual_training import ContextStart, fit_contextual
from slubook.corpora.utterance import Prediction, Utterance
from slubook.serving.packed import PackedSkill
from slubook.serving.packing import pack


def no_vectors(dim: int) -> VectorTable:
    """A table without words, [0, dim]: what a network without generic vectors is packed over."""
    return VectorTable("none", {}, *np.zeros((2, 0, dim), np.float16))


class _Served:
    """What packed models have in common: they answer from their packed form."""

    def _keep(self, model: DNN, below: VectorTable) -> Self:
        self.blob, self.below = pack(model.network, model.encoder, below), below
        self._skill = PackedSkill(self.blob, below)
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Intent, confidence and slots of each text."""
        return self._skill.predict(texts)

    def size_bytes(self) -> int:
        """The packed skill; the generic table is shared, not counted."""
        return len(self.blob)


@dataclass
class ServedDNN(_Served):
    """A packed network over one generic table, or over none."""

    table: VectorTable | None = None
    config: DNNConfig = field(default_factory=DNNConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Learn one skill, then pack it.

        Raises:
            ValueError: when ``train`` is empty.
        """
        model = DNN(self.table, self.config).fit(train, dev, seed)
        return self._keep(model, self.table or no_vectors(self.config.network.dim))


@dataclass
class ServedTransfer(_Served):
    """A packed network that began as :class:`Start` says; its words must move, so that it has a table to stand on."""

    start: Start
    config: TransferConfig = field(default_factory=TransferConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Learn one skill, then pack it.

        Raises:
            ValueError: when ``train`` is empty.
        """
        model = fit_starts({"only": self.start}, train, dev, seed, self.config)["only"]
        return self._keep(model, self.start.pretrained.table)


@dataclass
class ServedContextual(_Served):
    """A packed network that reads a language model, begun as
    :class:`slubook.ch3_elmol.contextual_training.ContextStart` says.

    The language model is part of the pack, since unfreezing made it this skill's own.
    """

    start: ContextStart
    config: TransferConfig = field(default_factory=TransferConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Learn one skill, then pack it.

        Raises:
            ValueError: when ``train`` is empty.
        """
        model = fit_contextual(self.start, train, dev, seed, self.config)
        return self._keep(model, self.start.pretrained.base.table)
