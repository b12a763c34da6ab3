"""Measures what the previous turn is worth to a recogniser.

Protocol (decided before any figure of SGD's test services was looked at; raise its number in the table when its meaning
changes):

- *Clips*: spoken by four voices of flite, each clean or in noise at 35, 30 or 25 dB, which the turn's id decides.
  Quick: those that ship, of our own texts. Full: follow-ups of SGD to services that no training or dev
  dialogue has, 55 a service; ours that ask which of several was meant (80 contacts, 60 devices, 60 places); and 300
  first turns of SGD. Turns with digits, or of more than 14 words, are left out. Our dev and test turns share wordings
  and entries, but for the surnames.
- *The mix*: the claim's figure pools the words of all follow-ups. SGD's and ours count as three to one by turns, as
  eight to one by words. Strata stand beside it. First turns are no follow-ups, and are judged by themselves.
- *Orders*: 207 of coffee, which people spoke, with the menu as context, and nothing tuned on them. There are no
  transcripts, so the share of slot values that are not heard is counted. They are not part of the mix.
- *Baseline*: decoder A, the general language model mixed with that of the domain; never the general one alone. All
  language models, templates and encoders learn from training dialogues. What A's model is mixed of is chosen on dev, by
  A's errors, of four ways; what B's is mixed of, by B's errors on follow-ups, of four as well.
- *Proposal*: A, or B with the context of the turn where its path score plus δ exceeds A's. δ is chosen on dev dialogues
  of other services: the one with the fewest errors on follow-ups among those that do no harm to 100 first turns. So are
  the δ of ``empty`` and ``type``, which are B without context, and with the kind of the prompt alone; the bonus of
  phrase boosting; and the weights of the neural model and of its twin, on equal grids.
- *Controls*: ``shuffled``, another turn's context of the same kind without what was said; ``stale``, that of the
  interaction before; both with the proposal's δ. A first turn has the context of an interaction that it does not
  follow: the user has changed the subject. 10 and 1,000 entries instead of 100, for contacts, devices and places.
- *Bias*: a word counts as biased where an entry of the true context has it and it is not among the 100 most frequent
  of training replies.
- *Intervals* draw services, then dialogues within them, and of our strata, which stay, turns; 2,000 times. Those with
  services held fixed stand beside the claim's figure. Nothing but the shuffling has a seed; there is one draw.

Before this, a table of the clips that ship had been seen. After it, which first turns are drawn, the contexts before,
and the first turns of training texts were changed; after a review, without a figure, the shuffled contexts, the
catalogues, the tuning of mixtures, the number of first turns on dev, and intervals over services.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from slubook.ch6_contextual import context as made_of
from slubook.ch6_contextual import lists as made
from slubook.ch6_contextual.context import Replies, Weights, boost, union
from slubook.ch6_contextual.data import (
    DISAMBIGUATION,
    ORDERS,
    Context,
    Turn,
    coffee_orders,
    our_turns,
    read_turns,
    sgd_turns,
)
from slubook.ch6_contextual.encoder import ContextEncoder, EncoderConfig, train_encoder
from slubook.ch6_contextual.lists import LARGE, OURS, SMALL, Decoders, Lists, contexts, our_training, samples
from slubook.ch6_contextual.recogniser import Decoded, select
from slubook.ch6_contextual.scoring import count
from slubook.ch6_contextual.speech import LEVELS, VOICES, drawn, spoken
from slubook.corpora.download import fetch
from slubook.corpora.errors import CorpusError
from slubook.evaluation.intervals import Interval, ends
from slubook.evaluation.metrics import Counted
from slubook.experiments.cells import CellStore
from slubook.experiments.options import Options
from slubook.experiments.records import Row, Test
from slubook.experiments.runner import Work
from slubook.experiments.stamps import config_hash
from slubook.profiles import cache_dir

FIRST, BLIND = "first", "neural_blind"
#: The size of the cells: entries of a catalogue of ours.
ENTRIES = 100
#: The contexts of decoder B whose δ is tuned, and those that have the proposal's.
TUNED, CONTROLS = ("empty", "type", "context"), ("shuffled", "stale")
#: Clips of the full profile: of each test service and of each dev service, of ours by kind, and first turns.
PER_SERVICE, PER_DEV, OURS_TEST, OURS_DEV, FIRST_TEST, FIRST_DEV = 55, 15, (80, 60, 60), (14, 14, 14), 300, 100
REPLICATES, COMMON, QUICK_UPDATES = 2000, 100, 400
#: What is tried: what the general model weighs in A's, and domain, kind and context in B's.
GENERAL, MIXED = (0.5, 0.1, 0.3, 0.7), ((0.3, 0.2, 0.5), (0.5, 0.2, 0.3), (0.2, 0.4, 0.4), (0.2, 0.1, 0.7))
#: What lists depend on beside their turn and weights.
RECIPE = (made_of.TOP, made_of.VOCABULARY, made_of.LEAST, made_of.NAMED, made_of.PART, made_of.TEXT, VOICES, LEVELS)
_DELTAS = range(-4000, 2001, 100)
_BONUSES = (0, 25, 50, 100, 200, 400)
_ALPHAS, _KAPPAS = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0), (0.02, 0.1, 0.5)


@dataclass(frozen=True)
class ContextualSettings:
    """What language models are mixed with, and how the encoder is trained."""

    weights: Weights = field(default_factory=Weights)
    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(updates=6000))


@dataclass(frozen=True)
class Tuned:
    """What dev chose: δ by context, the bonus, and α and κ of the encoder and of its twin."""

    delta: Mapping[str, float]
    bonus: float
    neural: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Example:
    """A turn with what the decoders made of it, and the context that B had: not its own where the subject changed."""

    turn: Turn
    context: Context
    lists: Lists
    biased: frozenset[str]

    @classmethod
    def of(cls, turn: Turn, others: Sequence[Turn], lists: Lists, common: frozenset[str]) -> Example:
        """Joins a turn with its lists; ``common`` words are never biased."""
        return cls(turn, contexts(turn, others)["context"], lists, turn.context.words - common)

    def counted(self, text: str) -> list[int]:
        """Returns words, errors, biased words and errors on them, of a text that was recognised.

        Of a turn that nobody wrote down, they are its values, those that were not heard, and zeros.
        """
        if values := self.turn.values:
            return [len(values), sum(f" {value} " not in f" {text} " for value in values), 0, 0]
        counts = count(self.turn.text, text, self.biased)
        return [*map(int, (counts[:, 0].sum(), counts[:, 1:].sum(), counts[1, 0], counts[1, 1:].sum()))]

    def errors(self, text: str) -> int:
        """Counts the words that are wrong."""
        return self.counted(text)[1]

    def has(self, name: str) -> bool:
        """Tells whether B decoded it in a context, by name; a user's own lists may lack some."""
        first = self.turn.stratum == FIRST and name in CONTROLS
        return name in self.lists or (first and "type" in self.lists)

    def heard(self, name: str) -> Decoded:
        """Returns what B made of it in a context, by name; a first turn has no other wrong context than its own."""
        return self.lists.get(name) or self.lists["context"]

    def features(self, encoder: ContextEncoder, blind: bool) -> tuple[list[str], np.ndarray]:
        """Returns the hypotheses of A and B and, of each, [N, 4]: path of its list, how far it is behind, B's, ln P."""
        rows = [
            (text, heard.path, score - heard.hypotheses[0][1], from_b)
            for from_b, heard in enumerate((self.lists["a"], self.lists["context"]))
            for text, score in heard.hypotheses
        ] or [("", 0.0, 0.0, False)]
        texts = [row[0] for row in rows]
        log_p = encoder.score(texts, None if blind else encoder.vector(self.context))
        return texts, np.column_stack([np.array([row[1:] for row in rows], dtype=float), log_p])


