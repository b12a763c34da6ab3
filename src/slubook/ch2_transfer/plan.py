"""What chapter 2's experiments share: which skills are learned, and what each is pretrained on.

The pretrained networks are kept in the cache by name; cells read them there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import joblib
import numpy as np

from slubook.ch1_skills.bench import Cell
from slubook.ch1_skills.skill_vectors import GENERAL
from slubook.ch1_skills.skillsets import Skill, fingerprint, own_skills, test_of
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import NETWORKS, PretrainingConfig, kept_pretrained
from slubook.ch2_transfer.source import EMBEDDED_SOURCE, PUBLIC_SOURCE, SourceDomain, make_folds, sample, source_domains
from slubook.ch2_transfer.stacked import spoken
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance
from slubook.experiments.cells import Key, Task
from slubook.experiments.options import Choice, Options
from slubook.experiments.records import Test
from slubook.experiments.runner import Tables, Work

FOLDS = 6
#: Utterances of each source domain that are kept for joint training.
SAMPLE = 60


@dataclass(frozen=True)
class Chosen:
    """Skills to learn.

    Attributes:
        profile: ``quick``, ``full`` or ``corpus``.
        skills: each with a training size; a skill may occur with several.
        own: the user's utterances, whose other domains are a source.
    """

    profile: str
    skills: Sequence[tuple[Skill, int]]
    own: Sequence[Utterance] = ()

    @property
    def distinct(self) -> list[Skill]:
        """Returns each skill once."""
        return list(dict.fromkeys(s for s, _ in self.skills))

    def only(self, names: Collection[str]) -> Self:
        """Returns the skills of these names, with all of their sizes."""
        return replace(self, skills=[(s, n) for s, n in self.skills if s.name in names])


@dataclass(frozen=True)
class PretrainingSource:
    """What one network is pretrained on, and how.

    Attributes:
        name: of the network.
        corpora: read through the registry.
        left_out: topics of the skills that take it over.
        tests: of these skills; their texts must not be read in any wording, nor the rest of their dialogues.
        own: annotated utterances of the user's other domains.
        config: sizes, steps and rates.
        step: every so many-th domain is read, by name; 1 for all.
        table: the folder of the generic vectors that it reads.
    """

    name: str
    corpora: Sequence[str]
    left_out: frozenset[str]
    tests: Sequence[Utterance]
    own: Sequence[Utterance]
    config: PretrainingConfig
    step: int = 1
    table: Path | None = None

    def domains(self) -> list[SourceDomain]:
        """Returns its annotated domains."""
        texts, dialogues = [u.text for u in self.tests], {u.group for u in self.tests} - {""}
        return source_domains(self.corpora, self.left_out, texts, self.own, dialogues)[:: self.step]

    def lasting(self, updates: int) -> Self:
        """Returns the same source for another number of updates."""
        return replace(self, config=replace(self.config, updates=updates))

    def about(self) -> dict[str, Any]:
        """Returns what the network has seen, and trains it where the cache has none.

        Of its domains there is a ``sample``, for methods that read the source again.
        """
        domains, table = self.domains(), VectorTable.load(self.table) if self.table else None
        kept = kept_pretrained(self.name, domains, self.config, table)
        return kept.about | {"left_out": sorted(self.left_out), "sample": [sample(d, SAMPLE) for d in domains]}


class Kept(NamedTuple):
    """A pretrained network in the cache: its name, and the key of its source and settings."""

    name: str
    key: str


#: Sources of other kinds, made from the usual one; each keeps its name, to which that of the kind is added.
Variants = Mapping[str, Callable[[PretrainingSource], PretrainingSource]]
#: Which of some skills are learned.
Pick = Callable[[Sequence[Skill]], Sequence[Skill]]


def one_a_domain(every: int = 1, without: Collection[str] = ()) -> Pick:
    """Returns a choice of the first skill of each domain, every so many-th of these, and none of ``without``."""

    def pick(skills: Sequence[Skill]) -> list[Skill]:
        firsts = {s.name.split("#")[0]: s for s in reversed(skills)}
        return [s for s in skills if s is firsts[s.name.split("#")[0]] and s.name not in without][::every]

    return pick


@dataclass(frozen=True)
class TransferPlan:
    """What a run consists of.

    Attributes:
        chosen: what is learned.
        pretrained: the name of the pretrained network of each skill.
        about: what each pretrained network has seen, by name.
        seeds: draws.
        cells: those that are measured; ``None`` for all.
    """

    chosen: Chosen
    pretrained: dict[str, str]
    about: dict[str, dict[str, Any]]
    seeds: Sequence[int]
    cells: Sequence[Key] | None = None

    def keys(self) -> list[Key]:
        """Returns every cell, one seed for all skills before the next: a stopped run is balanced."""
        every = ((s.name, size, seed) for seed in self.seeds for s, size in self.chosen.skills)
        return list(every if self.cells is None else self.cells)

    def cell(self, key: Key) -> Cell:
        """Returns the draw of one cell."""
        name, size, seed = key
        skill = next(s for s, _ in self.chosen.skills if s.name == name)
        return Cell(name, size, seed, *skill.draw(size, seed), skill.test)

    def network(self, skill: str, variant: str = "") -> Kept:
        """Returns the pretrained network of a skill, or a variant of it."""
        name = self.pretrained[skill] + (f"-{variant}" if variant else "")
        return Kept(name, self.about[name]["key"])

    def data(self) -> dict[str, str]:
        """Returns hashes of what the cells depend on: splits, and the sources of the pretrained networks."""
        data = {skill.name: fingerprint(skill) for skill in self.chosen.distinct}
        return data | {f"pretrained {name}": about["key"] for name, about in self.about.items()}

    def tests(self) -> dict[str, Test]:
        """Returns the test set of each skill, with :func:`label_slices`."""
        of = {s.name: self.about[self.pretrained[s.name]] for s in self.chosen.distinct}
        return {s.name: replace(test_of(s), slices=label_slices(s.test, of[s.name])) for s in self.chosen.distinct}

    def groups(self) -> dict[str, str]:
        """Returns the corpus of each skill, for intervals that draw corpora first."""
        return {skill.name: skill.corpus for skill in self.chosen.distinct}

    def seen(self) -> dict[str, dict[str, Any]]:
        """Returns what was left out of each pretraining, its size and its seconds."""
        counted = ("left_out", "domains", "utterances", "updates", "seconds")
        return {name: {k: about[k] for k in counted} for name, about in self.about.items()}

    def work(self, task: Callable[[Key], Task], tables: Tables) -> Work:
        """Returns the plan as work for the runner; the results have ``tables`` and what pretraining has seen."""
        of = lambda rows, known: {**tables(rows, known), "pretraining": self.seen()}  # noqa: E731
        return Work(self.keys(), task, self.tests(), self.data(), of)


def label_slices(utterances: Sequence[Utterance], about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns parts of a test set by whether the source had a label of the same name, [N] bool each.

    ``new_intents`` have an intent that is not in the ``intents`` that the pretrained network's ``about`` names,
    ``new_slots`` a type that is not in its ``slot_types``; ``known_slots`` have slots, all of such types; ``no_slots``
    have none.
    """
    intents, types = set(about["intents"]), set(about["slot_types"])
    some = np.array([bool(u.slots) for u in utterances])
    new = np.array([any(spoken(s.type) not in types for s in u.slots) for u in utterances])
    return {
        "new_intents": np.array([spoken(u.intent) not in intents for u in utterances]),
        "new_slots": new,
        "known_slots": some & ~new,
        "no_slots": ~some,
    }


