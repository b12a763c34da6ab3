"""Stage one of transfer: one network learns the labels of all source domains.

Every batch is of one domain and is judged on that domain's labels alone, as the new skill will be. In half of the
batches a domain's heads are the sum of its labels' name weights and of rows of its own; in the others they are the
name weights alone. The rows do not move to a new skill. Taught in chapter 2, *Build it*.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

import slubook
from slubook.ch1_skills.crf import CRF, allowed_transitions
from slubook.ch1_skills.encoding import Batch, Encoder, distinct_words, padded, spell
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import one_cycle
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import LOWER, Pretrained
from slubook.ch2_transfer.source import SourceDomain, source_key
from slubook.ch2_transfer.stacked import PARTS, NamedHeads, StackedNetwork, name_words, spoken
from slubook.corpora.bio import OUTSIDE, to_bio
from slubook.corpora.utterance import tokenize, words
from slubook.experiments.kept import Artefacts
from slubook.profiles import seed_everything

#: Of pretraining; raised when the same source and settings would train another network.
REVISION = 1
#: Every pretrained network that is kept.
NETWORKS = Artefacts("pretrained network", "pretrained", Pretrained.load, lambda network: network.about.get("key"))
#: Where the network of a name is kept.
pretrained_folder = NETWORKS.folder
#: A pretrained network of chapter 2, or one over an embedding as in chapter 3.
N = TypeVar("N")


@dataclass(frozen=True)
class PretrainingConfig:
    """Sizes, steps and rates.

    Attributes:
        network: of the source; ``dim`` is the width of the generic table that it reads, if any.
        power: a domain is drawn in proportion to its size to this power.
        names_alone: the share of batches whose heads are without the domain's own rows.
        least: occurrences that make a word known.
        longest: tokens read of an utterance.
        shuffled: gives each utterance another's intent, and the tags of another of its length: a control that cannot
            learn what labels mean.
    """

    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(dim=96, layers=3, dropout=0.2, word_dropout=0.25, ngram_order=0)
    )
    updates: int = 8000
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.01
    power: float = 0.5
    names_alone: float = 0.5
    least: int = 2
    longest: int = 30
    characters: int = 60
    shuffled: bool = False


class SourceEncoder(Encoder):
    """The vocabulary of all source domains; each domain has labels of its own."""

    def __init__(self, domains: Sequence[SourceDomain], least: int, characters: int) -> None:
        self.counts = Counter(w for d in domains for u in d.utterances for w in words(u.text))
        self.words = sorted(w for w, n in self.counts.items() if n >= least)
        self.local = {w: i for i, w in enumerate(self.words, 1)}
        frequent = Counter(c for w in self.words for c in w).most_common(characters)
        self.characters = {c: i for i, c in enumerate(sorted(c for c, _ in frequent), 2)}
        self.ngram_order, self.ngrams = 0, {}
        self.intents, self.tags = [""], [OUTSIDE]


@dataclass
class EncodedDomain:
    """One domain as indices, and the places of its own rows."""

    words: list[np.ndarray]
    tags: list[np.ndarray]
    intents: np.ndarray  # [N], -1 where not known
    types: int
    tag_mix: Tensor
    intent_mix: Tensor
    tag_rows: slice
    intent_rows: slice


class _DomainCRF:
    """The CRF's loss, with scores that are given instead of parameters."""

    loss, score, log_partition = CRF.loss, CRF.score, CRF.log_partition

    def __init__(self, start: Tensor, end: Tensor, step: Tensor, types: int) -> None:
        self.start, self.end, self.step = start.view(1, 1, -1), end.view(1, 1, -1), step.unsqueeze(0)
        self.legal_start, self.legal_step = _grammar(types)


