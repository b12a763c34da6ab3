"""Makes what each method's language model reads beside the in-domain requests: translations by the four techniques.

(1) General sentence pairs near the requests tune the translator; (2) so do its own translations of English requests;
(3) a weak in-domain model chooses from its lists of best translations; (4) it drops the improbable ones. Source:
Punjabi et al. (2019), arXiv 1912.00958, section 3. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from slubook.ch1_skills.tables import text_key
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch5_bootstrapping.floors import dictionary, gloss, score
from slubook.ch5_bootstrapping.material import Material, Words
from slubook.ch5_bootstrapping.ngram import NGram, Vocabulary, train
from slubook.ch5_bootstrapping.selection import (
    at_random,
    centroid_distances,
    moore_lewis,
    nearest,
    sentence_vectors,
    vectors_of,
)
from slubook.ch5_bootstrapping.techniques import Lists, adapt, drawn, filtered, first, pooled, rescored
from slubook.ch5_bootstrapping.translator import (
    REVISION,
    Translation,
    Translator,
    TranslatorConfig,
    kept_translator,
    train_translator,
    translate,
)
from slubook.corpora.parallel import Pair, spoken
from slubook.experiments.cells import CellStore
from slubook.experiments.stamps import config_hash
from slubook.files import one_at_a_time
from slubook.profiles import cache_dir

Texts = list[Sequence[Words]]
#: The seed of the draw on which settings are chosen; no cell has it.
CHOSEN_ON = 1000
#: Parts of that draw, each of which is held out in turn.
FOLDS = 5


@dataclass(frozen=True)
class MethodSettings:
    """What the techniques depend on; decided beforehand but for ``weights`` and ``keeps``.

    Attributes:
        translator: how the translators are trained on general pairs.
        updates, rate: how one is tuned from there, each time.
        selected: general pairs that are near enough.
        best: translations of a sentence in a list, and the width of the beam.
        weights: of the weak model's logarithms beside the translator's, of which :func:`trials` chooses one.
        keeps: the shares of translations that the filter may leave, of which :func:`trials` chooses one.
        prompts_at: the sizes at which all techniques are tried on the translator that has read prompts.
    """

    translator: TranslatorConfig = field(default_factory=lambda: TranslatorConfig(longest=35))
    updates: int = 150
    rate: float = 5e-4
    selected: int = 4000
    best: int = 4
    weights: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    keeps: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    prompts_at: tuple[int, ...] = (100,)


class Choice(NamedTuple):
    """The weight of the weak model in re-scoring, and the share that the filter leaves."""

    weight: float
    keep: float


@dataclass(frozen=True)
class TunedTranslator:
    """A translator, or what becomes of one when it is tuned on pairs; that is done when it is needed."""

    settings: MethodSettings
    start: Translator | TunedTranslator
    pairs: tuple[Pair, ...] = ()
    seed: int = 0

    def then(self, pairs: Sequence[Pair], seed: int) -> TunedTranslator:
        """Returns what becomes of it when it is tuned further, on pairs."""
        return TunedTranslator(self.settings, self, tuple(pairs), seed)

    @property
    def config(self) -> TranslatorConfig:
        """Returns how it is tuned."""
        return replace(self.settings.translator, updates=self.settings.updates, rate=self.settings.rate)

    @cached_property
    def key(self) -> str:
        """Computes a hash of all that it depends on, so that its translations are found without it."""
        before = self.start.key if isinstance(self.start, TunedTranslator) else self.start.stamp
        return text_key(self.pairs, (before, REVISION, self.config, self.seed)) if self.pairs else before

    @cached_property
    def translator(self) -> Translator:
        """Returns the translator; trains it now where it has pairs."""
        start = self.start.translator if isinstance(self.start, TunedTranslator) else self.start
        return train_translator(self.pairs, self.config, self.seed, start=start) if self.pairs else start

    def translations(self, english: Sequence[str]) -> Lists:
        """Translates sentences, each of them once however often it is there; keeps the lists in the cache."""
        once, best = list(dict.fromkeys(english)), self.settings.best
        store = CellStore(cache_dir() / "translations", config_hash([self.key, once, best]))
        with one_at_a_time(store.folder / self.key):
            if not store.has((self.key,)):
                store.put((self.key,), translate([self.translator], once, best, best))
        lists = [[Translation(*one) for one in some] for some in store.get((self.key,))]
        of = dict(zip(once, lists, strict=True))
        return [of[sentence] for sentence in english]


def general_translator(material: Material, settings: MethodSettings) -> Translator:
    """Returns the translator that learned from general pairs; trains it now if there is none yet."""
    return kept_translator(f"{material.name}-general", material.general, settings.translator)


def prompts_translator(material: Material, settings: MethodSettings) -> Translator:
    """Returns the translator that has also read the system's prompts; trains it now if there is none yet."""
    return kept_translator(f"{material.name}-prompts", [*material.general, *material.prompts], settings.translator)


