"""Tuning of chapter 2: equal budgets, a length for all that scratch decides, banks, and rounds that follow by rule."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from slubook.experiments import tuning_transfer
from slubook.experiments.records import RecordsError
from slubook.experiments.search import row
from slubook.experiments.transfer import MOVED, Settings, choose
from slubook.experiments.transfer_sources import make_plan
from slubook.experiments.trials import Round
from slubook.experiments.tuning_transfer import (
    DRAWS,
    LENGTHS,
    RATES,
    ROUNDS,
    SKILLS,
    START,
    TransferSearch,
    best,
    second,
    suits,
)  # fmt: skip


def trial(error: float, rate: float, updates: int, spread: float = 0.0) -> dict:
    errors = (error + spread * np.array([-1, 1, -1, 1])).tolist()
    return row(Round(1, (1, 2), ()), {"rate": rate, "training.updates": updates}, errors)


class TestWhatIsTried:
    def test_every_method_gets_as_many_trials_at_every_length(self):
        assert set(ROUNDS) == set(MOVED)
        counts = {m: len(rounds[0].trials) + len(second(m, {}).trials) for m, rounds in ROUNDS.items()}
        assert set(counts.values()) == {10}
        for rounds in ROUNDS.values():
            lengths = [changes["training.updates"] for changes in rounds[0].trials]
            assert [lengths.count(n) for n in LENGTHS] == [3, 3]

    def test_no_published_run_uses_the_draws(self):
        assert min(DRAWS) >= 1000 and len(set(SKILLS)) == 6 and len({name.split("/")[0] for name in SKILLS}) == 4

    def test_round_two_changes_one_thing_each_of_what_stands(self):
        stands = {"rate": 1.6, "training.updates": 200}
        for method in MOVED:
            recipes = [TransferSearch().configured(method, c) for c in (stands, *second(method, stands).trials)]
            assert [r.rate for r in recipes] == [1.6] * 4 + [2.56] and {r.training.updates for r in recipes} == {200}
            assert len({json.dumps(asdict(r)) for r in recipes}) == 5
        assert [r.unfreezing for r in recipes] == ["all", "all", "all", "gradual", "all"]
        assert TransferSearch().configured("scratch", {}) == START


class TestChoice:
    def test_scratch_decides_how_long_all_train(self):
        short, long = LENGTHS
        rows = [trial(0.30, 1.0, short), trial(0.28, 1.6, short), trial(0.20, 1.0, long)]
        assert suits(rows) == long
        assert suits([*rows[:2], trial(0.27, 1.0, long, spread=0.1)]) == short, "not clearly better"
        trials = {"scratch": rows, "transfer": [trial(0.1, 0.3, short), trial(0.2, 0.6, long), trial(0.3, 1.0, long)]}
        chosen = TransferSearch().chosen(trials)
        assert chosen["scratch"] is rows[2] and chosen["transfer"] is trials["transfer"][1]

    def test_the_first_of_equals_and_no_trial_at_all(self):
        rows = [trial(0.3, 1.0, 200), trial(0.2, 1.6, 200), trial(0.2, 2.5, 200)]
        assert best(rows, 200) is rows[1]
        with pytest.raises(ValueError, match="no trial of 400 updates"):
            best(rows, 400)


@pytest.fixture
def small(tiny, monkeypatch):
    """A search over two of the user's domains with two lengths of a few updates."""
    monkeypatch.setattr(tuning_transfer, "SKILLS", ("mine/flight", "mine/taxi"))
    monkeypatch.setattr(tuning_transfer, "LENGTHS", (4, 6))
    monkeypatch.setattr(tuning_transfer, "START", replace(tiny.settings.scratch))
    monkeypatch.setattr(tuning_transfer, "DRAWS", (7,))
    rounds = {m: (Round(1, (7,), tuple({"training.updates": n, "rate": r} for n in (4, 6) for r in RATES[m][:2])),)
              for m in MOVED}  # fmt: skip
    monkeypatch.setattr(tuning_transfer, "ROUNDS", rounds)
    chosen = choose("quick", tiny.corpora)
    plan = make_plan(chosen, 1, tiny.settings.pretraining, 1, pick=tuning_transfer.listed)
    return TransferSearch.over(plan)


def test_only_what_the_skills_need_is_pretrained_and_trained_in_banks(small, tmp_path, monkeypatch):
    assert sorted(small.pretrained) == ["mine/flight", "mine/taxi"] and len(small.beneath("scratch")) == 2
    fit, fitted = tuning_transfer.fit_starts, []
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda s, *more: fitted.append([*s.values()]) or fit(s, *more))
    path = tmp_path / "record.json"
    record = small.run(path)
    assert [len(starts) for starts in fitted[:4]] == [6] * 4, "two skills, two lengths: all rates and methods at once"
    assert {(s.rate, s.parts) for s in fitted[0]} == {(r, MOVED[m]) for m in MOVED for r in RATES[m][:2]}
    methods = record["methods"]
    assert list(methods) == list(MOVED) and {len(f["trials"]) for f in methods.values()} == {8}
    assert len({f["config"]["training"]["updates"] for f in methods.values()}) == 1, "one length for all"
    for method, found in methods.items():
        length = found["config"]["training"]["updates"]
        stands = best([t for t in found["trials"] if t["round"] == 1], length)["changes"]
        follows = [dict(c) for c in second(method, stands).trials]
        assert [t["changes"] for t in found["trials"] if t["round"] == 2] == follows
        assert set(found["stamp"]["data"]) > {"mine/flight, draw 7", "mine/taxi, draw 7"}
    assert record == small.load(path)
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda *given: pytest.fail("finished cells are not run again"))
    assert small.run(tmp_path / "again.json")["methods"].keys() == methods.keys()
    path.write_text(path.read_text().replace('"rate": 0.3', '"rate": 0.31', 1))
    with pytest.raises(RecordsError, match="slubook tune transfer"):
        small.load(path)


class TestThePublishedRecord:
    def test_the_defaults_are_what_tuning_chose(self):
        record = TransferSearch().load(Path(TransferSearch().record))
        chosen = {method: found["config"] for method, found in record["methods"].items()}
        defaults = {method: asdict(recipe) for method, recipe in Settings().recipes().items()}
        assert chosen == json.loads(json.dumps(defaults)), "the defaults in the code are not what tuning chose"

    def test_it_is_of_todays_rounds(self):
        record = TransferSearch().load(Path(TransferSearch().record))
        assert record["skills"] == list(SKILLS)
        for method, found in record["methods"].items():
            listed = [dict(c) for c in ROUNDS[method][0].trials]
            first = [t for t in found["trials"] if t["round"] == 1]
            assert [t["changes"] for t in first] == listed
            length = suits([t for t in record["methods"]["scratch"]["trials"] if t["round"] == 1])
            follows = [dict(c) for c in second(method, best(first, length)["changes"]).trials]
            assert [t["changes"] for t in found["trials"][len(first) :]] == follows
