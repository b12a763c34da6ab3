"""Trains what chapter 3 compares: embeddings of the same requests, and networks pretrained over each of them.

Each is trained once and kept in the cache, by name; cells read it there. Taught in chapter 3, *The protocol*.
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
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig, LanguageModel, perplexity
from slubook.ch3_elmol.bilm_training import LANGUAGE_MODELS, BiLMTraining, kept_bilm
from slubook.ch3_elmol.contextual import Embedding, WordVectors, match_norm
from slubook.ch3_elmol.contextual_training import ContextPretrained, kept_contextual, networks_over
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora import general
from slubook.corpora.download import fetch
from slubook.corpora.utterance import words
from slubook.profiles import stable_hash

#: Sentences of general English for perplexity.
GENERAL_SENTENCES = 1000


@dataclass(frozen=True)
class BiLMKind:
    """A kind of language model.

    Attributes:
        layers: LSTM layers.
        share: of the pool, that it is trained on.
        light: with five twelfths of the states, half of the filters over one to three characters, and none over more.
        times: lengths of training that are tried, multiples of the usual one; the least perplexity on held-out requests
            wins. A small share gives few updates in the usual time. Only the full run tries several.
        seed: of its training, and of that of the networks over it in stage one.
    """

    layers: int = 1
    share: float = 1.0
    light: bool = False
    times: tuple[int, ...] = (1,)
    seed: int = 0

    def sizes(self, usual: BiLMConfig) -> BiLMConfig:
        """Returns its sizes; a light one has vectors of the usual width."""
        made = replace(usual, layers=self.layers)
        if not self.light:
            return made
        filters = tuple((window, max(1, n // 2)) for window, n in usual.filters if window <= 3)
        return replace(made, hidden=max(1, 5 * usual.hidden // 12), filters=filters)


#: The language models.
MODELS = {
    "elmol": BiLMKind(times=(1, 3)),
    "elmo": BiLMKind(layers=2, times=(1, 3)),
    "elmol_light": BiLMKind(light=True, times=(3,)),
    "elmol10": BiLMKind(share=0.1, times=(1, 3, 9)),
    "elmol1": BiLMKind(share=0.01, times=(1, 4, 12, 36)),
    "elmol_again": BiLMKind(times=(3,), seed=1),
}
#: A language model that the embedded corpora can train in half a minute.
SMALL = BiLMTraining(BiLMConfig(char_dim=12, filters=((1, 16), (2, 32), (3, 48)), width=64, hidden=64), epochs=2)
#: Epochs of FastText on as little text: after the usual five, the vectors of all words are still almost equal.
SMALL_EPOCHS = 15
#: FastText tables: of general English, and of the pool.
TABLES = ("general", "pool")
#: For each variant of pretraining, the kind of its embedding and its schedule.
Schedules = Mapping[str, tuple[str, UnfreezingConfig]]


class Read(NamedTuple):
    """An embedding in the cache.

    Attributes:
        kind: one of :data:`MODELS` or :data:`TABLES`.
        name: in the cache.
        scale: a factor on its vectors as they are kept; those of language models are kept at their norm.
        key: a hash of what it was made from, the texts of its norm included.
        made: the key of what is kept.
    """

    kind: str
    name: str
    scale: float
    key: str
    made: str

    @classmethod
    def of_table(cls, kind: str, table: VectorTable, measured: Sequence[Sequence[str]]) -> Read:
        """Returns a table of words, scaled to the norm that all embeddings have on ``measured``."""
        vectors = WordVectors(table)
        match_norm(vectors, measured)
        return cls(kind, table.name, float(vectors.scale), text_key(measured, table.key), table.key)

    @classmethod
    def of_model(cls, kind: str, name: str, reader: BiLM) -> Read:
        """Returns a language model by the name under which it is kept."""
        return cls(kind, name, 1.0, reader.about["kept_key"], reader.about["kept_key"])

    def times(self, norm: float) -> Read:
        """Returns the same embedding with another norm, a multiple of its own."""
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
        full: whether this is the full run, which tries several lengths of training and also judges language models on
            general English.
    """

    prefix: str
    pool: Pool
    held_out: Sequence[str]
    bilm: BiLMTraining
    fasttext: Mapping[str, FastTextConfig]
    device: str = "cpu"
    full: bool = False

    def measured(self) -> list[list[str]]:
        """Returns the texts on which norms are measured, the same for all embeddings."""
        return self.pool.measured()

    def embedding(self, kind: str) -> tuple[Read, dict[str, Any]]:
        """Trains an embedding where the cache has none; returns where it is kept, and what pages say of it.

        Raises:
            KeptError, OSError, ValueError: as :func:`slubook.ch3_elmol.bilm_training.kept_bilm` does.
        """
        if kind in MODELS:
            return self._language_model(kind, MODELS[kind])
        config, counted = self.fasttext[kind], dict[str, Any]()
        if kind == "pool":
            said = self.pool.sentences()
            table = kept_table(f"{self.prefix}-pool-{config.epochs}", said, train_fasttext, config)
            counted = {"sentences": len(said), "tokens": sum(map(len, said)), "text": text_key(said, "text")}
        else:
            table = general_table(config)
        read = Read.of_table(kind, table, self.measured())
        return read, counted | {"words": len(table.index), "epochs": config.epochs, "scale": read.scale}

    def _language_model(self, kind: str, made: BiLMKind) -> tuple[Read, dict[str, Any]]:
        sentences, measured, tried = self.pool.part(made.share).sentences(), self.measured(), {}
        for times in made.times if self.full else (1,):
            name = f"{self.prefix}-{kind}-{times}"
            config = replace(self.bilm, model=made.sizes(self.bilm.model), epochs=times * self.bilm.epochs)
            model = kept_bilm(name, sentences, config, measured, self.device, seed=made.seed)
            tried[config.epochs] = name, model, self._perplexity(model)
        epochs = min(tried, key=lambda e: guessing(tried[e][2]))
        name, model, guessed = tried[epochs]
        counted = told(model.reader) | {"text": text_key(sentences, "text"), "scale": model.reader.scale.tolist()}
        counted |= {"epochs": epochs, "tried": {e: found for e, (_, _, found) in tried.items()}, "perplexity": guessed}
        counted["seconds"] = sum(model.reader.about["seconds"] for _, model, _ in tried.values())
        return Read.of_model(kind, name, model.reader), counted

    def _perplexity(self, model: LanguageModel) -> dict[str, dict[str, float]]:
        found = {"requests": perplexity(model, [words(t) for t in self.held_out])} if self.held_out else {}
        if self.full:
            found["general"] = perplexity(model, general_sentences())
        return found

    def embeddings(self, kinds: Sequence[str], jobs: int) -> tuple[dict[str, Read], dict[str, dict[str, Any]]]:
        """Trains all of ``kinds`` on ``jobs`` processes, as :meth:`embedding`; returns both answers by kind."""
        work = joblib.Parallel(min(jobs, len(kinds)), batch_size=1)
        found = work(joblib.delayed(self.embedding)(kind) for kind in kinds)
        reads, abouts = zip(*found, strict=True)
        return dict(zip(kinds, reads, strict=True)), dict(zip(kinds, abouts, strict=True))


