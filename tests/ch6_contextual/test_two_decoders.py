"""The two decoders and the choice between them, on clips that ship."""

import math

import numpy as np
import pytest
import soundfile

from slubook.ch6_contextual.context import Replies, Weights
from slubook.ch6_contextual.lists import contexts, our_training, samples, shipped
from slubook.ch6_contextual.ngram import count_texts, train
from slubook.ch6_contextual.recogniser import Decoded, Pocketsphinx, select, to_phones

TURNS, LISTS = shipped()


@pytest.fixture(scope="module")
def recogniser():
    return Pocketsphinx()


def test_b_is_taken_where_its_path_is_likely_enough():
    a, b = Decoded("power", -100.0), Decoded("bauer", -120.0)
    assert select(a, b, 0) == a and select(a, b, 20) == a and select(a, b, 21) == b


def test_a_late_or_failed_b_leaves_a():
    a = Decoded("power", -100.0)
    assert select(a, None, 1e9) == a
    assert select(a, Decoded("", -math.inf), 1e9) == a
    assert select(a, Decoded("", 0.0), 1e9) == a


def test_lists_survive_being_written():
    heard = Decoded("a b", -12.3, (("a b", -20.0), ("a", -21.5)))
    assert Decoded.from_json(heard.to_json()) == heard


@pytest.mark.parametrize(
    ("ipa", "phones"), [("bˈaʊɚ", "B AW ER"), ("kˈiːn", "K IY N"), ("tʃˈɜːtʃ", "CH ER CH"), ("fˈaɪə", "F AY AH")]
)
def test_pronunciations_are_mapped(ipa, phones):
    assert to_phones(ipa) == phones


def test_decoder_b_hears_what_shipped(recogniser):
    replies = Replies.of(our_training())
    for turn in TURNS[:6:2]:
        model = replies.model(contexts(turn, TURNS)["context"], Weights())
        assert recogniser.hear_with(model, samples(turn.audio)).text == LISTS[turn.id]["context"].text


def test_a_clip_is_heard_alike_whatever_was_heard_before(recogniser):
    clips = [samples(turn.audio) for turn in TURNS[:2]]
    first = recogniser.hear(clips[0])
    recogniser.hear(clips[1])
    assert recogniser.hear(clips[0]) == first
    assert first.hypotheses[0][0] == first.text and len({text for text, _ in first.hypotheses}) == len(first.hypotheses)


def test_words_of_one_context_are_not_heard_in_the_next(recogniser):
    clip = samples(TURNS[0].audio)
    words = TURNS[0].text.split()
    assert {*recogniser.hear_with(train(count_texts([TURNS[0].text])), clip).text.split()} <= {*words}
    other = recogniser.hear_with(train(count_texts(["quite another matter"])), clip)
    assert {*other.text.split()} <= {"quite", "another", "matter"}


def test_nothing_said_is_nothing_heard(recogniser):
    model = train(count_texts(["quite another matter"]))
    assert recogniser.hear_with(model, np.zeros(100, dtype=np.int16)) == Decoded("", -math.inf)


def test_other_sounds_are_refused(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(800), 8000)
    with pytest.raises(ValueError, match="convert it to 16,000 Hz"):
        samples(path)
    path.write_text("no sound")
    with pytest.raises(ValueError, match="no sound file"):
        samples(path)
