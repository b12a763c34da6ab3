"""How well a bidirectional language model guesses words: the perplexity of each direction under the whole softmax.

Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from slubook.ch1_skills.masked_lm import OutputWords
from slubook.ch3_elmol.bilm_training import Text
from slubook.ch3_elmol.language_model import LanguageModel


@torch.no_grad()
def perplexity(
    model: LanguageModel, sentences: Sequence[Sequence[str]], longest: int = 30, batch: int = 64
) -> dict[str, float]:
    """The perplexity of both directions over all words of ``sentences`` and the boundary at the end of each.

    A word that is not among the output words counts as one class, *unknown*. That flatters text with many of them,
    since the class is easily guessed; so their share stands beside the figures, and the perplexity over known words
    and boundaries alone as well, in which *unknown* still takes its part of the probability. Any word is *read* by its
    characters, known or not. Models that are compared must have the same output words.

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
