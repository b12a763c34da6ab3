"""Chapter 2's second experiment: what transfer gains while the data of a new domain arrives.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Skills*: of the two hundred, the first of each domain, if it has room for 800 training utterances (quick: two
  embedded skills; ``--corpus``: each domain of the file). Two of them are among the six that settings were tuned on.
- *Sizes*: 50 to 1,600 training utterances, doubled each time, as far as the skill has room. Draws are nested: seed
  *s* at 100 has the 50 utterances of seed *s*. Dev and test sets are the same at every size.
- *Training*: as in ``transfer``, but never fewer than eight epochs, so that much data does not find the
  scratch model cut short. Both methods train equally long.
- *Source*: the pretrained networks of ``transfer``.
- *Claims*: "up to" invites choosing the best of many sizes. The gain is read at the smallest size, which was fixed
  before the run (``arriving_first``). It falls if the gain there less the gain at the largest size that all skills
  have is above zero, skill by skill and seed by seed in the same draws (``arriving_fall``). A first
  reading, from 2,000 replicates, ended just above zero; since then 20,000 are drawn, and the interval is made as all
  others are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.plan import Chosen, Kept, Pick, make_plan, one_a_domain
from slubook.ch2_transfer.protocol import TransferSettings, choose, measure_networks
from slubook.ch2_transfer.protocol import settings_of as settings_of  # those of ``transfer``
from slubook.evaluation.intervals import STATISTICS, Interval, compare, ends
from slubook.evaluation.resampling import beside, bootstrap, collect
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS

BASELINE = EXPERIMENTS["arriving"].baseline
SIZES, QUICK_SIZES = (50, 100, 200, 400, 800, 1600), 2
#: Training utterances that a public skill must have room for.
LEAST = 800
EPOCHS = 8


def choose_growing(profile: str, corpora: Sequence[Path] = ()) -> Chosen:
    """Returns the skills, each with all sizes that it has room for."""
    chosen = choose(profile, corpora)
    sizes = SIZES[:QUICK_SIZES] if chosen.profile == "quick" else SIZES
    grown = [(s, n) for s in chosen.distinct for n in [n for n in sizes if s.allows(n)] or s.sizes()]
    return replace(chosen, skills=grown)


def growing(profile: str) -> Pick:
    """Returns the choice of skills whose data grows."""
    firsts = one_a_domain(2 if profile == "quick" else 1)
    return lambda skills: [s for s in firsts(skills) if profile != "full" or s.allows(LEAST)]


def config_of(kind: str, settings: TransferSettings) -> dict[str, Any]:
    """Returns the configuration of ``transfer``, and what differs from it."""
    return transfer.config_of(kind, settings) | {
        "sizes": [*SIZES][: QUICK_SIZES if kind == "quick" else None],
        "epochs": EPOCHS,
    }


def prepare(options: Options, settings: TransferSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    chosen, pick = choose_growing(options.profile, options.corpora), growing(options.kind)
    the_plan = make_plan(chosen, options.draws, settings.pretraining, options.jobs, pick=pick, choose=options.choose)

    def task(key: Key) -> Task:
        return measure_cell, (the_plan.cell(key), the_plan.network(key[0]), settings)

    sizes, groups = common_sizes(the_plan.chosen), the_plan.groups()
    return the_plan.work(task, lambda rows, known: gain_tables(rows, sizes, groups))


def measure_cell(cell: Cell, pretrained: Kept, settings: TransferSettings) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one skill."""
    longer = settings.lasting(lambda updates: long_enough(updates, settings.scratch.training.batch, cell.size))
    return measure_networks(Bench(cell), pretrained, longer)


def long_enough(updates: int, batch: int, size: int) -> int:
    """Returns the tuned number of updates, or more: enough to read ``size`` utterances eight times."""
    return max(updates, EPOCHS * size // batch)


def common_sizes(chosen: Chosen) -> list[int]:
    """Returns the sizes that every skill has, ascending."""
    of = [{n for s, n in chosen.skills if s.name == skill.name} for skill in chosen.distinct]
    return sorted(set.intersection(*of))


def gain_tables(rows: Sequence[Row], sizes: Sequence[int], groups: Mapping[str, str]) -> dict[str, Any]:
    """Returns the gain at the first of ``sizes``, which all skills have, and how much of it is lost at the last.

    Args:
        rows: of all methods; what has no rows is left out.
        sizes: ascending.
        groups: the corpus of each skill, drawn before the skills in it.
    """
    found: dict[str, Any] = {"arriving_sizes": {"first": sizes[0], "last": sizes[-1]}} if sizes else {}
    at = {n: {(r.skill, r.seed) for r in rows if r.size == n} for n in sizes[:1] + sizes[-1:]}
    for method, ending in {"transfer": "", "transfer_names": "_names"}.items():
        if sizes and at[sizes[0]]:
            found["arriving_first" + ending] = compare(rows, "irer", BASELINE, method, sizes[0], groups=groups).figure()
        if len(sizes) > 1 and (both := at[sizes[0]] & at[sizes[-1]]):
            paired = [r for r in rows if (r.skill, r.seed) in both]
            found["arriving_fall" + ending] = fall(paired, method, sizes[0], sizes[-1], groups)
    return found


def fall(
    rows: Sequence[Row], method: str, small: int, large: int, groups: Mapping[str, str], replicates: int = 20_000
) -> dict[str, float]:
    """Returns the relative reduction of IRER at ``small`` less that at ``large``, from ``rows`` with both sizes.

    Both sizes are drawn together: corpora, skills, seeds and utterances.
    """
    skills = beside(*(collect(rows, "irer", [BASELINE, method], size, None) for size in (small, large)))
    errors, means = bootstrap(skills, groups, replicates, 0)  # [skills, 4], [replicates, 4]
    of = STATISTICS["relative_reduction"]

    def lost(error: np.ndarray) -> np.ndarray:  # [..., 4] → [...]
        return of(error[..., 0], error[..., 1]) - of(error[..., 2], error[..., 3])

    drawn = lost(means)
    return Interval(lost(errors.mean(0)), *ends(drawn[~np.isnan(drawn)]), len(skills)).figure()
