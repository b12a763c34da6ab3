import json

from typer.testing import CliRunner

from slubook import cost
from slubook.cli import app
from slubook.corpora.sources import sources


def test_costs_name_pinned_sources():
    for names in cost.DOWNLOADS.values():
        assert set(names) <= set(sources())


def test_costs_of_the_published_runs():
    for line in cost.costs():
        assert line["training_minutes"] > 0 and line["peak_memory_mb"] > 0 and line["cells"] > 0


def test_no_results_no_costs(tmp_path, monkeypatch):
    assert cost.costs(tmp_path) == []
    monkeypatch.setattr(cost, "costs", lambda: [])
    done = CliRunner().invoke(app, ["cost", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout) == []


def test_a_damaged_results_file_is_a_failed_check(tmp_path, monkeypatch):
    (tmp_path / "skills.json").write_text("{}")
    damaged = cost.costs
    monkeypatch.setattr(cost, "costs", lambda: damaged(tmp_path))
    done = CliRunner().invoke(app, ["cost"])
    assert done.exit_code == 1 and "skills.json" in done.stderr
