"""Faults cost context, and nothing else; what costs more is counted."""

import pytest

from slubook.ch6_contextual import faults
from slubook.ch6_contextual.faults import FAULTS, measure_fault, measure_kills, simulate
from slubook.ch6_contextual.items import KEYS, Sealer, read_keys
from slubook.ch6_contextual.load import Traffic
from slubook.ch6_contextual.service import ContextService

TRAFFIC = Traffic(rate=4, seconds=14, follow_ups=(1, 1))
#: Under which faults no interaction that begins after gets a vector, and under which every one does.
NONE = {"dead encoder", "encoder without end", "locked store", "unreachable store"}
ALL = {"none", "wrong key"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_no_recognition(fault):
    found = measure_fault(fault, TRAFFIC)
    assert (found["failed"], found["slow"], found["stale"]) == (0, 0, 0)
    served, turns = found["before"]
    assert served == turns > 5, "all is well until the fault"
    served, turns = found["during"]
    assert turns > 20
    if fault in NONE:
        assert served == 0
    elif fault in ALL:
        assert served == turns
        assert ("SealError" in found["outcomes"]) == (fault == "wrong key")  # what the old key sealed is lost
    else:
        assert served < turns
    assert found == measure_fault(fault, TRAFFIC)


def test_a_service_that_breaks_with_its_store_is_noticed(monkeypatch):
    class Careless(ContextService):
        async def context(self, interaction, at):
            entry = await self.tables.entry(interaction, at)
            assert entry, "a new point of failure"

    monkeypatch.setattr(faults, "ContextService", Careless)
    assert measure_fault("unreachable store", TRAFFIC)["failed"] > 20


def test_nothing_is_lost_with_the_process():
    found = measure_kills(2)
    assert found["kills"] == 2
    assert found["acknowledged"] > 40 and found["turns"] > 10 and found["served"] > 0
    assert (found["lost"], found["failed"]) == (0, 0)


def test_what_is_lost_with_the_process_is_noticed(tmp_path):
    sealer = Sealer(read_keys({KEYS: "k1 " + "A" * 43 + "="}))
    told = [["turn-0", "utterance 1"], ["turn-0", "reply 1 9.000"]]
    found = simulate(faults._reopened(tmp_path / "context.db", sealer, told))
    assert (found["lost"], found["served"]) == (2, 0)
