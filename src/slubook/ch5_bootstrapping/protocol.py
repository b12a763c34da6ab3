"""Chapter 5's experiment: word errors of a Hindi recogniser whose language model also reads machine translations.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Requests*: user turns of HDRS, restaurants in Hindi. For each size N and seed, dialogues are drawn from its
  training part, and their first N turns taken. They are all the Hindi of the domain that a method may read: to
  estimate the language model, to weigh what else it reads, to choose pairs, to re-score and to filter.
- *English*: user turns of WOZ 2.0, without the dialogues that may be the original of an HDRS dev or test dialogue: all
  whose labels match one, and, for held-out dialogues that nothing matches, all that differ in one turn. Two held-out
  dialogues match nothing even so. A turn that was said twice is there twice.
- *Translator*: trained on general pairs alone, once for all seeds; pairs of more than 35 sub-words are left out. What a
  technique adds is trained on from there, for ``updates`` updates. ``translated`` is the translator as it is;
  ``selected`` goes on with general pairs near the N requests, ``moore_lewis`` with those that the two models of that
  method prefer, ``random`` with as many others; ``finetuned`` with its own translations of the English requests;
  ``rescored`` takes the best of a list by the language model of the N; ``filtered`` drops the improbable ones. ``all``
  does the four one after another: near pairs, then its own translations, re-scored and filtered, and what it writes
  then is re-scored and filtered again. ``pooled`` takes whole lists, ``drawn`` as many sentences, drawn by how probable
  the translator finds them. ``prompts_all`` and ``prompts_pooled`` are these on a translator that has also read the
  system's prompts in both languages, which the article does not have; the first is measured at the smallest size only,
  where its claim is. An ensemble of translators, and requests translated back into English, would take two more
  translators, for which a run of three hours has no time.
- *Techniques' settings*: the weight of re-scoring and the share that the filter leaves are chosen for each size, by the
  perplexity of held-out fifths of the N requests of draw 1000, which no seed uses. The tables of the results have every
  value that was tried. How many pairs are near, how many updates and translations: these were not tuned.
- *Controls*: as text, general Hindi and the Hindi of the near pairs, each sentence once, prompts, and a word-by-word
  dictionary's translations; human translations, without those of the dialogues that were drawn; the rest of HDRS.
- *Language model*: a trigram of the N requests, mixed with one of what a method adds. The mixture's weights are
  estimated on a fifth of the N that the first model is then trained without; it is trained again on all. The
  vocabulary of a recogniser is what its method has read. Perplexities are over one vocabulary, all methods' words.
- *Recogniser*: trained on general Hindi sentences in :data:`TRAINING_VOICES`. Weight and bonus of the language model
  are chosen for the baseline at each size, with the requests of draw 1000, by its word errors on 120 turns of HDRS dev
  dialogues in other voices than the test's. These turns are beyond the N. :data:`GRID` is tried, and while the best
  lies at its edge, one step further. What suits the baseline serves every method of that size.
- *Test*: HDRS test dialogues, each in one of :data:`TEST_VOICES`, which no training heard. A voice is a skill of the
  table, and a dialogue is one unit of it, with the words and errors of its turns. So intervals draw voices, seeds and
  dialogues. Few turns cannot be spoken for certain; these are left out.
- *Voices*: every claim is judged on the slice :data:`SLICE`, the voices of espeak-ng. Festival's is another
  synthesiser: the recogniser alone, without any language model, misses most of its characters. So it has a third of all
  errors, which no text mends, and an interval would say mostly how often that one voice was drawn. All voices together
  are a reading.
- *Quick*: this book's own pairs. Every fourth is the test, one unit each; the recogniser and the clips are shipped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

import joblib
import numpy as np

from slubook.ch5_bootstrapping.acoustic import AcousticConfig, AcousticModel, edits, train_recogniser
from slubook.ch5_bootstrapping.decoder import BeamDecoder, DecoderSettings
from slubook.ch5_bootstrapping.material import SHIPPED, Words, material_of
from slubook.ch5_bootstrapping.methods import (
    CHOSEN_ON,
    Choice,
    MethodSettings,
    TunedTranslator,
    added_texts,
    choose,
    general_translator,
    hindi_vectors,
    prompts_translator,
    quality,
    stamps,
    translated_pairs,
    trials,
)
from slubook.ch5_bootstrapping.ngram import NGram, Vocabulary, train
from slubook.ch5_bootstrapping.speech import FESTIVAL, TRAINING_VOICES, SpokenClips, say_all, speakable
from slubook.ch5_bootstrapping.techniques import adapt
from slubook.ch5_bootstrapping.translator import TranslatorConfig
from slubook.evaluation.intervals import Interval, ends
from slubook.evaluation.metrics import Counted
from slubook.evaluation.resampling import beside, bootstrap, collect
from slubook.experiments.cells import CellStore, Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row, Test
from slubook.experiments.runner import Work
from slubook.experiments.stamps import config_hash
from slubook.experiments.table import EXPERIMENTS
from slubook.profiles import cache_dir, seed_everything

SIZES = {"quick": (20, 80), "full": (100, 250, 1000, 2000)}
#: General sentences that train the recogniser.
SPOKEN = 2400
#: Weights of the language model and bonuses of a word that are tried first, in even steps; how far they may go.
GRID = {"weight": (0.6, 0.9, 1.2, 1.5), "bonus": (-1.0, 0.0, 1.0, 2.0, 3.0)}
LIMITS = {"weight": (0.0, 3.9), "bonus": (-6.0, 8.0)}
#: The dialogues that claims are judged on: those in a voice of the synthesiser that trained the recogniser.
SLICE = "espeak"
#: The quick profile's translator: a few pairs teach it little; it shows the machinery.
BRIEF = TranslatorConfig(pieces=300, width=64, updates=200, batch=16)


@dataclass(frozen=True)
class BootstrapSettings:
    """Order of the language models, settings of methods, decoder and recogniser."""

    order: int = 3
    methods: MethodSettings = field(default_factory=MethodSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    acoustic: AcousticConfig = field(default_factory=AcousticConfig)


def settings_of(kind: str) -> BootstrapSettings:
    """Returns the settings; the quick profile has a small translator."""
    if kind == "quick":
        return BootstrapSettings(methods=MethodSettings(BRIEF, updates=20, selected=20))
    return BootstrapSettings()


def config_of(kind: str, settings: BootstrapSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    methods = list(EXPERIMENTS["bootstrapping"].methods)
    return {"profile": kind, "sizes": SIZES[kind], "compared": methods, "grid": GRID, **asdict(settings)}


def prepare(options: Options, settings: BootstrapSettings) -> Work:
    """Plans a run: speaks the test, trains the networks and chooses the settings, where that was not done yet."""
    kind, sizes = options.profile, SIZES[options.profile]
    material = material_of(kind)
    with joblib.parallel_config(backend=options.backend, n_jobs=options.jobs):
        work, made = joblib.Parallel(batch_size=1), [_general, _prompts, recogniser_of]
        draws = [(size, seed) for size in sizes for seed in range(options.draws)]
        work(joblib.delayed(make)(kind, settings) for make in made)
        work(joblib.delayed(_tune)(kind, size, settings) for size in sizes)
        work(joblib.delayed(_translate)(kind, *draw, settings, options.until) for draw in draws)
    keys = [(voice, n, seed) for seed in range(options.draws) for n in sizes for voice in material.tests]
    tests = {voice: _test(kind, voice, *test) for voice, test in material.tests.items()}
    texts = {name: config_hash(getattr(material, name)) for name in ("hindi", "english", "human", "prompts", "general")}
    clips = {f"speech {voice}": test[0].key for voice, test in material.tests.items()}

    def task(key: Key) -> Task:
        return measure_cell, (kind, *key, settings)

    def tables(rows: Sequence[Row], known: Mapping[str, Any]) -> dict[str, Any]:
        tried = {n: trials(material, n, settings.methods, settings.order) for n in sizes}
        techniques = [{"size": n, **row} for n in sizes for row in tried[n]]
        decoder = [{"size": n, **row} for n in sizes if material.dev for row in decoder_trials(kind, n, settings)]
        measured = [n for n in sizes if any(row.size == n for row in rows)]
        scores = [{"size": n, **row} for n in measured for row in quality(*_draw(kind, n, 0, settings))]
        return {"techniques": techniques, "decoder": decoder, "quality": scores, **rare_over_common(rows, sizes)}

    return Work(keys, task, tests, {**texts, **clips, "recogniser": recogniser_of(kind, settings).key}, tables)


def _general(kind: str, settings: BootstrapSettings) -> None:
    """Makes what every size reads: the general translator, its own translations, and the word vectors."""
    material = material_of(kind)
    hindi_vectors(material)
    TunedTranslator(settings.methods, general_translator(material, settings.methods)).translations(material.english)


def _prompts(kind: str, settings: BootstrapSettings) -> None:
    """Makes the translator that has read prompts and its translations, where there are prompts."""
    if (material := material_of(kind)).prompts:
        also = prompts_translator(material, settings.methods)
        TunedTranslator(settings.methods, also).translations(material.english)


def _tune(kind: str, size: int, settings: BootstrapSettings) -> None:
    """Chooses the settings of decoder and techniques at one size."""
    seed_everything(0, threads=1)
    decoder_of(kind, size, settings)
    choice_of(kind, size, settings)


def _translate(kind: str, size: int, seed: int, settings: BootstrapSettings, until: float) -> None:
    """Makes the translations that the cells of a draw share, one draw on each process: no cell waits for another's."""
    if time.time() < until:
        seed_everything(0, threads=1)
        (quality if seed == 0 else translated_pairs)(*_draw(kind, size, seed, settings))