def best(texts: Sequence[str], features: np.ndarray, delta: float, alpha: float, kappa: float) -> str:
    """Returns the hypothesis with the largest weighted sum; with α = 0 it is the best of the list that δ selects."""
    path, behind, from_b, log_p = features.T
    return texts[int(np.argmax(path + delta * from_b + kappa * behind + alpha * log_p))]


def tune(dev: Sequence[Example], encoders: Mapping[str, ContextEncoder]) -> Tuned:
    """Chooses by the errors on dev: the fewest on follow-ups, among those that do no harm to first turns."""

    def errors(choose: Callable[[Example], str]) -> tuple[int, int]:
        of = Counter()
        for example in dev:
            of[example.turn.stratum == FIRST] += example.errors(choose(example))
        return max(of[True], harmless), of[False]

    harmless = sum(e.errors(e.lists["a"].text) for e in dev if e.turn.stratum == FIRST)
    chosen = {
        name: min(_DELTAS, key=lambda d: errors(lambda e: select(e.lists["a"], e.heard(name), d).text))  # noqa: B023
        for name in TUNED
        if all(example.has(name) for example in dev)
    }
    bonus = min(_BONUSES, key=lambda b: errors(lambda e: boost(e.lists["a"], e.context, b)))
    neural = {}
    for name, encoder in encoders.items():
        found = {example.turn.id: example.features(encoder, name == BLIND) for example in dev}
        grid = product(_DELTAS[::2], _ALPHAS, _KAPPAS)
        neural[name] = min(grid, key=lambda way: errors(lambda e: best(*found[e.turn.id], *way)))  # noqa: B023
    return Tuned(chosen, bonus, neural)


