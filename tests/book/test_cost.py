import json

import numpy as np
from typer.testing import CliRunner

from slubook.book import cost
from slubook.cli.main import app
from slubook.corpora.sources import sources
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Results, Row, Test
from slubook.experiments.table import EXPERIMENTS


def test_costs_name_pinned_sources():
    for about in EXPERIMENTS.values():
        assert set(about.downloads) <= set(sources())
        assert about.downloads or about.name == "engineering", "which draws its traffic"


def test_costs_of_the_published_runs():
    for line in cost.costs():
        assert line["training_minutes"] > 0 and line["peak_memory_mb"] > 0 and line["cells"] > 0


def test_the_blocks_fit_80_columns_and_counts_no_training_twice(tmp_path, monkeypatch):
    column, none = np.zeros(2, int), Outcomes(*[np.zeros(2, int)] * 5)
    stamp = {"config": {"profile": "full"}, "seeds": [0], "peak_memory_mb": 9.0, "hardware": {"processor": "a core"}}
    rows = [Row("toy", m, 9, 0, none, train_s=s) for m, s in (("maxent_crf", 60), ("dnn_pool", 120), ("hybrid", 180))]
    Results("skills", stamp, {"toy": Test("toy", "", ("a", "b"), column)}, rows).save(tmp_path / "skills.json")
    [line] = found = cost.costs(tmp_path)
    assert line["training_minutes"] == 3.0 and {"experiment", *cost.LABELS} < set(line)
    monkeypatch.setattr(cost, "costs", lambda: found)
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["cost"])
    assert done.exit_code == 0 and "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80 and "  commit not known\n" in done.stdout
    assert "3.0 min of training, 9.0 MiB of memory at most" in " ".join(done.stdout.split())


def test_no_results_no_costs(tmp_path, monkeypatch):
    assert cost.costs(tmp_path) == []
    monkeypatch.setattr(cost, "costs", lambda: [])
    done = CliRunner().invoke(app, ["cost", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout) == []
    done = CliRunner().invoke(app, ["cost"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing is published yet\n")


def test_a_damaged_results_file_is_a_failed_check(tmp_path, monkeypatch):
    (tmp_path / "skills.json").write_text("{}")
    damaged = cost.costs
    monkeypatch.setattr(cost, "costs", lambda: damaged(tmp_path))
    done = CliRunner().invoke(app, ["cost"])
    assert done.exit_code == 1 and "skills.json" in done.stderr
