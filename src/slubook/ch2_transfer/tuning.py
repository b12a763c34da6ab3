"""How chapter 2's settings were chosen: from scratch and after transfer by equal budgets, on dev sets only.

``slubook tune transfer`` keeps every trial in ``results/transfer_tuning.json``; what is chosen stands in the defaults
of :class:`slubook.ch2_transfer.protocol.Settings`, and a test holds the two equal.

- *Budget*: thirteen trials for each of three networks, on the same skills and draws. Six are three learning rates,
  higher from scratch than after transfer, each with two values of one setting more: dropout, or for new heads whether
  what starts at random has a higher rate. Three change one thing each of the best of those six; from scratch, where
  nothing waits to be unfrozen, that is more dropout, less word dropout and a rate between. The last three look past the
  edges where the best of those nine stood: a higher rate, less dropout, and for what starts at random the rate that is
  best from scratch, or for scratch itself a rate between.
- *Length*: four hundred updates for all, which two hundred skills leave room for. One trial of each is its best of
  round 1 for twice as long: it is there to be read, not to be chosen.
- *Skills*: six of the two hundred, of four corpora, on two draws that no published run uses. All are of one group of
  pretraining, which leaves all their topics out.
- *Choice*: for each network, the least dev error among its first nine trials of that length. The published run had
  begun with them when the edges were looked at, so one of the last three takes its place only where it is clearly
  better: by more than two standard errors of the paired difference.
- *Known before*: the dev errors of a like search on the same skills, on a source that still held other turns of their
  test dialogues; these rounds were made from what it had found, and all of it was measured again.
- *Not tuned*: pretraining, sizes of layers, the batch.

Taught in chapter 2, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer.plan import Kept, Plan, load_pretrained, make_plan
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.protocol import MOVED, choose
from slubook.ch2_transfer.transfer import Recipe, fit_starts
from slubook.experiments.search import Cell, Rows, Search, dev_error
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.trials import SEEDS, Changes, Round, changed, clearly_better

#: Tuned on these; their dev sets only.
SKILLS = (
    "sgd/Calendar_1#1", "hwu64/audio#0", "hinglish_top/alarm#1", "hwu64/qa#0", "clinc150/meta#0",
    "hinglish_top/reminder#0",
)  # fmt: skip
DRAWS = SEEDS[:2]
#: Where the search starts, for each network.
START = Recipe()
#: Twice the updates that all are trained for: tried once by each network, never chosen.
LONG = 800
#: Round 1 tries every rate with both values of another setting.
RATES = {"scratch": (1.0, 1.6, 2.5), "transfer": (0.3, 0.6, 1.0), "transfer_names": (0.6, 1.0, 1.6)}
OTHER: dict[str, tuple[str, tuple[float | None, ...]]] = {
    "scratch": ("network.dropout", (0.4, 0.3)),
    "transfer": ("fresh", (None, 1.6)),
    "transfer_names": ("network.dropout", (0.4, 0.3)),
}
#: Round 2 makes each of these changes to the best of round 1, and trains that best for longer.
SECOND: dict[str, tuple[Changes, ...]] = {
    "scratch": ({"network.dropout": 0.5}, {"network.word_dropout": 0.25}, {"rate": 2.0}),
    "transfer": ({"network.dropout": 0.3}, {"network.word_dropout": 0.25}, {"unfreezing": "gradual"}),
    "transfer_names": ({"network.dropout": 0.2}, {"network.word_dropout": 0.25}, {"unfreezing": "gradual"}),
}
#: Rounds from this one on look past the edges where the best of rounds 1 and 2 stood, and were made from these.
LATE = 3
EDGES: dict[str, tuple[Changes, ...]] = {
    "scratch": (
        {"rate": 4.0, "network.dropout": 0.3}, {"rate": 2.5, "network.dropout": 0.2},
        {"rate": 3.2, "network.dropout": 0.3},
    ),
    "transfer": (
        {"rate": 1.6, "fresh": 1.6, "network.dropout": 0.3}, {"rate": 1.0, "fresh": 1.6, "network.dropout": 0.2},
        {"rate": 1.0, "fresh": 2.5, "network.dropout": 0.3},
    ),
    "transfer_names": (
        {"rate": 1.6, "network.dropout": 0.2}, {"rate": 1.0, "network.dropout": 0.1},
        {"rate": 1.0, "fresh": 2.5, "network.dropout": 0.2},
    ),
}  # fmt: skip


def _first(method: str) -> Round:
    """Round 1: every rate with both values of the other setting."""
    name, values = OTHER[method]
    return Round(1, DRAWS, tuple({"rate": rate, name: value} for value in values for rate in RATES[method]))


def second(method: str, stands: Changes) -> Round:
    """Round 2: one thing each changed of what round 1 chose."""
    changes = (*SECOND[method], {"training.updates": LONG})
    return Round(2, DRAWS, tuple({**stands, **change} for change in changes))


def edges(method: str) -> list[Round]:
    """Rounds 3 and 4: past the edges."""
    return [Round(LATE, DRAWS, EDGES[method][:2]), Round(LATE + 1, DRAWS, EDGES[method][2:])]


ROUNDS: dict[str, tuple[Round, ...]] = {method: (_first(method),) for method in RATES}
ABOUT = {
    "error": "share of dev utterances with a mistake in intent or slots",
    "choice": "the least dev error among rounds 1 and 2; a later one where it is clearly better; never the longer",
    "not_tuned": "pretraining, sizes of layers, and the batch",
}


@dataclass(frozen=True)
class TransferSearch(Search):
    """Chapter 2's search.

    Attributes:
        listed: the skills to tune on, each with its training size. None are needed to read a record.
        pretrained: the pretrained network of each, by its name.
    """

    listed: Sequence[tuple[Skill, int]] = ()
    pretrained: Mapping[str, Kept] = field(default_factory=dict)
    experiment = "transfer"
    protocol = EXPERIMENTS["transfer"].protocol

    @classmethod
    def over(cls, plan: Plan) -> TransferSearch:
        """A search on the skills of a plan."""
        return cls(plan.chosen.skills, {skill.name: plan.network(skill.name) for skill, _ in plan.chosen.skills})

    def rounds(self) -> Mapping[str, Sequence[Round]]:
        """What is tried, by method."""
        return ROUNDS

    def head(self) -> dict[str, Any]:
        """What the record says before its methods."""
        return {"about": ABOUT, "skills": list(SKILLS), "updates": [START.training.updates, LONG]}

    def configured(self, method: str, changes: Changes) -> Recipe:
        """The first recipe with ``changes``."""
        return changed(START, changes)

    def chosen(self, trials: Mapping[str, Rows]) -> dict[str, Mapping[str, Any]]:
        """The :func:`best` trial of each method."""
        return {m: best(rows) for m, rows in trials.items()}

    def later(self, trials: Mapping[str, Rows]) -> Mapping[str, Sequence[Round]]:
        """Round 2, from what round 1 chose, and the late ones."""
        return {m: [second(m, stands["changes"]), *edges(m)] for m, stands in self.chosen(trials).items()}

    def skills(self) -> Sequence[tuple[Skill, int]]:
        """What is tuned on, each with its training size."""
        return self.listed

    def beneath(self, method: str) -> dict[str, str]:
        """Keys of the pretrained networks, whose characters all methods read."""
        return {f"pretrained {kept.name}": kept.key for kept in self.pretrained.values()}

    def errors(self, cells: Sequence[Cell]) -> list[float]:
        """The dev error of each of the cells of one bank, which are trained side by side."""
        one = cells[0]
        train, dev = one.skill.draw(one.size, one.seed)
        source = load_pretrained(self.pretrained[one.skill.name])
        recipes = [self.configured(cell.method, cell.changes) for cell in cells]
        starts = {str(k): r.start(source, MOVED[c.method]) for k, (c, r) in enumerate(zip(cells, recipes, strict=True))}
        models = fit_starts(starts, train, dev, one.seed, recipes[0])
        return [dev_error(model, dev) for model in models.values()]

    def banks(self, cells: Sequence[Cell]) -> list[list[Cell]]:
        """Cells of one draw whose recipes differ in rates, unfreezing and dropout only."""
        found: list[tuple[tuple, list[Cell]]] = []
        for cell in cells:
            recipe = self.configured(cell.method, cell.changes)
            alike = cell.skill.name, cell.seed, recipe.alike
            bank = next((bank for known, bank in found if known == alike), None)
            if bank is None:
                found.append((alike, bank := []))
            bank.append(cell)
        return [bank for _, bank in found]

    def together(self, methods: Sequence[str]) -> list[list[str]]:
        """All at once: they share banks."""
        return [list(methods)]


def transfer_search(jobs: int = 1) -> TransferSearch:
    """The search with its skills; what they need is pretrained where the cache has none.

    Args:
        jobs: processes.
    """
    return TransferSearch.over(make_plan(choose("full"), 1, PretrainingConfig(), jobs, pick=listed))


def listed(skills: Sequence[Skill]) -> list[Skill]:
    """Those of the skills that are tuned on."""
    return [skill for skill in skills if skill.name in SKILLS]


def best(rows: Rows) -> Mapping[str, Any]:
    """The first of the trials of the usual length with the least dev error; of late ones only what is clearly better.

    Raises:
        ValueError: when there is none.
    """
    fit = [r for r in rows if r["changes"].get("training.updates") != LONG]
    early = [r for r in fit if r["round"] < LATE]
    if not early:
        raise ValueError(f"all trials are {LONG} updates long: none can be chosen")
    stands = min(early, key=lambda r: r["dev_error"])
    better = [r for r in fit if r["round"] >= LATE and clearly_better(r, stands)]
    return min(better or [stands], key=lambda r: r["dev_error"])
