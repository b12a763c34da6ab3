"""Word vectors from a masked language model: our own pretraining, as the custom-skills article has it.

A word is hidden, a small transformer guesses it from the rest of the request (Devlin et al., 2019; here one
layer), and the input vectors are what we keep. Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from slubook.ch1_skills.output_words import sampled_softmax
from slubook.ch1_skills.training import one_cycle
from slubook.ch1_skills.vectors import VectorTable, unit_scale
from slubook.profiles import seed_everything

PAD, MASK, UNKNOWN = 0, 1, 2
SPECIAL = 3


@dataclass(frozen=True)
class MaskedLMConfig:
    """Words are ``dim`` wide, the transformer ``inner``; ``candidates`` stand for all words in the softmax."""

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
    """Word vectors, places, and one transformer layer; the output layer is the word table itself."""

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
        """States that guess the word at each place, [B, T] → [B, T, D]."""
        x = self.into(self.words(words) * self.words.embedding_dim**0.5) + self.places[: words.shape[1]]
        return self.out(self.encoder(x, src_key_padding_mask=words == PAD))

    def loss(self, states: Tensor, targets: Tensor, frequency: Tensor, count: int) -> Tensor:
        """A sampled softmax: :func:`slubook.ch1_skills.output_words.sampled_softmax`.

        Args:
            states: at hidden places, [M, D].
            targets: the hidden words, [M].
            frequency: how often each word is drawn as a candidate, [V], sums to 1.
            count: candidates drawn.
        """
        return sampled_softmax(states, targets, self.words.weight, self.bias, frequency, count)


def train_masked_lm(
    name: str, sentences: Sequence[Sequence[str]], config: MaskedLMConfig | None = None, seed: int = 0
) -> VectorTable:
    """Train on ``sentences`` and keep the input vectors, scaled to a mean norm of 1.

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
    rows16 = (vectors * unit_scale(vectors)).astype(np.float16)
    empty = np.zeros((0, c.dim), np.float16)
    return VectorTable(name, {w: i - SPECIAL for w, i in index.items()}, rows16, empty)


def _update(
    model: MaskedLM, group: list[np.ndarray], frequency: Tensor, c: MaskedLMConfig, optimizer: torch.optim.Optimizer
) -> None:
    words = torch.zeros(len(group), max(map(len, group)), dtype=torch.long)
    for i, row in enumerate(group):
        words[i, : len(row)] = torch.from_numpy(row)
    hidden = (torch.rand(words.shape) < c.hidden_share) & (words > UNKNOWN)
    if not hidden.any():
        return
    shown = words.masked_fill(hidden & (torch.rand(words.shape) < 0.9), MASK)  # one in ten stays to be seen
    loss = model.loss(model(shown)[hidden], words[hidden], frequency, min(c.candidates, len(frequency)))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
