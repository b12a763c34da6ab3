"""Models of the user's own skills, trained on everything there is and kept, and their answers.

A model stands in the cache under ``skills/<skill>-<hash of its file's path>/<model>``, beside a note of what it was
trained on; a file that has changed since is learned again. Nothing kept is a pickle. Taught in *Your own skill*.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig, MaxEntCRF, load_maxent, save_maxent
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import MOVABLE
from slubook.ch2_transfer.protocol import Settings
from slubook.ch2_transfer.transfer import Recipe
from slubook.ch3_elmol.contextual_training import ContextStart
from slubook.corpora.errors import CorpusError
from slubook.evaluation.crossval import DEV_PARTS, deal
from slubook.evaluation.model import NLUModel
from slubook.files import replaced_folder, write_atomically
from slubook.own.elmol import Contextual, contextual
from slubook.own.skill import Mature, OwnSkill, Vectors, pretrained
from slubook.own.skill import vectors as own_vectors
from slubook.profiles import cache_dir, seed_everything, stable_hash
from slubook.serving.packed import PackedSkill
from slubook.serving.served import ServedContextual, ServedDNN, ServedTransfer, no_vectors
from slubook.serving.store import SkillStore, append

ABOUT, CHOICE = "about.json", "choice.json"
#: What a model stands on, besides the skill: word vectors, a pretrained network, one over ELMoL, or nothing.
Basis = Vectors | Mature | Contextual | None


class Beneath(NamedTuple):
    """What was asked for beneath the networks: word vectors, and the language model of ELMoL; each may be a folder."""

    vectors: str = "auto"
    elmol: str = "auto"

    def asked(self, method: str) -> str:
        """What was asked for beneath a model; ``"auto"`` where nothing can be asked for.

        A folder is its whole path and a hash of the files in it, since another model may come to lie there.
        """
        choice = getattr(self, METHODS[method].option, "auto")
        if choice in ("auto", "none"):
            return choice
        digest, folder = hashlib.sha256(), Path(choice).resolve()
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            digest.update(path.read_bytes())
        return f"{folder}#{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Configs:
    """The settings of all models."""

    maxent: MaxEntConfig = field(default_factory=MaxEntConfig)
    dnn: DNNConfig = field(default_factory=DNNConfig)
    transfer: Recipe = field(default_factory=lambda: Settings().transfer_names)


class Method(Protocol):
    """A kind of model that can be compared, kept and asked.

    ``title`` is its name in tables, ``noun`` in a sentence; ``needs`` is what it needs beside the skill, ``""`` for
    nothing; ``option`` is the field of :class:`Beneath` that chooses it, ``""`` where there is no choice. ``basis``
    gives what is needed for skills, by what was asked for beneath; ``make`` gives a new model over it; ``write`` trains
    one on all of a skill into a folder and returns what :meth:`read` must know to open it.
    """

    title: str
    noun: str
    needs: str
    option: str

    def basis(self, beneath: Beneath, skills: Sequence[OwnSkill]) -> Basis: ...

    def make(self, configs: Configs, basis: Basis) -> NLUModel: ...

    def write(self, skill: OwnSkill, configs: Configs, basis: Basis, folder: Path) -> dict[str, Any]: ...

    def read(self, skill: OwnSkill, folder: Path, about: Mapping[str, Any]) -> NLUModel | PackedSkill: ...


class Linear:
    """MaxEnt and CRF: from the skill alone, kept as they are."""

    title = noun = "MaxEnt-CRF"
    needs = option = ""

    def basis(self, beneath: Beneath, skills: Sequence[OwnSkill]) -> None:
        """Nothing."""

    def make(self, configs: Configs, basis: Basis) -> MaxEntCRF:
        """A new model."""
        return MaxEntCRF(configs.maxent)

    def write(self, skill: OwnSkill, configs: Configs, basis: Basis, folder: Path) -> dict[str, Any]:
        """Choose the regularisation on a sixth of the samples, then learn from all with it."""
        everything = list(skill.utterances)
        part = deal(everything, skill.groups, DEV_PARTS, seed=0)
        train, dev = (
            [u for u, p in zip(everything, part, strict=True) if (p == DEV_PARTS - 1) is held] for held in (False, True)
        )
        chosen = MaxEntCRF(configs.maxent).fit(train, dev).chosen
        save_maxent(MaxEntCRF(chosen).fit(everything, []), folder)
        return {}

    def read(self, skill: OwnSkill, folder: Path, about: Mapping[str, Any]) -> MaxEntCRF:
        """What :meth:`write` left."""
        return load_maxent(folder)


class Network:
    """A network that is served packed, over a word table; with no dev set, the average of its weights is kept."""

    def write(self, skill: OwnSkill, configs: Configs, basis: Basis, folder: Path) -> dict[str, Any]:
        """Learn from all and pack."""
        model = self.make(configs, basis).fit(list(skill.utterances), [])
        append(folder, [(skill.name, model.blob)])
        return {"table": str(basis.folder) if basis else None, "dim": model.below.dim}

    def read(self, skill: OwnSkill, folder: Path, about: Mapping[str, Any]) -> PackedSkill:
        """What :meth:`write` left, over the table as it is now."""
        table = VectorTable.load(Path(about["table"])) if about["table"] else no_vectors(about["dim"])
        with SkillStore(folder, table) as store:
            return store.skill(skill.name)


class Neural(Network):
    """Chapter 1's network, over word vectors or none."""

    title, noun, needs, option = "DNN", "the DNN", "word vectors", "vectors"

    def basis(self, beneath: Beneath, skills: Sequence[OwnSkill]) -> Vectors | None:
        """The vectors that were asked for."""
        return own_vectors(beneath.vectors, skills)

    def make(self, configs: Configs, basis: Basis) -> ServedDNN:
        """A new model."""
        return ServedDNN(basis.table if basis else None, configs.dnn)


