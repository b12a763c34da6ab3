"""The plain loop beside training side by side: which cells, what is trained, and the ratio that follows."""

import numpy as np
import pytest

from slubook.ch2_transfer import sequential
from slubook.ch2_transfer.protocol import MOVED
from slubook.ch2_transfer.sequential import ALONE, TOGETHER, sequential_table, timed
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Row


def row(skill, method, train_s, **figures):
    one = np.ones(3, dtype=int)
    return Row(skill, method, 100, 0, Outcomes(one, one, one, one, 0 * one), train_s=train_s, figures=figures)


def test_a_few_skills_of_the_first_draw_are_timed():
    keys = [(f"s{k}", 100, seed) for seed in (0, 1) for k in range(200)]
    assert timed(keys) == {(f"s{k}", 100, 0) for k in (0, 40, 80, 120, 160)}
    assert timed(keys[:3]) == {keys[0]}


def test_the_ratio_is_carried_over_to_all_networks_of_the_run():
    rows = [row("a", m, 2.0, **{TOGETHER: 4.0, ALONE: 10.0}) for m in MOVED] + [row("a", "maxent_crf", 9.0)]
    rows += [row("b", m, 2.0, **{TOGETHER: 6.0, ALONE: 10.0}) for m in MOVED] + [row("c", m, 4.0) for m in MOVED]
    found = sequential_table(rows, MOVED, jobs=2)["sequential"]
    assert (found["cells"], found[TOGETHER], found[ALONE], found["ratio"]) == (2, 10.0, 20.0, 2.0)
    assert (found["networks_s"], found["plain_loop_s"], found["speed_up"]) == (24.0, 48.0, 4.0)
    assert sequential_table([row("c", "scratch", 4.0)], MOVED, 2) == {}


def test_the_loop_trains_the_same_networks_one_by_one_in_unsorted_batches(tiny, monkeypatch):
    fit, given = sequential.fit_starts, []
    monkeypatch.setattr(
        sequential, "fit_starts",
        lambda starts, *rest, **more: given.append((list(starts), rest[3].training.updates, more))
        or fit(starts, *rest, **more),
    )  # fmt: skip
    monkeypatch.setattr(sequential, "UPDATES", 12)
    done = tiny.run("transfer")
    assert given == [
        (["scratch"], sequential.WARM_UP, {}),
        (list(MOVED), 12, {}),
        *(([method], 12, {"pool": 1}) for method in MOVED),
    ]
    found = done.tables["sequential"]
    assert (found["cells"], found["jobs"]) == (1, 1) and 0 < found["ratio"] == found[ALONE] / found[TOGETHER]
    assert found["networks_s"] == pytest.approx(sum(r.train_s for r in done.rows if r.method in MOVED))
    assert [r.method for r in done.rows if r.figures] == list(MOVED), "one cell, its networks"
