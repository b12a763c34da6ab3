"""Defines a whole bidirectional language model: the part that reads, the output words, its batches, its perplexity.

Only the reader moves to a new skill; the output words are kept for perplexity. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from slubook.ch1_skills.encoding import distinct_words, numbered
from slubook.ch1_skills.lstm import blocks
from slubook.ch1_skills.output_words import BOUNDARY, UNKNOWN, OutputWords
from slubook.ch3_elmol.bilm import REMEDY, WHAT, BiLM
from slubook.experiments import kept
from slubook.files import replaced_folder


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
            spelled, words, lengths, dropout: as for :meth:`slubook.ch3_elmol.bilm.BiLM.read`.
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
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged or of another format.
        """
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
        known = targets[0] != UNKNOWN
        counts += torch.tensor([len(known), int(known.sum())])
        unknown += int((~known).sum())
        words += int((targets[0] != BOUNDARY).sum())
        for direction in (0, 1):
            surprise = model.output.surprise(states[direction], targets[direction]).double()
            sums[direction] += torch.stack([surprise.sum(), surprise[targets[direction] != UNKNOWN].sum()])
    figures = {
        f"{name}{ending}": math.exp(sums[direction, kind] / counts[kind])
        for direction, name in enumerate(("forward", "backward"))
        for kind, ending in enumerate(("", "_known"))
    }
    return {**figures, "unknown": unknown / words, "words": words}
