"""Chapter 2's third experiment: how many updates it takes to be as good as training from scratch ever gets.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Skills*: of the two hundred, the first of every second domain, none that was tuned on (quick: two embedded ones;
  ``--corpus``: each domain of the file), with the pretrained networks of ``transfer``.
- *Settings*: as tuned for each network in ``transfer``, its rate among them.
- *Schedule*: a rate that falls to zero by a given update makes every network best at the end, however long that is.
  Here the rate rises for twenty updates and stays at half of its peak, the mean of the one-cycle schedule. Averaged
  weights are judged.
- *Measured*: dev error every ten updates, up to six hundred. The goal is the lowest dev error of the network from
  scratch; for each network, the first update that reaches the goal counts. A network that never does counts with all
  updates, which favours it: how many never do is reported beside the ratio.
- *Controls*: the lowest of sixty readings on a small dev set is low by chance, for that network alone. So a second
  network from scratch, with another seed, has the same goal (``convergence_ratio_control``), and all have an easier one
  as well, two dev utterances above the first (``near_ratio``). ``late`` is the share of cells whose goal is reached in
  the last tenth of the updates: there, scratch may not have been at its best yet.
- *Dev sets* are drawn from the skill's pool. The pretrained networks have read no test utterance, nor its dialogue, but
  may have read other turns of a dialogue that dev utterances are from.
- *Seconds*: of the processor, which other work on the machine does not lengthen. Each network is trained alone, after
  a few updates that warm the process up, and the clock stops while dev error is measured.
- *Judged by*: the mean from scratch divided by the mean after transfer (``convergence_ratio``), and an interval that
  draws corpora, domains of these, skills, and seeds.
- *Mean curves*, added after the curves had been seen: chance matters to one cell, hardly to the mean over all cells.
  ``mean_ratio`` asks when the mean dev error first is as low as the mean from scratch ever gets, ``mean_near`` when it
  is within a point of that, between two kept updates by a straight line; ``own_near`` has each network's own lowest
  mean for a goal. ``fair_ratio`` counts as ``convergence_ratio`` does, but from the second network from scratch, whose
  readings did not set the goal.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.plan import Kept, TransferPlan, load_pretrained, one_a_domain
from slubook.ch2_transfer.protocol import TransferSettings, plan, starts
from slubook.ch2_transfer.protocol import settings_of as settings_of  # those of ``transfer``
from slubook.ch2_transfer.transfer import fit_starts
from slubook.ch2_transfer.tuning import SKILLS
from slubook.evaluation.intervals import Interval
from slubook.evaluation.resampling import by_owner, draw_skills
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS

METHODS, BASELINE = EXPERIMENTS["convergence"].methods, EXPERIMENTS["convergence"].baseline
#: Of every so many-th domain a skill is learned.
STEP = {"full": 2, "quick": 2, "corpus": 1}
UPDATES, EVERY = 600, 10
QUICK_UPDATES = 200
WARM_UP, LEVEL = 20, 0.5
#: Updates whose dev error is kept, for curves.
KEPT = (10, 20, 30, 50, 70, 100, 150, 200, 300, 400, 500, 600)
#: What a seed is raised by for the second network from scratch.
ANOTHER = 10_000
#: The easier goal is so many dev utterances above the lowest dev error; on mean curves, so much error.
NEAR, NEAR_MEAN = 2, 0.01


def steady(update: int) -> float:
    """Returns the factor on the learning rate: up to a half in :data:`WARM_UP` updates, then constant."""
    return LEVEL * min(1.0, update / WARM_UP)


@dataclass
class Curve:
    """The dev error of one network while it learns, and the processor's seconds for its updates alone.

    Attributes:
        updates: at which dev error was measured, [E].
        seconds: of training until then, without the measuring, [E].
        errors: dev error, [E].
    """

    updates: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    _spent: float = 0.0
    _since: float = field(default_factory=lambda: time.process_time())

    def rate(self, update: int) -> float:
        """Returns :func:`steady`, which the training loop asks for between two updates, and reads the clock."""
        now = time.process_time()
        if update > 1:  # before the first, no update has been made
            self._spent += now - self._since
        self._since = now
        return steady(update)

    def measured(self, update: int, errors: Sequence[float]) -> None:
        """Keeps the dev error of the one network and starts the clock again."""
        self.updates.append(update)
        self.seconds.append(self._spent)
        self.errors.append(errors[0])
        self._since = time.process_time()

    def reaches(self, goal: float, name: str) -> dict[str, float]:
        """Returns when dev error first is at most the ``goal`` of that name; the end, where it never is."""
        at = next((k for k, error in enumerate(self.errors) if error <= goal + 1e-9), None)
        last = len(self.errors) - 1 if at is None else at
        return {
            f"updates_to_{name}": self.updates[last],
            f"seconds_to_{name}": self.seconds[last],
            f"reached_{name}": float(at is not None),
        }

    def kept(self) -> dict[str, float]:
        """Returns dev error at a few updates, by name."""
        return {f"dev_{u}": e for u, e in zip(self.updates, self.errors, strict=True) if u in KEPT}


def updates_of(kind: str) -> int:
    """Returns the updates of every network."""
    return QUICK_UPDATES if kind == "quick" else UPDATES


def config_of(kind: str, settings: TransferSettings) -> dict[str, Any]:
    """Returns the configuration of ``transfer``, and the schedule."""
    steps = {"updates": updates_of(kind), "every": EVERY, "warm_up": WARM_UP, "level": LEVEL}
    return transfer.config_of(kind, settings) | steps


def prepare(options: Options, settings: TransferSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    updates = updates_of(options.kind)
    the_plan = plan(options, settings, pick=one_a_domain(STEP[options.kind], SKILLS))

    def task(key: Key) -> Task:
        return measure_cell, (the_plan.cell(key), the_plan.network(key[0]), settings, updates)

    return the_plan.work(task, lambda rows, known: pace_tables(rows, the_plan, updates))


def measure_cell(cell: Cell, pretrained: Kept, settings: TransferSettings, updates: int) -> Measured:
    """Measures one cell, in a worker: every method alone, the one from scratch first, since it sets the goals."""
    source, bench, goals = load_pretrained(pretrained), Bench(cell), {}
    begun_from, recipes = starts(source, settings), settings.recipes()
    few = settings.scratch.lasting(EVERY + 1)
    fit_starts({"scratch": begun_from["scratch"]}, *cell.draw, few)  # a process is slow at first
    for method in METHODS:
        of, seed = ("scratch", cell.seed + ANOTHER) if method == "scratch_again" else (method, cell.seed)
        training = replace(recipes[of].training, updates=updates, evaluations=updates // EVERY)
        config, curve, begun = replace(recipes[of], training=training), Curve(), time.perf_counter()
        models = fit_starts({of: begun_from[of]}, cell.train, cell.dev, seed, config, curve.measured, curve.rate)
        seconds, best = time.perf_counter() - begun, min(curve.errors)
        goals = goals or {"scratch_best": best, "near_best": best + NEAR / len(cell.dev)}
        reached = [curve.reaches(goal, name) for name, goal in goals.items()]
        bench.judge(method, models[of], seconds, **{k: v for r in reached for k, v in r.items()}, **curve.kept())
    return Measured(bench.rows, {pretrained.name: source.table.stamp})


def paid_back(pretraining: float, saved: float) -> dict[str, float | None]:
    """Returns after how many skills one pretraining's seconds are saved again; ``None`` when nothing is saved."""
    skills = math.ceil(pretraining / saved) if saved > 0 else None
    return {"pretraining_s": pretraining, "saved_s": saved, "skills": skills}


