"""Detects paraphrases: whether two requests ask for the same thing in other words.

The detector learns from pairs made of annotated utterances of other domains (Cho et al., ASRU 2019, arXiv 1910.04196).
A slot template is an utterance without its slot values. Two templates of one intent and the same slot types, filled
with the same values, are paraphrases. One template filled with other values looks alike, and means something else.
Taught in chapter 4, *Self-training*.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from tqdm import tqdm

from slubook.ch1_skills.encoding import numbered, padded
from slubook.corpora.utterance import Utterance, words
from slubook.profiles import seed_everything

#: Columns for words, which are hashed.
COLUMNS = 2**20
#: Draws in search of an utterance that makes a pair.
TRIES = 20


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of a detector.

    Attributes:
        pairs: that it learns from.
        passes: over these.
        batch, rate: of the training.
        width, gates, buckets: of the siamese encoder: of its vectors, of its pooling, of its character n-grams.
        rare: shares of requests that have a word, which part frequent words from rarer ones.
        hidden: of the layer over counts of shared words.
        parts: of the score: ``vectors``, ``words`` or both.
        together: whether both parts learn by their sum, or each by itself; the record shows hardly a difference.
        version: raised when the same settings would train another detector.
    """

    pairs: int = 20_000
    passes: int = 2
    batch: int = 128
    rate: float = 3e-3
    width: int = 48
    gates: int = 2
    buckets: int = 2**15
    rare: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    hidden: int = 16
    parts: tuple[str, ...] = ("vectors", "words")
    together: bool = False
    version: int = 2


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


