"""Defines ELMoL: a language model that reads words by their characters, once forwards and once backwards.

:class:`BiLM` is the part that reads and that moves to a new skill; :class:`LanguageModel` has the output words as well.
ELMo stacks two bi-directional LSTM layers (Peters et al., 2018, arXiv 1802.05365); ELMoL keeps one (Siddhant, Goyal
and Metallinou, 2019, arXiv 1811.05370). The two directions never see each other, or a word could read its own answer.
There is no vocabulary on the input side: any word has a vector. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from slubook.ch1_skills.encoding import distinct_words, numbered
from slubook.ch1_skills.lstm import Recurrence, Steps, blocks
from slubook.ch1_skills.masked_lm import OutputWords
from slubook.experiments import kept
from slubook.files import replaced_folder

#: What a folder should hold, and how to come by one.
WHAT, REMEDY = "language model", "train one with `slubook elmol train`"
PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3
SPECIAL = 4


@dataclass(frozen=True)
class BiLMConfig:
    """Sizes of a language model.

    Attributes:
        layers: 1 for ELMoL, 2 for ELMo.
        char_dim: of a character's vector.
        filters: how many there are for each length of window, in characters.
        width: W, of a word's vector, and of each direction's states after projection.
        hidden: H, of an LSTM of one direction.
        longest: characters read of a word.
    """

    layers: int = 1
    char_dim: int = 16
    filters: tuple[tuple[int, int], ...] = ((1, 32), (2, 32), (3, 64), (4, 64), (5, 64))
    width: int = 128
    hidden: int = 192
    longest: int = 16


class Characters(nn.Module):
    """A word's vector from its characters: convolutions, the maximum of each, a highway layer (Kim et al., 2016)."""

    def __init__(self, characters: int, config: BiLMConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(characters + SPECIAL, config.char_dim, padding_idx=PAD)
        self.filters = nn.ModuleList(nn.Conv1d(config.char_dim, n, window) for window, n in config.filters)
        total = sum(n for _, n in config.filters)
        self.highway = nn.Linear(total, 2 * total)
        self.project = nn.Linear(total, config.width)
        nn.init.constant_(self.highway.bias[:total], -1.0)  # pass most through at first

    def forward(self, spelled: Tensor) -> Tensor:
        """Returns the vectors [U, W] of words from their characters [U, L]."""
        embedded = self.table(spelled)  # [U, L, E]
        x = torch.relu(torch.cat([strongest(filters, embedded) for filters in self.filters], 1))
        gate, changed = self.highway(x).chunk(2, 1)
        return self.project(torch.lerp(x, torch.relu(changed), torch.sigmoid(gate)))


def strongest(filters: nn.Conv1d, embedded: Tensor) -> Tensor:
    """Returns the maximum of each filter over the embedded characters [U, L, E], [U, F].

    One matrix product takes half of the time of so small a convolution.
    """
    windows = embedded.unfold(1, filters.kernel_size[0], 1).flatten(2)  # [U, places, E · window]
    return F.linear(windows, filters.weight.flatten(1), filters.bias).amax(1)


class Layer(nn.Module):
    """One LSTM a direction, each projected to W; both run side by side and exchange nothing."""

    def __init__(self, config: BiLMConfig) -> None:
        super().__init__()
        w, h = config.width, config.hidden
        self.w_in = nn.Parameter(torch.empty(2, w, 4 * h).uniform_(-(h**-0.5), h**-0.5))
        self.w_rec = nn.Parameter(torch.empty(2, h, 4 * h).uniform_(-(h**-0.5), h**-0.5))
        self.bias = nn.Parameter(torch.zeros(2, 1, 4 * h))
        self.project = nn.Parameter(torch.empty(2, h, w).uniform_(-(h**-0.5), h**-0.5))
        nn.init.constant_(self.bias[..., h : 2 * h], 1.0)  # remember by default

    def forward(self, x: Tensor, steps: Steps) -> Tensor:
        """Returns the states of inputs that come step by step, both [2, P, W]."""
        return torch.bmm(Recurrence.apply(x, self.w_in, self.bias, self.w_rec, steps.counts), self.project)


class BiLM(nn.Module):
    """The part that reads: characters, then one or two layers. K = layers + 1 vectors a token, each 2W wide.

    Attributes:
        names: row of each character.
        scale: a factor on each layer's vectors, [K], so that all embeddings that are compared have the same mean norm.
        about: what it was trained on and how, for people and stamps.
    """

    def __init__(self, characters: Sequence[str], config: BiLMConfig) -> None:
        """Draws random weights; raises a ValueError for a configuration without layers."""
        super().__init__()
        if config.layers < 1:
            raise ValueError(f"a bidirectional language model has at least one layer, not {config.layers}")
        self.config, self.about = config, {}
        self.names = {c: i for i, c in enumerate(characters, SPECIAL)}
        self.characters = Characters(len(characters), config)
        self.boundary = nn.Parameter(torch.randn(1, config.width) * config.width**-0.5)
        self.stack = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.register_buffer("scale", torch.ones(config.layers + 1))

    @property
    def layers(self) -> int:
        """Returns K, the vectors of a token: of its characters, and of each LSTM layer."""
        return self.config.layers + 1

    @property
    def dim(self) -> int:
        """Returns 2W, the length of a vector."""
        return 2 * self.config.width

    @property
    def stamp(self) -> str:
        """Returns a hash of the weights: what was trained over one model does not fit another."""
        digest = hashlib.sha256()
        for name, values in self.state_dict().items():
            digest.update(name.encode() + values.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def parts(self) -> list[list[nn.Parameter]]:
        """Returns the parameters by layer, the highest first: what is unfrozen one after the other."""
        layers = [list(layer.parameters()) for layer in reversed(self.stack)]
        return [*layers, [*self.characters.parameters(), self.boundary]]

    def spell(self, lexicon: Sequence[str]) -> Tensor:
        """Returns the characters of each word between signs for its beginning and end, [U, longest + 2]."""
        rows = torch.full((len(lexicon), self.config.longest + 2), PAD)
        for row, word in zip(rows, lexicon, strict=True):
            known = [self.names.get(c, UNKNOWN) for c in word[: self.config.longest]]
            row[: len(known) + 2] = torch.tensor([BEGIN, *known, END])
        return rows

    def read(
        self, vectors: Tensor, words: Tensor, lengths: Tensor, dropout: float = 0.0
    ) -> tuple[list[Tensor], Tensor, Steps]:
        """Returns every layer's states as each direction meets the words, boundaries included: P of them in a batch.

        Args:
            vectors: what ``characters`` makes of the distinct words, [U, W].
            words: which of them stands where, [B, T].
            lengths: tokens of each utterance, [B].
            dropout: of the layers' inputs and of the last one's states.

        Returns:
            K tensors [2, P, W], each direction in its own order of time, step by step; which distinct word each of
            their places holds, [2, P], where U means the boundary; and the steps, of B utterances of T + 2 tokens.
        """
        inside = torch.arange(words.shape[1], device=words.device) < lengths.unsqueeze(1)
        framed = F.pad(torch.where(inside, words, len(vectors)), (1, 1), value=len(vectors))  # [B, T + 2]
        vectors = torch.cat([vectors, self.boundary])  # [U + 1, W]
        steps = Steps.of(lengths + 2, framed.shape[1])
        places = framed.flatten()[steps.rows]
        states = [F.embedding(places, vectors)]
        for number, layer in enumerate(self.stack):
            x = states[-1]
            made = layer(F.dropout(x, dropout, dropout > 0), steps)
            states.append(made + x if number else made)
        states[-1] = F.dropout(states[-1], dropout, dropout > 0)
        return states, places, steps

    def forward(self, spelled: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Returns the K vectors of every token, both directions side by side, [B, T, K, 2W]; zero at padding.

        Args:
            spelled: characters of the distinct words, [U, L].
            words, lengths: as for :meth:`read`.
        """
        return self.over(self.characters(spelled), words, lengths)

    def over(self, vectors: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
        """Returns the same of words whose vectors are known, [U, W]: a service may keep those of all words ever met."""
        states, _, steps = self.read(vectors, words, lengths)
        (b, t), w = words.shape, self.config.width
        seats = (2 * steps.rows + torch.arange(2, device=words.device).unsqueeze(1)).flatten()  # two a token
        both = torch.stack([s * factor for s, factor in zip(states, self.scale, strict=True)], 2)  # [2, P, K, W]
        out = both.new_zeros(b * (t + 2) * 2, self.layers, w).index_copy(0, seats, both.flatten(0, 1))
        out = out.view(b, t + 2, 2, self.layers, w)[:, 1:-1]
        out = out.masked_fill((torch.arange(t, device=words.device) >= lengths.unsqueeze(1)).view(b, t, 1, 1, 1), 0.0)
        return out.transpose(2, 3).flatten(3)

    def save(self, folder: Path) -> None:
        """Writes weights as safetensors and the rest as JSON, all or nothing."""
        facts = {"config": asdict(self.config), "characters": list(self.names), "about": self.about}
        with replaced_folder(folder) as draft:
            kept.write(draft, facts, self.state_dict())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged or of another format.
        """
        with kept.opened(folder, WHAT, REMEDY) as (facts, weights):
            filters = tuple(map(tuple, facts["config"]["filters"]))  # JSON has lists
            found = cls(facts["characters"], BiLMConfig(**{**facts["config"], "filters": filters}))
            found.load_state_dict(weights)
            found.about = facts["about"]
            return found.eval()


class LanguageModel(nn.Module):
    """A reader and its output words, which both directions share."""

    def __init__(self, reader: BiLM, output: OutputWords) -> None:
        super().__init__()
        self.reader, self.output = reader, output

    def guesses(
        self, spelled: Tensor, words: Tensor, lengths: Tensor, rows: Tensor, dropout: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Returns the state of each direction before it meets a word, and that word; M = words + utterances.

        Args:
            spelled, words, lengths, dropout: as for :meth:`BiLM.read`.
            rows: the output row of each distinct word, and of the boundary behind them, [U + 1].

        Returns:
            States [2, M, W] and the output rows of the words to guess, [2, M]: forwards first. Each direction guesses
            all words of an utterance and the boundary at its end.
        """
        states, places, steps = self.reader.read(self.reader.characters(spelled), words, lengths, dropout)
        every = blocks(steps.counts)
        before = [slice(now.start, now.start + after.stop - after.start) for now, after in pairwise(every)]
        held = torch.cat([states[-1][:, block] for block in before], 1)
        return held, rows[places[:, every[0].stop :]]

    def save(self, folder: Path) -> None:
        """Writes both parts, all or nothing."""
        with replaced_folder(folder) as draft:
            self.reader.save(draft / "reader")
            kept.write_weights(draft / "output.safetensors", self.output.state_dict())
            (draft / "words.json").write_text(json.dumps(self.output.words, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote; errors as of :meth:`BiLM.load`."""
        if not (folder / "reader").is_dir():
            raise FileNotFoundError(f"{folder} holds no {WHAT}: {REMEDY}")
        reader = BiLM.load(folder / "reader")
        with kept.reading(folder, WHAT):
            words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
            output = OutputWords(Counter(words), reader.config.width)
            output.load_state_dict(load_file(folder / "output.safetensors"))
        return cls(reader, output).eval()


class Text:
    """Sentences as indices of words, ready to be cut into batches."""

    def __init__(self, sentences: Sequence[Sequence[str]], model: LanguageModel, longest: int) -> None:
        self.lexicon, self.sentences = numbered([s[:longest] for s in sentences if s])
        self.spelled = model.reader.spell(self.lexicon)
        self.rows = model.output.rows(self.lexicon)

    def batch(self, chosen: Sequence[int], device: str) -> list[Tensor]:
        """Returns the arguments of :meth:`LanguageModel.guesses` for the chosen sentences."""
        used, words, lengths = distinct_words([self.sentences[n] for n in chosen])
        rows = torch.cat([self.rows[used], self.rows[-1:]])
        return [t.to(device) for t in (self.spelled[used], words, lengths, rows)]


@torch.no_grad()
def perplexity(
    model: LanguageModel, sentences: Sequence[Sequence[str]], longest: int = 30, batch: int = 64
) -> dict[str, float]:
    """Returns the perplexity of both directions over all words of ``sentences`` and the boundary at the end of each.

    It is that of the whole softmax. Words that are not among the output words count as one class, *unknown*, which is
    easily guessed and so flatters text with many of them. Therefore their share stands beside the figures, and so does
    the perplexity over known words and boundaries alone, in which *unknown* still takes its part of the probability.
    Models that are compared must have the same output words.

    Args:
        model: in evaluation mode.
        sentences: tokens of each text.
        longest: tokens read of each.
        batch: sentences at a time.

    Returns:
        ``forward``, ``backward``, ``forward_known``, ``backward_known``, and the share ``unknown`` of the ``words``.

    Raises:
        ValueError: when there are no words.
    """
    text = Text(sentences, model, longest)
    if not text.sentences:
        raise ValueError("perplexity: no words to guess")
    order = sorted(range(len(text.sentences)), key=lambda n: len(text.sentences[n]))
    sums, counts, unknown, words = torch.zeros(2, 2, dtype=torch.double), torch.zeros(2), 0, 0
    for start in range(0, len(order), batch):
        *given, rows = text.batch(order[start : start + batch], "cpu")
        states, targets = model.guesses(*given, rows)
        known = targets[0] != OutputWords.UNKNOWN
        counts += torch.tensor([len(known), int(known.sum())])
        unknown += int((~known).sum())
        words += int((targets[0] != OutputWords.BOUNDARY).sum())
        for direction in (0, 1):
            surprise = model.output.surprise(states[direction], targets[direction]).double()
            sums[direction] += torch.stack([surprise.sum(), surprise[targets[direction] != OutputWords.UNKNOWN].sum()])
    figures = {
        f"{name}{ending}": math.exp(sums[direction, kind] / counts[kind])
        for direction, name in enumerate(("forward", "backward"))
        for kind, ending in enumerate(("", "_known"))
    }
    return {**figures, "unknown": unknown / words, "words": words}
