"""Checks a user's own skill: what can be learned from it, and what must stay together. Taught in *Your own skill*."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slubook.ch1_skills.skillsets import labels
from slubook.corpora import ask
from slubook.corpora.dedupe import normalise
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.skills import PER_SAMPLE, SEED
from slubook.corpora.utterance import Utterance, snap

#: Parts that a skill is cut into, if it is large enough.
FOLDS = 5


@dataclass(frozen=True)
class OwnSkill:
    """A skill to learn.

    Attributes:
        name: of the file or of the domain in it.
        utterances: all that it can be learned from, N of them.
        groups: utterances of one group share a sample or a dialogue, [N].
        asked: positions of the utterances that a model is judged by. Of the fillings of one sample only the
            first is: the others would count one difficulty several times.
        path: the file that it stands in.
        left_out: intents of the file without samples, which no model can learn.
    """

    name: str
    utterances: tuple[Utterance, ...]
    groups: tuple[str, ...]
    asked: tuple[int, ...]
    path: Path = Path()
    left_out: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Computes a hash of everything that is learned from."""
        digest = hashlib.sha256()
        for u in self.utterances:
            digest.update(repr((u.text, u.intent, u.slots)).encode())
        return digest.hexdigest()[:16]


def read(path: Path, as_one: bool = False) -> list[OwnSkill]:
    """Reads the skills of an ASK interaction model (``.json``, one skill) or of a JSONL corpus (each domain a skill).

    Args:
        path: the file.
        as_one: take all domains of a JSONL corpus for one skill.

    Raises:
        CorpusError: listing everything that is wrong with the file.
    """
    if path.suffix == ".json":
        return [_of_model(ask.read(path), path)]
    domains: dict[str, dict[str, Utterance]] = {}
    for u in load(path):
        domains.setdefault(path.stem if as_one else u.domain, {}).setdefault(normalise(u.text) or u.text, u)
    return [
        OwnSkill(name, tuple(kept.values()), tuple(u.group or u.id for u in kept.values()), (*range(len(kept)),), path)
        for name, kept in sorted(domains.items())
    ]


def _of_model(model: ask.InteractionModel, path: Path) -> OwnSkill:
    """Fills the samples; those that differ only in case, digits or punctuation are one group."""
    utterances = tuple(snap(u)[0] for u in ask.expand(model, PER_SAMPLE, SEED))
    samples = {f"{model.name}/{i.name}/{n}": normalise(s) or s for i in model.intents for n, s in enumerate(i.samples)}
    groups = tuple(samples[u.group] for u in utterances)
    first = {group: i for i, group in reversed(list(enumerate(groups)))}
    return OwnSkill(model.name, utterances, groups, tuple(sorted(first.values())), path, model.left_out)


def pick(skills: Sequence[OwnSkill], name: str | None = None) -> OwnSkill:
    """Returns the skill of that name, or the only one; raises CorpusError, which names all, when there is none such."""
    if found := [skill for skill in skills if skill.name == name or (name is None and len(skills) == 1)]:
        return found[0]
    problem = f"has no skill {name!r}" if name else f"has {len(skills)} skills"
    named = f"name one of {', '.join(skill.name for skill in skills)} with --skill"
    raise CorpusError(f"{skills[0].path} {problem}: {named}, or take all for one with --as-one")


def folds_for(skills: Sequence[OwnSkill]) -> int:
    """Returns how many folds the smallest of the skills allows: :data:`FOLDS` at the most and two at the least."""
    return max(2, min(FOLDS, *(len(set(skill.groups)) // 2 for skill in skills)))


def check(skill: OwnSkill, folds: int) -> None:
    """Checks that the skill can be learned and judged at all.

    Raises:
        CorpusError: when there is nothing to tell apart, or too little for so many folds.
    """
    named, groups = f"{skill.path}: skill {skill.name!r}", len(set(skill.groups))
    if len(labels(skill.utterances)) < 2:
        raise CorpusError(
            f"{named} has one intent ({skill.utterances[0].intent!r}) and no slots, so there is nothing to learn: "
            "add utterances of another intent, or mark slots"
        )
    if groups < 2 * folds:
        what = "samples" if skill.path.suffix == ".json" else "utterances or dialogues"
        fewer = f", or use --folds {groups // 2}" if groups >= 4 else ""
        raise CorpusError(f"{named} has {groups} different {what}, and {folds} folds need {2 * folds}: add some{fewer}")
