"""Chapter 4's experiment: a recogniser of a new intent that is trained again on requests nobody annotated.

Protocol (decided before any test figure was looked at; settings were tried on utterances of a few intents that are in
no test, by draws that no published seed uses; raise the number in the table when its meaning changes):

- *New intents*: of Hinglish-TOP's English, SNIPS and SGD (one a domain, split by dialogue), all that have enough
  distinct utterances and 0.35 slots in each (:func:`slubook.ch4_selftraining.data.public_targets`). The test, up to 200
  utterances, is fixed. Seed *s* draws 50 or 200 utterances to annotate. Nothing is kept apart from these: what has to
  be chosen by them is cross-validated. (Quick: two intents of the embedded assistant, 50 utterances.)
- *An existing assistant*: 40 utterances of each other intent of six corpora to train on, 10 to set thresholds on, 14 to
  count false alarms on. Utterances of the new intent's topic are left out of all three, unless they are of the same
  service: under another name, they may ask for the new intent.
- *Pool*: 110,000 distinct requests of chapter 1's public corpora, without near-duplicates of tests and of requests on
  which false alarms are counted. It holds what is left of the new intents: each is 0.16 to 1 % of it with 50 annotated,
  and at least 0.04 % with 200; that is a few hundred requests to find, and a log has more. Its labels are never seen,
  but for the rows named *oracle*.
- *Recogniser*: MaxEnt over word 1- to 3-grams, the intent against the assistant's, and a CRF for slots.
- *Filter*: the 1,600 requests of the pool with the highest p(intent) by that MaxEnt, whatever p is. On a curve, the
  first 100 to 3,200.
- *Teachers*: the recogniser itself (``self``), or three networks over FastText vectors of the pool, which vote on
  slots, and √(p_DNN · p_LR) for the intent (``ensemble``). Where twofold cross-validation on what is annotated finds
  fewer slot errors with the recogniser's own CRF, the ensemble gives p only. What a teacher takes for the intent
  (p > 0.5) is added to the annotated utterances, and the student is trained again from its beginning.
- *A teacher after transfer* (with 50 annotated): in the ensemble's place, one network of chapter 2, pretrained on the
  mature data without the intent's topics. It has not read the pool.
- *Networks as students* (``dnn``, and ``scratch`` without vectors of the pool): like the ensemble's, their p is
  √(p_DNN · p_LR), with the p_LR of what is annotated in each row, so that only the network learns from labels. They are
  asked about the 600 requests of others that this p_LR finds most likely; table ``asked`` says what that leaves out.
- *Selection* (with 50 annotated): halves of those of the 1,600 that the ensemble takes for the intent, so that half of
  the added data are added, by each strategy of :mod:`slubook.ch4_selftraining.selection`; quarters by two of them.
  ``filtered``: half of the 1,600, chosen before anything is labelled. Random ones are drawn anew by each seed. The
  paraphrase detector of an intent learns from mature data without the intent's topics. It is judged by mature data of
  these topics, never by a test (table ``detector``).
- *Controls*: a higher weight of the annotated utterances, clusters of the pool's words as features (with and without
  self-training), 1,600 random requests of the pool, the same model's labels, and true labels (``oracle``), of the new
  intent's own corpus only, with every half too.
- *Judged by*: SemER over the test utterances of the intent, (D + I + S) / (C + D + S) with the intent as one more slot
  (:data:`slubook.evaluation.metrics.semer`; Su et al., SLT 2018). An utterance that the recogniser leaves to others is
  a wrong intent without slots. The primary operating point is *matched*: the lowest threshold with at most 0.3 % false
  alarms on development requests of other intents. Rows that end in ``_argmax`` accept p > 0.5. IRER, misses, false
  alarms, and F1 at the pool's prevalence stand beside it.
- *Half of the data*: non-inferior where the relative loss of SemER against all that were taken is below 2 %. We expect
  that this is hard to decide, whichever way it goes. The whole interval has to lie on one side of the margin. It is
  drawn over about twenty intents of three corpora. Even over intents alone it is narrower than ± 2 % only where the
  gains of intents have a standard deviation below 5 % (1.96 · 5 % / √21 = 2.1 %), and a test of 200 utterances with 60
  to 80 errors moves by about as much when a few answers change. So *inconclusive* is the most likely verdict of a half
  that loses nothing. It is no evidence that halves are equal.
- *Left for later*, as experiments of their own: intents without slots, and a sentence encoder that judges paraphrases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.fasttext import FastTextConfig, train_fasttext
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.skill_vectors import clusters
from slubook.ch1_skills.tables import kept_table, table_folder, text_key
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig, kept_pretrained
from slubook.ch2_transfer.source import LEAST, make_domain
from slubook.ch4_selftraining.data import KEPT, SMALL, Data, Target, full_data, quick_data
from slubook.ch4_selftraining.paraphrase import (
    ComparedPair,
    Detector,
    DetectorConfig,
    judge,
    pairs,
    rarity,
    train_detector,
)
from slubook.ch4_selftraining.teachers import TeacherConfig
from slubook.ch4_selftraining.trial import IntentTrial, SelfTrainingSettings, Shared, asked, prevalence_f1
from slubook.corpora.utterance import words
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.kept import write_weights
from slubook.experiments.options import Options
from slubook.experiments.records import Row, Test
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS
from slubook.files import one_at_a_time, replaced_file
from slubook.profiles import cache_dir, seed_everything

#: Annotated utterances; selection is compared at the first.
SIZES = (50, 200)
#: The method whose rows say how its detector was judged.
JUDGED = "bad_paraphrases_half"


def settings_of(kind: str) -> SelfTrainingSettings:
    """Returns the settings of a profile."""
    if kind == "full":
        return SelfTrainingSettings()
    quick = DNNConfig(NetworkConfig(dim=100, layers=1), TrainingConfig(updates=250, evaluations=1))
    return SelfTrainingSettings(
        SMALL, teacher=TeacherConfig(quick), fasttext=FastTextConfig(dim=100, epochs=3),
        filtered=200, curve=(50, 100, 400), grains=(100,), detector=DetectorConfig(pairs=2000),
        pretraining=PretrainingConfig(updates=200),
    )  # fmt: skip


def config_of(kind: str, settings: SelfTrainingSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration.

    The methods are part of it: cells that were measured before a method was added are not those of a run that has it.
    """
    return {"profile": kind, "methods": sorted(EXPERIMENTS["selftraining"].methods), **asdict(settings)}