def answers(example: Example, tuned: Tuned, encoders: Mapping[str, ContextEncoder]) -> dict[str, str]:
    """Returns the text of each method."""
    lists = example.lists
    found = {name: lists[name].text for name in ("general", "a") if name in lists}
    found["boost"] = boost(lists["a"], example.context, tuned.bonus)
    for name in filter(example.has, (*TUNED, *CONTROLS)):
        found[name] = select(lists["a"], example.heard(name), tuned.delta.get(name, tuned.delta["context"])).text
    for name, encoder in encoders.items():
        found[name] = best(*example.features(encoder, name == BLIND), *tuned.neural[name])
    lists_of = {"oracle_a": [lists["a"]], "oracle_both": [lists["a"], lists["context"]]}
    return found | {name: min(union(some) or [""], key=example.errors) for name, some in lists_of.items()}


def rows_of(skill: str, examples: Sequence[Example], tuned: Tuned, encoders: Mapping[str, ContextEncoder]) -> list[Row]:
    """Measures all methods on the examples of a stratum; other sizes of catalogues where there are such lists."""
    texts = [answers(example, tuned, encoders) for example in examples]
    rows = [
        Row(skill, method, ENTRIES, 0, counted([e.counted(t[method]) for e, t in zip(examples, texts, strict=True)]))
        for method in texts[0]
    ]
    for name, size in (("small", SMALL), ("large", LARGE)):
        if all(name in example.lists for example in examples):
            chosen = [select(e.lists["a"], e.lists[name], tuned.delta["context"]).text for e in examples]
            for method, said in (("a", [e.lists["a"].text for e in examples]), ("context", chosen)):
                numbers = [e.counted(t) for e, t in zip(examples, said, strict=True)]
                rows.append(Row(skill, method, size, 0, counted(numbers)))
    return rows


def counted(numbers: Sequence[Sequence[int]]) -> Counted:
    """Returns outcomes of the numbers of :meth:`Example.counted`, an utterance a row."""
    return Counted(*np.array(numbers, dtype=np.int64).reshape(-1, 4).T)


def test_of(turns: Sequence[Turn], common: frozenset[str], topic: str) -> Test:
    """Returns the test of a stratum, with slices by voice and by noise."""
    truth = np.array([Example(t, t.context, {}, t.context.words - common).counted(t.text) for t in turns])
    spoken_by = [drawn(turn.id) for turn in turns]
    slices = {voice: np.array([v == voice for v, _ in spoken_by]) for voice in VOICES}
    slices |= {"clean": np.array([level is None for _, level in spoken_by])}
    parts = {"words": truth[:, 0], "biased_words": truth[:, 2]}
    corpus = {"sgd": "sgd", ORDERS: "speech_to_intent"}.get(turns[0].id.split("/")[0], "dialogues")
    return Test(corpus, topic, tuple(turn.id for turn in turns), None, slices, parts)


