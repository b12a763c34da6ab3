"""Trains word vectors by a masked language model, and holds the output layer of language models.

A word is masked, a small transformer predicts it from the rest of the request (Devlin et al., 2019; here one layer),
and its input vectors are kept: our own pretraining, as in the custom-skills article. The output layer is a softmax over
words, sampled in training and complete in evaluation. Taught in chapter 1, *Embeddings from text nobody labelled*, and
chapter 3, *Build it*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from slubook.ch1_skills.encoding import padded
from slubook.ch1_skills.training import one_cycle
from slubook.ch1_skills.vectors import VectorTable, unit_scale
from slubook.profiles import seed_everything

PAD, MASK, UNKNOWN = 0, 1, 2
SPECIAL = 3


def sampled_softmax(
    states: Tensor, targets: Tensor, vectors: Tensor, bias: Tensor, frequency: Tensor, count: int
) -> Tensor:
    """Computes the mean loss of a softmax over a sample of words, corrected for the sampling (Jean et al., 2015).

    Args:
        states: one for each word to predict, [M, D]; ``targets`` are those words, [M].
        vectors: of all words, [V, D], and their ``bias``, [V].
        frequency: the probability with which each word is drawn as a candidate, [V], sums to 1.
        count: candidates drawn, with replacement.
    """
    drawn = torch.multinomial(frequency, count, replacement=True)
    candidates, place = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
    logits = states @ F.embedding(candidates, vectors).t() + bias[candidates]
    expected = -torch.expm1(count * torch.log1p(-frequency[candidates]))  # chance to be among the candidates
    return F.cross_entropy(logits - torch.log(expected.clamp_min(1e-6)), place[: len(targets)])


class OutputWords(nn.Module):
    """The words that a language model can predict, each with a vector and a bias.

    All other words are one class, *unknown*. The boundary before the first and after the last word of an utterance is a
    class, too.
    """

    UNKNOWN, BOUNDARY = 0, 1

    def __init__(self, counts: Counter[str], width: int) -> None:
        """Starts with random vectors, ``width`` D.

        ``counts`` are those of each word in the training text, of the boundary as ``""``, of unknown words as ``None``.
        """
        super().__init__()
        self.words = sorted(w for w in counts if w)
        self.index = {w: i for i, w in enumerate(self.words, 2)}
        often = [counts[None], counts[""], *(counts[w] for w in self.words)]
        drawn = torch.tensor(often, dtype=torch.float32).clamp_min(1) ** 0.75
        self.register_buffer("frequency", drawn / drawn.sum())  # [V]
        self.vectors = nn.Parameter(torch.randn(len(drawn), width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(drawn)))

    def rows(self, lexicon: Sequence[str]) -> Tensor:
        """Returns the rows of the words, and last that of the boundary, [len(lexicon) + 1]."""
        return torch.tensor([*(self.index.get(w, self.UNKNOWN) for w in lexicon), self.BOUNDARY])

    def loss(self, states: Tensor, targets: Tensor, count: int) -> Tensor:
        """Computes the loss of a softmax over ``count`` of these words, or over all; see :func:`sampled_softmax`."""
        count = min(count, len(self.frequency))
        return sampled_softmax(states, targets, self.vectors, self.bias, self.frequency, count)

    def surprise(self, states: Tensor, targets: Tensor) -> Tensor:
        """Computes minus the log probability of each target under the complete softmax, [M], in nats."""
        return F.cross_entropy(states @ self.vectors.t() + self.bias, targets, reduction="none")


@dataclass(frozen=True)
class MaskedLMConfig:
    """Sizes and rates: words are ``dim`` wide, the transformer ``inner``; the softmax samples ``candidates``."""

    dim: int = 300
    inner: int = 128
    heads: int = 4
    layers: int = 1
    longest: int = 32
    least: int = 2
    hidden_share: float = 0.2
    candidates: int = 2000
    batch: int = 96
    epochs: int = 4
    rate: float = 2e-3


class MaskedLM(nn.Module):
    """Word vectors, positions, and a transformer; the output layer is the word table itself."""

    def __init__(self, vocabulary: int, config: MaskedLMConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, config.dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=config.dim**-0.5)
        self.into = nn.Linear(config.dim, config.inner)
        self.places = nn.Parameter(torch.randn(config.longest, config.inner) * 0.1)
        layer = nn.TransformerEncoderLayer(
            config.inner, config.heads, 2 * config.inner, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.out = nn.Linear(config.inner, config.dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, words: Tensor) -> Tensor:
        """Computes the states that predict the word at each position, [B, T] → [B, T, D]."""
        x = self.into(self.words(words) * self.words.embedding_dim**0.5) + self.places[: words.shape[1]]
        return self.out(self.encoder(x, src_key_padding_mask=words == PAD))


def train_masked_lm(
    name: str, sentences: Sequence[Sequence[str]], config: MaskedLMConfig | None = None, seed: int = 0
) -> VectorTable:
    """Trains on ``sentences`` and returns the input vectors, scaled to a mean norm of 1.

    Raises:
        ValueError: when no word occurs often enough.
    """
    c = config or MaskedLMConfig()
    seed_everything(seed, threads=1)
    counts = Counter(w for s in sentences for w in s)
    kept = sorted((w for w, n in counts.items() if n >= c.least), key=lambda w: (-counts[w], w))
    if not kept:
        raise ValueError(f"masked LM {name!r}: no word occurs {c.least} times in {len(sentences)} sentences")
    index = {w: i for i, w in enumerate(kept, SPECIAL)}
    rows = sorted((np.array([index.get(w, UNKNOWN) for w in s[: c.longest]]) for s in sentences if len(s) > 1), key=len)
    frequency = torch.tensor([0.0] * SPECIAL + [counts[w] ** 0.75 for w in kept])
    frequency /= frequency.sum()
    model = MaskedLM(len(index) + SPECIAL, c)
    groups = [rows[i : i + c.batch] for i in range(0, len(rows), c.batch)]
    total = c.epochs * len(groups)
    optimizer = torch.optim.AdamW(model.parameters(), c.rate, weight_decay=0.01, fused=True)
    schedule = one_cycle(optimizer, total, last=1e4)
    with tqdm(total=total, desc=f"masked LM {name}", unit="batch", mininterval=2, disable=None) as bar:
        for _ in range(c.epochs):
            for k in torch.randperm(len(groups)).tolist():
                _update(model, groups[k], frequency, c, optimizer)
                schedule.step()
                bar.update()
    vectors = model.words.weight.detach().numpy()[SPECIAL:]
    scaled = (vectors * unit_scale(vectors)).astype(np.float16)
    return VectorTable(name, {w: i for i, w in enumerate(kept)}, scaled, np.zeros((0, c.dim), np.float16))


def _update(
    model: MaskedLM, group: list[np.ndarray], frequency: Tensor, c: MaskedLMConfig, optimizer: torch.optim.Optimizer
) -> None:
    words = padded(group)  # [B, T]
    hidden = (torch.rand(words.shape) < c.hidden_share) & (words > UNKNOWN)
    if not hidden.any():
        return
    shown = words.masked_fill(hidden & (torch.rand(words.shape) < 0.9), MASK)  # one in ten stays visible
    count = min(c.candidates, len(frequency))
    loss = sampled_softmax(model(shown)[hidden], words[hidden], model.words.weight, model.bias, frequency, count)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
