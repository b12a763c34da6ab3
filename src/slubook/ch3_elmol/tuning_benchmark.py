"""How the settings of the benchmark's networks were chosen: on the dev split, by equal numbers of trials.

``slubook tune benchmark`` keeps every trial in ``results/benchmark_tuning.json``; what is chosen stands in the defaults
of :class:`slubook.ch3_elmol.benchmark.Settings`, and a test holds the two equal.

- *Budget*: ten trials for each of two networks. Chapter 1's is tried over FastText, and the one from scratch has its
  settings; chapter 3's is tried over ELMoL, and the one over FastText has its settings. So two rows that are compared
  differ in what lies beneath.
- *Trials*: six that were fixed beforehand, of length, dropout, n-grams, width and batch; then four with one change each
  to the best of them.
- *Data*: the training and dev splits as they are, one seed that no published run uses.
- *Choice*: the least share of dev utterances with a mistake. On seven hundred of them that is a noisy choice.
- *Not tuned*: what is learned from the pool, and MaxEnt-CRF, which chooses its regularisation at each fit.

Taught on the page *The benchmark*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer.tuning import best
from slubook.ch3_elmol import benchmark
from slubook.ch3_elmol.places import Places
from slubook.corpora.utterance import Utterance
from slubook.experiments.search import Cell, Rows, Search, data_hash, dev_error
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.trials import SEEDS, Changes, Round, changed
from slubook.profiles import seed_everything

LONGER: Changes = {
    "training.updates": 8178, "training.evaluations": 20, "training.average": 0.995,
    "network.dropout": 0.5, "network.word_dropout": 0.5,
}  # fmt: skip
WIDER: Changes = {"network.hidden": 200, "network.project": 192, "network.char_filters": 96, "training.rate": 2e-3}
FIRST: tuple[Changes, ...] = (
    {},
    LONGER,
    LONGER | {"network.dropout": 0.4, "network.word_dropout": 0.25},
    LONGER | {"network.ngram_order": 1},
    LONGER | WIDER,
    LONGER | {"training.batch": 16, "training.rate": 2e-3},
)
#: Round 2 makes each of these changes to the best of round 1.
SECOND: dict[str, tuple[Changes, ...]] = {
    "dnn_pool": (
        {"training.average": 0.998}, {"training.weight_decay": 0.05}, {"training.rate": 5e-3},
        {"network.vector_norm": 8.0},
    ),
    "elmol": (
        {"training.average": 0.998}, {"training.weight_decay": 0.05}, {"unfreezing.reduced": 0.2},
        {"unfreezing.how": "at_once", "unfreezing.reduced": 0.2},
    ),
}  # fmt: skip
ROUNDS = {method: (Round(1, SEEDS[:1], FIRST),) for method in SECOND}
ABOUT = {
    "error": "share of dev utterances with a mistake in intent or slots",
    "choice": "the least dev error",
    "not_tuned": "what is learned from the pool, and MaxEnt-CRF",
}


@dataclass(frozen=True)
class BenchmarkSearch(Search):
    """The benchmark's search; without data, vectors and language model it can read a record.

    Attributes:
        whole: the corpus, as a skill.
        train: the training split.
        dev: the dev split.
        places: of vectors and language model.
    """

    whole: Skill | None = None
    train: Sequence[Utterance] = ()
    dev: Sequence[Utterance] = ()
    places: Places | None = None
    experiment = "benchmark"
    protocol = EXPERIMENTS["benchmark"].protocol

    def rounds(self) -> Mapping[str, Sequence[Round]]:
        """What is tried, by method."""
        return ROUNDS

    def head(self) -> dict[str, Any]:
        """What the record says before its methods."""
        return {"about": ABOUT, "corpus": benchmark.CORPUS, "splits": ["train", "dev"]}

    def configured(self, method: str, changes: Changes) -> DNNConfig | benchmark.Contextual:
        """The first configuration of the method with ``changes``."""
        begun = benchmark.START if method == "dnn_pool" else benchmark.Contextual.of(benchmark.START)
        return changed(begun, changes)

    def chosen(self, trials: Mapping[str, Rows]) -> dict[str, Mapping[str, Any]]:
        """The best trial of each method."""
        return {m: best(rows) for m, rows in trials.items()}

    def later(self, trials: Mapping[str, Rows]) -> Mapping[str, Sequence[Round]]:
        """Round 2, from what round 1 chose."""
        return {
            m: [Round(2, SEEDS[:1], tuple({**stands["changes"], **change} for change in SECOND[m]))]
            for m, stands in self.chosen(trials).items()
        }

    def skills(self) -> Sequence[tuple[Skill, int]]:
        """The training split, as a skill."""
        return [(self.whole, len(self.train))]

    @cached_property
    def splits(self) -> str:
        """The hash of both splits."""
        return data_hash(self.train, self.dev)

    def data(self, cell: Cell) -> str:
        """The splits as they are; nothing is drawn."""
        return self.splits

    def beneath(self, method: str) -> dict[str, str]:
        """Keys of what the method stands on."""
        places = self.places
        what, read = ("language model", places.reader) if method == "elmol" else ("vectors", places.vectors)
        return {f"{what} {read.name}": read.made}

    def errors(self, cells: Sequence[Cell]) -> list[float]:
        """The dev error of the one cell."""
        [cell] = cells
        seed_everything(cell.seed, threads=1)
        config, beneath = self.configured(cell.method, cell.changes), self.places.load()
        model = DNN(beneath.table, config) if cell.method == "dnn_pool" else config.over(beneath.reader)
        return [dev_error(model.fit(self.train, self.dev, cell.seed), self.dev)]


def benchmark_search(device: str = "cpu") -> BenchmarkSearch:
    """The search with its data; vectors and language model are trained where the cache has none.

    Args:
        device: on which the language model is trained, ``"cpu"`` or ``"cuda"``.
    """
    plan = benchmark.plan("full", benchmark.Settings().bilm, device)
    return BenchmarkSearch(plan.whole, plan.train, plan.dev, plan.places())
