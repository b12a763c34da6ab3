"""Provides what networks for a user's own skill start from: word vectors, or a network pretrained on the book's skills.

Each is trained once and kept. What stands in the user's skill, nearly word for word, is left out of its training.
Taught in *Your own skill*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.pool import Pool, build_pool
from slubook.ch1_skills.tables import kept_table
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig, kept_pretrained, pretrained_folder
from slubook.ch2_transfer.source import EMBEDDED_SOURCE, SourceDomain, source_domains, source_key
from slubook.ch3_elmol.bilm import BiLM, LanguageModel
from slubook.ch3_elmol.bilm_training import bilm_folder, kept_bilm
from slubook.ch3_elmol.contextual_training import ContextPretrained, kept_contextual
from slubook.ch3_elmol.embeddings import MODELS, SMALL
from slubook.ch3_elmol.protocol import ElmolSettings
from slubook.corpora.dedupe import near_duplicates
from slubook.corpora.errors import CorpusError
from slubook.corpora.topics import topics_of
from slubook.experiments.kept import FACTS
from slubook.files import KeptError
from slubook.own.skill import OwnSkill
from slubook.profiles import cache_dir

#: Word vectors of a full run of chapter 1, best first, and what they are trained on where there are none.
TABLES = {
    "full-pool": "FastText of the public requests of chapter 1",
    "full-mlm": "a masked language model of the public requests of chapter 1",
    "full-general": "FastText of general English",
}
EMBEDDED = {"embedded": "FastText of the requests that come with this book"}
POOL_SOURCES = ("assistant-en", "skills")
#: The language models of a full run of chapter 3, the longest training first.
FULL_ELMOL = tuple(f"elmol-full-elmol-{times}" for times in reversed(MODELS["elmol"].times))
#: Stage one of transfer on the embedded corpora: as much as one core does in well under two minutes.
PRETRAINING = PretrainingConfig(updates=2000)
#: Stage one over ELMoL: with its language model, two minutes of one core. The latter is unfrozen as in chapter 3.
ELMOL_PRETRAINING = PretrainingConfig(updates=1000)
UNFREEZING = ElmolSettings().schedule("elmol", "slowly")
#: An embedded skill that has, nearly word for word, such a share of the user's utterances is the user's own skill.
SAME = 0.1


class PretrainedInput(NamedTuple):
    """What a network starts from.

    Attributes:
        model: word vectors, or a network over them, or a network over them and a language model.
        table: the folder of the word vectors.
        trained_on: what the model has learned from, for a sentence.
        choice: of the user: ``"auto"`` or a folder.
    """

    model: VectorTable | Pretrained | ContextPretrained
    table: Path
    trained_on: str
    choice: str = "auto"


def word_vectors(choice: str, skills: Sequence[OwnSkill]) -> PretrainedInput | None:
    """Returns word vectors for skills.

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
    if choice != "auto":
        try:
            return _with_words(VectorTable.load(Path(choice)), Path(choice), choice)
        except OSError as error:
            raise CorpusError(f"{choice}: holds no word vectors: use --vectors auto, or --vectors none") from error
    kept = cache_dir() / "vectors"
    with _in_the_cache("word vectors", "go without by --vectors none"):
        for folder in (kept / name for name in TABLES):
            if (folder / "meta.json").is_file():
                return _with_words(VectorTable.load(folder), folder)
        name, pool = embedded_pool(skills)
        return _with_words(kept_table(name, pool.sentences(), train_fasttext, FastTextConfig()), kept / name)


def pretrained_network(skills: Sequence[OwnSkill]) -> PretrainedInput:
    """Returns the network that transfer starts from: pretrained on the embedded corpora once, and kept.

    Args:
        skills: what will be learned; see :func:`embedded_source`.

    Raises:
        CorpusError: when nothing is left to learn from, or the cache cannot be used.
    """
    with _in_the_cache("pretrained network", "go without transfer"):
        name, domains = embedded_source(skills)
        network = kept_pretrained(name, domains, PRETRAINING)
        return PretrainedInput(network, pretrained_folder(name) / "table", _requests_of(network))


