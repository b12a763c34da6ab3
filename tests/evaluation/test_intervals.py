"""Intervals on cases whose answer is known."""

import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from slubook.evaluation.intervals import Interval, compare, holm, mean_error
from slubook.evaluation.metrics import Counted, Outcomes, irer
from slubook.evaluation.resampling import draw_skills
from slubook.experiments.records import Results
from slubook.experiments.table import EXPERIMENTS


def row(skill, method, wrong, size=100, seed=0, slices=None):
    """A row of utterances with one slot each, of which those marked in ``wrong`` [N] have a wrong intent."""
    wrong = np.asarray(wrong)
    one = np.ones(len(wrong), dtype=int)
    measured = Outcomes(intent=1 - wrong, correct=one, predicted=one, gold=one, substituted=one * 0)
    return SimpleNamespace(skill=skill, method=method, size=size, seed=seed, outcomes=measured, slices=slices or {})


def simulate(rng, reduction, skills=20, seeds=3, n=150, sizes=(100,)):
    """Paired methods: an utterance that is hard for one is hard for the other."""
    rows = []
    for k in range(skills):
        rate, hard = rng.uniform(0.2, 0.5), rng.random(n)
        for seed in range(seeds):
            for size in sizes:
                luck = 0.7 * hard + 0.3 * rng.random(n)
                base = luck < np.quantile(luck, rate)
                better = base & (rng.random(n) >= reduction)
                rows.append(row(f"s{k}", "old", base.astype(int), size, seed))
                rows.append(row(f"s{k}", "new", better.astype(int), size, seed))
    return rows


def test_identical_methods():
    rows = simulate(np.random.default_rng(0), reduction=0.0)
    result = compare(rows, "irer", "old", "new", replicates=200)
    assert (result.point, result.low, result.high) == (0, 0, 0)
    assert (result.wins, result.ties, result.p_wilcoxon, result.mean_of_skill_reductions) == (0, 20, 1.0, 0.0)


def test_equally_good_methods_cover_zero():
    rng = np.random.default_rng(1)
    rows = [row(f"s{k}", m, rng.random(200) < 0.3) for k in range(15) for m in ("old", "new")]
    rows = [row(r.skill, r.method, 1 - r.outcomes.intent) for r in rows]
    result = compare(rows, "irer", "old", "new", replicates=400)
    assert result.low < 0 < result.high
    assert result.p_wilcoxon > 0.05


def test_fifteen_percent():
    rows = simulate(np.random.default_rng(2), reduction=0.15)
    result = compare(rows, "irer", "old", "new", 100, replicates=500)
    assert 0.10 < result.low < 0.15 < result.high < 0.20
    assert result.wins == 20 and result.n_skills == 20 and result.p_wilcoxon < 0.001
    gain = compare(rows, "irer", "old", "new", 100, statistic="absolute_gain", replicates=500)
    errors = [mean_error(rows, "irer", m, 100, replicates=50).point for m in ("old", "new")]
    assert gain.point == pytest.approx(errors[0] - errors[1])
    relative = compare(rows, "irer", "old", "new", 100, statistic="relative_gain", replicates=50)
    assert relative.point == pytest.approx(gain.point / (1 - errors[0]))


def test_reduction_of_the_mean_differs_from_the_mean_of_reductions():
    rows = [
        row("many", "old", [1] * 8 + [0] * 2),
        row("many", "new", [1] * 6 + [0] * 4),
        row("few", "old", [1] * 2 + [0] * 8),
        row("few", "new", [1] * 1 + [0] * 9),
    ]
    result = compare(rows, "irer", "old", "new", replicates=100)
    assert result.point == pytest.approx(0.3)
    assert result.mean_of_skill_reductions == pytest.approx((0.25 + 0.5) / 2)


def test_coverage():
    rng = np.random.default_rng(3)
    inside = 0
    for trial in range(60):
        result = compare(simulate(rng, 0.15, 14, 2, 80), "irer", "old", "new", replicates=200, seed=trial)
        inside += result.low <= 0.15 <= result.high
    assert inside >= 53  # fewer than 53 of 60 has a chance below one in a hundred at 95 %


def test_interval_width_against_theory():
    rng = np.random.default_rng(4)
    rows = [row("only", "old", (rng.random(400) < 0.3).astype(int))]
    result = mean_error(rows, "irer", "old", replicates=3000)
    p = irer(rows[0].outcomes)
    assert result.point == p and result.n_skills == 1
    assert result.high - result.low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / 400), rel=0.1)