def pairs(utterances: Sequence[Utterance], seed: int, most: int | None = None) -> list[ComparedPair]:
    """Makes labelled pairs, up to four around one utterance, which has another of its intent and slot types.

    * ``paraphrase``: another template of the same intent and slot types, with the same values;
    * ``value``: the same template with other values (*Play Adele*, *Play Seal*);
    * ``intent``: another intent of the domain, with the same slot types and values where it has them;
    * ``domain``: any utterance of another domain.

    Args:
        utterances: annotated, of all domains but the one that the detector will be used in.
        seed: of the draws.
        most: pairs; ``None``, or fewer, where the utterances make no more.
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
        if most is None or len(made) < most:
            made += around(utterances[n])
    return made[:most]


def _types(utterance: Utterance) -> tuple[str, ...]:
    return tuple(sorted(s.type for s in utterance.slots))


def rarity(texts: Iterable[str], rare: Sequence[float]) -> dict[str, int]:
    """Returns a class for each word by the share of texts that have it: 0 for frequent words, up to len(rare)."""
    distinct = [set(words(t)) for t in texts]
    counts = Counter(w for some in distinct for w in some)
    return {w: sum(n <= share * len(distinct) for share in rare) for w, n in counts.items()}


@dataclass(frozen=True)
class Requests:
    """What a detector has read of N requests: a vector each, [N, D], and their words, by rarity, [N, COLUMNS] each."""

    vectors: Tensor
    words: Sequence[csr_matrix]

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Any) -> Requests:
        return Requests(self.vectors[rows], [some[rows] for some in self.words])


class Detector(nn.Module):
    """A siamese encoder, and a layer over counts of the words that two requests share and do not share.

    A word is the mean of hashed character n-grams (as in FastText), so that a name that was never seen has a vector,
    too. A bidirectional GRU reads the words. Its states are pooled by mean and maximum. Gates on them choose the words
    that must agree, which are summed, [D]. The log odds are b + Σ a·u·v − Σ c·(u² + v²) with c ≥ 0: a weighted product
    and a weighted distance at once, symmetric, and one matrix product for all pairs of two sets.

    What it knows of the domains that it learned from says little of another one. So words are counted, too: how many
    are in both requests and how many in one of them, for each of R classes of rarity. Two requests that share all but
    a rare word name different things. This holds in any domain, as long as rarity is known: it is counted on requests
    that nobody has to annotate.
    """

    def __init__(self, rarities: Mapping[str, int], config: DetectorConfig | None = None) -> None:
        """Starts at random.

        Args:
            rarities: of words, of :func:`rarity`; other words are of the rarest class.
            config: settings.
        """
        super().__init__()
        self.rarities, self.config = rarities, (config := config or DetectorConfig())
        width, size = config.width, (4 + config.gates) * config.width
        self.words = nn.EmbeddingBag(config.buckets, width, mode="mean")
        self.reader = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.gate = nn.Linear(2 * width, config.gates)
        self.product = nn.Parameter(torch.zeros(size))
        self.length = nn.Parameter(torch.full((size,), -2.0))
        self.bias = nn.Parameter(torch.zeros(()))
        classes = len(config.rare) + 1
        self.counts = nn.Sequential(nn.Linear(2 * classes, config.hidden), nn.Tanh(), nn.Linear(config.hidden, 1))

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Reads B requests, [B, D]."""
        if "vectors" not in self.config.parts:
            return torch.zeros(len(texts), len(self.product))
        lexicon, rows = numbered([words(t) or [""] for t in texts])
        bags = [_grams(w, self.config.buckets) for w in lexicon]
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
        odds = self.bias + ((self.product + 2 * c) * u * v).sum(1) - (u**2) @ c - (v**2) @ c
        return odds * ("vectors" in self.config.parts)

    def counted(self, shared: np.ndarray, both: np.ndarray) -> Tensor:
        """Scores pairs by their words as log odds, [...].

        Args:
            shared: words in both requests, by rarity, [..., R].
            both: the sum of the words of each, [..., R].
        """
        found = torch.from_numpy(np.concatenate([shared, both - 2 * shared], -1)).float()
        return self.counts(found.log1p())[..., 0] * ("words" in self.config.parts)

    def mark(self, texts: Sequence[str]) -> list[csr_matrix]:
        """Marks the distinct words of N requests, [N, COLUMNS] for each class of rarity."""
        rarest = len(self.config.rare)
        found = [sorted((self.rarities.get(w, rarest), _column(w)) for w in {*words(t)}) for t in texts]
        marked = []
        for k in range(rarest + 1):
            rows = [[column for rare, column in some if rare == k] for some in found]
            ends = np.cumsum([0, *map(len, rows)])
            columns = np.array([column for row in rows for column in row], int)
            marked.append(csr_matrix((np.ones(len(columns), np.float32), columns, ends), (len(texts), COLUMNS)))
        return marked

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Requests:
        """Reads any number of requests, those of like length together."""
        out, order = torch.zeros(len(texts), len(self.product)), np.argsort([len(t) for t in texts], kind="stable")
        for first in range(0, len(order), 512):
            rows = order[first : first + 512]
            out[torch.from_numpy(rows)] = self([texts[r] for r in rows])
        return Requests(out, self.mark(texts))

    @torch.no_grad()
    def nearest(self, u: Requests, v: Requests) -> tuple[np.ndarray, np.ndarray]:
        """Returns the largest score of each of A requests with any of B, and its place among them, [A] and [A].

        Without any request to compare with, scores are 0 and places −1.
        """
        if not len(v):
            return np.zeros(len(u), np.float32), np.full(len(u), -1)
        c, has = nn.functional.softplus(self.length), sizes(v.words)
        right = ((self.product + 2 * c) * v.vectors).T  # [D, B]
        best = []
        for first in range(0, len(u), 256):
            part = u[slice(first, first + 256)]
            odds = part.vectors @ right - (part.vectors**2 @ c)[:, None] - v.vectors**2 @ c + self.bias  # [A, B]
            shared = np.stack([(a @ b.T).toarray() for a, b in zip(part.words, v.words, strict=True)], -1)
            odds = odds * ("vectors" in self.config.parts)
            best.append((odds + self.counted(shared, sizes(part.words)[:, None] + has)).max(1))
        score = torch.cat([b.values for b in best]).sigmoid()
        return score.numpy(), torch.cat([b.indices for b in best]).numpy()

    @torch.no_grad()
    def score(self, first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        """Returns how likely the requests of each pair mean the same, [N]."""
        u, v = self.encode(first), self.encode(second)
        return (self.odds(u.vectors, v.vectors) + self.counted(*compared(u.words, v.words))).sigmoid().numpy()


def sizes(marked: Sequence[csr_matrix]) -> np.ndarray:
    """Counts the words of N requests by rarity, [N, R]."""
    return np.stack([np.diff(some.indptr) for some in marked], 1).astype(np.float32)


def compared(first: Sequence[csr_matrix], second: Sequence[csr_matrix]) -> tuple[np.ndarray, np.ndarray]:
    """Counts the words that the two of each pair share, and those that each has, by rarity, [N, R] both."""
    shared = [np.asarray(a.multiply(b).sum(1)).ravel() for a, b in zip(first, second, strict=True)]
    return np.stack(shared, 1).astype(np.float32), sizes(first) + sizes(second)


@lru_cache(maxsize=200_000)
def _grams(word: str, buckets: int) -> np.ndarray:
    """Returns the buckets of a word and of its n-grams of three and four characters."""
    marked = f"<{word}>"
    grams = [marked, *(marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1))]
    return np.array([zlib.crc32(g.encode()) % buckets for g in grams])


