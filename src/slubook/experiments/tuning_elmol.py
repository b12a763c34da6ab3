"""How chapter 3's settings on a new skill were chosen: for every method by equal budgets, on dev sets only.

``slubook tune elmol`` keeps every trial in ``results/elmol_tuning.json``; what is chosen stands in the defaults of
:class:`slubook.experiments.elmol.Settings`, and a test holds the two equal.

- *Budget*: six trials for each method, three learning rates with both values of one setting more. Where the embedding
  learns, that is how much slower it does; elsewhere, and where a schedule has rates of its own, dropout.
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

RATES, DROPOUT, REDUCED = (0.3, 0.6, 1.0), ("network.dropout", (0.3, 0.4)), ("reduced", (0.5, 0.2))
#: Each method's rates, and the other setting with its values.
TRIED: dict[str, tuple[tuple[float, ...], tuple[str, tuple[float, ...]]]] = {
    "none": (RATES, DROPOUT),
    "fasttext_general": (RATES, DROPOUT),
    "fasttext_pool": (RATES, DROPOUT),
    "elmol": (RATES, REDUCED),
    "elmo": (RATES, REDUCED),
    "elmol_frozen": (RATES, DROPOUT),
    "elmol_trained": (RATES, REDUCED),
    "elmol_ulmfit": ((0.6, 1.0, 1.6), DROPOUT),
}
ROUNDS = {
    method: (Round(1, DRAWS, tuple({"rate": rate, name: value} for value in values for rate in rates)),)
    for method, (rates, (name, values)) in TRIED.items()
}
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
