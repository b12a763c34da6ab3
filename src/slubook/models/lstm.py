"""Many small bi-LSTMs in one matrix product.

A network for one skill is so small that a processor spends its time on overhead. Every tensor here has a
leading *group* axis G: G networks of one shape, each with its own weights, run side by side. G = 1 is an
ordinary bi-LSTM. Taught in chapter 1, *Build it*.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def reversal(lengths: Tensor, width: int) -> Tensor:
    """Positions that turn each utterance around and leave its padding where it is.

    Args:
        lengths: tokens of each utterance, [B].
        width: T.

    Returns:
        Flat positions into B·T rows, [B·T]; applying it twice restores the order.
    """
    t = torch.arange(width, device=lengths.device).unsqueeze(0)  # [1, T]
    n = lengths.unsqueeze(1)
    turned = torch.where(t < n, n - 1 - t, t)  # [B, T]
    return (turned + width * torch.arange(len(lengths), device=lengths.device).unsqueeze(1)).reshape(-1)


class Recurrence(torch.autograd.Function):
    """An LSTM over T steps with back-propagation through time written out.

    Autograd would add up the recurrent weights' gradient step by step; here it is one matrix product at the
    end. Inputs are time-major, so that a step is one block of memory, and gates take the place of their inputs.
    Gate order: input, forget, output, candidate.
    """

    @staticmethod
    def forward(ctx, x: Tensor, w_in: Tensor, bias: Tensor, w_rec: Tensor, steps: int) -> Tensor:
        """From inputs [N, T·B, I] and weights [N, I, 4H], [N, 1, 4H], [N, H, 4H] to states [N, T, B, H]."""
        n, hidden = len(w_rec), w_rec.shape[1]
        gates = torch.bmm(x, w_in).add_(bias).view(n, steps, -1, 4 * hidden)
        cells, tanhs, states = (gates.new_empty(*gates.shape[:3], hidden) for _ in range(3))
        h = c = gates.new_zeros(n, gates.shape[2], hidden)
        for t in range(steps):
            z = gates[:, t].baddbmm_(h, w_rec)
            z[..., : 3 * hidden].sigmoid_()
            z[..., 3 * hidden :].tanh_()
            i, f, o, g = z.chunk(4, -1)
            c = torch.addcmul(i * g, f, c, out=cells[:, t])
            h = torch.mul(o, torch.tanh(c, out=tanhs[:, t]), out=states[:, t])
        ctx.save_for_backward(x, w_in, w_rec, gates, cells, tanhs, states)
        return states

    @staticmethod
    def backward(ctx, d_states: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs and the weights."""
        x, w_in, w_rec, gates, cells, tanhs, states = ctx.saved_tensors
        dz, back = torch.empty_like(gates), w_rec.transpose(1, 2).contiguous()  # a view would be half as fast
        dh, dc = (torch.zeros_like(states[:, 0]) for _ in range(2))
        for t in range(gates.shape[1] - 1, -1, -1):
            i, f, o, g = gates[:, t].chunk(4, -1)
            di, df, do, dg = dz[:, t].chunk(4, -1)
            before = cells[:, t - 1] if t else torch.zeros_like(dc)
            dh, tanh = dh + d_states[:, t], tanhs[:, t]
            through = dh * o
            dc = (dc + through).addcmul_(through, tanh * tanh, value=-1)
            torch.mul(dc * g, i - i * i, out=di)
            torch.mul(dc * before, f - f * f, out=df)
            torch.mul(dh * tanh, o - o * o, out=do)
            torch.mul(dc * i, 1 - g * g, out=dg)
            dc, dh = dc * f, torch.bmm(dz[:, t], back)
        d_rec = torch.bmm(states[:, :-1].flatten(1, 2).transpose(1, 2), dz[:, 1:].flatten(1, 2))
        dz = dz.flatten(1, 2)  # [N, T·B, 4H]
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

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        """Run both directions of all groups at once.

        Args:
            x: inputs, [G, B, T, I].
            turn: :func:`reversal` of the batch, [B·T].
        """
        g, b, t, i = x.shape
        forth = torch.arange(b * t, device=x.device).view(b, t)
        rows = torch.stack([forth, turn.view(b, t)]).transpose(1, 2).flatten()  # [2·T·B], time-major, out of B·T
        both = x.reshape(g, b * t, i).index_select(1, rows).view(2 * g, t * b, i)
        states = Recurrence.apply(both, self.w_in, self.bias, self.w_rec, t)  # [2G, T, B, H]
        rows = torch.stack([rows[: b * t].argsort(), b * t + rows[b * t :].argsort()], 1).flatten()  # [B·T·2]
        return states.view(g, 2 * t * b, -1).index_select(1, rows).view(g, b, t, 2 * self.hidden)