@pytest.mark.parametrize("metric", ["wer", "cer", "u_wer", "b_wer", "perplexity"])
def test_words_and_tokens_are_compared_as_intents_are(metric):
    """A proposal with a fifth fewer errors, or a fifth less surprise, in each of twelve skills."""
    rng, rows = np.random.default_rng(13), []
    for k in range(12):
        words = rng.integers(10, 40, 60)
        errors = rng.binomial(words, 0.25) * 5
        for method, share in (("old", 1.0), ("new", 0.8)):
            wrong = (share * errors).astype(int)
            measured = {
                "perplexity": Counted(tokens=5 * words, oov=words, log_probability=-wrong.astype(float)),
                "cer": Counted(characters=5 * words, character_errors=wrong),
                "u_wer": Counted(6 * words, wrong + words, words, words),
                "b_wer": Counted(6 * words, wrong + words, 5 * words, wrong),
            }.get(metric, Counted(5 * words, wrong))
            made = {"skill": f"s{k}", "method": method, "size": 0, "seed": 0, "outcomes": measured, "slices": {}}
            rows.append(SimpleNamespace(**made))
    found = compare(rows, metric, "old", "new", replicates=200)
    if metric == "perplexity":  # exp(−0.2 · surprise) of about 0.31 nats a token that is not unknown
        assert found.point == pytest.approx(1 - np.exp(-0.2 * 0.3125), abs=0.01)
    else:
        assert found.point == pytest.approx(0.2) and found.low == pytest.approx(0.2) == found.high
    assert found.wins == 12 and found.low > 0
    error = mean_error(rows, metric, "old", replicates=200)
    assert error.low < error.point < error.high and error.n_skills == 12


def test_skills_are_the_top_level():
    flat = [row(f"s{k}", "old", [k % 2] * 50) for k in range(16)]  # all wrong or all right
    result = mean_error(flat, "irer", "old", replicates=2000)
    assert result.point == 0.5
    assert result.high - result.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 16), rel=0.15)


def test_seeds_are_resampled():
    same = [row("only", "old", [1] * 100, seed=s) for s in range(2)]
    assert mean_error(same, "irer", "old", replicates=200).high == 1
    unlike = [same[0], row("only", "old", [0] * 100, seed=1)]
    result = mean_error(unlike, "irer", "old", replicates=200)
    assert (result.low, result.point, result.high) == (0, 0.5, 1)


def test_groups_widen_the_interval():
    rows = [row(f"{g}{k}", "old", [g % 2] * 20) for g in range(4) for k in range(10)]
    groups = {r.skill: r.skill[0] for r in rows}
    alone = mean_error(rows, "irer", "old", replicates=500)
    grouped = mean_error(rows, "irer", "old", groups=groups, replicates=500)
    assert alone.point == grouped.point == 0.5
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_skills_of_one_domain_are_drawn_with_it():
    def width(name):
        rows = [row(name(g, k), "old", [g % 2] * 20) for g in range(8) for k in range(5)]
        found = mean_error(rows, "irer", "old", groups={r.skill: "corpus" for r in rows}, replicates=500)
        assert found.point == 0.5
        return found.high - found.low

    apart, together = width(lambda g, k: f"{g}_{k}"), width(lambda g, k: f"{g}#{k}")
    assert together == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 8), rel=0.15)  # eight independent witnesses, not forty
    assert together > 1.8 * apart


def test_every_level_is_drawn_as_often_as_it_has_members():
    names = ["a/x#0", "a/x#1", "a/y#0", "b/z#0", "b/z#1", "b/z#2"]
    groups, rng = {n: n[0] for n in names}, np.random.default_rng(1)
    drawn = draw_skills(names, groups, 4000, rng)
    # two corpora are drawn, each gives as many domains as it has, and each of these as many skills
    of_b = drawn[:, 3:].sum(1)
    assert set(of_b) == {0, 3, 6}
    assert set(drawn[of_b == 6][:, :3].sum(1)) == {0} and set(drawn[of_b == 3].sum(1)) == {5, 6, 7}
    assert drawn.mean(0) == pytest.approx(np.ones(6), abs=0.08)
    assert draw_skills(names, None, 50, rng).sum(1).tolist() == [6] * 50


def test_no_baseline_error():
    right, wrong = [0, 0, 0], [1, 0, 0]
    both = compare([row("a", "old", right), row("a", "new", right)], "irer", "old", "new", replicates=50)
    assert (both.point, both.low, both.high, both.n_undefined) == (0, 0, 0, 0)
    worse = compare([row("a", "old", right), row("a", "new", wrong)], "irer", "old", "new", replicates=50)
    assert worse.point == -np.inf and worse.n_undefined == 1 and worse.low == -np.inf and worse.high == 0
    mixed = [row("a", "old", right), row("a", "new", wrong), row("b", "old", wrong), row("b", "new", right)]
    result = compare(mixed, "irer", "old", "new", replicates=50)
    assert result.point == 0 and result.mean_of_skill_reductions == 1.0 and result.n_undefined == 1


