"""The methods that chapter 1 compares, run on one draw of one skill: one *cell*.

All methods see the same training and dev utterances and are judged on the same test utterances.
Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slubook.ch1_skills.dnn import DNNConfig, fit_together
from slubook.ch1_skills.maxent import Clusters, MaxEntConfig, MaxEntCRF
from slubook.ch1_skills.offtheshelf import FastTextIntent, FastTextIntentConfig, SpacyConfig, SpacyPipeline
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.utterance import Prediction
from slubook.evaluation.metrics import outcomes
from slubook.experiments.bench import Bench, Cell
from slubook.experiments.records import Row


@dataclass(frozen=True)
class SkillsSettings:
    """The tuned configuration of every method."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=DNNConfig)
    spacy: SpacyConfig = field(default_factory=SpacyConfig)
    fasttext: FastTextIntentConfig = field(default_factory=FastTextIntentConfig)


def run_cell(
    cell: Cell, tables: Mapping[str, VectorTable | None], clusters: Clusters | None, settings: SkillsSettings
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
    bench = Bench(cell)
    linear = bench.learn("maxent_crf", lambda: MaxEntCRF(settings.maxent))
    if clusters:
        bench.learn("maxent_crf_clusters", lambda: MaxEntCRF(settings.maxent, clusters))
    networks = bench.learn_together(lambda: fit_together(tables, cell.train, cell.dev, cell.seed, settings.dnn))
    if "dnn_pool" in networks:
        mixed = [Prediction(a.intent, b.slots, a.confidence) for a, b in zip(linear, networks["dnn_pool"], strict=True)]
        first, second = (next(r for r in bench.rows if r.method == m) for m in ("maxent_crf", "dnn_pool"))
        costs = (first.train_s + second.train_s, first.predict_ms + second.predict_ms, first.bytes + second.bytes)
        bench.keep("hybrid", outcomes(cell.test, mixed), costs)
    bench.learn("spacy", lambda: SpacyPipeline(settings.spacy))
    bench.learn("fasttext", lambda: FastTextIntent(settings.fasttext))
    return bench.rows