def reduction(
    rows: Sequence[Row], ids: Mapping[str, Sequence[str]], proposed: str, baseline: str = "a",
    skills: Collection[str] | None = None, size: int = ENTRIES, gain: bool = False, drawn: bool = True,
) -> dict[str, float] | None:  # fmt: skip
    """Computes by how much errors are reduced, of pooled words; ``gain`` gives points of WER instead.

    Services of SGD are drawn, if they are ``drawn``, and dialogues within each; strata of ours stay.

    Returns:
        point, ends and turns of the figure; ``None`` where a method was not measured.
    """
    own = {(r.skill, r.method): r.outcomes for r in rows if r.size == size and (skills is None or r.skill in skills)}
    names = [skill for skill, method in own if method == proposed and (skill, baseline) in own]
    if not names:
        return None
    services = [name for name in names if drawn and is_service(name, ids)]
    rng, sums = np.random.default_rng(0), np.zeros((REPLICATES + 1, 3))
    times = dict.fromkeys(names, np.ones(REPLICATES, dtype=int))  # how often each is drawn
    if services:
        drawn_services = rng.multinomial(len(services), np.full(len(services), 1 / len(services)), REPLICATES)
        times |= dict(zip(services, drawn_services.T, strict=True))
    for name in names:
        parts = np.column_stack([own[name, baseline].errors, own[name, proposed].errors, own[name, baseline].words])
        _, group = np.unique([dialogue(turn) for turn in ids[name]], return_inverse=True)
        by_group = np.zeros((group.max() + 1, 3))
        np.add.at(by_group, group, parts)
        counts = rng.multinomial(len(by_group) * times[name], np.full(len(by_group), 1 / len(by_group)))
        sums += np.vstack([by_group.sum(axis=0), counts @ by_group])
    before, after, words = sums.T
    value = (before - after) / (words if gain else np.maximum(before, 1))
    return Interval(float(value[0]), *ends(value[1:]), sum(len(ids[name]) for name in names)).figure()


def is_service(skill: str, ids: Mapping[str, Sequence[str]]) -> bool:
    """Tells whether a stratum has the follow-ups of a service of SGD."""
    return skill != FIRST and ids[skill][0].startswith("sgd/")


def dialogue(turn_id: str) -> str:
    """Returns the dialogue of a turn: of SGD's, its id without the number of the turn."""
    return turn_id.rsplit("/", 1)[0] if turn_id.startswith("sgd/") else turn_id


def tables(rows: Sequence[Row], ids: Mapping[str, Sequence[str]], topics: Mapping[str, str], chosen: Mapping) -> dict:
    """Makes the tables of the results: reductions on the mix, by stratum and control, rates, and what dev chose."""
    follow_ups = [skill for skill, topic in topics.items() if topic not in (FIRST, ORDERS)]
    methods = list(dict.fromkeys(row.method for row in rows))
    strata = {topic: [s for s in topics if topics[s] == topic] for topic in dict.fromkeys(topics.values())}

    def over(proposed: str, baseline: str = "a", skills: Collection[str] = follow_ups, **how: Any) -> Any:
        return reduction(rows, ids, proposed, baseline, skills, **how)

    def rates(skills: Collection[str]) -> dict[str, dict[str, float]]:
        found = {}
        for method in methods:
            own = [r.outcomes for r in rows if r.method == method and r.size == ENTRIES and r.skill in skills]
            if own:
                sums = {
                    c: sum(int(o[c].sum()) for o in own) for c in ("words", "errors", "biased_words", "biased_errors")
                }
                rest = sums["words"] - sums["biased_words"], sums["errors"] - sums["biased_errors"]
                found[method] = {"wer": sums["errors"] / max(1, sums["words"]), "u_wer": rest[1] / max(1, rest[0]),
                                 "b_wer": sums["biased_errors"] / max(1, sums["biased_words"]), **sums}  # fmt: skip
        return found

    return {
        "wer_reduction": over("context"),
        "services_fixed": over("context", drawn=False),
        "shuffled_costs": over("a", "shuffled", gain=True),
        "true_over_shuffled": over("context", "shuffled"),
        "true_over_type": over("context", "type"),
        "neural_over_twin": over("neural", BLIND),
        "first_turns": over("context", skills=strata.get(FIRST, ()), gain=True),
        "orders": over("context", skills=strata.get(ORDERS, ())),
        "methods": {method: over(method) for method in methods if method != "a"},
        "strata": {name: {m: over(m, skills=own) for m in methods if m != "a"} for name, own in strata.items()},
        "catalogue": {str(size): over("context", size=size, skills=[s for s in follow_ups if s in DISAMBIGUATION])
                      for size in (SMALL, ENTRIES, LARGE)},
        "rates": {"follow-ups": rates(follow_ups)} | {name: rates(own) for name, own in strata.items()},
        "chosen": chosen,
    }  # fmt: skip


