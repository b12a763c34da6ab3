"""Selects and labels requests of a user's own log for one intent, for a person to review.

Taught in *Your own skill*, after chapter 4.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import vstack

from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch4_selftraining import recogniser
from slubook.ch4_selftraining.paraphrase import train_detector
from slubook.ch4_selftraining.recogniser import (
    ARGMAX,
    FALSE_ALARMS,
    IntentRecogniser,
    RecogniserConfig,
    features,
    threshold,
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
#: Annotated utterances: the least that can be cross-validated, and from how many on there is little left to gain.
LEAST, ENOUGH = 10, 200
#: Requests of an embedded intent that stand for what else is asked. From such a mean p on, it may be the target itself.
BACKGROUND, SAME = 16, 0.1
#: The least share of the log's words that requests of other intents must have.
SHARED = 0.5
LINEAR, TEACHER, FASTTEXT = RecogniserConfig(), TeacherConfig(), FastTextConfig()


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
    models = _Models(annotated, own, texts, seed)
    wrong = models.cross_validate(annotated)
    linear, rows = models.linear(annotated), features(texts)
    p, others = linear.probability(rows), linear.probability(models.rows)
    passing, by_mistake = int((p > threshold(others)).sum()), FALSE_ALARMS * len(texts)
    places = relevant(p, FILTERED)
    filtered, p, better = [texts[i] for i in places], p[places], wrong["networks"] < wrong["linear"]
    if better:
        teacher = models.networks(annotated, linear)
        (tagged, p), others = teacher.label(filtered), models.judged_by(teacher)
    else:
        tagged = linear.tagger.predict(filtered)
    at = max(ARGMAX, threshold(others))
    taken = np.flatnonzero(p > at)
    notes = [
        f"The log has {len(texts):,} different requests that are not annotated; the filter let {len(filtered):,} pass.",
        f"{'Networks and a linear model' if better else 'A linear model'} labelled these. Cross-validated on "
        f"{len(annotated)} annotated utterances, networks get {wrong['networks']} wrong, the linear model "
        f"{wrong['linear']}.",
        f"{len(taken):,} above p = {at:.2f} are taken. Of {len(others):,} requests of other intents, "
        f"{(others > at).sum()} would be; this threshold is {ARGMAX}, or higher to keep that below {FALSE_ALARMS:.1%}.",
    ]
    much = len(annotated) >= ENOUGH
    reasons = {
        f"{len(annotated)} utterances are annotated: from {ENOUGH} on, little is left to gain": much,
        "the networks are no better than the linear model, which then learns from itself": not better,
        f"the log hardly holds the intent: {passing} of its requests pass the linear model, {by_mistake:.0f} would by "
        "mistake": passing <= by_mistake + 2 * by_mistake**0.5,
        f"only {len(taken)} requests are taken, fewer than are annotated": len(taken) < len(annotated),
        f"requests of other intents, which set the threshold, have only {models.shared:.0%} of the log's words: add "
        "some in its language to the corpus": models.shared < SHARED,
    }
    warnings = [reason for reason, holds in reasons.items() if holds]
    if not len(taken):
        return Review([], notes, warnings)
    domain, found, old = annotated[0].domain, [filtered[n] for n in taken], [u.text for u in annotated]
    detector = train_detector([u for u in (*_embedded(), *own) if u.domain != domain], texts, seed=seed)
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


class _Models:
    """Trains the linear model and the networks, and judges both on requests of other intents."""

    def __init__(self, annotated: Sequence[Utterance], own: Sequence[Utterance], log: Sequence[str], seed: int) -> None:
        """Takes four fifths of what the user has of other intents for training, and half of what the book has."""
        background, mine = _background(annotated, own), [u for n, u in enumerate(own) if n % 5]
        half = TEACHER.others // 2  # networks are shown the first of these only
        self.others, self.seed = [*mine[:half], *background[::2], *mine[half:]], seed
        self.judged = [u.text for u in (*own[::5], *background[1::2])]
        self.rows, self.negatives = features(self.judged), features([u.text for u in self.others])
        sentences = [words(t) for t in (*log, *(u.text for u in (*annotated, *self.others)))]
        self.table = train_fasttext("log", sentences, FASTTEXT)
        known = {w for u in self.others for w in words(u.text)}
        self.shared = float(np.mean([w in known for some in sentences[: len(log)] for w in some]))

    def linear(self, annotated: Sequence[Utterance]) -> IntentRecogniser:
        return recogniser.train(annotated, self.negatives, LINEAR)

    def networks(self, annotated: Sequence[Utterance], linear: IntentRecogniser) -> Ensemble:
        return train_ensemble(annotated, self.others, linear, self.table, TEACHER, self.seed)

    def judged_by(self, teacher: Ensemble) -> np.ndarray:
        """Returns p of the judged requests; networks are asked about those that the linear model finds likely."""
        places, p = relevant(teacher.linear.probability(self.rows), 600), np.zeros(len(self.judged))
        p[places] = teacher.label([self.judged[i] for i in places])[1]
        return p

    def cross_validate(self, annotated: Sequence[Utterance]) -> Counter[str]:
        """Counts the annotated utterances that each gets wrong, at thresholds with equal false alarms; two folds."""
        parts, wrong = deal(annotated, [u.group or u.id for u in annotated], 2, self.seed), Counter()
        for fold in range(2):
            inside, rest = (
                [u for u, k in zip(annotated, parts, strict=True) if (k == fold) is w] for w in (True, False)
            )
            linear, texts = self.linear(rest), [u.text for u in inside]
            wrong["linear"] += mistakes(inside, linear.at(linear.probability(self.rows)).answer(texts))
            teacher = self.networks(rest, linear)
            answers = recogniser.reject(*teacher.label(texts), linear.intent, threshold(self.judged_by(teacher)))
            wrong["networks"] += mistakes(inside, answers)
        return wrong


def _embedded() -> list[Utterance]:
    return [*load("assistant-en"), *load("skills")]


def _annotated(corpus: Path, target: str) -> tuple[list[Utterance], list[Utterance]]:
    """Reads the utterances of an intent and those of others, each text once, ordered by hash; none of a test."""
    distinct = {(u.intent == target, normalise(u.text)): u for u in load(corpus) if u.split != "test"}
    mixed = sorted(distinct.values(), key=lambda u: (stable_hash("review", u.text), u.text))
    annotated, own = ([u for u in mixed if (u.intent == target) is wanted] for wanted in (True, False))
    if not annotated:
        intents = sorted({u.intent for u in own})
        close = difflib.get_close_matches(target, intents, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise CorpusError(f"{corpus}: has nothing to learn {target!r} from: {hint}its intents are {', '.join(intents)}")
    if (n := len({u.group or u.id for u in annotated})) < LEAST:
        raise CorpusError(
            f"{corpus}: has {n} different utterances or dialogues of {target!r}: it takes {LEAST}, add some"
        )
    return annotated, own


def _background(annotated: Sequence[Utterance], own: Sequence[Utterance]) -> list[Utterance]:
    """Returns embedded requests of other intents, in an order drawn by hash.

    An embedded intent may be the target under another name: a recogniser trained without it would take it for that.
    """
    intents, found = defaultdict(list), []
    for u in _embedded():
        intents[u.domain, u.intent].append(u)
    some = [sorted(g, key=lambda u: stable_hash("background", u.text))[:BACKGROUND] for g in intents.values()]
    for here, there in ((some[::2], some[1::2]), (some[1::2], some[::2])):
        model = recogniser.train(annotated, features([u.text for g in (own, *there) for u in g]), LINEAR)
        found += [u for g in here if model.probability(features([u.text for u in g])).mean() < SAME for u in g]
    return sorted(found, key=lambda u: stable_hash("background", u.text))
