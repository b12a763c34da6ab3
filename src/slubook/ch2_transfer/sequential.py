"""What training side by side gains over a plain loop, measured in the same run on a few of its cells.

The plain loop trains the same networks one after the other in one process, and leaves it to chance which utterances
share a batch, so that short ones are padded to long ones. Layers, losses and optimiser are the same code, so neither
the written-out recurrence nor the step of the CRF is in the ratio. Taught in chapter 2, *Cost*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from slubook.ch2_transfer.transfer import Recipe, Start, banks, fit_starts
from slubook.corpora.utterance import Utterance
from slubook.experiments.cells import Key
from slubook.experiments.records import Row

#: Every so many-th cell of the first draw is trained both ways, besides what is judged.
STEP = 40
#: Updates made both ways, after a few that warm the process up: the first network of a process is slow.
UPDATES, WARM_UP = 60, 10
TOGETHER, ALONE = "side_by_side_s", "one_at_a_time_s"


def timed(keys: Sequence[Key]) -> set[Key]:
    """Which cells are trained both ways."""
    return set([key for key in keys if key[2] == keys[0][2]][::STEP])


def both_ways(
    starts: Mapping[str, Start], recipes: Mapping[str, Recipe], train_set: Sequence[Utterance], seed: int
) -> dict[str, float]:
    """The processor's seconds for :data:`UPDATES` of the same networks side by side, and one at a time.

    Args:
        starts: by method.
        recipes: of the same methods.
        train_set: of the skill; dev error is not measured.
        seed: of the draw.
    """
    brief = {method: recipe.lasting(UPDATES) for method, recipe in recipes.items()}
    first, draw = next(iter(starts)), (train_set, (), seed)
    fit_starts({first: starts[first]}, *draw, recipes[first].lasting(WARM_UP))
    together = [_seconds(lambda b=bank, c=config: fit_starts(b, *draw, c)) for config, bank in banks(starts, brief)]
    alone = [_seconds(lambda m=m: fit_starts({m: starts[m]}, *draw, brief[m], pool=1)) for m in starts]
    return {TOGETHER: sum(together), ALONE: sum(alone)}


def _seconds(train: Callable[[], object]) -> float:
    begun = time.process_time()
    train()
    return time.process_time() - begun


def sequential_table(rows: Sequence[Row], methods: Collection[str], jobs: int) -> dict[str, Any]:
    """Both ways' seconds, and the ratio carried over to all networks of the run; nothing before a cell was timed.

    ``networks_s`` are the seconds of all networks of the run, dev errors included, and ``plain_loop_s`` what a loop
    would take for them by the ratio. ``speed_up`` is the ratio times the processes. All is measured while other
    processes work, which slows both ways alike, but would not slow a loop that had the machine to itself.

    Args:
        rows: of the run.
        methods: the networks among its methods.
        jobs: processes.
    """
    cells = {(r.skill, r.size, r.seed): r.figures for r in rows if ALONE in r.figures}
    if not cells:
        return {}
    together, alone = (sum(figures[way] for figures in cells.values()) for way in (TOGETHER, ALONE))
    trained = sum(r.train_s for r in rows if r.method in methods)
    ratio = alone / together
    found = {TOGETHER: together, ALONE: alone, "ratio": ratio, "networks_s": trained, "plain_loop_s": trained * ratio}
    return {"sequential": {"cells": len(cells), "jobs": jobs, "speed_up": ratio * jobs, **found}}
