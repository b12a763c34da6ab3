"""Models of the user's own skills, trained on everything there is and kept, and their answers.

A model stands in the cache under ``skills/<skill>-<hash of its file's path>/<model>``, beside a note of what it was
trained on; a file that has changed since is learned again. Nothing kept is a pickle. Taught in *Your own skill*.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from slubook.corpora.errors import CorpusError
from slubook.evaluation.model import NLUModel
from slubook.files import replaced_folder, write_atomically
from slubook.own.inputs import PretrainedInput
from slubook.own.methods import METHODS
from slubook.own.skill import OwnSkill
from slubook.profiles import cache_dir, seed_everything, stable_hash
from slubook.serving.packed import PackedSkill

ABOUT, CHOICE = "about.json", "choice.json"


def folder_of(skill: OwnSkill) -> Path:
    """Returns where the models of a skill are kept: by its name and its file, so that namesakes stay apart."""
    readable = re.sub(r"[^\w.-]+", "-", skill.name).strip(".-")[:60] or "skill"
    return cache_dir() / "skills" / f"{readable}-{stable_hash(skill.path.resolve(), skill.name):08x}"


def train_and_keep(skill: OwnSkill, method: str, pretrained: PretrainedInput | None) -> Path:
    """Trains a model on every utterance and writes it, whole or not at all.

    Args:
        skill: what is learned.
        method: one of :data:`slubook.own.methods.METHODS`.
        pretrained: what it starts from.

    Returns:
        The folder of the model.

    Raises:
        CorpusError: when the cache cannot be written.
    """
    seed_everything(0, threads=1)
    folder = folder_of(skill) / method
    model = METHODS[method].make(pretrained)
    try:
        with replaced_folder(folder) as draft:
            about = METHODS[method].keep(skill, model, pretrained, draft)
            about |= {"key": skill.key, "asked": _identified(pretrained.choice if pretrained else "none")}
            (draft / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    except OSError as error:
        raise CorpusError(
            f"{folder}: cannot be written ({error.strerror}): set SLUBOOK_CACHE to a folder that can be written"
        ) from error
    return folder


def open_model(
    skill: OwnSkill, method: str, say: Callable[[str], None], choice: str = "auto"
) -> NLUModel | PackedSkill:
    """Opens the kept model; it is trained first where there is none for the skill and the choice as they are now.

    Args:
        skill: whose model.
        method: one of :data:`slubook.own.methods.METHODS`.
        say: told why it takes longer.
        choice: what the user chose for its pretrained input; ``"auto"`` takes what is kept.

    Raises:
        CorpusError: when the pretrained input cannot be had, or the cache cannot be written.
    """
    folder, kind = folder_of(skill) / method, METHODS[method]
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        changed, asked = about["key"] != skill.key, _identified(choice)
        if not changed and asked in ("auto", about["asked"]):
            return kind.open(skill, folder, about)
        other = f"over other {kind.needs} than {asked.rpartition('#')[0] or asked} the kept"
        say(f"{skill.name}: {'changed since its' if changed else other} {method} was trained; training it again")
    except FileNotFoundError:
        say(f"{skill.name}: no {method} is kept yet; training it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"{skill.name}: the kept {method} cannot be used ({error}); training it again")
    train_and_keep(skill, method, kind.pretrained(choice, [skill]))
    return kind.open(skill, folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def remember(skill: OwnSkill, method: str, reason: str) -> None:
    """Keeps what a comparison recommended, for :func:`chosen`."""
    choice = {"key": skill.key, "method": method, "reason": reason}
    write_atomically(folder_of(skill) / CHOICE, json.dumps(choice, ensure_ascii=False))


def chosen(skill: OwnSkill) -> str | None:
    """Returns the model that a comparison of this very skill recommended, or ``None`` without one."""
    try:
        choice = json.loads((folder_of(skill) / CHOICE).read_text(encoding="utf-8"))
        return choice["method"] if choice["key"] == skill.key and choice["method"] in METHODS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _identified(choice: str) -> str:
    """Returns the choice; of a folder its whole path and a hash of its files, since another model may come there."""
    if choice in ("auto", "none"):
        return choice
    digest, folder = hashlib.sha256(), Path(choice).resolve()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.read_bytes())
    return f"{folder}#{digest.hexdigest()[:12]}"
