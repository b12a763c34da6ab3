"""The decoder against all alignments of all word sequences, where there are few enough to list them."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch5_bootstrapping.decoder import BeamDecoder, DecoderSettings, Trie
from slubook.ch5_bootstrapping.ngram import Vocabulary, train

ALPHABET = ("", " ", "a", "b")
TEXT = [["a", "ab"], ["ab", "b", "a"], ["aa", "b"], ["bb"], ["a", "a"], ["ab"]]
MODEL = train(TEXT, Vocabulary.of(TEXT), 3)
WIDE = {"beam": 10_000, "least": 0.0}


def outputs(frames: int, seed: int) -> np.ndarray:
    """Made-up ln P of a recogniser, [frames, C]."""
    logits = 2 * np.random.default_rng(seed).normal(size=(frames, len(ALPHABET)))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def all_hypotheses(log_probs, settings):
    """Scores every word sequence by listing all alignments: words → score."""
    spelled = defaultdict(float)
    for path in product(range(len(ALPHABET)), repeat=len(log_probs)):
        folded = [0 if c == 1 else c for c in path]  # a space is as good as a blank
        text = "".join(ALPHABET[c] for c, _ in groupby(folded) if c)
        spelled[text] += math.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    found, lexicon = {}, MODEL.vocabulary.words[3:]
    for length in range(len(log_probs) + 1):
        for words in product(lexicon, repeat=length):
            if (prob := spelled.get("".join(words), 0.0)) > 0:
                language = float(MODEL.sentence_scores([words])[0])
                found[words] = math.log(prob) + settings.weight * language + settings.bonus * length
    return found


@given(
    st.integers(1, 5),
    st.integers(0, 10_000),
    st.floats(0, 2, allow_subnormal=False),
    st.floats(-1, 1, allow_subnormal=False),
)
def test_with_a_wide_beam_all_word_sequences_are_found(frames, seed, weight, bonus):
    log_probs, settings = outputs(frames, seed), DecoderSettings(weight=weight, bonus=bonus, **WIDE)
    expected = all_hypotheses(log_probs, settings)
    found = {h.words: h.score for h in BeamDecoder(MODEL, ALPHABET, settings).decode(log_probs, 10_000)}
    assert found.keys() == expected.keys()
    assert all(found[words] == pytest.approx(expected[words], abs=1e-9) for words in expected)
    best = BeamDecoder(MODEL, ALPHABET, settings).decode(log_probs)[0]
    assert best.score == pytest.approx(max(expected.values()), abs=1e-9)
    assert best.score == pytest.approx(best.acoustic + weight * best.language + bonus * len(best.words))


def test_a_narrow_beam_finds_most_of_the_best():
    wide, narrow = DecoderSettings(**WIDE), DecoderSettings()
    decoders = [BeamDecoder(MODEL, ALPHABET, settings) for settings in (wide, narrow)]
    pairs = [[d.decode(outputs(8, seed))[0] for d in decoders] for seed in range(40)]
    assert all(a.score >= b.score - 1e-9 for a, b in pairs)
    assert sum(a.words == b.words for a, b in pairs) >= 36


def test_without_a_language_model_it_finds_the_characters_that_a_public_decoder_finds():
    """The tool is ctc-beam-decoder 0.2.0, ``build_ctcdecoder(ALPHABET).decode`` with nothing pruned.

    With a language model the two cannot agree: that decoder ends words at spaces only, ours wherever the lexicon does.
    """
    theirs = "ab aba a ba aba baa bb bab bb bbab bab aba ab a bab ababab bab ba aab aba"
    words = ["".join(word) for n in range(1, 7) for word in product("ab", repeat=n)]
    settings = DecoderSettings(beam=10_000, least=0.0, weight=0.0, bonus=-0.001)
    decoder = BeamDecoder(train([words], Vocabulary.of([words]), 1), ALPHABET, settings)
    for seed, text in enumerate(theirs.split()):
        logits = 2 * np.random.default_rng(seed).normal(size=(6, len(ALPHABET)))
        logits[:, 1] = -20
        heard = decoder.decode(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[0].words
        assert "".join(heard) == text


def sharp(text: str) -> np.ndarray:
    """Outputs of a recogniser that is sure: one frame a character, ``-`` the blank."""
    rows = [[0.97 if symbol == (c if c != "-" else "") else 0.01 for symbol in ALPHABET] for c in text]
    return np.log(np.array(rows) / np.sum(rows, 1, keepdims=True))


@pytest.mark.parametrize("heard", ["aba", "a ba", "ab a", "-ab-a-"])
def test_spaces_may_be_missing_or_misplaced(heard):
    assert BeamDecoder(MODEL, ALPHABET).decode(sharp(heard))[0].words == ("ab", "a")


def test_a_doubled_character_needs_a_blank():
    assert BeamDecoder(MODEL, ALPHABET).decode(sharp("b-b"))[0].words == ("bb",)
    assert "".join(BeamDecoder(MODEL, ALPHABET, DecoderSettings(weight=0.0)).decode(sharp("bb"))[0].words) == "b"


def test_silence_is_no_word_and_half_a_word_is_dropped():
    assert BeamDecoder(MODEL, ALPHABET).decode(sharp("----"))[0].words == ()
    text = [["aba"]]
    half = BeamDecoder(train(text, Vocabulary.of(text), 2), ALPHABET, DecoderSettings(beam=1))
    assert half.decode(sharp("ab"))[0].words == ()
    assert half.decode(np.zeros((0, 4)))[0].words == ()


def test_long_speech_does_not_vanish():
    decoder = BeamDecoder(MODEL, ALPHABET)
    found = decoder.decode(sharp("ab-" * 150))[0]
    assert set(found.words) == {"ab"} or "".join(found.words) == "ab" * 150
    assert math.isfinite(found.score)


def test_words_that_cannot_be_spelled_are_named():
    trie = Trie(("<unk>", "<s>", "</s>", "ab", "xy"), ALPHABET)
    assert trie.left_out == ["xy"]
    with pytest.raises(ValueError, match="blank"):
        BeamDecoder(MODEL, ("a", "b"))