def elmol_network(choice: str, skills: Sequence[OwnSkill]) -> PretrainedInput:
    """Returns the network over ELMoL that a skill starts from: pretrained on the embedded corpora once, and kept.

    Args:
        choice: of the language model; see :func:`language_model`.
        skills: what will be learned; what nearly repeats it is left out of the source, as for transfer.

    Raises:
        CorpusError: when there is no language model in the folder, nothing is left to learn from, or the cache cannot
            be used.
    """
    with _in_the_cache("ELMoL", "leave it out"):
        reader, read = language_model(choice, skills)
        source, domains = embedded_source(skills)
        name = f"{source}-elmol-{reader.stamp}"
        network = kept_contextual(name, domains, reader, reader.stamp, ELMOL_PRETRAINING, UNFREEZING)
    table = pretrained_folder(name) / "base" / "table"
    return PretrainedInput(network, table, f"{read}; and on {_requests_of(network.base)}", choice)


def language_model(choice: str, skills: Sequence[OwnSkill]) -> tuple[BiLM, str]:
    """Returns a language model, and what it was trained on, in words.

    Args:
        choice: the folder of one, or ``"auto"``: that of a full run of chapter 3 where the cache has it, else a small
            one of the embedded pool, trained once and kept. That pool leaves out what stands in the skills; a model of
            a full run may have read it, without labels, when it is public.
        skills: what will be learned.

    Raises:
        CorpusError: when there is none in the folder, or one that cannot be read.
    """
    if choice != "auto":
        reader = users_language_model(choice).reader
        without = reader.about.get("without")
        known = f"trained without {', '.join(without)}" if without else "which may have read the skill's requests"
        return reader, f"the language model in {choice} ({known})"
    for folder in map(bilm_folder, FULL_ELMOL):
        if (folder / "reader" / FACTS).is_file():
            return LanguageModel.load(folder).reader, "a language model of the public requests of chapter 3"
    name, pool = embedded_pool(skills)
    reader = kept_bilm(name, pool.sentences(), SMALL, pool.measured()).reader
    return reader, f"a language model of the requests that come with this book{_except_yours(name)}"


def users_language_model(folder: str) -> LanguageModel:
    """Opens the language model in a folder of the user's.

    Raises:
        CorpusError: when there is none, or one that cannot be read.
    """
    try:
        return LanguageModel.load(Path(folder))
    except (OSError, ValueError) as error:
        raise CorpusError(f"ELMoL: {error}") from error


def embedded_pool(skills: Sequence[OwnSkill]) -> tuple[str, Pool]:
    """Returns the embedded requests that nearly repeat none of the skills', after a name for what they train."""
    pool = build_pool(POOL_SOURCES, [u.text for s in skills for u in s.utterances])
    overlaps = pool.counts["left"] < pool.counts["distinct"]
    return f"embedded-without-{skills[0].key}" if overlaps else "embedded", pool


def embedded_source(skills: Sequence[OwnSkill]) -> tuple[str, list[SourceDomain]]:
    """Returns the annotated domains of the embedded corpora that skills may learn from, after a name for them.

    Near-duplicates of the skills' utterances are left out, and so is every topic of an embedded skill that is one of
    ``skills`` itself.
    """
    everything, topics = source_domains(EMBEDDED_SOURCE), set()
    for texts in ([u.text for u in skill.utterances] for skill in skills):
        same = [d for d in everything if near_duplicates(texts, [u.text for u in d.utterances]).mean() >= SAME]
        topics |= {topic for d in same for u in d.utterances for topic in topics_of(u, d.name.split("/")[0])}
    domains = source_domains(EMBEDDED_SOURCE, topics, [u.text for s in skills for u in s.utterances])
    return "embedded" if domains == everything else f"embedded-without-{source_key(domains)[:16]}", domains


def _with_words(table: VectorTable, folder: Path, choice: str = "auto") -> PretrainedInput:
    known = (TABLES | EMBEDDED).get(table.name.partition("-without-")[0])
    trained_on = known + _except_yours(table.name) if known else f"the table {table.name!r}"
    return PretrainedInput(table, folder, trained_on, choice)


def _requests_of(network: Pretrained) -> str:
    seen, without = network.about, _except_yours(network.table.name)
    return f"{seen['utterances']:,} requests of {seen['domains']} domains that come with this book{without}"


def _except_yours(name: str) -> str:
    return ", without those that are also yours" if "-without-" in name else ""


@contextmanager
def _in_the_cache(what: str, or_else: str) -> Iterator[None]:
    """Turns errors of the cache into one that says what to do."""
    try:
        yield
    except (CorpusError, KeptError):
        raise
    except (OSError, ValueError) as error:
        writable = "set SLUBOOK_CACHE to a folder that can be written"
        raise CorpusError(f"{what}: {error}: {writable}, or {or_else}") from error
