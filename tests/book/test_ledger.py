"""Verdicts by their rules, from claims file to command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from slubook import profiles
from slubook.book import claims as claims_module
from slubook.book import ledger, measured
from slubook.book.claims import Claim, LedgerError, load_claims
from slubook.book.ledger import assess, judge, protocol_now, show, show_claimed, show_measured
from slubook.cli.main import app
from slubook.evaluation.intervals import Interval, compare, holm
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import SLICES, Results, Row, Test
from slubook.experiments.table import EXPERIMENTS

CLAIM = {
    "id": "skills-a",
    "name": "A over B",
    "article": "art",
    "chapter": 1,
    "role": "claim",
    "claim": "Networks err less.",
    "stated": "The article.",
    "experiment": "skills",
    "protocol": "skills-full",
    "metric": "irer",
    "claimed": {"value": 0.15, "unit": "relative error reduction"},
    "rule": "number",
    "measure": {"kind": "comparison", "baseline": "old", "proposed": "new", "sizes": [100]},
}


def claim(**changes):
    return Claim.model_validate({**CLAIM, **changes})


def claimed(value, unit="relative error reduction", **more):
    return {"value": value, "unit": unit, **more}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own, so that nothing is found there but what the test has put there."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))


AT_CLAIM, ABOVE = "the interval lies at or above the claim", "the interval lies above zero"
FALLS_SHORT = f"{ABOVE} and falls short of the claim"
REACHES = f"{ABOVE}, and the point reaches the claim"
COVERS = f"{ABOVE} and covers the claim, the point falls short of it"
MARGIN = "the margin, a loss of 1.0 points"
UNKNOWN = {"claimed": {"value": None, "unit": "relative error reduction"}}
LOSS = {"claimed": claimed(0, "points of accuracy"), "rule": "no_loss", "margin": 0.01}
DIRECTION = {"claimed": claimed(None), "rule": "direction"}
RANGE = {"claimed": claimed(0.078, upper=0.156)}
TIMES = {"claimed": claimed(5, "ratio")}
SERVED = {
    "claimed": claimed(9, "count"),
    "rule": "feasible",
    "measure": {"kind": "table", "table": "traffic", "entry": "first.skills", "most": {"wrong": 0}},
}


@pytest.mark.parametrize(
    ("changes", "interval", "expected", "reason"),
    [
        ({}, (0.20, 0.15, 0.25), "exceeded", AT_CLAIM),
        ({}, (0.16, 0.05, 0.25), "reproduced", REACHES),
        ({}, (0.15, 0.05, 0.25), "reproduced", REACHES),  # exactly
        ({}, (0.12, 0.05, 0.16), "compatible", COVERS),
        ({}, (0.12, 0.05, 0.15), "compatible", COVERS),  # just
        ({}, (0.10, 0.05, 0.14), "direction only", FALLS_SHORT),
        ({}, (0.20, 0.00, 0.40), "inconclusive", "the interval covers zero and the claim"),  # touches zero
        ({}, (0.03, -0.07, 0.15), "inconclusive", "the interval covers zero and the claim"),
        ({}, (0.03, -0.07, 0.14), "not reproduced", "the interval covers zero and excludes the claim"),
        ({}, (-0.2, -0.3, -0.1), "not reproduced", "the interval lies below zero"),
        ({}, (0.0, float("nan"), float("nan")), "inconclusive", "nothing to compare"),
        ({}, (0.15, 0.15, 0.15), "exceeded", "the figure lies at or above the claim"),  # the point decides
        ({}, (0.10, 0.10, 0.10), "direction only", "the figure lies above zero and falls short of the claim"),
        ({}, (0.0, 0.0, 0.0), "not reproduced", "the figure is zero"),
        ({}, (-0.1, -0.1, -0.1), "not reproduced", "the figure lies below zero"),
        (RANGE, (0.12, 0.10, 0.15), "reproduced", REACHES),
        (RANGE, (0.07, 0.01, 0.10), "compatible", COVERS),
        (RANGE, (0.07, -0.01, 0.10), "inconclusive", "the interval covers zero and the claim"),
        (RANGE, (0.18, 0.16, 0.20), "exceeded", AT_CLAIM),
        (TIMES, (1.6, 1.2, 2.0), "direction only", "the interval lies above one and falls short of the claim"),
        (TIMES, (1.2, 0.9, 2.0), "not reproduced", "the interval covers one and excludes the claim"),
        (TIMES, (2.2, 0.9, 5.0), "inconclusive", "the interval covers one and the claim"),
        (TIMES, (6.0, 5.0, 7.0), "exceeded", AT_CLAIM),
        (TIMES, (6.0, 6.0, 6.0), "exceeded", "the figure lies at or above the claim"),
        (UNKNOWN, (0.5, 0.4, 0.6), "direction only", f"{ABOVE}; no figure to reach is known"),
        (UNKNOWN, (0.5, -0.4, 0.6), "inconclusive", "the interval covers zero"),
        (UNKNOWN, (-0.5, -0.6, -0.4), "not reproduced", "the interval lies below zero"),
        (DIRECTION, (0.5, 0.4, 0.6), "reproduced", f"{ABOVE}; only the direction is claimed"),
        (DIRECTION, (0.5, -0.1, 0.6), "inconclusive", "the interval covers zero"),
        (DIRECTION, (-0.1, -0.2, 0.0), "inconclusive", "the interval covers zero"),
        (DIRECTION, (-0.1, -0.2, -0.04), "not reproduced", "the interval lies below zero"),
        (LOSS, (0.02, 0.0, 0.04), "exceeded", "the interval excludes a loss"),
        (LOSS, (0.0, -0.009, 0.01), "reproduced", f"the interval stays within {MARGIN}"),
        (LOSS, (0.0, -0.01, 0.01), "inconclusive", f"the interval covers {MARGIN}"),
        (LOSS, (-0.02, -0.03, -0.011), "not reproduced", f"the interval lies beyond {MARGIN}"),
        (LOSS, (-0.02, -0.02, -0.02), "not reproduced", f"the figure lies beyond {MARGIN}"),
        (SERVED, (8, 8, 8), "not reproduced", "fewer than claimed were tried"),
        (SERVED, (9, 9, 9), "reproduced", "as many as claimed were tried, and every limit held"),
        (SERVED, (99, 99, 99), "reproduced", "as many as claimed were tried, and every limit held"),  # never exceeded
    ],
)  # fmt: skip
def test_verdicts(changes, interval, expected, reason):
    assert judge(claim(**changes), Interval(*interval, n_skills=9)) == (expected, reason)


def make_results(folder, reduction=0.5, methods=("old", "new"), protocol=1, profile="full", seeds=5):
    rng, rows, tests = np.random.default_rng(0), [], {}
    slices = {"unseen": np.arange(60) < 20, "seen": np.arange(60) >= 20}
    for k in range(8):
        gold = np.ones(60, dtype=int)
        tests[f"s{k}"] = Test(f"corpus{k % 2}", "music", tuple(map(str, range(60))), gold)
        for seed in range(seeds):
            wrong = (rng.random(60) < 0.5).astype(int)
            for method in methods:
                seen = wrong if method == "old" else wrong * (rng.random(60) > reduction)
                outcomes = Outcomes(1 - seen, gold, gold, gold, 0 * gold)
                rows.append(Row(f"s{k}", method, 100, seed, outcomes, slices=slices))
    stamp = {"protocol": protocol, "config": {"profile": profile}}
    made = Results("skills", stamp, tests, rows, {"speed": {"point": 2, "low": 1.5, "high": 3, "n": 4}})
    made.save(folder / "skills.json")
    return made


def judge_all(claims, folder, protocol=1):
    return assess(claims, folder, replicates=100, protocol=lambda _: protocol, progress=False)


def test_assess(tmp_path):
    make_results(tmp_path)
    table = {"kind": "table", "table": "speed"}
    some = [
        claim(),
        claim(measure={**CLAIM["measure"], "slice": "unseen", "groups": "corpus", "statistic": "absolute_gain"}),
        claim(measure=table, metric="time", claimed=claimed(1.6, "ratio")),
        claim(measure={**CLAIM["measure"], "proposed": "newer"}),
        claim(measure={**CLAIM["measure"], "sizes": [100, 300]}),
        claim(measure={"kind": "table", "table": "memory"}),
        claim(experiment="transfer"),
        Claim.model_validate(
            {k: CLAIM[k] for k in CLAIM if k not in ("experiment", "protocol", "rule", "measure")}
            | {"not_testable": "Not public."}
        ),
    ]
    rows = judge_all(some, tmp_path)
    assert [r.verdict for r in rows[:3]] == ["exceeded", "exceeded", "reproduced"]
    assert rows[0].interval.point == pytest.approx(0.5, abs=0.05) and rows[0].interval.n_skills == 8
    assert show_measured(rows[2]) == "2.00× [1.50×, 3.00×]" and show_claimed(rows[2].claim.claimed) == "1.6×"
    assert [r.verdict for r in rows[3:7]] == ["not run yet"] * 4
    assert [r.reason for r in rows[3:6]] == [
        "the results lack newer",
        "the results lack size 300",
        "the results lack a table 'memory'",
    ]
    assert rows[7].verdict == "not testable here" and rows[7].reason == "Not public."
    assert not any(r.stale for r in rows)
    assert [r.reason for r in rows[:3]] == [
        AT_CLAIM,
        AT_CLAIM,
        "the interval lies above one, and the point reaches the claim",
    ]


def test_slices(tmp_path):
    made = make_results(tmp_path)
    how = {**CLAIM["measure"], "kind": "slices", "slice": "unseen", "against": "seen"}
    (row,) = judge_all([claim(measure=how, claimed=claimed(None, "points"), rule="direction")], tmp_path)
    expected = compare(
        made.rows, "irer", "old", "new", [100], slice="unseen", against="seen", groups=made.groups(), replicates=100
    )
    assert row.interval == expected and row.verdict == "inconclusive"  # the gain is the same in both
    assert show_measured(row) == expected.percent(" points")


CONTROL = {"id": "skills-control", "name": "C over B", "role": "control", "of": "skills-a", **DIRECTION}


@pytest.mark.parametrize(
    ("how", "verdicts"),
    [
        ({"baseline": "new", "proposed": "old"}, ["not reproduced", "not reproduced"]),  # it contradicts the claim
        ({}, ["exceeded", "reproduced"]),
        ({"kind": "slices", "slice": "unseen", "against": "seen"}, ["exceeded", "inconclusive"]),  # it does not
    ],
)
def test_claims_are_judged_together_with_their_controls(tmp_path, how, verdicts):
    make_results(tmp_path)
    measure = {**CLAIM["measure"], **how}
    found = judge_all([claim(judged_with="skills-control"), claim(**CONTROL, measure=measure)], tmp_path)
    assert [row.verdict for row in found] == verdicts
    contradicted = "its control contradicts it (C over B): the interval lies below zero"
    assert found[0].reason == (contradicted if verdicts[0] == "not reproduced" else AT_CLAIM)


def test_what_was_added_afterwards_has_a_figure_and_no_verdict(tmp_path):
    make_results(tmp_path)
    (row,) = judge_all([claim(added="when the curves had been seen")], tmp_path)
    assert row.verdict == ledger.ADDED not in ledger.VERDICTS and row.interval.point > 0.4
    assert row.reason == "added when the curves had been seen, so it gets no verdict"


def test_headline_comparisons_say_how_much_they_hang_on_a_corpus(tmp_path):
    made = make_results(tmp_path)
    slices = {**CLAIM["measure"], "kind": "slices", "slice": "unseen", "against": "seen"}
    head, beneath, alone, sliced = judge_all(
        [claim(), claim(of="skills-a"), claim(measure={**CLAIM["measure"], "groups": None}), claim(measure=slices)],
        tmp_path,
    )
    assert beneath.by_corpus is None and alone.by_corpus is None and sliced.by_corpus is None
    by, pair = head.by_corpus, ("irer", "old", "new", [100])
    own = {c: [r for r in made.rows if made.tests[r.skill].corpus == c] for c in ("corpus0", "corpus1")}
    gains = {c: compare(rows, *pair, replicates=10).point for c, rows in own.items()}
    worst = min(gains, key=gains.get)
    assert by.best != worst and by.without_best == pytest.approx(gains[worst])
    assert by.equal_weight == pytest.approx(np.mean(list(gains.values())))
    assert by.fixed_low < head.interval.point < by.fixed_high
    shown = ledger.show_by_corpus(head)
    assert shown.startswith(f"without {by.best} {show(by.without_best, 'share')}; with the corpora held fixed ")
    row = head.to_json()
    assert (row["without_best"], row["equal_weight"]) == (by.without_best, by.equal_weight)
    assert head.to_json()["headline"] and not beneath.to_json()["headline"]


def test_corpora_that_are_held_fixed_are_not_drawn(tmp_path):
    """Two corpora that differ, each of skills that are alike: only drawing the corpora makes the interval wide."""
    made = make_results(tmp_path)
    exact = [replace(r, outcomes=half(r, made.tests[r.skill].corpus == "corpus0")) for r in made.rows]
    replace(made, rows=exact).save(tmp_path / "skills.json")
    (row,) = judge_all([claim()], tmp_path)
    assert row.by_corpus.fixed_high - row.by_corpus.fixed_low < (row.interval.high - row.interval.low) / 2


def half(row, helped):
    """Mistakes in the first half of the test, of which the proposal leaves a quarter where it helps."""
    wrong = np.arange(60) < (30 if row.method == "old" or not helped else 8)
    gold = np.ones(60, dtype=int)
    return Outcomes(1 - wrong.astype(int), gold, gold, gold, 0 * gold)


def test_figures_are_kept_until_the_records_the_measure_or_the_code_change(tmp_path, monkeypatch):
    made, computed = make_results(tmp_path), []
    real = measured.compare
    monkeypatch.setattr(measured, "compare", lambda *a, **k: computed.append(1) or real(*a, **k))
    speed = claim(measure={"kind": "table", "table": "speed"}, metric="time", claimed=claimed(1.6, "ratio"))
    first, again = (judge_all([claim(), speed], tmp_path) for _ in range(2))
    assert first == again and len(computed) == 1 and type(again[0].interval) is type(first[0].interval)
    judge_all([claim(metric="icer")], tmp_path)
    assert len(computed) == 2
    replace(made, tables={}).save(tmp_path / "skills.json")
    judge_all([claim()], tmp_path)
    assert len(computed) == 3
    monkeypatch.setattr(measured, "_code", lambda: "other")
    judge_all([claim()], tmp_path)
    assert len(computed) == 4


def test_slices_beside_the_results_are_measured_and_figures_of_older_ones_are_not_kept(tmp_path):
    made, asked = make_results(tmp_path), [claim(measure={**CLAIM["measure"], "slice": "later"})]
    found = []
    for places in (range(30), range(45)):
        cells = dict.fromkeys((row.skill, row.size, row.seed) for row in made.rows)
        lines = [{"skill": s, "size": n, "seed": k, "without": {"later": [*places]}} for s, n, k in cells]
        (tmp_path / SLICES).write_text(json.dumps({"skills": lines}))
        rows = measured.published("skills", tmp_path).rows
        assert all(np.flatnonzero(~row.slices["later"]).tolist() == [*places] for row in rows)
        found.append(judge_all(asked, tmp_path)[0].interval)
        pair = (rows, "irer", "old", "new", [100])
        assert found[-1] == compare(*pair, slice="later", groups=made.groups(), replicates=100)
    assert found[0] != found[1]
    (tmp_path / SLICES).unlink()
    [row] = judge_all(asked, tmp_path)
    assert row.verdict == ledger.NOT_RUN and row.reason == "the results lack slice later"


def test_a_damaged_or_unwritable_cache_is_no_obstacle(tmp_path, monkeypatch):
    make_results(tmp_path)
    first = judge_all([claim()], tmp_path)
    (kept,) = (profiles.cache_dir() / "ledger").glob("*.json")
    kept.write_text("{}")
    assert judge_all([claim()], tmp_path) == first
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "file"))
    assert judge_all([claim()], tmp_path) == first


def test_sources_are_drawn_before_skills_unless_said_otherwise(tmp_path):
    made = make_results(tmp_path)
    policy, alone = judge_all([claim(), claim(measure={**CLAIM["measure"], "groups": None})], tmp_path)
    pair = (made.rows, "irer", "old", "new", [100])
    assert policy.interval == compare(*pair, groups=made.groups(), replicates=100)
    assert alone.interval == compare(*pair, replicates=100) != policy.interval


def test_each_rank_test_is_counted_once(tmp_path):
    make_results(tmp_path)
    how = CLAIM["measure"]
    slices = {**how, "kind": "slices", "slice": "unseen", "against": "seen"}
    some = [
        claim(id="first"),
        claim(id="reading", measure={**how, "statistic": "absolute_gain"}),
        claim(id="slice", measure={**how, "slice": "unseen"}),
        claim(id="metric", metric="icer"),
        claim(id="slices", measure=slices),
        claim(id="table", measure={"kind": "table", "table": "speed"}, metric="time"),
    ]
    rows = judge_all(some, tmp_path)
    p_values = ledger.rank_tests(rows)
    assert list(p_values) == ["first", "slice", "metric", "slices"]
    raw = [row.interval.p_wilcoxon for row in rows if row.claim.id in p_values]
    assert list(p_values.values()) == pytest.approx(holm(raw).tolist())


def test_entries_of_tables(tmp_path):
    made = make_results(tmp_path)
    made.tables["bytes"] = {"total": {"private": 30.0, "shared": 10}}
    made.tables["traffic"] = {"first": {"skills": 9}, "wrong": 0}
    made.save(tmp_path / "skills.json")
    ratio = {"kind": "table", "table": "bytes", "entry": "total.private", "over": "total.shared"}
    some = [claim(**SERVED), claim(measure=ratio, metric="bytes", claimed=claimed(2, "ratio"))]
    served, times = judge_all(some, tmp_path)
    assert served.verdict == "reproduced" and served.interval.point == 9
    assert times.interval.point == 3 and times.verdict == "exceeded"
    made.tables["traffic"]["wrong"] = 2
    made.save(tmp_path / "skills.json")
    (served,) = judge_all([claim(**SERVED)], tmp_path)
    assert (served.verdict, served.reason) == ("not reproduced", "wrong is 2, at most 0 was allowed")
    with pytest.raises(ValueError, match=r"'bytes' of experiment 'skills' has no entry 'total\.local'"):
        judge_all([claim(measure={**ratio, "over": "total.local"}, metric="bytes")], tmp_path)


def test_a_run_that_is_not_over_gets_no_verdict(tmp_path):
    made = make_results(tmp_path)
    made.tables["cells"] = {"done": 16, "planned": 80}
    made.save(tmp_path / "skills.json")
    (row,) = judge_all([claim()], tmp_path)
    assert row.verdict == "not run yet" and "16 of 80 cells" in row.reason


def test_a_quick_run_gets_no_verdict(tmp_path):
    make_results(tmp_path, profile="quick")
    rows = judge_all([claim(), claim(measure={"kind": "table", "table": "speed"})], tmp_path)
    assert [r.verdict for r in rows] == ["not run yet"] * 2
    assert {r.reason for r in rows} == {"the results are of the quick profile: a verdict takes the full one"}


def test_few_seeds_get_no_verdict(tmp_path):
    make_results(tmp_path, seeds=4)
    (row,) = judge_all([claim()], tmp_path)
    assert row.verdict == "not run yet" and row.reason == "the results have 4 seeds: a verdict takes 5"


def test_stale(tmp_path):
    make_results(tmp_path)
    assert [r.stale for r in judge_all([claim()], tmp_path, protocol=2)] == [True]
    assert [r.stale for r in judge_all([claim()], tmp_path, protocol=None)] == [True]  # nobody vouches for it


def test_protocol_is_that_of_the_table():
    assert protocol_now("no_such_experiment") is None
    assert protocol_now("skills") == EXPERIMENTS["skills"].protocol


def test_an_unfinished_run_is_no_measurement(tmp_path):
    made = make_results(tmp_path)
    made.rows.pop()
    made.save(tmp_path / "skills.json")
    with pytest.raises(ValueError, match="not for new"):
        judge_all([claim()], tmp_path)


def write(path, claims, articles=None):
    articles = {"art": {"title": "T", "cite": "t2020"}} if articles is None else articles
    path.write_text(json.dumps({"articles": articles, "claims": claims}, indent=1))  # JSON is YAML
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "often"}, "rule: Input should be"),
        ({"chapters": 1}, "chapters: Extra inputs"),
        ({"article": "arts"}, "article 'arts' is not listed"),
        ({"metric": "bleu"}, "a comparison's metric is one of icer"),
        ({"rule": None}, "give experiment, protocol, rule and measure"),
        ({"not_testable": "why"}, "has no experiment, protocol, rule or measure"),
        ({"rule": "no_loss"}, "needs the claimed value 0 and a margin"),
        ({"measure": {**CLAIM["measure"], "statistic": "odds"}}, "statistic is one of"),
        ({"measure": {"kind": "guess"}}, "kind"),
        ({"measure": {**CLAIM["measure"], "kind": "slices", "slice": "unseen"}}, "against: Field required"),
        ({"rule": "feasible"}, "the rule feasible, and no other, needs limits"),
        ({"measure": SERVED["measure"]}, "the rule feasible, and no other, needs limits"),
        ({"role": "primary"}, "role: Input should be"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, changes, message):
    path = write(tmp_path / "claims.yml", [{**CLAIM, "id": "first", "name": "One"}, {**CLAIM, **changes}])
    with pytest.raises(LedgerError, match=message) as caught:
        load_claims(path)
    line = int(str(caught.value).split("claims.yml:")[1].split(":")[0])
    assert path.read_text().splitlines()[line].strip().startswith('"id": "skills-a"')  # the line below the brace


def test_all_faults_at_once(tmp_path):
    path = write(tmp_path / "claims.yml", [{**CLAIM, "rule": "often"}, CLAIM, CLAIM], {"art": {"title": "T"}})
    with pytest.raises(LedgerError) as caught:
        load_claims(path)
    assert "cite: Field required" in str(caught.value)
    assert "rule: Input" in str(caught.value) and "the id 'skills-a' is used twice" in str(caught.value)
    assert "the name 'A over B' is used twice" in str(caught.value)


def test_what_is_named_has_to_be_there(tmp_path):
    folded = {**CLAIM, "id": "b", "name": "B", "of": "skills-a", "judged_with": "skills-a"}
    path = write(tmp_path / "claims.yml", [CLAIM, folded, {**CLAIM, "id": "c", "name": "C", "of": "b"}])
    with pytest.raises(LedgerError) as caught:
        load_claims(path)
    assert "c: of: 'b' is no headline" in str(caught.value) and "b: of:" not in str(caught.value)
    assert "b: judged_with: 'skills-a' is no control" in str(caught.value)


@pytest.mark.parametrize("text", ["claims: [", "", "- 1", "articles: {}\n", "articles: {}\nclaims: {}\n"])
def test_not_a_claims_file(tmp_path, text):
    (tmp_path / "claims.yml").write_text(text)
    with pytest.raises(LedgerError, match=r"claims\.yml"):
        load_claims(tmp_path / "claims.yml")


# --- the book's own claims, and the command ---------------------------------------------------------------------


def test_the_books_claims():
    articles, claims = load_claims()
    assert len(articles) == 5 and {c.chapter for c in claims} == set(range(1, 7))
    heads = {c.id for c in claims if c.headline}
    assert {"skills-accuracy", "transfer-skills", "elmol-fasttext", "bootstrapping-wer", "contextual-errors"} <= heads
    assert len(heads) <= 25, "a ledger that can be read: the rest folds out beneath a headline"
    assert {c.role for c in claims if c.headline} == {"claim", "control"}
    assert not [c.id for c in claims if c.headline and c.added], "what is in view has a verdict"
    assert not [c.id for c in claims if "dded when" in c.caveat or "dded after" in c.caveat], "say it in `added`"
    ablated = {c.id for c in claims if c.experiment == "ablation"}
    assert ablated == {c.id for c in claims if c.role == "ablation" and c.claimed.value is None}
    references = (profiles.ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    for article in articles.values():
        assert f"{{{article.cite}," in references
        assert article.paper is None or f"{{{article.paper}," in references


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A book of one claim in ``tmp_path``."""
    write(tmp_path / "claims.yml", [CLAIM])
    monkeypatch.setattr(claims_module.load_claims, "__defaults__", (tmp_path / "claims.yml",))
    monkeypatch.setattr(assess, "__defaults__", (tmp_path,))
    defaults = {**assess.__kwdefaults__, "replicates": 100, "protocol": lambda _: 1}
    monkeypatch.setattr(assess, "__kwdefaults__", defaults)
    return tmp_path


