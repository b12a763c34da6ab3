"""Detects paraphrases: whether two requests ask for the same thing in other words.

The detector learns from pairs made of annotated utterances of other domains (Cho et al., ASRU 2019,
arXiv 1910.04196). A slot template is an utterance whose values are replaced by their types. Two templates of one intent
and the same slot types, filled with the same values, are paraphrases. What looks alike and means something else is the
same template filled with other values. Taught in chapter 4, *Self-training*.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from slubook.corpora.utterance import Utterance, words
from slubook.profiles import seed_everything

BUCKETS = 2**15
_BATCH = 128


class Pair(NamedTuple):
    """Two requests, and whether they mean the same; ``kind`` says how the pair was made."""

    first: str
    second: str
    same: bool
    kind: str
    domain: str


class Template(NamedTuple):
    """An utterance without its slot values: N values stand between N + 1 pieces of text."""

    pieces: tuple[str, ...]
    types: tuple[str, ...]

    def fill(self, values: dict[str, list[str]]) -> str:
        """Writes the template with values of each type, in order."""
        left = {kind: iter(some) for kind, some in values.items()}
        return self.pieces[0] + "".join(next(left[k]) + p for k, p in zip(self.types, self.pieces[1:], strict=True))


def template(utterance: Utterance) -> tuple[Template, dict[str, list[str]]]:
    """Separates an utterance into its template and its values by slot type."""
    pieces, values, read = [], defaultdict(list), 0
    for slot in utterance.slots:
        pieces.append(utterance.text[read : slot.start])
        values[slot.type].append(utterance.text[slot.start : slot.end])
        read = slot.end
    pieces.append(utterance.text[read:])
    return Template(tuple(pieces), tuple(s.type for s in utterance.slots)), dict(values)


def pairs(utterances: Sequence[Utterance], seed: int, most: int = 20_000) -> list[Pair]:
    """Makes labelled pairs of the slot templates of each domain, four of each utterance that can be an anchor.

    * ``paraphrase``: another template of the same intent and slot types, filled with the same values;
    * ``value``: the same template, filled with other values (*Play Adele*, *Play Seal*);
    * ``intent``: a template of another intent, with the same slot types and values where there is one;
    * ``other``: a request of another domain.

    Args:
        utterances: annotated, of all domains but the one that the detector will be used in.
        seed: of the draws.
        most: pairs; fewer where there are not as many anchors.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(utterances))
    alike, intents, values = defaultdict(list), defaultdict(list), defaultdict(list)
    for u in utterances:
        shape = tuple(sorted(s.type for s in u.slots))
        alike[u.domain, u.intent, shape].append(u)
        intents[u.domain].append(u)
        for s in u.slots:
            values[u.domain, s.type].append(u.text[s.start : s.end])
    made: list[Pair] = []
    for n in order:
        if len(made) >= most:
            break
        made += _around(utterances[n], utterances, alike, intents, values, rng)
    return made[:most]


def _around(anchor, everything, alike, intents, values, rng) -> Iterator[Pair]:
    """The pairs of one anchor; none where its intent has no other template of the same slot types."""
    own, own_values = template(anchor)
    shape = tuple(sorted(own.types))

    def drawn(some):
        return some[int(rng.integers(len(some)))]

    others = [t for t in (template(u)[0] for u in alike[anchor.domain, anchor.intent, shape]) if t.pieces != own.pieces]
    if not others:
        return
    yield Pair(anchor.text, drawn(others).fill(own_values), True, "paraphrase", anchor.domain)
    changed = {k: [drawn(values[anchor.domain, k]) for _ in some] for k, some in own_values.items()}
    if changed != own_values:
        yield Pair(anchor.text, own.fill(changed), False, "value", anchor.domain)
    elsewhere = [u for u in intents[anchor.domain] if u.intent != anchor.intent]
    if elsewhere:
        u = drawn([u for u in elsewhere if tuple(sorted(s.type for s in u.slots)) == shape] or elsewhere)
        found = template(u)[0]
        text = found.fill(own_values) if tuple(sorted(found.types)) == shape else u.text
        yield Pair(anchor.text, text, False, "intent", anchor.domain)
    stranger = drawn(everything)
    if stranger.domain != anchor.domain:
        yield Pair(anchor.text, stranger.text, False, "other", anchor.domain)