def _draw(kind: str, size: int, seed: int, settings: BootstrapSettings) -> tuple:
    """What the translations of a draw depend on."""
    return material_of(kind), size, seed, settings.methods, choice_of(kind, size, settings)


def choice_of(kind: str, size: int, settings: BootstrapSettings) -> Choice:
    """Returns the settings of re-scoring and filter at a size."""
    return choose(trials(material_of(kind), size, settings.methods, settings.order))


def decoder_trials(kind: str, size: int, settings: BootstrapSettings) -> list[dict[str, float]]:
    """Counts the baseline's word errors on the dev clips for each weight and bonus; keeps them."""
    material, recogniser = material_of(kind), recogniser_of(kind, settings)
    asked = [recogniser.key, material.dev.key, material.hindi, GRID, LIMITS, settings.order, asdict(settings.decoder)]
    store, key = CellStore(cache_dir() / "decoder", config_hash(asked)), (size, CHOSEN_ON)
    if not store.has(key):
        own, _ = material.draw(size, CHOSEN_ON)
        model, outputs = train(own, Vocabulary.of(own), settings.order), _outputs(recogniser, material.dev)

        def count(weight: float, bonus: float) -> int:
            tried = replace(settings.decoder, weight=weight, bonus=bonus)
            return int(word_errors(BeamDecoder(model, recogniser.alphabet, tried), outputs, material.dev.texts).sum())

        store.put(key, search(count))
    return store.get(key)


