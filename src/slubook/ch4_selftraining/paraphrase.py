"""Detects paraphrases: whether two requests ask for the same thing in other words.

The detector learns from pairs made of annotated utterances of other domains (Cho et al., ASRU 2019, arXiv 1910.04196).
A slot template is an utterance without its slot values. Two templates of one intent and the same slot types, filled
with the same values, are paraphrases. One template filled with other values looks alike, and means something else.
Taught in chapter 4, *Self-training*.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from tqdm import tqdm

from slubook.ch1_skills.encoding import numbered, padded
from slubook.corpora.utterance import Utterance, words
from slubook.profiles import seed_everything

#: Rows of the table of hashed character n-grams; pairs of a batch; pairs and passes that a detector is trained for.
BUCKETS, BATCH, PAIRS, EPOCHS = 2**15, 128, 20_000, 2
#: Draws in search of an utterance that makes a pair.
TRIES = 20


class ComparedPair(NamedTuple):
    """Two requests, whether they mean the same, how they were made, and the domain of the first."""

    first: str
    second: str
    same: bool
    kind: str
    domain: str


def template(utterance: Utterance) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cuts an utterance at its N slots: the N + 1 pieces of text around them, and the N values."""
    cuts = [0, *(cut for s in utterance.slots for cut in (s.start, s.end)), len(utterance.text)]
    parts = [utterance.text[a:b] for a, b in pairwise(cuts)]
    return tuple(parts[::2]), tuple(parts[1::2])


def fill(utterance: Utterance, values: Sequence[tuple[str, str]]) -> str:
    """Writes an utterance with other values, given as (slot type, value); those of one type are used in order."""
    left: dict[str, list[str]] = defaultdict(list)
    for kind, value in values:
        left[kind].append(value)
    pieces, _ = template(utterance)
    return pieces[0] + "".join(left[s.type].pop(0) + p for s, p in zip(utterance.slots, pieces[1:], strict=True))


def pairs(utterances: Sequence[Utterance], seed: int, most: int = PAIRS) -> list[ComparedPair]:
    """Makes labelled pairs, up to four around one utterance, which has another of its intent and slot types.

    * ``paraphrase``: another template of the same intent and slot types, with the same values;
    * ``value``: the same template with other values (*Play Adele*, *Play Seal*);
    * ``intent``: another intent of the domain, with the same slot types and values where it has them;
    * ``domain``: any utterance of another domain.

    Args:
        utterances: annotated, of all domains but the one that the detector will be used in.
        seed: of the draws.
        most: pairs; fewer where the utterances make no more.
    """
    rng, alike, formed, domains, values = np.random.default_rng(seed), *(defaultdict(list) for _ in range(4))
    for u in utterances:
        for group in (alike[u.domain, u.intent, _types(u)], formed[u.domain, _types(u)], domains[u.domain]):
            group.append(u)
        for s in u.slots:
            values[u.domain, s.type].append(u.text[s.start : s.end])

    def draw(some: Sequence) -> Any:
        return some[int(rng.integers(len(some)))]

    def find(some: Sequence[Utterance], wanted: Callable[[Utterance], bool]) -> Utterance | None:
        return next((o for o in (draw(some) for _ in range(TRIES)) if wanted(o)), None)

    def around(u: Utterance) -> Iterator[ComparedPair]:
        own, types = [(s.type, u.text[s.start : s.end]) for s in u.slots], _types(u)
        if not (o := find(alike[u.domain, u.intent, types], lambda o: template(o)[0] != template(u)[0])):
            return
        yield ComparedPair(u.text, fill(o, own), True, "paraphrase", u.domain)
        changed = [(kind, draw(values[u.domain, kind])) for kind, _ in own]
        if changed != own:
            yield ComparedPair(u.text, fill(u, changed), False, "value", u.domain)
        if o := find(formed[u.domain, types], lambda o: o.intent != u.intent):
            yield ComparedPair(u.text, fill(o, own), False, "intent", u.domain)
        elif o := find(domains[u.domain], lambda o: o.intent != u.intent):
            yield ComparedPair(u.text, o.text, False, "intent", u.domain)
        if o := find(utterances, lambda o: o.domain != u.domain):
            yield ComparedPair(u.text, o.text, False, "domain", u.domain)

    made: list[ComparedPair] = []
    for n in rng.permutation(len(utterances)):
        if len(made) < most:
            made += around(utterances[n])
    return made[:most]


def _types(utterance: Utterance) -> tuple[str, ...]:
    return tuple(sorted(s.type for s in utterance.slots))


