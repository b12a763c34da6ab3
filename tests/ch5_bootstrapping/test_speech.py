"""Speech: what can be spoken, noise at the level drawn, bands that hear their own tone, clips that are kept."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from slubook.ch5_bootstrapping import speech
from slubook.ch5_bootstrapping.speech import (
    BANDS,
    HOP,
    RATE,
    TRAINING_VOICES,
    NoVoice,
    SpokenClips,
    log_mel,
    mel_filters,
    record,
    say_all,
    speak,
    speakable,
    synthesisers,
)
from slubook.files import KeptError

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng, which speaks, is not installed")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("मुझे, एक अच्छा रेस्तरां चाहिए।", "मुझे एक अच्छा रेस्तरां चाहिए"),
        ("क्या  आप वहाँ हैं ?", "क्या आप वहाँ हैं"),
        ("फ़ोन", "फ\u093cोन"),  # the dot is a character of its own, however it was typed
        ("मुझे pizza चाहिए", ""),
        ("25 रुपये", ""),
        ("२५ रुपये", ""),
        ("।", ""),
    ],
)
def test_speakable(text, spoken):
    assert speakable(text) == spoken
    assert speakable(spoken) == spoken


def test_each_band_hears_its_own_tone():
    filters, bins = mel_filters(), np.fft.rfftfreq(512, 1 / RATE)
    assert filters.shape == (BANDS, len(bins))
    centres = bins[filters.argmax(1)]
    assert (np.diff(centres) > 0).sum() >= BANDS - 3  # low bands are narrower than the bins
    time = np.arange(RATE) / RATE
    for band in (10, 20, 30):
        tone = np.sin(2 * np.pi * centres[band] * time) * (time > 0.5)
        bands = log_mel(tone + 1e-3 * np.random.default_rng(0).standard_normal(RATE))
        assert bands.shape == (RATE // HOP + 1, BANDS)
        louder = bands[60:90].mean(0) - bands[10:40].mean(0)
        assert louder[band] > 1.5


def test_features_do_not_depend_on_loudness():
    wave = np.random.default_rng(1).standard_normal(RATE)
    np.testing.assert_allclose(log_mel(wave), log_mel(10 * wave), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_the_level_that_was_drawn(seed, monkeypatch):
    monkeypatch.setattr(speech, "ECHO", 0.0)
    monkeypatch.setattr(speech, "SNR", (6.0, 6.0))
    wave = np.sin(np.arange(RATE) / 7)
    noise = record(wave, np.random.default_rng(seed)) - wave
    assert 10 * np.log10(np.mean(wave**2) / np.mean(noise**2)) == pytest.approx(6.0)


def test_clips_are_kept_whole(tmp_path):
    rng = np.random.default_rng(0)
    features = tuple(rng.standard_normal((n, BANDS)).astype(np.float32) for n in (7, 12))
    SpokenClips(("एक", "दो"), ("m1", "f1"), features, "key").save(tmp_path / "clips")
    found = SpokenClips.load(tmp_path / "clips")
    assert (found.texts, found.voices, found.key) == (("एक", "दो"), ("m1", "f1"), "key")
    assert found.seconds == pytest.approx(0.19)
    for one, other in zip(found.features, features, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)
    (tmp_path / "clips" / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(KeptError, match="delete the folder"):
        SpokenClips.load(tmp_path / "clips")


def test_a_missing_synthesiser_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(NoVoice, match=r"espeak-ng.*install"):
        synthesisers(["m1"])
    with pytest.raises(NoVoice, match="festvox-hi-nsk"):
        synthesisers(["festival"])


def test_what_cannot_be_spoken_is_refused_before_anything_is_made():
    with pytest.raises(ValueError, match="pizza"):
        say_all("refused", ["मुझे pizza चाहिए"], ["m1"])


@needs_espeak
def test_a_voice_that_is_not_there_is_refused():
    with pytest.raises(NoVoice, match="nobody"):
        synthesisers(["nobody"])


@needs_espeak
def test_clips_are_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "a"))
    texts, voices = ["नमस्ते", "आप कैसे हैं"], TRAINING_VOICES[:2]
    first = say_all("test", texts, voices)
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "b"))
    second = say_all("test", texts, voices)
    assert first.key == second.key
    assert all((one == other).all() for one, other in zip(first.features, second.features, strict=True))
    assert say_all("other", texts, voices, seed=1).key != first.key


@pytest.mark.skipif(not shutil.which("festival"), reason="festival, which speaks, is not installed")
def test_festival_speaks_dotted_characters():
    assert len(speak(speakable("ज़रूर फ़ोन"), "festival", np.random.default_rng(0))) > 0.5 * RATE


@needs_espeak
def test_voices_differ():
    waves = [speak("नमस्ते", voice, np.random.default_rng(0)) for voice in TRAINING_VOICES]
    assert len({wave.tobytes() for wave in waves}) == len(TRAINING_VOICES)
    assert all(0.2 * RATE < len(wave) < 3 * RATE and abs(wave).max() == pytest.approx(1) for wave in waves)
