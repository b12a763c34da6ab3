"""Wraps off-the-shelf alternatives to the book's models: spaCy's blank pipeline, and fastText for intents.

spaCy (Honnibal et al., 2020): a convolutional encoder shared by a text classifier and a transition-based
entity recogniser. fastText (Joulin et al., 2017): a linear classifier over averaged n-gram vectors; it
finds no slots. Compared in chapter 1, *The evidence*.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import Self

import fasttext
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import compounding, fix_random_seed, minibatch
from thinc.api import Adam

from slubook.corpora.bio import from_bio, to_bio
from slubook.corpora.utterance import Prediction, Token, Utterance, tokenize, words
from slubook.evaluation.metrics import mistakes


@dataclass(frozen=True)
class SpacyConfig:
    """Sizes and steps; ``batch`` is the first and the last batch size, which grows by the factor ``growth`` a batch."""

    width: int = 64
    depth: int = 2
    rows: int = 1000
    dropout: float = 0.2
    rate: float = 8e-3
    batch: tuple[int, int] = (8, 16)
    growth: float = 1.005
    epochs: int = 24
    patience: int = 8


@dataclass
class SpacyPipeline:
    """spaCy's ``textcat`` and ``ner`` over one ``tok2vec``, on the book's own tokens, so that no span is lost."""

    config: SpacyConfig = field(default_factory=SpacyConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Trains, and keeps the epoch with the fewest dev utterances wrong (the last one without dev utterances).

        Raises:
            ValueError: when ``train`` is empty.
        """
        if not train:
            raise ValueError("SpacyPipeline.fit: no training utterances")
        fix_random_seed(seed)
        order = random.Random(seed)
        self._majority = Counter(u.intent for u in train).most_common(1)[0][0]
        self._build(train)
        examples = [Example(self._doc(tokenize(u.text)), self._gold(u)) for u in train]
        optimizer = Adam(self.config.rate, L2=0.01, grad_clip=1.0, use_averages=True)
        if not self._nlp.pipe_names:  # one intent and no slots: nothing to learn
            return self
        self._nlp.initialize(lambda: examples, sgd=optimizer)
        sizes, texts = compounding(*map(float, self.config.batch), self.config.growth), [u.text for u in dev]
        best, kept, waited = float("inf"), b"", 0
        for _ in range(self.config.epochs):
            order.shuffle(examples)
            for batch in minibatch(examples, sizes):
                self._nlp.update(batch, drop=self.config.dropout, sgd=optimizer)
            with self._nlp.use_params(optimizer.averages):
                wrong = mistakes(dev, self.predict(texts))
                waited += 1
                if wrong <= best:
                    waited = 0 if wrong < best else waited
                    best, kept = wrong, self._nlp.to_bytes(exclude=["vocab", "tokenizer"])
            if dev and waited >= self.config.patience:
                break
        self._nlp.from_bytes(kept, exclude=["vocab", "tokenizer"])
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predicts intent, confidence and slots of each text."""
        tokens = [tokenize(t) for t in texts]
        out = []
        for row, doc in zip(tokens, self._nlp.pipe(map(self._doc, tokens)), strict=True):
            intent = max(doc.cats, key=doc.cats.__getitem__) if doc.cats else self._majority
            tags = [t.ent_iob_ if t.ent_iob_ in ("", "O") else f"{t.ent_iob_}-{t.ent_type_}" for t in doc]
            out.append(Prediction(intent, from_bio(row, tags) if row else (), float(doc.cats.get(intent, 1.0))))
        return out

    def size_bytes(self) -> int:
        """Counts the bytes of the float32 weights of all components, the shared encoder once."""
        seen = {id(n): n for _, pipe in self._nlp.pipeline for n in pipe.model.walk()}
        return 4 * sum(n.get_param(p).size for n in seen.values() for p in n.param_names if n.has_param(p))

    def _build(self, train: Sequence[Utterance]) -> None:
        c = self.config
        embed = {"@architectures": "spacy.HashEmbedCNN.v2", "width": c.width, "depth": c.depth, "embed_size": c.rows}
        embed |= {"window_size": 1, "maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None}
        listen = {"@architectures": "spacy.Tok2VecListener.v1", "width": c.width, "upstream": "*"}
        self._nlp = spacy.blank("en")
        intents, kinds = {u.intent for u in train}, {s.type for u in train for s in u.slots}
        if len(intents) > 1 or kinds:
            self._nlp.add_pipe("tok2vec", config={"model": embed})
        if len(intents) > 1:
            bow = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "ngram_size": 2, "length": 16384}
            bow |= {"no_output_layer": False}
            both = {"@architectures": "spacy.TextCatEnsemble.v2", "tok2vec": listen, "linear_model": bow}
            self._nlp.add_pipe("textcat", config={"model": both})
        if kinds:
            parser = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "tok2vec": listen}
            parser |= {"extra_state_tokens": False, "hidden_width": c.width, "maxout_pieces": 2, "use_upper": True}
            self._nlp.add_pipe("ner", config={"model": parser})
        self._intents = sorted(intents)

    def _doc(self, tokens: Sequence[Token], tags: list[str] | None = None) -> Doc:
        """Makes spaCy's document from our tokens; an empty text is one blank, since spaCy needs a token."""
        glued = [a.end < b.start for a, b in pairwise(tokens)] + [False]
        return Doc(self._nlp.vocab, [t.text for t in tokens] or [" "], glued, ents=tags)

    def _gold(self, utterance: Utterance) -> Doc:
        tokens = tokenize(utterance.text)
        doc = self._doc(tokens, to_bio(tokens, utterance.slots) or ["O"])
        doc.cats = {i: float(i == utterance.intent) for i in self._intents}
        return doc


