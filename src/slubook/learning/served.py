"""The network as it is served: trained, packed, and answering from its packed form.

Errors measured on this model are those its users will meet. Taught in *Your own skill*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from slubook.corpora.utterance import Prediction, Utterance
from slubook.learning.dnn import DNN, DNNConfig
from slubook.models.packed import PackedSkill
from slubook.models.packing import pack
from slubook.models.vectors import VectorTable


def no_vectors(dim: int) -> VectorTable:
    """A table without words, [0, dim]: what a network without generic vectors is packed over."""
    return VectorTable("none", {}, *np.zeros((2, 0, dim), np.float16))


@dataclass
class ServedDNN:
    """A packed network over one generic table, or over none."""

    table: VectorTable | None = None
    config: DNNConfig = field(default_factory=DNNConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Learn one skill, then pack it.

        Raises:
            ValueError: when ``train`` is empty.
        """
        model = DNN(self.table, self.config).fit(train, dev, seed)
        below = self.table or no_vectors(self.config.network.dim)
        self.blob = pack(model.network, model.encoder, below)
        self._skill = PackedSkill(self.blob, below)
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Intent, confidence and slots of each text."""
        return self._skill.predict(texts)

    def size_bytes(self) -> int:
        """The packed skill; the generic table is shared, not counted."""
        return len(self.blob)
