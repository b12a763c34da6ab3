"""What chapters print from records: the right figures, and a line where there are none yet."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import numpy as np
import pytest

from slubook.book import pages
from slubook.book.claims import Claim
from slubook.book.ledger import Assessed
from slubook.evaluation.intervals import Interval, compare
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Results, Row, Test
from slubook.profiles import ROOT

NAMES = {"old": "Old one", "new": "New one"}
PAIR = ("old", "new")
LASTING = {"cells": {"done": 3, "planned": 5}, "pace": {"point": 4, "low": 3, "high": 5, "n": 2}}


@pytest.fixture(scope="module")
def results() -> Results:
    """Six skills of two sources at two sizes, the last skill at one; the second method removes half of the mistakes."""
    rng, rows, tests, n = np.random.default_rng(0), [], {}, 40
    unseen, ones = np.arange(n) < 10, np.ones(n, dtype=int)
    slices = {"unseen": unseen, "seen": ~unseen, "fresh": np.arange(n) < 30}
    for k in range(6):
        tests[f"s{k}"] = Test("b" if k < 2 else "a", "music", tuple(map(str, range(n))), ones)
        for size in (100, 300) if k < 5 else (300,):
            wrong = rng.random(n) < 0.5
            for method, bad in (("old", wrong), ("new", wrong & (rng.random(n) < 0.5))):
                measured = Outcomes(1 - bad, ones, ones, ones, 0 * ones)
                rows.append(Row(f"s{k}", method, size, 0, measured, 2.0, 0.5, 3_000_000, slices))
    return Results("skills", {"protocol": 1}, tests, rows)


def test_published(tmp_path, results):
    assert pages.published("skills", tmp_path) is None
    results.save(tmp_path / "skills.json")
    assert len(pages.published("skills", tmp_path).rows) == len(results.rows)


def test_how_far(results):
    assert pages.how_far(None) == pages.how_far(results) == ""
    done = replace(results, tables={"cells": {"done": 5, "planned": 5}})
    assert pages.how_far(done) == "" and pages.how_far(replace(results, tables=LASTING)) == "3 of 5 cells"


def test_so_far(results):
    measure = {"kind": "comparison", "baseline": "old", "proposed": "new"}
    tested = {"not_testable": None, "experiment": "skills", "protocol": "p", "rule": "number", "metric": "irer"}
    waiting = Assessed(claim(**tested, measure=measure), "not run yet", reason="the run is not over")
    lasting = replace(results, tables=LASTING)
    assert pages.so_far(waiting, None) == pages.so_far(waiting, results) == waiting
    assert pages.so_far(waiting, lasting) == replace(
        waiting, verdict="provisional", interval=pages.gain(results, *PAIR)
    )
    assert pages.so_far(waiting, replace(lasting, rows=[])) == waiting
    for change in ({"proposed": "none"}, {"sizes": (7,)}, {"slice": "nowhere"}):
        other = replace(waiting, claim=claim(**tested, measure=measure | change))
        assert pages.so_far(other, lasting) == other
    tabled = replace(waiting, claim=claim(**tested, measure={"kind": "table", "table": "pace"}))
    assert pages.so_far(tabled, lasting).interval == Interval(4, 3, 5, 2)
    lacking = replace(tabled, claim=claim(**tested, measure={"kind": "table", "table": "fall"}))
    assert pages.so_far(lacking, lasting) == lacking


def test_table():
    assert "<td>1</td>" in pages.table([{"a": 1}]).data
    assert pages.table([]).data == "<p>Not run yet.</p>"


def test_a_curve_keeps_its_skills(results):
    assert pages.skills_of_all_sizes(results) == ["s0", "s1", "s2", "s3", "s4"]
    curve = pages.curve(results, "old")
    assert list(curve) == [100, 300] and {interval.n_skills for interval in curve.values()} == {5}
    nowhere = replace(
        results, rows=results.select(sizes=[100], skills=["s0"]) + results.select(sizes=[300], skills=["s1"])
    )
    assert pages.skills_of_all_sizes(nowhere) == [] and pages.curve(nowhere, "old") == {}


def test_gain_draws_sources_first(results):
    expected = compare(results.rows, "irer", *PAIR, 300, groups=results.groups())
    assert pages.gain(results, *PAIR, 300) == expected and expected.n_skills == 6
    assert pages.gain(results, *PAIR, groups=None) != pages.gain(results, *PAIR)
    points = pages.gain(results, *PAIR, metric="icer", statistic="absolute_gain")
    errors = [pages.error(results, method, metric="icer").point for method in PAIR]
    assert points.point == pytest.approx(errors[0] - errors[1])


def test_lines(results):
    line = pages.method_line(results, "new", "New one")
    assert line["IRER % [95 % interval]"] == pages.error(results, "new").percent()
    assert (line["training s"], line["MB"], line["ms an utterance"]) == ("2.0", "3.0", "0.5")
    blind = pages.method_line(results, "new", "New one", slots=False)
    assert blind["SER %"] == blind["IRER % [95 % interval]"] == "–" and blind["ICER %"] == line["ICER %"]


def test_slices(results):
    line = pages.slice_line(results, PAIR, 300, "unseen", "seen")
    there, elsewhere = (pages.gain(results, *PAIR, 300, slice=name) for name in ("unseen", "seen"))
    more = pages.gain(results, *PAIR, 300, slice="unseen", against="seen")
    assert list(line.values()) == [there.percent(" %"), elsewhere.percent(" %"), more.percent(), f"{more.wins} of 6"]
    assert more.point == pytest.approx(there.point - elsewhere.point)
    assert pages.share(results.rows, "unseen") == 0.25 and pages.near_repeats(results) == 0.25


def test_results_without_slices(results):
    bare = replace(results, rows=[replace(row, slices={}) for row in results.rows])
    assert pages.near_repeats(bare) is None and pages.near_repeats(None) is None
    assert not pages.has_slices(bare, "fresh") and pages.has_slices(results, "fresh", "seen")


def test_sources_and_all_but_the_one_that_gains_most(results):
    third = [replace(row, skill=f"c{row.skill}") for row in results.rows if row.skill in ("s3", "s4")]
    tests = results.tests | {f"c{name}": replace(results.tests[name], corpus="c") for name in ("s3", "s4")}
    *lines, rest = pages.source_lines(replace(results, rows=[*results.rows, *third], tests=tests), PAIR, NAMES)
    assert len(lines) == 3 and rest["source"].startswith("all but ")
    best = rest["source"].removeprefix("all but ")
    points = {line["source"]: float(line["fewer mistakes"].split()[0]) for line in lines}
    assert points[best] == max(points.values())


def test_sources(results):
    b, a = pages.source_lines(results, PAIR, NAMES)
    assert (
        (b["source"], a["source"]) == ("b", "a")
        and b["skills won"].endswith("of 2")
        and a["skills won"].endswith("of 4")
    )
    mine = [row for row in results.rows if row.skill in ("s0", "s1")]
    assert b["fewer mistakes"] == compare(mine, "irer", *PAIR).percent(" %")


def claim(**changes) -> Claim:
    return Claim.model_validate(
        {
            "id": "skills-a", "name": "n", "article": "art", "chapter": 1, "role": "claim", "claim": "c", "stated": "s",
            "metric": "m", "claimed": {"value": 0.15, "unit": "share"}, "not_testable": "for this test", **changes,
        }
    )  # fmt: skip


def test_verdicts():
    waiting = Assessed(claim(), "not run yet", reason="nothing was run")
    assert pages.sentence(waiting, "Fewer") == "- Fewer: not run yet."
    measured = Assessed(claim(caveat="Mind it."), "reproduced", Interval(0.2, 0.1, 0.3, 4), True, "the point does")
    assert pages.sentence(measured, "Fewer") == "- Fewer: 20.0 % [10.0, 30.0], **reproduced**: the point does. Mind it."


@pytest.mark.parametrize("page", sorted((ROOT / "book").glob("*.md")), ids=lambda page: page.stem)
def test_pages_import_what_exists(page):
    """Pages run only when the book is built; notebooks are run by nbval."""
    for cell in re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for found in ast.walk(ast.parse(re.sub(r"^:.*$", "", cell, flags=re.MULTILINE))):
            if isinstance(found, ast.Import | ast.ImportFrom):
                exec(ast.unparse(found), {})
