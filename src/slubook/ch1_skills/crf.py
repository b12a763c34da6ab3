"""Scores tag sequences with a linear-chain CRF output layer for tag sequences (Lafferty et al., 2001), in log space.

A softmax tags every token alone; the CRF scores whole sequences, and never emits an ``I-`` tag that
continues nothing. Taught in chapter 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_NEVER = -1e4


def allowed_transitions(tags: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Returns the penalties of BIO grammar, ``start`` [K] and ``step`` [K, K] (from tag i to tag j), for K tags.

    A penalty is 0 where the grammar allows a tag or step, and very low where not.
    """
    continues = [t[2:] if t.startswith("I-") else None for t in tags]
    kinds = [t[2:] if t != "O" else None for t in tags]
    start = torch.tensor([0.0 if c is None else _NEVER for c in continues])
    step = torch.tensor([[0.0 if c is None or c == k else _NEVER for c in continues] for k in kinds])
    return start, step


class CRF(nn.Module):
    """Scores of tag sequences: emissions plus learned transitions plus the BIO grammar; G of them at once."""

    def __init__(self, groups: int, tags: Sequence[str]) -> None:
        super().__init__()
        start, step = allowed_transitions(tags)
        self.register_buffer("legal_start", start, persistent=False)
        self.register_buffer("legal_step", step, persistent=False)
        self.start = nn.Parameter(torch.zeros(groups, 1, len(tags)))
        self.end = nn.Parameter(torch.zeros(groups, 1, len(tags)))
        self.step = nn.Parameter(torch.zeros(groups, len(tags), len(tags)))

    def loss(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Computes the mean negative log-likelihood of the gold sequences under each CRF, [G].

        Args:
            emissions: scores of each tag at each token, [G, B, T, K].
            tags: gold tags, [B, T]; any value where ``mask`` is off.
            mask: true at tokens, [B, T]; its first column is all true.
        """
        return (self.log_partition(emissions, mask) - self.score(emissions, tags, mask)).mean(1)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Computes the unnormalised log score of one tag sequence per utterance, [G, B]."""
        on = mask.to(emissions.dtype)
        g, k = emissions.shape[0], emissions.shape[3]
        emitted = emissions.gather(3, tags.expand(g, -1, -1).unsqueeze(3)).squeeze(3)  # [G, B, T]
        pairs = (tags[:, :-1] * k + tags[:, 1:]).reshape(-1)
        steps = (self.step + self.legal_step).reshape(g, k * k).index_select(1, pairs).reshape(g, *mask[:, 1:].shape)
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        ends = self.start[:, 0].index_select(1, tags[:, 0]) + self.end[:, 0].index_select(1, last)
        return (emitted * on).sum(2) + (steps * on[:, 1:]).sum(2) + ends + self.legal_start[tags[:, 0]]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Computes the log of the summed scores of all sequences (forward algorithm), [G, B].

        Each step is a matrix product of probabilities, not a sum over K x K log scores; the largest log score is
        subtracted first, so that nothing overflows.
        """
        step = torch.exp(self.step + self.legal_step)  # [G, K, K]
        alpha = self.start + self.legal_start + emissions[:, :, 0]  # [G, B, K]
        on = mask.t().unsqueeze(2)  # [T, B, 1]
        for t in range(1, emissions.shape[2]):
            top = alpha.detach().amax(2, keepdim=True)
            summed = torch.bmm(torch.exp(alpha - top), step).clamp_min(1e-30)
            alpha = torch.where(on[t], torch.log(summed) + top + emissions[:, :, t], alpha)
        return torch.logsumexp(alpha + self.end, 2)

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor) -> list[list[list[int]]]:
        """Finds the best tag sequences (Viterbi): for each CRF and utterance, as many tags as tokens."""
        step = (self.step + self.legal_step).unsqueeze(1)  # [G, 1, K, K]
        best = self.start + self.legal_start + emissions[:, :, 0]  # [G, B, K]
        same = torch.arange(best.shape[2]).expand_as(best)
        on, back = mask.t().unsqueeze(2), []
        for t in range(1, emissions.shape[2]):
            value, before = (best.unsqueeze(3) + step).max(2)
            best = torch.where(on[t], value + emissions[:, :, t], best)
            back.append(torch.where(on[t], before, same))
        path = [(best + self.end).argmax(2)]
        for before in reversed(back):
            path.append(before.gather(2, path[-1].unsqueeze(2)).squeeze(2))
        lengths = mask.sum(1).tolist()
        rows = torch.stack(path[::-1], 2).tolist()  # [G][B][T]
        return [[row[:n] for row, n in zip(group, lengths, strict=True)] for group in rows]
