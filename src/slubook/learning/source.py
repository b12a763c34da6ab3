"""The annotated data of mature domains: what is pretrained on before a new skill comes.

A source domain is one service, scenario or skill of one corpus, with the labels it has. What the new skill is
about is left out of every corpus, by the table of topics. Taught in chapter 2, *The source*.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from slubook.corpora.dedupe import near_duplicates, normalise
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance

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
    """One domain's utterances; an intent ``""`` means that it is not known.

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
    corpora: Iterable[str], left_out: Collection[str] = (), tests: Sequence[str] = (), own: Sequence[Utterance] = ()
) -> list[SourceDomain]:
    """The domains of ``corpora`` without the topics ``left_out`` and without near-duplicates of ``tests``.

    A domain of fewer than :data:`LEAST` utterances, or with nothing to learn (no slot, and fewer than two intents),
    is none: SGD's turns to two services at once are such.

    Args:
        corpora: names, read through the registry.
        left_out: topics; an utterance of any of them is left out in whatever corpus it stands.
        tests: texts that must not be known in any wording.
        own: annotated utterances of the user's own other domains.
    """
    read: dict[str, dict[str, Utterance]] = defaultdict(dict)
    for corpus in corpora:
        for u in load(corpus):
            if not topics_of(u, corpus) & set(left_out):
                read[f"{corpus}/{u.domain}"].setdefault(normalise(u.text), _labelled(u, corpus))
    for u in own:
        read[f"own/{u.domain}"].setdefault(normalise(u.text), u)
    texts = sorted({u.text for found in read.values() for u in found.values()})
    near = dict(zip(texts, near_duplicates(texts, tests), strict=True)) if tests else {}
    kept = {name: [u for key, u in found.items() if key and not near.get(u.text)] for name, found in read.items()}
    domains = [make_domain(name, us) for name, us in sorted(kept.items()) if len(us) >= LEAST]
    return [d for d in domains if d.slot_types or d.intents]


def make_domain(name: str, utterances: Sequence[Utterance]) -> SourceDomain:
    """A domain with the labels that its utterances have."""
    intents = sorted({u.intent for u in utterances if u.intent})
    types = sorted({s.type for u in utterances for s in u.slots})
    return SourceDomain(name, tuple(utterances), tuple(types), tuple(intents) if len(intents) > 1 else ())


def source_key(domains: Sequence[SourceDomain]) -> str:
    """SHA-256 of texts and labels, in order."""
    digest = hashlib.sha256()
    for domain in domains:
        digest.update(domain.name.encode())
        for u in domain.utterances:
            digest.update(repr((u.text, u.intent, u.slots)).encode())
    return digest.hexdigest()


def _labelled(utterance: Utterance, corpus: str) -> Utterance:
    return replace(utterance, intent="") if corpus == "nlupp" else utterance
