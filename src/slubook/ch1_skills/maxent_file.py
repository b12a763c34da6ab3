"""A trained MaxEnt-CRF in three files: names as JSON, weights as safetensors, the CRF as crfsuite wrote it.

No file is a pickle, so that a model somebody sends can be opened without running anything of theirs.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pycrfsuite
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF
from slubook.experiments.kept import reading

NAMES, WEIGHTS, TAGGER = "names.json", "weights.safetensors", "tagger.crfsuite"
FORMAT = 1


def save_maxent(model: MaxEntCRF, folder: Path) -> None:
    """Write a trained model into a folder that exists; the caller moves it to its place when all is there."""
    classifier = model._classifier
    names = {
        "format": FORMAT,
        "config": asdict(model.config),
        "clusters": model.clusters and dict(model.clusters),
        "only_intent": model._only_intent,
        "features": model._vectorizer.feature_names_,
        "intents": [] if classifier is None else classifier.classes_.tolist(),
    }
    (folder / NAMES).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
    weights = {} if classifier is None else {"coef": classifier.coef_, "intercept": classifier.intercept_}
    save_file({name: np.ascontiguousarray(w) for name, w in weights.items()}, folder / WEIGHTS)
    (folder / TAGGER).write_bytes(model._crf_bytes)


def load_maxent(folder: Path) -> MaxEntCRF:
    """The model that :func:`save_maxent` wrote.

    Raises:
        ValueError: when a file is missing or damaged, or of another format.
    """
    with reading(folder, "MaxEnt-CRF"):
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        if names["format"] != FORMAT:
            raise ValueError(f"format {names['format']}, not {FORMAT}")
        config = {k: tuple(map(_tuple, v)) if isinstance(v, list) else v for k, v in names["config"].items()}
        model = MaxEntCRF(MaxEntConfig(**config), names["clusters"])
        model._vectorizer = DictVectorizer(dtype=np.float32)
        model._vectorizer.feature_names_ = names["features"]
        model._vectorizer.vocabulary_ = {name: i for i, name in enumerate(names["features"])}
        weights = load_file(folder / WEIGHTS)
        model._only_intent, model._classifier, model._weights = names["only_intent"], None, 0
        if weights:
            model._classifier = LogisticRegression()
            model._classifier.classes_ = np.array(names["intents"])
            model._classifier.coef_, model._classifier.intercept_ = weights["coef"], weights["intercept"]
            model._weights = weights["coef"].size
        model._crf_bytes, model._tagger = (folder / TAGGER).read_bytes(), pycrfsuite.Tagger()
        model._tagger.open_inmemory(model._crf_bytes)
    return model


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
