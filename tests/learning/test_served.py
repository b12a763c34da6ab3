"""The network as it is served answers as the network that was trained does."""

import numpy as np
import pytest

from slubook.learning.dnn import DNN, DNNConfig
from slubook.learning.served import ServedDNN, no_vectors
from slubook.learning.training import TrainingConfig
from slubook.models.base import NLUModel
from slubook.models.network import NetworkConfig
from slubook.models.packed import PackedSkill, StoreError
from slubook.models.vectors import VectorTable

SMALL = DNNConfig(
    NetworkConfig(dim=8, project=16, char_dim=6, char_filters=8, hidden=12, dropout=0.2),
    TrainingConfig(rate=1e-2, batch=8, updates=80, evaluations=2, average=0.9),
)


def table(seed: int) -> VectorTable:
    rows = np.random.default_rng(seed).normal(size=(3, 8)).astype(np.float16)
    return VectorTable("t", {"add": 0, "apples": 1, "read": 2}, rows, np.zeros((0, 8), np.float16))


@pytest.mark.parametrize("below", [None, table(0)], ids=["no vectors", "a table"])
def test_packed_says_what_the_network_says(toy_skill, below):
    served = ServedDNN(below, SMALL).fit(toy_skill[:40], toy_skill[40:], seed=1)
    plain = DNN(below, SMALL).fit(toy_skill[:40], toy_skill[40:], seed=1)
    texts = [u.text for u in toy_skill]
    pairs = zip(served.predict(texts), plain.predict(texts), strict=True)
    same = [(a.intent, a.slots) == (b.intent, b.slots) for a, b in pairs]
    assert isinstance(served, NLUModel)
    assert sum(same) > 0.8 * len(same)  # in a network this small, four bits a weight turn some close calls
    assert served.size_bytes() == len(served.blob) < plain.size_bytes()


def test_over_another_table_it_is_refused(toy_skill):
    served = ServedDNN(table(0), SMALL).fit(toy_skill[:12], [], seed=1)
    with pytest.raises(StoreError, match="trained over table"):
        PackedSkill(served.blob, table(1))
    with pytest.raises(StoreError, match="trained over table"):
        PackedSkill(served.blob, no_vectors(8))
