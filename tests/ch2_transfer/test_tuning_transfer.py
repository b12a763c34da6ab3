"""Tuning of chapter 2: equal budgets, one length for all, banks, and rounds that follow by rule."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from slubook.ch2_transfer import tuning as tuning_transfer
from slubook.ch2_transfer.plan import make_plan
from slubook.ch2_transfer.protocol import MOVED, Settings, choose
from slubook.ch2_transfer.tuning import (
    DRAWS,
    EDGES,
    LATE,
    LONG,
    RATES,
    ROUNDS,
    SKILLS,
    START,
    TransferSearch,
    best,
    second,
)  # fmt: skip
from slubook.experiments.records import RecordsError
from slubook.experiments.search import row
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.trials import Round


def trial(error: float, rate: float, updates: int | None = None) -> dict:
    changes = {"rate": rate} | ({"training.updates": updates} if updates else {})
    return row(Round(1, (1, 2), ()), changes, [error] * 4)


class TestWhatIsTried:
    def test_every_method_gets_as_many_trials_and_one_of_them_twice_as_long(self):
        assert set(ROUNDS) == set(MOVED)
        for method, rounds in ROUNDS.items():
            tried = [*rounds[0].trials, *second(method, {}).trials, *EDGES[method]]
            recipes = [TransferSearch().configured(method, changes) for changes in tried]
            assert len(recipes) == 13 and 2 * START.training.updates == LONG
            usual = START.training.updates
            assert [r.training.updates for r in recipes] == [*[usual] * 9, LONG, *[usual] * 3]
            assert [r.rate for r in recipes[:6]] == [*RATES[method]] * 2

    def test_no_published_run_uses_the_draws(self):
        assert min(DRAWS) >= 1000 and len(set(SKILLS)) == 6 and len({name.split("/")[0] for name in SKILLS}) == 4

    def test_round_two_changes_one_thing_each_of_what_stands(self):
        stands = {"rate": 1.1, "network.dropout": 0.25}
        for method in MOVED:
            tried = [stands, *second(method, stands).trials]
            recipes = [asdict(TransferSearch().configured(method, changes)) for changes in tried]
            for recipe in recipes[1:]:
                apart = [
                    k
                    for part in ("network", "training")
                    for k in recipe[part]
                    if recipe[part][k] != recipes[0][part][k]
                ]
                apart += [k for k in ("rate", "unfreezing", "fresh") if recipe[k] != recipes[0][k]]
                assert len(apart) == 1
            assert len({json.dumps(r) for r in recipes}) == 5
        assert TransferSearch().configured("scratch", {}) == START

    def test_late_rounds_go_past_a_rate_and_a_dropout_that_was_chosen(self):
        for method, (faster, less, another) in EDGES.items():
            stands = Settings().recipes()[method]
            past = [TransferSearch().configured(method, changes) for changes in (faster, less, another)]
            assert past[0] == replace(stands, rate=past[0].rate) and past[0].rate > stands.rate
            dropout = past[1].network.dropout
            assert past[1] == replace(stands, network=replace(stands.network, dropout=dropout))
            assert dropout < stands.network.dropout
            assert past[2] in (replace(stands, rate=past[2].rate), replace(stands, fresh=Settings().scratch.rate))


class TestChoice:
    def test_what_came_late_must_be_clearly_better(self):
        stands, clear = trial(0.30, 1.0), trial(0.28, 1.6) | {"round": LATE}
        near = clear | {"errors": [0.40, 0.16, 0.28, 0.28]}
        assert best([stands, near]) is stands and best([stands, clear, near]) is clear
        assert best([stands, clear, trial(0.2, 1.6, LONG) | {"round": LATE + 1}]) is clear

    def test_the_least_error_but_never_the_longer_training(self):
        rows = [trial(0.30, 1.0), trial(0.28, 1.6), trial(0.20, 1.6, LONG)]
        trials = {"scratch": rows, "transfer": [trial(0.2, 0.6), trial(0.1, 0.3), trial(0.3, 1.0)]}
        chosen = TransferSearch().chosen(trials)
        assert chosen["scratch"] is rows[1] and chosen["transfer"] is trials["transfer"][1]

    def test_the_first_of_equals_and_no_trial_at_all(self):
        rows = [trial(0.3, 1.0), trial(0.2, 1.6), trial(0.2, 2.5)]
        assert best(rows) is rows[1]
        with pytest.raises(ValueError, match="none can be chosen"):
            best([trial(0.3, 1.0, LONG)])


@pytest.fixture
def small(tiny, monkeypatch):
    """A search over two of the user's domains with trainings of a few updates."""
    monkeypatch.setattr(tuning_transfer, "SKILLS", ("mine/flight", "mine/taxi"))
    monkeypatch.setattr(tuning_transfer, "LONG", 6)
    monkeypatch.setattr(tuning_transfer, "START", tiny.settings.scratch.lasting(4))
    monkeypatch.setattr(tuning_transfer, "DRAWS", (7,))
    rounds = {m: (Round(1, (7,), tuple({"rate": r} for r in RATES[m][:2])),) for m in MOVED}
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
    assert [len(starts) for starts in fitted[:2]] == [6] * 2, "two skills: all rates and methods at once"
    assert {(s.rate, s.parts) for s in fitted[0]} == {(r, MOVED[m]) for m in MOVED for r in RATES[m][:2]}
    methods = record["methods"]
    assert list(methods) == list(MOVED) and {len(f["trials"]) for f in methods.values()} == {9}
    assert {f["config"]["training"]["updates"] for f in methods.values()} == {4}, "the longer is never chosen"
    for method, found in methods.items():
        stands = best([t for t in found["trials"] if t["round"] == 1])["changes"]
        follows = [dict(c) for c in second(method, stands).trials]
        assert [t["changes"] for t in found["trials"] if t["round"] == 2] == follows
        assert set(found["stamp"]["data"]) > {"mine/flight, draw 7", "mine/taxi, draw 7"}
    assert record == small.load(path)
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda *given: pytest.fail("finished cells are not run again"))
    assert small.run(tmp_path / "again.json")["methods"].keys() == methods.keys()
    path.write_text(path.read_text().replace('"rate": 0.3', '"rate": 0.31', 1))
    with pytest.raises(RecordsError, match="slubook tune transfer"):
        small.load(path)


