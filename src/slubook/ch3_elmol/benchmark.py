"""The benchmark: the book's models on all training data of SNIPS, in the split that papers report.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Data*: the corpus ``snips_iob`` (Goo et al., 2018), its training, dev and test splits as they are. Quick: one draw of
  the embedded corpus ``assistant-en``, to show the machinery.
- *Settings*: chosen on the dev split, by equal numbers of trials for chapter 1's network and for chapter 3's
  (:mod:`slubook.ch3_elmol.tuning`; ``results/benchmark_tuning.json``); MaxEnt-CRF chooses its
  regularisation at each fit. Dev also chooses a network's epoch, as in most papers. The language model is trained for
  as long as chapter 3's longest. Early prototypes, other code than this, were judged on the test split; nothing here
  was chosen by them.
- *Seeds*: five for networks, which start and shuffle by them. MaxEnt-CRF has nothing random, so its rows are equal.
- *Vectors*: FastText on the pool of public requests, without every text that equals or nearly equals one of the test or
  dev split, apostrophes aside, which the split writes as spaces. Nothing is learned from text of elsewhere.
- *ELMoL*: a language model of one layer that reads the very same requests. Chapter 3's network reads it beside words of
  its own that start at random, without other annotated data; when it learns (:mod:`slubook.ch3_elmol.unfreezing`) is
  tuned as well. ``fasttext_pool`` is that network over FastText, scaled alike, so that the two
  differ in the embedding and in nothing else.
- *Judged by*: intent accuracy, slot F1 by exact span and type, and sentences without any mistake, each one minus an
  error rate of the book; beside them the numbers in the network and beneath it, seconds, and bytes.

A model joins by an entry in the table of experiments and in :data:`MODELS`, and a field of :class:`Settings` for what
is tuned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, Self

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.pool import SOURCES, build_pool
from slubook.ch1_skills.protocol import QUICK_SOURCES
from slubook.ch1_skills.skillsets import Skill, fingerprint, skills_of, test_of
from slubook.ch1_skills.tables import kept_table
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.bilm_training import BiLMTraining, kept_bilm
from slubook.ch3_elmol.contextual import Embedding
from slubook.ch3_elmol.contextual_training import ContextDNN, ContextStart
from slubook.ch3_elmol.embeddings import SMALL, SMALL_EPOCHS, Beneath, Places, Read
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora.registry import load
from slubook.corpora.utterance import Utterance
from slubook.evaluation.model import NLUModel
from slubook.experiments.bench import Bench, Cell
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.runner import Work
from slubook.experiments.tuning import Changes, changed

#: What the pretrained input of a model is, for the page.
BENEATH = {"elmol": "language model of requests"} | dict.fromkeys(("dnn_pool", "fasttext_pool"), "vectors of requests")
CORPUS, QUICK_CORPUS = "snips_iob", "assistant-en"
#: Of FastText, by profile: in full, of the numbers tried for chapter 3, the one that was best on dev sets there.
EPOCHS = {"full": 45, "quick": SMALL_EPOCHS}
#: Training utterances and updates of a network in the quick profile.
QUICK_SIZE, QUICK_UPDATES = 1500, 400


class Counted(NLUModel, Protocol):
    """A model that tells how many numbers it consists of."""

    def parameters(self) -> tuple[int, int]:
        """Numbers in the network itself, and in the vectors or the language model beneath, learning on or not."""
        ...


#: Wider and trained longer than the chapters' network, and without n-grams beside the intent: tens of thousands occur.
#: Tuning started from it.
START = DNNConfig(
    NetworkConfig(project=128, char_filters=48, hidden=128, dropout=0.3, word_dropout=0.25, ngram_order=0),
    TrainingConfig(rate=3e-3, batch=32, updates=3271, evaluations=8),
)


@dataclass(frozen=True)
class Contextual:
    """Chapter 3's network, its training, and when the embedding may learn."""

    network: NetworkConfig
    training: TrainingConfig
    unfreezing: UnfreezingConfig = field(default_factory=UnfreezingConfig)

    @classmethod
    def of(cls, config: DNNConfig) -> Self:
        """The same sizes and training, with three layers: a common one, and one a task."""
        return cls(replace(config.network, layers=3), config.training)

    def over(self, embedding: Embedding) -> ContextDNN:
        """The network over an embedding."""
        return ContextDNN(config=DNNConfig(self.network, self.training), start=ContextStart(embedding, self.unfreezing))


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
class Settings:
    """What was chosen on dev."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=lambda: changed(START, CHOSEN["dnn_pool"]))
    contextual: Contextual = field(default_factory=lambda: changed(Contextual.of(START), CHOSEN["elmol"]))
    bilm: BiLMTraining = field(default_factory=lambda: BiLMTraining(epochs=15))


#: How each model is made, from the settings and what was learned from the pool.
MODELS: Mapping[str, Callable[[Settings, Beneath], Counted]] = {
    "maxent_crf": lambda settings, beneath: MaxEntCRF(settings.maxent),
    "dnn_scratch": lambda settings, beneath: DNN(None, settings.dnn),
    "dnn_pool": lambda settings, beneath: DNN(beneath.table, settings.dnn),
    "fasttext_pool": lambda settings, beneath: settings.contextual.over(beneath.vectors),
    "elmol": lambda settings, beneath: settings.contextual.over(beneath.reader),
}


def brief(settings: Settings) -> Settings:
    """The same models, soon trained: fewer updates, one regularisation of each kind, a small language model."""
    linear = replace(settings.maxent, inverse_l2=settings.maxent.inverse_l2[:1], l1_l2=settings.maxent.l1_l2[:1])
    dnn, contextual = (
        replace(made, training=replace(made.training, updates=QUICK_UPDATES))
        for made in (settings.dnn, settings.contextual)
    )
    return Settings(linear, dnn, contextual, replace(SMALL, epochs=1))


@dataclass(frozen=True)
class Plan:
    """What a run consists of.

    Attributes:
        whole: the data as a skill, whose pool training and dev utterances are from.
        train: the training split.
        dev: the dev split.
        table: the vectors of the pool, kept in the cache.
        reader: the language model of the pool, kept there by the same name.
        pool_counts: how many requests the pool read and kept.
        measured: requests on which the norm of embeddings is measured.
    """

    whole: Skill
    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    table: VectorTable
    reader: BiLM
    pool_counts: Mapping[str, int]
    measured: Sequence[Sequence[str]]

    def places(self) -> Places:
        """Where workers find vectors and language model, which are kept by the same name."""
        vectors = Read.of_table("pool", self.table, self.measured)
        return Places(vectors, Read.of_model("elmol", self.table.name, self.reader))

    def data(self) -> dict[str, str]:
        """Hashes of the split, and of what vectors and language model were trained from."""
        read = {f"vectors {self.table.name}": self.table.key}
        read |= {f"language model {self.table.name}": self.reader.about["kept_key"]}
        return {self.whole.name: fingerprint(self.whole)} | read

    def cell(self, seed: int) -> Cell:
        """The data of one seed: the same for all."""
        return Cell(self.whole.name, len(self.train), seed, self.train, self.dev, self.whole.test)


def plan(profile: str, bilm: BiLMTraining, device: str = "cpu") -> Plan:
    """Split the data, and train the vectors and the language model if need be.

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
    name, sentences = f"benchmark-{profile}", pool.sentences()
    table = kept_table(name, sentences, train_fasttext, FastTextConfig(epochs=EPOCHS[profile]))
    measured = pool.measured()
    reader = kept_bilm(name, sentences, bilm, measured, device).reader
    return Plan(whole, train, dev, table, reader, pool.counts, measured)


