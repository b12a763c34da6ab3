"""Trains a language model of the user's own text, for ``slubook skill compare --elmol``. Taught in *Your own skill*."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slubook.ch1_skills.pool import HELD_OUT, build_pool
from slubook.ch3_elmol.bilm import LanguageModel, perplexity
from slubook.ch3_elmol.bilm_training import BiLMTraining, kept_bilm, kept_key
from slubook.ch3_elmol.embeddings import MODELS
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load, read_texts
from slubook.corpora.utterance import words
from slubook.experiments.kept import FACTS, WEIGHTS

#: Requests held out for perplexity at the least, and their greatest share of the text.
HELD, MOST = 100, 0.1
#: Passes over the text, unless said otherwise: as many as chapter 3's longest training.
EPOCHS = max(MODELS["elmol"].times) * BiLMTraining.epochs
#: The files of a language model.
FILES = {f"reader/{FACTS}", f"reader/{WEIGHTS}", "output.safetensors", "words.json"}


@dataclass(frozen=True)
class Trained:
    """Trains a language model of the user's own text.

    Attributes:
        folder: where it lies.
        sentences: requests that it was trained on; distinct ones, without those held out.
        left_out: requests that nearly repeat what must not be known.
        held_out: requests of its perplexity.
        perplexity: see :func:`slubook.ch3_elmol.bilm.perplexity`; empty when too few were held out.
        seconds: of training.
    """

    folder: str
    sentences: int
    left_out: int
    held_out: int
    perplexity: dict[str, float]
    seconds: float


def train_own(text: Path, out: Path, without: Sequence[Path], epochs: int | None, device: str) -> Trained:
    """Trains ELMoL on a text of the user's own; a training that was stopped resumes.

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
    about, told = model.reader.about, perplexity(model, [words(t) for t in held_out]) if held_out else {}
    return Trained(str(out), about["sentences"], left_out, len(held_out), told, about["seconds"])


def _may_be_written(out: Path, key: str) -> bool:
    """Returns whether a folder is empty, or holds the language model of that key and no other file."""
    if not out.is_dir():
        return False
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    return not files or (files == FILES and LanguageModel.load(out).reader.about.get("kept_key") == key)
