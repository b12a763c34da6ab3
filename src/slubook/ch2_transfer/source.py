"""The annotated data of mature domains, for pretraining before a new skill comes.

A source domain is one service, scenario or skill of one corpus, with its own labels. The topics of the new skill are
left out of every corpus, by the table of topics. Taught in chapter 2, *The source*.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from slubook.ch1_skills.skillsets import Skill
from slubook.corpora.dedupe import near_duplicates, normalise
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance
from slubook.profiles import stable_hash

#: Every public corpus with labels, and the embedded ones. Of NLU++ only the slots are used: it has any number of
#: intents an utterance; *restaurant8k* has slots alone, *clinc150* and *banking77* have intents alone.
PUBLIC_SOURCE = (
    "assistant-en", "banking77", "clinc150", "hinglish_top", "hwu64", "nlupp", "restaurant8k", "sgd_turns",
    "skills", "snips",
)  # fmt: skip
EMBEDDED_SOURCE = ("assistant-en", "skills")
LEAST = 30  # utterances, for a domain to count


@dataclass(frozen=True)
class SourceDomain:
    """One domain's utterances; an intent that is not known is ``""``.

    Attributes:
        name: ``corpus/domain``.
        utterances: distinct texts.
        slot_types: in use, sorted.
        intents: in use, sorted; empty when all utterances have the same one.
    """

    name: str
    utterances: tuple[Utterance, ...]
    slot_types: tuple[str, ...]
    intents: tuple[str, ...]


def source_domains(
    corpora: Iterable[str],
    left_out: Collection[str] = (),
    tests: Sequence[str] = (),
    own: Sequence[Utterance] = (),
    dialogues: Collection[str] = (),
) -> list[SourceDomain]:
    """Returns the domains of ``corpora`` without the topics ``left_out`` and without near-duplicates of ``tests``.

    A domain of fewer than :data:`LEAST` utterances, or with nothing to learn (no slot, and fewer than two intents),
    does not count: SGD's turns to two services at once are such.

    Args:
        corpora: names, read through the registry.
        left_out: topics, whose utterances are left out of every corpus.
        tests: texts that must not be read in any wording.
        own: annotated utterances of the user's own other domains.
        dialogues: groups of the tests' utterances; other turns of the same dialogue are left out on any topic.
    """
    read: dict[str, dict[str, Utterance]] = defaultdict(dict)
    for corpus in corpora:
        for u in load(corpus):
            if u.group not in dialogues and not topics_of(u, corpus) & set(left_out):
                labelled = replace(u, intent="") if corpus == "nlupp" else u
                read[f"{corpus}/{u.domain}"].setdefault(normalise(u.text), labelled)
    for u in own:
        if u.group not in dialogues:
            read[f"own/{u.domain}"].setdefault(normalise(u.text), u)
    texts = sorted({u.text for found in read.values() for u in found.values()})
    near = dict(zip(texts, near_duplicates(texts, tests), strict=True)) if tests else {}
    kept = {name: [u for key, u in found.items() if key and not near.get(u.text)] for name, found in read.items()}
    domains = [make_domain(name, us) for name, us in sorted(kept.items()) if len(us) >= LEAST]
    return [d for d in domains if d.slot_types or d.intents]


def make_domain(name: str, utterances: Sequence[Utterance]) -> SourceDomain:
    """Makes a domain with the labels that its utterances have."""
    intents = sorted({u.intent for u in utterances if u.intent})
    types = sorted({s.type for u in utterances for s in u.slots})
    return SourceDomain(name, tuple(utterances), tuple(types), tuple(intents) if len(intents) > 1 else ())


def sample(domain: SourceDomain, most: int) -> SourceDomain:
    """Returns a domain of at most so many of its utterances, chosen by a hash of their texts, and their labels."""
    chosen = sorted(domain.utterances, key=lambda u: (stable_hash("sample", u.text), u.text))[:most]
    return make_domain(domain.name, chosen)


def source_key(domains: Sequence[SourceDomain]) -> str:
    """Returns the SHA-256 of texts and labels, in order."""
    digest = hashlib.sha256()
    for domain in domains:
        digest.update(domain.name.encode())
        for u in domain.utterances:
            digest.update(repr((u.text, u.intent, u.slots)).encode())
    return digest.hexdigest()


def make_folds(skills: Sequence[Skill], folds: int, cost: Mapping[str, int]) -> tuple[dict[str, int], list[set[str]]]:
    """Divides skills into folds with one pretraining each, without any topic of its skills.

    The folds are merged from the sets of topics that occur, two at a time, each time those whose skills lose least of
    the source by it.

    Args:
        skills: to be learned.
        folds: how many pretrainings there may be.
        cost: how much of the source each topic has.

    Returns:
        The fold of each skill, by name, and the topics that each fold leaves out.
    """
    occurring = sorted({s.topics for s in skills})
    groups = [(set(topics), [s.name for s in skills if s.topics == topics]) for topics in occurring]

    def lost(topics: set[str], members: Sequence[str]) -> int:
        return len(members) * sum(cost.get(t, 0) for t in topics)

    while len(groups) > folds:
        pairs = [(i, j) for i in range(len(groups)) for j in range(i)]
        growth = [
            lost(groups[i][0] | groups[j][0], groups[i][1] + groups[j][1]) - lost(*groups[i]) - lost(*groups[j])
            for i, j in pairs
        ]
        i, j = pairs[growth.index(min(growth))]
        merged = (groups[i][0] | groups[j][0], groups[j][1] + groups[i][1])
        groups = [g for k, g in enumerate(groups) if k not in (i, j)] + [merged]
    return {name: fold for fold, (_, names) in enumerate(groups) for name in names}, [topics for topics, _ in groups]
