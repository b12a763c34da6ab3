"""The experiment *convergence*: a steady rate, a clock that measures training alone, goals, ratios and paying back."""

import numpy as np
import pytest

from slubook.evaluation.metrics import Outcomes
from slubook.experiments import convergence
from slubook.experiments.convergence import (
    EVERY,
    KEPT,
    LEVEL,
    METHODS,
    UPDATES,
    WARM_UP,
    Curve,
    pace_tables,
    paid_back,
    paired_figures,
    ratio_of_means,
    steady,
)  # fmt: skip
from slubook.experiments.records import Row
from slubook.experiments.transfer_sources import Chosen, Plan


def test_no_update_is_favoured_once_the_rate_has_risen():
    rates = [steady(u) for u in range(1, UPDATES + 1)]
    assert 0 < rates[0] < rates[1] and set(rates[WARM_UP - 1 :]) == {LEVEL}
    assert set(KEPT) <= set(range(EVERY, UPDATES + 1, EVERY))


def test_the_clock_stops_while_dev_error_is_measured(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(convergence.time, "process_time", lambda: now[0])
    curve = Curve()
    curve.rate(1)
    for update in range(1, 5):
        now[0] += 2  # an update
        curve.rate(update + 1)
        if update % 2 == 0:
            now[0] += 30  # measuring
            curve.measured(update, [0.5])
    assert (curve.updates, curve.seconds, curve.errors) == ([2, 4], [4.0, 8.0], [0.5, 0.5])


def test_the_first_update_at_the_goal_counts_or_the_last_where_none_is():
    curve = Curve([10, 20, 30, 40], [1.0, 2.0, 3.0, 4.0], [0.5, 0.3, 0.1, 0.3])
    assert curve.reaches(0.3) == {"updates_to_scratch_best": 20, "seconds_to_scratch_best": 2.0, "reached": 1.0}
    assert curve.reaches(0.05) == {"updates_to_scratch_best": 40, "seconds_to_scratch_best": 4.0, "reached": 0.0}
    assert curve.kept() == {"dev_10": 0.5, "dev_20": 0.3, "dev_30": 0.1}


def test_every_cell_has_what_the_ratio_is_made_of(tiny, monkeypatch):
    monkeypatch.setattr(convergence, "UPDATES", 40)
    done = convergence.run(**tiny.arguments(out=tiny.out))
    assert done.methods == list(METHODS) and len(done.rows) == 9
    for row in done.rows:
        assert row.figures["updates_to_scratch_best"] in (10, 20, 30, 40)
        assert 0 < row.figures["seconds_to_scratch_best"] < row.train_s
        assert {"dev_10", "dev_20", "dev_30"} <= set(row.figures)
    scratch = done.select(["scratch"])
    assert all(row.figures["reached"] for row in scratch) and done.tables["never_reached"]["scratch"] == 0
    means = [np.mean([r.figures["updates_to_scratch_best"] for r in done.select([m])]) for m in METHODS]
    assert done.tables["convergence_ratio"]["point"] == pytest.approx(means[0] / means[1])
    assert done.tables["convergence_ratio_names"]["point"] == pytest.approx(means[0] / means[2])
    assert done.tables["paid_back"].keys() == {"transfer", "transfer_names"}


def test_every_cell_goes_after_the_best_dev_error_from_scratch(tiny, monkeypatch):
    monkeypatch.setattr(convergence, "UPDATES", 20)
    goals: list[tuple[float, list[float]]] = []
    reaches = Curve.reaches
    monkeypatch.setattr(Curve, "reaches", lambda c, goal: goals.append((goal, c.errors)) or reaches(c, goal))
    convergence.run(**tiny.arguments())
    cells = [goals[k : k + 3] for k in range(0, len(goals), 3)]
    assert len(cells) == 3
    assert all(goal == min(cell[0][1]) for cell in cells for goal, _ in cell)


def test_the_full_profile_learns_every_fifth_skill_from_the_networks_of_all(monkeypatch):
    def planned(profile, *_, **more):
        raise LookupError(profile, more)

    monkeypatch.setattr(convergence, "plan", planned)
    with pytest.raises(LookupError) as asked:
        convergence.run("full")
    assert asked.value.args == ("full", {"every": 5})


def test_the_ratio_is_of_means_over_skills_and_its_interval_draws_corpora():
    values = {"a": np.array([[100, 20], [300, 60.0]]), "b": np.array([[600, 60.0]])}
    found = ratio_of_means(values, {"a": "x", "b": "y"}, replicates=500)
    assert found["point"] == pytest.approx((200 + 600) / (40 + 60)) and found["n"] == 2
    assert (found["low"], found["high"]) == (pytest.approx(5), pytest.approx(10)), "one corpus alone, drawn twice"
    alike = {k: np.array([[50, 10.0]] * 3) for k in "abc"}
    same = ratio_of_means(alike, dict.fromkeys("abc", "x"), replicates=50)
    assert same["low"] == same["point"] == same["high"] == 5.0
    assert found == ratio_of_means(dict(reversed(values.items())), {"a": "x", "b": "y"}, replicates=500)


def test_figures_are_paired_cell_by_cell_and_the_censored_are_counted(monkeypatch):
    gold = np.ones(4, dtype=int)
    rows = [
        Row("s", method, 100, seed, Outcomes(gold, gold, gold, gold, 0 * gold), figures={
            "updates_to_scratch_best": updates + seed, "seconds_to_scratch_best": updates / 10, "reached": reached})
        for seed in (1, 0)
        for method, updates, reached in (("transfer", 40, 1.0), ("scratch", 200, 1.0), ("transfer_names", 600, 0.0))
    ]  # fmt: skip
    pairs = paired_figures(rows, "updates_to_scratch_best", "scratch", "transfer")
    assert pairs["s"].tolist() == [[201, 41], [200, 40]]
    plan = Plan(Chosen("full", ()), {}, {"full-0": {"seconds": 50.0}, "full-1": {"seconds": 70.0}}, range(2))
    monkeypatch.setattr(Plan, "groups", lambda self: {"s": "corpus"})
    tables = pace_tables(rows, plan)
    assert tables["convergence_ratio"]["point"] == pytest.approx(200.5 / 40.5)
    assert tables["seconds_ratio"]["point"] == pytest.approx(5)
    assert tables["never_reached"] == {"scratch": 0, "transfer": 0, "transfer_names": 2}
    assert tables["paid_back"]["transfer"] == {"pretraining_s": 60.0, "saved_s": 16.0, "skills": 4}
    assert tables["paid_back"]["transfer_names"]["skills"] is None, "it saves nothing"
    assert pace_tables([], plan) == {}


def test_a_part_of_a_skill_is_a_skill_more():
    assert [paid_back(100, saved)["skills"] for saved in (100, 99, 0, -1)] == [1, 2, None, None]
