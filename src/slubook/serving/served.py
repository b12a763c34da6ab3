"""Serves networks of every chapter: trained, packed, and answering from the pack.

Errors measured on these models are those that their users will meet. Taught in *Your own skill*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import Network
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.stacked import StackedNetwork
from slubook.ch2_transfer.transfer import Start, TransferConfig, fit_starts
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.contextual import ContextualNetwork
from slubook.ch3_elmol.contextual_training import ContextStart, fit_contextual
from slubook.corpora.utterance import Prediction, Utterance
from slubook.serving.packed import PackedSkill, StoreError
from slubook.serving.packing import BITS, encode, pack

#: Every matrix of a language model keeps eight bits: what it reads is passed on through all layers above it.
READER_BITS = 8


def pack_network(network: Network, encoder: Encoder, table: VectorTable, bits: Mapping[str, int] = BITS) -> bytes:
    """Returns the blob of a network of any chapter; see :func:`slubook.serving.packing.pack`.

    Raises:
        StoreError: as there; and when the network reads another embedding than a language model.
    """
    facts, added = {"stacked": True} if isinstance(network, StackedNetwork) else {}, {}
    if isinstance(network, ContextualNetwork):
        if not isinstance(network.embedding, BiLM):
            raise StoreError("a network with an embedding of word vectors cannot be packed: give it a language model")
        facts["reader"], plain, matrices = network.reader_parts()
        added = encode(plain, matrices, lambda _: READER_BITS, "reader.")
    return pack(network, encoder, table, bits, facts, added)


def no_vectors(dim: int) -> VectorTable:
    """Returns a table without words, [0, dim], over which a network without generic vectors is packed."""
    return VectorTable("none", {}, *np.zeros((2, 0, dim), np.float16))


@dataclass
class Served:
    """A model that answers from its pack."""

    train: Callable[[Sequence[Utterance], Sequence[Utterance], int], DNN]  # of a training set, a dev set and a seed
    table: VectorTable  # the generic table that it is packed over
    blob: bytes = b""  # the packed skill

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Trains a network for one skill, then packs it; raises ValueError when ``train`` is empty."""
        model = self.train(train, dev, seed)
        self.blob = pack_network(model.network, model.encoder, self.table)
        self._skill = PackedSkill(self.blob, self.table)
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Returns intent, confidence and slots of each text."""
        return self._skill.predict(texts)

    def size_bytes(self) -> int:
        """Returns the bytes of the packed skill; the generic table is shared, not counted."""
        return len(self.blob)


def served_dnn(table: VectorTable | None, config: DNNConfig) -> Served:
    """Returns chapter 1's network, to be served over one generic table, or over none."""
    return Served(DNN(table, config).fit, table or no_vectors(config.network.dim))


def served_transfer(start: Start, config: TransferConfig) -> Served:
    """Returns chapter 2's network with a start, to be served; its words must move, so that it has a table."""
    return Served(lambda *given: fit_starts({"one": start}, *given, config)["one"], start.pretrained.table)


def served_contextual(start: ContextStart, config: TransferConfig) -> Served:
    """Returns chapter 3's network, to be served with its language model, which unfreezing made this skill's own."""
    return Served(lambda *given: fit_contextual(start, *given, config), start.pretrained.base.table)
