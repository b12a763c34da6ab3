"""What pretraining leaves for a new skill: the network's lower parts, word vectors, and heads by name.

Taught in chapter 2, *Build it*.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.stacked import PARTS, NamedHeads, StackedNetwork
from slubook.experiments import kept
from slubook.files import replaced_folder

#: Parts that a new skill takes over as they are. Its words come with the table, its heads from label names.
LOWER = ("characters", "common", "tagger", "classifier")
#: Settings that a network must share with the pretrained one to take them over.
_SIZES = ("project", "char_dim", "char_filters", "hidden", "vector_norm", "correction")
#: Everything that can move.
MOVABLE = ("words", *LOWER, "heads")


@dataclass
class Pretrained:
    """A pretrained network without the labels it was trained on.

    Attributes:
        config: of the networks that take it over; their words are as wide as the table.
        table: the difference of each of the source's words from an unknown one, [V, project], as a generic table.
        characters: rows of the characters.
        weights: the lower parts by parameter name, one network's, and the ``unknown`` word, [1, project].
        heads: weights of the words in label names.
        about: what it was trained on and how, for people and stamps.
    """

    config: NetworkConfig
    table: VectorTable
    characters: dict[str, int]
    weights: dict[str, Tensor]
    heads: NamedHeads
    about: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def carry_over(self, network: StackedNetwork, group: int, encoder: Encoder, parts: Collection[str]) -> None:
        """Puts ``parts`` of :data:`MOVABLE` into network ``group``; the others stay as they were initialised.

        Raises:
            ValueError: for an unknown part, another size, or an encoder with other characters where they move.
        """
        if unknown := set(parts) - set(MOVABLE):
            raise ValueError(f"part {min(unknown)!r} cannot move: choose from {', '.join(MOVABLE)}")
        for name in _SIZES + (("dim",) if "words" in parts else ()):
            has, needs = (getattr(c, name) for c in (network.config, self.config))
            if parts and has != needs:
                raise ValueError(f"the network has {name} {has}, the pretrained one {needs}: configure it alike")
        if "characters" in parts and encoder.characters != self.characters:
            raise ValueError("the encoder has other characters than the pretrained network: build it with its own")
        if "words" in parts:  # the table holds finished representations: pass them on as they are
            network.project.weight[group] = torch.eye(self.config.project)
            network.project.bias[group] = self.weights["unknown"]
        for part in LOWER:
            if part in parts:
                for name in PARTS[part]:
                    network.rows(name, group).copy_(self.weights[name])
        if "heads" in parts:
            self.heads.write(network, group, encoder.tags, encoder.intents)

    def save(self, folder: Path) -> None:
        """Writes everything as safetensors, NumPy arrays and JSON, into a draft that then replaces the folder."""
        heads = {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
        facts = {
            "config": asdict(self.config),
            "characters": self.characters,
            "tag_words": list(self.heads.tag_words),
            "intent_words": list(self.heads.intent_words),
            "about": self.about,
        }
        with replaced_folder(folder) as draft:
            kept.write(draft, facts, self.weights | heads)
            self.table.save(draft / "table")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote; the table is mapped into memory.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged or of another format.
        """
        with kept.opened(folder, "pretrained network", "make one with `slubook run transfer`") as (facts, tensors):
            widths = tensors["heads.begin"].shape[1], tensors["heads.intent"].shape[1]
            heads = NamedHeads(facts["tag_words"], facts["intent_words"], *widths)
            heads.load_state_dict({n.removeprefix("heads."): v for n, v in tensors.items() if n.startswith("heads.")})
            weights = {n: tensors[n] for n in ("unknown", *(n for part in LOWER for n in PARTS[part]))}
            table = VectorTable.load(folder / "table")
            return cls(NetworkConfig(**facts["config"]), table, facts["characters"], weights, heads, facts["about"])
