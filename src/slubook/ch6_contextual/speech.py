"""Speaks turns with flite's voices, adds noise, and writes clips; needs flite, and is not needed to read the book.

``python -m slubook.ch6_contextual.speech`` makes the clips that ship anew, and their n-best lists.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from slubook.ch6_contextual.context import Replies, Weights
from slubook.ch6_contextual.data import DIALOGUES, demo_turn, our_first_turns, our_turns, written
from slubook.ch6_contextual.lists import LISTS, OURS, TURNS, Decoders, contexts, our_training, samples
from slubook.ch6_contextual.recogniser import RATE
from slubook.profiles import stable_hash

VOICES = ("rms", "slt", "awb", "kal16")
#: Signal-to-noise ratios in decibels; ``None`` is clean.
LEVELS = (None, 35, 30, 25)
#: Turns that ship, by kind: dev and test.
SHIPPED = {
    "contact": (10, 22), "device": (8, 16), "place": (8, 16), "dish": (6, 14), "song": (6, 14), "time": (6, 14),
    "first": (10, 20),
}  # fmt: skip
_PAUSE = RATE // 5  # of silence around a clip, in samples
#: Steps of sixteen bits that clips are rounded to: below the noise, and half of the bytes.
_STEP = 32


def speak(text: str, voice: str, level: int | None, noise: np.ndarray, seed: int) -> np.ndarray:
    """Returns 16-bit samples at 16 kHz of a text, [S], in noise of a level in decibels.

    Raises:
        FileNotFoundError: where flite is not installed.
    """
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, capture_output=True)
        clip, rate = soundfile.read(path, dtype="float64")
    assert rate == RATE, f"voice {voice} speaks at {rate} Hz"
    clip = np.pad(0.5 * clip / np.abs(clip).max(), _PAUSE)
    if level is not None:
        start = np.random.default_rng(seed).integers(len(noise) - len(clip))
        part = noise[start : start + len(clip)]
        clip = clip + part * np.sqrt((clip**2).mean() / (part**2).mean() / 10 ** (level / 10))
    return (np.round(clip * 32767 / _STEP) * _STEP).clip(-32768, 32767).astype(np.int16)


def drawn(turn_id: str) -> tuple[str, int | None]:
    """Returns the voice and the level of noise that a turn's id decides."""
    draw = stable_hash("clip", turn_id)
    return VOICES[draw % 4], LEVELS[draw // 4 % 4]


def spoken(turn_id: str, text: str, noise: np.ndarray) -> np.ndarray:
    """Speaks a turn, by a voice and in noise that its id decides; returns samples, [S]."""
    return speak(text, *drawn(turn_id), noise, stable_hash("noise", turn_id))


def made_noise(seconds: int = 30, seed: int = 0) -> np.ndarray:
    """Makes noise like that of a kitchen: a fan, a hum, and now and then something that clinks; [S], mean square 1."""
    rng, n = np.random.default_rng(seed), seconds * RATE
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequencies = np.fft.rfftfreq(n, 1 / RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequencies, 40.0)), n)
    noise /= noise.std()
    noise += 0.3 * np.sin(2 * np.pi * 100 * np.arange(n) / RATE)
    for start in rng.integers(0, n - RATE, seconds * 2):
        time = np.arange(RATE // 4) / RATE
        noise[start : start + len(time)] += (
            1.5 * np.exp(-25 * time) * np.sin(2 * np.pi * rng.uniform(1500, 4000) * time)
        )
    return noise / noise.std()


def make() -> None:
    """Makes the turns, clips, pronunciations and lists that ship."""
    import soundfile
    from tqdm import tqdm

    first = [our_first_turns(n, split) for split, n in (("dev", SHIPPED["first"][0]), ("test", SHIPPED["first"][1]))]
    turns = [turn for kind in OURS for split, n in zip(("dev", "test"), SHIPPED[kind], strict=True)
             for turn in our_turns(kind, n, split)]  # fmt: skip
    turns += [*(turn for some in first for turn in some), demo_turn()]
    noise, clips = made_noise(), DIALOGUES / "clips"
    clips.mkdir(exist_ok=True)
    for turn in turns:
        soundfile.write(clips / f"{turn.id}.flac", spoken(turn.id, turn.text, noise), RATE, subtype="PCM_16")
    lines = written(turns, {turn.id: f"clips/{turn.id}.flac" for turn in turns})
    TURNS.write_text("\n".join([*lines, ""]), encoding="utf-8")
    decoders = Decoders.of("ours", Replies.of(our_training()), Weights())
    found = {}
    for turn in tqdm(turns, desc="decode", unit="clip"):
        audio = samples(clips / f"{turn.id}.flac")
        heard = decoders.lists(audio, contexts(turn, turns))
        found[turn.id] = {name: each.to_json() for name, each in heard.items()}
    lists = ",\n".join(f"{json.dumps(turn)}: {json.dumps(lists)}" for turn, lists in found.items())
    LISTS.write_text(f"{{{lists}}}\n", encoding="utf-8")


if __name__ == "__main__":
    make()
