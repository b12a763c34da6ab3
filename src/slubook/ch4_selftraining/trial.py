"""Trains and judges every method on one draw of one new intent. Taught in chapter 4, *Run it*."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix, vstack

from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.maxent import Clusters
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch4_selftraining.data import Cut, Data, Heard, Target
from slubook.ch4_selftraining.paraphrase import Detector, DetectorConfig
from slubook.ch4_selftraining.recogniser import (
    ARGMAX,
    IntentRecogniser,
    RecogniserConfig,
    features,
    reject,
    threshold,
    train,
)
from slubook.ch4_selftraining.selection import STRATEGIES, Candidates, relevant
from slubook.ch4_selftraining.teachers import (
    MEMBERS,
    Ensemble,
    TeacherConfig,
    labelled,
    slot_errors,
    train_ensemble,
    train_transferred,
)
from slubook.corpora.dedupe import normalise
from slubook.corpora.utterance import Prediction, Utterance
from slubook.evaluation.metrics import outcomes
from slubook.experiments.records import Row
from slubook.profiles import stable_hash

#: Requests of others that networks are asked about: those with the highest p(intent) of the linear recogniser. The
#: product of both cannot be high for any other.
ASKED = 600
_JUDGED = ("development", "background")
#: Strategies whose quarters are measured, too, and which are counted at p > 0.5.
MAIN = ("random", "bad_paraphrases")
#: Halves are chosen of what the ensemble takes, or of all that the filter lets pass; then they are labelled by it, or
#: by the truth.
HALVES = tuple(f"{name}_half" for name in STRATEGIES)
FILTERED = tuple(f"{name}_filtered" for name in MAIN)
ORACLES = tuple(f"oracle_{half}" for half in HALVES)
#: Methods that are counted at equal false alarms only, since a file of results has to stay small.
NETWORKS = ("dnn", "dnn_ensemble", "scratch", "scratch_ensemble", "teacher_again", "transfer", "transfer_labels")
MATCHED = {*ORACLES, *FILTERED, *HALVES, *NETWORKS} - {f"{name}_half" for name in MAIN}


@dataclass(frozen=True)
class SelfTrainingSettings:
    """The settings of a run.

    Attributes:
        cut: sizes of what corpora are cut into.
        recogniser, teacher, fasttext: of the models.
        filtered: requests of the pool that are labelled.
        curve: their numbers along the curve.
        weight: of annotated utterances, for the control.
        grains: of the clusters, for the control.
        detector: of paraphrases.
        pretraining: of a network on other skills.
    """

    cut: Cut = field(default_factory=Cut)
    recogniser: RecogniserConfig = field(default_factory=RecogniserConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    fasttext: FastTextConfig = field(default_factory=FastTextConfig)
    filtered: int = 1600
    curve: tuple[int, ...] = (100, 200, 400, 800, 3200)
    weight: float = 8.0
    grains: tuple[int, ...] = (100, 1000)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    pretraining: PretrainingConfig = field(default_factory=lambda: PretrainingConfig(updates=1000))


@dataclass
class Shared:
    """What all trials of a process share: data, vectors, and features that are computed once."""

    data: Data
    table: VectorTable
    clusters: Clusters
    _heard: dict[tuple[str, bool], csr_matrix] = field(default_factory=dict)

    @cached_property
    def pool(self) -> csr_matrix:
        """Returns the n-grams of the pool, [P, BUCKETS]."""
        return features(self.data.pool)

    @cached_property
    def places(self) -> dict[str, int]:
        """Returns where each normalised text stands in the pool."""
        return {normalise(text): i for i, text in enumerate(self.data.pool)}

    def heard(self, part: str, target: Target, clustered: bool) -> tuple[list[Heard], csr_matrix]:
        """Returns a part of the assistant's utterances that a target admits, and their features."""
        every = self.data.heard[part]
        if (part, clustered) not in self._heard:
            texts = [h.utterance.text for h in every]
            self._heard[part, clustered] = features(texts, self.clusters if clustered else None)
        admitted = [i for i, h in enumerate(every) if target.admits(h)]
        return [every[i] for i in admitted], self._heard[part, clustered][admitted]