def search(count: Callable[[float, float], int]) -> list[dict[str, float]]:
    """Counts errors for the weights and bonuses of the grid, and of a step more while the best lies at its edge.

    Returns:
        what was tried, the best first; of equal ones, that with the least weight and bonus.

    Raises:
        ValueError: when the best lies at an edge that may go no further: decode in another way, or widen ``LIMITS``.
    """
    axes, errors = {name: list(values) for name, values in GRID.items()}, {}
    while True:
        for point in product(*axes.values()):
            if point not in errors:
                errors[point] = count(*point)
        best = min(errors, key=lambda point: (errors[point], point))
        further = {}
        for (name, values), value in zip(axes.items(), best, strict=True):
            step = round(values[1] - values[0], 6)
            if value in (values[0], values[-1]):
                further[name] = round(value - step if value == values[0] else value + step, 6)
        if not further:
            found = sorted(errors, key=lambda point: (errors[point], point))
            return [{"weight": weight, "bonus": bonus, "errors": errors[weight, bonus]} for weight, bonus in found]
        for name, value in further.items():
            low, high = LIMITS[name]
            if not low <= value <= high:
                raise ValueError(f"the best {name} of the decoder lies at {best}, where its limits {low, high} end")
            axes[name] = sorted([*axes[name], value])


