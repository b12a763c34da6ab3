"""What ELMoL stands on for a skill of the user's own, and a language model of the user's own text.

Two trainings, each done once and kept: a language model reads requests that nobody annotated, then a network that reads
it learns the annotated requests of this book, as in chapter 3. Taught in *Your own skill*.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from slubook.ch1_skills.pool import HELD_OUT, build_pool
from slubook.ch2_transfer.checkpoints import pretrained_folder
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.bilm_training import BiLMTraining, bilm_folder, kept_bilm, kept_key
from slubook.ch3_elmol.checkpoints import kept_contextual
from slubook.ch3_elmol.context_pretrained import ContextPretrained
from slubook.ch3_elmol.embeddings import MODELS, SMALL
from slubook.ch3_elmol.language_model import LanguageModel
from slubook.ch3_elmol.methods import Settings
from slubook.ch3_elmol.perplexity import perplexity
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load, read_texts
from slubook.corpora.utterance import words
from slubook.experiments.saved import FACTS, WEIGHTS
from slubook.files import KeptError
from slubook.own.skill import Mature, OwnSkill, embedded_pool, embedded_source

#: The language models that a full run of chapter 3 leaves in the cache, the longest training first.
FULL = tuple(f"elmol-full-elmol-{times}" for times in reversed(MODELS["elmol"].times))
#: Stage one of transfer over ELMoL on the embedded corpora: with the language model, two minutes of one core.
PRETRAINING = PretrainingConfig(updates=1000)
#: When the language model learns in it: as in chapter 3.
UNFREEZING = Settings().schedule("elmol", "slowly")
#: Of a text of the user's own: requests held out for perplexity at the least, and their greatest share of it.
HELD, MOST = 100, 0.1
#: Passes over it, unless said otherwise: as many as chapter 3's longest training.
EPOCHS = max(MODELS["elmol"].times) * BiLMTraining.epochs
#: The files of a language model.
FILES = {f"reader/{FACTS}", f"reader/{WEIGHTS}", "output.safetensors", "words.json"}


class Contextual(NamedTuple):
    """A network pretrained over a language model, where its word table lies, and what the model has read, in words."""

    network: ContextPretrained
    folder: Path
    read: str

    def in_words(self) -> str:
        """What both were trained on, for a sentence."""
        return f"{self.read}; and on {Mature(self.network.base, self.folder).in_words()}"


class Reader(NamedTuple):
    """A language model, and what it was trained on, in words."""

    model: BiLM
    read: str


def check(choice: str) -> None:
    """Say at once that a folder holds no language model, before anything else is trained.

    Raises:
        CorpusError: when it holds none, or one that cannot be read.
    """
    try:
        if choice != "auto":
            LanguageModel.load(Path(choice))
    except (OSError, ValueError) as error:
        raise CorpusError(f"ELMoL: {error}") from error


def contextual(choice: str, skills: Sequence[OwnSkill]) -> Contextual:
    """The network over ELMoL that a skill starts from: pretrained on the embedded corpora once, and kept.

    Args:
        choice: of the language model; see :func:`language_model`.
        skills: what will be learned; what nearly repeats it is left out of the source, as for transfer.

    Raises:
        CorpusError: when there is no language model in the folder, nothing is left to learn from, or the cache cannot
            be used.
    """
    check(choice)
    try:
        reader = language_model(choice, skills)
        source, domains = embedded_source(skills)
        key = reader.model.stamp
        name = f"{source}-elmol-{key}"
        network = kept_contextual(name, domains, reader.model, key, PRETRAINING, UNFREEZING)
    except (CorpusError, KeptError):
        raise
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"ELMoL: {error}: set SLUBOOK_CACHE to a folder that can be written, or leave it out"
        ) from error
    return Contextual(network, pretrained_folder(name) / "base" / "table", reader.read)


def language_model(choice: str, skills: Sequence[OwnSkill]) -> Reader:
    """The language model for the networks.

    Args:
        choice: the folder of one, or ``"auto"``: that of a full run of chapter 3 where the cache has it, else a small
            one of the embedded pool, trained once and kept. That pool leaves out what stands in the skills; a model of
            a full run may have read it, without labels, when it is public.
        skills: what will be learned.

    Raises:
        FileNotFoundError: when there is none in the folder.
        ValueError: when it is damaged or of another format.
    """
    there = [folder for folder in map(bilm_folder, FULL) if (folder / "reader" / FACTS).is_file()]
    if choice != "auto":
        folder, read = Path(choice), f"the language model in {choice}{_known_to_lack(Path(choice))}"
    elif there:
        folder, read = there[0], "a language model of the public requests of chapter 3"
    else:
        name, pool = embedded_pool(skills)
        kept_bilm(name, pool.sentences(), SMALL, pool.measured())
        without = ", without those that are also yours" if "-without-" in name else ""
        folder, read = bilm_folder(name), f"a language model of the requests that come with this book{without}"
    return Reader(LanguageModel.load(folder).reader, read)


@dataclass(frozen=True)
class Trained:
    """A language model of the user's own text.

    Attributes:
        folder: where it lies.
        sentences: requests that it was trained on; distinct ones, without those held out.
        left_out: requests that nearly repeat what must not be known.
        held_out: requests of its perplexity.
        perplexity: see :func:`slubook.ch3_elmol.perplexity.perplexity`; empty when too few were held out.
        seconds: of training.
    """

    folder: str
    sentences: int
    left_out: int
    held_out: int
    perplexity: dict[str, float]
    seconds: float


def train_own(text: Path, out: Path, without: Sequence[Path], epochs: int | None, device: str) -> Trained:
    """Train ELMoL on a text of the user's own; a training that was stopped goes on where it was.

    A hundredth of the requests are held out for perplexity; a hundred at the least, but no more than a tenth.

    Args:
        text: one request a line.
        out: a folder for it, new or empty; or that of this very model.
        without: corpora or skills of which it must know nothing, because it will be compared on them.
        epochs: passes over the text; :data:`EPOCHS` when ``None``.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        CorpusError: when a file cannot be used, when there is too little text, when something else stands in ``out``,
            or when it cannot be written.
    """
    asked = [u.text for path in without for u in load(path)]
    pool = build_pool((), asked, read_texts(text)).unlike(asked)
    left_out = pool.counts["distinct"] - pool.counts["left"]
    left, held_out = pool.held_out(min(MOST, max(HELD_OUT, HELD / max(1, len(pool.texts)))))
    config = replace(BiLMTraining(), epochs=epochs or EPOCHS)
    out, names = out.resolve(), sorted(path.name for path in without)
    sentences, measured = left.sentences(), left.measured()

    def check() -> None:
        if out.exists() and not _may_be_written(out, kept_key(sentences, config, measured)):
            raise CorpusError(
                f"{out}: is there already, and is not the language model of this text and these settings and nothing "
                "else: name another folder, or remove it"
            )
        tempfile.TemporaryFile(dir=next(p for p in out.parents if p.exists())).close()  # fails now, not after an hour

    try:
        model = kept_bilm(out.name, sentences, config, measured, device, out, check=check)
        if model.reader.about.get("without") != names:
            model.reader.about["without"] = names
            model.save(out)
    except OSError as error:
        raise CorpusError(f"{out}: cannot be written ({error.strerror}): name another folder with --out") from error
    except CorpusError:
        raise
    except ValueError as error:
        raise CorpusError(f"{text}: no language model can be trained ({error})") from error
    told = perplexity(model, [words(t) for t in held_out]) if held_out else {}
    about = model.reader.about
    return Trained(str(out), about["sentences"], left_out, len(held_out), told, about["seconds"])


def _known_to_lack(folder: Path) -> str:
    """Which files a language model was trained without, in brackets; what it has read of a skill flatters it there."""
    without = LanguageModel.load(folder).reader.about.get("without")
    return f" (trained without {', '.join(without)})" if without else " (which may have read the skill's requests)"


def _may_be_written(out: Path, key: str) -> bool:
    """Whether a folder is empty, or holds the language model of that key and no other file."""
    if not out.is_dir():
        return False
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    return not files or (files == FILES and LanguageModel.load(out).reader.about.get("kept_key") == key)
