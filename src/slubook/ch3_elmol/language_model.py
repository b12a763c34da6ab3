"""A bidirectional language model whole: the part that reads, and the output words that it learns to guess.

Only the reader moves to a new skill; the output words are kept for perplexity. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from slubook.ch1_skills.lstm import blocks
from slubook.ch1_skills.masked_lm import OutputWords
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
        """What each direction holds before it meets a word, and that word; M = words of the batch + utterances.

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
        """Write both parts; aside first, then renamed: never half there."""
        with replaced_folder(folder) as draft:
            self.reader.save(draft / "reader")
            kept.write_weights(draft / "output.safetensors", self.output.state_dict())
            (draft / "words.json").write_text(json.dumps(self.output.words, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What :meth:`save` wrote.

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
