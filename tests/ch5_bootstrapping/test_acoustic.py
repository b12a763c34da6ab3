"""The recogniser: batches change nothing, it learns made-up tones, it resumes to the last bit, it is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch5_bootstrapping import acoustic
from slubook.ch5_bootstrapping.acoustic import (
    RECOGNISERS,
    AcousticConfig,
    AcousticModel,
    best_path,
    edits,
    masked,
    train_recogniser,
)
from slubook.ch5_bootstrapping.speech import BANDS, SpokenClips

TINY = AcousticConfig(width=24, epochs=25, batch=8, rate=1e-2, dropout=0.0, mask=(0, 0))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))


def tones(n: int, seed: int = 0) -> SpokenClips:
    """Made-up speech: each of three characters is a tone of its own for twelve frames, between pauses."""
    rng, texts, features = np.random.default_rng(seed), [], []
    for _ in range(n):
        text = "".join(rng.choice(list("कखग"), rng.integers(2, 5)))
        frames = 0.3 * rng.standard_normal((16 * len(text) + 4, BANDS))
        for place, character in enumerate(text):
            band = 5 + 12 * "कखग".index(character)
            frames[4 + 16 * place : 16 + 16 * place, band : band + 6] += 3
        texts.append(text)
        features.append(frames.astype(np.float32))
    return SpokenClips(tuple(texts), ("tone",) * n, tuple(features), f"tones-{n}-{seed}")


def test_it_has_a_row_for_four_frames_and_a_probability_for_each_character():
    model = AcousticModel(["", " ", "क", "ख"])
    for frames in (4, 5, 37, 100):
        found = model.log_probs(np.random.default_rng(0).standard_normal((frames, BANDS)).astype(np.float32))
        assert found.shape == (-(-frames // 4), 4)
        np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-5)
    assert 0.9e6 < sum(p.numel() for p in AcousticModel(["c"] * 70).parameters()) < 1e6


def test_an_utterance_is_read_alike_alone_and_in_a_batch():
    torch.manual_seed(0)
    model = AcousticModel(["", " ", "क"], TINY).eval()
    some = [torch.randn(n, BANDS) for n in (9, 30, 17)]
    together, lengths = model(some)
    for one, found, length in zip(some, together, lengths, strict=True):
        np.testing.assert_allclose(found[:length].detach(), model.log_probs(one.numpy()), atol=1e-5)


def test_it_learns_and_is_kept():
    model = train_recogniser("tones", tones(80), TINY)
    test = tones(20, seed=1)
    heard = [best_path(model.log_probs(one), model.alphabet) for one in test.features]
    wrong = sum(edits(text, said) for text, said in zip(test.texts, heard, strict=True))
    assert wrong / sum(map(len, test.texts)) < 0.1
    again = train_recogniser("tones", tones(80), TINY)  # not trained again: it is kept
    assert again.key == model.key and again.alphabet == ("", " ", "क", "ख", "ग")
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_training_that_was_stopped_resumes_to_the_last_bit(monkeypatch):
    config = AcousticConfig(width=8, epochs=3, batch=8)
    whole = train_recogniser("whole", tones(24), config)
    updates = 0

    def stopping(*given):
        nonlocal updates
        updates += 1
        if updates > 5 * 8:
            raise KeyboardInterrupt
        return masked(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(acoustic, "masked", stopping)
        train_recogniser("stopped", tones(24), config)
    left = list(RECOGNISERS.folder("stopped").parent.glob("stopped-*.safetensors"))
    resumed = train_recogniser("stopped", tones(24), config)
    assert left and not any(path.exists() for path in left)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_masks_hide_bands_and_frames_and_leave_the_rest():
    features = torch.ones(80, BANDS)
    shown = masked(features, (6, 20), np.random.default_rng(0))
    assert (features == 1).all() and 0 < (shown == 0).sum() < shown.numel() / 2
    assert ((shown == 0) | (shown == 1)).all()


def test_the_best_path_drops_blanks_and_repetitions():
    alphabet, path = ["", " ", "क", "ख"], [0, 2, 2, 0, 2, 1, 3, 3, 0]
    assert best_path(np.eye(4)[path], alphabet) == "कक ख"


@given(st.text("कखग", max_size=6), st.text("कखग", max_size=6), st.text("कखग", max_size=6))
def test_edits_are_a_distance(a, b, c):
    assert (edits(a, b) == 0) == (a == b)
    assert edits(a, b) == edits(b, a) <= max(len(a), len(b))
    assert edits(a, c) <= edits(a, b) + edits(b, c)
