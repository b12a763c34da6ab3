"""Measures the benchmark: the book's models on all training data of SNIPS, in the split that papers report.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Data*: the corpus ``snips_iob`` (Goo et al., 2018), its training, dev and test splits as they are. Quick: one draw of
  the embedded corpus ``assistant-en``, to show the machinery.
- *Settings*: chosen on the dev split, by equally many trials for chapter 1's network and for chapter 3's
  (:mod:`slubook.ch3_elmol.tuning`; ``results/benchmark_tuning.json``); MaxEnt-CRF chooses its
  regularisation at each fit. Dev also chooses a network's epoch, as in most papers. The language model is trained for
  as long as chapter 3's longest. Early prototypes, other code than this, were judged on the test split; nothing here
  was chosen by them.
- *Seeds*: five for networks, which start and shuffle by them. MaxEnt-CRF has nothing random, so its rows are equal.
- *Vectors*: FastText on the pool of public requests, without every text that equals or nearly equals one of the test or
  dev split, apostrophes aside, which the split writes as spaces. Nothing is learned from text of elsewhere.
- *ELMoL*: a language model of one layer that reads the very same requests. Chapter 3's network reads it beside words of
  its own that start at random, without other annotated data; when it learns (:mod:`slubook.ch3_elmol.unfreezing`) is
  tuned as well. ``fasttext_pool`` is that network over FastText, scaled alike, so that the two differ in the embedding
  and in nothing else.
- *Judged by*: intent accuracy, slot F1 by exact span and type, and sentences without any mistake, each one minus an
  error rate of the book; beside them the parameters of the network and of its pretrained input, seconds, and
  bytes.

A model joins by an entry in the table of experiments and in :data:`MODELS`, and a field of :class:`BenchmarkSettings`
for what is tuned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Self

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.pool import SOURCES, build_pool
from slubook.ch1_skills.protocol import QUICK_SOURCES
from slubook.ch1_skills.skillsets import Skill, fingerprint, skills_of, test_of
from slubook.ch1_skills.tables import kept_table
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.bilm_training import BiLMTraining, kept_bilm
from slubook.ch3_elmol.contextual import Embedding, WordVectors
from slubook.ch3_elmol.contextual_training import ContextDNN, ContextStart
from slubook.ch3_elmol.embeddings import SMALL, SMALL_EPOCHS, Read, load_embedding, told
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora.registry import load
from slubook.corpora.utterance import Utterance
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.runner import Work
from slubook.experiments.tuning import Changes, changed

#: What the pretrained input of a model is, for the page.
INPUTS = dict.fromkeys(("dnn_pool", "fasttext_pool"), "vectors of requests") | {"elmol": "language model of requests"}
CORPUS, QUICK_CORPUS = "snips_iob", "assistant-en"
#: Epochs of FastText, by profile: in full, the best of those tried for chapter 3 on dev sets there.
EPOCHS = {"full": 45, "quick": SMALL_EPOCHS}
#: Training utterances and updates of a network in the quick profile.
QUICK_SIZE, QUICK_UPDATES = 1500, 400

#: Wider and trained longer than the chapters' network, and without n-grams beside the intent: tens of thousands occur.
#: Tuning started from it.
START = DNNConfig(
    NetworkConfig(project=128, char_filters=48, hidden=128, dropout=0.3, word_dropout=0.25, ngram_order=0),
    TrainingConfig(rate=3e-3, batch=32, updates=3271, evaluations=8),
)


@dataclass(frozen=True)
class ContextConfig(DNNConfig):
    """Chapter 3's network, its training, and when the embedding may learn."""

    unfreezing: UnfreezingConfig = field(default_factory=UnfreezingConfig)

    @classmethod
    def of(cls, config: DNNConfig) -> Self:
        """Returns the same sizes and training, with three layers: a common one, and one a task."""
        return cls(replace(config.network, layers=3), config.training)

    def over(self, embedding: Embedding) -> ContextDNN:
        """Returns the network over an embedding."""
        return ContextDNN(config=self, start=ContextStart(embedding, self.unfreezing))


#: What tuning chose (:mod:`slubook.ch3_elmol.tuning`), where it differs from the start.
CHOSEN: dict[str, Changes] = {
    "dnn_pool": {},
    "elmol": {
        "training.updates": 8178,
        "training.evaluations": 20,
        "training.average": 0.995,
        "network.dropout": 0.5,
        "network.word_dropout": 0.5,
        "network.ngram_order": 1,
    },
}


