"""How chapter 2's settings were chosen: from scratch and after transfer by equal budgets, on dev sets only.

``slubook tune transfer`` keeps every trial in ``results/transfer_tuning.json``; what is chosen stands in the defaults
of :class:`slubook.experiments.transfer.Settings`, and a test holds the two equal.

- *Budget*: ten trials for each of three networks, on the same skills and draws. Six are three learning rates
  for each of two lengths, higher rates from scratch than after transfer. Four more change one thing each of the
  best of those that last as long as is chosen: dropout, word dropout, after transfer gradual unfreezing (from
  scratch, where nothing waits to be unfrozen, dropout the other way), and a higher rate. The last was added when most
  of round 1's dev errors were known, as the highest rate was the best for several networks.
- *Skills*: six of the two hundred, of four corpora, on two draws that no published run uses. All are of one group of
  pretraining, which leaves all their topics out.
- *Length*: one for all, and scratch decides by round 1, since longer training is what it gains most by: the shorter,
  unless the longer is better for it by more than two standard errors of the paired difference, each at its best rate.
- *Choice*: for each network, the least dev error among the trials of that length.
- *Not tuned*: pretraining, sizes of layers, the batch, and a rate of their own for parts that start at random.
- *Of protocol 2*: the record was made when the source still held other turns of the dialogues that tests are from. The
  search is to be made again before the full runs of protocol 3.

Taught in chapter 2, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from slubook.corpora.skillsets import Skill
from slubook.experiments.search import Cell, Rows, Search, clearly_better, dev_error
from slubook.experiments.transfer import MOVED, PROTOCOL, choose
from slubook.experiments.transfer_sources import Kept, Plan, load_pretrained, make_plan
from slubook.experiments.trials import SEEDS, Changes, Round, changed
from slubook.learning.pretraining import PretrainingConfig
from slubook.learning.transfer import Recipe, fit_starts

#: Tuned on these; their dev sets only.
SKILLS = (
    "sgd/Calendar_1#1", "hwu64/audio#0", "hinglish_top/alarm#1", "hwu64/qa#0", "clinc150/meta#0",
    "hinglish_top/reminder#0",
)  # fmt: skip
DRAWS = SEEDS[:2]
#: Where the search starts, for each network.
START = Recipe()
#: The numbers of updates: the longer is what two hundred skills leave room for.
LENGTHS = (200, 400)
DECIDES = "scratch"
HIGHER = 1.6
RATES = {"scratch": (1.0, 1.6, 2.5), "transfer": (0.3, 0.6, 1.0), "transfer_names": (0.3, 0.6, 1.0)}


def _first(method: str) -> Round:
    """Round 1: every rate at every length."""
    return Round(1, DRAWS, tuple({"rate": r, "training.updates": n} for n in LENGTHS for r in RATES[method]))


def second(method: str, stands: Changes) -> Round:
    """Round 2: one thing each changed of what round 1 chose."""
    other = {"network.dropout": 0.5} if method == DECIDES else {"unfreezing": "gradual"}
    higher = {"rate": round(HIGHER * stands.get("rate", START.rate), 2)}
    changes = ({"network.dropout": 0.3}, {"network.word_dropout": 0.25}, other, higher)
    return Round(2, DRAWS, tuple({**stands, **change} for change in changes))


ROUNDS: dict[str, tuple[Round, ...]] = {method: (_first(method),) for method in RATES}
ABOUT = {
    "error": "share of dev utterances with a mistake in intent or slots",
    "choice": "one length for all: the shorter, unless in round 1 the best trial from scratch is better at the longer "
    "by more than two standard errors of the paired difference over skills and draws; then the least dev error at it",
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
    protocol = PROTOCOL

    @classmethod
    def over(cls, plan: Plan) -> TransferSearch:
        """A search on the skills of a plan."""
        return cls(plan.chosen.skills, {skill.name: plan.network(skill.name) for skill, _ in plan.chosen.skills})

    def rounds(self) -> Mapping[str, Sequence[Round]]:
        """What is tried, by method."""
        return ROUNDS

    def head(self) -> dict[str, Any]:
        """What the record says before its methods."""
        return {"about": ABOUT, "skills": list(SKILLS), "lengths": list(LENGTHS)}

    def configured(self, method: str, changes: Changes) -> Recipe:
        """The first recipe with ``changes``."""
        return changed(START, changes)

    def chosen(self, trials: Mapping[str, Rows]) -> dict[str, Mapping[str, Any]]:
        """The choice of each method at the length that suits the one from scratch."""
        length = suits(trials[DECIDES])
        return {m: best(rows, length) for m, rows in trials.items()}

    def later(self, trials: Mapping[str, Rows]) -> Mapping[str, Sequence[Round]]:
        """Round 2, from what round 1 chose."""
        return {method: [second(method, stands["changes"])] for method, stands in self.chosen(trials).items()}

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
            alike = cell.skill.name, cell.seed, replace(recipe.network, dropout=0.0), recipe.training
            bank = next((bank for known, bank in found if known == alike), None)
            if bank is None:
                found.append((alike, bank := []))
            bank.append(cell)
        return [bank for _, bank in found]

    def together(self, methods: Sequence[str]) -> list[list[str]]:
        """All at once: they share banks and a length."""
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


def suits(rows: Rows) -> int:
    """The number of updates that suits the network with these trials, by round 1; see this module's docstring.

    Raises:
        ValueError: when a length has no trial.
    """
    short, long = (best([r for r in rows if r["round"] == 1], length) for length in LENGTHS)
    return LENGTHS[clearly_better(long, short)]


def best(rows: Rows, length: int) -> Mapping[str, Any]:
    """The first of the trials of that length with the least dev error.

    Raises:
        ValueError: when there is none.
    """
    fit = [r for r in rows if r["changes"].get("training.updates", START.training.updates) == length]
    if not fit:
        raise ValueError(f"no trial of {length} updates")
    return min(fit, key=lambda r: r["dev_error"])
