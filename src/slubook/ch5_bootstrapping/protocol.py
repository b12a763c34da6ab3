"""Chapter 5's experiment: word errors of a Hindi recogniser whose language model also reads machine translations.

Protocol (decided before any test figure was looked at; raise its number in the table when its meaning changes):

- *Requests*: user turns of HDRS, restaurants in Hindi. For each size N and seed, dialogues are drawn from its
  training part, and their first N turns taken. They are all the Hindi of the domain that a method may read: to
  estimate the language model, to weigh what else it reads, to choose pairs, to re-score and to filter.
- *English*: user turns of WOZ 2.0, without the dialogues that may be the original of an HDRS dev or test dialogue: all
  whose labels match one, and, for held-out dialogues that nothing matches, all that differ in one turn. Two held-out
  dialogues match nothing even so. A turn that was said twice is there twice.
- *Translator*: trained on general pairs alone, once for all seeds. What a technique adds is trained on from there, for
  ``updates`` updates. ``translated`` is the translator as it is; ``selected`` goes on with general pairs near the N
  requests, ``random`` with as many others; ``finetuned`` with its own translations of the English requests;
  ``rescored`` takes the best of a list by the language model of the N; ``filtered`` drops the improbable ones;
  ``all`` does the four together. ``pooled`` takes whole lists, ``drawn`` as many sentences, drawn by how probable the
  translator finds them. ``prompts_all`` and ``prompts_pooled`` are these on a translator that has also read the
  system's prompts in both languages, which the article does not have.
- *Controls*: general Hindi, prompts and a word-by-word dictionary as text; human translations; the rest of HDRS.
- *Language model*: a trigram of the N requests, mixed with one of what a method adds. The mixture's weights are
  estimated on a fifth of the N that the first model is then trained without; it is trained again on all. The
  vocabulary of a recogniser is what its method has read. Perplexities are over one vocabulary, all methods' words.
- *Recogniser*: trained on general Hindi sentences in :data:`TRAINING_VOICES`. Weight and bonus of the language model
  are chosen from :data:`GRID` for the baseline at N = 250, a draw that no seed uses, by its word errors on HDRS dev
  dialogues in other voices than the test's. They serve every method.
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from tqdm import tqdm

from slubook.ch5_bootstrapping.acoustic import AcousticConfig, AcousticModel, edits, train_recogniser
from slubook.ch5_bootstrapping.decoder import BeamDecoder, DecoderSettings
from slubook.ch5_bootstrapping.material import SHIPPED, Words, material_of
from slubook.ch5_bootstrapping.methods import MethodSettings, added_texts
from slubook.ch5_bootstrapping.ngram import NGram, Vocabulary, train
from slubook.ch5_bootstrapping.speech import FESTIVAL, TRAINING_VOICES, SpokenClips, say_all, speakable
from slubook.ch5_bootstrapping.techniques import adapt
from slubook.ch5_bootstrapping.translator import TranslatorConfig
from slubook.evaluation.intervals import Interval, ends
from slubook.evaluation.metrics import Counted
from slubook.evaluation.resampling import beside, bootstrap, collect
from slubook.experiments.cells import CellStore, Key, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row, Test
from slubook.experiments.runner import Work
from slubook.experiments.stamps import config_hash
from slubook.profiles import cache_dir

SIZES = {"quick": (20, 80), "full": (100, 250, 1000, 2000)}
#: General sentences that train the recogniser.
SPOKEN = 2400
#: Weights of the language model and bonuses of a word that are tried, and the draw that they are tried on.
GRID = tuple((weight, bonus) for weight in (0.6, 0.9, 1.2, 1.5) for bonus in (0.0, 1.0, 2.0))
TUNED_ON = (250, 1000)
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
    return {"profile": kind, "sizes": SIZES[kind], **asdict(settings)}


def prepare(options: Options, settings: BootstrapSettings) -> Work:
    """Plans a run: speaks the test and trains the recogniser where that was not done yet."""
    kind = options.profile
    material, recogniser = material_of(kind), recogniser_of(kind, settings)
    keys = [(v, n, seed) for v in material.tests for seed in range(options.draws) for n in SIZES[kind]]
    tests = {voice: _test(kind, voice, *test) for voice, test in material.tests.items()}
    texts = {name: config_hash(getattr(material, name)) for name in ("hindi", "english", "human", "prompts", "general")}
    clips = {f"speech {voice}": test[0].key for voice, test in material.tests.items()}

    def task(key: Key) -> Task:
        return measure_cell, (kind, *key, settings)

    trials = decoder_trials(settings) if material.dev else []

    def tables(rows: Sequence[Row], known: Mapping[str, Any]) -> dict[str, Any]:
        return {"decoder": trials, **rare_over_common(rows, SIZES[kind])}

    return Work(keys, task, tests, {**texts, **clips, "recogniser": recogniser.key}, tables)


def decoder_trials(settings: BootstrapSettings) -> list[dict[str, float]]:
    """Counts the baseline's word errors on the dev clips for each weight and bonus of the grid; keeps them."""
    material, recogniser = material_of("full"), recogniser_of("full", settings)
    store = CellStore(cache_dir() / "decoder", config_hash([recogniser.key, material.dev.key, GRID, settings.order]))
    if not store.has(TUNED_ON):
        own, _ = material.draw(*TUNED_ON)
        model, trials = train(own, Vocabulary.of(own), settings.order), []
        outputs = [recogniser.log_probs(one) for one in material.dev.features]
        for weight, bonus in tqdm(GRID, desc="decoder", unit="trial", disable=None):
            tried = replace(settings.decoder, weight=weight, bonus=bonus)
            errors = word_errors(BeamDecoder(model, recogniser.alphabet, tried), outputs, material.dev.texts)
            trials.append({"weight": weight, "bonus": bonus, "errors": int(errors.sum())})
        store.put(TUNED_ON, trials)
    return store.get(TUNED_ON)