def settings_of(kind: str) -> ContextualSettings:
    """Returns the settings of a profile: the quick one and a user's own train the encoder less."""
    full = ContextualSettings()
    return full if kind == "full" else replace(full, encoder=replace(full.encoder, updates=QUICK_UPDATES))


def config_of(kind: str, settings: ContextualSettings) -> dict[str, Any]:
    """Returns the configuration as the stamp and the hash of a run have it."""
    full = {
        "per_service": PER_SERVICE, "ours": OURS_TEST, "first": FIRST_TEST, "orders": True,
        "dev": [PER_DEV, *OURS_DEV, FIRST_DEV], "general": GENERAL, "mixed": MIXED, "recipe": RECIPE,
    }  # fmt: skip
    return {"profile": kind, "settings": asdict(settings), **(full if kind == "full" else {})}


@dataclass(frozen=True)
class Clips:
    """The turns of a profile; the test's by stratum. ``lists`` are known ones, by turn; the others are decoded."""

    name: str
    replies: Replies
    trained_on: str  # a hash of the training turns
    common: frozenset[str]  # the most frequent words of training replies, which are never biased
    dev: Sequence[Turn]
    test: Mapping[str, Sequence[Turn]]
    lists: Mapping[str, Lists]
    weights: Weights

    @property
    def topics(self) -> dict[str, str]:
        """Returns what each stratum counts as: a kind of ours, first turns, orders, or all services of SGD."""
        return {name: name if name in (FIRST, ORDERS, *OURS) else "services" for name in self.test}

    def turns(self) -> list[Turn]:
        """Lists the turns of dev and test, of which wrong contexts are drawn."""
        return [*self.dev, *(turn for own in self.test.values() for turn in own)]

    def examples(self, turns: Sequence[Turn], names: Collection[str] = ()) -> list[Example]:
        """Returns turns with their lists, or those that are named; what is not known is decoded here."""
        found = {turn: self.lists.get(turn.id) or self.decoded(turn, names) for turn in turns}
        return [Example.of(turn, self.turns(), lists, self.common) for turn, lists in found.items()]

    def decoded(self, turn: Turn, names: Collection[str] = ()) -> dict[str, Decoded]:
        """Decodes a turn, each list once, or those that are named: lists are kept in the cache."""
        given = {"general": None, "a": None, **contexts(turn, self.turns())}
        audio, lists = None, {}
        for name in names or given:
            parts = [self.trained_on, turn.text, turn.audio, given[name] and asdict(given[name])]
            key = config_hash([*parts, self.weights.of(name), RECIPE])
            store = CellStore(cache_dir() / "cells" / f"contextual-lists-{self.name}", key)
            if (kept := store.get((turn.id, name))) is None:
                if audio is None:
                    audio = samples(turn.audio) if turn.audio else spoken(turn.id, turn.text, kitchen())
                kept = decoders(self).hear(name, audio, given[name]).to_json()
                store.put((turn.id, name), kept)
            lists[name] = Decoded.from_json(kept)
        return lists


_MADE: dict[str, Decoders] = {}


def decoders(clips: Clips) -> Decoders:
    """Returns the decoders of some clips; a process keeps the last ones, which are large."""
    key = config_hash([clips.name, clips.trained_on, asdict(clips.weights)])
    if key not in _MADE:
        _MADE.clear()
        _MADE[key] = Decoders.of(clips.name, clips.replies, clips.weights)
    return _MADE[key]


