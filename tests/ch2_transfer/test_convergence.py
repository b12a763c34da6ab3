"""The experiment *convergence*: a steady rate, a clock that measures training alone, goals, ratios and paying back."""

import numpy as np
import pytest

from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer import convergence
from slubook.ch2_transfer.convergence import (
    ANOTHER,
    EVERY,
    KEPT,
    LEVEL,
    METHODS,
    UPDATES,
    WARM_UP,
    Curve,
    first_at,
    gather,
    of_means,
    own_pace,
    pace,
    pace_tables,
    paid_back,
    steady,
)
from slubook.ch2_transfer.plan import Chosen, TransferPlan
from slubook.ch2_transfer.protocol import TransferSettings, choose
from slubook.ch2_transfer.tuning import SKILLS
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.options import Options
from slubook.experiments.records import Row


def test_no_update_is_favoured_once_the_rate_has_risen():
    rates = [steady(u) for u in range(1, UPDATES + 1)]
    assert 0 < rates[0] < rates[1] and set(rates[WARM_UP - 1 :]) == {LEVEL}
    assert set(KEPT) <= set(range(EVERY, UPDATES + 1, EVERY))


def test_the_clock_stops_while_dev_error_is_measured(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(convergence.time, "process_time", lambda: now[0])
    curve = Curve()
    now[0] += 50  # the network is made
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
    assert curve.reaches(0.3, "best") == {"updates_to_best": 20, "seconds_to_best": 2.0, "reached_best": 1.0}
    assert curve.reaches(0.05, "best") == {"updates_to_best": 40, "seconds_to_best": 4.0, "reached_best": 0.0}
    assert curve.kept() == {"dev_10": 0.5, "dev_20": 0.3, "dev_30": 0.1}


def test_every_cell_has_what_the_ratio_is_made_of(tiny, monkeypatch):
    monkeypatch.setattr(convergence, "UPDATES", 40)
    fit, seeds = convergence.fit_starts, []
    monkeypatch.setattr(convergence, "fit_starts", lambda s, *more: seeds.append(more[2]) or fit(s, *more))
    done = tiny.run("convergence")
    assert done.methods == list(METHODS) and len(done.rows) == 12
    for row in done.rows:
        assert row.figures["updates_to_scratch_best"] in (10, 20, 30, 40)
        assert row.figures["seconds_to_scratch_best"] > 0
        assert {"dev_10", "dev_20", "dev_30"} <= set(row.figures)
        assert row.figures["updates_to_near_best"] <= row.figures["updates_to_scratch_best"]
    scratch = done.select(["scratch"])
    assert all(row.figures["reached_scratch_best"] for row in scratch) and done.tables["never_reached"]["scratch"] == 0
    means = [np.mean([r.figures["updates_to_scratch_best"] for r in done.select([m])]) for m in METHODS]
    for mean, ending in zip(means[1:], ("_control", "", "_names"), strict=True):
        assert done.tables[f"convergence_ratio{ending}"]["point"] == pytest.approx(means[0] / mean)
        assert {f"near_ratio{ending}", f"seconds_ratio{ending}"} <= set(done.tables)
    assert 0 <= done.tables["late"] <= 1
    assert seeds[:5] == [0, 0, ANOTHER, 0, 0], "a few updates to warm up, then each method"
    assert done.tables["paid_back"].keys() == {"transfer", "transfer_names"}


def test_every_cell_goes_after_the_best_dev_error_from_scratch(tiny, monkeypatch):
    monkeypatch.setattr(convergence, "UPDATES", 20)
    asked: list[tuple[str, float, list[float]]] = []
    reaches = Curve.reaches
    monkeypatch.setattr(
        Curve, "reaches", lambda c, goal, name: asked.append((name, goal, c.errors)) or reaches(c, goal, name)
    )
    done = tiny.run("convergence", out=None)
    dev = len(choose("quick", tiny.corpora).distinct[0].draw(done.rows[0].size, 0)[1])
    cells = [asked[k : k + 8] for k in range(0, len(asked), 8)]
    assert len(cells) == 3
    for cell in cells:
        best = min(cell[0][2])
        assert {(name, round(goal, 9)) for name, goal, _ in cell} == {
            ("scratch_best", round(best, 9)), ("near_best", round(best + 2 / dev, 9))
        }  # fmt: skip


def test_the_full_profile_learns_one_skill_of_every_second_domain_and_none_that_was_tuned_on(monkeypatch):
    def planned(options, settings, **more):
        raise LookupError(options.profile, more)

    monkeypatch.setattr(convergence, "plan", planned)
    with pytest.raises(LookupError) as asked:
        convergence.prepare(Options("full"), TransferSettings())
    profile, more = asked.value.args
    skills = [Skill(name, "", (), (), ()) for name in ("b/x#1", "b/x#0", *SKILLS, "a/y#0", "c/z#0", "c/z#1", "d/w#0")]
    assert profile == "full" and more.keys() == {"pick"}
    assert [s.name for s in more["pick"](skills)] == ["b/x#1", "c/z#0"]


def quotient(means):
    return means[0] / means[1]


def test_the_ratio_is_of_means_over_skills_and_its_interval_draws_corpora():
    values = {"a": np.array([[100, 20], [300, 60.0]]), "b": np.array([[600, 60.0]])}
    found = of_means(values, {"a": "x", "b": "y"}, quotient, replicates=500)
    assert found["point"] == pytest.approx((200 + 600) / (40 + 60)) and found["n"] == 2
    assert (found["low"], found["high"]) == (pytest.approx(5), pytest.approx(10)), "one corpus alone, drawn twice"
    alike = {k: np.array([[50, 10.0]] * 3) for k in "abc"}
    same = of_means(alike, dict.fromkeys("abc", "x"), quotient, replicates=50)
    assert same["low"] == same["point"] == same["high"] == 5.0
    assert found == of_means(dict(reversed(values.items())), {"a": "x", "b": "y"}, quotient, replicates=500)


def test_figures_are_paired_cell_by_cell_and_the_censored_are_counted(monkeypatch):
    gold = np.ones(4, dtype=int)
    rows = [
        Row("s", method, 100, seed, Outcomes(gold, gold, gold, gold, 0 * gold), figures={
            "updates_to_scratch_best": updates + seed, "seconds_to_scratch_best": updates / 10,
            "updates_to_near_best": updates / 2, "reached_scratch_best": reached} | {
            f"dev_{u}": max(0.1, 0.5 - u / updates / 2.5) for u in KEPT})
        for seed in (1, 0)
        for method, updates, reached in (
            ("transfer", 40, 1.0), ("scratch", 200, 1.0), ("scratch_again", 200, 1.0), ("transfer_names", 600, 0.0)
        )
    ]  # fmt: skip
    pairs = gather(rows, [("scratch", "updates_to_scratch_best"), ("transfer", "updates_to_scratch_best")])
    assert pairs["s"].tolist() == [[201, 41], [200, 40]]
    plan = TransferPlan(Chosen("full", ()), {}, {"full-0": {"seconds": 50.0}, "full-1": {"seconds": 70.0}}, range(2))
    monkeypatch.setattr(TransferPlan, "groups", lambda self: {"s": "corpus"})
    tables = pace_tables(rows, plan, 600)
    assert tables["convergence_ratio"]["point"] == pytest.approx(200.5 / 40.5)
    assert tables["seconds_ratio"]["point"] == pytest.approx(5)
    assert tables["convergence_ratio_control"]["point"] == 1
    assert tables["near_ratio"]["point"] == pytest.approx(5)
    assert tables["mean_ratio"]["point"] == pytest.approx(200 / 50), "read between updates 30 and 50"
    assert tables["mean_ratio_names"]["point"] == pytest.approx(200 / 600) and tables["mean_near_control"]["point"] == 1
    assert tables["never_reached"] == {"scratch": 0, "scratch_again": 0, "transfer": 0, "transfer_names": 2}
    assert tables["late"] == 0
    assert pace_tables(rows, plan, 223)["late"] == 0.5, "201 of 223 updates are more than nine tenths, 200 hardly"
    assert tables["paid_back"]["transfer"] == {
        "pretraining_s": 60.0, "saved_s": 16.0, "skills": 4, "low_s": 16.0, "high_s": 16.0,
    }  # fmt: skip
    assert tables["fair_ratio"] == tables["convergence_ratio"], "here, both networks from scratch are equally fast"
    assert tables["fair_ratio_control"]["point"] == 1 and tables["own_near"]["point"] > 1
    assert tables["paid_back"]["transfer_names"]["skills"] is None, "it saves nothing"
    assert pace_tables([], plan, 600) == {}


def test_a_figure_of_means_is_of_means_however_many_skills_are_drawn():
    values = {f"{c}/{k}": np.full((2, 1), 3.0) for c, n in (("x", 1), ("y", 5)) for k in range(n)}
    found = of_means(values, {s: s[0] for s in values}, lambda means: means[0], replicates=50)
    assert found["low"] == pytest.approx(3) and found["high"] == pytest.approx(3), "x drawn twice is two skills, y ten"


def test_mean_curves_are_read_between_kept_updates_and_an_end_counts_where_the_goal_is_not_reached():
    curve = np.array([0.5, 0.3, 0.35, 0.1])
    assert first_at(curve, [10, 20, 30, 50], 0.6) == 10 and first_at(curve, [10, 20, 30, 50], 0.05) == 50
    assert first_at(curve, [10, 20, 30, 50], 0.3) == 20
    assert first_at(curve, [10, 20, 30, 50], 0.2) == pytest.approx(42)
    means = np.array([0.5, 0.3, 0.2, 0.5, 0.2, 0.1])
    assert pace(means, [10, 20, 60], 0.0) == pytest.approx(60 / 20)
    assert pace(means, [10, 20, 60], 0.05) == pytest.approx(40 / (10 + 10 * 5 / 6))
    assert own_pace(means, [10, 20, 60], 0.1) == pytest.approx(20 / 20)
    assert own_pace(means, [10, 20, 60], 0.0) == 1 and own_pace(means, [10, 20, 60], 0.3) == pytest.approx(
        10 / (10 + 10 / 3)
    )
    assert pace(means[[3, 4, 5, 0, 1, 2]], [10, 20, 60], 0.0) == 1, "the other never gets there"


def test_a_part_of_a_skill_is_a_skill_more():
    assert [paid_back(100, saved)["skills"] for saved in (100, 99, 0, -1)] == [1, 2, None, None]
