"""Defines chapter 2's network that reads an embedding of every token: contextual, or one vector a word.

The network treats all embeddings alike: it weighs each layer's vectors (a scalar mix, Peters et al., 2018), projects
them, and puts them beside the word's representation. So two networks that are compared differ in the embedding and in
nothing else. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from slubook.ch1_skills.encoding import Batch, Encoded, Encoder, distinct_words, numbered
from slubook.ch1_skills.lstm import BiLSTM
from slubook.ch1_skills.network import Linear, NetworkConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.stacked import StackedNetwork
from slubook.ch3_elmol.bilm import BEGIN, END, SPECIAL, UNKNOWN, BiLM


class WordVectors(nn.Module):
    """A table such as FastText's as an embedding: K = 1 vector a token in any context; unknown words by n-grams."""

    layers = 1

    def __init__(self, table: VectorTable) -> None:
        super().__init__()
        self.table = table
        self.register_buffer("scale", torch.ones(1))

    @property
    def dim(self) -> int:
        """Returns D, the length of a vector."""
        return self.table.dim

    def parts(self) -> list[list[nn.Parameter]]:
        """Returns nothing: no part of a table can be unfrozen."""
        return []

    def spell(self, lexicon: Sequence[str]) -> Tensor:
        """Returns the vector of each word, [U, D]."""
        return torch.from_numpy(self.table.vectors(lexicon))

    def forward(self, spelled: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Returns the vector of every token, [B, T, 1, D]."""
        return (spelled * self.scale)[words].unsqueeze(2)


#: What a network can read.
Embedding = WordVectors | BiLM


class ScalarMix(nn.Module):
    """One vector a token out of K: their mean by softmax weights, times gamma."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, states: Tensor) -> Tensor:
        """Returns the mix [..., D] of layers [..., K, D]."""
        return self.gamma * (torch.softmax(self.weights, 0).unsqueeze(1) * states).sum(-2)


@dataclass
class ContextBatch(Batch):
    """A batch and what an embedding reads of it.

    Attributes:
        spelled: what the embedding's ``spell`` gives for the distinct words, [U, ...].
        states: the embedding's vectors, [B, T, K, D], where they are known beforehand; else ``None``.
    """

    spelled: Tensor | None = None
    states: Tensor | None = None


def with_context(batch: Batch, spelled: Tensor, states: Tensor | None = None) -> ContextBatch:
    """Returns the same batch with its part for an embedding."""
    return ContextBatch(**{f.name: getattr(batch, f.name) for f in fields(Batch)}, spelled=spelled, states=states)


class ContextEncoded(Encoded):
    """Utterances of one skill with what an embedding reads of them.

    Attributes:
        spelled: of the lexicon, [V, ...].
        known: the embedding's vectors of each utterance, [T, K, D] each, computed once for a frozen one.
    """

    def __init__(self, encoded: Encoded, embedding: Embedding, frozen: bool = False) -> None:
        super().__init__(**{f.name: getattr(encoded, f.name) for f in fields(Encoded)})
        self.spelled = embedding.spell(self.lexicon)
        self.known = vectors_of(embedding, self.spelled, self.words) if frozen else None

    def batch(self, rows: Sequence[int]) -> ContextBatch:
        """Returns the utterances at ``rows`` as one padded batch."""
        used, _, _ = distinct_words([self.words[r] for r in rows])
        known = None if self.known is None else nn.utils.rnn.pad_sequence([self.known[r] for r in rows], True)
        return with_context(super().batch(rows), self.spelled[used], known)


@torch.no_grad()
def vectors_of(embedding: Embedding, spelled: Tensor, sentences: Sequence, batch: int = 64) -> list[Tensor]:
    """Returns the embedding's vectors of each sentence, [T, K, D] each.

    Args:
        embedding: in evaluation mode.
        spelled: what it reads of the lexicon, [V, ...].
        sentences: indices of words in the lexicon, [T] each.
        batch: sentences at a time.
    """
    found: list[Tensor] = [torch.empty(0)] * len(sentences)
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        used, words, lengths = distinct_words([sentences[r] for r in rows])
        states = embedding(spelled[used], words, lengths)
        for row, n, one in zip(rows, lengths.tolist(), states, strict=True):
            found[row] = one[:n].clone()
    return found


@torch.no_grad()
def match_norm(embedding: Embedding, sentences: Sequence[Sequence[str]]) -> None:
    """Scales an embedding, in place: an even mix of its layers is, on average, 1 from its mean over tokens.

    The mean tells no token from another, so it is left out of the norm. The layers are first brought to one such norm
    each. A larger scale alone learns faster and can pass for a better embedding, so all embeddings that are compared
    are measured on the same sentences.

    Raises:
        ValueError: when there are no words, or all their vectors are equal.
    """
    lexicon, rows = numbered([s for s in sentences if s])
    if not rows:
        raise ValueError("match_norm: no words to measure the norm on")
    states = torch.cat(vectors_of(embedding, embedding.spell(lexicon), rows))  # [N, K, D]
    if not states.any():
        raise ValueError("match_norm: the embedding knows none of the words")
    states -= states.mean(0)
    each = states.norm(dim=2).mean(0)  # [K]
    if not each.all():
        raise ValueError("match_norm: the embedding has the same vector for all of the words")
    mixed = (states / each.unsqueeze(1)).mean(1).norm(dim=1).mean()
    embedding.scale /= each * mixed


class ContextualNetwork(StackedNetwork):
    """Words, characters and an embedding → common bi-LSTM → (bi-LSTM → tags, bi-LSTM → intent). One, not a bank."""

    def __init__(self, encoder: Encoder, config: NetworkConfig, embedding: Embedding, trained_words: bool) -> None:
        """Builds the network; an embedding with parameters is copied, and frozen until :meth:`unfreeze`.

        Args:
            encoder: the skill's local vocabulary.
            config: sizes and rates.
            embedding: what it reads beside its words.
            trained_words: as for :class:`slubook.ch1_skills.network.Network`.
        """
        super().__init__(encoder, config, [trained_words])
        self.embedding = copy.deepcopy(embedding) if embedding.parts() else embedding
        self.mix = ScalarMix(embedding.layers)
        self.context = Linear(1, embedding.dim, config.project)
        self.encoders[0] = BiLSTM(1, 2 * config.project + config.char_filters, config.hidden)
        self.unfreeze(0)

    def unfreeze(self, parts: int) -> None:
        """Lets the highest so many parts of the embedding learn, and no other."""
        for number, part in enumerate(self.embedding.parts()):
            for parameter in part:
                parameter.requires_grad_(number < parts)

    @property
    def frozen(self) -> bool:
        """Returns whether no part of the embedding learns."""
        return not any(p.requires_grad for p in self.embedding.parameters())

    def inputs(self, batch: ContextBatch) -> Tensor:
        """Returns what the common layer reads of every token, [1, B, T, 2 · project + char_filters]."""
        b, t = batch.words.shape
        states = batch.states
        if states is None or not self.frozen:
            states = self.embedding(batch.spelled, batch.words, batch.lengths)
        mixed = self.mix(states).reshape(1, b * t, -1) * self.config.vector_norm
        beside = torch.tanh(self.context(mixed)).reshape(1, b, t, -1)
        return torch.cat([super().inputs(batch), beside], -1)

    def reader_parts(self) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
        """Returns what a pack has of the language model and the layer on it: facts, tensors, matrices to quantise.

        :class:`slubook.serving.packed.PackedReader` reads them.
        """
        model, spelling, context = self.embedding, self.embedding.characters, self.context
        mix = self.mix.gamma * torch.softmax(self.mix.weights, 0) * model.scale * self.config.vector_norm
        facts = {
            "characters": "".join(model.names),
            "first": SPECIAL,
            "signs": [UNKNOWN, BEGIN, END],
            "longest": model.config.longest,
            "windows": [window for window, _ in model.config.filters],
            "layers": model.config.layers,
            "mix": mix.tolist(),
        }
        plain = {"letters": spelling.table.weight, "boundary": model.boundary, "context.bias": context.bias[0, 0]}
        matrices = {"context": context.weight[0]}
        for name, linear in (("highway", spelling.highway), ("project", spelling.project)):
            matrices[name], plain[f"{name}.bias"] = linear.weight.t(), linear.bias
        for k, filters in enumerate(spelling.filters):
            matrices[f"filters.{k}"] = filters.weight.permute(2, 1, 0).flatten(0, 1)  # [window · E, F]
            plain[f"filters.{k}.bias"] = filters.bias
        for k, layer in enumerate(model.stack):
            matrices |= {f"{k}.w_in": layer.w_in, f"{k}.w_rec": layer.w_rec, f"{k}.project": layer.project}
            plain[f"{k}.bias"] = layer.bias
        return facts, plain, matrices