def mixed(clips: Clips, jobs: int) -> tuple[Clips, list[dict[str, Any]]]:
    """Chooses on dev what A's model is mixed of, then what B's is; returns the clips, and what was tried."""
    follow_ups, tried = [turn for turn in clips.dev if turn.stratum != FIRST], []
    grids = {"a": [{"general": share} for share in GENERAL]}
    grids["context"] = [dict(zip(("domain", "type", "context"), way, strict=True)) for way in MIXED]
    for name, turns in (("a", clips.dev), ("context", follow_ups)):
        ways = [replace(clips, weights=replace(clips.weights, **way)) for way in grids[name]]
        errors = []
        for way in ways:
            heard = in_parallel(way, turns, (name,), jobs)
            each = zip(turns, heard, strict=True)
            errors.append(sum(Example(t, t.context, {}, frozenset()).errors(lists[name].text) for t, lists in each))
            tried.append({"decoder": name, **grids[name][len(errors) - 1], "errors": errors[-1], "turns": len(turns)})
        clips = ways[int(np.argmin(errors))]
    return clips, tried


def in_parallel(clips: Clips, turns: Sequence[Turn], names: Collection[str], jobs: int) -> list[dict[str, Decoded]]:
    """Decodes turns in several processes."""
    work = (joblib.delayed(clips.decoded)(turn, names) for turn in turns)
    bar = tqdm(work, desc=f"dev, {', '.join(names) or 'all'}", unit="clip", total=len(turns))
    return joblib.Parallel(n_jobs=jobs)(bar)


def fingerprint(turns: Sequence[Turn]) -> str:
    """Computes a SHA-256 of turns and their contexts."""
    digest = hashlib.sha256()
    for turn in turns:
        context = turn.context
        parts = (turn.id, turn.text, turn.split, context.kind, context.previous, context.prompt)
        digest.update("\t".join((*parts, *context.named, *context.catalogue)).encode())
    return digest.hexdigest()


@cache
def kitchen() -> np.ndarray:
    """Reads the noise of a kitchen, [S], of mean square 1; fetches it first."""
    noise = samples(fetch("speech_to_intent") / "data/noise/kitchen.wav").astype(float)
    return noise / noise.std()


def quick_clips(settings: ContextualSettings) -> tuple[Clips, list[Turn]]:
    """Returns the turns that ship, with their lists, and training turns."""
    turns, lists = made.shipped()
    return _clips("shipped", our_training(), turns, lists, settings)


def full_clips(settings: ContextualSettings) -> tuple[Clips, list[Turn]]:
    """Draws the turns of the full profile; they are spoken when they are decoded."""
    training, training_first = sgd_turns("train")
    dev, dev_first = sgd_turns("dev")
    test, test_first = sgd_turns("test")
    known = {turn.stratum for turn in training}
    new = sorted({turn.stratum for turn in test} - known - {turn.stratum for turn in dev})
    rng = random.Random(0)

    def some(turns: Sequence[Turn], services: Collection[str], each: int) -> list[Turn]:
        by = {service: [turn for turn in turns if turn.stratum == service] for service in services}
        return [turn for own in by.values() for turn in rng.sample(own, min(each, len(own)))]

    dev_services = sorted({turn.stratum for turn in dev} - known)
    ours = {split: [t for kind, n in zip(DISAMBIGUATION, numbers, strict=True) for t in our_turns(kind, n, split)]
            for split, numbers in (("dev", OURS_DEV), ("test", OURS_TEST))}  # fmt: skip
    turns = [*some(dev, dev_services, PER_DEV), *ours["dev"], *_first(dev_first, dev_services, FIRST_DEV)]
    turns += [*some(test, new, PER_SERVICE), *ours["test"], *_first(test_first, new, FIRST_TEST)]
    return _clips("sgd", [*training, *training_first, *our_training()], [*turns, *coffee_orders()], {}, settings)


