"""What is published is whole and current, and the examples on the pages are read as the pages say."""

from __future__ import annotations

import pytest

from slubook.book.ledger import protocol_now
from slubook.corpora import registry
from slubook.experiments.records import Results
from slubook.profiles import RESULTS, ROOT

EXPERIMENTS = [path for path in sorted(RESULTS.glob("*.json")) if protocol_now(path.stem) is not None]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_published_results_are_sealed_and_of_todays_protocol(path):
    results = Results.load(path)  # fails when the file was changed by hand
    assert results.stamp["protocol"] == protocol_now(path.stem), f"run it again: slubook run {path.stem} --profile full"


def test_the_interaction_model_on_the_page_is_read():
    utterances = registry.load(ROOT / "book" / "examples" / "tea-house.json")
    assert {u.intent for u in utterances} == {"OrderTeaIntent", "SteepTimeIntent", "OpeningHoursIntent"}
    assert {slot.type for u in utterances for slot in u.slots} == {"tea", "cups", "day"}


def test_the_annotated_utterances_on_the_page_are_read():
    utterances = registry.load(ROOT / "book" / "examples" / "tea-house.jsonl")
    values = [u.text[slot.start : slot.end] for u in utterances for slot in u.slots]
    assert values[:3] == ["two", "oolong", "mint tea"] and all(values)
    assert {slot.type for u in utterances for slot in u.slots} == {"tea", "cups", "day"}
    assert len({u.intent for u in utterances}) == 4
