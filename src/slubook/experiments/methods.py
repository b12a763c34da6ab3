"""The methods that chapter 1 compares, run on one draw of one skill: one *cell*.

All methods see the same training and dev utterances and are judged on the same test utterances.
Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slubook.corpora.dedupe import near_duplicates
from slubook.corpora.utterance import Prediction, Utterance, words
from slubook.evaluation.metrics import outcomes
from slubook.experiments.records import Row
from slubook.learning.dnn import DNNConfig, fit_together
from slubook.models.base import NLUModel
from slubook.models.maxent import Clusters, MaxEntConfig, MaxEntCRF
from slubook.models.offtheshelf import FastTextIntent, FastTextIntentConfig, SpacyConfig, SpacyPipeline
from slubook.models.vectors import VectorTable

#: Every method of chapter 1, in the order in which its figures show them.
METHODS = {
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
}
TIMED = 20  # utterances answered one at a time, for the latency


@dataclass(frozen=True)
class Settings:
    """The tuned configuration of every method."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=DNNConfig)
    spacy: SpacyConfig = field(default_factory=SpacyConfig)
    fasttext: FastTextIntentConfig = field(default_factory=FastTextIntentConfig)


@dataclass(frozen=True)
class Cell:
    """One draw of one skill."""

    skill: str
    size: int
    seed: int
    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    test: Sequence[Utterance]


def run_cell(
    cell: Cell, tables: Mapping[str, VectorTable | None], clusters: Clusters | None, settings: Settings
) -> list[Row]:
    """Train and judge every method on one cell.

    Args:
        cell: the draw.
        tables: for each DNN, its generic vectors; ``None`` for none.
        clusters: of the pool's vectors, for the linear control.
        settings: tuned configurations.

    Returns:
        One row a method. Networks are trained side by side, so each is given an equal share of the seconds.
    """
    slices = slices_of(cell)
    rows: list[Row] = []

    def judge(method: str, model: NLUModel, predictions: list[Prediction], seconds: float, latency: float) -> None:
        measured = outcomes(cell.test, predictions)
        rows.append(
            Row(cell.skill, method, cell.size, cell.seed, measured, seconds, latency, model.size_bytes(), slices)
        )

    def learn(method: str, make: Callable[[], NLUModel]) -> list[Prediction]:
        start = time.perf_counter()
        model = make().fit(cell.train, cell.dev, cell.seed)
        seconds = time.perf_counter() - start
        predictions = model.predict([u.text for u in cell.test])
        judge(method, model, predictions, seconds, latency_ms(model, cell.test))
        return predictions

    linear = learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    if clusters:
        learn("maxent_crf_clusters", lambda: MaxEntCRF(settings.maxent, clusters))
    start = time.perf_counter()
    networks = fit_together(tables, cell.train, cell.dev, cell.seed, settings.dnn)
    share = (time.perf_counter() - start) / len(tables)
    for method, model in networks.items():
        predictions = model.predict([u.text for u in cell.test])
        judge(method, model, predictions, share, latency_ms(model, cell.test))
        if method == "dnn_pool":
            mixed = [Prediction(a.intent, b.slots, a.confidence) for a, b in zip(linear, predictions, strict=True)]
            before = {r.method: r for r in rows}
            first, second = before["maxent_crf"], before["dnn_pool"]
            rows.append(
                Row(
                    cell.skill, "hybrid", cell.size, cell.seed, outcomes(cell.test, mixed),
                    first.train_s + second.train_s, first.predict_ms + second.predict_ms,
                    first.bytes + second.bytes, slices,
                )
            )  # fmt: skip
    learn("spacy", lambda: SpacyPipeline(settings.spacy))
    learn("fasttext", lambda: FastTextIntent(settings.fasttext))
    return rows


def slices_of(cell: Cell) -> dict[str, np.ndarray]:
    """Parts of the test set that are judged by themselves too, [N] bool each.

    ``unseen`` utterances have a word that no training utterance has, ``seen`` have none such; ``fresh`` ones
    do not nearly repeat a training utterance (:func:`slubook.corpora.dedupe.near_duplicates`).
    """
    known = {w for u in cell.train for w in words(u.text)}
    unseen = np.array([any(w not in known for w in words(u.text)) for u in cell.test])
    near = near_duplicates([u.text for u in cell.test], [u.text for u in cell.train])
    return {"unseen": unseen, "seen": ~unseen, "fresh": ~near}


def latency_ms(model: NLUModel, test: Sequence[Utterance]) -> float:
    """The median time to answer one utterance, in milliseconds, over the first few of ``test``."""
    times = []
    for u in test[:TIMED]:
        start = time.perf_counter()
        model.predict([u.text])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times)) if times else 0.0
