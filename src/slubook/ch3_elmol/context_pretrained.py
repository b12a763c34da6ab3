"""What supervised pretraining leaves for a new skill whose network reads an embedding.

Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import Tensor

from slubook.ch1_skills.encoding import Encoder
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.contextual import ContextualNetwork, Embedding
from slubook.experiments import kept
from slubook.files import replaced_folder

#: What a network does with an embedding.
READING = ("mix.weights", "mix.gamma", "context.weight", "context.bias")


@dataclass
class ContextPretrained:
    """A pretrained network without the labels it was trained on.

    Attributes:
        base: the network's lower parts and the words of its source.
        embedding: as pretraining left it; a language model may have been tuned.
        reading: the parameters named in :data:`READING`.
    """

    base: Pretrained
    embedding: Embedding
    reading: dict[str, Tensor]

    @property
    def about(self) -> dict[str, Any]:
        """What it was trained on and how."""
        return self.base.about

    @torch.no_grad()
    def carry_over(self, network: ContextualNetwork, encoder: Encoder, parts: Collection[str]) -> None:
        """Put ``parts`` of the base, and how the embedding is read, into a network that was built over the embedding.

        Raises:
            ValueError: as :meth:`slubook.ch2_transfer.pretrained.Pretrained.carry_over` does.
        """
        self.base.carry_over(network, 0, encoder, parts)
        for name, value in self.reading.items():
            network.get_parameter(name).copy_(value)

    def save(self, folder: Path) -> None:
        """Write everything but a table of word vectors, which is kept elsewhere; aside first, then renamed."""
        with replaced_folder(folder) as draft:
            self.base.save(draft / "base")
            kept.write_weights(draft / "reading.safetensors", self.reading)
            if isinstance(self.embedding, BiLM):
                self.embedding.save(draft / "reader")

    @classmethod
    def load(cls, folder: Path, embedding: Embedding) -> Self:
        """What :meth:`save` wrote.

        Args:
            folder: where it lies.
            embedding: what it was trained over; a language model is read as it was tuned.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged or of another format.
        """
        base = Pretrained.load(folder / "base")
        with kept.reading(folder, "pretrained network"):
            found = load_file(folder / "reading.safetensors")
            reading = {name: found[name] for name in READING}
        return cls(base, BiLM.load(folder / "reader") if isinstance(embedding, BiLM) else embedding, reading)
