"""Trains MaxEnt-CRF, the linear baseline of the custom-skills article.

Intent: multinomial logistic regression, which is the maximum-entropy classifier. Slots: a linear-chain
CRF (Lafferty, McCallum and Pereira, 2001). Features are those the article names (n-grams, utterance
length, relative position of a token), and affixes and word shapes, which any CRF tagger would have.
Taught in chapter 1, *MaxEnt-CRF versus DNN*.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import pycrfsuite
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from slubook.corpora.bio import from_bio, to_bio
from slubook.corpora.utterance import Prediction, Token, Utterance, tokenize
from slubook.experiments import kept

#: A word's clusters in clusterings of word vectors, coarse first: the control "linear model, same unlabelled text".
Clusters = Mapping[str, Sequence[int]]
#: The files of a trained model: names as JSON, weights as safetensors, the CRF as crfsuite writes it. None is a pickle,
#: so that a model from elsewhere can be opened without running any code of it.
NAMES, WEIGHTS, TAGGER = "names.json", "weights.safetensors", "tagger.crfsuite"
FORMAT = 1


def utterance_features(tokens: Sequence[Token], order: int = 3, clusters: Clusters | None = None) -> dict[str, float]:
    """Extracts n-grams up to ``order``, the length, and (control) the bag of word clusters."""
    lower = [t.text.lower() for t in tokens]
    padded = ["<s>", *lower, "</s>"]
    features: dict[str, float] = {f"length={min(len(tokens) // 3, 6)}": 1.0}
    for n in range(1, order + 1):
        source = lower if n == 1 else padded
        features.update((" ".join(source[i : i + n]), 1.0) for i in range(len(source) - n + 1))
    if clusters:
        features.update((name, 1.0) for word in lower for name in _cluster_names(word, clusters))
    return features


def _cluster_names(word: str, clusters: Clusters) -> list[str]:
    """Names a feature a clustering, such as ``cluster0=17``; none for a word without clusters."""
    return [f"cluster{grain}={number}" for grain, number in enumerate(clusters.get(word, ()))]


def shape(word: str) -> str:
    """Returns a word's shape: ``x`` for alphabetic characters, ``d`` for digits, without runs: ``ab12`` → ``xd``."""
    kinds = ["d" if c.isdigit() else "x" if c.isalpha() else c for c in word]
    return "".join(k for i, k in enumerate(kinds) if i == 0 or kinds[i - 1] != k)


def token_features(tokens: Sequence[Token], window: int = 2, clusters: Clusters | None = None) -> list[list[str]]:
    """Extracts the CRF features of each token, [T]: words around it, affixes, shape, relative position, length."""
    lower = ["<s>"] * window + [t.text.lower() for t in tokens] + ["</s>"] * window
    count, rows = len(tokens), []
    for i, token in enumerate(tokens):
        word, at = token.text.lower(), i + window
        row = ["bias", f"shape={shape(word)}", f"place={4 * i // count}", f"length={min(count // 3, 6)}"]
        row += [f"prefix={word[:n]}" for n in (2, 3)] + [f"suffix={word[-n:]}" for n in (2, 3)]
        row += [f"{d}:{lower[at + d]}" for d in range(-window, window + 1)]
        row += [f"{d}:{lower[at + d]} {lower[at + d + 1]}" for d in range(-window, window)]
        if clusters:
            near = range(-window, window + 1)
            row += [f"{d}:{name}" for d in near for name in _cluster_names(lower[at + d], clusters)]
        rows.append(row)
    return rows


@dataclass(frozen=True)
class MaxEntConfig:
    """Settings: each fit chooses regularisation from the lists on dev; the experiment tunes the rest."""

    order: int = 2
    window: int = 2
    inverse_l2: tuple[float, ...] = (4.0, 16.0, 64.0)
    l1_l2: tuple[tuple[float, float], ...] = ((0.0, 0.05), (0.05, 0.02), (0.2, 0.01))
    max_iterations: int = 200


