"""The published passports, which the data page shows, are those of the corpora that the package reads today."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from slubook.corpora import assistant, registry
from slubook.corpora.passports import faults, origin, passport
from slubook.profiles import RESULTS

PUBLISHED = {entry["corpus"]: entry for entry in json.loads((RESULTS / "passports.json").read_text("utf-8"))}
EMBEDDED = (*assistant.NAMES, registry.SKILLS)
HINT = "write them again: slubook data passports"


def measured(name: str) -> dict:
    """The passport of a corpus as JSON gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(passport(name))))


def test_every_corpus_at_hand_has_one():
    absent = {*EMBEDDED, *registry.PUBLIC} - set(PUBLISHED)
    assert not absent, HINT
    assert not set(PUBLISHED) - {*EMBEDDED, *registry.PUBLIC}


@pytest.mark.parametrize("name", PUBLISHED)
def test_origin_and_faults(name):
    now = json.loads(json.dumps([vars_of(origin(name)), faults(name)]))
    assert [PUBLISHED[name]["origin"], PUBLISHED[name]["faults"]] == now, HINT


def vars_of(record) -> dict:
    """The fields of a slotted dataclass."""
    return {field: getattr(record, field) for field in record.__dataclass_fields__}


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded(name):
    assert PUBLISHED[name] == measured(name), HINT


@pytest.mark.public
@pytest.mark.parametrize("name", ["snips_iob", "hwu64", "clinc150", "banking77", "restaurant8k"])
def test_public(public, name):
    public(registry.PUBLIC[name].source)
    now = measured(name)
    for split, entry in PUBLISHED[name]["splits"].items():
        near = now["splits"][split].pop("near_duplicates")
        assert near == entry["near_duplicates"] or math.isclose(near, entry["near_duplicates"], abs_tol=1e-9), HINT
        assert now["splits"][split]["sha256"] == entry["sha256"], HINT
    assert now["utterances"] == PUBLISHED[name]["utterances"]
