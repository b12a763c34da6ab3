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
    """The LSTM recurrence over T steps, with back-propagation through time written out.

    Autograd would add up the recurrent weights' gradient step by step; here it is one matrix product at the
    end, which halves the time. Gate order: input, forget, output, candidate.
    """

    @staticmethod
    def forward(ctx, z_in: Tensor, w_rec: Tensor) -> Tensor:
        """From input gates [T, N, B, 4H] and recurrent weights [N, H, 4H] to states [T, N, B, H]."""
        t_max, n, b, width = z_in.shape
        hidden = width // 4
        gates = torch.empty_like(z_in)
        cells, tanhs, states = (z_in.new_empty(t_max, n, b, hidden) for _ in range(3))
        h = c = z_in.new_zeros(n, b, hidden)
        for t in range(t_max):
            z = torch.baddbmm(z_in[t], h, w_rec)
            torch.sigmoid(z[..., : 3 * hidden], out=gates[t, ..., : 3 * hidden])
            torch.tanh(z[..., 3 * hidden :], out=gates[t, ..., 3 * hidden :])
            i, f, o, g = gates[t].chunk(4, -1)
            c = torch.addcmul(i * g, f, c, out=cells[t])
            h = torch.mul(o, torch.tanh(c, out=tanhs[t]), out=states[t])
        ctx.save_for_backward(w_rec, gates, cells, tanhs, states)
        return states

    @staticmethod
    def backward(ctx, d_states: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the input gates and the recurrent weights."""
        w_rec, gates, cells, tanhs, states = ctx.saved_tensors
        hidden = states.shape[-1]
        i, f, o, g = gates.chunk(4, -1)
        before = torch.cat([torch.zeros_like(cells[:1]), cells[:-1]])
        # d(gate input)/d(cell) of input, forget and candidate, and of the output gate and cell to the state
        to_cell = torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], -1).unflatten(-1, (3, hidden))
        to_out, cell_out = tanhs * o * (1 - o), o * (1 - tanhs * tanhs)
        dz = torch.empty_like(gates)
        back, dh, dc = w_rec.transpose(1, 2), torch.zeros_like(states[0]), torch.zeros_like(states[0])
        for t in range(len(gates) - 1, -1, -1):
            dh = dh + d_states[t]
            dc = torch.addcmul(dc, dh, cell_out[t])
            part = to_cell[t] * dc.unsqueeze(-2)  # [N, B, 3, H]
            dz[t, ..., : 2 * hidden] = part[..., :2, :].flatten(-2)
            dz[t, ..., 3 * hidden :] = part[..., 2, :]
            torch.mul(dh, to_out[t], out=dz[t, ..., 2 * hidden : 3 * hidden])
            dc = dc * f[t]
            dh = torch.bmm(dz[t], back)
        earlier = torch.cat([torch.zeros_like(states[:1]), states[:-1]]).transpose(0, 1).flatten(1, 2)  # [N, T·B, H]
        return dz, torch.bmm(earlier.transpose(1, 2), dz.transpose(0, 1).flatten(1, 2))


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
        flat = x.reshape(g, b * t, i)
        both = torch.stack([flat, flat.index_select(1, turn)], 1).reshape(2 * g, b * t, i)
        gates = torch.bmm(both, self.w_in).add_(self.bias).reshape(2 * g, b, t, -1)
        states = Recurrence.apply(gates.permute(2, 0, 1, 3).contiguous(), self.w_rec)  # [T, 2G, B, H]
        states = states.permute(1, 2, 0, 3).reshape(g, 2, b * t, self.hidden)
        back = states[:, 1].index_select(1, turn)
        return torch.cat([states[:, 0], back], -1).reshape(g, b, t, 2 * self.hidden)
