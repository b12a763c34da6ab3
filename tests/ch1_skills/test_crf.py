"""The CRF layer against brute force: every tag sequence of a small case is enumerated."""

from itertools import pairwise, product

import pytest
import torch

from slubook.ch1_skills.crf import CRF, allowed_transitions

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]
GROUPS = 2


def case(seed: int, lengths: list[int], scale: float = 1.0) -> tuple[CRF, torch.Tensor, torch.Tensor]:
    """A CRF with random transitions, emissions [G, B, T, K] and a mask [B, T] for ``lengths``."""
    torch.manual_seed(seed)
    crf = CRF(GROUPS, TAGS)
    for p in crf.parameters():
        torch.nn.init.normal_(p)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return crf, scale * torch.randn(GROUPS, len(lengths), max(lengths), len(TAGS)), mask


def legal(path: tuple[int, ...]) -> bool:
    names = ["O", *(TAGS[k] for k in path)]
    return all(not b.startswith("I-") or a in (b, f"B-{b[2:]}") for a, b in pairwise(names))


def enumerate_paths(crf: CRF, emissions: torch.Tensor, g: int, b: int, n: int) -> dict[tuple[int, ...], torch.Tensor]:
    """The score of every legal sequence of ``n`` tags, added up by hand."""
    scores = {}
    for path in filter(legal, product(range(len(TAGS)), repeat=n)):
        score = crf.start[g, 0, path[0]] + crf.end[g, 0, path[-1]]
        score = score + sum(emissions[g, b, t, k] for t, k in enumerate(path))
        scores[path] = score + sum(crf.step[g, i, j] for i, j in pairwise(path))
    return scores


RAGGED = [pytest.param(s, n, id="-".join(map(str, n))) for s, n in enumerate([[1], [4, 1, 2], [3, 3], [2, 5]])]


@pytest.mark.parametrize(("seed", "lengths"), RAGGED)
def test_partition_and_viterbi_equal_enumeration(seed, lengths):
    crf, emissions, mask = case(seed, lengths)
    partition, decoded = crf.log_partition(emissions, mask), crf.decode(emissions, mask)
    for g, (b, n) in product(range(GROUPS), enumerate(lengths)):
        scores = enumerate_paths(crf, emissions, g, b, n)
        torch.testing.assert_close(partition[g, b], torch.logsumexp(torch.stack(list(scores.values())), 0))
        assert tuple(decoded[g][b]) == max(scores, key=scores.__getitem__)


@pytest.mark.parametrize(("seed", "lengths"), RAGGED)
def test_loss_and_gradient_equal_enumeration(seed, lengths):
    crf, emissions, mask = case(seed, lengths)
    emissions.requires_grad_()
    drawn = torch.Generator().manual_seed(seed)
    gold = torch.zeros(mask.shape, dtype=torch.long)
    paths = []
    for b, n in enumerate(lengths):
        choices = [p for p in product(range(len(TAGS)), repeat=n) if legal(p)]
        paths.append(choices[int(torch.randint(len(choices), (), generator=drawn))])
        gold[b, :n] = torch.tensor(paths[-1])
    by_hand = []
    for g in range(GROUPS):
        scored = [enumerate_paths(crf, emissions, g, b, n) for b, n in enumerate(lengths)]
        each = [torch.logsumexp(torch.stack(list(s.values())), 0) - s[p] for s, p in zip(scored, paths, strict=True)]
        by_hand.append(torch.stack(each).mean())
    inputs = [emissions, *crf.parameters()]
    expected = torch.autograd.grad(torch.stack(by_hand).sum(), inputs, materialize_grads=True)
    loss = crf.loss(emissions, gold, mask)
    torch.testing.assert_close(loss, torch.stack(by_hand))
    for mine, other in zip(torch.autograd.grad(loss.sum(), inputs), expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_never_an_illegal_sequence(seed):
    crf, emissions, mask = case(seed, [1, 3, 8, 8], scale=3.0)
    emissions[..., 2] += 40.0  # the network is very sure of I-a, wherever it stands
    emissions[..., 4] += 40.0
    assert all(legal(tuple(path)) for group in crf.decode(emissions, mask) for path in group)


def test_padding_says_nothing():
    crf, emissions, mask = case(0, [2, 4])
    other = emissions.masked_fill(~mask.view(1, 2, 4, 1), 1e3)
    gold = torch.zeros(2, 4, dtype=torch.long)
    torch.testing.assert_close(crf.loss(other, gold, mask), crf.loss(emissions, gold, mask))
    assert crf.decode(other, mask) == crf.decode(emissions, mask)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_gradient_is_finite(scale):
    crf, emissions, mask = case(3, [1, 12, 7], scale)
    emissions.requires_grad_()
    crf.loss(emissions, torch.zeros(mask.shape, dtype=torch.long), mask).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in [emissions, *crf.parameters()])


def test_grammar():
    start, step = allowed_transitions(TAGS)
    assert (start == 0).tolist() == [True, True, False, True, False]
    allowed = {(TAGS[i], TAGS[j]) for i, j in product(range(5), repeat=2) if step[i, j] == 0}
    assert {a for a, b in allowed if b == "I-a"} == {"B-a", "I-a"}
    assert {a for a, b in allowed if b == "I-b"} == {"B-b", "I-b"}
    assert all((a, b) in allowed for a in TAGS for b in ("O", "B-a", "B-b"))
