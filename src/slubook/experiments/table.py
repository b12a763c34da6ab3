"""Lists the experiments of the book: where each stands, what it compares, what it downloads.

Nothing heavy is imported here, so that the ledger, the command line and the cost page can ask about an experiment
without loading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType, ModuleType


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: on the command line, and of its results file.
        chapter: of the book.
        module: that has its protocol.
        protocol: its protocol number: raise it whenever its meaning changes.
        methods: how tables call each method, in the order in which they show them.
        baseline: the method that the others are compared with.
        downloads: the sources that its full profile reads.
        not_corpus: why it cannot be run on a corpus of the user's own, and what can; empty where it can.
        language_model: whether it trains a language model, for which a GPU is worth while.
        intent_only: methods that look for no slots, so that SER and IRER say nothing of them.
    """

    name: str
    chapter: int
    module: str
    protocol: int
    methods: Mapping[str, str]
    baseline: str
    downloads: tuple[str, ...]
    not_corpus: str = ""
    language_model: bool = False
    intent_only: frozenset[str] = frozenset()

    def load(self) -> ModuleType:
        """Import the module that has the protocol."""
        return import_module(f"slubook.{self.module}")


#: Sources of annotated requests; all requests that pools are made of; general English.
ANNOTATED = ("snips", "hwu64", "sgd", "hinglish_top", "clinc150", "polyai")
REQUESTS = (*ANNOTATED, "taskmaster4")
GENERAL_ENGLISH = ("joshua_english", "nltk_general", "novels")
#: Chapter 2's networks.
SCRATCH = {"scratch": "From scratch"}
TRANSFER = {"transfer": "Transfer, new heads", "transfer_names": "Transfer, heads from label names"}

_EXPERIMENTS = (
    Experiment(
        "skills",
        1,
        "ch1_skills.protocol",
        protocol=2,
        methods={
            "maxent_crf": "MaxEnt-CRF",
            "maxent_crf_clusters": "MaxEnt-CRF + word clusters",
            "dnn_scratch": "DNN, no pretrained vectors",
            "dnn_general": "DNN, FastText of general text",
            "dnn_pool": "DNN, FastText of the pool",
            "dnn_pool_other": "DNN, FastText of other topics",
            "dnn_mlm": "DNN, masked LM of the pool",
            "dnn_mlm_other": "DNN, masked LM of other topics",
            "hybrid": "MaxEnt intent + DNN slots",
            "spacy": "spaCy, blank pipeline",
            "fasttext": "fastText, intent only",
        },
        baseline="maxent_crf",
        downloads=(*REQUESTS, *GENERAL_ENGLISH),
        intent_only=frozenset({"fasttext"}),
    ),
    Experiment(
        "serving",
        1,
        "serving.protocol",
        protocol=1,
        methods={
            "generic_only": "Generic table alone",
            "shared_local": "Shared + local",
            "local_only": "Local table alone",
            "private_full": "Private copy of the table",
            "packed": "Shared + local, as served",
            "packed_8": "Shared + local, all at 8 bits",
            "packed_4": "Shared + local, all at 4 bits",
        },
        baseline="private_full",
        downloads=(*REQUESTS, *GENERAL_ENGLISH),
        not_corpus="runs as a whole, on the book's skills: not --corpus",
    ),
    Experiment(
        "transfer",
        2,
        "ch2_transfer.protocol",
        protocol=3,
        methods={"maxent_crf": "MaxEnt-CRF", **SCRATCH, **TRANSFER},
        baseline="scratch",
        downloads=ANNOTATED,
    ),
    Experiment(
        "arriving",
        2,
        "ch2_transfer.arriving",
        protocol=3,
        methods={**SCRATCH, **TRANSFER},
        baseline="scratch",
        downloads=ANNOTATED,
    ),
    Experiment(
        "convergence",
        2,
        "ch2_transfer.convergence",
        protocol=3,
        methods={**SCRATCH, "scratch_again": "From scratch, by another seed", **TRANSFER},
        baseline="scratch",
        downloads=ANNOTATED,
    ),
    Experiment(
        "ablation",
        2,
        "ch2_transfer.ablation",
        protocol=5,
        methods={
            "scratch": "From scratch",
            "scratch_long": "From scratch, twice the updates",
            "scratch_general": "From scratch, on general vectors",
            "words": "Word representations only",
            "layers": "Layers only, no words",
            "lower": "Words and common layer, tasks' layers reset",
            "frozen": "What moved is frozen",
            "gradual": "Gradual unfreezing, from the top",
            "shuffled": "Source with shuffled labels",
            "tenth": "A tenth of the source's updates",
            "double": "Twice the source's updates",
            "half": "Half of the source's domains",
            "without_sgd": "Source without its largest corpus",
            "general": "Source on general vectors",
            "joint": "Source and skill together",
            "transfer": "Transfer, new heads",
            "transfer_long": "Transfer, new heads, twice the updates",
            "transfer_names": "Transfer, heads from label names",
            "names_long": "Transfer, heads from label names, twice the updates",
        },
        baseline="scratch",
        downloads=(*ANNOTATED, *GENERAL_ENGLISH),
    ),
    Experiment(
        "benchmark",
        3,
        "ch3_elmol.benchmark",
        protocol=1,
        methods={
            "maxent_crf": "MaxEnt-CRF",
            "dnn_scratch": "DNN, no pretrained vectors",
            "dnn_pool": "DNN, FastText of the pool",
            "fasttext_pool": "chapter 3's network, FastText of the pool",
            "elmol": "chapter 3's network, ELMoL of the pool",
        },
        baseline="maxent_crf",
        downloads=("snips_iob", *REQUESTS),
        not_corpus="is of one corpus, to stand beside published tables: not --corpus; `slubook run skills --corpus` "
        "compares the same models on a corpus of yours",
        language_model=True,
    ),
    Experiment(
        "elmol",
        3,
        "ch3_elmol.protocol",
        protocol=1,
        methods={
            "none": "No embedding",
            "fasttext_general": "FastText of general text",
            "fasttext_pool": "FastText of the same requests",
            "elmol": "ELMoL",
            "elmo": "ELMo",
            "elmol_light": "ELMoL, light",
            "elmol_again": "ELMoL by another seed",
            "elmol_1": "ELMoL of 1 % of the requests",
            "elmol_10": "ELMoL of 10 % of the requests",
            "elmol_frozen": "ELMoL, always frozen",
            "elmol_trained": "ELMoL, trained from the start",
            "elmol_ulmfit": "ELMoL, gradual unfreezing",
        },
        baseline="none",
        downloads=(*REQUESTS, *GENERAL_ENGLISH),
        language_model=True,
    ),
    Experiment(
        "worth",
        3,
        "ch3_elmol.worth",
        protocol=1,
        methods={
            "scratch": "From scratch",
            "fasttext_pool": "FastText of the same requests",
            "elmol": "ELMoL",
        },
        baseline="scratch",
        downloads=("snips_iob", *REQUESTS),
        not_corpus="needs a corpus of thousands of examples, and is of one: not --corpus; `slubook run elmol --corpus` "
        "compares embeddings on a corpus of yours",
        language_model=True,
    ),
)
#: Every experiment of the book, by name, in the order of the chapters.
EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType({made.name: made for made in _EXPERIMENTS})
#: Experiments of chapters that are not written yet.
PLANNED = ("selftraining", "bootstrapping", "contextual")
