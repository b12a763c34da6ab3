"""How chapter 3's settings on a new skill were chosen: for every method by equal budgets, on dev sets only.

``slubook tune elmol`` keeps every trial in ``results/elmol_tuning.json``; what is chosen stands in the defaults of
:class:`slubook.experiments.elmol.Settings`, and a test holds the two equal.

- *Budget*: nine trials for each method. Six are three learning rates with two values of dropout. Three change one
  thing each of the best of those six: two the rate, past the edge where the best stands at one, else a little up and
  down; and one how much slower the embedding learns, or where that is fixed or it never learns, word dropout.
- *Skills, draws, choice*: as in chapter 2 (:mod:`slubook.experiments.tuning_transfer`). The skills are of another of
  the six groups than those of the published run, and all their topics are left out of its pretraining.
- *Not tuned*: what is pretrained, and how; when the embedding may learn; sizes of layers, the batch, and the number of
  updates.

Taught in chapter 3, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slubook.corpora.skillsets import Skill
from slubook.experiments.elmol import (
    AS,
    GROUPS,
    HOW,
    METHODS,
    PROTOCOL,
    START,
    Settings,
    learned,
    texts_of,
    variant_of,
    wanted,
)
from slubook.experiments.elmol_sources import Read, load_contextual, pretrain_all
from slubook.experiments.search import Cell, Rows, Search, dev_error
from slubook.experiments.transfer import choose
from slubook.experiments.transfer_sources import Kept, folds_of, load_pretrained
from slubook.experiments.trials import Changes, Round, changed
from slubook.experiments.tuning_transfer import DRAWS, SKILLS, best
from slubook.learning.contextual import ContextRecipe

#: Round 1 tries every rate with every dropout; the last schedule has lower rates built in.
RATES: dict[str, tuple[float, ...]] = {method: (0.6, 1.0, 1.6) for method in METHODS if method not in AS}
RATES["elmol_ulmfit"] = (1.0, 1.6, 2.5)
DROPOUT = (0.3, 0.4)
ROUNDS = {
    method: (Round(1, DRAWS, tuple({"rate": rate, "network.dropout": d} for d in DROPOUT for rate in rates)),)
    for method, rates in RATES.items()
}


def second(method: str, stands: Changes) -> Round:
    """Round 2: one thing each changed of what round 1 chose."""
    rate, rates = stands["rate"], RATES[method]
    by = {rates[0]: (1 / 1.6, 1 / 2.5), rates[-1]: (1.6, 2.5)}.get(rate, (1.25, 0.8))
    learns = method in HOW and HOW[method][2] in ("slowly", "at_once")
    other: Changes = {"reduced": 0.2} if learns else {"network.word_dropout": 0.25}
    changes = (*({"rate": round(rate * factor, 3)} for factor in by), other)
    return Round(2, DRAWS, tuple({**stands, **change} for change in changes))


ABOUT = {
    "error": "share of dev utterances with a mistake in intent or slots",
    "choice": "the least dev error",
    "not_tuned": "embeddings and pretraining, when an embedding may learn, sizes of layers, the batch, and the updates",
}


@dataclass(frozen=True)
class ElmolSearch(Search):
    """Chapter 3's search.

    Attributes:
        listed: the skills to tune on, each with its training size. None are needed to read a record.
        networks: the pretrained network of each method, and its embedding if it has one.
        settings: of what comes before the new skill.
    """

    listed: Sequence[tuple[Skill, int]] = ()
    networks: Mapping[str, tuple[Kept, Read | None]] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    experiment = "elmol"
    protocol = PROTOCOL

    def rounds(self) -> Mapping[str, Sequence[Round]]:
        """What is tried, by method."""
        return ROUNDS

    def head(self) -> dict[str, Any]:
        """What the record says before its methods."""
        return {"about": ABOUT, "skills": list(SKILLS), "updates": START.training.updates}

    def configured(self, method: str, changes: Changes) -> ContextRecipe:
        """The first recipe with ``changes``."""
        return changed(START, changes)

    def chosen(self, trials: Mapping[str, Rows]) -> dict[str, Mapping[str, Any]]:
        """The best trial of each method."""
        return {m: best(rows) for m, rows in trials.items()}

    def later(self, trials: Mapping[str, Rows]) -> Mapping[str, Sequence[Round]]:
        """Round 2, from what round 1 chose."""
        return {method: [second(method, stands["changes"])] for method, stands in self.chosen(trials).items()}

    def skills(self) -> Sequence[tuple[Skill, int]]:
        """What is tuned on, each with its training size."""
        return self.listed

    def beneath(self, method: str) -> dict[str, str]:
        """Keys of the method's pretrained network and of its embedding."""
        kept, read = self.networks[method]
        return {f"pretrained {kept.name}": kept.key} | ({f"embedding {read.name}": read.key} if read else {})

    def errors(self, cells: Sequence[Cell]) -> list[float]:
        """The dev error of the one cell."""
        [cell] = cells
        kept, read = self.networks[cell.method]
        beneath = load_contextual(kept, read) if read else load_pretrained(kept)
        (train, dev), recipe = cell.skill.draw(cell.size, cell.seed), self.configured(cell.method, cell.changes)
        return [
            dev_error(learned(cell.method, beneath, recipe, (train, dev, cell.seed), self.settings.unfreezing), dev)
        ]


def elmol_search(jobs: int = 1) -> ElmolSearch:
    """The search with its skills; what they need is trained where the cache has none.

    Args:
        jobs: processes.

    Raises:
        ValueError: when the skills to tune on are of several groups, or of one that is published.
    """
    chosen, settings = choose("full"), Settings()
    of, sources = folds_of(chosen, settings.pretraining, "elmol-")
    listed = [(s, n) for s, n in chosen.skills if s.name in SKILLS]
    if len(group := {of[s.name] for s, _ in listed}) != 1:
        raise ValueError(f"the skills to tune on are of several groups: {', '.join(sorted(group))}")
    tried = [m for m in METHODS if m in HOW and m not in AS]
    kinds, schedules = wanted(tried, settings.unfreezing)
    reads, _ = texts_of(chosen, settings).embeddings(kinds, jobs)
    about = pretrain_all([s for s in sources if s.name in group], reads, schedules, jobs)
    [name] = group
    if name in {sources[k].name for k in GROUPS}:
        raise ValueError(f"the skills to tune on are of {name}, which the published run learns: choose others")
    networks: dict[str, tuple[Kept, Read | None]] = {"none": (Kept(name, about[name]["key"]), None)}
    for method in tried:
        own = f"{name}-{variant_of(method)}"
        networks[method] = Kept(own, about[own]["key"]), reads[HOW[method][0]]
    return ElmolSearch(listed, networks, settings)
