"""A bank of networks is nothing but its networks side by side, and padding changes no answer."""

import numpy as np
import pytest
import torch

from slubook.ch1_skills.dnn import single
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import Linear, Network, NetworkConfig
from slubook.ch1_skills.training import predict
from slubook.ch1_skills.vectors import VectorTable

SMALL = NetworkConfig(dim=6, project=8, char_dim=4, char_filters=5, hidden=7, vector_norm=2.0)
TEXTS = ["add milk", "we need brown sugar and a great many other things today", "", "zebras", "read the fridge back"]


def shuffled(encoder: Encoder, trained_words: list[bool], config: NetworkConfig = SMALL) -> Network:
    """A bank in which every parameter is random, the ones that start at zero too."""
    torch.manual_seed(5)
    network = Network(encoder, config, trained_words)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return network.eval()


@pytest.fixture
def bank(toy_skill):
    """Three networks, over a table, over none, and over another table."""
    encoder = Encoder(toy_skill)
    draw = np.random.default_rng(0)
    tables = [
        VectorTable(name, {w: i for i, w in enumerate(encoder.words)}, rows, np.zeros((0, 6), np.float16))
        for name in "ab"
        for rows in [draw.normal(size=(len(encoder.words), 6)).astype(np.float16)]
    ]
    return encoder, shuffled(encoder, [False, True, False]), [tables[0], None, tables[1]]


def test_each_network_alone_says_what_it_says_in_the_bank(bank, toy_skill):
    encoder, network, tables = bank
    together = encoder.encode_gold(toy_skill[:9], tables, 6)
    with torch.no_grad():
        emissions, intents = network(together.batch(range(9)))
        losses = network.loss(together.batch(range(9)))
        answers = predict(network, encoder, encoder.encode(TEXTS, tables, 6))
        for g, table in enumerate(tables):
            alone = single(network, encoder, g, table is None)
            batch = encoder.encode_gold(toy_skill[:9], [table], 6).batch(range(9))
            for mine, bank_says in zip(alone(batch), (emissions, intents), strict=True):
                torch.testing.assert_close(mine[0], bank_says[g])
            torch.testing.assert_close(alone.loss(batch)[0], losses[g])
            [own] = predict(alone, encoder, encoder.encode(TEXTS, [table], 6))
            assert [(p.intent, p.slots) for p in own] == [(p.intent, p.slots) for p in answers[g]]
    assert len({tuple((p.intent, p.slots) for p in a) for a in answers}) > 1  # the networks do differ


def test_padding_changes_nothing(bank):
    encoder, network, tables = bank
    encoded = encoder.encode(TEXTS, tables, 6)
    with torch.no_grad():
        emissions, intents = network(encoded.batch(range(len(TEXTS))))
        for i, text in enumerate(TEXTS):
            alone = encoder.encode([text], tables, 6).batch([0])
            e, n = network(alone)
            torch.testing.assert_close(e[:, 0], emissions[:, i, : e.shape[2]], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(n[:, 0], intents[:, i], rtol=1e-4, atol=1e-5)
    in_order = predict(network, encoder, encoded, batch=2)
    for i, text in enumerate(TEXTS):
        alone = predict(network, encoder, encoder.encode([text], tables, 6))
        assert [(a[0].intent, a[0].slots) for a in alone] == [(a[i].intent, a[i].slots) for a in in_order]


def test_gradient_reaches_every_parameter(bank, toy_skill):
    encoder, network, tables = bank
    network.train()
    network.loss(encoder.encode_gold(toy_skill, tables, 6).batch(range(20))).sum().backward()
    for name, p in network.named_parameters():
        assert torch.isfinite(p.grad).all(), name
        reached = p.grad.reshape(3, -1).abs().sum(1).gt(0).tolist()
        assert reached == [True, name != "project.weight", True], name  # network 1 has no vectors to project


def test_loss_of_one_network_moves_no_other(bank, toy_skill):
    encoder, network, tables = bank
    network.loss(encoder.encode_gold(toy_skill, tables, 6).batch(range(8)))[1].backward()
    for name, p in network.named_parameters():
        rows = p.grad.reshape(3, -1).abs().sum(1)
        assert rows[0] == rows[2] == 0, name


def test_local_words_start_at_random_only_without_a_table(toy_skill):
    encoder = Encoder(toy_skill)
    network = Network(encoder, SMALL, [False, True])
    assert not network.local[0].any()
    assert network.local[1].all()


def test_dropout_only_while_training(bank, toy_skill):
    encoder, network, tables = bank
    batch = encoder.encode(TEXTS, tables, 6).batch(range(3))
    assert torch.equal(network(batch)[1], network(batch)[1])
    network.train()
    assert not torch.equal(network(batch)[1], network(batch)[1])


def test_smallest_skill_without_slots_or_ngrams(toy_skill):
    plain = [u for u in toy_skill if not u.slots][:1]
    encoder = Encoder(plain, ngram_order=0)
    network = shuffled(encoder, [True], NetworkConfig(**{**vars(SMALL), "ngram_order": 0, "layers": 1}))
    [answers] = predict(network, encoder, encoder.encode(["hello", ""], [None], 6))
    assert [(p.intent, p.slots, p.confidence) for p in answers] == [("ReadIntent", (), 1.0)] * 2


def test_linear_is_one_affine_map_a_group():
    linear = Linear(2, 3, 4)
    torch.nn.init.normal_(linear.bias)
    x = torch.randn(2, 5, 3)
    for g in range(2):
        torch.testing.assert_close(linear(x)[g], x[g] @ linear.weight[g] + linear.bias[g])
    assert not Linear(2, 3, 4, zero=True).weight.any()
