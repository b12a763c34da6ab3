"""Recognises the characters of spoken Hindi: a small network trained by connectionist temporal classification (CTC).

Two convolutions halve the frames twice, to 40 ms each; two bidirectional GRUs read them; each frame then names a
character or none, the blank. CTC (Graves et al., ICML 2006) adds up all ways to spread the characters of a text over
the frames, so nobody has to say when each was spoken. The network knows no words: these are the language model's part.
Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from tqdm import tqdm

from slubook.ch1_skills.training import TrainingConfig, batches
from slubook.ch3_elmol.bilm_training import TrainingState, warm_cosine
from slubook.ch5_bootstrapping.speech import BANDS, SpokenClips
from slubook.experiments import kept
from slubook.experiments.kept import Artefacts, opened, state_of
from slubook.experiments.stamps import config_hash
from slubook.files import replaced_folder
from slubook.profiles import seed_everything

BLANK, SPACE = "", " "


@dataclass(frozen=True)
class AcousticConfig:
    """Sizes, steps and rates; ``mask`` are the bands and the frames hidden at once from training (SpecAugment)."""

    width: int = 160
    epochs: int = 12
    batch: int = 16
    rate: float = 3e-3
    weight_decay: float = 0.01
    dropout: float = 0.15
    mask: tuple[int, int] = (6, 20)


class AcousticModel(nn.Module):
    """Features to the logarithms of the characters' probabilities, one row for every four frames."""

    def __init__(self, alphabet: Sequence[str], config: AcousticConfig | None = None, key: str = "") -> None:
        """Makes a new network.

        Args:
            alphabet: the characters that it can name, C of them; the first is the blank.
            config: its sizes, and how it is trained.
            key: a hash of all that it is trained from.
        """
        super().__init__()
        c = config or AcousticConfig()
        self.alphabet, self.config, self.key = tuple(alphabet), c, key
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n, c.width, kernel_size=5, stride=2, padding=2) for n in (BANDS, c.width)
        )
        self.drop = nn.Dropout(c.dropout)
        self.gru = nn.GRU(c.width, c.width, num_layers=2, bidirectional=True, batch_first=True, dropout=c.dropout)
        self.characters = nn.Linear(2 * c.width, len(self.alphabet))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Reads B utterances of [frames, bands] each: ln P, [B, T, C], and how many of the T each has, [B]."""
        lengths = torch.tensor([len(one) for one in features])
        x = pad_sequence(list(features), batch_first=True).transpose(1, 2)  # [B, bands, frames]
        for convolution in self.convolutions:
            x, lengths = torch.relu(convolution(x)), (lengths + 1) // 2  # [B, width, ⌈frames / 2⌉]
            x = x * (torch.arange(x.shape[2]) < lengths[:, None])[:, None]  # what is behind an utterance stays zero
        packed = pack_padded_sequence(self.drop(x.transpose(1, 2)), lengths, batch_first=True, enforce_sorted=False)
        x, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # [B, T, 2 × width]
        return self.characters(self.drop(x)).log_softmax(-1), lengths

    @torch.no_grad()
    def log_probs(self, features: np.ndarray) -> np.ndarray:
        """Returns ln P of each character at each place of one utterance: [frames, bands] → [T, C]."""
        self.eval()
        return self([torch.from_numpy(features)])[0][0].numpy()

    def save(self, folder: Path) -> None:
        """Writes the network whole, in half precision."""
        facts = {"key": self.key, "alphabet": self.alphabet, "width": self.config.width}
        with replaced_folder(folder) as draft:
            kept.write(draft, facts, {name: tensor.half() for name, tensor in self.state_dict().items()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote; errors as :func:`slubook.experiments.kept.opened` has them."""
        with opened(folder, "recogniser", "run `slubook run bootstrapping` again") as (facts, weights):
            found = cls(facts["alphabet"], AcousticConfig(width=facts["width"]), facts["key"])
            found.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
            return found.eval()


#: Every recogniser that is kept.
RECOGNISERS = Artefacts("recogniser", "recognisers", AcousticModel.load, lambda recogniser: recogniser.key)


def train_recogniser(
    name: str, clips: SpokenClips, config: AcousticConfig | None = None, seed: int = 0
) -> AcousticModel:
    """Trains on clips, or returns the recogniser that is kept of the same clips and settings; stopped, it resumes.

    Its alphabet are the characters of the clips' texts. Each state is kept at the end of an epoch.
    """
    c = config or AcousticConfig()
    key = config_hash([clips.key, repr(c), seed])[:16]
    keep = state_of(RECOGNISERS.folder(name), key)
    how = f"training on {clips.seconds / 3600:.1f} hours of speech"
    return RECOGNISERS.kept(name, key, lambda: _train(name, clips, c, seed, key, keep), how)


def _train(name: str, clips: SpokenClips, c: AcousticConfig, seed: int, key: str, keep: Path) -> AcousticModel:
    rng = seed_everything(seed, threads=1)
    model = AcousticModel([BLANK, SPACE, *sorted({ch for t in clips.texts for ch in t} - {SPACE})], c, key).train()
    number = {character: i for i, character in enumerate(model.alphabet)}
    targets = [torch.tensor([number[character] for character in text]) for text in clips.texts]
    features = [torch.from_numpy(one) for one in clips.features]
    epoch = math.ceil(len(clips) / c.batch)
    order = batches([len(one) // 20 for one in features], TrainingConfig(batch=c.batch, updates=c.epochs * epoch), seed)
    state = TrainingState(model, torch.optim.AdamW(model.parameters(), c.rate, weight_decay=c.weight_decay), "cpu")
    if keep.is_file():
        state.restore(keep, key)
    rngs = rng.integers(2**32, size=len(order))  # of each update, so that one that resumes hides the same
    with tqdm(total=len(order), initial=state.done, desc=name, unit="update", mininterval=2, disable=None) as bar:
        while state.done < len(order):
            rows, hide = order[state.done], np.random.default_rng(rngs[state.done])
            guessed, lengths = model([masked(features[row], c.mask, hide) for row in rows])
            aims = [targets[row] for row in rows]
            loss = nn.functional.ctc_loss(
                guessed.transpose(0, 1), torch.cat(aims), lengths, torch.tensor([len(aim) for aim in aims]),
                zero_infinity=True,
            )  # fmt: skip
            state.optimizer.param_groups[0]["lr"] = c.rate * warm_cosine((state.done + 1) / len(order))
            state.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            state.optimizer.step()
            state.done += 1
            if state.done % epoch == 0 and state.done < len(order):
                state.save(keep, key, 0.0)
            bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)
            bar.update()
    return model.eval()


def masked(features: Tensor, most: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Hides some neighbouring bands and some frames, twice each, at most ``most`` (Park et al., Interspeech 2019)."""
    shown = features.clone()
    for _ in range(2):
        for axis, limit in zip((1, 0), most, strict=True):
            width = int(rng.integers(0, min(limit, shown.shape[axis] // 4) + 1))
            start = int(rng.integers(0, shown.shape[axis] - width + 1))
            shown.narrow(axis, start, width).zero_()
    return shown


def best_path(log_probs: np.ndarray, alphabet: Sequence[str]) -> str:
    """Reads off the likeliest character of every place, [T, C], without repetitions and blanks: no words are known."""
    path = log_probs.argmax(1).tolist()
    return "".join(alphabet[c] for c, before in zip(path, [0, *path], strict=False) if c != before)


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Counts the fewest substitutions, deletions and insertions between two texts, in words or characters."""
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, heard in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(diagonal + (said != heard), row[j] + 1, row[j - 1] + 1)
    return row[-1]
