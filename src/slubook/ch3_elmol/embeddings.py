"""What chapter 3's experiment compares: embeddings of the same requests, and networks pretrained over each of them.

Embeddings and networks are trained once and kept in the cache, by name; cells read them there. Taught in chapter 3,
*The protocol*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import joblib
import torch

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.pool import Pool
from slubook.ch1_skills.skill_vectors import general_table
from slubook.ch1_skills.tables import VECTORS, kept_table, text_key
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.plan import Kept, PretrainingSource
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.bilm_training import LANGUAGE_MODELS, BiLMTraining, kept_bilm
from slubook.ch3_elmol.context_pretrained import ContextPretrained
from slubook.ch3_elmol.contextual import Embedding, WordVectors, match_norm
from slubook.ch3_elmol.contextual_pretraining import kept_contextual, networks_over
from slubook.ch3_elmol.language_model import LanguageModel
from slubook.ch3_elmol.perplexity import perplexity
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora import general
from slubook.corpora.download import fetch
from slubook.corpora.utterance import words
from slubook.profiles import stable_hash

#: Sentences of general English for perplexity.
GENERAL_SENTENCES = 1000


@dataclass(frozen=True)
class Model:
    """A language model.

    Attributes:
        layers: LSTM layers.
        share: of the pool, that it is trained on.
        light: with five twelfths of the states, half of the filters over one to three letters, and none over more.
        times: lengths of training that are tried, multiples of the usual; the least perplexity on held-out requests
            wins. A small share gives few updates in the usual time. Other runs than the full one take the usual.
        seed: of its training, and of that of the networks over it in stage one.
    """

    layers: int = 1
    share: float = 1.0
    light: bool = False
    times: tuple[int, ...] = (1,)
    seed: int = 0

    def sizes(self, usual: BiLMConfig) -> BiLMConfig:
        """Its sizes; a light one has vectors of the usual width."""
        made = replace(usual, layers=self.layers)
        if not self.light:
            return made
        filters = tuple((window, max(1, n // 2)) for window, n in usual.filters if window <= 3)
        return replace(made, hidden=max(1, 5 * usual.hidden // 12), filters=filters)


#: The language models.
MODELS = {
    "elmol": Model(times=(1, 3)),
    "elmo": Model(layers=2, times=(1, 3)),
    "elmol_light": Model(light=True, times=(3,)),
    "elmol10": Model(share=0.1, times=(1, 3, 9)),
    "elmol1": Model(share=0.01, times=(1, 4, 12, 36)),
    "elmol_again": Model(times=(3,), seed=1),
}
#: A language model that the embedded corpora can train in half a minute.
SMALL = BiLMTraining(BiLMConfig(char_dim=12, filters=((1, 16), (2, 32), (3, 48)), width=64, hidden=64), epochs=2)
#: Epochs of FastText on as little text: after the usual five, the vectors of all words are still almost equal.
SMALL_EPOCHS = 15
#: FastText tables: of general English, and of the pool.
TABLES = ("general", "pool")


class Read(NamedTuple):
    """An embedding in the cache: one of :data:`MODELS` or :data:`TABLES`, its name there, its scale, its origin.

    The scale is a factor on its vectors as they are kept; those of language models are kept at their norm. ``made`` is
    the key of what lies there: of a table of words, the origin has the texts of its norm as well.
    """

    kind: str
    name: str
    scale: float
    key: str
    made: str

    @classmethod
    def of_table(cls, kind: str, table: VectorTable, measured: Sequence[Sequence[str]]) -> Read:
        """A table of words, scaled to the norm that all have on ``measured``."""
        vectors = WordVectors(table)
        match_norm(vectors, measured)
        return cls(kind, table.name, float(vectors.scale), text_key(measured, table.key), table.key)

    @classmethod
    def of_model(cls, kind: str, name: str, reader: BiLM) -> Read:
        """A language model by the name under which it is kept."""
        return cls(kind, name, 1.0, reader.about["kept_key"], reader.about["kept_key"])

    def times(self, norm: float) -> Read:
        """The same embedding with another norm, as a multiple of its own."""
        return self._replace(scale=norm * self.scale, key=f"{self.key}, norm {norm:g}")


@dataclass(frozen=True)
class Texts:
    """What embeddings are trained on.

    Attributes:
        prefix: of their names in the cache.
        pool: unlabelled requests, without tests and without what is held out.
        held_out: requests for perplexity.
        bilm: settings of the language models; the number of layers is set for each.
        fasttext: settings of each of :data:`TABLES` that is used.
        device: on which language models are trained, ``"cpu"`` or ``"cuda"``.
        full: whether this is the full run: language models are tried at their several lengths of training, and judged
            on general English, too.
    """

    prefix: str
    pool: Pool
    held_out: Sequence[str]
    bilm: BiLMTraining
    fasttext: Mapping[str, FastTextConfig]
    device: str = "cpu"
    full: bool = False

    def measured(self) -> list[list[str]]:
        """The texts on which norms are measured, the same for all embeddings."""
        return self.pool.measured()

    def embedding(self, kind: str) -> tuple[Read, dict[str, Any]]:
        """Train an embedding where the cache has none; where it lies, and what pages say of it.

        Raises:
            KeptError: when the one that is kept is damaged.
            OSError: when the cache cannot be written.
            ValueError: when there is too little text.
        """
        measured = self.measured()
        if kind in MODELS:
            return self._language_model(kind, MODELS[kind], measured)
        config = self.fasttext[kind]
        counted: dict[str, Any] = {}
        if kind == "pool":
            said = self.pool.sentences()
            table = kept_table(f"{self.prefix}-pool-{config.epochs}", said, train_fasttext, config)
            counted = {"sentences": len(said), "tokens": sum(map(len, said)), "text": text_key(said, "text")}
        else:
            table = general_table(config)
        read = Read.of_table(kind, table, measured)
        return read, counted | {"words": len(table.index), "epochs": config.epochs, "scale": read.scale}

    def _language_model(self, kind: str, made: Model, measured: Sequence[Sequence[str]]) -> tuple[Read, dict[str, Any]]:
        sentences, tried = self.pool.part(made.share).sentences(), {}
        for times in made.times if self.full else (1,):
            name = f"{self.prefix}-{kind}-{times}"
            config = replace(self.bilm, model=made.sizes(self.bilm.model), epochs=times * self.bilm.epochs)
            model = kept_bilm(name, sentences, config, measured, self.device, seed=made.seed)
            tried[config.epochs] = name, model, self._perplexity(model)
        epochs = min(tried, key=lambda e: guessing(tried[e][2]))
        name, model, told = tried[epochs]
        about = model.reader.about
        counted = {k: about[k] for k in ("sentences", "tokens", "output_words", "updates", "seconds")}
        counted["devices"] = about.get("devices", ["not known"])  # older ones do not tell
        counted |= {"text": text_key(sentences, "text"), "scale": model.reader.scale.tolist()}
        counted |= {"epochs": epochs, "tried": {e: found for e, (_, _, found) in tried.items()}, "perplexity": told}
        counted["seconds"] = sum(model.reader.about["seconds"] for _, model, _ in tried.values())
        return Read.of_model(kind, name, model.reader), counted

    def _perplexity(self, model: LanguageModel) -> dict[str, dict[str, float]]:
        found = {"requests": perplexity(model, [words(t) for t in self.held_out])} if self.held_out else {}
        if self.full:
            found["general"] = perplexity(model, general_sentences())
        return found

    def embeddings(self, kinds: Sequence[str], jobs: int) -> tuple[dict[str, Read], dict[str, dict[str, Any]]]:
        """All of ``kinds``, on ``jobs`` processes: where each lies, and what pages say of it; as :meth:`embedding`."""
        work = joblib.Parallel(min(jobs, len(kinds)), batch_size=1)
        found = work(joblib.delayed(self.embedding)(kind) for kind in kinds)
        reads, abouts = zip(*found, strict=True)
        return dict(zip(kinds, reads, strict=True)), dict(zip(kinds, abouts, strict=True))


def guessing(told: Mapping[str, Mapping[str, float]]) -> float:
    """The mean log perplexity of both directions on held-out requests; zero where none were held out."""
    found = told.get("requests")
    return math.log(found["forward"] * found["backward"]) / 2 if found else 0.0


def general_sentences() -> list[list[str]]:
    """Sentences of general English, drawn by hash."""
    every = [s for source in general.SOURCES for s in general.read(fetch(source), source)]
    return sorted(every, key=lambda s: (stable_hash("general", *s), s))[:GENERAL_SENTENCES]


@dataclass(frozen=True)
class ContextSource:
    """What one network over an embedding is pretrained on, and when the embedding may learn meanwhile."""

    source: PretrainingSource
    read: Read
    unfreezing: UnfreezingConfig

    def about(self) -> dict[str, Any]:
        """What the network has seen; it is trained if need be, and kept in the cache."""
        s, seed = self.source, MODELS[self.read.kind].seed if self.read.kind in MODELS else 0
        embedding = load_embedding(self.read)
        about = kept_contextual(s.name, s.domains(), embedding, self.read.key, s.config, self.unfreezing, seed).about
        return about | {"left_out": sorted(s.left_out)}


def pretrain_all(
    sources: Sequence[PretrainingSource],
    reads: Mapping[str, Read],
    schedules: Mapping[str, tuple[str, UnfreezingConfig]],
    jobs: int,
) -> dict[str, dict[str, Any]]:
    """Pretrain a network on each source for each variant, and one without embedding; what each has seen, by name.

    Args:
        sources: one a group of skills.
        reads: the embeddings by kind.
        schedules: for each variant, the kind of its embedding and the schedule of pretraining.
        jobs: processes.

    Raises:
        KeptError: when something that is kept is damaged, or another run has replaced an embedding meanwhile.
        OSError: when the cache cannot be written.
    """
    every: list[PretrainingSource | ContextSource] = list(sources)
    for variant, (kind, unfreezing) in schedules.items():
        named = [replace(source, name=f"{source.name}-{variant}") for source in sources]
        every += [ContextSource(source, reads[kind], unfreezing) for source in named]
    found = joblib.Parallel(min(jobs, len(every)), batch_size=1)(joblib.delayed(s.about)() for s in every)
    names = [s.name if isinstance(s, PretrainingSource) else s.source.name for s in every]
    return dict(zip(names, found, strict=True))


@cache
def load_embedding(read: Read) -> Embedding:
    """Reads an embedding of the plan, once in each worker; errors as ``Artefacts.named`` has them."""
    if read.kind in MODELS:
        reader = LANGUAGE_MODELS.named(read.name, read.made).reader
        reader.scale *= read.scale
        return reader
    vectors = WordVectors(VECTORS.named(read.name, read.made))
    vectors.scale = torch.tensor([read.scale])
    return vectors


@cache
def load_contextual(kept: Kept, read: Read) -> ContextPretrained:
    """Reads a pretrained network of the plan, once in each worker; errors as ``Artefacts.named`` has them."""
    return networks_over(load_embedding(read)).named(*kept)


class Beneath(NamedTuple):
    """What was learned from a pool of requests: word vectors, the same as an embedding, and a language model."""

    table: VectorTable
    vectors: WordVectors
    reader: BiLM

    def stamps(self) -> dict[str, str]:
        """Returns hashes of the numbers in both, by name, for :class:`slubook.experiments.workers.Measured`."""
        return {self.table.name: self.table.stamp, f"language model {self.table.name}": self.reader.stamp}


class Places(NamedTuple):
    """Where the word vectors and the language model of the benchmark are kept; each worker reads them once."""

    vectors: Read
    reader: Read

    def load(self) -> Beneath:
        """Reads both; errors as ``Artefacts.named`` has them."""
        vectors = load_embedding(self.vectors)
        return Beneath(vectors.table, vectors, load_embedding(self.reader))
