"""How every method's settings were chosen: the same number of trials each, on dev sets only.

Random search (Bergstra and Bengio, 2012) in two rounds, over the draws of one seed that no published run uses, on
skills of several sources. The first trial of a method is :data:`START`. What is chosen is written into the defaults
of the configurations; ``results/skills_tuning.json`` keeps all trials. Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import joblib
from tqdm import tqdm

from slubook.corpora.skillsets import Skill
from slubook.corpora.utterance import Utterance
from slubook.evaluation.metrics import mistakes
from slubook.experiments.cells import write_atomically
from slubook.learning.dnn import DNNConfig, fit_together
from slubook.learning.training import TrainingConfig
from slubook.models.base import NLUModel
from slubook.models.maxent import MaxEntConfig, MaxEntCRF
from slubook.models.network import NetworkConfig
from slubook.models.offtheshelf import FastTextIntent, FastTextIntentConfig, SpacyConfig, SpacyPipeline
from slubook.models.vectors import VectorTable
from slubook.profiles import seed_everything

TRIALS = (6, 4)
SEED, SIZE = 1000, 300
#: Tuned on these; their dev sets of seed 1000 only.
SKILLS = ("sgd/Events_1", "sgd/Calendar_1", "hwu64/iot", "hinglish_top/reminder")

SPACES: dict[str, dict[str, Sequence[Any]]] = {
    "maxent_crf": {
        "order": (2, 3),
        "window": (1, 2, 3),
        "inverse_l2": ((1.0, 4.0, 16.0), (4.0, 16.0, 64.0), (0.5, 2.0, 8.0)),
        "l1_l2": (
            ((0.0, 0.05), (0.05, 0.02), (0.2, 0.01)),
            ((0.0, 0.01), (0.0, 0.1), (0.1, 0.1)),
            ((0.02, 0.005), (0.1, 0.01), (0.4, 0.01)),
        ),
        "max_iterations": (80, 120, 200),
    },
    "dnn": {
        "network.hidden": (48, 64, 96),
        "network.dropout": (0.3, 0.4, 0.5),
        "network.word_dropout": (0.1, 0.25, 0.5),
        "network.vector_norm": (2.0, 4.0, 8.0),
        "network.ngram_order": (0, 2),
        "training.rate": (3e-3, 5e-3, 8e-3),
        "training.batch": (16, 32),
        "training.updates": (200, 300, 400),
    },
    "spacy": {
        "width": (64, 96),
        "dropout": (0.1, 0.2, 0.35),
        "rate": (2e-3, 4e-3, 8e-3),
        "epochs": (16, 24),
    },
    "fasttext": {
        "dim": (25, 50, 100),
        "word_ngrams": (1, 2, 3),
        "buckets": (5_000, 20_000, 100_000),
    },
}  # fmt: skip
#: Where the second round looks, when that is not where the first did: short trainings had not converged.
SECOND: dict[str, dict[str, Sequence[Any]]] = {
    "dnn": {
        "network.dropout": (0.4, 0.5),
        "network.word_dropout": (0.25, 0.5),
        "training.rate": (5e-3, 1e-2, 1.5e-2),
        "training.batch": (16, 32),
        "training.updates": (400, 600),
    },
}
#: Where the search starts; the defaults of the package are where it ended.
START = {
    "maxent_crf": MaxEntConfig(
        order=3, window=2, inverse_l2=(1.0, 4.0, 16.0), l1_l2=((0.0, 0.05), (0.05, 0.02), (0.2, 0.01)),
        max_iterations=120,
    ),
    "dnn": DNNConfig(
        NetworkConfig(hidden=64, dropout=0.4, word_dropout=0.25, vector_norm=4.0, ngram_order=2),
        TrainingConfig(rate=5e-3, batch=16, updates=400),
    ),
    "spacy": SpacyConfig(width=64, dropout=0.2, rate=4e-3, epochs=16),
    "fasttext": FastTextIntentConfig(dim=50, word_ngrams=2, buckets=20_000),
}  # fmt: skip


def trials(method: str) -> list[dict[str, Any]]:
    """The settings to try in both rounds: first none changed, then random choices, the same at every call."""
    first, second = TRIALS
    rounds = [(first - 1, SPACES[method], "tuning"), (second, SECOND.get(method, SPACES[method]), "second round")]
    drawn: list[dict[str, Any]] = [{}]
    for count, space, name in rounds:
        draw = random.Random(f"{name} {method}")
        drawn += [{k: draw.choice(list(v)) for k, v in space.items()} for _ in range(count)]
    return drawn


def configured(method: str, changes: dict[str, Any]) -> Any:
    """The method's first configuration with ``changes``; a dotted name reaches into a part."""
    config = START[method]
    if method != "dnn":
        return replace(config, **changes)
    parts: dict[str, dict[str, Any]] = {"network": {}, "training": {}}
    for name, value in changes.items():
        part, field = name.split(".")
        parts[part][field] = value
    return DNNConfig(replace(config.network, **parts["network"]), replace(config.training, **parts["training"]))