def prepare(options: Options, settings: SelfTrainingSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    kind = options.kind
    data = full_data(settings.cut) if kind == "full" else quick_data(settings.cut)
    data = KEPT.kept(kind, data.key, lambda: data, "cutting corpora")
    name = f"{kind}-selftraining"
    table = kept_table(name, [words(text) for text in data.pool], train_fasttext, settings.fasttext)

    def task(key: Key) -> Task:
        return measure_cell, (*key, KEPT.folder(kind), table_folder(name), settings)

    sizes = SIZES if kind == "full" else SIZES[:1]
    keys = [(name, size, seed) for seed in range(options.draws) for size in sizes for name in data.targets]
    tests = {name: test_of(target) for name, target in data.targets.items()}
    hashes = {"data": data.key, f"vectors {name}": table.key}

    def tables(rows: Sequence[Row], known: Mapping[str, Any]) -> dict[str, Any]:
        made = {"f1_at_prevalence": prevalence_f1(rows), "asked": asked(rows)}
        return {"cut": data.counts(), "detector": judged_detectors(rows, data.targets), **made}

    return Work(keys, task, tests, hashes, tables)


def test_of(target: Target) -> Test:
    """Returns the test set of a new intent, as a results file names it."""
    gold = np.array([len(u.slots) for u in target.test])
    return Test(target.label[0], "+".join(target.topics), tuple(u.id for u in target.test), gold)


@cache
def shared(folder: Path, vectors: Path, grains: tuple[int, ...]) -> Shared:
    """Loads what all cells of a process share."""
    table = VectorTable.load(vectors)
    return Shared(Data.load(folder), table, clusters(table, grains))


@cache
def detector_of(data: Data, topics: tuple[str, ...], config: DetectorConfig) -> tuple[Detector, dict[str, float]]:
    """Returns the paraphrase detector that learns from mature data without these topics, and how it is judged by them.

    It is trained once, and kept.
    """
    mature = [h.utterance for h in data.heard["mature"] if not {*h.topics} & {*topics}]
    key = text_key([[repr(astuple(u))] for u in mature], (config, data.key))
    path = cache_dir() / KEPT.place / f"detector-{key}.safetensors"
    with one_at_a_time(path):
        if not path.is_file():
            with replaced_file(path) as draft:
                write_weights(draft, train_detector(mature, data.pool, config).state_dict())
        detector = Detector(rarity(data.pool, config.rare), config)
        detector.load_state_dict(load_file(path))
    own = {h.utterance.text for h in data.heard["mature"] if {*h.topics} & {*topics}}
    return detector.eval(), judge(detector, [p for p in mature_pairs(data) if p.first in own])


@cache
def pretrained_of(data: Data, topics: tuple[str, ...], config: PretrainingConfig) -> Pretrained:
    """Returns chapter 2's network of other skills, from mature data without these topics: trained once, and kept."""
    skills = defaultdict(list)
    for h in data.heard["mature"]:
        if not {*h.topics} & {*topics}:
            skills[f"{h.corpus}/{h.utterance.domain}"].append(h.utterance)
    domains = [make_domain(name, some) for name, some in sorted(skills.items()) if len(some) >= LEAST]
    return kept_pretrained(f"selftraining-{data.key}-{'+'.join(topics)}", domains, config)


@cache
def mature_pairs(data: Data) -> list[ComparedPair]:
    """Returns the pairs that detectors are judged by."""
    return pairs([h.utterance for h in data.heard["mature"]], seed=1)


def measure_cell(
    name: str, size: int, seed: int, folder: Path, vectors: Path, settings: SelfTrainingSettings
) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one new intent."""
    all_ = shared(folder, vectors, settings.grains)
    target = all_.data.targets[name]
    few, unseen = size == SIZES[0], (all_.data, target.topics)
    detector, judged = detector_of(*unseen, settings.detector) if few else (None, {})
    pretrained = pretrained_of(*unseen, settings.pretraining) if few else None
    seed_everything(seed, threads=1)  # the training of a detector, or none, has drawn numbers
    rows = IntentTrial(all_, target, size, seed, settings).run(detector, pretrained)
    rows = [replace(r, figures={**r.figures, **judged}) if r.method == JUDGED else r for r in rows]
    return Measured(rows, {all_.table.name: all_.table.stamp})


def judged_detectors(rows: Sequence[Row], targets: Mapping[str, Target]) -> dict[str, dict[str, float]]:
    """Returns the average precision of the detector and of word overlap for the topics of each target, and in all."""
    found = {"+".join(targets[r.skill].topics): r.figures for r in rows if r.method == JUDGED and r.skill in targets}
    chosen = {t: {name: f[name] for name in ("detector", "tfidf", "jaccard", "share")} for t, f in found.items()}
    mean = {name: float(np.mean([f[name] for f in chosen.values()])) for name in next(iter(chosen.values()), ())}
    return dict(sorted(chosen.items())) | ({"mean": mean} if mean else {})