def told(reader: BiLM) -> dict[str, Any]:
    """Returns what pages say of a language model: what it has read, for how long, and on which devices."""
    counted = {k: reader.about[k] for k in ("sentences", "tokens", "output_words", "updates", "seconds")}
    return counted | {"devices": reader.about.get("devices", ["not known"])}  # older ones do not tell


def guessing(perplexities: Mapping[str, Mapping[str, float]]) -> float:
    """Returns the mean log perplexity of both directions on held-out requests; zero where none were held out."""
    found = perplexities.get("requests")
    return math.log(found["forward"] * found["backward"]) / 2 if found else 0.0


def general_sentences() -> list[list[str]]:
    """Returns sentences of general English, drawn by hash."""
    every = [s for source in general.SOURCES for s in general.read(fetch(source), source)]
    return sorted(every, key=lambda s: (stable_hash("general", *s), s))[:GENERAL_SENTENCES]


def pretrain_all(
    sources: Sequence[PretrainingSource], reads: Mapping[str, Read], schedules: Schedules, jobs: int
) -> dict[str, dict[str, Any]]:
    """Pretrains a network on each source for each variant, and one without embedding, on ``jobs`` processes.

    Returns:
        What each network has seen, by its name.

    Raises:
        KeptError: when something that is kept is damaged, or another run has replaced an embedding meanwhile.
        OSError: when the cache cannot be written.
    """
    tasks = {source.name: joblib.delayed(source.about)() for source in sources}
    for variant, (kind, unfreezing) in schedules.items():
        for source in (replace(s, name=f"{s.name}-{variant}") for s in sources):
            tasks[source.name] = joblib.delayed(about_contextual)(source, reads[kind], unfreezing)
    return dict(zip(tasks, joblib.Parallel(min(jobs, len(tasks)), batch_size=1)(tasks.values()), strict=True))


def about_contextual(source: PretrainingSource, read: Read, unfreezing: UnfreezingConfig) -> dict[str, Any]:
    """Returns what a network over an embedding has seen; it is trained if need be, and kept in the cache."""
    embedding, seed = load_embedding(read), MODELS[read.kind].seed if read.kind in MODELS else 0
    domains, config = source.domains(), source.config
    network = kept_contextual(source.name, domains, embedding, read.key, config, unfreezing, seed)
    return network.about | {"left_out": sorted(source.left_out)}


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