def hindi_vectors(material: Material) -> VectorTable:
    """Returns the vectors of Hindi words, of the general pairs; trains them now if there are none yet."""
    return vectors_of(f"{material.name}-hindi", _hindi(material.general))


def stamps(material: Material, settings: MethodSettings) -> dict[str, str]:
    """Returns the identities of the translators and of the word vectors, by name."""
    found = {"translator": general_translator(material, settings), "Hindi vectors": hindi_vectors(material)}
    if material.prompts:
        found["translator with prompts"] = prompts_translator(material, settings)
    return {name: one.stamp for name, one in found.items()}


def translated_pairs(
    material: Material, size: int, seed: int, settings: MethodSettings, chosen: Choice
) -> dict[str, list[Pair]]:
    """Returns the English requests with the one translation of each that a method takes, where it takes one."""
    own, _ = material.draw(size, seed)
    base, english = TunedTranslator(settings, general_translator(material, settings)), material.english
    pool, near = readable(material, settings), selected_pairs(material, own, settings)
    likely = nearest(moore_lewis(own, _hindi(pool), seed), settings.selected)
    lists = base.translations(english)
    weak = weak_model(own, lists)

    def after(pairs: Sequence[Pair]) -> list[Pair]:
        return taught(english, base.then(pairs, seed).translations(english))

    near_first = base.then(near, seed)
    found = {
        "translated": taught(english, lists),
        "random": after([pool[k] for k in at_random(pool, len(near), seed)]),
        "moore_lewis": after([pool[k] for k in likely]),
        "selected": taught(english, near_first.translations(english)),
        "finetuned": after(taught(english, lists)),
        "rescored": taught(english, rescored(lists, weak, chosen.weight)),
        "filtered": taught(english, lists, filtered(lists, weak, chosen.keep)),
        "all": all_four(english, near_first, own, chosen, seed),
    }
    if material.prompts and size in settings.prompts_at:
        also = TunedTranslator(settings, prompts_translator(material, settings)).then(near, seed)
        found["prompts_all"] = all_four(english, also, own, chosen, seed)
    return found


def added_texts(material: Material, size: int, seed: int, settings: MethodSettings, chosen: Choice) -> dict[str, Texts]:
    """Returns what each method adds to the requests of a draw: nothing, a text, or several."""
    own, rest = material.draw(size, seed)
    lists = TunedTranslator(settings, general_translator(material, settings)).translations(material.english)
    found: dict[str, Texts] = {
        "in_domain": [],
        "general": [distinct(_hindi(material.general))],
        "near_text": [distinct(_hindi(selected_pairs(material, own, settings)))],
        "dictionary": [_glossed(material)],
        "pooled": [pooled(lists)],
        "drawn": [drawn(lists, settings.best, seed)],
        "human": [_hindi(material.human_beside(size, seed))],
        "rest": [rest],
    }
    if material.prompts:
        also = TunedTranslator(settings, prompts_translator(material, settings))
        found["prompts"] = [_hindi(material.prompts)]
        found["prompts_pooled"] = [pooled(also.translations(material.english))]
    pairs = translated_pairs(material, size, seed, settings, chosen)
    return found | {method: [_hindi(some)] for method, some in pairs.items()}


def quality(material: Material, size: int, seed: int, settings: MethodSettings, chosen: Choice) -> list[dict[str, Any]]:
    """Scores each method's translations against human ones, without those of the drawn dialogues; keeps the scores."""
    asked = [stamps(material, settings), repr(settings), chosen, material.english, material.human, material.hindi]
    store, key = CellStore(cache_dir() / "quality", config_hash(asked)), (material.name, size, seed)
    if not store.has(key):
        human, rows = material.human_beside(size, seed), []
        for method, pairs in translated_pairs(material, size, seed, settings, chosen).items():
            of = dict(pairs)
            if not (there := [pair for pair in human if pair.english in of]):
                continue  # a translator that writes nothing has no score
            found = score([of[pair.english] for pair in there], [pair.hindi for pair in there])
            rows.append({"method": method, "turns": len(there), **found._asdict()})
        store.put(key, rows)
    return store.get(key)


def all_four(
    english: Sequence[str], near: TunedTranslator, own: Sequence[Words], chosen: Choice, seed: int
) -> list[Pair]:
    """Returns the translations by all techniques, of a translator that is tuned on near pairs.

    Its lists are re-scored and filtered. It is tuned further on what is left of them, and on nothing else. The lists
    that it writes then are re-scored and filtered as well.
    """
    left = taught(english, *_chosen(own, near.translations(english), chosen))
    return taught(english, *_chosen(own, near.then(left, seed).translations(english), chosen))