def decoder_of(kind: str, size: int, settings: BootstrapSettings) -> DecoderSettings:
    """Returns the decoder's settings at a size: those with the fewest errors on dev clips, where there are such."""
    if not material_of(kind).dev:
        return settings.decoder
    best = decoder_trials(kind, size, settings)[0]
    return replace(settings.decoder, weight=best["weight"], bonus=best["bonus"])


def word_errors(decoder: BeamDecoder, outputs: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
    """Counts the word errors of each clip, of a recogniser's outputs [T, C] for it and its text: [clips]."""
    heard = [decoder.decode(one)[0].words for one in outputs]
    return np.array([edits(text.split(), words) for text, words in zip(texts, heard, strict=True)])


def rare_over_common(rows: Sequence[Row], sizes: Sequence[int]) -> dict[str, Any]:
    """Returns by how much more all techniques gain at the smallest size than at the largest but one, when measured.

    It is over the draws that were measured at both sizes; the result is empty where there is none.
    """
    few, many, pair = sizes[0], sizes[-2:][0], ["in_domain", "all"]
    both = Counter((row.skill, row.seed) for row in rows if row.size in (few, many) and row.method in pair)
    rows = [row for row in rows if both[row.skill, row.seed] == 2 * len(pair) and row.slices[SLICE].any()]
    if few == many or not rows:
        return {}
    skills = beside(*(collect(rows, "wer", pair, size, SLICE) for size in (few, many)))
    errors, means = bootstrap(skills, None, 2000, 0, crossed=True)
    gains = [1 - some[..., 1] / some[..., 0] - (1 - some[..., 3] / some[..., 2]) for some in (errors.mean(0), means)]
    return {"rare_over_common": Interval(float(gains[0]), *ends(gains[1]), len(skills)).figure()}


@cache
def recogniser_of(kind: str, settings: BootstrapSettings) -> AcousticModel:
    """Returns the shipped recogniser, or the one that is trained on general Hindi, if need be now."""
    if kind == "quick":
        return AcousticModel.load(SHIPPED / "recogniser")
    texts = [text for pair in material_of(kind).general if (text := speakable(pair.hindi))]
    texts = [text for text in dict.fromkeys(texts) if 3 <= len(text.split()) <= 12 and len(text) <= 70]
    drawn = [texts[k] for k in np.random.default_rng(0).permutation(len(texts))[:SPOKEN]]
    voices = [TRAINING_VOICES[k % len(TRAINING_VOICES)] for k in range(len(drawn))]
    return train_recogniser("general", say_all("general", drawn, voices), settings.acoustic)


class Models(NamedTuple):
    """What the cells of a draw share: of each method its language model, its other one, and seconds of training.

    The first is over the words that the method has read, the other over all methods' words.
    """

    of: dict[str, tuple[NGram, NGram, float]]
    stamps: dict[str, str]


@lru_cache(1)
def models_of(kind: str, size: int, seed: int, settings: BootstrapSettings) -> Models:
    """Estimates the language models of all methods for a draw."""
    material, models = material_of(kind), {}
    own, _ = material.draw(size, seed)
    texts = added_texts(*_draw(kind, size, seed, settings))
    shared = Vocabulary.of(own, *(text for added in texts.values() for text in added))
    for method, found in texts.items():
        start, added = time.perf_counter(), [text for text in found if text]  # a poor translator may write nothing
        model = adapt(own, added, Vocabulary.of(own, *added), settings.order).model
        trained = time.perf_counter() - start
        models[method] = model, adapt(own, added, shared, settings.order).model, trained
    return Models(models, stamps(material, settings.methods))


@cache
def _heard(kind: str, voice: str, settings: BootstrapSettings) -> list[np.ndarray]:
    return _outputs(recogniser_of(kind, settings), material_of(kind).tests[voice][0])


def _outputs(recogniser: AcousticModel, clips: SpokenClips) -> list[np.ndarray]:
    """The recogniser's outputs for each clip, [T, C]."""
    return [recogniser.log_probs(one) for one in clips.features]


def measure_cell(kind: str, voice: str, size: int, seed: int, settings: BootstrapSettings) -> Measured:
    """Measures one cell, in a worker: the word errors of every method's language model on one voice's dialogues."""
    clips, units = material_of(kind).tests[voice]
    outputs, decoder = _heard(kind, voice, settings), decoder_of(kind, size, settings)
    alphabet, models = recogniser_of(kind, settings).alphabet, models_of(kind, size, seed, settings)
    said = [text.split() for text in clips.texts]
    rows = []
    for method, (model, scored, train_s) in models.of.items():
        start = time.perf_counter()
        errors = word_errors(BeamDecoder(model, alphabet, decoder), outputs, clips.texts)
        each_ms = 1000 * (time.perf_counter() - start) / len(said)
        nbytes = sum(level.keys.nbytes + level.prob.nbytes + level.backoff.nbytes for level in model.levels)
        unknown = sum(word not in model.vocabulary.index for text in said for word in text)
        figures = {"lexicon": len(model.vocabulary), "oov": unknown / sum(map(len, said))}
        counted = Counted(errors=by_unit(errors, units), **truth(said, units), **log_probs(scored, said, units))
        rows.append(Row(voice, method, size, seed, counted, train_s, each_ms, nbytes, figures=figures))
    return Measured(rows, models.stamps)


def by_unit(values: Sequence[float] | np.ndarray, units: Sequence[str]) -> np.ndarray:
    """Adds up the values of a unit's clips, in the order in which units begin."""
    place = {unit: k for k, unit in enumerate(dict.fromkeys(units))}
    total = np.zeros(len(place), np.asarray(values).dtype)
    np.add.at(total, [place[unit] for unit in units], values)
    return total


def truth(said: Sequence[Words], units: Sequence[str]) -> dict[str, np.ndarray]:
    """Counts what no method changes: words, and what a language model predicts, the ends of sentences included."""
    words = np.array([len(text) for text in said])
    return {"words": by_unit(words, units), "tokens": by_unit(words + 1, units)}


def log_probs(model: NGram, said: Sequence[Words], units: Sequence[str]) -> dict[str, np.ndarray]:
    """Adds up ln P of the known words and end marks, and counts the unknown words."""
    windows = model.vocabulary.windows(said, model.order)
    known, clip = windows[:, -1] != 0, np.repeat(np.arange(len(said)), [len(text) + 1 for text in said])
    sums = np.bincount(clip, np.where(known, model.log_probs(windows), 0.0), len(said))
    return {
        "log_probability": by_unit(sums, units),
        "oov": by_unit(np.bincount(clip[~known], minlength=len(said)), units),
    }


def _test(kind: str, voice: str, clips: SpokenClips, units: Sequence[str]) -> Test:
    corpus = "own" if kind == "quick" else "hdrs"
    columns, ids = truth([text.split() for text in clips.texts], units), tuple(dict.fromkeys(units))
    return Test(corpus, "restaurants", ids, slices={SLICE: np.full(len(ids), voice != FESTIVAL)}, truth=columns)