class Pretraining(nn.Module):
    """The stacked network, heads by name, and rows of each domain's own labels."""

    def __init__(
        self,
        domains: Sequence[SourceDomain],
        config: PretrainingConfig,
        table: VectorTable | None,
        make: Callable[[Encoder, NetworkConfig, list[bool]], StackedNetwork] = StackedNetwork,
    ) -> None:
        super().__init__()
        self.config, hidden = config, config.network.hidden
        self.encoder = SourceEncoder(domains, config.least, config.characters)
        self.network = make(self.encoder, config.network, [table is None])
        tag_words = sorted({w for d in domains for t in d.slot_types for w in name_words(t)})
        intent_words = sorted({w for d in domains for i in d.intents for w in name_words(i)})
        self.heads = NamedHeads(tag_words, intent_words, 2 * hidden, 4 * hidden)
        tags = sum(1 + 2 * len(d.slot_types) for d in domains)
        self.own_tags = nn.Parameter(torch.randn(tags, 2 * hidden) * 0.05)
        self.own_intents = nn.Parameter(torch.randn(sum(len(d.intents) for d in domains), 4 * hidden) * 0.05)
        self.lexicon = sorted(self.encoder.counts)
        self.local = torch.tensor([self.encoder.local.get(w, 0) for w in self.lexicon])  # [V]
        self.chars = spell(self.lexicon, self.encoder.characters)
        dim = config.network.dim
        self.vectors = torch.zeros(1, dim) if table is None else torch.from_numpy(table.vectors(self.lexicon))
        self.domains = self._encode(domains)

    def _encode(self, domains: Sequence[SourceDomain]) -> list[EncodedDomain]:
        place, longest = {w: i for i, w in enumerate(self.lexicon)}, self.config.longest
        encoded, tag, intent = [], 0, 0  # the next free rows
        for d in tqdm(domains, desc="source", unit="domain", delay=2, leave=False, disable=None):
            tag_of, intent_of = ({x: i for i, x in enumerate(some)} for some in (_tags(d.slot_types), d.intents))
            rows = [(tokens, u) for u in d.utterances if (tokens := tokenize(u.text))]
            encoded.append(
                EncodedDomain(
                    [np.array([place[t.text.lower()] for t in tokens[:longest]]) for tokens, _ in rows],
                    [np.array([tag_of[t] for t in to_bio(tokens, u.slots)[:longest]]) for tokens, u in rows],
                    np.array([intent_of.get(u.intent, -1) for _, u in rows]),
                    len(d.slot_types),
                    self.heads.tag_mix(d.slot_types),
                    self.heads.intent_mix(d.intents),
                    slice(tag, tag := tag + len(tag_of)),
                    slice(intent, intent := intent + len(intent_of)),
                )
            )
        return encoded

    def loss(self, domain: EncodedDomain, rows: np.ndarray, own: bool) -> Tensor:
        """Returns tag loss plus intent loss of one batch of one domain, each where the domain has such labels.

        Args:
            domain: whose labels count.
            rows: of its utterances, [B].
            own: whether the domain's own rows are added to the weights from names.
        """
        batch, tags = self.batch(domain, rows)
        states, pooled = self.network.encode(batch)
        loss = states.new_zeros(())
        if domain.types:
            weights = self.heads.tag_weights(domain.tag_mix)
            weights = weights + self.own_tags[domain.tag_rows] if own else weights
            crf = _DomainCRF(*self.heads.crf(domain.types), domain.types)
            loss = loss + crf.loss(states @ weights.t(), tags, batch.mask).sum()
        intents = torch.from_numpy(domain.intents[rows])
        known = intents >= 0
        if len(domain.intent_mix) and known.any():
            weights = domain.intent_mix @ self.heads.intent
            weights = weights + self.own_intents[domain.intent_rows] if own else weights
            loss = loss + F.cross_entropy(pooled[0][known] @ weights.t(), intents[known])
        return loss

    def batch(self, domain: EncodedDomain, rows: np.ndarray) -> tuple[Batch, Tensor]:
        """Returns the utterances at ``rows`` of a domain as a padded batch, and their tags, [B, T]."""
        picked, places, lengths = distinct_words([domain.words[r] for r in rows])
        vectors = self.vectors[picked] if len(self.vectors) > 1 else self.vectors.expand(len(picked), -1)
        batch = Batch(
            vectors.unsqueeze(0), self.local[picked], self.chars[picked], places, lengths,
            torch.zeros(len(rows), 0),
        )  # fmt: skip
        return batch, padded([domain.tags[r] for r in rows])

    def used_parameters(self) -> list[nn.Parameter]:
        """Returns what learns: all parameters but the network's own heads, which nothing reads here."""
        unused = {f"network.{n}" for n in PARTS["heads"]}
        return [p for n, p in self.named_parameters() if n not in unused]

    @torch.no_grad()
    def finished(self, name: str, table: VectorTable | None) -> Pretrained:
        """Returns what a new skill takes over, with the words' representations as a table of their own.

        A row is the difference of a word from the unknown one, which is kept beside the table: so a word without a
        row is read as the source read unknown words.
        """
        c = self.config.network
        listed = sorted({*self.encoder.words, *(table.index if table else ())})
        local = torch.tensor([self.encoder.local.get(w, 0) for w in listed])
        generic = torch.zeros(len(listed), c.dim) if table is None else torch.from_numpy(table.vectors(listed))
        own = self.network.local[0]
        project = self.network.project.weight[0]
        rows = (generic @ project) + (own[local] - own[0]) / c.vector_norm  # [V, project]
        index, buckets, ngrams = {word: i for i, word in enumerate(listed)}, torch.zeros(0, c.project), (3, 5)
        if table:  # unseen words keep their n-grams: the mean of projected rows is the projected mean
            buckets, ngrams = torch.from_numpy(np.asarray(table.buckets, np.float32)) @ project, table.ngrams
        words = VectorTable(name, index, *(r.numpy().astype(np.float16) for r in (rows, buckets)), ngrams)
        weights = {n: self.network.rows(n, 0).detach().clone() for part in LOWER for n in PARTS[part]}
        weights["unknown"] = self.network.project.bias[0] + own[:1]
        return Pretrained(replace(c, dim=c.project), words, self.encoder.characters, weights, self.heads)


