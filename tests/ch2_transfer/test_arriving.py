"""The experiment *arriving*: growing sizes in nested draws, enough updates for each, and the fall of the gain."""

import numpy as np
import pytest

from slubook.ch1_skills.skillsets import DEV, MARGIN, Skill, make_skill
from slubook.ch2_transfer import arriving
from slubook.ch2_transfer.plan import Chosen
from slubook.ch2_transfer.protocol import TransferSettings
from slubook.corpora.utterance import Utterance
from slubook.evaluation.intervals import compare
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Row
from slubook.experiments.table import EXPERIMENTS


def row(skill, method, size, seed, right):
    right, gold = np.array(right), np.ones(len(right), dtype=int)
    return Row(skill, method, size, seed, Outcomes(right, gold, gold, right * gold, 0 * gold))


def rows_of(gains: dict[int, float], skills=4, seeds=2, n=200) -> list[Row]:
    """Scratch errs on half of the utterances; transfer, at each size, on that much less of them."""
    draw, made = np.random.default_rng(0), []
    for k in range(skills):
        for seed in range(seeds):
            for size, gain in gains.items():
                wrong = draw.random(n) < 0.5
                made.append(row(f"s{k}", "scratch", size, seed, (~wrong).astype(int)))
                for method in ("transfer", "transfer_names"):
                    still = wrong & (draw.random(n) >= gain)
                    made.append(row(f"s{k}", method, size, seed, (~still).astype(int)))
    return made


GROUPS = {f"s{k}": f"corpus{k % 2}" for k in range(4)}


def test_every_size_that_a_skill_has_room_for_is_drawn_from_the_same_order(tiny, monkeypatch):
    monkeypatch.setattr(arriving, "SIZES", (16, 32, 64))
    done = tiny.run("arriving")
    assert done.sizes == [16, 32] and done.methods == list(EXPERIMENTS["arriving"].methods)
    assert done.tables["arriving_sizes"] == {"first": 16, "last": 32}
    assert {"arriving_first", "arriving_fall", "arriving_first_names", "arriving_fall_names"} <= set(done.tables)
    assert done.tables["arriving_first"]["n"] == 3
    skill = arriving.choose_growing("quick", tiny.corpora).distinct[0]
    (small, dev), (large, same) = skill.draw(16, 0), skill.draw(32, 0)
    assert large[:16] == small and dev == same


def test_no_size_is_trained_for_less_than_eight_epochs_and_none_for_less_than_was_tuned():
    tuned = TransferSettings().scratch.training
    updates = [arriving.long_enough(tuned.updates, tuned.batch, size) for size in arriving.SIZES]
    assert updates[0] == tuned.updates == min(updates)
    assert all(u * tuned.batch >= 8 * size for u, size in zip(updates, arriving.SIZES, strict=True))


def test_the_gain_is_read_at_the_smallest_size_and_not_at_the_best():
    rows = rows_of({50: 0.2, 100: 0.9, 200: 0.1})
    tables = arriving.gain_tables(rows, [50, 100, 200], GROUPS)
    at = {size: compare(rows, "irer", "scratch", "transfer", size, groups=GROUPS) for size in (50, 200)}
    first, fall = tables["arriving_first"], tables["arriving_fall"]
    assert first["point"] == at[50].point and first["low"] == at[50].low < 0.3 and first["n"] == 4
    assert fall["point"] == pytest.approx(at[50].point - at[200].point)


def test_a_gain_that_falls_and_one_that_does_not_are_told_apart():
    for gains, falls in (({50: 0.6, 400: 0.1}, True), ({50: 0.3, 400: 0.3}, False)):
        found = arriving.fall(rows_of(gains), "transfer", 50, 400, GROUPS, replicates=300)
        assert found["low"] <= found["point"] <= found["high"]
        assert (found["low"] > 0) is falls


def test_a_run_that_was_stopped_has_the_tables_that_its_rows_allow():
    assert arriving.gain_tables([], [50, 100], GROUPS) == {"arriving_sizes": {"first": 50, "last": 100}}
    rows = rows_of({50: 0.4, 100: 0.2}, seeds=2)
    half = [r for r in rows if (r.size, r.seed) != (100, 1)]
    tables = arriving.gain_tables(half, [50, 100], GROUPS)
    alone = arriving.gain_tables([r for r in rows if r.seed == 0], [50, 100], GROUPS)
    assert tables["arriving_fall"] == alone["arriving_fall"] and tables["arriving_first"] != alone["arriving_first"]
    assert "arriving_fall" not in arriving.gain_tables(half, [50], GROUPS)


def test_the_largest_common_size_is_one_that_every_skill_has(toy_skill):
    skills = [make_skill(name, "toy", ["shopping"], toy_skill) for name in "ab"]
    chosen = Chosen("full", [(skills[0], 50), (skills[0], 100), (skills[0], 200), (skills[1], 100), (skills[1], 50)])
    assert arriving.common_sizes(chosen) == [50, 100]


def test_the_quick_profile_stops_at_a_hundred():
    chosen = arriving.choose_growing("quick")
    assert sorted({n for _, n in chosen.skills}) == [50, 100]


def test_of_the_two_hundred_the_first_of_each_domain_that_has_room_for_eight_hundred():
    def skill(name, room):
        pool = tuple(Utterance(f"{name}-{k}", f"{name} {k}", "a", ()) for k in range(room + DEV + MARGIN))
        return Skill(name, "toy", (), (), pool)

    skills = [skill("a#0", 800), skill("a#1", 900), skill("b#0", 799), skill("c#0", 1600)]
    assert [s.name for s in arriving.growing("full")(skills)] == ["a#0", "c#0"]
    assert [s.name for s in arriving.growing("corpus")(skills)] == ["a#0", "b#0", "c#0"]
    assert [s.name for s in arriving.growing("quick")(skills)] == ["a#0", "c#0"]


def test_a_skill_too_small_for_any_of_the_sizes_is_learned_as_it_is(monkeypatch, toy_skill):
    skill = make_skill("toy", "toy", ["shopping"], toy_skill)
    monkeypatch.setattr(arriving, "choose", lambda profile, corpora: Chosen("full", [(skill, 100)]))
    monkeypatch.setattr(arriving, "SIZES", (10**6,))
    assert [n for _, n in arriving.choose_growing("full").skills] == skill.sizes()
