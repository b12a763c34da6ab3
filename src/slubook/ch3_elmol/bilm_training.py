"""Trains a bidirectional language model on requests that nobody annotated.

A training that is interrupted resumes where it was, and ends with the same model to the last bit: its kept state holds
weights, the optimizer's state and the state of every random generator. A training that resumes on another device draws
other random values from there on. Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from tqdm import tqdm

import slubook
from slubook.ch1_skills.masked_lm import OutputWords
from slubook.ch1_skills.tables import text_key
from slubook.ch1_skills.training import TrainingConfig, batches
from slubook.ch3_elmol.bilm import WHAT, BiLM, BiLMConfig, LanguageModel, Text
from slubook.ch3_elmol.contextual import match_norm
from slubook.experiments.kept import Artefacts, state_of, write_weights
from slubook.files import KeptError, replaced_file
from slubook.profiles import seed_everything

#: Of the training: raise it when the same text and settings come to train another model.
REVISION = 2
#: Every language model that is kept.
LANGUAGE_MODELS = Artefacts(WHAT, "bilm", LanguageModel.load, lambda model: model.reader.about.get("kept_key"))
#: Where the model of a name is kept.
bilm_folder = LANGUAGE_MODELS.folder


@dataclass(frozen=True)
class BiLMTraining:
    """Sizes, steps and rates.

    Attributes:
        model: sizes of the part that reads.
        candidates: words sampled for the softmax, for both directions together.
        least: occurrences that make a word one of the output words.
        longest: tokens read of an utterance.
        characters: so many, the most frequent ones, are told apart.
    """

    model: BiLMConfig = field(default_factory=BiLMConfig)
    epochs: int = 5
    batch: int = 64
    candidates: int = 1000
    rate: float = 3e-3
    weight_decay: float = 0.01
    dropout: float = 0.1
    least: int = 2
    longest: int = 30
    characters: int = 80


def train_bilm(
    name: str,
    sentences: Sequence[Sequence[str]],
    config: BiLMTraining | None = None,
    seed: int = 0,
    *,
    keep: Path | None = None,
    every: int = 500,
    device: str = "cpu",
) -> LanguageModel:
    """Trains on ``sentences``; the rate rises for a tenth of the updates, then falls along a cosine.

    Args:
        name: for the progress bar.
        sentences: tokens of each text.
        config: sizes, steps and rates.
        seed: of everything drawn.
        keep: a file for the state of the training, which resumes from it.
        every: updates after which the state is kept.
        device: ``"cpu"`` or ``"cuda"``; results are bit-identical on one type of machine only.

    Raises:
        KeptError: when ``keep`` is damaged or of another training.
        ValueError: when no word occurs often enough.
    """
    c = config or BiLMTraining()
    seed_everything(seed, threads=1)
    model = _new_model(sentences, c)
    text, begun = Text(sentences, model, c.longest), time.perf_counter()
    model.to(device).train()
    updates = c.epochs * math.ceil(len(text.sentences) / c.batch)
    optimizer = torch.optim.AdamW(
        model.parameters(), c.rate, weight_decay=c.weight_decay, betas=(0.9, 0.98), fused=True
    )
    state, key = TrainingState(model, optimizer, device), text_key(sentences, (c, seed))
    if keep is not None and keep.is_file():
        state.restore(keep, key)
    order = batches([len(s) for s in text.sentences], TrainingConfig(batch=c.batch, updates=updates), seed)
    bar = tqdm(total=updates, initial=state.done, desc=f"biLM {name}", unit="update", mininterval=2, disable=None)
    with bar:
        while state.done < updates:
            *given, rows = text.batch(order[state.done], device)
            guessed, targets = model.guesses(*given, rows, c.dropout)
            loss = model.output.loss(guessed.flatten(0, 1), targets.flatten(), c.candidates)
            optimizer.param_groups[0]["lr"] = c.rate * warm_cosine((state.done + 1) / updates)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            state.done += 1
            if keep is not None and state.done % every == 0 and state.done < updates:
                state.save(keep, key, time.perf_counter() - begun)
            bar.update()
    model.reader.about = {
        "key": key,
        "version": slubook.__version__,
        "seconds": round(state.seconds + time.perf_counter() - begun, 1),
        "updates": updates,
        "sentences": len(text.sentences),
        "tokens": sum(map(len, text.sentences)),
        "output_words": len(model.output.words),
        "devices": state.devices,
    }
    return model.to("cpu").eval()


def warm_cosine(progress: float) -> float:
    """Returns the factor on the rate at ``progress`` in (0, 1]: up to one in the first tenth, then down a cosine."""
    if progress < 0.1:
        return progress / 0.1
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9))


def device_name(device: str) -> str:
    """Returns what ``"cpu"`` or ``"cuda"`` is called in published results."""
    return torch.cuda.get_device_name() if device == "cuda" else "processor"


@dataclass
class TrainingState:
    """A training without its text, to be kept and restored; ``devices`` lists what it ran on, in order."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    device: str
    done: int = 0
    seconds: float = 0.0
    devices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.devices = [device_name(self.device)]

    def save(self, path: Path, key: str, seconds: float) -> None:
        """Writes the state, all or nothing."""
        tensors = {f"model.{n}": p.detach().cpu().clone() for n, p in self.model.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{n}": t.detach().cpu().clone() for n, t in state.items()}
        tensors["generator"] = torch.get_rng_state()
        if self.device == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state()
        about = {"key": key, "done": str(self.done), "seconds": str(self.seconds + seconds)}
        about["devices"] = "\n".join(self.devices)
        with replaced_file(path) as draft:
            write_weights(draft, tensors, about)

    def restore(self, path: Path, key: str) -> None:
        """Restores what :meth:`save` wrote."""
        try:
            with safe_open(path, "pt") as file:
                about, tensors = file.metadata(), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
            if about["key"] != key:
                raise ValueError("it is of another text or other settings")
            kept = self.optimizer.state_dict()
            kept["state"] = {}
            for name, tensor in tensors.items():
                if name.startswith("optimizer."):
                    _, number, what = name.split(".")
                    kept["state"].setdefault(int(number), {})[what] = tensor
            self.model.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
            self.optimizer.load_state_dict(kept)
            self.done, self.seconds = int(about["done"]), float(about["seconds"])
            self.devices = list(dict.fromkeys([*about["devices"].split("\n"), *self.devices]))
            torch.set_rng_state(tensors["generator"])
            if self.device == "cuda" and "generator.cuda" in tensors:  # begun on a processor, it draws others from here
                torch.cuda.set_rng_state(tensors["generator.cuda"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise KeptError(f"{path}: no training can resume from it ({error}): delete the file") from error


def _new_model(sentences: Sequence[Sequence[str]], c: BiLMTraining) -> LanguageModel:
    counts = Counter(w for s in sentences for w in s[: c.longest])
    known = Counter({w: n for w, n in counts.items() if n >= c.least})
    if not known:
        raise ValueError(f"too little text: of {len(sentences):,} requests, no word occurs {c.least} times")
    known[None], known[""] = sum(counts.values()) - sum(known.values()), len(sentences)
    frequent = Counter(char for w, n in counts.items() for char in w * min(n, 1000)).most_common(c.characters)
    return LanguageModel(BiLM(sorted(char for char, _ in frequent), c.model), OutputWords(known, c.model.width))


def kept_bilm(
    name: str,
    sentences: Sequence[Sequence[str]],
    config: BiLMTraining,
    measured_on: Sequence[Sequence[str]],
    device: str = "cpu",
    folder: Path | None = None,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> LanguageModel:
    """Returns the language model ``name``: the one that is kept if it had the same text and settings, else a new one.

    The state of a training is kept beside the folder until its model is there, so that it can resume.

    Args:
        name, sentences, config, device, seed: as for :func:`train_bilm`.
        measured_on: the texts of :func:`slubook.ch3_elmol.contextual.match_norm`.
        folder: where it is kept, in place of what is there; by its name in the cache when ``None``.
        check: called first, and around training; it raises where the folder must not be replaced.

    Raises:
        OSError: when the folder cannot be written.
        ValueError: when there is too little text, or what is kept is damaged.
    """
    folder, key = folder or bilm_folder(name), kept_key(sentences, config, measured_on, seed)

    def make() -> LanguageModel:
        check()
        model = train_bilm(name, sentences, config, seed, keep=state_of(folder, key), device=device)
        match_norm(model.reader, measured_on)
        model.reader.about["kept_key"] = key
        check()
        return model

    check()
    how = f"training {'ELMoL' if config.model.layers == 1 else 'ELMo'} on {len(sentences):,} requests"
    return LANGUAGE_MODELS.kept(name, key, make, how, folder)


def kept_key(
    sentences: Sequence[Sequence[str]], config: BiLMTraining, measured_on: Sequence[Sequence[str]], seed: int = 0
) -> str:
    """Returns a hash of all that a kept language model depends on, which its ``about`` has as well."""
    return text_key([*sentences, *measured_on], (REVISION, config, seed))
