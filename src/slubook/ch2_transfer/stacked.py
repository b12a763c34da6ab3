"""Chapter 2's network: one bi-LSTM that both tasks share, one for each task above it, and heads from label names.

The network is after Goyal, Metallinou and Matsoukas, *Fast and scalable expansion of natural language understanding
functionality for intelligent agents* (NAACL 2018, arXiv 1805.01542); taught in chapter 2, *Build it*.

The heads of a new skill need not start at random. The weights of a label are the sum of the weights of the words in its
name: *pickup city* shares weights with every *city* and every *pickup* of the source. Label names as the carrier of
transfer: Bapna et al. (2017, arXiv 1707.02363); taught in chapter 2, *Labels have names*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn

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
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Words that name the kind of a label, or nothing.
_EMPTY = frozenset(("in", "sl", "intent", "slot", "the", "a", "an", "of", "amazon", "hass"))
#: Steps between tags, by kind: out of a slot, at its start, inside it. ``other`` is from one slot into another.
STEPS = ("O>O", "O>B", "B>I", "I>I", "B>O", "I>O", "other")
_ENDS = ("start O", "start B", "end O", "end B", "end I")


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


def name_words(label: str) -> list[str]:
    """Returns the words of a label's name, without digits: ``"BookRestaurantIntent"`` → ``["book", "restaurant"]``."""
    words = [w.lower() for w in re.split(r"[^A-Za-z]+", _HUMP.sub(" ", label)) if w]
    return [w for w in words if w not in _EMPTY]


def spoken(label: str) -> str:
    """Returns a label as its words; labels of two corpora with the same words count as the same label."""
    return " ".join(name_words(label))


class NamedHeads(nn.Module):
    """Weights of name words, H wide, for tags and intents, and a CRF that tells only kinds of tags apart.

    All weights start at zero.
    """

    def __init__(self, tag_words: Sequence[str], intent_words: Sequence[str], tag_width: int, intent_width: int):
        """Makes the weights.

        Args:
            tag_words: the words in names of slot types.
            intent_words: the words in names of intents.
            tag_width: of the tagger's states.
            intent_width: of the pooled states.
        """
        super().__init__()
        self.tag_words = {w: i for i, w in enumerate(tag_words)}
        self.intent_words = {w: i for i, w in enumerate(intent_words)}
        self.begin = nn.Parameter(torch.zeros(len(tag_words) + 1, tag_width))  # the last row: of any slot
        self.inside = nn.Parameter(torch.zeros(len(tag_words) + 1, tag_width))
        self.outside = nn.Parameter(torch.zeros(1, tag_width))
        self.intent = nn.Parameter(torch.zeros(len(intent_words), intent_width))
        self.steps = nn.Parameter(torch.zeros(len(STEPS)))
        self.ends = nn.Parameter(torch.zeros(len(_ENDS)))

    def tag_mix(self, kinds: Sequence[str]) -> Tensor:
        """Returns how much of each word's weights the slot types have, [types, words + 1]."""
        return torch.cat([_mix(self.tag_words, kinds), torch.ones(len(kinds), 1)], 1)

    def intent_mix(self, intents: Sequence[str]) -> Tensor:
        """Returns how much of each word's weights the intents have, [intents, words]."""
        return _mix(self.intent_words, intents)

    def tag_weights(self, mix: Tensor) -> Tensor:
        """Returns the weights of the tags O, B-first, I-first, …, [1 + 2 types, H], from :meth:`tag_mix`."""
        pairs = torch.stack([mix @ self.begin, mix @ self.inside], 1)  # [types, 2, H]
        return torch.cat([self.outside, pairs.flatten(0, 1)])

    def crf(self, types: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns start [K], end [K] and step [K, K] scores of K = 1 + 2 · ``types`` tags."""
        e = self.ends
        start = torch.cat([e[:1], torch.stack([e[1], e[1]]).repeat(types)])
        end = torch.cat([e[2:3], e[3:5].repeat(types)])
        return start, end, self.steps[step_kinds(types)]

    @torch.no_grad()
    def write(self, network: Network, group: int, tags: Sequence[str], intents: Sequence[str]) -> None:
        """Writes weights from the names of its own labels into the heads of network ``group``."""
        kinds = [t[2:] for t in tags if t.startswith("B-")]
        network.tag_head.weight[group] = self.tag_weights(self.tag_mix(kinds)).t()
        network.intent_head.weight[group] = (self.intent_mix(intents) @ self.intent).t()
        start, end, step = self.crf(len(kinds))
        network.crf.start[group, 0], network.crf.end[group, 0], network.crf.step[group] = start, end, step


@cache
def step_kinds(types: int) -> Tensor:
    """Returns which of :data:`STEPS` each step is, [K, K], for the tags O, B-first, I-first, …"""
    kind = torch.tensor([0] + [1, 2] * types)  # O, B, I
    slot = torch.tensor([-1] + [k for k in range(types) for _ in (0, 1)])
    before, after, same = kind.unsqueeze(1), kind.unsqueeze(0), slot.unsqueeze(1) == slot.unsqueeze(0)
    found = torch.full((len(kind), len(kind)), STEPS.index("other"))
    for name, mask in {
        "O>O": (before == 0) & (after == 0),
        "O>B": (before == 0) & (after == 1),
        "B>I": (before == 1) & (after == 2) & same,
        "I>I": (before == 2) & (after == 2) & same,
        "B>O": (before == 1) & (after == 0),
        "I>O": (before == 2) & (after == 0),
    }.items():
        found[mask] = STEPS.index(name)
    return found


def _mix(words: Mapping[str, int], labels: Sequence[str]) -> Tensor:
    mix = torch.zeros(len(labels), len(words))
    for row, label in enumerate(labels):
        known = [words[w] for w in name_words(label) if w in words]
        for column in known:
            mix[row, column] += len(known) ** -0.5
    return mix
