"""The user's own skill: what can be learned from it, what must stay together, and what its networks stand on.

Taught in *Your own skill*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.pool import Pool, build_pool
from slubook.ch1_skills.skillsets import labels
from slubook.ch1_skills.tables import kept_table
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig, kept_pretrained, pretrained_folder
from slubook.ch2_transfer.source import EMBEDDED_SOURCE, SourceDomain, source_domains, source_key
from slubook.corpora import ask
from slubook.corpora.dedupe import near_duplicates, normalise
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.topics import topics_of
from slubook.corpora.utterance import Utterance
from slubook.files import KeptError
from slubook.profiles import cache_dir

#: Tables of a full run of chapter 1, best first.
TABLES = ("full-pool", "full-mlm", "full-general")
#: What a table is trained on where there is none.
POOL_SOURCES = ("assistant-en", "skills")
#: Stage one of transfer on the embedded corpora: as much as one core does in well under two minutes.
PRETRAINING = PretrainingConfig(updates=2000)
#: An embedded skill that has, nearly word for word, such a share of the user's utterances is the user's own skill.
SAME = 0.1
#: Parts that a skill is cut into, if it is large enough.
FOLDS = 5
_PLAIN = {
    "full-pool": "FastText of the public requests of chapter 1",
    "full-mlm": "a masked language model of the public requests of chapter 1",
    "full-general": "FastText of general English",
    "embedded": "FastText of the requests that come with this book",
}


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
        """A hash of everything that is learned from."""
        digest = hashlib.sha256()
        for u in self.utterances:
            digest.update(repr((u.text, u.intent, u.slots)).encode())
        return digest.hexdigest()[:16]


def read(path: Path, as_one: bool = False) -> list[OwnSkill]:
    """The skills of an ASK interaction model (``.json``, one skill) or of a JSONL corpus (each domain a skill).

    Args:
        path: the file.
        as_one: take all domains of a JSONL corpus for one skill.

    Raises:
        CorpusError: listing everything that is wrong with the file.
    """
    utterances = load(path)
    if path.suffix == ".json":
        return [_of_model(ask.read(path), utterances, path)]
    domains: dict[str, dict[str, Utterance]] = {}
    for u in utterances:
        domains.setdefault(path.stem if as_one else u.domain, {}).setdefault(normalise(u.text) or u.text, u)
    return [
        OwnSkill(
            name, tuple(kept.values()), tuple(u.group or u.id for u in kept.values()), tuple(range(len(kept))), path
        )
        for name, kept in sorted(domains.items())
    ]


def _of_model(model: ask.Model, utterances: Sequence[Utterance], path: Path) -> OwnSkill:
    """Samples that differ only in case, digits or punctuation are one group."""
    samples = {f"{model.name}/{i.name}/{n}": normalise(s) or s for i in model.intents for n, s in enumerate(i.samples)}
    groups = tuple(samples[u.group] for u in utterances)
    first = {group: i for i, group in reversed(list(enumerate(groups)))}
    return OwnSkill(model.name, tuple(utterances), groups, tuple(sorted(first.values())), path, model.left_out)


def folds_for(skills: Sequence[OwnSkill]) -> int:
    """How many folds the smallest of the skills allows, :data:`FOLDS` at the most and two at the least."""
    return max(2, min(FOLDS, *(len(set(skill.groups)) // 2 for skill in skills)))


def check(skill: OwnSkill, folds: int) -> None:
    """Whether the skill can be learned and judged at all.

    Raises:
        CorpusError: when there is nothing to tell apart, or too little for so many folds.
    """
    path = skill.path
    if len(labels(skill.utterances)) < 2:
        raise CorpusError(
            f"{path}: skill {skill.name!r} has one intent ({skill.utterances[0].intent!r}) and no slots, so there is "
            "nothing to learn: add utterances of another intent, or mark slots"
        )
    groups = len(set(skill.groups))
    if groups < 2 * folds:
        what = "samples" if path.suffix == ".json" else "utterances or dialogues"
        fewer = f", or use --folds {groups // 2}" if groups >= 4 else ""
        raise CorpusError(
            f"{path}: skill {skill.name!r} has {groups} different {what}, and {folds} folds need {2 * folds}: "
            f"add some{fewer}"
        )


class Vectors(NamedTuple):
    """A generic table and where it lies."""

    table: VectorTable
    folder: Path

    def in_words(self) -> str:
        """What the table was learned from, for a sentence."""
        name, without, _ = self.table.name.partition("-without-")
        told = _PLAIN.get(name, f"the table {self.table.name!r}")
        return f"{told}, without those that are also yours" if without and name in _PLAIN else told


def vectors(choice: str, skills: Sequence[OwnSkill]) -> Vectors | None:
    """The generic table for the networks.

    Args:
        choice: ``"none"``, the folder of a table, or ``"auto"``: the best that a full run of chapter 1 has left
            in the cache, else FastText on the embedded pool, trained once and kept. That pool leaves out what
            stands in the skills; a table of a full run may have read it, without labels, when it is public.
        skills: what will be learned.

    Raises:
        CorpusError: when there is no table in the folder, or the cache cannot be written.
    """
    if choice == "none":
        return None
    kept = cache_dir() / "vectors"
    if choice != "auto":
        try:
            return Vectors(VectorTable.load(Path(choice)), Path(choice))
        except OSError as error:
            raise CorpusError(f"{choice}: holds no word vectors: use --vectors auto, or --vectors none") from error
    try:
        for folder in (kept / name for name in TABLES):
            if (folder / "meta.json").is_file():
                return Vectors(VectorTable.load(folder), folder)
        name, pool = embedded_pool(skills)
        return Vectors(kept_table(name, pool.sentences(), train_fasttext, FastTextConfig()), kept / name)
    except (CorpusError, KeptError):
        raise
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"word vectors: {error}: set SLUBOOK_CACHE to a folder that can be written, or go without by --vectors none"
        ) from error


def embedded_pool(skills: Sequence[OwnSkill]) -> tuple[str, Pool]:
    """The embedded requests that nearly repeat none of the skills', and a name for what is trained on them."""
    pool = build_pool(POOL_SOURCES, [u.text for s in skills for u in s.utterances])
    overlaps = pool.counts["left"] < pool.counts["distinct"]
    return f"embedded-without-{skills[0].key}" if overlaps else "embedded", pool


