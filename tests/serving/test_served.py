"""The network as it is served answers as the network that was trained does."""

from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.source import make_domain
from slubook.ch2_transfer.transfer import TransferConfig
from slubook.ch3_elmol.bilm import BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining, train_bilm
from slubook.ch3_elmol.contextual_training import ContextStart, fit_contextual, pretrain_contextual
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora.utterance import words
from slubook.evaluation.model import NLUModel
from slubook.serving.packed import PackedSkill, StoreError
from slubook.serving.served import no_vectors, served_contextual, served_dnn

SMALL = DNNConfig(
    NetworkConfig(dim=8, project=16, char_dim=6, char_filters=8, hidden=12, dropout=0.2),
    TrainingConfig(rate=1e-2, batch=8, updates=80, evaluations=2, average=0.9),
)


def table(seed: int) -> VectorTable:
    rows = np.random.default_rng(seed).normal(size=(3, 8)).astype(np.float16)
    return VectorTable("t", {"add": 0, "apples": 1, "read": 2}, rows, np.zeros((0, 8), np.float16))


@pytest.mark.parametrize("below", [None, table(0)], ids=["no vectors", "a table"])
def test_packed_says_what_the_network_says(toy_skill, below):
    served = served_dnn(below, SMALL).fit(toy_skill[:40], toy_skill[40:], seed=1)
    plain = DNN(below, SMALL).fit(toy_skill[:40], toy_skill[40:], seed=1)
    texts = [u.text for u in toy_skill]
    pairs = zip(served.predict(texts), plain.predict(texts), strict=True)
    same = [(a.intent, a.slots) == (b.intent, b.slots) for a, b in pairs]
    assert isinstance(served, NLUModel)
    assert sum(same) > 0.8 * len(same)  # in a network this small, four bits a weight turn some close calls
    assert served.size_bytes() == len(served.blob) < plain.size_bytes()


def test_packed_with_its_language_model_it_says_what_the_network_says(toy_skill):
    reader = BiLMTraining(
        BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=8, hidden=9, longest=8), epochs=1, candidates=20
    )
    shape = replace(SMALL.network, dim=16, layers=3)
    source = PretrainingConfig(replace(shape, ngram_order=0), updates=20, batch=8)
    model = train_bilm("toy", [words(u.text) for u in toy_skill], reader).reader
    known, _ = pretrain_contextual("toy", [make_domain("toy", toy_skill)], model, source)
    start, config = ContextStart(known, UnfreezingConfig(latest=0.25)), TransferConfig(shape, SMALL.training)
    served = served_contextual(start, config).fit(toy_skill[:40], toy_skill[40:], seed=1)
    plain = fit_contextual(start, toy_skill[:40], toy_skill[40:], 1, config)
    assert plain.since, "its layers learned, and are packed as they are now"
    texts = [u.text for u in toy_skill]
    pairs = zip(served.predict(texts), plain.predict(texts), strict=True)
    same = [(a.intent, a.slots) == (b.intent, b.slots) for a, b in pairs]
    assert isinstance(served, NLUModel)
    assert sum(same) > 0.8 * len(same)
    assert served.size_bytes() == len(served.blob) < plain.size_bytes()


def test_over_another_table_it_is_refused(toy_skill):
    served = served_dnn(table(0), SMALL).fit(toy_skill[:12], [], seed=1)
    with pytest.raises(StoreError, match="trained over table"):
        PackedSkill(served.blob, table(1))
    with pytest.raises(StoreError, match="trained over table"):
        PackedSkill(served.blob, no_vectors(8))
