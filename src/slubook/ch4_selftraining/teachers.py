"""Labels the utterances that were selected: by the student itself, or by networks that have read the pool.

A teacher sees annotated utterances and texts of the pool, never the pool's labels. Taught in chapter 4,
*Self-training*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from slubook.ch1_skills.dnn import DNN, DNNConfig, fit_together
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Start, TransferConfig, fit_starts
from slubook.ch4_selftraining.recogniser import IntentRecogniser, features, reject
from slubook.corpora.utterance import Prediction, Slot, Utterance
from slubook.evaluation.crossval import deal
from slubook.evaluation.metrics import outcomes, ser

#: Networks that vote.
MEMBERS = 3
#: The intent of requests that belong to others.
OTHER = ""


@dataclass(frozen=True)
class TeacherConfig:
    """Settings of the networks.

    Attributes:
        dnn: chapter 1's network, with one layer, and its training.
        others: requests of other intents that they are shown; those of the intent are repeated to be thrice as many.
        accepts: the confidence above which a label counts.
        folds: of the cross-validation that decides between the slots of the ensemble and of the student.
    """

    dnn: DNNConfig = field(
        default_factory=lambda: DNNConfig(NetworkConfig(layers=1), TrainingConfig(updates=600, evaluations=1))
    )
    others: int = 300
    accepts: float = 0.5
    folds: int = 2


@dataclass(frozen=True)
class Ensemble:
    """Networks of one intent that vote on slots, beside the linear recogniser that has a say on the intent."""

    intent: str
    networks: Sequence[DNN]
    linear: IntentRecogniser

    def label(self, texts: Sequence[str]) -> tuple[list[Prediction], np.ndarray]:
        """Returns slots for each text, as if it asked for the intent, and p(intent), [N].

        A slot stands where most networks see it. p is √(p_DNN · p_LR), with the mean of the networks for p_DNN: one
        of the two alone cannot carry a request over the threshold.
        """
        answers = [network.predict(texts) for network in self.networks]
        own = [[a.confidence if a.intent == self.intent else 1 - a.confidence for a in some] for some in answers]
        p = np.sqrt(np.mean(own, 0) * self.linear.probability(features(texts, self.linear.clusters)))
        return [Prediction(self.intent, vote([a.slots for a in some])) for some in zip(*answers, strict=True)], p


def vote(slots: Sequence[Sequence[Slot]]) -> tuple[Slot, ...]:
    """Returns the slots that more than half of the taggers see; two of them never overlap, as no tagger's do."""
    counts = Counter(slot for some in slots for slot in some)
    return tuple(sorted((s for s, n in counts.items() if 2 * n > len(slots)), key=lambda s: s.start))


def train_ensemble(
    annotated: Sequence[Utterance],
    others: Sequence[Utterance],
    linear: IntentRecogniser,
    table: VectorTable | None,
    config: TeacherConfig,
    seed: int,
    members: int = MEMBERS,
) -> Ensemble:
    """Trains networks, side by side, on what is annotated; nothing is kept apart, so the last weights are taken.

    Args:
        annotated: utterances of the intent.
        others: of other intents, of which the first ``config.others`` are shown, without their slots.
        linear: recogniser of the same annotated utterances.
        table: vectors of the pool's words, or ``None``: then words are learned from scratch.
        config: settings.
        seed: of weights and order.
        members: networks.
    """
    tables = {str(n): table for n in range(members)}
    networks = fit_together(tables, _shown(annotated, others, config.others), [], seed, config.dnn)
    return Ensemble(annotated[0].intent, list(networks.values()), linear)


def train_transferred(
    annotated: Sequence[Utterance],
    others: Sequence[Utterance],
    linear: IntentRecogniser,
    pretrained: Pretrained,
    config: TeacherConfig,
    seed: int,
) -> Ensemble:
    """Trains one network that starts from what other skills left (chapter 2); see :func:`train_ensemble`."""
    usual = TransferConfig().network
    rates = {"dropout": usual.dropout, "word_dropout": usual.word_dropout, "ngram_order": usual.ngram_order}
    recipe = TransferConfig(replace(pretrained.config, **rates), config.dnn.training)
    start, shown = Start(pretrained, LOWER_LAYERS), _shown(annotated, others, config.others)
    return Ensemble(annotated[0].intent, list(fit_starts({"": start}, shown, [], seed, recipe).values()), linear)


def _shown(annotated: Sequence[Utterance], others: Sequence[Utterance], most: int) -> list[Utterance]:
    strangers = [replace(u, intent=OTHER, slots=()) for u in others[:most]]
    return list(annotated) * max(1, round(3 * len(strangers) / len(annotated))) + strangers


def labelled(
    texts: Sequence[str], tagged: Sequence[Prediction], p: np.ndarray, intent: str, accepts: float
) -> list[Utterance | None]:
    """Returns each text as a teacher labels it, or ``None`` where it does not take it for the intent."""
    answers = reject(tagged, p, intent, accepts)
    return [
        Utterance(f"pool-{i}", text, intent, a.slots) if a.intent else None
        for i, (text, a) in enumerate(zip(texts, answers, strict=True))
    ]


def slot_errors(
    annotated: Sequence[Utterance],
    train: Callable[[list[Utterance]], Callable[[Sequence[str]], list[Prediction]]],
    folds: int,
    seed: int,
) -> float:
    """Cross-validates a tagger on what is annotated, and returns its slot error; ``train`` makes one from a part."""
    part_of = np.array(deal(annotated, [u.group or u.id for u in annotated], folds, seed))
    gold, said = [], []
    for fold in range(folds):
        inside = [u for u, p in zip(annotated, part_of, strict=True) if p == fold]
        gold += inside
        said += train([u for u, p in zip(annotated, part_of, strict=True) if p != fold])([u.text for u in inside])
    return ser(outcomes(gold, said))
