"""Lists what chapter 3 compares: its methods, what each reads, when that may learn, and how each is trained.

Taught in chapter 3, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining
from slubook.ch3_elmol.contextual_training import ContextRecipe
from slubook.ch3_elmol.embeddings import SMALL, SMALL_EPOCHS
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import Changes, changed

METHODS = EXPERIMENTS["elmol"].methods


class EmbeddingUse(NamedTuple):
    """How a method uses an embedding: which one, and its schedules in stage one and on the new skill."""

    embedding: str
    source: str
    skill: str


#: The use of each method with an embedding.
HOW = {
    "fasttext_general": EmbeddingUse("general", "frozen", "frozen"),
    "fasttext_pool": EmbeddingUse("pool", "frozen", "frozen"),
    "elmol": EmbeddingUse("elmol", "slowly", "slowly"),
    "elmo": EmbeddingUse("elmo", "slowly", "slowly"),
    "elmol_light": EmbeddingUse("elmol_light", "slowly", "slowly"),
    "elmol_again": EmbeddingUse("elmol_again", "slowly", "slowly"),
    "elmol_1": EmbeddingUse("elmol1", "slowly", "slowly"),
    "elmol_10": EmbeddingUse("elmol10", "slowly", "slowly"),
    "elmol_frozen": EmbeddingUse("elmol", "frozen", "frozen"),
    "elmol_trained": EmbeddingUse("elmol", "at_once", "at_once"),
    "elmol_ulmfit": EmbeddingUse("elmol", "slowly", "gradual"),
}
#: Methods of the other profiles: general text is not among the embedded corpora, and minutes are few.
USED = {
    "full": tuple(HOW),
    "quick": ("fasttext_pool", "elmol", "elmol_frozen"),
    "corpus": ("fasttext_pool", "elmol", "elmo", "elmol_frozen", "elmol_trained"),
}
#: Methods that share the recipe of another one.
AS = dict.fromkeys(("elmol_light", "elmol_again", "elmol_1", "elmol_10"), "elmol")
#: The updates and sizes that chapter 2 has for a network with new heads; tuning started from it.
START = ContextRecipe(replace(transfer.NETWORK, dropout=0.3), rate=0.6)
#: What tuning chose (:mod:`slubook.ch3_elmol.tuning`), where it differs from the start.
CHOSEN: dict[str, Changes] = {
    "none": {"rate": 1.6},
    "fasttext_general": {"rate": 1.6},
    "fasttext_pool": {"rate": 1.6, "network.word_dropout": 0.25},
    "elmol": {"rate": 2.56},
    "elmo": {"rate": 1.6},
    "elmol_frozen": {"rate": 1.0},
    "elmol_trained": {"rate": 1.6, "reduced": 0.2},
    "elmol_ulmfit": {"rate": 4.0, "network.dropout": 0.4},
}


@dataclass(frozen=True)
class ElmolSettings:
    """The configuration of every method on the new skill, and of what comes before.

    Attributes:
        recipes: of methods on the new skill.
        pretraining: of all networks.
        bilm: of the language models in the full run; ``small`` those of others.
        fasttext: of tables of words.
        epochs: of FastText in the full run, by table; ``small`` those of other runs.
        unfreezing: of all schedules, but for the rates, which ``recipes`` have for the new skill.
        stage_one: for ``<embedding>-<schedule>`` of stage one, the rate of the embedding's highest layer; all ELMoLs
            have that of ``elmol``.
    """

    recipes: Mapping[str, ContextRecipe] = field(
        default_factory=lambda: {method: changed(START, changes) for method, changes in CHOSEN.items()}
    )
    pretraining: PretrainingConfig = field(default_factory=lambda: PretrainingConfig(updates=4000))
    bilm: BiLMTraining = field(default_factory=BiLMTraining)
    small: BiLMTraining = SMALL
    fasttext: FastTextConfig = field(default_factory=FastTextConfig)
    epochs: Mapping[str, int] = field(default_factory=lambda: {"general": 15, "pool": 45, "small": SMALL_EPOCHS})
    unfreezing: UnfreezingConfig = field(default_factory=UnfreezingConfig)
    stage_one: Mapping[str, float] = field(
        default_factory=lambda: {"elmol-slowly": 0.1, "elmol-at_once": 0.1, "elmo-slowly": 0.5}
    )

    def schedule(self, kind: str, how: str) -> UnfreezingConfig:
        """Returns the schedule ``how`` of stage one over an embedding of ``kind``."""
        name = f"{kind if kind == 'elmo' else 'elmol'}-{how}"
        return replace(self.unfreezing, how=how, reduced=self.stage_one.get(name, self.unfreezing.reduced))

    def recipe(self, method: str) -> ContextRecipe:
        """Returns how a method is trained on a new skill."""
        return self.recipes[AS.get(method, method)]


def variant_of(method: str) -> str:
    """Returns the ending of the name of a method's pretrained network."""
    return f"{HOW[method].embedding}-{HOW[method].source}"


def wanted(
    methods: Sequence[str], settings: ElmolSettings
) -> tuple[list[str], dict[str, tuple[str, UnfreezingConfig]]]:
    """Returns the embeddings that methods need, and for each variant of pretraining its embedding and schedule."""
    schedules = {variant_of(m): (HOW[m].embedding, settings.schedule(HOW[m].embedding, HOW[m].source)) for m in methods}
    return list(dict.fromkeys(kind for kind, _ in schedules.values())), schedules
