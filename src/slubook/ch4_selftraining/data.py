"""Cuts corpora into what chapter 4's experiment needs: new intents, an existing assistant's data, and a pool.

Taught in chapter 4, *The setting*.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from pydantic import TypeAdapter

from slubook.ch1_skills.pool import SOURCES, build_pool
from slubook.corpora import assistant
from slubook.corpora.dedupe import normalise
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance, snap
from slubook.experiments.kept import Artefacts, reading
from slubook.files import replaced_folder
from slubook.profiles import stable_hash

FILE = "data.json"
#: What utterances of an existing assistant serve for: to train on, to set thresholds on, to count false alarms on.
USES = ("mature", "development", "background")
#: The corpora whose intents are known; others are in the pool only.
ANNOTATED = ("hinglish_top", "snips", "sgd", "hwu64", "clinc150", "banking77")
#: Those of them that new intents are chosen from.
SLOTTED = ("hinglish_top", "snips", "sgd")
#: New intents of the quick profile: of the assistant, from many sentence templates.
QUICK_TARGETS = ("HassLightSet", "HassMediaSearchAndPlay")


@dataclass(frozen=True)
class Cut:
    """How many utterances each part has.

    Attributes:
        test: of a new intent, the least and the most.
        mature, development, background: of each intent of the existing assistant that has them: to train on, to set the
            threshold on, and to count false alarms on.
        reserve: of a new intent, the most that is annotated.
        hidden: of a new intent, the least and the most that the pool holds beside the reserve.
        slots: of a new intent, the least mean number an utterance.
        pool: distinct texts.
    """

    test: tuple[int, int] = (80, 200)
    mature: int = 40
    development: int = 10
    background: int = 14
    reserve: int = 200
    hidden: tuple[int, int] = (60, 900)
    slots: float = 0.35
    pool: int = 110_000

    @property
    def others(self) -> int:
        """Counts what the existing assistant takes of an intent."""
        return self.mature + self.development + self.background


#: Of the quick profile.
SMALL = Cut((60, 100), mature=12, development=12, background=12, reserve=50, hidden=(60, 200), pool=12_000)


class Heard(NamedTuple):
    """An annotated utterance, with its corpus and its topics in order."""

    utterance: Utterance
    corpus: str
    topics: tuple[str, ...]

    @property
    def label(self) -> tuple[str, str, str]:
        """Names its intent: corpus, domain and intent."""
        return self.corpus, self.utterance.domain, self.utterance.intent


@dataclass(frozen=True)
class Target:
    """A new intent.

    Attributes:
        label: its corpus, domain and intent.
        topics: of its utterances.
        test: the same for all methods, sizes and seeds.
        rest: what is annotated, or hidden in the pool; no dialogue or text of the test.
    """

    label: tuple[str, str, str]
    topics: tuple[str, ...]
    test: tuple[Utterance, ...]
    rest: tuple[Utterance, ...]

    @property
    def name(self) -> str:
        """Returns ``corpus/intent``, with the service where the corpus has several of one intent."""
        corpus, domain, intent = self.label
        return f"{corpus}/{domain}.{intent}" if corpus == "sgd" else f"{corpus}/{intent}"

    def draw(self, size: int, seed: int) -> tuple[list[Utterance], list[Utterance]]:
        """Draws what is annotated and what stays hidden; a smaller annotated set is a prefix of a larger one."""
        order = sorted(self.rest, key=lambda u: (stable_hash("annotate", seed, u.id), u.id))
        return order[:size], order[size:]

    def held_out(self, seed: int, most: int = 100) -> Target:
        """Returns the target with a part of its rest as its test, to choose settings by; its own test stays unseen."""
        order = sorted(self.rest, key=lambda u: (stable_hash("settings", seed, u.group or u.id), u.id))
        test = order[: min(most, len(order) // 4)]
        groups = {u.group for u in test if u.group}
        return replace(self, test=tuple(test), rest=tuple(u for u in order[len(test) :] if u.group not in groups))

    def admits(self, other: Heard) -> bool:
        """Tells whether another utterance certainly does not ask for this intent.

        Utterances of its topic in other corpora, or in other services, may ask for it under another name.
        """
        same_service = other.label[:2] == self.label[:2]
        return other.label != self.label and (same_service or not {*other.topics} & {*self.topics})


@dataclass(eq=False)
class Data:
    """What an assistant has when new intents arrive.

    Attributes:
        targets: the new intents, by name.
        heard: utterances of other intents, by their use: each of :data:`USES`.
        pool: distinct requests without labels.
    """

    targets: Mapping[str, Target]
    heard: Mapping[str, Sequence[Heard]]
    pool: Sequence[str]

    @cached_property
    def key(self) -> str:
        """Computes a hash of all that is in it."""
        return hashlib.sha256(_JSON.dump_json(self)).hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """Counts what is in it."""
        return {use: len(some) for use, some in self.heard.items()} | {"pool": len(self.pool)}

    def save(self, folder: Path) -> None:
        """Writes it whole or not at all."""
        with replaced_folder(folder) as draft:
            (draft / FILE).write_bytes(_JSON.dump_json(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: when there is nothing.
            KeptError: when it is damaged.
        """
        if not (folder / FILE).is_file():
            raise FileNotFoundError(f"{folder} holds no data: make them with `slubook run selftraining`")
        with reading(folder, KEPT.what):
            return _JSON.validate_json((folder / FILE).read_bytes())


