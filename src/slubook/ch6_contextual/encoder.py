"""A small neural language model of replies that attends to the context, and re-scores the hypotheses of both decoders.

It predicts the next word from those before it (a GRU), or points at a word of the context: a pointer mixture as in
Merity et al. (2016). So names that training never had can be expected. What the context service stores is one row for
each word of the context: which word it is, and its key for attention. The *twin* is the same model without context.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from slubook.ch6_contextual.data import Context, Turn
from slubook.profiles import stable_hash

PAD, UNKNOWN, START, END = 0, 1, 2, 3
#: The parts of a context: previous utterance, prompt, catalogue, entries that the prompt names.
PARTS = 4
#: Words that an unknown word may be: what it costs to say one that is not pointed at.
OTHERS = 20_000
_LARGEST = 2**23  # whole numbers that a 32-bit float can hold


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and training; ``entries`` are the most of a catalogue that a training example shows."""

    words: int = 4000
    size: int = 96
    entries: int = 30
    batch: int = 32
    updates: int = 1500
    rate: float = 3e-3
    seed: int = 0


@cache
def identity(word: str) -> int:
    """Returns a number that tells words apart, known or not."""
    return stable_hash(word) % (_LARGEST - 1) + 1


class ContextEncoder(nn.Module):
    """Turns a context into rows that can be stored, and scores replies with them."""

    def __init__(self, vocabulary: Sequence[str], size: int) -> None:
        super().__init__()
        self.numbers = {word: k for k, word in enumerate(vocabulary, END + 1)}
        known = len(self.numbers) + END + 1
        self.embed = nn.Embedding(known, size, padding_idx=PAD)
        self.part = nn.Embedding(PARTS, size)
        self.key = nn.Linear(3 * size, size)  # of a word of the context: itself, the word before it, and its part
        self.gru = nn.GRU(size, size, batch_first=True)
        self.query = nn.Linear(size, size)
        self.gate = nn.Linear(size, 1)
        self.out = nn.Linear(size, known)

    def number(self, word: str) -> int:
        """Returns the number of a word in the vocabulary."""
        return self.numbers.get(word, UNKNOWN)

    def vector(self, context: Context) -> np.ndarray:
        """Returns what the service stores, [words of the context, 1 + size]: each word's identity and its key."""
        with torch.no_grad():
            words, before, parts, identities = (column[None] for column in self.read(context))
            keys = self.keys(words, before, parts)[0]
            return torch.cat([identities[0, :, None].float(), keys], dim=1).numpy()

    def read(self, context: Context, entries: int | None = None) -> Tensor:
        """Returns the words of a context, [4, words]: number, number of the word before, part, identity."""
        columns = [(PAD, PAD, 0, 0)]  # at least one row, which is no word
        texts = [(context.previous,), (context.prompt,), context.catalogue[:entries], context.named]
        for part, some in enumerate(texts):
            for text in some:
                last = PAD
                for word in text.split():
                    columns.append((now := self.number(word), last, part, identity(word)))
                    last = now
        return torch.tensor(columns).T

    def keys(self, words: Tensor, before: Tensor, parts: Tensor) -> Tensor:
        """Returns the keys of words, [B, C] each → [B, C, size]."""
        return torch.tanh(self.key(torch.cat([self.embed(words), self.embed(before), self.part(parts)], dim=-1)))

    def forward(self, numbers: Tensor, said: Tensor, keys: Tensor, identities: Tensor) -> Tensor:
        """Returns the log probability of each word of replies, [B, T].

        Args:
            numbers: start, words and end of the replies, [B, T + 1].
            said: the identities of the words predicted, [B, T], 0 for ends and padding.
            keys: of the contexts' words, [B, C, size].
            identities: of the contexts' words, [B, C], 0 for padding.
        """
        states, _ = self.gru(self.embed(numbers[:, :-1]))
        known = self.out(states).log_softmax(-1).gather(-1, numbers[:, 1:, None]).squeeze(-1)
        known = known - np.log(OTHERS) * (numbers[:, 1:] == UNKNOWN)
        there = identities > 0
        scores = (self.query(states) @ keys.transpose(1, 2)).masked_fill(~there[:, None], -1e4)
        same = (said[:, :, None] == identities[:, None]) & there[:, None]
        pointed = (scores.softmax(-1) * same).sum(-1)
        gate = torch.sigmoid(self.gate(states)).squeeze(-1) * there.any(1, keepdim=True)
        return torch.log((1 - gate) * known.exp() + gate * pointed + 1e-12)

    def texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns the numbers, [B, T + 1], and identities, [B, T], of replies."""
        rows = [text.split() for text in texts]
        length = max(map(len, rows)) + 1
        numbers = [[START, *map(self.number, r), END] + [PAD] * (length - 1 - len(r)) for r in rows]
        said = [[*map(identity, r)] + [0] * (length - len(r)) for r in rows]
        return torch.tensor(numbers), torch.tensor(said)

    def score(self, texts: Sequence[str], stored: np.ndarray | None) -> np.ndarray:
        """Returns the log probabilities of replies, [N], with what the service stored of their context, or without."""
        numbers, said = self.texts(texts)
        size = self.embed.embedding_dim
        rows = torch.zeros(1, 1, 1 + size) if stored is None else torch.from_numpy(stored.reshape(1, -1, 1 + size))
        rows = rows.expand(len(texts), -1, -1)
        with torch.no_grad():
            each = self(numbers, said, rows[..., 1:], rows[..., 0].long())
        return (each * (numbers[:, 1:] != PAD)).sum(1).numpy()


def train_encoder(turns: Sequence[Turn], config: EncoderConfig, blind: bool = False) -> ContextEncoder:
    """Trains an encoder on replies and their contexts; a ``blind`` one, the twin, never sees a context.

    A quarter of the context's words is hidden from the vocabulary at random, so that names have to be pointed at. First
    turns get the context of another turn, so that contexts are not believed blindly.
    """
    generator = torch.Generator().manual_seed(config.seed)
    given, others = [turn.context for turn in turns], [turn.context for turn in turns if turn.context.prompt]
    drawn = torch.randint(len(others), (len(turns),), generator=generator).tolist()
    given = [context if context.prompt else others[k] for context, k in zip(given, drawn, strict=True)]
    torch.manual_seed(config.seed)
    counts = Counter(word for turn in turns for word in turn.text.split())
    model = ContextEncoder([word for word, _ in counts.most_common(config.words)], config.size)
    contexts = [model.read(Context() if blind else context, config.entries) for context in given]
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate)
    for update in range(config.updates):
        picked = torch.randint(len(turns), (config.batch,), generator=generator).tolist()
        numbers, said = model.texts([turns[k].text for k in picked])
        if not blind:
            named = torch.stack([torch.isin(row, contexts[k][3]) for row, k in zip(said, picked, strict=True)])
            hidden = named & (torch.rand(said.shape, generator=generator) < 0.25) & (numbers[:, 1:] > END)
            numbers[:, 1:][hidden] = UNKNOWN
        words, before, parts, identities = (
            nn.utils.rnn.pad_sequence([contexts[k][row] for k in picked], batch_first=True) for row in range(4)
        )
        losses = model(numbers, said, model.keys(words, before, parts), identities)
        loss = -(losses * (numbers[:, 1:] != PAD)).sum() / (numbers[:, 1:] != PAD).sum()
        for group in optimizer.param_groups:
            group["lr"] = config.rate * (1 - update / config.updates)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()