@dataclass(frozen=True)
class BenchmarkSettings:
    """What was chosen on dev."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=lambda: changed(START, CHOSEN["dnn_pool"]))
    contextual: ContextConfig = field(default_factory=lambda: changed(ContextConfig.of(START), CHOSEN["elmol"]))
    bilm: BiLMTraining = field(default_factory=lambda: BiLMTraining(epochs=15))

    def brief(self) -> Self:
        """Returns the same models, soon trained: fewer updates, one regularisation of each kind, a small biLM."""
        linear = replace(self.maxent, inverse_l2=self.maxent.inverse_l2[:1], l1_l2=self.maxent.l1_l2[:1])
        dnn, contextual = (
            replace(made, training=replace(made.training, updates=QUICK_UPDATES))
            for made in (self.dnn, self.contextual)
        )
        return replace(self, maxent=linear, dnn=dnn, contextual=contextual, bilm=replace(SMALL, epochs=1))


#: Makes each model from the settings, the vectors and the language model of the pool.
MODELS: Mapping[str, Callable[[BenchmarkSettings, WordVectors, BiLM], MaxEntCRF | DNN]] = {
    "maxent_crf": lambda settings, vectors, reader: MaxEntCRF(settings.maxent),
    "dnn_scratch": lambda settings, vectors, reader: DNN(None, settings.dnn),
    "dnn_pool": lambda settings, vectors, reader: DNN(vectors.table, settings.dnn),
    "fasttext_pool": lambda settings, vectors, reader: settings.contextual.over(vectors),
    "elmol": lambda settings, vectors, reader: settings.contextual.over(reader),
}


class PoolInputs(NamedTuple):
    """Where the word vectors and the language model of the pool are kept, both by one name."""

    vectors: Read
    reader: Read

    def load(self) -> tuple[WordVectors, BiLM]:
        """Reads both, once in each worker; errors as ``Artefacts.named`` has them."""
        return load_embedding(self.vectors), load_embedding(self.reader)

    def stamps(self) -> dict[str, str]:
        """Returns hashes of the values in both, by name, for :class:`slubook.experiments.cells.Measured`."""
        vectors, reader = self.load()
        return {self.vectors.name: vectors.table.stamp, f"language model {self.reader.name}": reader.stamp}

    def data(self) -> dict[str, str]:
        """Returns hashes of what both were trained from."""
        vectors, reader = self
        return {f"vectors {vectors.name}": vectors.made, f"language model {reader.name}": reader.made}


@dataclass(frozen=True)
class BenchmarkPlan:
    """What a run consists of.

    Attributes:
        whole: the data as a skill, whose pool training and dev utterances are from.
        train: the training split.
        dev: the dev split.
        inputs: what was learned from the pool.
        tables: for the results: how many requests the pool read and kept, and what the language model has read.
    """

    whole: Skill
    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    inputs: PoolInputs
    tables: Mapping[str, Mapping[str, Any]]

    def data(self) -> dict[str, str]:
        """Returns hashes of the split, and of what vectors and language model were trained from."""
        return {self.whole.name: fingerprint(self.whole)} | self.inputs.data()


def plan(profile: str, bilm: BiLMTraining, device: str = "cpu") -> BenchmarkPlan:
    """Splits the data, and trains the vectors and the language model if need be.

    Args:
        profile: ``quick`` or ``full``.
        bilm: settings of the language model.
        device: on which it is trained, ``"cpu"`` or ``"cuda"``.

    Raises:
        CorpusError: when a corpus is missing.
    """
    if profile == "full":
        utterances, sources = load(CORPUS), SOURCES
        train, dev, test = ([u for u in utterances if u.split == split] for split in ("train", "dev", "test"))
        whole = Skill(CORPUS, CORPUS, ("snips",), tuple(test), (*train, *dev))
    else:
        [whole], sources = skills_of(QUICK_CORPUS, load(QUICK_CORPUS)), QUICK_SOURCES
        train, dev = whole.draw(QUICK_SIZE, 0)
    unknown = [u.text for u in (*dev, *whole.test)]
    pool = build_pool(sources, unknown).unlike(unknown)
    name, sentences, measured = f"benchmark-{profile}", pool.sentences(), pool.measured()
    table = kept_table(name, sentences, train_fasttext, FastTextConfig(epochs=EPOCHS[profile]))
    reader = kept_bilm(name, sentences, bilm, measured, device).reader
    inputs = PoolInputs(Read.of_table("pool", table, measured), Read.of_model("elmol", name, reader))
    return BenchmarkPlan(whole, train, dev, inputs, {"pool": dict(pool.counts), "language_model": told(reader)})


def settings_of(kind: str) -> BenchmarkSettings:
    """Returns what was chosen on dev; the quick profile trains briefly."""
    return BenchmarkSettings().brief() if kind == "quick" else BenchmarkSettings()


def config_of(kind: str, settings: BenchmarkSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": kind, "methods": list(MODELS), **asdict(settings)}


def prepare(options: Options, settings: BenchmarkSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    made = plan(options.profile, settings.bilm, options.device)
    whole, size = made.whole, len(made.train)

    def task(key: Key) -> Task:
        return measure_cell, (Cell(whole.name, size, key[2], made.train, made.dev, whole.test), made.inputs, settings)

    keys = [(whole.name, size, seed) for seed in range(options.draws)]
    return Work(keys, task, {whole.name: test_of(whole)}, made.data(), lambda rows, known: {**made.tables})


def measure_cell(cell: Cell, inputs: PoolInputs, settings: BenchmarkSettings) -> Measured:
    """Measures one cell, in a worker: every model with one seed."""
    bench, pretrained = Bench(cell), inputs.load()
    for method, make in MODELS.items():
        start = time.perf_counter()
        model = make(settings, *pretrained).fit(*cell.draw)
        spent = time.perf_counter() - start
        own, read = model.parameters()
        bench.judge(method, model, spent, parameters=own, **{"beneath": read})
    return Measured(bench.rows, inputs.stamps())