def test_a_bank_is_measured_whole_or_not_at_all(small, tmp_path, monkeypatch):
    """Weights and dropout are drawn for a bank at once, so a cell of another bank is another measurement."""
    record = small.run(tmp_path / "record.json")
    fit, fitted = tuning_transfer.fit_starts, []
    monkeypatch.setattr(tuning_transfer, "fit_starts", lambda s, *more: fitted.append(len(s)) or fit(s, *more))
    _, _, cells = small._cells("scratch", tuning_transfer.ROUNDS["scratch"])[0]
    lost = cells[0]
    small.store(lost).put(lost.key, {**small.store(lost).get(lost.key), "bank": ["another"]})
    assert small.run(tmp_path / "again.json")["methods"]["scratch"]["trials"] == record["methods"]["scratch"]["trials"]
    assert fitted == [6], "all of the one bank"


def test_a_record_is_of_one_protocol(small, tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    small.run(path)
    monkeypatch.setattr(TransferSearch, "protocol", 99)
    with pytest.raises(RecordsError, match="transfer, transfer_names were tuned by another protocol"):
        small.run(path, ["scratch"])


class TestThePublishedRecord:
    def test_the_defaults_are_what_tuning_chose(self):
        record = TransferSearch().load(Path(TransferSearch().record))
        chosen = {method: found["config"] for method, found in record["methods"].items()}
        defaults = {method: asdict(recipe) for method, recipe in Settings().recipes().items()}
        assert chosen == json.loads(json.dumps(defaults)), "the defaults in the code are not what tuning chose"

    def test_it_is_of_todays_rounds(self):
        record = TransferSearch().load(Path(TransferSearch().record))
        assert record["skills"] == list(SKILLS)
        assert {found["stamp"]["protocol"] for found in record["methods"].values()} == {
            EXPERIMENTS["transfer"].protocol
        }
        for method, found in record["methods"].items():
            first = [t for t in found["trials"] if t["round"] == 1]
            follows = second(method, best(first)["changes"]).trials
            listed = [*ROUNDS[method][0].trials, *follows, *EDGES[method]]
            assert [t["changes"] for t in found["trials"]] == [dict(c) for c in listed]
