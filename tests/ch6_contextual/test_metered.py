"""Request units and sizes as DynamoDB's developer guide gives them."""

import asyncio
import os

import pytest
import yaml
from simulation import KEYS

from slubook.ch6_contextual.events import Interaction
from slubook.ch6_contextual.items import Sealer
from slubook.ch6_contextual.metered import Metered, at_scale, size_of
from slubook.profiles import ROOT


def test_sizes_are_those_of_names_and_values():
    assert size_of({"name": "Grüße", "sealed": b"abc"}) == 4 + 7 + 6 + 3
    assert size_of({"expires": 1_700_000_300}) == 7 + 5 + 1
    assert size_of({"events": frozenset({"end 1", "reply 1 9.000"}), "told": None}) == 6 + 5 + 13


@pytest.fixture
def metered(sqlite_store):
    return Metered(sqlite_store)


@pytest.mark.parametrize(("payload", "writes", "reads"), [(500, 1, 1), (1000, 2, 1), (4100, 5, 2)])
def test_units_are_rounded_up_for_each_item(payload, writes, reads, metered, run):
    sealer = Sealer(KEYS)
    items = [sealer.seal("turn-1", f"context {n}", 1_700_000_300, os.urandom(payload)) for n in range(2)]
    for item in items:
        assert run(metered.put(item))
    assert metered.used == {"calls": 2, "write_units": 2 * writes}
    assert not run(metered.put(items[0])), "which is charged as well"
    assert metered.used["write_units"] == 3 * writes
    assert run(metered.items("turn-1", ["context 0", "context 1", "context 2"])) == items
    assert metered.used["read_units"] == 2 * reads + 1, "what is not there is a unit"
    run(metered.discard("turn-1", ["context 0", "context 1", "context 2"]))
    assert metered.used["delete_units"] == 2 * writes + 1
    assert run(metered.items("turn-1", ["context 0"])) == [] and metered.rows == {}


def test_entries_are_charged_as_they_are_after_the_write(metered, run):
    expected = Interaction("turn-1", frozenset({"utterance 1"}), 100)
    assert run(metered.append("turn-1", "utterance 1", 100)) == run(metered.entry("turn-1")) == expected
    assert run(metered.entry("turn-1", consistent=False)) == expected
    assert metered.used == {"calls": 3, "write_units": 1, "read_units": 1.5}
    run(metered.append("turn-1", "x" * 1024, 100))
    assert metered.used["write_units"] == 3
    each = metered.of_each(2)
    assert (each["calls"], each["rows_left"]) == (2, 0.5)
    assert each["largest"] == 2 * each["bytes_left"] > 1024
    run(metered.sweep(200))
    assert run(asyncio.sleep(0)) is None and metered.used["calls"] == 4


def test_a_day_at_scale():
    """A million interactions of ten write units, two of them deletes, and four read units: by hand."""
    given = yaml.safe_load((ROOT / "book" / "dynamodb.yml").read_text("utf-8"))
    terms = {**given["prices"], **given["limits"], **given["assumed"]}
    prices = {"dollars_a_write_unit": 1e-6, "dollars_a_read_unit": 5e-7, "dollars_a_gib_month": 0.3}
    limits = {"peak_over_mean": 2, "days_until_deleted": 3, "bytes_of_a_row": 100}
    assert {*prices, *limits} <= terms.keys()
    each = {"write_units": 8, "delete_units": 2, "read_units": 4, "rows_left": 2, "bytes_left": 824, "largest": 4096}
    found = at_scale(each, {**terms, **prices, **limits}, 8_640_000)
    assert [found[what] for what in ("writes", "deletes", "reads")] == pytest.approx([69.12, 17.28, 17.28])
    assert found["stored_gib"] == pytest.approx(3 * 8_640_000 / 2**20)
    assert found["storage"] == pytest.approx(found["stored_gib"] * 0.01)
    assert found["all"] == pytest.approx(103.68 + found["storage"])
    assert (found["write_units_a_second"], found["read_units_a_second"], found["partitions"]) == (2000, 800, 2)
    assert (found["quotas"], found["largest_over_limit"]) == pytest.approx((0.05, 0.01))