def test_slices():
    mask = {"unseen": np.array([True, True, False, False])}
    rows = [
        row("a", "old", [1, 1, 0, 0], slices=mask),
        row("a", "new", [1, 0, 1, 1], slices=mask),
        row("b", "old", [1, 1, 1, 1], slices={"unseen": np.zeros(4, dtype=bool)}),
        row("b", "new", [0, 0, 0, 0], slices={"unseen": np.zeros(4, dtype=bool)}),
    ]
    result = compare(rows, "irer", "old", "new", slice="unseen", replicates=200)
    assert result.point == 0.5 and result.n_skills == 1  # the skill whose slice is empty says nothing
    rows[1].slices = {"unseen": ~mask["unseen"]}
    with pytest.raises(ValueError, match="differs between old and new"):
        compare(rows, "irer", "old", "new", slice="unseen")
    with pytest.raises(ValueError, match="has no slice 'long'"):
        compare(rows, "irer", "old", "new", slice="long")
    with pytest.raises(ValueError, match="holds no utterance"):
        compare(rows[2:], "irer", "old", "new", slice="unseen")


def halves(n):
    """Two slices that part the test: its first half and the rest."""
    first = np.arange(n) < n // 2
    return {"unseen": first, "seen": ~first}


def sliced(rng, unseen, seen, skills=12, n=200, more=None):
    """Paired methods; the proposal removes that share of the baseline's mistakes in each slice."""
    rows, masks = [], halves(n) | (more or {})
    for k in range(skills):
        wrong = rng.random(n) < rng.uniform(0.3, 0.6)
        better = wrong & (rng.random(n) >= np.where(masks["unseen"], unseen, seen))
        rows += [row(f"s{k}", m, w.astype(int), slices=masks) for m, w in (("old", wrong), ("new", better))]
    return rows


WHERE = {"slice": "unseen", "against": "seen", "replicates": 400}


def test_slices_that_gain_alike():
    result = compare(sliced(np.random.default_rng(8), 0.3, 0.3), "irer", "old", "new", **WHERE)
    assert result.low < 0 < result.high and result.p_wilcoxon > 0.05 and result.n_skills == 12


def test_a_slice_that_gains_more():
    rows = sliced(np.random.default_rng(9), 0.4, 0.1)
    result = compare(rows, "irer", "old", "new", **WHERE)
    gains = [compare(rows, "irer", "old", "new", slice=s, replicates=20).point for s in ("unseen", "seen")]
    assert result.point == pytest.approx(gains[0] - gains[1])
    assert 0.2 < result.low < 0.3 < result.high < 0.4 and result.wins > 10 and result.p_wilcoxon < 0.01
    back = compare(rows, "irer", "old", "new", slice="seen", against="unseen", replicates=400)
    assert back.point == pytest.approx(-result.point) and back.high < 0


def test_a_gain_everywhere_is_no_gain_on_a_slice():
    rows = sliced(np.random.default_rng(10), 0.2, 0.5)
    assert compare(rows, "irer", "old", "new", slice="unseen", replicates=400).low > 0
    assert compare(rows, "irer", "old", "new", **WHERE).high < 0


def test_both_slices_are_counted_in_the_same_draw():
    rows = sliced(np.random.default_rng(11), 0.3, 0.3, more={"again": halves(200)["unseen"]})
    alone = compare(rows, "irer", "old", "new", slice="unseen", replicates=200)
    result = compare(rows, "irer", "old", "new", slice="unseen", against="again", replicates=200)
    assert alone.low < alone.high and (result.point, result.low, result.high) == (0, 0, 0)


def test_slices_by_hand():
    masks = halves(8)
    rows = [
        row("a", "old", [1, 1, 1, 1, 1, 1, 0, 0], slices=masks),
        row("a", "new", [1, 0, 0, 0, 1, 0, 0, 0], slices=masks),  # 3/4 of the first half's mistakes, 1/2 of the rest
        row("b", "old", [1] * 8, slices={"unseen": np.ones(8, bool), "seen": np.zeros(8, bool)}),
        row("b", "new", [0] * 8, slices={"unseen": np.ones(8, bool), "seen": np.zeros(8, bool)}),
    ]
    result = compare(rows, "irer", "old", "new", **WHERE)
    assert result.point == pytest.approx(0.25) and result.n_skills == 1  # b has nothing to compare with
    points = compare(rows, "irer", "old", "new", statistic="absolute_gain", **WHERE)
    assert points.point == pytest.approx(0.75 - 0.25)
    with pytest.raises(ValueError, match="no skill has utterances of both"):
        compare(rows[2:] + [row("c", m, [1], slices=halves(1)) for m in ("old", "new")], "irer", "old", "new",
                       **WHERE)  # fmt: skip


