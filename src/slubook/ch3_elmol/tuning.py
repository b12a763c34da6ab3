"""How chapter 3's settings on a new skill were chosen: for every method by equal budgets, on dev sets only.

``slubook tune elmol`` keeps every trial in ``results/elmol_tuning.json``; what is chosen stands in the defaults of
:class:`slubook.ch3_elmol.methods.Settings`, and a test holds the two equal.

- *Budget*: nine trials for each method. Six are three learning rates with two values of dropout. Three change one thing
  each of the best of those six: two the rate, past the edge where the best stands at one, else a little up and down;
  and one how much slower the embedding learns, or where that is fixed or it never learns, word dropout.
- *What lies beneath*: three of those first trials, those with the lower dropout, are made over something else as well
  (:data:`OTHERWISE`): FastText that read for another number of epochs, an embedding of another norm, or one that
  learned at another rate in stage one, or did not learn there. The usual is what came out best of the three, but for
  the norm: in the published run all embeddings have one, and the rows of norms were measured after it, of tables of
  words and of ELMoL that is always frozen. Both tables are best at the usual norm; ELMoL that is always frozen is a
  little better at half of it, by less than two standard errors. Word dropout is among the three changes above unless
  the embedding learns slowly or at once; for those three methods it was varied after the published run, which it did
  not change.
- *Skills, draws, choice*: as in chapter 2 (:mod:`slubook.ch2_transfer.tuning`). The skills are of another of
  the six groups than those of the published run, and all their topics are left out of its pretraining.
- *Not tuned*: all else of what is pretrained, and how; when the embedding may learn; sizes of layers, the batch, and
  the number of updates.

Taught in chapter 3, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer.plan import Kept, folds_of, load_pretrained
from slubook.ch2_transfer.protocol import choose
from slubook.ch2_transfer.tuning import DRAWS, SKILLS, best
from slubook.ch3_elmol.contextual_training import ContextRecipe
from slubook.ch3_elmol.embeddings import Read, load_contextual, pretrain_all
from slubook.ch3_elmol.methods import AS, HOW, METHODS, START, Settings
from slubook.ch3_elmol.protocol import GROUPS, learned, texts_of
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.experiments.search import Cell, Rows, Search, dev_error
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.trials import Changes, Round, changed

#: Round 1 tries every rate with every dropout; the last schedule has lower rates built in.
RATES: dict[str, tuple[float, ...]] = {method: (0.6, 1.0, 1.6) for method in METHODS if method not in AS}
RATES["elmol_ulmfit"] = (1.0, 1.6, 2.5)
DROPOUT = (0.3, 0.4)
ROUNDS = {
    method: (Round(1, DRAWS, tuple({"rate": rate, "network.dropout": d} for d in DROPOUT for rate in rates)),)
    for method, rates in RATES.items()
}


@dataclass(frozen=True)
class Otherwise:
    """A method over something else.

    Attributes:
        method: which.
        epochs: of its FastText table; ``None`` for the usual.
        reduced: in stage one, the rate of the embedding's highest layer; ``None`` for the usual.
        source: its schedule in stage one; ``None`` for the usual.
        norm: of the embedding, as a multiple of the usual one.
        word_dropout: on the new skill; ``None`` for the usual.
    """

    method: str
    epochs: int | None = None
    reduced: float | None = None
    source: str | None = None
    norm: float | None = None
    word_dropout: float | None = None

    def trials(self) -> tuple[Changes, ...]:
        """The first three of the method's, with what is otherwise in them."""
        more = {"network.word_dropout": self.word_dropout} if self.word_dropout else {}
        return tuple({**changes, **more} for changes in ROUNDS[self.method][0].trials[:3])

    @property
    def late(self) -> bool:
        """Whether it was measured after the published run."""
        return bool(self.norm or self.word_dropout)

    def __str__(self) -> str:
        """What is otherwise, for tables."""
        said = {
            f"{self.epochs} epochs": self.epochs,
            f"{self.norm or 0:g} times the norm": self.norm,
            f"word dropout {self.word_dropout or 0:g}": self.word_dropout,
            f"stage one at {self.reduced or 0:g}": self.reduced,
            f"stage one {self.source}": self.source,
        }
        return ", ".join(name for name, given in said.items() if given)


