"""Chapter 2's network: one bi-LSTM that both tasks share, and one bi-LSTM for each task above it.

After Goyal, Metallinou and Matsoukas, *Fast and scalable expansion of natural language understanding
functionality for intelligent agents* (NAACL 2018, arXiv 1805.01542). Taught in chapter 2, *Build it*.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slubook.ch1_skills.encoding import Batch, Encoder
from slubook.ch1_skills.lstm import Steps
from slubook.ch1_skills.network import Network, NetworkConfig

#: The parts of the network, lowest first, and the names of their parameters.
PARTS: dict[str, tuple[str, ...]] = {
    "words": ("local", "project.weight", "project.bias"),
    "characters": ("characters", "char_filter.weight", "char_filter.bias"),
    "common": ("encoders.0.w_in", "encoders.0.w_rec", "encoders.0.bias"),
    "tagger": ("encoders.1.w_in", "encoders.1.w_rec", "encoders.1.bias"),
    "classifier": ("encoders.2.w_in", "encoders.2.w_rec", "encoders.2.bias"),
    "heads": (
        "tag_head.weight", "tag_head.bias", "intent_head.weight", "intent_head.bias",
        "crf.start", "crf.end", "crf.step", "intent_ngrams.weight", "intent_ngrams.bias",
    ),
}  # fmt: skip


class StackedNetwork(Network):
    """G networks for one skill: words → common bi-LSTM → (bi-LSTM → tags, bi-LSTM → intent)."""

    def __init__(
        self,
        encoder: Encoder,
        config: NetworkConfig,
        trained_words: Sequence[bool],
        dropout: Sequence[float] | None = None,
    ) -> None:
        """Builds the networks; see :class:`slubook.ch1_skills.network.Network`.

        Args:
            encoder, config, trained_words: as there.
            dropout: of each of the G networks; the configured one by default.

        Raises:
            ValueError: when the configuration has other than three layers.
        """
        if config.layers != 3:
            raise ValueError(f"a stacked network has 3 layers, not {config.layers}: the common one and one a task")
        super().__init__(encoder, config, list(trained_words))
        keep = 1.0 - torch.tensor(dropout or [config.dropout] * len(trained_words))
        self.register_buffer("keep", keep.view(-1, 1, 1, 1), persistent=False)

    def inputs(self, batch: Batch) -> Tensor:
        """Returns what the common layer reads of every token, [G, B, T, project + char_filters]."""
        words = self.words(batch).index_select(1, batch.words.reshape(-1))
        return words.reshape(self.groups, *batch.words.shape, -1)

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns what the heads read: states of the tagger [G, B, T, 2H], pooled states for the intent [G, B, 4H]."""
        b, t = batch.words.shape
        steps, off = Steps.of(batch.lengths, t), ~batch.mask.view(1, b, t, 1)
        common, tagger, classifier = self.encoders
        shared = self.drop(common(self.drop(self.inputs(batch)), steps))
        upper = self.drop(tagger(shared, steps)), self.drop(classifier(shared, steps))
        pooled = [x.masked_fill(off, -torch.inf).amax(2) for x in (shared, upper[1])]
        return upper[0], torch.cat(pooled, -1)

    def drop(self, x: Tensor) -> Tensor:
        """Drops as chapter 1's network does, at the rate of each of the G. x: [G, B, T, D]."""
        if not self.training:
            return x
        g, b, _, d = x.shape
        return x * (torch.rand(g, b, 1, d) < self.keep) / self.keep

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns tag emissions [G, B, T, K] and intent logits [G, B, I]."""
        b, t = batch.words.shape
        states, pooled = self.encode(batch)
        emissions = self.tag_head(states.reshape(self.groups, b * t, -1)).reshape(self.groups, b, t, -1)
        ngrams = self.drop(batch.ngrams.expand(self.groups, 1, -1, -1).transpose(1, 2))  # [G, B, 1, N]
        return emissions, self.intent_head(pooled) + self.intent_ngrams(ngrams.squeeze(2))

    def rows(self, name: str, group: int) -> Tensor:
        """Returns a view of the parameter ``name`` of network ``group``, [1 or 2, ...]."""
        parameter = self.get_parameter(name)
        share = parameter.shape[0] // self.groups
        return parameter[group * share : (group + 1) * share]