def test_slices_where_only_the_proposal_errs_decide_nothing():
    rows = [row("a", m, w, slices=halves(4)) for m, w in (("old", [0] * 4), ("new", [1] * 4))]
    result = compare(rows, "irer", "old", "new", **WHERE)
    assert np.isnan(result.point) and np.isnan(result.low) and result.n_undefined == 1


def test_percent():
    interval = Interval(0.1234, -0.05, 0.2, 9)
    assert interval.percent() == "12.3 [-5.0, 20.0]" and interval.percent(" %", "+.0f") == "+12 % [-5, +20]"


def test_rounding_does_not_hide_on_which_side_of_nought_an_end_lies():
    assert Interval(0.094, 0.0004, 0.173, 3).percent() == "9.4 [0.04, 17.3]"
    assert Interval(-0.073, -0.157, -0.0004, 3).percent(form="+.1f") == "-7.3 [-15.7, -0.04]"
    assert Interval(0.0, -0.000001, 0.000001, 3).percent() == "0.0 [0.0, 0.0]"


def test_sizes_are_averaged_and_selected():
    rows = [row("a", m, w, size) for m, size, w in (("old", 100, [1, 1]), ("old", 300, [1, 0]))]
    assert mean_error(rows, "irer", "old", [100, 300], replicates=20).point == 0.75
    assert mean_error(rows, "irer", "old", 300, replicates=20).point == 0.5
    with pytest.raises(ValueError, match="no rows for old at size 500"):
        mean_error(rows, "irer", "old", 500)


def test_an_unfinished_run_is_refused():
    rows = [row("a", "old", [1, 0]), row("a", "new", [1, 0]), row("a", "old", [1, 0], seed=1)]
    with pytest.raises(ValueError, match="seed 1 was measured for old but not for new"):
        compare(rows, "irer", "old", "new")


def test_order_of_rows_does_not_matter():
    rows = simulate(np.random.default_rng(5), 0.1, skills=4, n=50)
    first, again = (compare(r, "irer", "old", "new", replicates=100, seed=7) for r in (rows, rows[::-1]))
    assert first == again
    assert first != compare(rows, "irer", "old", "new", replicates=100, seed=8)


def test_more_replicates_are_no_more_work_for_python():
    """The ledger draws thousands for hundreds of skills: replicates are rows of matrices, not turns of a loop."""
    rows, calls = simulate(np.random.default_rng(6), 0.1, skills=2, n=30), Counter()
    for replicates in (10, 20, 2000):  # the first finds what is imported on the way
        sys.setprofile(lambda *_, which=replicates: calls.update([which]))
        compare(rows, "irer", "old", "new", replicates=replicates)
        sys.setprofile(None)
    assert 0 < calls[2000] < calls[20] + 1000, "not one more call for each of them"


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]


def test_seeds_that_all_skills_share_are_drawn_once_for_all():
    lucky = [0.1, 0.9, 0.2, 0.8]  # the share of mistakes hangs on the seed alone
    wrong = [np.arange(100) < 100 * share for share in lucky]
    rows = [row(f"s{k}", "old", wrong[seed].astype(int), seed=seed) for k in range(8) for seed in range(4)]
    alone, crossed = (mean_error(rows, "irer", "old", replicates=500, crossed=how) for how in (False, True))
    assert alone.point == pytest.approx(crossed.point) == pytest.approx(0.5)
    assert crossed.high - crossed.low > 2 * (alone.high - alone.low)
    assert (crossed.low, crossed.high) == pytest.approx((0.5 - 0.343, 0.5 + 0.343), abs=0.08)
    some = [r for r in rows if (r.skill, r.seed) != ("s0", 3)]  # a seed that one skill lacks
    assert mean_error(some, "irer", "old", replicates=200, crossed=True).n_skills == 8


def test_only_bootstrapping_says_that_its_skills_are_crossed_with_seeds():
    assert [name for name, about in EXPERIMENTS.items() if about.crossed] == ["bootstrapping"]
    assert Results("bootstrapping", {}).crossed and not Results("skills", {}).crossed