OTHERWISE = {
    "fasttext_general_5": Otherwise("fasttext_general", epochs=5),
    "fasttext_pool_5": Otherwise("fasttext_pool", epochs=5),
    "fasttext_pool_15": Otherwise("fasttext_pool", epochs=15),
    "fasttext_pool_90": Otherwise("fasttext_pool", epochs=90),
    "fasttext_general_half": Otherwise("fasttext_general", norm=0.5),
    "fasttext_general_double": Otherwise("fasttext_general", norm=2.0),
    "fasttext_pool_half": Otherwise("fasttext_pool", norm=0.5),
    "fasttext_pool_double": Otherwise("fasttext_pool", norm=2.0),
    "elmol_frozen_half": Otherwise("elmol_frozen", norm=0.5),
    "elmol_frozen_double": Otherwise("elmol_frozen", norm=2.0),
    "elmol_faster": Otherwise("elmol", reduced=0.5),
    "elmol_second": Otherwise("elmol", source="frozen"),
    "elmo_slower": Otherwise("elmo", reduced=0.1),
    "elmol_trained_faster": Otherwise("elmol_trained", reduced=0.5),
    "elmol_words": Otherwise("elmol", word_dropout=0.25),
    "elmo_words": Otherwise("elmo", word_dropout=0.25),
    "elmol_trained_words": Otherwise("elmol_trained", word_dropout=0.25),
}
ROUNDS |= {name: (Round(1, DRAWS, other.trials()),) for name, other in OTHERWISE.items()}


def method_of(name: str) -> str:
    """The method of :data:`slubook.ch3_elmol.methods.METHODS` that is tried under a name."""
    return OTHERWISE[name].method if name in OTHERWISE else name


def second(method: str, stands: Changes) -> Round:
    """Round 2: one thing each changed of what round 1 chose."""
    rate, rates = stands["rate"], RATES[method]
    by = {rates[0]: (1 / 1.6, 1 / 2.5), rates[-1]: (1.6, 2.5)}.get(rate, (1.25, 0.8))
    learns = method in HOW and HOW[method].skill in ("slowly", "at_once")
    other: Changes = {"reduced": 0.2} if learns else {"network.word_dropout": 0.25}
    changes = (*({"rate": round(rate * factor, 3)} for factor in by), other)
    return Round(2, DRAWS, tuple({**stands, **change} for change in changes))


ABOUT = {
    "error": "share of dev utterances with a mistake in intent or slots",
    "choice": "the least dev error",
    "not_tuned": "sizes of language models, all else of pretraining, when an embedding may learn, sizes of layers, "
    "the batch, and the updates",
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
    protocol = EXPERIMENTS["elmol"].protocol

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
        chosen = self.chosen(trials).items()
        return {method: [second(method, stands["changes"])] for method, stands in chosen if method not in OTHERWISE}

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
        draw, method = (train, dev, cell.seed), method_of(cell.method)
        return [dev_error(learned(method, beneath, recipe, draw, self.settings.unfreezing), dev)]


def elmol_search(jobs: int = 1, methods: Sequence[str] = (), device: str = "cpu") -> ElmolSearch:
    """The search with its skills; what they need is trained where the cache has none.

    Args:
        jobs: processes.
        methods: names of :data:`ROUNDS` that will be tried; all by default.
        device: on which language models are trained, ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: when the skills to tune on are of several groups, or of one that is published.
    """
    chosen, settings = choose("full"), Settings()
    of, sources = folds_of(chosen, settings.pretraining, "elmol-")
    listed = [(s, n) for s, n in chosen.skills if s.name in SKILLS]
    if len(group := {of[s.name] for s, _ in listed}) != 1:
        raise ValueError(f"the skills to tune on are of several groups: {', '.join(sorted(group))}")
    [own] = group
    if own in {sources[k].name for k in GROUPS}:
        raise ValueError(f"the skills to tune on are of {own}, which the published run learns: choose others")
    tried = {m: OTHERWISE.get(m, Otherwise(m)) for m in methods or ROUNDS if m != "none"}
    texts = texts_of(chosen, settings, device)
    kinds = list(dict.fromkeys(HOW[other.method].embedding for other in tried.values()))
    reads, _ = texts.embeddings(kinds, jobs) if kinds else ({}, {})
    schedules: dict[str, tuple[str, UnfreezingConfig]] = {}
    variants: dict[str, str] = {}
    for name, other in tried.items():
        kind, usual, _ = HOW[other.method]
        how = other.source or usual
        variant, unfreezing = f"{kind}-{how}", settings.schedule(kind, how)
        if other.epochs:
            table = {kind: replace(texts.fasttext[kind], epochs=other.epochs)}
            reads[name], _ = replace(texts, fasttext=table).embedding(kind)
            variant = kind = name
        if other.norm:
            reads[name] = reads[kind].times(other.norm)
            variant = kind = name
        if other.reduced:
            variant, unfreezing = name, replace(unfreezing, reduced=other.reduced)
        variants[name], schedules[variant] = variant, (kind, unfreezing)
    about = pretrain_all([s for s in sources if s.name == own], reads, schedules, jobs)
    networks: dict[str, tuple[Kept, Read | None]] = {"none": (Kept(own, about[own]["key"]), None)}
    for method, variant in variants.items():
        name = f"{own}-{variant}"
        networks[method] = Kept(name, about[name]["key"]), reads[schedules[variant][0]]
    return ElmolSearch(listed, networks, settings)