class Mature(NamedTuple):
    """A network pretrained on mature domains, and where its word table lies."""

    network: Pretrained
    folder: Path

    def in_words(self) -> str:
        """What the network was pretrained on, for a sentence."""
        seen = self.network.about
        without = ", without those that are also yours" if "-without-" in self.network.table.name else ""
        return f"{seen['utterances']:,} requests of {seen['domains']} domains that come with this book{without}"


def pretrained(skills: Sequence[OwnSkill]) -> Mature:
    """The network that transfer starts from: pretrained on the embedded corpora once, and kept.

    Args:
        skills: what will be learned; see :func:`embedded_source`.

    Raises:
        CorpusError: when nothing is left to learn from, or the cache cannot be used.
    """
    try:
        name, domains = embedded_source(skills)
        return Mature(kept_pretrained(name, domains, PRETRAINING), pretrained_folder(name) / "table")
    except (CorpusError, KeptError):
        raise
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"pretrained network: {error}: set SLUBOOK_CACHE to a folder that can be written, or go without transfer"
        ) from error


def embedded_source(skills: Sequence[OwnSkill]) -> tuple[str, list[SourceDomain]]:
    """The annotated domains of the embedded corpora that a skill may learn from, and a name for them.

    Near-duplicates of the skills' utterances are left out, and so is every topic of an embedded skill that is one of
    ``skills`` itself.
    """
    everything = source_domains(EMBEDDED_SOURCE)
    topics = {t for skill in skills for t in _topics_of_itself(skill, everything)}
    domains = source_domains(EMBEDDED_SOURCE, topics, [u.text for s in skills for u in s.utterances])
    return "embedded" if domains == everything else f"embedded-without-{source_key(domains)[:16]}", domains


def _topics_of_itself(skill: OwnSkill, domains: Iterable[SourceDomain]) -> set[str]:
    """The topics of the embedded skills that the skill is, or is a copy of."""
    texts = [u.text for u in skill.utterances]
    same = [d for d in domains if near_duplicates(texts, [u.text for u in d.utterances]).mean() >= SAME]
    return {t for d in same for u in d.utterances for t in topics_of(u, d.name.split("/")[0])}
