"""The stacked network: what each task reads, what its loss can change, and that a bank is its networks side by side."""

import pytest
import torch
import torch.nn.functional as F

from slubook.ch1_skills.dnn import single
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.lstm import Steps
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch2_transfer.stacked import PARTS, StackedNetwork

SMALL = NetworkConfig(dim=6, project=8, char_dim=4, char_filters=5, hidden=7, layers=3, vector_norm=2.0)
TEXTS = ["add milk", "we need brown sugar and a great many other things today", "", "zebras", "read the fridge back"]


@pytest.fixture
def bank(toy_skill):
    """Two networks in which every parameter is random, the ones that start at zero too."""
    torch.manual_seed(5)
    encoder = Encoder(toy_skill)
    network = StackedNetwork(encoder, SMALL, [True, True])
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return encoder, network.eval()


def test_every_parameter_is_of_one_part(bank):
    named = [name for names in PARTS.values() for name in names]
    assert sorted(named) == sorted(name for name, _ in bank[1].named_parameters())


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_three_layers_and_no_other_number(toy_skill, layers):
    with pytest.raises(ValueError, match=f"3 layers, not {layers}"):
        StackedNetwork(Encoder(toy_skill), NetworkConfig(dim=6, layers=layers), [True])


def test_each_network_drops_at_its_own_rate(toy_skill):
    network = StackedNetwork(Encoder(toy_skill), SMALL, [True, True], [0.0, 0.75]).train()
    torch.manual_seed(1)
    kept = network.drop(torch.ones(2, 50, 3, 40))
    assert (kept[0] == 1).all() and set(kept[1].unique().tolist()) == {0.0, 4.0}
    assert (kept[1] > 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (kept == kept[:, :, :1]).all(), "one mask for all tokens of an utterance"
    assert (network.eval().drop(kept) == kept).all()
    usual = StackedNetwork(Encoder(toy_skill), SMALL, [True])
    assert usual.keep.flatten().tolist() == pytest.approx([1 - SMALL.dropout])


def test_each_network_alone_says_what_it_says_in_the_bank(bank, toy_skill):
    encoder, network = bank
    with torch.no_grad():
        together = network(encoder.encode(TEXTS, [None, None], 6).batch(range(5)))
        losses = network.loss(encoder.encode_gold(toy_skill[:9], [None, None], 6).batch(range(9)))
        for g in range(2):
            alone = single(network, encoder, g, True)
            assert type(alone) is StackedNetwork
            for mine, other in zip(alone(encoder.encode(TEXTS, [None], 6).batch(range(5))), together, strict=True):
                torch.testing.assert_close(mine[0], other[g])
            gold = encoder.encode_gold(toy_skill[:9], [None], 6).batch(range(9))
            torch.testing.assert_close(alone.loss(gold)[0], losses[g])
    assert not torch.allclose(losses[0], losses[1])


def test_padding_changes_nothing(bank):
    encoder, network = bank
    network.encoders[2].bias.data -= 3.0  # states below zero, where padding of zeros would win the maximum
    encoded = encoder.encode(TEXTS, [None, None], 6)
    with torch.no_grad():
        emissions, intents = network(encoded.batch(range(5)))
        for i, text in enumerate(TEXTS):
            e, n = network(encoder.encode([text], [None, None], 6).batch([0]))
            torch.testing.assert_close(e[:, 0], emissions[:, i, : e.shape[2]], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(n[:, 0], intents[:, i], rtol=1e-4, atol=1e-5)


def test_heads_read_the_tagger_and_the_maxima_of_common_layer_and_classifier(bank):
    encoder, network = bank
    batch = encoder.encode([TEXTS[1]], [None, None], 6).batch([0])
    n = batch.words.shape[1]
    with torch.no_grad():
        states, pooled = network.encode(batch)
        x = network.words(batch)[:, batch.words.reshape(-1)].unsqueeze(1)
        common, tagger, classifier = network.encoders
        steps = Steps.of(batch.lengths, n)
        shared = common(x, steps)
        torch.testing.assert_close(states, tagger(shared, steps))
        maxima = torch.cat([shared.amax(2), classifier(shared, steps).amax(2)], -1)
        torch.testing.assert_close(pooled, maxima)
        emissions, intents = network(batch)
        for g in range(2):
            torch.testing.assert_close(
                emissions[g, 0], states[g, 0] @ network.tag_head.weight[g] + network.tag_head.bias[g]
            )
            by_hand = pooled[g] @ network.intent_head.weight[g] + network.intent_head.bias[g]
            by_hand += batch.ngrams @ network.intent_ngrams.weight[g] + network.intent_ngrams.bias[g]
            torch.testing.assert_close(intents[g], by_hand)


def test_each_task_teaches_its_own_layer_and_the_common_one(bank, toy_skill):
    encoder, network = bank
    network.train()
    batch = encoder.encode_gold(toy_skill, [None, None], 6).batch(range(20))
    for task, taught, spared in (("tags", "tagger", "classifier"), ("intent", "classifier", "tagger")):
        network.zero_grad(set_to_none=False)
        emissions, intents = network(batch)
        if task == "tags":
            loss = network.crf.loss(emissions, batch.tags, batch.mask)[0]
        else:
            loss = F.cross_entropy(intents[0], batch.intents)
        loss.backward()
        for part in ("words", "characters", "common", taught):
            name = PARTS[part][0]
            gradient = network.get_parameter(name).grad.unflatten(0, (2, -1))
            assert gradient[0].any(), (task, part)
            assert not gradient[1].any(), (task, part)  # network 1 has no part in this loss
        left = [network.get_parameter(name).grad for name in PARTS[spared]]
        assert not any(gradient is not None and gradient.any() for gradient in left)


def test_rows_are_a_view_of_one_network(bank):
    network = bank[1]
    for name, p in network.named_parameters():
        before = p.detach().clone()
        rows = network.rows(name, 1)
        assert len(rows) == len(p) // 2 == (2 if name.startswith("encoders") else 1)
        with torch.no_grad():
            rows.zero_()
        assert not p[len(rows) :].any()
        assert torch.equal(p[: len(rows)], before[: len(rows)])
