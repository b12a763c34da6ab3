"""Runs many small bi-LSTMs in one matrix product.

A network for one skill is so small that overhead takes most of its time. So every tensor has a leading *group* axis G:
G networks of one shape, each with its own weights, run side by side. G = 1 is an ordinary bi-LSTM. Taught in
chapter 1, *Build it*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Steps:
    """The P tokens of a batch in the order in which a bi-LSTM reads them, step by step and without padding.

    Longer utterances come before shorter ones, so that those still running at a step are the first of those at the
    step before.
    """

    counts: Sequence[int]  # utterances still running at each step, never more than at the step before; P in all
    rows: Tensor  # the row of each token among the B·T of a padded batch, read forwards and backwards, [2, P]

    @classmethod
    def of(cls, lengths: Tensor, width: int) -> Self:
        """Returns the steps of utterances of ``lengths`` [B], each at least 1, padded to ``width`` T."""
        order = lengths.argsort(descending=True, stable=True)
        length, at = lengths[order], torch.arange(width, device=lengths.device).unsqueeze(1)  # [B], [T, 1]
        running = at < length  # [T, B]
        rows = [(order * width + place)[running] for place in (at, length - 1 - at)]
        return cls(running.sum(1).tolist(), torch.stack(rows))


def blocks(counts: Sequence[int]) -> list[slice]:
    """Returns the slice of each step's tokens among all P, for counts as in :class:`Steps`."""
    ends = [*accumulate(counts)]
    return [slice(end - n, end) for end, n in zip(ends, counts, strict=True) if n]


sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class Recurrence(torch.autograd.Function):
    """An LSTM over time, with its back-propagation through time.

    Autograd would add up the gradient of the recurrent weights step by step; here it is one matrix product at the end.
    The tokens of a step are one block of memory, and gates overwrite their inputs. Gate order: input, forget, output,
    candidate.
    """

    @staticmethod
    def forward(ctx, x: Tensor, w_in: Tensor, bias: Tensor, w_rec: Tensor, counts: Sequence[int]) -> Tensor:
        """Maps inputs [N, P, I] with weights [N, I, 4H], [N, 1, 4H], [N, H, 4H] to states [N, P, H]."""
        n, hidden = len(w_rec), w_rec.shape[1]
        gates = torch.bmm(x, w_in).add_(bias)
        cells, tanhs, states = (gates.new_empty(n, x.shape[1], hidden) for _ in range(3))
        h = c = gates.new_zeros(n, counts[0], hidden)
        for block in blocks(counts):
            z, running = gates[:, block], block.stop - block.start
            z.baddbmm_(h[:, :running], w_rec)
            z[..., : 3 * hidden].sigmoid_()
            z[..., 3 * hidden :].tanh_()
            i, f, o, g = z.chunk(4, -1)
            c = torch.addcmul(i * g, f, c[:, :running], out=cells[:, block])
            h = torch.mul(o, torch.tanh(c, out=tanhs[:, block]), out=states[:, block])
        ctx.save_for_backward(x, w_in, w_rec, gates, cells, tanhs, states)
        ctx.counts = counts
        return states

    @staticmethod
    def backward(ctx, d_states: Tensor) -> tuple[Tensor | None, ...]:
        """Computes the gradients of the inputs and the weights."""
        x, w_in, w_rec, gates, cells, tanhs, states = ctx.saved_tensors
        dz, back = torch.empty_like(gates), w_rec.transpose(1, 2).contiguous()  # a view would be half as fast
        dh_after = dc_after = states[:, :0]
        hidden, every = states.shape[-1], blocks(ctx.counts)
        before = [slice(b.start, b.start + a.stop - a.start) for b, a in pairwise(every)]  # of those still running
        for block, earlier in zip(reversed(every), [*reversed(before), None], strict=True):
            i, f, o, g = gates[:, block].chunk(4, -1)
            d, tanh, running = dz[:, block], tanhs[:, block], dh_after.shape[1]
            di, df, do, dg = d.chunk(4, -1)
            dh = d_states[:, block].clone()
            dh[:, :running] += dh_after
            dc = tanh_backward(dh * o, tanh)
            dc[:, :running] += dc_after
            torch.mul(dc, g, out=di)
            torch.mul(dc, cells[:, earlier] if earlier else torch.zeros_like(dc), out=df)
            torch.mul(dh, tanh, out=do)
            torch.mul(dc, i, out=dg)
            d[..., : 3 * hidden] = sigmoid_backward(d[..., : 3 * hidden], gates[:, block, : 3 * hidden])
            dg.copy_(tanh_backward(dg, g))
            dc_after, dh_after = dc * f, torch.bmm(d, back)
        d_rec = torch.zeros_like(w_rec)
        if before:
            earlier = torch.cat([states[:, b] for b in before], 1)  # [N, P - B, H]
            d_rec = torch.bmm(earlier.transpose(1, 2), dz[:, every[0].stop :])
        d_x = torch.bmm(dz, w_in.transpose(1, 2)) if ctx.needs_input_grad[0] else None
        return d_x, torch.bmm(x.transpose(1, 2), dz), dz.sum(1, keepdim=True), d_rec, None


class BiLSTM(nn.Module):
    """G bi-directional LSTM layers (Hochreiter and Schmidhuber, 1997), [G, B, T, I] → [G, B, T, 2H]."""

    def __init__(self, groups: int, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = hidden**-0.5
        self.hidden = hidden
        self.w_in = nn.Parameter(torch.empty(2 * groups, inputs, 4 * hidden).uniform_(-bound, bound))
        self.w_rec = nn.Parameter(torch.empty(2 * groups, hidden, 4 * hidden).uniform_(-bound, bound))
        bias = torch.zeros(2 * groups, 1, 4 * hidden)
        bias[..., hidden : 2 * hidden] = 1.0  # remember by default
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor, steps: Steps) -> Tensor:
        """Runs both directions of all groups at once over x, [G, B, T, I]; states at padding are zero."""
        g, b, t, i = x.shape
        both = x.reshape(g, b * t, i).index_select(1, steps.rows.flatten()).view(2 * g, -1, i)  # [2G, P, I]
        states = Recurrence.apply(both, self.w_in, self.bias, self.w_rec, steps.counts)  # [2G, P, H]
        places = 2 * steps.rows + torch.arange(2, device=x.device).unsqueeze(1)  # each row has two directions
        out = x.new_zeros(g, b * t * 2, self.hidden)
        out = out.index_copy(1, places.flatten(), states.view(g, -1, self.hidden))
        return out.view(g, b, t, 2 * self.hidden)