def test_command_json(here):
    make_results(here)
    done = CliRunner().invoke(app, ["claims", "--json"])
    assert done.exit_code == 0
    (row,) = json.loads(done.stdout)
    assert ",".join(row) == (
        "id,article,experiment,metric,claimed,measured,low,high,n,counts,verdict,reason,protocol,stale,headline,name,role,"
        "of,without_best,fixed_low,fixed_high,equal_weight"
    )
    assert row["verdict"] == "exceeded" and row["low"] < row["measured"] < row["high"] and row["claimed"] == 0.15


def test_command_before_any_run(here):
    done = CliRunner().invoke(app, ["claims"])
    assert done.exit_code == 0 and "not run yet" in done.stdout


def test_command_prints_blocks_of_80_columns_and_cuts_no_word(here):
    make_results(here)
    words = "unabridged " * 20
    beneath = {**CLAIM, "id": "skills-beneath-it", "name": "B", "of": "skills-a", "role": "reading"}
    late = {**beneath, "id": "skills-late", "name": "L", "added": "when the figures were known"}
    waiting = {**CLAIM, "id": "transfer-a", "name": "T", "experiment": "transfer"}
    write(here / "claims.yml", [{**CLAIM, "claim": words}, beneath, late, waiting])
    done = CliRunner().invoke(app, ["claims"])
    assert done.exit_code == 0 and max(map(len, done.stdout.splitlines())) <= 80 and "…" not in done.stdout
    assert done.stdout.split().count("unabridged") == 20
    said = " ".join(done.stdout.split())
    assert (
        said.startswith("skills-a: exceeded unabridged")
        and f"because: {AT_CLAIM} - skills-beneath-it (reading): " in said
    )
    assert "- skills-late (reading): 4" in said and "], added afterwards not run yet: transfer-a" in said
    assert said.endswith("2 exceeded, 1 not run yet, 1 added afterwards")