class Detector(nn.Module):
    """A siamese encoder: both requests are read by the same network, and their vectors compared.

    Words are sums of hashed character n-grams, as FastText has them, so that a name that was never seen has a vector of
    its own. A bidirectional GRU reads them; its states and the words are pooled by mean and maximum, [D].
    The score is σ(b + Σ a·u·v − Σ c·|u − v|) with c ≥ 0: symmetric, and fast for all pairs of two sets.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(BUCKETS, width, mode="mean")
        self.reader = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.product = nn.Parameter(torch.zeros(6 * width))
        self.distance = nn.Parameter(torch.zeros(6 * width))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Reads B requests, [B, D]."""
        sentences = [words(t) or [""] for t in texts]
        bags = [_grams(w) for sentence in sentences for w in sentence]
        starts = torch.tensor(np.cumsum([0, *map(len, bags[:-1])]))
        lengths = [len(s) for s in sentences]
        vectors = self.words(torch.from_numpy(np.concatenate(bags)), starts)  # [tokens, width]
        x = nn.utils.rnn.pad_sequence(vectors.split(lengths), batch_first=True)  # [B, T, width]
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
        states = nn.utils.rnn.pad_packed_sequence(self.reader(packed)[0], batch_first=True)[0]  # [B, T, 2 · width]
        both = torch.cat([x, states], 2)  # [B, T, 3 · width]
        off = (torch.arange(x.shape[1]) >= torch.tensor(lengths)[:, None])[:, :, None]  # [B, T, 1]
        mean = both.masked_fill(off, 0).sum(1) / torch.tensor(lengths)[:, None]
        return torch.cat([mean, both.masked_fill(off, -1e4).amax(1)], 1)

    def compare(self, u: Tensor, v: Tensor) -> Tensor:
        """Scores each of A vectors with each of B as log odds, [A, B]."""
        c = nn.functional.softplus(self.distance)
        return self.bias + (u * self.product) @ v.T - torch.cdist(u * c, v * c, p=1)

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Reads any number of requests, short ones first, [N, D]."""
        out = torch.zeros(len(texts), len(self.product))
        order = np.argsort([len(t) for t in texts], kind="stable")
        for first in range(0, len(order), 512):
            rows = order[first : first + 512]
            out[torch.from_numpy(rows)] = self([texts[r] for r in rows])
        return out

    @torch.no_grad()
    def nearest(self, u: Tensor, v: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Returns the largest score of each of A vectors with any of B, and with which, [A] and [A]; -1 for no B."""
        if not len(v):
            return np.zeros(len(u)), np.full(len(u), -1)
        best = [self.compare(part, v).max(1) for part in u.split(1024)]
        return torch.cat([b.values for b in best]).sigmoid().numpy(), torch.cat([b.indices for b in best]).numpy()

    @torch.no_grad()
    def score(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Returns how likely the requests of each pair mean the same, [N]."""
        return self._odds(self.encode(first), self.encode(second)).sigmoid().numpy()

    def _odds(self, u: Tensor, v: Tensor) -> Tensor:
        """Scores N pairs of vectors as log odds, [N]."""
        c = nn.functional.softplus(self.distance)
        return self.bias + (u * v) @ self.product - (u - v).abs() @ c


@lru_cache(maxsize=200_000)
def _grams(word: str) -> np.ndarray:
    """Returns the buckets of a word and of its character n-grams."""
    marked = f"<{word}>"
    found = [marked, *(marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1))]
    return np.array([zlib.crc32(g.encode()) % BUCKETS for g in found])


def train_detector(utterances: Sequence[Utterance], seed: int = 0, most: int = 20_000, epochs: int = 3) -> Detector:
    """Trains a detector on pairs of annotated utterances; see :func:`pairs`.

    Raises:
        ValueError: when the utterances make no pairs of both labels.
    """
    made = pairs(utterances, seed, most)
    if len({p.same for p in made}) < 2:
        raise ValueError("a detector needs intents with several sentence templates, in several domains: add utterances")
    rng = seed_everything(seed, threads=1)
    detector = Detector()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    steps = epochs * -(-len(made) // _BATCH)
    bar = tqdm(total=steps, desc="paraphrase detector", unit="batch", delay=5, leave=False, disable=None)
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(made)), steps // epochs):
            batch = [made[r] for r in rows]
            both = detector([p.first for p in batch] + [p.second for p in batch])
            odds = detector._odds(both[: len(batch)], both[len(batch) :])
            gold = torch.tensor([float(p.same) for p in batch])
            loss = nn.functional.binary_cross_entropy_with_logits(odds, gold)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update()
    return detector.eval()
