"""Makes what each method's language model reads beside the in-domain requests: translations by the four techniques.

(1) General sentence pairs near the requests tune the translator; (2) so do its own translations of English requests;
(3) a weak in-domain model chooses from its lists of best translations; (4) it drops the improbable ones. Source:
Punjabi et al. (2019), arXiv 1912.00958, section 3. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from slubook.ch5_bootstrapping.floors import dictionary, gloss
from slubook.ch5_bootstrapping.material import Material, Words
from slubook.ch5_bootstrapping.ngram import NGram, Vocabulary, train
from slubook.ch5_bootstrapping.selection import at_random, centroid_distances, nearest, sentence_vectors, vectors_of
from slubook.ch5_bootstrapping.translator import (
    Translation,
    Translator,
    TranslatorConfig,
    kept_translator,
    train_translator,
    training_key,
    translate,
)
from slubook.corpora.parallel import Pair, spoken
from slubook.experiments.cells import CellStore
from slubook.experiments.stamps import config_hash
from slubook.profiles import cache_dir

Texts = list[Sequence[Words]]
Lists = Sequence[Sequence[Translation]]


@dataclass(frozen=True)
class MethodSettings:
    """What the techniques depend on; all chosen on development data.

    Attributes:
        translator: how the translator is trained on general pairs.
        updates, rate: how it is tuned from there, each time.
        selected: general pairs that are near enough.
        best: translations of a sentence in a list.
        keep: the share of translations that the filter leaves.
    """

    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    updates: int = 150
    rate: float = 5e-4
    selected: int = 4000
    best: int = 4
    keep: float = 0.6


def added_texts(
    material: Material, own: Sequence[Words], rest: Sequence[Words], settings: MethodSettings, seed: int
) -> dict[str, Texts]:
    """Returns what each method adds to the requests ``own``: nothing, a text, or several; ``rest`` are the others."""
    base = kept_translator(f"{material.name}-general", material.general, settings.translator)
    lists, words = _translations(material, base, [], settings, 0), dictionary(material.general)
    weak = weak_model(own, lists)
    tune = partial(_translations, material, base, settings=settings, seed=seed)
    near = selected_pairs(material, own, settings)
    found: dict[str, Texts] = {
        "in_domain": [],
        "general": [[spoken(pair.hindi) for pair in material.general]],
        "dictionary": [[gloss(text, words).split() for text in material.english]],
        "translated": [ranked(lists, 0)],
        "random": [ranked(tune([material.general[k] for k in at_random(material.general, len(near), seed)]), 0)],
        "selected": [ranked(tune(near), 0)],
        "finetuned": [ranked(tune(taught(material, lists)), 0)],
        "rescored": [ranked(rescored(lists, weak), 0)],
        "filtered": [ranked(probable(lists, weak, settings.keep), 0)],
        "pooled": [pooled(lists, settings)],
        "weighted": [ranked(lists, k) for k in range(settings.best)],
        "all": [all_four(material, base, own, near, settings, seed)],
    }
    if material.prompts:
        also = kept_translator(f"{material.name}-prompts", [*material.general, *material.prompts], settings.translator)
        found["prompts"] = [[spoken(pair.hindi) for pair in material.prompts]]
        found["prompts_pooled"] = [pooled(_translations(material, also, [], settings, 0), settings)]
        found["prompts_all"] = [all_four(material, also, own, near, settings, seed)]
    return found | {"human": [material.human], "rest": [rest]}


def all_four(
    material: Material,
    base: Translator,
    own: Sequence[Words],
    near: Sequence[Pair],
    settings: MethodSettings,
    seed: int,
) -> list[Words]:
    """Returns the translations of a translator tuned on near pairs, then on what the weak model left of its own."""
    lists = _translations(material, base, near, settings, seed)
    weak = weak_model(own, lists)
    pairs = [*near, *taught(material, probable(rescored(lists, weak), weak, settings.keep))]
    lists = _translations(material, base, pairs, settings, seed)
    weak = weak_model(own, lists)
    return ranked(probable(rescored(lists, weak), weak, settings.keep), 0)


def _translations(
    material: Material, base: Translator, pairs: Sequence[Pair], settings: MethodSettings, seed: int
) -> Lists:
    """Translates the English requests by a translator tuned on pairs, or as it is; keeps them in the cache."""
    config = replace(settings.translator, updates=settings.updates, rate=settings.rate)
    key = training_key(pairs, config, seed, base, ())
    store = CellStore(cache_dir() / "translations", config_hash([key, list(material.english), settings.best]))
    if not store.has(name := (material.name, key)):
        tuned = train_translator(pairs, config, seed, start=base) if pairs else base
        store.put(name, translate([tuned], material.english, n=settings.best))
    return [[Translation(*one) for one in some] for some in store.get(name)]


def selected_pairs(material: Material, own: Sequence[Words], settings: MethodSettings) -> list[Pair]:
    """Returns the general pairs whose Hindi is nearest to the centroid of the requests."""
    pool = [spoken(pair.hindi) for pair in material.general]
    counts = Counter(word for text in (pool, own) for words in text for word in words)
    table = vectors_of(f"{material.name}-hindi", pool)
    inside, outside = (sentence_vectors(table, text, counts) for text in (own, pool))
    return [material.general[k] for k in nearest(centroid_distances(inside, outside), settings.selected)]


def weak_model(own: Sequence[Words], lists: Lists) -> NGram:
    """Estimates a bigram model of the requests over all words of the translations, too."""
    return train(own, Vocabulary.of(own, [said(one) for some in lists for one in some]), 2)


def rescored(lists: Lists, model: NGram) -> list[list[Translation]]:
    """Sorts each list by the translator's and the model's ln P together, each a word."""
    found = []
    for some in lists:
        scores = model.sentence_scores([said(one) for one in some])
        totals = [(one.log_prob + p) / (len(said(one)) + 1) for one, p in zip(some, scores, strict=True)]
        found.append([some[k] for k in np.argsort(-np.array(totals), kind="stable")])
    return found


def probable(lists: Lists, model: NGram, share: float) -> list[Sequence[Translation]]:
    """Empties the lists but the ``share`` of them whose first translation a model finds likeliest, a word."""
    first = [said(some[0]) if some else [] for some in lists]
    scores = model.sentence_scores(first) / np.array([len(words) + 1 for words in first])
    left = set(np.argsort(-scores, kind="stable")[: round(share * len(lists))].tolist())
    return [some if k in left else [] for k, some in enumerate(lists)]


def said(one: Translation) -> list[str]:
    """Returns the words of a translation."""
    return spoken(one.text)


def ranked(lists: Lists, rank: int) -> list[Words]:
    """Returns the words of the translation at a rank of each list that has one, where it has words."""
    return [words for some in lists if len(some) > rank and (words := said(some[rank]))]


def pooled(lists: Lists, settings: MethodSettings) -> list[Words]:
    """Returns all translations of all lists as one text."""
    return [words for rank in range(settings.best) for words in ranked(lists, rank)]


def taught(material: Material, lists: Lists) -> list[Pair]:
    """Pairs the English requests with their first translations, where there are some."""
    pairs = zip(material.english, lists, strict=True)
    return [Pair(english, some[0].text) for english, some in pairs if some and said(some[0])]