def settings_of(kind: str) -> Settings:
    """Returns what was chosen on dev; the quick profile trains briefly."""
    return brief(Settings()) if kind == "quick" else Settings()


def config_of(kind: str, settings: Settings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    return {"profile": kind, "methods": list(MODELS), **asdict(settings)}


def prepare(options: Options, settings: Settings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    the_plan = plan(options.profile, settings.bilm, options.device)
    name, places, read = the_plan.whole.name, the_plan.places(), the_plan.reader.about

    def task(key: Key) -> Task:
        return measure_cell, (the_plan.cell(key[2]), places, settings)

    counted = {k: read[k] for k in ("sentences", "tokens", "output_words", "updates", "seconds")}
    counted["devices"] = read.get("devices", ["not known"])  # older ones do not tell
    tables = {"pool": dict(the_plan.pool_counts), "language_model": counted}
    keys, tests = [(name, len(the_plan.train), seed) for seed in range(options.draws)], {name: test_of(the_plan.whole)}
    return Work(keys, task, tests, the_plan.data(), lambda rows, known: tables)


def measure_cell(cell: Cell, places: Places, settings: Settings) -> Measured:
    """Measures one cell, in a worker: every model with one seed."""
    bench, beneath = Bench(cell), places.load()
    for method, make in MODELS.items():
        start = time.perf_counter()
        model = make(settings, beneath).fit(cell.train, cell.dev, cell.seed)
        spent = time.perf_counter() - start
        learned, read = model.parameters()
        bench.judge(method, model, spent, parameters=learned, beneath=read)
    return Measured(bench.rows, beneath.stamps())
