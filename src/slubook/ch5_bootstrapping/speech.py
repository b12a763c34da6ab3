"""Makes speech: Hindi sentences in synthetic voices, over noise and with some echo, as the features of a recogniser.

No public corpus of spoken Hindi requests is small enough for this book. Synthetic speech has known words, as many
voices as a test needs, and noise that makes a recogniser err as on a real microphone. It is easier than real speech
in other ways, so word error rates compare language models here, and say nothing of real microphones.

espeak-ng speaks; the voice of festival, where it is installed, is one that no training voice resembles. The same
version of a synthesiser says a sentence in the same way each time. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy.fft import irfft, rfft
from scipy.io import wavfile
from scipy.signal import fftconvolve, resample_poly
from tqdm import tqdm

from slubook.corpora.parallel import spoken
from slubook.experiments import kept
from slubook.experiments.kept import Artefacts, opened
from slubook.experiments.stamps import config_hash
from slubook.files import KeptError, replaced_folder
from slubook.profiles import stable_hash

RATE = 16_000
#: Samples of a window and between windows, 25 and 10 ms; bands on the mel scale.
WINDOW, HOP, BANDS = 400, 160, 40
#: Decibels of speech over noise, drawn evenly; share of clips with echo.
SNR, ECHO = (0.0, 15.0), 0.35
ESPEAK, FESTIVAL = "espeak-ng", "festival"
#: Variants of espeak-ng's Hindi voice that train recognisers, that choose settings, and voices that only test.
TRAINING_VOICES = ("m1", "m2", "m3", "m4", "m6", "f1", "f2", "f3", "klatt2", "Andy", "anika")
DEV_VOICES = ("m5", "f5")
TEST_VOICES = ("m7", "f4", "steph", "Denis", "edward", FESTIVAL)
#: Festival's Hindi voice names no method for its melody; this completes it.
_SCHEME = """(voice_hindi_NSK_diphone) (Parameter.set 'Int_Method 'Simple) (Parameter.set 'Duration_Stretch {stretch})
(set! int_simple_params '((f0_mean {pitch}) (f0_std 20)))
(utt.save.wave (utt.synth (Utterance Text "{text}")) "{out}" 'riff)"""
_DOTTED = [chr(code) for code in range(0x958, 0x960)]
_DEVANAGARI = re.compile(r"[\u0900-\u0963\u0970-\u097f]+")


class NoVoice(KeptError):
    """Raised when a synthesiser or voice is missing; the message says how to get it."""


def speakable(text: str) -> str:
    """Returns the words of a text as recognisers write them, between single spaces.

    It is empty where some word cannot be spoken for certain: a Hindi voice reads Latin script as English, and digits
    in one of many ways.
    """
    words = spoken(text)
    return " ".join(words) if all(_DEVANAGARI.fullmatch(word) for word in words) else ""


def synthesisers(voices: Sequence[str]) -> dict[str, str]:
    """Returns the version of each synthesiser that the voices need.

    Raises:
        NoVoice: when a synthesiser or a variant of its voice is not installed.
    """
    found = {}
    for program in sorted({FESTIVAL if voice == FESTIVAL else ESPEAK for voice in voices}):
        if not shutil.which(program):
            packages = "festival and festvox-hi-nsk" if program == FESTIVAL else program
            raise NoVoice(f"{program}, which speaks the sentences, is not installed: install the package {packages}")
        found[program] = re.search(r"\d+\.[\d.]+", _said_by(program, "--version")).group()
    variants = set(re.findall(r"!v/(\S+)", _said_by(ESPEAK, "--voices=variant"))) if ESPEAK in found else set()
    if missing := [voice for voice in voices if voice != FESTIVAL and voice not in variants]:
        raise NoVoice(f"{ESPEAK} has no voice variant {missing[0]!r}: install {ESPEAK} 1.51 or later")
    return found


def _said_by(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def speak(text: str, voice: str, rng: np.random.Generator) -> np.ndarray:
    """Speaks a text at a pitch and speed drawn anew: samples at :data:`RATE`, [T], of peak 1.

    Raises:
        NoVoice: when the synthesiser says nothing, as festival does without its Hindi voice.
    """
    pitch, speed = int(rng.integers(30, 71)), int(rng.integers(135, 191))
    with tempfile.TemporaryDirectory() as folder:
        out, script = Path(folder, "said.wav"), Path(folder, "say.scm")
        command = [ESPEAK, "-v", f"hi+{voice}", "-p", str(pitch), "-s", str(speed), "-w", str(out), text]
        if voice == FESTIVAL:
            stretch = round(170 / speed, 2)
            for dotted in _DOTTED:  # festival does not know the dot as a character of its own
                text = text.replace(unicodedata.normalize("NFD", dotted), dotted)
            script.write_text(_SCHEME.format(stretch=stretch, pitch=70 + pitch, text=text, out=out), "utf-8")
            command = [FESTIVAL, "-b", str(script)]
        done = subprocess.run(command, capture_output=True)
        if not out.is_file():
            error = done.stderr.decode(errors="replace").strip()
            raise NoVoice(f"{command[0]} says nothing of {text!r} ({error}): install its Hindi voice")
        rate, samples = wavfile.read(out)
    wave = resample_poly(samples.astype(np.float64), RATE, rate)
    return wave / max(1e-9, np.abs(wave).max())


def record(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Puts speech into a room: an echo at times, and noise between hiss and rumble, [T] → [T]."""
    if rng.random() < ECHO:
        decay = rng.uniform(0.1, 0.35)  # seconds until it has faded by 60 dB
        times = np.arange(int(RATE * decay)) / RATE
        tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / decay)
        wave = fftconvolve(wave, np.concatenate([[1.0], rng.uniform(0.02, 0.08) * tail]))[: len(wave)]
    shape = np.fft.rfftfreq(len(wave), 1 / RATE).clip(50) ** -rng.uniform(0, 0.75)
    noise = irfft(rfft(rng.standard_normal(len(wave))) * shape, len(wave))
    power = np.mean(wave**2) / np.mean(noise**2) / 10 ** (rng.uniform(*SNR) / 10)
    return wave + np.sqrt(power) * noise


def mel_filters() -> np.ndarray:
    """Returns triangular filters, evenly spaced on the mel scale from 60 Hz to 8 kHz: [bands, bins]."""
    mel = np.linspace(*(2595 * np.log10(1 + np.array([60, RATE / 2]) / 700)), BANDS + 2)
    edges, bins = 700 * (10 ** (mel / 2595) - 1), np.fft.rfftfreq(512, 1 / RATE)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall))


def log_mel(wave: np.ndarray) -> np.ndarray:
    """Returns the logarithm of the energy in each mel band, each band of mean 0 and deviation 1: [frames, bands]."""
    wave = np.append(wave[0], wave[1:] - 0.97 * wave[:-1])  # speech has less energy in high bands
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, WINDOW // 2), WINDOW)[::HOP]
    energy = np.abs(rfft(frames * np.hanning(WINDOW), 512)) ** 2 @ mel_filters().T
    bands = np.log(energy + 1e-6)
    return ((bands - bands.mean(0)) / (bands.std(0) + 1e-3)).astype(np.float32)


@dataclass(frozen=True)
class SpokenClips:
    """Spoken sentences, N of them: ``texts``, ``voices``, and ``features``, [frames, bands] each."""

    texts: tuple[str, ...]
    voices: tuple[str, ...]
    features: tuple[np.ndarray, ...]
    key: str  # a hash of all that they were made from

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, voice: str) -> SpokenClips:
        """Returns the clips of one voice."""
        rows = [k for k, name in enumerate(self.voices) if name == voice]
        some = (tuple(column[k] for k in rows) for column in (self.texts, self.voices, self.features))
        return SpokenClips(*some, f"{self.key} {voice}")

    @property
    def seconds(self) -> float:
        """Returns how long they are together."""
        return sum(map(len, self.features)) * HOP / RATE

    def save(self, folder: Path) -> None:
        """Writes them whole, features in half precision."""
        facts = {"key": self.key, "texts": self.texts, "voices": self.voices}
        whole = torch.from_numpy(np.concatenate(self.features)).half()
        with replaced_folder(folder) as draft:
            lengths = torch.tensor([len(one) for one in self.features])
            kept.write(draft, facts, {"features": whole, "lengths": lengths})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what :meth:`save` wrote; errors as :func:`slubook.experiments.kept.opened` has them."""
        with opened(folder, "speech", "run `slubook run bootstrapping` again") as (facts, tensors):
            parts = torch.split(tensors["features"].float(), tensors["lengths"].tolist())
            features = tuple(part.numpy() for part in parts)
            return cls(tuple(facts["texts"]), tuple(facts["voices"]), features, facts["key"])


#: All speech that is kept.
SPEECH = Artefacts("speech", "speech", SpokenClips.load, lambda clips: clips.key)


def recording(n: int, text: str, voice: str, seed: int) -> np.ndarray:
    """Speaks the n-th text of a list into a room: samples at :data:`RATE`, [T]."""
    rng = np.random.default_rng(stable_hash(seed, n, text, voice))
    return record(speak(text, voice, rng), rng)


def say_all(name: str, texts: Sequence[str], voices: Sequence[str], seed: int = 0) -> SpokenClips:
    """Speaks N texts, each in the voice at its place, and keeps the clips under a name; makes them once.

    Raises:
        NoVoice: when a synthesiser or voice is missing.
        ValueError: when a text has words that cannot be spoken for certain.
    """
    if len(texts) != len(voices):
        raise ValueError(f"{len(texts)} texts and {len(voices)} voices: one each is needed")
    if wrong := [text for text in texts if speakable(text) != text or not text]:
        raise ValueError(f"{wrong[0]!r} cannot be spoken for certain: use what speakable() returns, where not empty")
    made_of = [seed, list(texts), list(voices), synthesisers(voices), SNR, ECHO, BANDS]
    key = config_hash(made_of)[:16]

    def make() -> SpokenClips:
        places = tqdm(range(len(texts)), desc=name, unit="clip", disable=None)
        features = tuple(log_mel(recording(n, texts[n], voices[n], seed)) for n in places)
        return SpokenClips(tuple(texts), tuple(voices), features, key)

    return SPEECH.kept(name, key, make, f"speaking {len(texts):,} sentences")