def pretrain(
    name: str,
    domains: Sequence[SourceDomain],
    config: PretrainingConfig | None = None,
    table: VectorTable | None = None,
    seed: int = 0,
) -> Pretrained:
    """Trains on all domains and returns what can move to a new skill.

    Args:
        name: of the word table that comes out.
        domains: annotated source domains.
        config: sizes, steps and rates.
        table: generic vectors of unlabelled text as input; ``None`` learns words from the labels alone.
        seed: of everything drawn.

    Raises:
        ValueError: when there is no domain, or the table is not as wide as the configuration says.
    """
    c = config or PretrainingConfig()
    if not domains:
        raise ValueError("pretrain: no source domains are left: leave out fewer topics")
    if table is not None and table.dim != c.network.dim:
        raise ValueError(f"table {table.name!r} has {table.dim} dimensions, the network reads {c.network.dim}")
    rng = seed_everything(seed, threads=1)
    model = Pretraining(domains, c, table)
    if c.shuffled:
        _shuffle(model.domains, rng)
    learn(model, name, c, rng)
    return model.eval().finished(name, table)


def learn(
    model: Pretraining,
    name: str,
    c: PretrainingConfig,
    rng: np.random.Generator,
    paces: Sequence[tuple[list[nn.Parameter], Callable[[int], float]]] = (),
    watch: Callable[[int, float], None] | None = None,
    target: EncodedDomain | None = None,
    last: float = 50,
) -> None:
    """Makes the updates of pretraining, which change the model in place.

    Args:
        model: of all domains.
        name: for the progress bar, which an empty one does without.
        c: steps and rates; those of the model, but for joint training.
        rng: draws domains and utterances.
        paces: parameters that learn at another rate: at each update, a multiple of the configured one.
        watch: called with the update and its loss.
        target: the last domain, where every second update is of it, always with its own rows: a new skill.
        last: how many times less than the first rate the last one is.
    """
    sources = model.domains[:-1] if target else model.domains
    sizes = np.array([len(d.words) for d in sources]) ** c.power
    parameters = model.used_parameters()
    apart = {id(p) for group, _ in paces for p in group}
    groups = [{"params": [p for p in parameters if id(p) not in apart]}, *({"params": group} for group, _ in paces)]
    optimizer = torch.optim.AdamW(groups, c.rate, weight_decay=c.weight_decay, betas=(0.9, 0.98), fused=True)
    schedule = one_cycle(optimizer, c.updates, last)
    model.train()
    shown = {"desc": f"pretraining {name}", "unit": "update", "mininterval": 2, "disable": None if name else True}
    for update in tqdm(range(1, c.updates + 1), **shown):
        domain = target if target and update % 2 else sources[rng.choice(len(sizes), p=sizes / sizes.sum())]
        rows = rng.integers(len(domain.words), size=c.batch)
        loss = model.loss(domain, rows, own=domain is target or rng.random() >= c.names_alone)
        if loss.requires_grad:
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            for group, (_, speed) in zip(optimizer.param_groups[1:], paces, strict=True):
                group["lr"] *= speed(update)
            optimizer.step()
        schedule.step()
        if watch:
            watch(update, loss.item())