class Transferred(Network):
    """Chapter 2's network: everything that can move comes from the pretrained one, heads by label names."""

    title, noun, needs, option = "Transfer", "the transferred network", "pretrained network", ""

    def basis(self, beneath: Beneath, skills: Sequence[OwnSkill]) -> Mature:
        """The network that was pretrained on the embedded corpora."""
        return pretrained(skills)

    def make(self, configs: Configs, basis: Basis) -> ServedTransfer:
        """A new model."""
        return ServedTransfer(configs.transfer.start(basis.network, MOVABLE), configs.transfer)


class OverELMoL(Network):
    """Chapter 3's network: as the transferred one, and it reads ELMoL beside its words, frozen first."""

    title, noun, needs, option = "ELMoL", "ELMoL", "language model", "elmol"

    def basis(self, beneath: Beneath, skills: Sequence[OwnSkill]) -> Contextual:
        """The network that was pretrained on the embedded corpora over the language model that was asked for."""
        return contextual(beneath.elmol, skills)

    def make(self, configs: Configs, basis: Basis) -> ServedContextual:
        """A new model."""
        start = ContextStart(basis.network, rate=configs.transfer.rate, parts=MOVABLE)
        return ServedContextual(start, configs.transfer)


#: Every kind of model, the simplest first.
METHODS: dict[str, Method] = {
    "maxent_crf": Linear(), "dnn": Neural(), "transfer": Transferred(), "elmol": OverELMoL(),
}  # fmt: skip
SIMPLEST = next(iter(METHODS))
#: What a comparison leaves out unless it is asked for, as it takes a pretrained network.
ON_REQUEST = {"transfer", "elmol"}


def folder_of(skill: OwnSkill) -> Path:
    """Where the models of a skill are kept: by its name and its file, so that namesakes do not displace each other."""
    readable = re.sub(r"[^\w.-]+", "-", skill.name).strip(".-")[:60] or "skill"
    return cache_dir() / "skills" / f"{readable}-{stable_hash(skill.path.resolve(), skill.name):08x}"


def train_and_keep(
    skill: OwnSkill, method: str, basis: Basis, configs: Configs | None = None, *, beneath: Beneath | None = None
) -> Path:
    """Train a model on every utterance and write it, whole or not at all.

    Args:
        skill: what is learned.
        method: one of :data:`METHODS`.
        basis: what it stands on.
        configs: settings other than the tuned ones.
        beneath: what was asked for beneath it; it is kept beside the model.

    Returns:
        The folder of the model.

    Raises:
        CorpusError: when the cache cannot be written.
    """
    seed_everything(0, threads=1)
    with _written(folder_of(skill) / method) as folder:
        about = METHODS[method].write(skill, configs or Configs(), basis, folder)
        (folder / ABOUT).write_text(
            json.dumps({**about, "key": skill.key, "asked": (beneath or Beneath()).asked(method)}), encoding="utf-8"
        )
    return folder_of(skill) / method


def remember(skill: OwnSkill, method: str, reason: str) -> None:
    """Keep what a comparison recommended, for :func:`chosen`."""
    choice = {"key": skill.key, "method": method, "reason": reason}
    write_atomically(folder_of(skill) / CHOICE, json.dumps(choice, ensure_ascii=False))


def chosen(skill: OwnSkill) -> str | None:
    """The model that a comparison of this very skill recommended, or ``None`` without one."""
    try:
        choice = json.loads((folder_of(skill) / CHOICE).read_text(encoding="utf-8"))
        return choice["method"] if choice["key"] == skill.key and choice["method"] in METHODS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_model(
    skill: OwnSkill,
    method: str,
    basis: Callable[[], Basis],
    say: Callable[[str], None],
    beneath: Beneath | None = None,
) -> NLUModel | PackedSkill:
    """The kept model; it is trained first where there is none for the skill as it stands now, or over other things.

    Args:
        skill: whose model.
        method: one of :data:`METHODS`.
        basis: gives what it stands on, asked for only when it has to be trained.
        say: told why it takes longer.
        beneath: what is asked for beneath it; ``"auto"`` takes what is kept.

    Raises:
        CorpusError: when the cache cannot be written.
    """
    folder, beneath = folder_of(skill) / method, beneath or Beneath()
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        changed, asked = about["key"] != skill.key, beneath.asked(method)
        if not changed and asked in ("auto", about["asked"]):
            return METHODS[method].read(skill, folder, about)
        what = (
            "changed since its"
            if changed
            else f"over other {METHODS[method].needs} than {asked.rpartition('#')[0] or asked} the kept"
        )
        say(f"{skill.name}: {what} {method} was trained; training it again")
    except FileNotFoundError:
        say(f"{skill.name}: no {method} is kept yet; training it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"{skill.name}: the kept {method} cannot be used ({error}); training it again")
    folder = train_and_keep(skill, method, basis(), beneath=beneath)
    return METHODS[method].read(skill, folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))


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
