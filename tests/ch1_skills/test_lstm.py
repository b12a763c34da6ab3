"""The grouped bi-LSTM against torch: its gradients, and its outputs with torch's own weights."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from slubook.ch1_skills.lstm import BiLSTM, Recurrence, Steps


def test_steps_name_every_token_once_in_both_directions():
    steps = Steps.of(torch.tensor([3, 1, 4]), 5)
    assert steps.counts == [3, 2, 2, 1, 0]
    forth, back = steps.rows.tolist()
    assert forth == [10, 0, 5, 11, 1, 12, 2, 13]  # the third utterance is the longest, then the first
    assert back == [13, 2, 5, 12, 1, 11, 0, 10]


@pytest.mark.parametrize("counts", [[3], [3, 3, 3, 3], [3, 2, 2, 1, 0]])
def test_written_out_gradient(counts):
    torch.manual_seed(0)
    shapes = [(2, sum(counts), 3), (2, 3, 4 * 2), (2, 1, 4 * 2), (2, 2, 4 * 2)]  # x, w_in, bias, w_rec
    inputs = [torch.randn(s, dtype=torch.double, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(lambda *given: Recurrence.apply(*given, counts), inputs)


def as_torch(ours: BiLSTM, group: int, inputs: int) -> torch.nn.LSTM:
    """torch's bidirectional LSTM with the weights of one group; its gates stand in another order."""
    theirs, h = torch.nn.LSTM(inputs, ours.hidden, batch_first=True, bidirectional=True), ours.hidden
    order = torch.cat([torch.arange(2 * h), torch.arange(3 * h, 4 * h), torch.arange(2 * h, 3 * h)])  # i f g o
    with torch.no_grad():
        for row, suffix in ((2 * group, "l0"), (2 * group + 1, "l0_reverse")):
            getattr(theirs, f"weight_ih_{suffix}").copy_(ours.w_in[row].T[order])
            getattr(theirs, f"weight_hh_{suffix}").copy_(ours.w_rec[row].T[order])
            getattr(theirs, f"bias_ih_{suffix}").copy_(ours.bias[row, 0, order])
            getattr(theirs, f"bias_hh_{suffix}").zero_()
    return theirs


@pytest.mark.parametrize("lengths", [[5, 5], [5, 1, 3], [1]])
def test_equals_torch_on_packed_batches(lengths):
    torch.manual_seed(1)
    groups, inputs, hidden, n = 3, 4, 6, torch.tensor(lengths)
    ours, x = BiLSTM(groups, inputs, hidden), torch.randn(groups, len(lengths), max(lengths), inputs)
    torch.nn.init.normal_(ours.bias)
    found = ours(x, Steps.of(n, max(lengths)))
    assert found.shape == (groups, len(lengths), max(lengths), 2 * hidden)
    for g in range(groups):
        packed = pack_padded_sequence(x[g], n, batch_first=True, enforce_sorted=False)
        expected, _ = pad_packed_sequence(as_torch(ours, g, inputs)(packed)[0], batch_first=True)
        torch.testing.assert_close(found[g], expected, rtol=1e-4, atol=1e-6)


def test_gradients_equal_torch():
    torch.manual_seed(2)
    ours, x, n = BiLSTM(1, 3, 4), torch.randn(1, 2, 6, 3), torch.tensor([6, 6])
    theirs = as_torch(ours, 0, 3)
    weight = torch.randn(2, 6, 8)
    (ours(x, Steps.of(n, 6))[0] * weight).sum().backward()
    (theirs(x[0])[0] * weight).sum().backward()
    h = ours.hidden
    order = torch.cat([torch.arange(2 * h), torch.arange(3 * h, 4 * h), torch.arange(2 * h, 3 * h)])
    for row, suffix in ((0, "l0"), (1, "l0_reverse")):
        for mine, name in ((ours.w_in, "weight_ih"), (ours.w_rec, "weight_hh")):
            other = getattr(theirs, f"{name}_{suffix}").grad
            torch.testing.assert_close(mine.grad[row].T[order], other, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            ours.bias.grad[row, 0, order], getattr(theirs, f"bias_ih_{suffix}").grad, rtol=1e-4, atol=1e-5
        )


def test_groups_do_not_see_each_other():
    torch.manual_seed(3)
    ours, x, steps = BiLSTM(2, 3, 4), torch.randn(2, 2, 5, 3), Steps.of(torch.tensor([5, 2]), 5)
    before = ours(x, steps)
    changed = x.clone()
    changed[1] += 1.0
    after = ours(changed, steps)
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])
