"""Selects and labels requests of a user's own log for one intent, for a person to review.

Taught in *Your own skill*, after chapter 4.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch4_selftraining.paraphrase import train_detector
from slubook.ch4_selftraining.recogniser import (
    ARGMAX,
    FALSE_ALARMS,
    IntentRecogniser,
    RecogniserConfig,
    features,
    reject,
    threshold,
    train,
)
from slubook.ch4_selftraining.selection import Candidates, bad_paraphrases, relevant
from slubook.ch4_selftraining.teachers import Ensemble, TeacherConfig, train_ensemble
from slubook.corpora.dedupe import normalise
from slubook.corpora.errors import CorpusError
from slubook.corpora.jsonl import read_log
from slubook.corpora.registry import load
from slubook.corpora.utterance import Utterance, words
from slubook.evaluation.crossval import deal
from slubook.evaluation.metrics import mistakes
from slubook.profiles import stable_hash

#: Requests that are written at most, and that the n-gram filter lets pass.
MOST, FILTERED = 400, 1600
#: Annotated utterances: the least that can be cross-validated, and from how many on the chapter gained little.
LEAST, ENOUGH = 10, 200
#: Requests of each embedded intent that stand for what else an assistant hears, but for intents with such a mean p.
BACKGROUND, SAME = 16, 0.1
#: Of the log's words, the share that requests of other intents must know.
KNOWN = 0.5
TEACHER, FASTTEXT = TeacherConfig(), FastTextConfig()


@dataclass(frozen=True)
class Review:
    """What was found: labelled requests as lines of JSONL, how they were found, and why they may be of no use."""

    lines: Sequence[dict[str, Any]]
    notes: Sequence[str]
    warnings: Sequence[str]

    def text(self) -> str:
        """Returns the lines of the file."""
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)


def review(corpus: Path, log: Path, target: str, most: int = MOST, seed: int = 0) -> Review:
    """Finds requests of one intent in a log, labels them, and chooses those that are unlike what is annotated.

    Args:
        corpus: annotated utterances of the intent and of others; those of its test are left alone.
        log: requests that nobody annotated; see :func:`slubook.corpora.jsonl.read_log`.
        target: the intent.
        most: requests to choose.
        seed: of networks and folds.

    Raises:
        CorpusError: when a file cannot be used, the intent is unknown or has too few utterances, or the log holds
            nothing but these.
    """
    annotated, own = _annotated(corpus, target)
    known, new = {normalise(u.text) for u in annotated}, {}
    for line, text in read_log(log):
        if (key := normalise(text)) and key not in known:
            new.setdefault(key, (line, text))
    if not new:
        raise CorpusError(f"{log}: holds no request that is not annotated already: give a larger log")
    lines, texts = zip(*new.values(), strict=True)
    setting = _Setting(annotated, *_others(annotated, own), texts, seed)
    wrong = setting.cross_validate()
    linear, rows = setting.linear(annotated), features(texts)
    p = linear.probability(rows)
    passing, by_mistake = int((p > threshold(linear.probability(setting.rows))).sum()), FALSE_ALARMS * len(texts)
    places = relevant(p, FILTERED)
    better, filtered = wrong["networks"] < wrong["linear"], [texts[i] for i in places]
    if better:
        teacher = setting.networks(annotated, linear)
        (tagged, p), judged = teacher.label(filtered), setting.asked(teacher)
    else:
        tagged, p, judged = linear.tagger.predict(filtered), p[places], linear.probability(setting.rows)
    at = max(ARGMAX, threshold(judged))
    taken = np.flatnonzero(p > at)
    alarms, shared = int((judged > at).sum()), setting.shared
    notes = [
        f"The log has {len(texts):,} different requests that are not annotated; the filter let {len(filtered):,} pass.",
        f"Labels are those of {'networks and the linear model' if better else 'the linear model'}: cross-validated on "
        f"{len(annotated)} annotated utterances, networks get {wrong['networks']} wrong, the linear model "
        f"{wrong['linear']}.",
        f"A request is taken above p = {at:.2f}, as are {alarms} of {len(judged):,} requests of other intents. It is "
        f"{ARGMAX}, or more where else more than {FALSE_ALARMS:.1%} of these would be taken. {len(taken)} are taken.",
    ]
    reasons = {
        f"{len(annotated)} utterances are annotated: from {ENOUGH} on, little is left to gain": len(annotated) < ENOUGH,
        "the networks are no better than the linear model, which then learns from itself": better,
        f"the log hardly holds the intent: {passing} of its requests pass the linear model, and {by_mistake:.0f} would "
        "by mistake": passing > by_mistake + 2 * by_mistake**0.5,
        f"only {len(taken)} requests are taken, fewer than are annotated": len(taken) >= len(annotated),
        f"requests of other intents, on which the threshold is set, have only {shared:.0%} of the log's words: add "
        "some in the log's language to the corpus": shared >= KNOWN,
    }
    warnings = [reason for reason, fine in reasons.items() if not fine]
    if not len(taken):
        return Review([], notes, warnings)
    domain, found, old = annotated[0].domain, [filtered[n] for n in taken], [u.text for u in annotated]
    detector = train_detector([u for u in (*_embedded(), *own) if u.domain != domain], seed)
    seen = Candidates(old, found, p[taken], vstack([features(old), rows[places[taken]]]).tocsr())
    nearest = detector.nearest(detector.encode(found), detector.encode(old))[1]
    chosen = [
        {
            "id": f"{log.stem}/{lines[places[taken[k]]]}", "text": found[k], "intent": target,
            "slots": [s._asdict() for s in tagged[taken[k]].slots], "domain": domain, "split": "train",
            "confidence": round(float(p[taken[k]]), 3), "nearest": old[nearest[k]],
        }
        for k in bad_paraphrases(seen, most, np.random.default_rng(seed), detector)
    ]  # fmt: skip
    return Review(chosen, notes, warnings)


@dataclass
class _Setting:
    """What the linear model and the networks learn from, and requests of other intents that they are judged by."""

    annotated: Sequence[Utterance]
    others: Sequence[Utterance]
    judged: Sequence[Utterance]
    log: Sequence[str]
    seed: int

    @cached_property
    def rows(self) -> csr_matrix:
        return features([u.text for u in self.judged])

    @cached_property
    def negatives(self) -> csr_matrix:
        return features([u.text for u in self.others])

    @cached_property
    def table(self) -> VectorTable:
        texts = [*self.log, *(u.text for u in (*self.annotated, *self.others))]
        return train_fasttext("log", [words(t) for t in texts], FASTTEXT)

    @cached_property
    def shared(self) -> float:
        known = {w for u in self.others for w in words(u.text)}
        return float(np.mean([w in known for text in self.log for w in words(text)]))

    def linear(self, annotated: Sequence[Utterance]) -> IntentRecogniser:
        return train(annotated, self.negatives, RecogniserConfig())

    def networks(self, annotated: Sequence[Utterance], linear: IntentRecogniser) -> Ensemble:
        return train_ensemble(annotated, self.others, linear, self.table, TEACHER, self.seed)

    def asked(self, teacher: Ensemble) -> np.ndarray:
        """Returns p of the judged requests; the networks are asked about those that the linear model finds likely."""
        places, p = relevant(teacher.linear.probability(self.rows), 600), np.zeros(len(self.judged))
        p[places] = teacher.label([self.judged[i].text for i in places])[1]
        return p

    def cross_validate(self) -> Counter[str]:
        """Counts the annotated utterances that each gets wrong, at thresholds with equal false alarms; two folds."""
        part_of, wrong = deal(self.annotated, [u.group or u.id for u in self.annotated], 2, self.seed), Counter()
        for fold in range(2):
            inside, rest = (
                [u for u, k in zip(self.annotated, part_of, strict=True) if (k == fold) == w] for w in (1, 0)
            )
            texts, linear = [u.text for u in inside], self.linear(rest)
            wrong["linear"] += mistakes(inside, linear.at(linear.probability(self.rows)).answer(texts))
            teacher = self.networks(rest, linear)
            tagged, p = teacher.label(texts)
            wrong["networks"] += mistakes(inside, reject(tagged, p, linear.intent, threshold(self.asked(teacher))))
        return wrong


def _embedded() -> list[Utterance]:
    return [*load("assistant-en"), *load("skills")]


def _annotated(corpus: Path, target: str) -> tuple[list[Utterance], list[Utterance]]:
    """Reads the utterances of the intent, each text once, and those of others, in an order drawn by hash; no tests."""
    read = {(u.intent == target, normalise(u.text)): u for u in load(corpus) if u.split != "test"}
    mixed = sorted(read.values(), key=lambda u: (stable_hash("review", u.text), u.text))
    annotated, own = ([u for u in mixed if (u.intent == target) == wanted] for wanted in (True, False))
    intents = sorted({u.intent for u in mixed})
    if not annotated:
        close = difflib.get_close_matches(target, intents, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise CorpusError(
            f"{corpus}: has no utterance of intent {target!r} to train on: {hint}it has {', '.join(intents)}"
        )
    if len(annotated) < LEAST:
        raise CorpusError(
            f"{corpus}: has {len(annotated)} different utterances of intent {target!r}: annotate {LEAST} at the least"
        )
    return annotated, own


def _others(annotated: Sequence[Utterance], own: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Returns requests of other intents to train on, and to set the threshold on: of the user's and the book's.

    An embedded intent may be the target under another name: then a recogniser trained without it takes it for that.
    """
    intents = defaultdict(list)
    for u in _embedded():
        intents[u.domain, u.intent].append(u)
    some = [sorted(g, key=lambda u: stable_hash("background", u.text))[:BACKGROUND] for g in intents.values()]
    background: list[Utterance] = []
    for here, there in ((some[::2], some[1::2]), (some[1::2], some[::2])):
        model = train(annotated, features([u.text for u in (*own, *(u for g in there for u in g))]), RecogniserConfig())
        background += [u for g in here if model.probability(features([u.text for u in g])).mean() < SAME for u in g]
    background.sort(key=lambda u: stable_hash("mixed", u.text))
    half = TEACHER.others // 2
    mine = [u for n, u in enumerate(own) if n % 5]
    return [*mine[:half], *background[::2], *mine[half:]], [*own[::5], *background[1::2]]