class IntentTrial:
    """One draw of one new intent."""

    def __init__(self, shared: Shared, target: Target, size: int, seed: int, settings: SelfTrainingSettings) -> None:
        """Draws what is annotated; nothing is trained yet."""
        self.shared, self.target, self.size, self.seed, self.settings = shared, target, size, seed, settings
        self.annotated, hidden = target.draw(size, seed)
        self.gold = {normalise(u.text): u for u in hidden}  # for the rows named oracle, and for nothing else
        self.intent = target.label[2]
        self.rng = np.random.default_rng(stable_hash("trial", target.name, size, seed))
        self.rows: list[Row] = []
        own = {normalise(u.text) for u in self.annotated}
        self.known = [i for text in own if (i := shared.places.get(text)) is not None]  # annotated, so not chosen
        self.prevalence = sum(text in shared.places for text in self.gold) / len(shared.data.pool)
        heard = [h.utterance for h in shared.heard("mature", target, False)[0]]
        self.others = sorted(heard, key=lambda u: (stable_hash("others", seed, u.id), u.id))

    def judge(
        self, method: str, tagged: Sequence[Prediction], p: Mapping[str, np.ndarray], train_s: float, **figures: float
    ) -> None:
        """Keeps a row of a method for each operating point.

        Args:
            method: its name.
            tagged: slots of the test utterances, as if all were of the intent.
            p: p(intent) of ``test`` utterances, and of others in ``development`` and ``background``.
            train_s: seconds of training.
            figures: what else was measured.
        """
        for suffix, least in (("", threshold(p["development"])), ("_argmax", ARGMAX)):
            if suffix and method in MATCHED:
                continue
            measured = outcomes(self.target.test, reject(tagged, p["test"], self.intent, least))
            found = {"false_alarms": float((p["background"] > least).sum()), "others": len(p["background"])}
            more = {**found, "threshold": round(least, 4), "prevalence": round(self.prevalence, 6)}
            key = self.target.name, method + suffix, self.size, self.seed
            self.rows.append(Row(*key, measured, round(train_s, 1), figures=more if suffix else more | figures))

    def learn(
        self,
        method: str,
        added: Sequence[Utterance | None] = (),
        clustered: bool = False,
        weight: float = 1.0,
        **figures: float,
    ) -> IntentRecogniser:
        """Trains the student on what is annotated and on what a teacher ``added``, and judges it."""
        start, groups = time.perf_counter(), self.shared.clusters if clustered else None
        new = [u for u in added if u is not None]
        negatives = self.shared.heard("mature", self.target, clustered)[1]
        model = train([*self.annotated, *new], negatives, self.settings.recogniser, groups, weight)
        seconds, texts = time.perf_counter() - start, [u.text for u in self.target.test]
        p = {name: model.probability(self.shared.heard(name, self.target, clustered)[1]) for name in _JUDGED}
        p["test"] = model.probability(features(texts, groups))
        right = sum(normalise(u.text) in self.gold for u in new)
        figures |= {"added": len(new), "added_of_intent": right}
        self.judge(method, model.tagger.predict(texts), p, seconds, **figures)
        return model

    def learn_networks(
        self,
        method: str,
        added: Sequence[Utterance | None],
        linear: IntentRecogniser,
        members: int,
        reads_pool: bool = True,
    ) -> Ensemble:
        """Trains networks, over vectors of the pool or of their own, and judges them beside the ``linear`` one."""
        start, known = time.perf_counter(), [*self.annotated, *(u for u in added if u is not None)]
        settings, table = self.settings.teacher, self.shared.table if reads_pool else None
        ensemble = train_ensemble(known, self.others, linear, table, settings, self.seed, members)
        self.judge_networks(method, ensemble, time.perf_counter() - start)
        return ensemble

    def judge_networks(self, method: str, ensemble: Ensemble, seconds: float) -> None:
        """Judges an ensemble as a recogniser of its own."""
        tagged, of_test = ensemble.label([u.text for u in self.target.test])
        p = {"test": of_test}
        for use in _JUDGED:
            heard, rows = self.shared.heard(use, self.target, False)
            asked, p[use] = relevant(ensemble.linear.probability(rows), ASKED), np.zeros(len(heard))
            p[use][asked] = ensemble.label([heard[i].utterance.text for i in asked])[1]
        at = np.sort(ensemble.linear.probability(self.shared.heard("development", self.target, False)[1]))[-ASKED:][0]
        beyond = ensemble.linear.probability(features([u.text for u in self.target.test])) < at
        self.judge(method, tagged, p, seconds, p_at_rank=round(float(at), 6), beyond=round(float(beyond.mean()), 4))

    def filtered(self, model: IntentRecogniser, limit: int) -> np.ndarray:
        """Returns the places in the pool of its most relevant requests, without those that are annotated."""
        p = model.probability(self.shared.pool)
        p[self.known] = -1.0
        return relevant(p, limit)

    def labels(
        self, texts: Sequence[str], model: IntentRecogniser, ensemble: Ensemble | None = None, voted: bool = True
    ) -> list[Utterance | None]:
        """Labels texts by the model itself or by an ensemble, with the model's slots unless these are ``voted``."""
        p = model.probability(features(texts, model.clusters))
        tagged = model.tagger.predict(texts) if ensemble is None or not voted else None
        if ensemble is not None:
            said, p = ensemble.label(texts)
            tagged = said if tagged is None else tagged
        return labelled(texts, tagged, p, self.intent, self.settings.teacher.accepts)

    def voting_helps(self, model: IntentRecogniser) -> bool:
        """Tells whether cross-validation on what is annotated finds fewer slot errors with a network than a CRF."""
        folds, negatives = self.settings.teacher.folds, self.shared.heard("mature", self.target, False)[1][:1000]

        def linear(part: list[Utterance]):
            return train(part, negatives, self.settings.recogniser).tagger.predict

        def network(part: list[Utterance]):
            made = train_ensemble(part, self.others, model, self.shared.table, self.settings.teacher, self.seed, 1)
            return lambda texts: made.label(texts)[0]

        return slot_errors(self.annotated, network, folds, self.seed) < slot_errors(
            self.annotated, linear, folds, self.seed
        )

    def run(self, detector: Detector | None, pretrained: Pretrained | None = None) -> list[Row]:
        """Trains and judges every method.

        Args:
            detector: of paraphrases; without one, selections are not compared.
            pretrained: a network that has learned other skills; without one, there is no such teacher.
        """
        n, pool = self.settings.filtered, self.shared.data.pool
        base = self.learn("annotated")
        self.learn("upweighted", weight=self.settings.weight)
        clustered = self.learn("clusters", clustered=True)
        ensemble = self.learn_networks("teacher", (), base, MEMBERS)
        self.judge_networks("dnn", replace(ensemble, networks=ensemble.networks[:1]), self.rows[-1].train_s / MEMBERS)
        voted = self.voting_helps(base)
        places = self.filtered(base, max(n, *self.settings.curve))
        texts = [pool[i] for i in places]
        labels = self.labels(texts, base, ensemble, voted)
        gold = [self.gold.get(normalise(text)) for text in texts]
        student = self.learn("ensemble", labels[:n], voted=voted)
        self.learn("ensemble_clusters", labels[:n], clustered=True)
        self.learn("self", self.labels(texts[:n], base))
        self.learn("self_clusters", self.labels(texts[:n], clustered), clustered=True)
        self.learn("oracle", gold[:n])
        drawn = [pool[i] for i in self.rng.permutation(len(pool))[: n + len(self.known)] if i not in self.known]
        self.learn("random_pool", self.labels(drawn[:n], base, ensemble, voted))
        self.learn_networks("dnn_ensemble", labels[:n], base, 1)
        self.learn_networks("scratch", (), base, 1, reads_pool=False)
        self.learn_networks("scratch_ensemble", labels[:n], base, 1, reads_pool=False)
        again = self.learn_networks("teacher_again", labels[:n], student, MEMBERS)
        new = [pool[i] for i in self.filtered(student, n)]
        self.learn("ensemble_again", self.labels(new, student, again, voted))
        if pretrained is not None:
            start, given = time.perf_counter(), (self.annotated, self.others, base, pretrained)
            moved = train_transferred(*given, self.settings.teacher, self.seed)
            self.judge_networks("transfer", moved, time.perf_counter() - start)
            self.learn("transfer_labels", self.labels(texts[:n], base, moved))
        if detector is not None:
            for k in self.settings.curve:
                self.learn(f"top_{k}", labels[:k])
            taken = [i for i, u in enumerate(labels[:n]) if u is not None]
            for method, chosen in self.selections(places, taken, base, detector):
                self.learn(method, [labels[i] for i in chosen])
                if method in HALVES:
                    self.learn(f"oracle_{method}", [gold[i] for i in chosen])
        return self.rows

    def selections(
        self, places: np.ndarray, taken: Sequence[int], base: IntentRecogniser, detector: Detector
    ) -> Iterator[tuple[str, Sequence[int]]]:
        """Yields a name and what it chooses of the filtered requests, which stand at ``places`` in the pool.

        Halves and quarters are chosen of those that were ``taken`` by the teacher, and halves of all, before labels.
        """
        every, known = range(min(self.settings.filtered, len(places))), [u.text for u in self.annotated]
        parts = [("half", taken, 2, STRATEGIES), ("quarter", taken, 4, MAIN), ("filtered", every, 2, MAIN)]
        for part, of, divisor, names in parts:
            of = np.array(of, int)
            rows, texts = self.shared.pool[places[of]], [self.shared.data.pool[i] for i in places[of]]
            seen = Candidates(known, texts, base.probability(rows), vstack([features(known), rows]).tocsr())
            for name in names:
                k = len(of) // divisor
                chosen = STRATEGIES[name](seen, k, self.rng, detector) if k else np.zeros(0, int)
                yield f"{name}_{part}", of[chosen].tolist()


def prevalence_f1(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Returns for each method and size the mean F1 of finding the intent among requests as frequent as in the pool."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        f, hit = row.figures, float(row.outcomes["intent"].mean())
        true, false = f["prevalence"] * hit, (1 - f["prevalence"]) * f["false_alarms"] / f["others"]
        found[row.method][str(row.size)].append(2 * true / (true + false + f["prevalence"]))
    return {m: {n: round(float(np.mean(all_)), 4) for n, all_ in of.items()} for m, of in found.items()}


def asked(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Returns by size what it leaves out that networks are asked about few requests of others: :data:`ASKED`.

    ``p_at_rank`` is the mean p_LR of the last one asked about, ``beyond`` the mean share of test utterances below it,
    and ``open`` the share of draws in which √p_LR of one that was left out could pass the threshold.
    """
    found = defaultdict(list)
    for row in rows:
        if row.method == "teacher":
            f = row.figures
            found[str(row.size)].append((f["p_at_rank"], f["beyond"], f["p_at_rank"] ** 0.5 > f["threshold"]))
    names = ("p_at_rank", "beyond", "open")
    return {n: dict(zip(names, np.mean(some, 0).round(4).tolist(), strict=True)) for n, some in found.items()}