def own_clips(files: Sequence[Path], settings: ContextualSettings) -> tuple[Clips, list[Turn]]:
    """Returns a user's own turns; what they lack of training and dev, the turns that ship have.

    Lists of another recogniser have other scores: δ is then chosen on dev turns that have such lists, too.
    """
    turns, lists = [], {}
    for file in files:
        turns += [replace(turn, id=f"{file.stem}/{turn.id}") for turn in read_turns(file)]
        lists |= {f"{file.stem}/{turn}": heard for turn, heard in made.own_lists(file).items()}
    judged = [turn for turn in turns if turn.split in ("dev", "test")]
    if silent := [turn.id for turn in judged if not turn.audio and turn.id not in lists]:
        remedy = "name a clip, WAV or FLAC at 16,000 Hz, or give lists of both decoders"
        raise CorpusError(f"turn {silent[0]!r} has no audio and no lists: {remedy}")
    if not any(turn.split == "test" and turn.context.prompt for turn in turns):
        raise CorpusError("no test turn has a prompt: give what the assistant asked before")
    if lists and len({turn.split for turn in judged if turn.id in lists}) < 2:
        raise CorpusError("lists need some of split dev and some of test: δ is chosen on scores of the same decoders")
    if lists and (mixed_up := [turn.id for turn in judged if turn.id not in lists]):
        raise CorpusError(f"turn {mixed_up[0]!r} has no lists, and others have: their scores do not compare")
    own = [turn for turn in turns if turn.split == "train"]
    shipped, known = made.shipped()
    dev = [] if lists else [turn for turn in shipped if turn.split == "dev"]
    return _clips(f"own-{files[0].stem}", [*our_training(), *own], [*dev, *turns], lists or known, settings)


def _first(turns: Sequence[Turn], services: Collection[str], count: int) -> list[Turn]:
    own = [replace(turn, stratum=FIRST) for turn in turns if turn.stratum in services]
    return random.Random(0).sample(own, min(count, len(own)))


def _clips(
    name: str, training: list[Turn], turns: Sequence[Turn], lists: Mapping[str, Lists], settings: ContextualSettings
) -> tuple[Clips, list[Turn]]:
    test: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        if turn.split == "test":
            test[turn.stratum].append(turn)
    counts = Counter(word for turn in training for word in turn.text.split())
    common = frozenset(word for word, _ in counts.most_common(COMMON))
    dev = [turn for turn in turns if turn.split == "dev"]
    replies, trained_on = Replies.of(training), fingerprint(training)
    return Clips(name, replies, trained_on, common, dev, test, lists, settings.weights), training


def measure(clips: Clips, skill: str, tuned: Tuned, encoders: Mapping[str, ContextEncoder]) -> list[Row]:
    """Measures a stratum: decodes what is not known, and compares all methods."""
    return rows_of(skill, clips.examples(clips.test[skill]), tuned, encoders)


def prepare(options: Options, settings: ContextualSettings) -> Work:
    """Plans a run: its turns, its encoders, and what dev chooses, for which dev is decoded.

    Raises:
        CorpusError: when a corpus or file is missing or faulty, or the full profile finds no flite.
    """
    if options.kind == "full" and not shutil.which("flite"):
        raise CorpusError(
            "the full profile speaks its turns with flite: install it (Debian and Ubuntu: apt install flite)"
        )
    if options.kind == "corpus":
        clips, training = own_clips(options.corpora, settings)
    else:
        clips, training = (full_clips if options.kind == "full" else quick_clips)(settings)
    encoders = {"neural": train_encoder(training, settings.encoder)}
    encoders[BLIND] = train_encoder(training, settings.encoder, blind=True)
    tried = []
    if options.kind == "full":
        clips, tried = mixed(clips, options.jobs)
        in_parallel(clips, clips.dev, ("a", *TUNED), options.jobs)
    dev = clips.examples(clips.dev, ("a", *TUNED))
    tuned = tune(dev, encoders)
    said = [answers(example, tuned, encoders) for example in dev]
    methods = ("a", *tuned.delta, *encoders)
    errors = {name: sum(e.errors(t[name]) for e, t in zip(dev, said, strict=True)) for name in methods}
    chosen = asdict(tuned) | {"weights": asdict(clips.weights), "tried": tried, "dev_errors": errors}
    ids = {skill: [turn.id for turn in turns] for skill, turns in clips.test.items()}
    return Work(
        keys=[(skill, ENTRIES, 0) for skill in clips.test],
        task=lambda key: (measure, (clips, key[0], tuned, encoders)),
        tests={skill: test_of(turns, clips.common, clips.topics[skill]) for skill, turns in clips.test.items()},
        data={name: fingerprint(own) for name, own in {"training": training, "dev": clips.dev, **clips.test}.items()},
        tables=lambda rows, known: tables(rows, ids, clips.topics, chosen),
    )