def decoder_of(kind: str, settings: BootstrapSettings) -> DecoderSettings:
    """Returns the decoder's settings: those with the fewest errors on dev clips, where there are such."""
    if kind == "quick":
        return settings.decoder
    best = min(decoder_trials(settings), key=lambda trial: trial["errors"])
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


def measure_cell(kind: str, voice: str, size: int, seed: int, settings: BootstrapSettings) -> list[Row]:
    """Measures one cell, in a worker: the word errors of every method's language model on one voice's dialogues."""
    material, recogniser = material_of(kind), recogniser_of(kind, settings)
    clips, units = material.tests[voice]
    own, rest = material.draw(size, seed)
    texts = added_texts(material, own, rest, settings.methods, seed)
    shared = Vocabulary.of(own, *(text for added in texts.values() for text in added))
    outputs, decoder = [recogniser.log_probs(one) for one in clips.features], decoder_of(kind, settings)
    said = [text.split() for text in clips.texts]
    rows = []
    for method, added in texts.items():
        start = time.perf_counter()
        model = adapt(own, added, Vocabulary.of(own, *added), settings.order).model
        trained = time.perf_counter()
        errors = word_errors(BeamDecoder(model, recogniser.alphabet, decoder), outputs, clips.texts)
        each_ms = 1000 * (time.perf_counter() - trained) / len(said)
        scored = adapt(own, added, shared, settings.order).model
        nbytes = sum(level.keys.nbytes + level.prob.nbytes + level.backoff.nbytes for level in model.levels)
        unknown = sum(word not in model.vocabulary.index for text in said for word in text)
        figures = {"lexicon": len(model.vocabulary), "oov": unknown / sum(map(len, said))}
        counted = Counted(errors=by_unit(errors, units), **truth(said, units), **log_probs(scored, said, units))
        rows.append(Row(voice, method, size, seed, counted, trained - start, each_ms, nbytes, figures=figures))
    return rows


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