_JSON = TypeAdapter(Data)
#: Where data are kept, for the processes that measure.
KEPT = Artefacts("cut corpora", "selftraining", Data.load, lambda data: data.key)


def _heard(utterance: Utterance, corpus: str) -> Heard:
    return Heard(utterance, corpus, tuple(sorted(topics_of(utterance, corpus))))


def full_data(cut: Cut) -> Data:
    """Cuts the public corpora; the new intents are :func:`public_targets`."""
    heard = (_heard(u, c) for c in ANNOTATED for u in load(c) if u.intent != "oos")
    return cut_corpora(heard, public_targets, lambda tests: build_pool(SOURCES, tests).texts, cut)


def quick_data(cut: Cut = SMALL, per_intent: int = 300) -> Data:
    """Cuts the embedded corpora: new intents of the assistant; a pool from its templates and from the skills."""
    sampled = [snap(u)[0] for u in assistant.sample("en", per_intent)]
    heard = [_heard(u, "assistant-en") for u in sampled] + [_heard(u, "skills") for u in load("skills")]

    def choose(intents: Mapping, cut: Cut) -> list:
        return [label for label in intents if label[2] in QUICK_TARGETS]

    return cut_corpora(
        heard, choose, lambda tests: build_pool(("skills",), tests, [u.text for u in sampled]).texts, cut
    )


def public_targets(intents: Mapping[tuple[str, str, str], Sequence[Heard]], cut: Cut) -> list[tuple[str, str, str]]:
    """Chooses the new intents: with enough utterances and slots, of corpora with slots; of SGD, one a domain."""
    room = cut.test[0] + cut.others + cut.reserve + cut.hidden[0]
    fits, families = [], set()
    for label, members in sorted(intents.items(), key=lambda item: (-len(item[1]), item[0])):
        slots = sum(len(h.utterance.slots) for h in members) / len(members)
        family = label[1].partition("_")[0] if label[0] == "sgd" else label  # Events_1 and Events_2 are of one domain
        if label[0] in SLOTTED and len(members) >= room and slots >= cut.slots and family not in families:
            families.add(family)
            fits.append(label)
    return sorted(fits)


def cut_corpora(
    heard: Iterable[Heard],
    choose: Callable[[Mapping[tuple[str, str, str], list[Heard]], Cut], Sequence[tuple[str, str, str]]],
    pool_of: Callable[[Sequence[str]], Sequence[str]],
    cut: Cut,
) -> Data:
    """Cuts annotated utterances, by hash and before anything is trained; dialogues stay on one side of a test.

    Args:
        heard: annotated utterances; of texts that differ only in case, digits or punctuation the first one counts.
        choose: the labels of the new intents, from the utterances of each intent.
        pool_of: returns the distinct texts of the pool without near-duplicates of given tests.
        cut: sizes.
    """
    distinct: dict[str, Heard] = {}
    for h in heard:
        distinct.setdefault(normalise(h.utterance.text), h)
    distinct.pop("", None)
    intents: dict[tuple[str, str, str], list[Heard]] = defaultdict(list)
    for h in distinct.values():
        intents[h.label].append(h)
    for members in intents.values():
        members.sort(key=lambda h: (stable_hash("test", h.utterance.group or h.utterance.id), h.utterance.id))
    targets, parts, spare = [], {use: [] for use in USES}, set()
    chosen = set(choose(intents, cut))
    for label, members in intents.items():
        if label in chosen:
            least, most = cut.test
            n = min(most, max(least, len(members) - cut.others - 2 * cut.reserve))
            test = members[:n]
            groups = {h.utterance.group for h in test if h.utterance.group}
            members = [h for h in members[n:] if h.utterance.group not in groups]
            spare |= {normalise(h.utterance.text) for h in members[cut.others + cut.reserve + cut.hidden[1] :]}
            rest = [h.utterance for h in members[cut.others : cut.others + cut.reserve + cut.hidden[1]]]
            targets.append(Target(label, members[0].topics, tuple(h.utterance for h in test), tuple(rest)))
        if len(members) < cut.others:
            continue
        ends = np.cumsum([0, cut.mature, cut.development, cut.background])
        for use, start, end in zip(USES, ends[:-1], ends[1:], strict=True):
            parts[use] += members[start:end]
    tests = [u.text for t in targets for u in t.test] + [h.utterance.text for h in parts["background"]]
    out = spare | {normalise(h.utterance.text) for part in parts.values() for h in part}
    own = {normalise(u.text) for t in targets for u in t.rest}
    texts = [t for t in pool_of(tests) if normalise(t) not in out]
    texts.sort(key=lambda t: (normalise(t) not in own, stable_hash("pool", t)))
    pool = sorted(texts[: cut.pool], key=lambda t: stable_hash("order", t))
    return Data({t.name: t for t in sorted(targets, key=lambda t: t.name)}, parts, pool)
