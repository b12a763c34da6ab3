"""ELMoL in a packed skill: NumPy reads as torch does, and what it costs is counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_store import FORKED, random_network, table_of

from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.training import predict
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.contextual import ContextEncoded, ContextualNetwork, WordVectors
from slubook.corpora.utterance import tokenize
from slubook.serving import packing
from slubook.serving.packed import PackedSkill, Rows, StoreError
from slubook.serving.packing import bytes_per_part
from slubook.serving.served import pack_network

TEXTS = ("please add brown sugar to my basket", "read", "", "no more zebras ! उठो", "a internationalisation of milk")


def network_over(encoder: Encoder, layers: int) -> ContextualNetwork:
    """Random everywhere, biases and single vectors at 16 bits, as packs keep them."""
    config = BiLMConfig(layers, char_dim=4, filters=((1, 5), (3, 6)), width=7, hidden=6, longest=8)
    embedding = BiLM("abdegiklmnoprstu", config)
    network = random_network(
        encoder, config=FORKED, kind=lambda *given: ContextualNetwork(*given[:2], embedding, *given[2])
    )
    with torch.no_grad():
        network.embedding.scale.uniform_(0.5, 1.5)
        network.mix.weights.copy_(torch.linspace(-1, 1, layers + 1))
        for p in network.parameters():
            p.copy_(p.half())
    return network


@pytest.fixture
def encoder(toy_skill) -> Encoder:
    return Encoder(toy_skill, FORKED.ngram_order)


@pytest.mark.parametrize("layers", [1, 2])
def test_without_rounding_its_scores_are_those_of_the_network(encoder, layers, monkeypatch):
    def exact(matrix: np.ndarray, bits: int) -> Rows:
        return Rows(matrix.astype(np.float32), np.ones((*matrix.shape[:-1], 1), np.float16))

    monkeypatch.setattr(packing, "quantise", exact)
    table, network = table_of(encoder.words[::2]), network_over(encoder, layers)
    packed = PackedSkill(pack_network(network, encoder, table), table)
    encoded = ContextEncoded(encoder.encode(TEXTS, [table], table.dim), network.embedding)
    for n, text in enumerate(TEXTS):
        with torch.no_grad():
            emissions, intents = network(encoded.batch([n]))
        mine = packed.scores(tokenize(text))
        np.testing.assert_allclose(mine[0], emissions[0, 0].numpy(), rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(mine[1], intents[0, 0].numpy(), rtol=2e-3, atol=2e-3)
    theirs = predict(network, encoder, encoded)[0]
    assert [(p.intent, p.slots) for p in packed.predict(TEXTS)] == [(p.intent, p.slots) for p in theirs]


def test_at_eight_bits_it_reads_nearly_the_same_and_the_pack_tells_its_weight(encoder):
    table, network = table_of(encoder.words[::2]), network_over(encoder, 1)
    blob = pack_network(network, encoder, table)
    packed, words = PackedSkill(blob, table), ["please", "add", "zebras"]
    embedding = network.embedding
    with torch.no_grad():
        states = embedding(embedding.spell(words), torch.arange(3).unsqueeze(0), torch.tensor([3]))
        mixed = network.mix(states) * FORKED.vector_norm
        beside = torch.tanh(network.context(mixed))[0].numpy()
    assert np.abs(packed._reader(words) - beside).max() < 0.1 < beside.std()
    numbers = sum(p.numel() for p in embedding.parameters()) + network.context.weight.numel()
    assert numbers < bytes_per_part(blob)["reader"] < 2 * numbers
    plain = PackedSkill(pack_network(random_network(encoder, config=FORKED), encoder, table), table)
    assert packed.nbytes - plain.nbytes > 4 * numbers


def test_a_network_over_word_vectors_is_not_packed(encoder):
    table = table_of(encoder.words)
    network = ContextualNetwork(encoder, replace(FORKED, layers=3), WordVectors(table), False)
    with pytest.raises(StoreError, match="cannot be packed: give it a language model"):
        pack_network(network, encoder, table)