def own_domains(corpora: Sequence[Path]) -> Chosen:
    """Returns each domain of the user's files, in all sizes that it has room for.

    Raises:
        CorpusError: when the files are faulty or too small.
    """
    found = own_skills(corpora)
    if len(found) < 2:
        raise CorpusError(f"{corpora[0]}: one domain only: transfer needs others to learn from; add them to the file")
    return Chosen("corpus", [(s, n) for s in found for n in s.sizes()], [u for path in corpora for u in load(path)])


def make_plan(
    chosen: Chosen,
    seeds: int,
    config: PretrainingConfig,
    jobs: int,
    *,
    pick: Pick = list,
    within: Collection[str] | None = None,
    variants: Variants | None = None,
    choose: Choice = Options.choose,
) -> TransferPlan:
    """Pretrains what the chosen skills need, where the cache has none.

    Args:
        chosen: the skills; the folds of topics are those of all of them.
        seeds: draws.
        config: of pretraining.
        jobs: processes.
        pick: which of the skills are learned.
        within: names of networks; learn only the skills of these.
        variants: further networks of each fold, named ``<name>-<variant>``.
        choose: which cells are measured; see :class:`slubook.experiments.options.Options`.
    """
    of_skill, sources = folds_of(chosen, config)
    inside = [s for s in chosen.distinct if within is None or of_skill[s.name] in within]
    names = {s.name: of_skill[s.name] for s in pick(inside)}
    made, every = variants or {}, TransferPlan(chosen.only(names), names, {}, range(seeds)).keys()
    endings, general = ["", *(f"-{kind}" for kind in made)], [GENERAL] if "general" in made else []
    cells = choose(every, lambda key: [*(names[key[0]] + ending for ending in endings), *general])
    names = {name: names[name] for name, *_ in cells}
    usual = [source for source in sources if source.name in names.values()]
    sources = usual + [replace(make(s), name=f"{s.name}-{kind}") for kind, make in made.items() for s in usual]
    found = joblib.Parallel(min(jobs, len(sources)), batch_size=1)(joblib.delayed(s.about)() for s in sources)
    about = {s.name: seen for s, seen in zip(sources, found, strict=True)}
    return TransferPlan(chosen.only(names), names, about, range(seeds), cells)


def folds_of(
    chosen: Chosen, config: PretrainingConfig, prefix: str = ""
) -> tuple[dict[str, str], list[PretrainingSource]]:
    """Returns the name of each skill's network, and the source of each network.

    A ``prefix`` of the names tells apart the networks of experiments with skills of their own.
    """
    profile, skills, own = chosen.profile, chosen.distinct, chosen.own
    corpora = PUBLIC_SOURCE if profile == "full" else EMBEDDED_SOURCE
    cost = Counter(t for c in corpora for u in load(c) for t in topics_of(u, c)) + Counter(u.domain for u in own)
    folds, left_out = make_folds(skills, 1 if profile == "quick" else FOLDS, cost)
    sources = []
    for fold, topics in enumerate(left_out):
        tests = [u for s in skills if folds[s.name] == fold for u in s.test]
        others = [u for u in own if u.domain not in topics]
        sources.append(
            PretrainingSource(f"{prefix}{profile}-{fold}", corpora, frozenset(topics), tests, others, config)
        )
    return {name: sources[fold].name for name, fold in folds.items()}, sources


@cache
def load_pretrained(kept: Kept) -> Pretrained:
    """Reads a pretrained network of the plan, once in each worker; errors as ``Artefacts.named`` has them."""
    return NETWORKS.named(*kept)
