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

from slubook.ch5_bootstrapping.floors import dictionary, gloss
from slubook.ch5_bootstrapping.material import Material, Words
from slubook.ch5_bootstrapping.ngram import NGram, Vocabulary, train
from slubook.ch5_bootstrapping.selection import at_random, centroid_distances, nearest, sentence_vectors, vectors_of
from slubook.ch5_bootstrapping.techniques import Lists, drawn, filtered, first, pooled, rescored
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


@dataclass(frozen=True)
class MethodSettings:
    """What the techniques depend on; decided beforehand, and the same at every size.

    Attributes:
        translator: how the translator is trained on general pairs.
        updates, rate: how it is tuned from there, each time.
        selected: general pairs that are near enough.
        best: translations of a sentence in a list, and the width of the beam.
        weight: of the weak model's logarithms beside the translator's, in re-scoring.
        keep: the share of translations that the filter leaves.
    """

    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    updates: int = 150
    rate: float = 5e-4
    selected: int = 4000
    best: int = 4
    weight: float = 1.0
    keep: float = 0.6


def added_texts(
    material: Material, own: Sequence[Words], rest: Sequence[Words], settings: MethodSettings, seed: int
) -> dict[str, Texts]:
    """Returns what each method adds to the requests ``own``: nothing, a text, or several; ``rest`` are the others."""
    base = kept_translator(f"{material.name}-general", material.general, settings.translator)
    lists = _translations(material, base, [], settings, 0)
    weak = weak_model(own, lists)
    tune = partial(_translations, material, base, settings=settings, seed=seed)
    near = selected_pairs(material, own, settings)
    found: dict[str, Texts] = {
        "in_domain": [],
        "general": [[spoken(pair.hindi) for pair in material.general]],
        "dictionary": [_glossed(material)],
        "translated": [first(lists)],
        "random": [first(tune([material.general[k] for k in at_random(material.general, len(near), seed)]))],
        "selected": [first(tune(near))],
        "finetuned": [first(tune(taught(material.english, lists)))],
        "rescored": [first(rescored(lists, weak, settings.weight))],
        "filtered": [first(filtered(lists, weak, settings.keep))],
        "pooled": [pooled(lists)],
        "drawn": [drawn(lists, settings.best, seed)],
        "all": [all_four(material, base, own, near, settings, seed)],
    }
    if material.prompts:
        also = kept_translator(f"{material.name}-prompts", [*material.general, *material.prompts], settings.translator)
        found["prompts"] = [[spoken(pair.hindi) for pair in material.prompts]]
        found["prompts_pooled"] = [pooled(_translations(material, also, [], settings, 0))]
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
    chosen, left = _chosen(own, lists, settings)
    pairs = [*near, *taught(material.english, chosen, left)]
    return first(_chosen(own, _translations(material, base, pairs, settings, seed), settings)[1])


def _chosen(own: Sequence[Words], lists: Lists, settings: MethodSettings) -> tuple[Lists, Lists]:
    """Re-scores lists by a weak model of the requests, and filters them by it: all, and those that are left."""
    weak = weak_model(own, lists)
    chosen = rescored(lists, weak, settings.weight)
    return chosen, filtered(chosen, weak, settings.keep)


def _translations(
    material: Material, base: Translator, pairs: Sequence[Pair], settings: MethodSettings, seed: int
) -> Lists:
    """Translates the English requests by a translator tuned on pairs, or as it is; keeps them in the cache."""
    config = replace(settings.translator, updates=settings.updates, rate=settings.rate)
    key = training_key(pairs, config, seed, base, ())
    store = CellStore(cache_dir() / "translations", config_hash([key, list(material.english), settings.best]))
    if not store.has(name := (material.name, key)):
        tuned = train_translator(pairs, config, seed, start=base) if pairs else base
        store.put(name, translate([tuned], material.english, settings.best, settings.best))
    return [[Translation(*one) for one in some] for some in store.get(name)]


def _glossed(material: Material) -> list[Words]:
    """Translates the English requests word by word; keeps them in the cache."""
    store = CellStore(cache_dir() / "translations", config_hash([list(material.english), list(material.general)]))
    if not store.has(name := (material.name, "dictionary")):
        words = dictionary(material.general)
        store.put(name, [gloss(text, words).split() for text in material.english])
    return store.get(name)


def selected_pairs(material: Material, own: Sequence[Words], settings: MethodSettings) -> list[Pair]:
    """Returns the general pairs whose Hindi is nearest to the centroid of the requests."""
    pool = [spoken(pair.hindi) for pair in material.general]
    counts = Counter(word for text in (pool, own) for words in text for word in words)
    table = vectors_of(f"{material.name}-hindi", pool)
    inside, outside = (sentence_vectors(table, text, counts) for text in (own, pool))
    return [material.general[k] for k in nearest(centroid_distances(inside, outside), settings.selected)]


def weak_model(own: Sequence[Words], lists: Lists) -> NGram:
    """Estimates a bigram model of the requests over all words of the translations, too."""
    return train(own, Vocabulary.of(own, pooled(lists)), 2)


def taught(english: Sequence[str], lists: Lists, only: Lists | None = None) -> list[Pair]:
    """Pairs English requests with their first translations that have words, and are first in ``only``, if given."""
    left = {best[0].text for best in (lists if only is None else only) if best}
    pairs = ((one, best[0].text) for one, best in zip(english, lists, strict=True) if best)
    return [Pair(one, text) for one, text in pairs if text in left and spoken(text)]