def _column(word: str) -> int:
    return zlib.crc32(word.encode()) % COLUMNS


def train_detector(
    utterances: Sequence[Utterance], texts: Iterable[str], config: DetectorConfig | None = None, seed: int = 0
) -> Detector:
    """Trains a detector on pairs of annotated utterances; see :func:`pairs`.

    Args:
        utterances: annotated, of other domains than the one that it will be used in.
        texts: requests of any domain without labels, by which words are rare or frequent.
        config: settings.
        seed: of pairs, weights and order.

    Raises:
        ValueError: when the utterances make no pairs of both labels.
    """
    config = config or DetectorConfig()
    made = pairs(utterances, seed, config.pairs)
    if len({p.same for p in made}) < 2:
        raise ValueError("a paraphrase detector needs several sentences an intent, and several intents: add utterances")
    rng, detector = seed_everything(seed, threads=1), Detector(rarity(texts, config.rare), config)
    first, second, same = [p.first for p in made], [p.second for p in made], torch.tensor([float(p.same) for p in made])
    counts = compared(detector.mark(first), detector.mark(second))
    siamese = [p for name, p in detector.named_parameters() if not name.startswith("counts")]
    faster = {"params": detector.counts.parameters(), "lr": 3 * config.rate}
    optimizer, steps = torch.optim.Adam([{"params": siamese}, faster], config.rate), -(-len(made) // config.batch)
    batches = [b for _ in range(config.passes) for b in np.array_split(rng.permutation(len(made)), steps)]
    for rows in tqdm(batches, desc="paraphrase detector", unit="batch", delay=2, leave=False, disable=None):
        both = detector([some[r] for some in (first, second) for r in rows])
        parts = detector.odds(both[: len(rows)], both[len(rows) :]), detector.counted(*(some[rows] for some in counts))
        odds = torch.stack([sum(parts)] if config.together else parts)  # [1 or 2, B]
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(odds, same[rows].expand_as(odds)).backward()
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
    found = {name: average_precision_score(same, s) for name, s in scores.items()} | {"share": np.mean(same)}
    return {name: round(float(value), 4) for name, value in found.items()}


def judge_unseen(
    known: Sequence[tuple[Utterance, Collection[str]]],
    unseen: Collection[str],
    texts: Iterable[str],
    config: DetectorConfig | None = None,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Trains a detector without some topics, and judges it on pairs around utterances of each; see :func:`judge`.

    Args:
        known: annotated utterances with their topics.
        unseen: topics that it does not learn from.
        texts, config, seed: of :func:`train_detector`.
    """
    detector = train_detector([u for u, topics in known if not {*topics} & {*unseen}], texts, config, seed)
    made = pairs([u for u, _ in known], seed + 1)
    own = {topic: {u.text for u, topics in known if topic in topics} for topic in unseen}
    return {topic: judge(detector, [p for p in made if p.first in own[topic]]) for topic in sorted(unseen)}