@dataclass(frozen=True)
class FastTextIntentConfig:
    """Sizes and steps; each fit chooses the learning rate and the number of epochs from the lists on dev."""

    dim: int = 25
    rates: tuple[float, ...] = (0.3, 1.0)
    epochs: tuple[int, ...] = (25, 75)
    word_ngrams: int = 2
    char_ngrams: tuple[int, int] = (3, 5)
    buckets: int = 5_000


#: fastText's label prefix, which no token of ours can equal.
_LABEL = "<intent>"


@dataclass
class FastTextIntent:
    """fastText's supervised classifier: intents only, never a slot."""

    config: FastTextIntentConfig = field(default_factory=FastTextIntentConfig)

    def fit(self, train: Sequence[Utterance], dev: Sequence[Utterance], seed: int = 0) -> Self:
        """Trains a classifier for each setting listed, and keeps the one with the most dev intents right.

        Raises:
            ValueError: when ``train`` is empty.
        """
        if not train:
            raise ValueError("FastTextIntent.fit: no training utterances")
        self._intents = sorted({u.intent for u in train})
        self._model = None
        if len(self._intents) == 1:
            return self
        lines = [f"{_LABEL}{self._intents.index(u.intent)} {' '.join(words(u.text))}\n" for u in train]
        texts = [u.text for u in dev]

        def right(model: fasttext.FastText._FastText) -> int:
            return sum(a == u.intent for (a, _), u in zip(self._intents_of(model, texts), dev, strict=True))

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "train.txt")
            path.write_text("".join(lines), encoding="utf-8")
            models = (self._train(str(path), *each, seed) for each in product(self.config.rates, self.config.epochs))
            self._model = max(models, key=right)  # the first of the best
        return self

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Predicts intent and confidence of each text."""
        if self._model is None:
            return [Prediction(self._intents[0], ())] * len(texts)
        return [Prediction(intent, (), p) for intent, p in self._intents_of(self._model, texts)]

    def size_bytes(self) -> int:
        """Counts the bytes of the float32 rows of words, hashed n-grams and intents, and of the words themselves."""
        if self._model is None:
            return 0
        names = self._model.words
        rows = len(names) + self.config.buckets + len(self._intents)
        return 4 * self.config.dim * rows + sum(len(w.encode()) + 4 for w in names)

    def _train(self, name: str, rate: float, epochs: int, seed: int) -> fasttext.FastText._FastText:
        c = self.config
        short, long = c.char_ngrams
        return fasttext.train_supervised(
            name, label=_LABEL, dim=c.dim, lr=rate, epoch=epochs, wordNgrams=c.word_ngrams, minn=short, maxn=long,
            bucket=c.buckets, minCount=1, loss="softmax", thread=1, seed=seed, verbose=0,
        )  # fmt: skip

    def _intents_of(self, model: fasttext.FastText._FastText, texts: Sequence[str]) -> list[tuple[str, float]]:
        """Returns the best intent and its probability; uses fastText's core, since its ``predict`` fails on NumPy 2."""
        answers = [model.f.predict(" ".join(words(t)) + "\n", 1, 0.0, "strict")[0] for t in texts]
        return [(self._intents[int(label.removeprefix(_LABEL))], min(float(p), 1.0)) for p, label in answers]
