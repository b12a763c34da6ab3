"""Models of the user's own skills, trained on everything there is and kept, and their answers.

A model stands in the cache under ``skills/<skill>-<hash of its file's path>/<model>``, beside a note of what it was
trained on; a file that has changed since is learned again. Nothing kept is a pickle. Taught in *Your own skill*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from slubook.corpora.errors import CorpusError
from slubook.evaluation.crossval import DEV_PARTS, deal
from slubook.experiments.own import OwnSkill, Vectors
from slubook.files import replaced_folder, write_atomically
from slubook.learning.dnn import DNNConfig
from slubook.learning.served import ServedDNN, no_vectors
from slubook.models.base import NLUModel
from slubook.models.maxent import MaxEntConfig, MaxEntCRF
from slubook.models.maxent_file import load_maxent, save_maxent
from slubook.models.packed import PackedSkill
from slubook.models.store import SkillStore, append
from slubook.models.vectors import VectorTable
from slubook.profiles import cache_dir, seed_everything, stable_hash

LINEAR, NEURAL = "maxent_crf", "dnn"
NAMES = {LINEAR: "MaxEnt-CRF", NEURAL: "DNN"}
ABOUT, CHOICE = "about.json", "choice.json"


@dataclass(frozen=True)
class Configs:
    """The settings of both models."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=DNNConfig)

    def model(self, name: str, table: VectorTable | None) -> MaxEntCRF | ServedDNN:
        """A new model of that name, the network over ``table``."""
        return MaxEntCRF(self.maxent) if name == LINEAR else ServedDNN(table, self.dnn)


def folder_of(skill: OwnSkill) -> Path:
    """Where the models of a skill are kept: by its name and its file, so that namesakes do not displace each other."""
    readable = re.sub(r"[^\w.-]+", "-", skill.name).strip(".-")[:60] or "skill"
    return cache_dir() / "skills" / f"{readable}-{stable_hash(skill.path.resolve(), skill.name):08x}"


def train_and_keep(skill: OwnSkill, method: str, vectors: Vectors | None, configs: Configs | None = None) -> Path:
    """Train a model on every utterance and write it, whole or not at all.

    The linear model first chooses its regularisation on a sixth of the samples, then learns from all with it; the
    network takes the average of its last weights.

    Args:
        skill: what is learned.
        method: ``"maxent_crf"`` or ``"dnn"``.
        vectors: what the network stands on, or ``None``.
        configs: settings other than the tuned ones.

    Returns:
        The folder of the model.

    Raises:
        CorpusError: when the cache cannot be written.
    """
    configs, everything = configs or Configs(), list(skill.utterances)
    about = {"key": skill.key, "vectors": str(vectors.folder) if vectors and method == NEURAL else None}
    seed_everything(0, threads=1)
    with _written(folder_of(skill) / method) as folder:
        if method == LINEAR:
            part = deal(everything, skill.groups, DEV_PARTS, seed=0)
            train, dev = (
                [u for u, p in zip(everything, part, strict=True) if (p == DEV_PARTS - 1) is held]
                for held in (False, True)
            )
            chosen = configs.model(LINEAR, None).fit(train, dev).chosen
            save_maxent(replace(configs, maxent=chosen).model(LINEAR, None).fit(everything, []), folder)
        else:
            model = configs.model(NEURAL, vectors.table if vectors else None).fit(everything, [])
            append(folder, [(skill.name, model.blob)])
            about["dim"] = configs.dnn.network.dim
        (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return folder_of(skill) / method


def remember(skill: OwnSkill, method: str, reason: str) -> None:
    """Keep what a comparison recommended, for :func:`chosen`."""
    choice = {"key": skill.key, "method": method, "reason": reason}
    write_atomically(folder_of(skill) / CHOICE, json.dumps(choice, ensure_ascii=False))


def chosen(skill: OwnSkill) -> str | None:
    """The model that a comparison of this very skill recommended, or ``None`` without one."""
    try:
        choice = json.loads((folder_of(skill) / CHOICE).read_text(encoding="utf-8"))
        return choice["method"] if choice["key"] == skill.key and choice["method"] in (LINEAR, NEURAL) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_model(
    skill: OwnSkill, method: str, vectors: Callable[[], Vectors | None], say: Callable[[str], None]
) -> NLUModel | PackedSkill:
    """The kept model; it is trained first where there is none for the skill as it stands now.

    Args:
        skill: whose model.
        method: ``"maxent_crf"`` or ``"dnn"``.
        vectors: gives the network's vectors, asked for only when it has to be trained.
        say: told why it takes longer.

    Raises:
        CorpusError: when the cache cannot be written.
    """
    folder = folder_of(skill) / method
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["key"] == skill.key:
            return _load(skill, method, folder, about)
        say(f"{skill.name}: changed since its {method} was trained; training it again")
    except FileNotFoundError:
        say(f"{skill.name}: no {method} is kept yet; training it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"{skill.name}: the kept {method} cannot be used ({error}); training it again")
    folder = train_and_keep(skill, method, vectors() if method == NEURAL else None)
    return _load(skill, method, folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def _load(skill: OwnSkill, method: str, folder: Path, about: dict) -> NLUModel | PackedSkill:
    if method == LINEAR:
        return load_maxent(folder)
    table = VectorTable.load(Path(about["vectors"])) if about["vectors"] else no_vectors(about["dim"])
    with SkillStore(folder, table) as store:
        return store.skill(skill.name)


@contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """A new folder to write into, put in the place of ``folder`` when all went well."""
    try:
        with replaced_folder(folder) as draft:
            yield draft
    except OSError as error:
        raise CorpusError(
            f"{folder}: cannot be written ({error.strerror}): set SLUBOOK_CACHE to a folder that can be written"
        ) from error
