"""Tuning of chapter 2: equal budgets, one length for all, banks, and what came late."""

import json
from dataclasses import asdict, replace

import pytest

from slubook.ch2_transfer import tuning as tuning_transfer
from slubook.ch2_transfer.protocol import MOVED, TransferSettings, choose
from slubook.ch2_transfer.tuning import HEAD, LATE, LONG, SEARCH, SKILLS, START, best
from slubook.experiments.records import RecordsError
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import SEED, Trial, changed
from slubook.profiles import cache_dir


def trial(error: float, rate: float, updates: int | None = None) -> dict:
    changes = {"rate": rate} | ({"training.updates": updates} if updates else {})
    return {"round": 1, "changes": changes, "dev_error": error, "errors": [error] * 4}


@pytest.fixture(scope="module")
def record():
    return SEARCH.load()


class TestThePublishedRecord:
    def test_the_defaults_are_what_tuning_chose(self, record):
        chosen = {method: found["config"] for method, found in record["methods"].items()}
        defaults = {method: asdict(recipe) for method, recipe in TransferSettings().recipes().items()}
        assert chosen == json.loads(json.dumps(defaults)), "the defaults in the code are not what tuning chose"

    def test_it_says_what_the_code_says(self, record):
        assert {name: record[name] for name in HEAD} == HEAD and list(record["methods"]) == list(MOVED)
        start = json.loads(json.dumps(asdict(START)))
        for found in record["methods"].values():
            assert (
                found["stamp"]["protocol"] == EXPERIMENTS["transfer"].protocol
                and found["stamp"]["config"]["start"] == start
            )

    def test_every_method_got_as_many_trials_and_one_of_them_twice_as_long(self, record):
        for method, found in record["methods"].items():
            recipes = [changed(SEARCH.start[method], t["changes"]) for t in found["trials"]]
            assert len(recipes) == 13 == found["settings"] and 2 * START.training.updates == LONG
            usual = START.training.updates
            assert [r.training.updates for r in recipes] == [*[usual] * 9, LONG, *[usual] * 3]
            assert [t["round"] for t in found["trials"]] == [1] * 6 + [2] * 4 + [LATE] * 2 + [LATE + 1]
            first = [t for t in found["trials"] if t["round"] == 1]
            assert found["trials"][9]["changes"] == {**best(first)["changes"], "training.updates": LONG}

    def test_no_published_run_uses_the_draws(self, record):
        seeds = {seed for found in record["methods"].values() for t in found["trials"] for seed in t["seeds"]}
        assert seeds == {SEED, SEED + 1}
        assert len(set(SKILLS)) == 6 and len({name.split("/")[0] for name in SKILLS}) == 4


class TestChoice:
    def test_what_came_late_must_be_clearly_better(self):
        stands, clear = trial(0.30, 1.0), trial(0.28, 1.6) | {"round": LATE}
        near = clear | {"errors": [0.40, 0.16, 0.28, 0.28]}
        assert best([stands, near]) is stands and best([stands, clear, near]) is clear
        assert best([stands, clear, trial(0.2, 1.6, LONG) | {"round": LATE + 1}]) is clear

    def test_the_least_error_but_never_the_longer_training(self):
        rows = [trial(0.30, 1.0), trial(0.28, 1.6), trial(0.20, 1.6, LONG)]
        assert best(rows) is rows[1]

    def test_the_first_of_equals_and_no_trial_at_all(self):
        rows = [trial(0.3, 1.0), trial(0.2, 1.6), trial(0.2, 2.5)]
        assert best(rows) is rows[1]
        for none in (trial(0.3, 1.0, LONG), trial(0.3, 1.0) | {"round": LATE}):
            with pytest.raises(RecordsError, match="none can be chosen"):
                best([none])


@pytest.fixture
def small(tiny, monkeypatch):
    """A search over two of the user's domains with trainings of a few updates."""
    monkeypatch.setattr(tuning_transfer, "SKILLS", ("mine/flight", "mine/taxi"))
    monkeypatch.setattr(tuning_transfer, "LONG", 6)
    monkeypatch.setattr(tuning_transfer, "PretrainingConfig", lambda: tiny.settings.pretraining)
    monkeypatch.setattr(tuning_transfer, "choose", lambda profile: choose("quick", tiny.corpora))
    return replace(SEARCH, start=dict.fromkeys(MOVED, tiny.settings.scratch.lasting(4)))


RATES = {"scratch": (1.0, 1.6), "transfer": (0.3, 0.6), "transfer_names": (0.6, 1.0)}
TRIALS = [Trial(method=m, changes={"rate": rate}) for m, rates in RATES.items() for rate in rates]
TRIALS += [Trial(method=m, changes={"rate": RATES[m][0], "training.updates": 6}, round=2) for m in MOVED]
TRIALS += [Trial(method=m, changes={"rate": RATES[m][0], "network.dropout": 0.1}, round=2) for m in MOVED]


def test_only_what_the_skills_need_is_pretrained_and_trained_in_banks(small, tmp_path, monkeypatch):
    ground = small.ground(list(MOVED), 1, "cpu")
    assert (
        sorted(s.name for s, _ in ground.skills) == ["mine/flight", "mine/taxi"] and len(ground.inputs["scratch"]) == 2
    )
    fit, fitted = tuning_transfer.fit_starts, []
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda s, *more: fitted.append([*s.values()]) or fit(s, *more))
    path = tmp_path / "record.json"
    record = small.run(TRIALS, path)
    assert [len(starts) for starts in fitted] == [6] * 2 + [3] * 4, "a round's rates, dropouts and methods at once"
    assert [(s.rate, s.parts) for s in fitted[0]] == [(r, MOVED[m]) for m in MOVED for r in RATES[m]]
    methods = record["methods"]
    assert list(methods) == list(MOVED) and {len(f["trials"]) for f in methods.values()} == {4}
    assert {f["config"]["training"]["updates"] for f in methods.values()} == {4}, "the longer is never chosen"
    for found in methods.values():
        assert set(found["stamp"]["data"]) == {
            "mine/flight, draw 1000",
            "mine/taxi, draw 1000",
            *ground.inputs["scratch"],
        }
    assert record == small.load(path)
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda *given: pytest.fail("finished cells are not run again"))
    assert small.run(TRIALS, tmp_path / "again.json")["methods"].keys() == methods.keys()


def test_a_bank_is_measured_whole_or_not_at_all(small, tmp_path, monkeypatch):
    """Weights and dropout are drawn for a bank at once, so a cell of another bank is another measurement."""
    record = small.run(TRIALS[:6], tmp_path / "record.json")
    fit, fitted = tuning_transfer.fit_starts, []
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda s, *more: fitted.append(len(s)) or fit(s, *more))
    lost = next((cache_dir() / "cells" / "tuning-transfer").iterdir())
    lost.unlink()
    again = small.run(TRIALS[:6], tmp_path / "again.json")
    assert again["methods"]["scratch"]["trials"] == record["methods"]["scratch"]["trials"]
    assert fitted == [6], "all of the one bank"