def test_command_fails_on_stale_results(here):
    make_results(here, protocol=7)
    done = CliRunner().invoke(app, ["claims"])
    assert done.exit_code == 1 and "stale: skills-a" in done.stderr


def test_command_fails_on_a_changed_figure(here):
    make_results(here)
    text = (here / "skills.json").read_text()
    (here / "skills.json").write_text(text.replace('"point": 2', '"point": 3'))
    done = CliRunner().invoke(app, ["claims", "--json"])
    assert done.exit_code == 1 and "changed by hand" in done.stderr and done.stdout == ""


def test_command_on_bad_claims(here):
    (here / "claims.yml").write_text("claims: [")
    done = CliRunner().invoke(app, ["claims"])
    assert done.exit_code == 2 and "not valid YAML" in done.stderr


def test_assessed_without_measurement_prints_dashes():
    assert show(float("nan"), "count") == "–" and show(0.034, "points of accuracy") == "3.4 points"
    row = ledger.Assessed(claim(), "not run yet")
    assert show_measured(row) == "–" and row.to_json()["measured"] is None
    assert replace(row, interval=Interval(100000, 100000, 100000, 1)).to_json()["n"] == 1
    assert replace(row, interval=Interval(-1, -np.inf, 0, 1)).to_json()["low"] is None  # JSON has no infinity
