"""Builds the book's network: generic + local word vectors, characters, stacked bi-LSTM, two task heads.

Stacked bi-LSTM with a CRF over BIO tags and a classifier over intents, as in Goyal, Metallinou and
Matsoukas (2018), over 300-d word vectors as in the custom-skills article. Every parameter has a leading
group axis G: see :mod:`slubook.ch1_skills.lstm`. Taught in chapter 1, *Build it*.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slubook.ch1_skills.crf import CRF
from slubook.ch1_skills.encoding import Batch, Encoder
from slubook.ch1_skills.lstm import BiLSTM, Steps


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and rates; every vector table is scaled to the mean norm ``vector_norm``.

    ``correction`` says where the skill's own word rows are added: ``"projected"`` to the projected vector (a small
    local table), ``"generic"`` to the generic vector (a fine-tuned private copy of the table), ``"none"`` nowhere.
    """

    dim: int = 300
    project: int = 96
    char_dim: int = 24
    char_filters: int = 32
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.4
    word_dropout: float = 0.5
    ngram_order: int = 2
    vector_norm: float = 4.0
    correction: str = "projected"


class Linear(nn.Module):
    """G affine maps, [G, N, I] → [G, N, O]."""

    def __init__(self, groups: int, inputs: int, outputs: int, zero: bool = False) -> None:
        super().__init__()
        bound = 0.0 if zero else (6.0 / (inputs + outputs)) ** 0.5
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(groups, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Applies map g to x[g]."""
        return torch.bmm(x, self.weight).add_(self.bias)  # baddbmm would copy the bias out first: half as fast


class Network(nn.Module):
    """G networks for one skill, trained side by side; they differ in weights and word vectors."""

    def __init__(self, encoder: Encoder, config: NetworkConfig, trained_words: list[bool]) -> None:
        """Builds a network for each of ``trained_words``, over the skill's local vocabulary.

        ``trained_words`` says whether the local word table starts at random (for want of a generic table) or at zero
        (as a correction to the generic table).
        """
        super().__init__()
        g, c = len(trained_words), config
        self.groups, self.config = g, config
        width = {"projected": c.project, "generic": c.dim, "none": 0}[c.correction]
        start = torch.randn(g, len(encoder.words) + 1, width) * (c.vector_norm * c.dim**-0.5)
        self.local = nn.Parameter(start * torch.tensor(trained_words, dtype=start.dtype).view(g, 1, 1))
        rarity = [1.0] + [encoder.counts[w] for w in encoder.words]
        self.register_buffer("rarity", torch.tensor(rarity), persistent=False)  # [V]
        self.characters = nn.Parameter(torch.randn(g, len(encoder.characters) + 2, c.char_dim) * 0.3)
        self.char_filter = Linear(g, 3 * c.char_dim, c.char_filters)
        self.project = Linear(g, c.dim, c.project)
        sizes = [c.project + c.char_filters] + [2 * c.hidden] * c.layers
        self.encoders = nn.ModuleList(BiLSTM(g, i, c.hidden) for i in sizes[: c.layers])
        self.tag_head = Linear(g, 2 * c.hidden, len(encoder.tags))
        self.intent_head = Linear(g, 4 * c.hidden, len(encoder.intents))
        self.intent_ngrams = Linear(g, len(encoder.ngrams), len(encoder.intents), zero=True)
        self.crf = CRF(g, encoder.tags)

    def words(self, batch: Batch) -> Tensor:
        """Computes the representations of the distinct words, [G, U, project + char_filters]."""
        local = batch.local
        if self.training:  # rare words are often treated as unknown: Kiperwasser and Goldberg (2016)
            a = self.config.word_dropout
            local = local.masked_fill(torch.rand(len(local)) < a / (a + self.rarity[local]), 0)
        word, own = batch.vectors * self.config.vector_norm, self.local.index_select(1, local)
        word = self.project(word + own if self.config.correction == "generic" else word)
        if self.config.correction == "projected":
            word = word + own
        chars = self.characters.index_select(1, batch.chars.reshape(-1))  # [G, U·L, E]
        chars = chars.reshape(self.groups, *batch.chars.shape, -1)
        windows = torch.cat([chars[:, :, :-2], chars[:, :, 1:-1], chars[:, :, 2:]], -1)  # [G, U, L-2, 3E]
        g, u, n, e = windows.shape
        filtered = self.char_filter(windows.reshape(g, u * n, e)).reshape(g, u, n, -1).amax(2)
        return torch.cat([torch.tanh(word), torch.relu(filtered)], -1)

    def drop(self, x: Tensor) -> Tensor:
        """Applies dropout to x, [G, B, T, D], with one mask an utterance (Gal and Ghahramani, 2016)."""
        if not self.training:
            return x
        g, b, _, d = x.shape
        keep = 1.0 - self.config.dropout
        return x * (torch.rand(g, b, 1, d) < keep) / keep

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Computes tag emissions [G, B, T, K] and intent logits [G, B, I]."""
        b, t = batch.words.shape
        words = self.words(batch).index_select(1, batch.words.reshape(-1))
        x = self.drop(words.reshape(self.groups, b, t, -1))
        steps, off = Steps.of(batch.lengths, t), ~batch.mask.view(1, b, t, 1)
        pooled = []
        for encoder in self.encoders:
            x = self.drop(encoder(x, steps))
            pooled.append(x.masked_fill(off, -torch.inf).amax(2))  # [G, B, 2H]
        emissions = self.tag_head(x.reshape(self.groups, b * t, -1)).reshape(self.groups, b, t, -1)
        intents = self.intent_head(torch.cat([pooled[0], pooled[-1]], -1))
        ngrams = F.dropout(batch.ngrams.expand(self.groups, -1, -1), self.config.dropout, self.training)
        return emissions, intents + self.intent_ngrams(ngrams)

    def loss(self, batch: Batch) -> Tensor:
        """Computes tag loss plus intent loss of each network, [G]."""
        emissions, intents = self(batch)
        tag = self.crf.loss(emissions, batch.tags, batch.mask)
        gold = batch.intents.repeat(self.groups)
        intent = F.cross_entropy(intents.flatten(0, 1), gold, reduction="none").view(self.groups, -1).mean(1)
        return tag + intent

    def packed_parts(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns what a pack has of the one network: tensors, and matrices to quantise.

        :class:`slubook.serving.packed.PackedSkill` reads them.
        """
        crf, ngrams = self.crf, self.intent_ngrams
        plain = {
            "characters": self.characters[0],
            "crf.start": crf.start[0, 0] + crf.legal_start,
            "crf.step": crf.step[0] + crf.legal_step,
            "crf.end": crf.end[0, 0],
        }
        matrices = {"local": self.local[0], "ngrams": ngrams.weight[0]}
        for name in ("project", "char_filter", "tag_head", "intent_head"):
            linear = getattr(self, name)
            matrices[name], plain[f"{name}.bias"] = linear.weight[0], linear.bias[0, 0]
        plain["intent_head.bias"] = plain["intent_head.bias"] + ngrams.bias[0, 0]
        for i, layer in enumerate(self.encoders):
            matrices[f"{i}.w_in"], matrices[f"{i}.w_rec"], plain[f"{i}.bias"] = layer.w_in, layer.w_rec, layer.bias
        return plain, matrices