def _chosen(own: Sequence[Words], lists: Lists, chosen: Choice) -> tuple[Lists, Lists]:
    """Re-scores lists by a weak model of the requests, and filters them by it: all, and those that are left."""
    weak = weak_model(own, lists)
    ordered = rescored(lists, weak, chosen.weight)
    return ordered, filtered(ordered, weak, chosen.keep)


def trials(material: Material, size: int, settings: MethodSettings, order: int) -> list[dict[str, float]]:
    """Measures each weight and share on requests of a draw that no cell has, and keeps the perplexities.

    A fifth of the requests is held out in turn. The others are all that the language models, the re-scoring and the
    filter read beside the translations. All perplexities are over one vocabulary.
    """
    base, own = TunedTranslator(settings, general_translator(material, settings)), material.draw(size, CHOSEN_ON)[0]
    options = [*(("weight", value) for value in settings.weights), *(("keep", value) for value in settings.keeps)]
    asked = [base.key, list(material.english), own, options, FOLDS, settings.best, order]
    store, key = CellStore(cache_dir() / "techniques", config_hash(asked)), (material.name, size)
    if not store.has(key):
        lists, surprise, tokens = base.translations(material.english), np.zeros(len(options)), 0
        for fold in range(FOLDS):
            learned = [words for k, words in enumerate(own) if k % FOLDS != fold]
            weak, vocabulary = weak_model(learned, lists), Vocabulary.of(learned, pooled(lists))
            for k, (name, value) in enumerate(options):
                text = first((rescored if name == "weight" else filtered)(lists, weak, value))
                measured = adapt(learned, [text] if text else [], vocabulary, order).model.perplexity(own[fold::FOLDS])
                surprise[k] += measured.tokens * np.log(measured.value)
            tokens += measured.tokens  # the same for all options
        values = np.exp(surprise / tokens).round(4).tolist()
        rows = [{name: value, "perplexity": p} for (name, value), p in zip(options, values, strict=True)]
        store.put(key, rows)
    return store.get(key)


def choose(tried: Sequence[dict[str, float]]) -> Choice:
    """Returns the weight and the share of the least perplexity."""
    best = (min((row for row in tried if name in row), key=lambda row: row["perplexity"]) for name in Choice._fields)
    return Choice(*(row[name] for name, row in zip(Choice._fields, best, strict=True)))


def _hindi(pairs: Sequence[Pair]) -> list[Words]:
    return [spoken(pair.hindi) for pair in pairs]


def distinct(texts: Iterable[Words]) -> list[Words]:
    """Returns the sentences of a text in their order, each once."""
    return [list(words) for words in dict.fromkeys(map(tuple, texts))]


def _glossed(material: Material) -> list[Words]:
    """Translates the English requests word by word; keeps them in the cache."""
    store = CellStore(cache_dir() / "translations", config_hash([list(material.english), list(material.general)]))
    with one_at_a_time(store.folder / f"{material.name}-dictionary"):
        if not store.has(name := (material.name, "dictionary")):
            words = dictionary(material.general)
            store.put(name, [gloss(text, words).split() for text in material.english])
    return store.get(name)


def readable(material: Material, settings: MethodSettings) -> list[Pair]:
    """Returns the general pairs that are short enough for the translator: it learns from no others."""
    translator = general_translator(material, settings)
    store = CellStore(cache_dir() / "translations", config_hash([translator.stamp, material.general]))
    if not store.has(name := (material.name, "readable")):
        fits = [
            max(len(translator.ids(text)) for text in pair) <= settings.translator.longest for pair in material.general
        ]
        store.put(name, np.flatnonzero(fits).tolist())
    return [material.general[k] for k in store.get(name)]


def selected_pairs(material: Material, own: Sequence[Words], settings: MethodSettings) -> list[Pair]:
    """Returns the readable general pairs whose Hindi is nearest to the centroid of the requests."""
    pairs, table = readable(material, settings), hindi_vectors(material)
    pool = _hindi(pairs)
    counts = Counter(word for text in (pool, own) for words in text for word in words)
    inside, outside = (sentence_vectors(table, text, counts) for text in (own, pool))
    return [pairs[k] for k in nearest(centroid_distances(inside, outside), settings.selected)]


def weak_model(own: Sequence[Words], lists: Lists) -> NGram:
    """Estimates a bigram model of the requests over all words of the translations, too."""
    return train(own, Vocabulary.of(own, pooled(lists)), 2)


def taught(english: Sequence[str], lists: Lists, only: Lists | None = None) -> list[Pair]:
    """Pairs English requests with their first translations that have words, and are first in ``only``, if given."""
    left = {best[0].text for best in (lists if only is None else only) if best}
    pairs = ((one, best[0].text) for one, best in zip(english, lists, strict=True) if best)
    return [Pair(one, text) for one, text in pairs if text in left and spoken(text)]