def _shuffle(domains: Sequence[EncodedDomain], rng: np.random.Generator) -> None:
    for domain in domains:
        domain.intents = rng.permutation(domain.intents)
        lengths = np.array([len(tags) for tags in domain.tags])
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            for row, tags in zip(rows, [domain.tags[r] for r in rng.permutation(rows)], strict=True):
                domain.tags[row] = tags


def _tags(types: Iterable[object]) -> list[str]:
    return [OUTSIDE, *(f"{p}-{t}" for t in types for p in "BI")]


@cache
def _grammar(types: int) -> tuple[Tensor, Tensor]:
    return allowed_transitions(_tags(range(types)))


def pretrained_key(domains: Sequence[SourceDomain], config: PretrainingConfig, table: VectorTable | None = None) -> str:
    """Returns a hash of the source's texts and labels, the settings, the generic table, and the revision."""
    parts = (source_key(domains), repr(config), table.key if table else "", f"revision {REVISION}")
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def kept_pretrained(
    name: str, domains: Sequence[SourceDomain], config: PretrainingConfig, table: VectorTable | None = None
) -> Pretrained:
    """Returns the pretrained network ``name``: the one that is kept if it had the same source and settings.

    The arguments are those of :func:`pretrain`.

    Raises:
        KeptError, OSError: as :meth:`slubook.experiments.kept.Artefacts.kept` does.
    """
    key = pretrained_key(domains, config, table)
    return kept_network(NETWORKS, name, key, domains, config, lambda: pretrain(name, domains, config, table))


def kept_network(
    networks: Artefacts[N],
    name: str,
    key: str,
    domains: Sequence[SourceDomain],
    config: PretrainingConfig,
    train: Callable[[], N],
) -> N:
    """Returns a kept network of any kind; its ``about`` has what it has read and the processor's seconds.

    Args:
        networks: of its kind.
        name: of the network.
        key: a hash of all that it depends on.
        domains: annotated source domains; their number, utterances and label names go into ``about``.
        config: whose updates go there as well.
        train: trains a new one.
    """
    utterances = sum(len(d.utterances) for d in domains)

    def make() -> N:
        start = time.process_time()
        network = train()
        network.about.update(
            key=key,
            version=slubook.__version__,
            seconds=round(time.process_time() - start, 1),
            updates=config.updates,
            domains=len(domains),
            utterances=utterances,
            slot_types=sorted({spoken(t) for d in domains for t in d.slot_types}),
            intents=sorted({spoken(i) for d in domains for i in d.intents}),
        )
        return network

    return networks.kept(name, key, make, f"training on {utterances:,} requests of {len(domains)} domains")