def trial_error(method: str, changes: dict[str, Any], skill: Skill, table: VectorTable | None) -> float:
    """The share of dev utterances with a mistake (for fastText, with the wrong intent) after training on one draw.

    Networks are tried from scratch and over ``table``, and the mean counts, so that no kind of vectors is favoured.
    """
    seed_everything(SEED, threads=1)
    train, dev = skill.draw(SIZE, SEED)
    config = configured(method, changes)
    if method == "dnn":
        models = fit_together({"scratch": None, "table": table}, train, dev, SEED, config)
        return sum(_dev_error(m, dev) for m in models.values()) / len(models)
    make: dict[str, Callable[[], NLUModel]] = {
        "maxent_crf": lambda: MaxEntCRF(config),
        "spacy": lambda: SpacyPipeline(config),
        "fasttext": lambda: FastTextIntent(config),
    }
    model = make[method]().fit(train, dev, SEED)
    if method == "fasttext":
        answers = model.predict([u.text for u in dev])
        return sum(p.intent != u.intent for p, u in zip(answers, dev, strict=True)) / len(dev)
    return _dev_error(model, dev)


def _dev_error(model: NLUModel, dev: Sequence[Utterance]) -> float:
    return mistakes(dev, model.predict([u.text for u in dev])) / len(dev)


def tune(skills: Sequence[Skill], table_folder: Path, out: Path, jobs: int = 2, methods: Sequence[str] = ()) -> dict:
    """Run all trials and write them, with each method's choice, to ``out``.

    Args:
        skills: all public skills; those named in :data:`SKILLS` are used.
        table_folder: the vectors that networks are tried over, beside none.
        out: the file to write.
        jobs: processes.
        methods: which of :data:`SPACES`; all by default.
    """
    chosen = [s for s in skills if s.name in SKILLS]
    todo = [(m, i, t, s) for m in methods or SPACES for i, t in enumerate(trials(m)) for s in chosen]

    def one(method: str, changes: dict[str, Any], skill: Skill) -> float:
        return trial_error(method, changes, skill, VectorTable.load(table_folder))

    work = joblib.Parallel(jobs, return_as="generator")(joblib.delayed(one)(m, t, s) for m, _, t, s in todo)
    errors = list(tqdm(work, total=len(todo), desc="tuning", unit="trial"))
    report: dict[str, Any] = {"skills": list(SKILLS), "seed": SEED, "size": SIZE, "trials": list(TRIALS), "methods": {}}
    for method in methods or SPACES:
        rows = []
        for i, changes in enumerate(trials(method)):
            mine = [e for e, (m, k, _, _) in zip(errors, todo, strict=True) if m == method and k == i]
            rows.append({"changes": changes, "dev_error": round(sum(mine) / len(mine), 4)})
        best = min(rows, key=lambda r: r["dev_error"])
        report["methods"][method] = {
            "chosen": best["changes"],
            "trials": rows,
            "config": asdict(configured(method, best["changes"])),
        }
    write_atomically(out, json.dumps(report, indent=1) + "\n")
    return report