class Detector(nn.Module):
    """A siamese encoder: the same network reads both requests, then their vectors u and v are compared.

    A word is the mean of hashed character n-grams (as in FastText), so that a name that was never seen has a vector,
    too. A bidirectional GRU reads the words. Its states are pooled by mean and maximum. Gates on them choose the words
    that must agree, which are summed, [D]. The score is σ(b + Σ a·u·v − Σ c·(u² + v²)) with c ≥ 0: a weighted product
    and a weighted distance at once, symmetric, and one matrix product for all pairs of two sets.
    """

    def __init__(self, width: int = 48, gates: int = 2) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(BUCKETS, width, mode="mean")
        self.reader = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.gate = nn.Linear(2 * width, gates)
        self.product = nn.Parameter(torch.zeros((4 + gates) * width))
        self.length = nn.Parameter(torch.full(((4 + gates) * width,), -2.0))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Reads B requests, [B, D]."""
        lexicon, rows = numbered([words(t) or [""] for t in texts])
        bags = [_grams(w) for w in lexicon]
        starts = torch.from_numpy(np.cumsum([0, *map(len, bags[:-1])]))
        vectors = self.words(torch.from_numpy(np.concatenate(bags)), starts)  # of the distinct words, [V, width]
        lengths = torch.tensor([len(row) for row in rows])
        on = (torch.arange(int(lengths.max())) < lengths[:, None])[:, :, None]  # [B, T, 1]
        x = vectors[padded(rows)] * on  # [B, T, width]
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states = nn.utils.rnn.pad_packed_sequence(self.reader(packed)[0], batch_first=True)[0]  # [B, T, 2 · width]
        mean, largest = states.sum(1) / lengths[:, None], states.masked_fill(~on, -1.0).amax(1)
        chosen = (self.gate(states).sigmoid() * on).mT @ x  # [B, gates, width]
        return torch.cat([mean, largest, chosen.flatten(1)], 1)

    def odds(self, u: Tensor, v: Tensor) -> Tensor:
        """Scores N pairs of vectors as log odds, [N]."""
        c = nn.functional.softplus(self.length)
        return self.bias + ((self.product + 2 * c) * u * v).sum(1) - (u**2) @ c - (v**2) @ c

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Reads any number of requests, those of like length together, [N, D]."""
        out, order = torch.zeros(len(texts), len(self.product)), np.argsort([len(t) for t in texts], kind="stable")
        for first in range(0, len(order), 512):
            rows = order[first : first + 512]
            out[torch.from_numpy(rows)] = self([texts[r] for r in rows])
        return out

    @torch.no_grad()
    def nearest(self, u: Tensor, v: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Returns the largest score of each of A vectors with any of B, and its place among them, [A] and [A].

        Without any vector to compare with, scores are 0 and places −1.
        """
        if not len(v):
            return np.zeros(len(u), np.float32), np.full(len(u), -1)
        c = nn.functional.softplus(self.length)
        right, norms = ((self.product + 2 * c) * v).T, (v**2) @ c  # [D, B], [B]
        best = [(part @ right - norms).max(1) for part in u.split(1024)]
        score = (torch.cat([b.values for b in best]) + self.bias - (u**2) @ c).sigmoid()
        return score.numpy(), torch.cat([b.indices for b in best]).numpy()

    @torch.no_grad()
    def score(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Returns how likely the requests of each pair mean the same, [N]."""
        return self.odds(self.encode(first), self.encode(second)).sigmoid().numpy()


@lru_cache(maxsize=200_000)
def _grams(word: str) -> np.ndarray:
    """Returns the buckets of a word and of its n-grams of three and four characters."""
    marked = f"<{word}>"
    grams = [marked, *(marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1))]
    return np.array([zlib.crc32(g.encode()) % BUCKETS for g in grams])


def train_detector(utterances: Sequence[Utterance], seed: int = 0, most: int = PAIRS, epochs: int = EPOCHS) -> Detector:
    """Trains a detector on pairs of annotated utterances; see :func:`pairs`.

    Raises:
        ValueError: when the utterances make no pairs of both labels.
    """
    made = pairs(utterances, seed, most)
    if len({p.same for p in made}) < 2:
        raise ValueError("a paraphrase detector needs several sentences an intent, and several intents: add utterances")
    rng, detector = seed_everything(seed, threads=1), Detector()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    batches = [b for _ in range(epochs) for b in np.array_split(rng.permutation(len(made)), -(-len(made) // BATCH))]
    for rows in tqdm(batches, desc="paraphrase detector", unit="batch", delay=2, leave=False, disable=None):
        batch = [made[r] for r in rows]
        both = detector([p.first for p in batch] + [p.second for p in batch])
        gold = torch.tensor([float(p.same) for p in batch])
        odds = detector.odds(both[: len(batch)], both[len(batch) :])
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(odds, gold).backward()
        optimizer.step()
    return detector.eval()


def judge(detector: Detector, labelled: Sequence[ComparedPair]) -> dict[str, float]:
    """Returns the average precision of the detector and of two measures of word overlap, and the share of paraphrases.

    ``jaccard`` is the overlap of word sets, ``tfidf`` the cosine of TF-IDF vectors weighted on the pairs' own texts.
    """
    first, second, same = [p.first for p in labelled], [p.second for p in labelled], [p.same for p in labelled]
    tfidf = TfidfVectorizer(analyzer=words).fit(first + second)
    sets = [(set(words(a)), set(words(b))) for a, b in zip(first, second, strict=True)]
    scores = {
        "detector": detector.score(first, second),
        "jaccard": [len(a & b) / max(len(a | b), 1) for a, b in sets],
        "tfidf": np.asarray(tfidf.transform(first).multiply(tfidf.transform(second)).sum(1)).ravel(),
    }
    return {name: average_precision_score(same, s) for name, s in scores.items()} | {"share": float(np.mean(same))}


def judge_unseen(
    utterances: Sequence[Utterance], domains: Collection[str], seed: int = 0, most: int = PAIRS
) -> dict[str, dict[str, float]]:
    """Trains a detector without some domains, and judges it on pairs of each of them; see :func:`judge`."""
    detector = train_detector([u for u in utterances if u.domain not in domains], seed, most)
    unseen = pairs([u for u in utterances if u.domain in domains], seed, most)
    return {d: judge(detector, [p for p in unseen if p.domain == d]) for d in sorted({p.domain for p in unseen})}
