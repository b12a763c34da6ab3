"""Which word stands here: a softmax over a vocabulary, sampled while a model learns and whole when it is judged.

Taught in chapter 1, *Embeddings from text nobody labelled*, and chapter 3, *Build it*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNKNOWN, BOUNDARY = 0, 1
_SPECIAL = 2


def sampled_softmax(
    states: Tensor, targets: Tensor, vectors: Tensor, bias: Tensor, frequency: Tensor, count: int
) -> Tensor:
    """Mean loss of a softmax over some words, with their sampling probability taken out (Jean et al., 2015).

    Args:
        states: one for each word to guess, [M, D].
        targets: those words, [M].
        vectors: of all words, [V, D].
        bias: of all words, [V].
        frequency: how often each word is drawn as a candidate, [V], sums to 1.
        count: candidates drawn, with replacement.
    """
    drawn = torch.multinomial(frequency, count, replacement=True)
    candidates, place = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
    logits = states @ F.embedding(candidates, vectors).t() + bias[candidates]
    expected = -torch.expm1(count * torch.log1p(-frequency[candidates]))  # chance to be among the candidates
    return F.cross_entropy(logits - torch.log(expected.clamp_min(1e-6)), place[: len(targets)])


class OutputWords(nn.Module):
    """The words that a language model can name, each with a vector and a bias; any other word is *unknown*, one class.

    The boundary before the first and after the last word of an utterance is a class, too.
    """

    def __init__(self, counts: Counter[str], width: int) -> None:
        """Random vectors for every word.

        Args:
            counts: how often the training text has each word, the boundary as ``""`` and unknown words as ``None``.
            width: D, of the states.
        """
        super().__init__()
        self.words = sorted(w for w in counts if w)
        self.index = {w: i for i, w in enumerate(self.words, _SPECIAL)}
        often = [counts[None], counts[""], *(counts[w] for w in self.words)]
        drawn = torch.tensor(often, dtype=torch.float32).clamp_min(1) ** 0.75
        self.register_buffer("frequency", drawn / drawn.sum())  # [V]
        self.vectors = nn.Parameter(torch.randn(len(drawn), width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(len(drawn)))

    def rows(self, lexicon: Sequence[str]) -> Tensor:
        """The row of each word, and behind them that of the boundary, [len(lexicon) + 1]."""
        return torch.tensor([*(self.index.get(w, UNKNOWN) for w in lexicon), BOUNDARY])

    def loss(self, states: Tensor, targets: Tensor, count: int) -> Tensor:
        """:func:`sampled_softmax` over these words; ``count`` candidates, or all words where there are no more."""
        count = min(count, len(self.frequency))
        return sampled_softmax(states, targets, self.vectors, self.bias, self.frequency, count)

    def surprise(self, states: Tensor, targets: Tensor) -> Tensor:
        """Minus the log probability of each target under the whole softmax, [M], in nats."""
        return F.cross_entropy(states @ self.vectors.t() + self.bias, targets, reduction="none")