@dataclass
class MaxEntCRF:
    """The linear model; ``clusters`` adds word-cluster features to both halves."""

    config: MaxEntConfig = field(default_factory=MaxEntConfig)
    clusters: Clusters | None = None

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Trains a classifier and a CRF for each regularisation listed, and keeps those with the fewest dev errors.

        ``chosen`` is then the configuration with the regularisation that dev chose, to train again without dev.

        Raises:
            ValueError: when ``train`` is empty, or no text in it holds a word.
        """
        if not any(tokenize(u.text) for u in train):  # crfsuite would crash later, without a reason
            raise ValueError("MaxEntCRF.fit: no training utterances with words in them")
        c = self._fit_intent(train, dev)
        l1_l2 = self._fit_slots(train, dev)
        self.chosen = replace(self.config, inverse_l2=(c,), l1_l2=(l1_l2,))
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predicts intent, confidence and slots of each text."""
        tokens = [tokenize(t) for t in texts]
        intents, confidences = self._intents(self._classifier, tokens)
        slots = [from_bio(t, self._tagger.tag(self._rows(t)) if t else []) for t in tokens]
        return [Prediction(i, s, float(c)) for i, s, c in zip(intents, slots, confidences, strict=True)]

    def size_bytes(self) -> int:
        """Counts the bytes of the classifier's float32 weights and feature names, and of the CRF's file."""
        names = sum(len(n) + 4 for n in self._vectorizer.feature_names_)
        return 4 * self._weights() + names + len(self._crf_bytes)

    def parameters(self) -> tuple[int, int]:
        """Counts the weights of classifier and CRF (the CRF keeps no zeros), and those of a pretrained input: zero."""
        crf = self._tagger.info()
        return self._weights() + len(crf.state_features) + len(crf.transitions), 0

    def _weights(self) -> int:
        return 0 if self._classifier is None else self._classifier.coef_.size

    def _utterance(self, tokens: Sequence[Token]) -> dict[str, float]:
        return utterance_features(tokens, self.config.order, self.clusters)

    def _rows(self, tokens: Sequence[Token]) -> list[list[str]]:
        return token_features(tokens, self.config.window, self.clusters)

    def _fit_intent(self, train: Sequence[Utterance], dev: Sequence[Utterance]) -> float:
        self._vectorizer = DictVectorizer(dtype=np.float32)
        x = self._vectorizer.fit_transform([self._utterance(tokenize(u.text)) for u in train])  # [N, F]
        y, gold, dev_tokens = [u.intent for u in train], [u.intent for u in dev], [tokenize(u.text) for u in dev]
        self._only_intent = y[0]
        self._classifier: LogisticRegression | None = None
        if len(set(y)) == 1:
            return self.config.inverse_l2[0]

        def right(model: LogisticRegression) -> int:
            return sum(a == b for a, b in zip(self._intents(model, dev_tokens)[0], gold, strict=True))

        every = (LogisticRegression(C=c, max_iter=300).fit(x, y) for c in self.config.inverse_l2)
        self._classifier = max(every, key=right)  # the first of the best
        return self._classifier.C

    def _intents(self, model: LogisticRegression | None, tokens: list[list[Token]]) -> tuple[list[str], np.ndarray]:
        if model is None or not tokens:
            return [self._only_intent] * len(tokens), np.ones(len(tokens))
        p = model.predict_proba(self._vectorizer.transform([self._utterance(t) for t in tokens]))  # [N, intents]
        return [str(model.classes_[k]) for k in p.argmax(1)], p.max(1)

    def _fit_slots(self, train: Sequence[Utterance], dev: Sequence[Utterance]) -> tuple[float, float]:
        rows, tags = [], []
        for u in train:
            if tokens := tokenize(u.text):
                rows.append(pycrfsuite.ItemSequence([dict.fromkeys(r, 1.0) for r in self._rows(tokens)]))
                tags.append(to_bio(tokens, u.slots))
        gold = [(tokens, set(u.slots)) for u in dev if (tokens := tokenize(u.text))]
        best, chosen = -1.0, self.config.l1_l2[0]
        for l1, l2 in self.config.l1_l2:
            crf = self._train_crf(rows, tags, l1, l2)
            tagger = _tagger(crf)
            found = [(set(from_bio(t, tagger.tag(self._rows(t)))), g) for t, g in gold]
            total = sum(len(f) + len(g) for f, g in found)
            f1 = 2 * sum(len(f & g) for f, g in found) / total if total else 0.0
            if f1 > best:
                best, chosen, self._tagger, self._crf_bytes = f1, (l1, l2), tagger, crf
        return chosen

    def _train_crf(self, rows: list[pycrfsuite.ItemSequence], tags: list[list[str]], l1: float, l2: float) -> bytes:
        trainer = pycrfsuite.Trainer(verbose=False)
        trainer.select("lbfgs")
        trainer.set_params({"c1": l1, "c2": l2, "max_iterations": self.config.max_iterations})
        for r, t in zip(rows, tags, strict=True):
            trainer.append(r, t)
        with tempfile.TemporaryDirectory() as folder:
            trainer.train(f"{folder}/{TAGGER}")
            return Path(folder, TAGGER).read_bytes()


def _tagger(crf: bytes) -> pycrfsuite.Tagger:
    """Opens a CRF that crfsuite wrote."""
    tagger = pycrfsuite.Tagger()
    tagger.open_inmemory(crf)
    return tagger


def save_maxent(model: MaxEntCRF, folder: Path) -> None:
    """Writes a trained model into an existing folder, which the caller moves into place when it is complete."""
    classifier, clusters = model._classifier, model.clusters and dict(model.clusters)
    names = {"format": FORMAT, "config": asdict(model.config), "clusters": clusters, "only_intent": model._only_intent}
    names["features"] = model._vectorizer.feature_names_
    names["intents"] = [] if classifier is None else classifier.classes_.tolist()
    (folder / NAMES).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
    weights = {} if classifier is None else {"coef": classifier.coef_, "intercept": classifier.intercept_}
    save_file({name: np.ascontiguousarray(w) for name, w in weights.items()}, folder / WEIGHTS)
    (folder / TAGGER).write_bytes(model._crf_bytes)


def load_maxent(folder: Path) -> MaxEntCRF:
    """Reads a model that :func:`save_maxent` wrote.

    Raises:
        ValueError: when a file is missing or damaged, or of another format.
    """
    with kept.reading(folder, "MaxEnt-CRF"):
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        if names["format"] != FORMAT:
            raise ValueError(f"format {names['format']}, not {FORMAT}")
        config = names["config"]
        config |= {"inverse_l2": tuple(config["inverse_l2"]), "l1_l2": tuple(map(tuple, config["l1_l2"]))}
        model = MaxEntCRF(MaxEntConfig(**config), names["clusters"])
        model._vectorizer = DictVectorizer(dtype=np.float32)
        model._vectorizer.feature_names_ = names["features"]
        model._vectorizer.vocabulary_ = {name: i for i, name in enumerate(names["features"])}
        weights = load_file(folder / WEIGHTS)
        model._only_intent, model._classifier = names["only_intent"], LogisticRegression() if weights else None
        if weights:
            model._classifier.classes_ = np.array(names["intents"])
            model._classifier.coef_, model._classifier.intercept_ = weights["coef"], weights["intercept"]
        model._crf_bytes = (folder / TAGGER).read_bytes()
        model._tagger = _tagger(model._crf_bytes)
    return model
