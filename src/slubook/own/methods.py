"""Lists the kinds of models for a user's own skill, in one table. Taught in *Your own skill*."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF, load_maxent, save_maxent
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import MOVABLE
from slubook.ch2_transfer.protocol import TransferSettings
from slubook.ch3_elmol.contextual_training import ContextStart
from slubook.evaluation.crossval import DEV_PARTS, deal
from slubook.evaluation.model import NLUModel
from slubook.own.inputs import PretrainedInput, elmol_network, pretrained_network, word_vectors
from slubook.own.skill import OwnSkill
from slubook.serving.packed import PackedSkill
from slubook.serving.served import no_vectors, served_contextual, served_dnn, served_transfer
from slubook.serving.store import SkillStore, append

#: The tuned settings of the models.
MAXENT, DNN, TRANSFER = MaxEntConfig(), DNNConfig(), TransferSettings().transfer_names


def keep_linear(skill: OwnSkill, model: MaxEntCRF, pretrained: None, folder: Path) -> dict[str, Any]:
    """Chooses the regularisation on a sixth of the samples, then trains on all with it, and writes the model."""
    everything = list(skill.utterances)
    part = deal(everything, skill.groups, DEV_PARTS, seed=0)
    train, dev = (
        [u for u, p in zip(everything, part, strict=True) if (p == DEV_PARTS - 1) is held] for held in (False, True)
    )
    save_maxent(MaxEntCRF(model.fit(train, dev).chosen).fit(everything, []), folder)
    return {}


def keep_packed(skill: OwnSkill, model: NLUModel, pretrained: PretrainedInput | None, folder: Path) -> dict[str, Any]:
    """Trains a network on all of a skill and packs it; with no dev set, the average of its weights is kept."""
    model.fit(list(skill.utterances), [])
    append(folder, [(skill.name, model.blob)])
    return {"table": str(pretrained.table) if pretrained else None, "dim": model.table.dim}


def open_packed(skill: OwnSkill, folder: Path, about: Mapping[str, Any]) -> PackedSkill:
    """Opens what :func:`keep_packed` wrote, over its word vectors as they are now."""
    table = VectorTable.load(Path(about["table"])) if about["table"] else no_vectors(about["dim"])
    with SkillStore(folder, table) as store:
        return store.skill(skill.name)


@dataclass(frozen=True)
class Method:
    """A kind of model that can be compared, kept and asked.

    Attributes:
        title: its name in tables.
        noun: its name in a sentence.
        make: returns a new model over a pretrained input.
        needs: the kind of pretrained input that it starts from, in words; none when empty.
        pretrained: returns that input, by what the user chose (``"auto"`` where there is no choice) and the skills.
        on_request: whether a comparison leaves it out unless it is asked for, as it takes a pretrained network.
        keep: trains a new model on all of a skill, writes it into a folder, and returns what ``open`` must know.
        open: returns what ``keep`` wrote.
    """

    title: str
    noun: str
    make: Callable[[PretrainedInput | None], NLUModel]
    needs: str = ""
    pretrained: Callable[[str, Sequence[OwnSkill]], PretrainedInput | None] = lambda choice, skills: None
    on_request: bool = False
    keep: Callable[[OwnSkill, NLUModel, PretrainedInput | None, Path], dict[str, Any]] = keep_packed
    open: Callable[[OwnSkill, Path, Mapping[str, Any]], NLUModel | PackedSkill] = open_packed


#: Every kind of model, the simplest first.
METHODS: dict[str, Method] = {
    "maxent_crf": Method(
        "MaxEnt-CRF",
        "MaxEnt-CRF",
        lambda pretrained: MaxEntCRF(MAXENT),
        keep=keep_linear,
        open=lambda skill, folder, about: load_maxent(folder),
    ),
    "dnn": Method(
        "DNN",
        "the DNN",
        lambda pretrained: served_dnn(pretrained.model if pretrained else None, DNN),
        "word vectors",
        word_vectors,
    ),
    # Everything that can move comes from the pretrained network, heads by label names.
    "transfer": Method(
        "Transfer",
        "the transferred network",
        lambda pretrained: served_transfer(TRANSFER.start(pretrained.model, MOVABLE), TRANSFER),
        "pretrained network",
        lambda choice, skills: pretrained_network(skills),
        on_request=True,
    ),
    # As the transferred network; it reads ELMoL beside its words, frozen first.
    "elmol": Method(
        "ELMoL",
        "ELMoL",
        lambda pretrained: served_contextual(
            ContextStart(pretrained.model, rate=TRANSFER.rate, parts=MOVABLE), TRANSFER
        ),
        "language model",
        elmol_network,
        on_request=True,
    ),
}
SIMPLEST = next(iter(METHODS))