def gather(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> dict[str, np.ndarray]:
    """Returns figures of each skill in each of its cells, [seeds, columns], a column for each (method, figure)."""
    cells: dict[str, dict[tuple[int, int], dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        cells[row.skill][row.size, row.seed][row.method] = row
    return {
        skill: np.array([[cell[method].figures[name] for method, name in columns] for cell in found.values()])
        for skill, found in cells.items()
    }


def pace(means: np.ndarray, kept: Sequence[int], above: float) -> float:
    """Returns the updates from scratch for each update of another network, until the mean curves reach one goal.

    Args:
        means: mean dev error from scratch at each kept update, then that of the other network, [2 x kept].
        kept: the updates.
        above: how far the goal is above the lowest mean from scratch.
    """
    scratch, other = means.reshape(2, -1)
    goal = scratch.min() + above
    return first_at(scratch, kept, goal) / first_at(other, kept, goal)


def own_pace(means: np.ndarray, kept: Sequence[int], above: float) -> float:
    """Returns the same as :func:`pace`, but with a goal above its own lowest mean for each network."""
    scratch, other = (first_at(curve, kept, curve.min() + above) for curve in means.reshape(2, -1))
    return scratch / other


def first_at(curve: np.ndarray, updates: Sequence[int], goal: float) -> float:
    """Returns where a curve of straight lines first is as low as the goal; the last update where it never is."""
    low = np.flatnonzero(curve <= goal + 1e-9)
    if not len(low) or low[0] == 0:
        return float(updates[0] if len(low) else updates[-1])
    a, b = low[0] - 1, low[0]
    share = min(1.0, (curve[a] - goal) / (curve[a] - curve[b]))
    return float(updates[a] + share * (updates[b] - updates[a]))


def of_means(
    values: Mapping[str, np.ndarray],
    groups: Mapping[str, str],
    of: Callable[[np.ndarray], float],
    replicates: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Returns a figure made of means over skills, such as their ratio, and its 95 % percentile interval.

    Every skill counts alike. Corpora are drawn first, then their domains, skills of these, and seeds.

    Args:
        values: of each skill, [seeds, columns].
        groups: the corpus of each skill.
        of: the figure, from the mean of each column, [columns].
        replicates: of the bootstrap.
        seed: of the draws.
    """
    means = np.mean([cells.mean(0) for cells in values.values()], axis=0)
    rng, sums = np.random.default_rng(seed), np.zeros((replicates, len(means)))
    drawn = draw_skills(sorted(values), groups, replicates, rng)
    for times, (_, cells) in zip(drawn.T, sorted(values.items()), strict=True):
        owner = np.repeat(np.arange(replicates), times)  # the replicate of each draw, [draws]
        seeds = rng.integers(len(cells), size=(len(owner), len(cells)))
        sums += by_owner(owner, cells[seeds].mean(1), replicates)
    low, high = np.quantile([of(row) for row in sums / drawn.sum(1, keepdims=True)], (0.025, 0.975))
    return Interval(of(means), low, high, len(values)).figure()


#: The tables' names for what is compared with scratch.
ENDINGS = {"transfer": "", "transfer_names": "_names", "scratch_again": "_control"}
#: The ratios of means: what each is called, whose updates or seconds are divided, and until which goal.
RATIOS = (
    ("convergence", BASELINE, "updates_to_scratch_best"),
    ("seconds", BASELINE, "seconds_to_scratch_best"),
    ("near", BASELINE, "updates_to_near_best"),
    ("fair", "scratch_again", "updates_to_scratch_best"),
)
#: How mean curves are read, and how far the goal is above the lowest.
MEAN_CURVES = {"mean_ratio": (pace, 0.0), "mean_near": (pace, NEAR_MEAN), "own_near": (own_pace, NEAR_MEAN)}


def pace_tables(rows: Sequence[Row], the_plan: TransferPlan, updates: int) -> dict[str, Any]:
    """Returns ratios of updates and seconds, who never reached the goal, and when pretraining is paid back.

    Args:
        rows: of finished cells.
        the_plan: for groups and the seconds of pretraining.
        updates: how many each network had; a best after nine tenths of them is *late*.
    """
    if not rows:
        return {}
    found: dict[str, Any] = {}
    groups, kept, seconds = the_plan.groups(), [u for u in KEPT if u <= updates], "seconds_to_scratch_best"
    for method, ending in ENDINGS.items():
        for name, base, figure in RATIOS:
            values = gather(rows, [(base, figure), (method, figure)])
            found[f"{name}_ratio{ending}"] = of_means(values, groups, lambda means: means[0] / means[1])
        values = gather(rows, [(m, f"dev_{u}") for m in (BASELINE, method) for u in kept])
        for name, (read, above) in MEAN_CURVES.items():
            found[name + ending] = of_means(values, groups, partial(read, kept=kept, above=above))
    of = {m: [r.figures for r in rows if r.method == m] for m in METHODS}
    once = float(np.mean([about["seconds"] for about in the_plan.about.values()]))
    found["never_reached"] = {m: sum(not f["reached_scratch_best"] for f in figures) for m, figures in of.items()}
    found["late"] = float(np.mean([f["updates_to_scratch_best"] > 0.9 * updates for f in of[BASELINE]]))
    found["paid_back"] = {}
    for method in ("transfer", "transfer_names"):
        saved = of_means(gather(rows, [(BASELINE, seconds), (method, seconds)]), groups, lambda m: m[0] - m[1])
        ends = {"low_s": saved["low"], "high_s": saved["high"]}
        found["paid_back"][method] = paid_back(once, saved["point"]) | ends
    return found
