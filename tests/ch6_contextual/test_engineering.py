"""The engineering experiment at the size of a toy: its tables, and the same figures wherever it runs."""

import functools
import json
from dataclasses import replace

import pytest

from slubook.book.claims import load_claims
from slubook.book.ledger import assess
from slubook.book.measured import _entry
from slubook.ch6_contextual import engineering
from slubook.ch6_contextual.engineering import SCALES, Measures, fault_lines, load_lines
from slubook.ch6_contextual.faults import FAULTS
from slubook.ch6_contextual.load import Traffic
from slubook.corpora.errors import CorpusError
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError, Results
from slubook.experiments.report import headlines
from slubook.experiments.runner import run

LOADS = (("two", "FULL", 500), ("two", "NORMAL", 300))
TINY = Measures(LOADS, 0.2, Traffic(4, 8, (0.5, 0.5)), kills=1, simulated=True)
#: What depends on the machine.
TIMES = {"cpu_s", "latency_ms"}


def figures(results):
    tables = {name: results.tables[name] for name in ("load", "fault", "layout", "reads", "faults")}
    return without_times(tables)


def without_times(value):
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name not in TIMES}
    return round(value, 6) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "engineering.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        run("engineering", Options("full", out=out), TINY)
        with pytest.raises(RecordsError, match="other settings"):
            run("engineering", Options("full", out=out), replace(TINY, kills=2))
        patch.setattr(engineering, "measure_cell", None)  # a second run measures nothing
        again = run("engineering", Options("full", out=out), TINY)
    loaded = Results.load(out)
    assert figures(again) == figures(loaded)
    return loaded


def test_what_the_ledger_reads_is_there(results):
    claims = [claim for claim in load_claims()[1] if claim.experiment == "engineering"]
    assert len(claims) == 5
    for claim in claims:
        how = claim.measure
        for entry in (how.entry, how.over, *how.most):
            assert entry == "" or isinstance(_entry(results, how.table, entry), int | float | dict), entry


def test_verdicts_are_by_the_limits(results, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    claims = [claim for claim in load_claims()[1] if claim.experiment == "engineering"]

    def verdicts(**changes):
        tables = json.loads(json.dumps(results.tables))
        for path, value in changes.items():
            *parents, last = path.split("__")
            functools.reduce(dict.get, parents, tables)[last] = value
        replace(results, tables=tables).save(tmp_path / "engineering.json")
        return {row.claim.id.removeprefix("contextual-"): row.verdict for row in assess(claims, tmp_path)}

    good = dict.fromkeys(("deadline", "faults", "two-tables", "control-replica"), "reproduced")
    assert verdicts() == {**good, "reads": "not reproduced"}, "so few answers prove nothing"
    assert verdicts(reads__consistent__answers=1000) == {**good, "reads": "reproduced"}
    assert verdicts(reads__consistent__answers=1000, reads__consistent__stale=1)["reads"] == "not reproduced"
    for limit, over in {"late_per_million": 1001, "lost": 1, "stale": 1, "failed": 1}.items():
        assert verdicts(**{f"load__two_FULL_500__{limit}": over})["deadline"] == "not reproduced"
    assert verdicts(faults__failed=1)["faults"] == verdicts(faults__tried=5)["faults"] == "not reproduced"
    assert verdicts(encryption_one_over_two=0.9)["two-tables"] == "not reproduced"
    assert verdicts(stale_from_a_replica={"point": 0, "low": 0, "high": 0.1})["control-replica"] == "inconclusive"


def test_the_full_profile_measures_what_is_claimed():
    loads = SCALES["full"].loads
    assert loads[0] == ("two", "FULL", 500) and SCALES["full"].seconds == 60 and len(loads) == len({*loads}) == 6
    assert SCALES["full"].kills >= 20 and len(FAULTS) > 6


def test_the_figures_are_those_of_any_machine(results, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    assert figures(run("engineering", Options("full"), TINY)) == figures(results)


def test_all_faults_are_tried_and_cost_no_recognition(results):
    assert results.tables["faults"] == {"tried": len(FAULTS), "failed": 0, "lost": 0}  # one is none, a kill one more
    assert results.tables["killed"]["-9"]["kills"] == 1 and results.tables["killed"]["-9"]["lost"] == 0


def test_layouts_differ_in_work_and_in_nothing_else(results):
    two, one = (results.tables["layout"][name] for name in ("two", "one"))
    assert two["served"] == one["served"] == two["follow_ups"] == one["follow_ups"] > 5
    assert two["resealed_bytes"] == 0 < one["resealed_bytes"]
    assert one["crypto_bytes"] > 1.5 * two["crypto_bytes"] and one["opened"] > 2 * two["opened"]
    assert one["dynamo"]["read_units"] > 2 * two["dynamo"]["read_units"]
    assert two["dynamo"]["rows_left"] > one["dynamo"]["rows_left"]


def test_only_a_replica_is_stale(results):
    reads = results.tables["reads"]
    assert reads["consistent"]["stale"] == 0 < reads["replica"]["stale_share"]["low"]
    assert reads["replica"]["served"] < reads["consistent"]["served"]


def test_context_fades_as_the_encoder_slows(tmp_path, monkeypatch):
    """Gracefully: fewer and fewer vectors are in time, and no recognition fails."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    found = [engineering.played("two", Traffic(5, 8, (1, 1)), encoder_s=s) for s in (0.1, 1.0, 3.0, 9.0)]
    assert found[0]["served"] == 40 > found[1]["served"] > found[2]["served"] > found[3]["served"]
    assert [one["late"] for one in found][2:] == [40, 40], "longer than the window"
    assert {one["failed"] + one["slow"] + one["lost"] for one in found} == {0}


def test_real_time(tmp_path, monkeypatch):
    """The same in real time, on a file that is synchronised, one second long: no figure of time is looked at."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    monkeypatch.setattr("slubook.ch6_contextual.load.REPLY", (0.1, 0.1, 2))
    found = engineering.played("two", Traffic(10, 1, (0.5, 0.5)), "FULL", simulated=False)
    assert (found["interactions"], found["lost"], found["stale"], found["failed"]) == (10, 0, 0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "given"),
    [("--corpus", {"corpora": ["mine.jsonl"]}), ("--minutes", {"until": 9.0}), ("dask", {"backend": "dask"})],
)
def test_options_without_meaning_are_refused(option, given):
    with pytest.raises(CorpusError, match=f"not .*{option}"):
        run("engineering", Options(**given))


def test_the_command_prints_what_matters(results):
    found = headlines(results)
    assert found["in_time"][0] == 1 and found["failed_recognitions"] == [0, 0, 0]
    assert found["encryption_one_over_two"][0] > 1.5 and found["stale_from_a_replica"][1] > 0


def test_lines_of_tables(results):
    loads, faults = load_lines(results), fault_lines(results)
    assert [line["synchronous"] for line in loads] == ["FULL", "NORMAL"]
    assert all(line["in time"] == "100.00%" and line["lost"] == line["stale"] == "0" for line in loads)
    assert [line["fault"] for line in faults] == [*FAULTS, "process killed, 1 times"]
    assert {line["failed recognitions"] for line in faults} == {"0"}
    assert faults[2]["with context during"].startswith("0 of ")
