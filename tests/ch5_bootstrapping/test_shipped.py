"""What ships for the quick profile: a recogniser, and requests of this book in voices that it has not heard.

``python tests/ch5_bootstrapping/test_shipped.py`` makes both anew, in a quarter of an hour. It needs the synthesisers
espeak-ng and festival with its Hindi voice. The recogniser's texts are the embedded assistant's, and words without
meaning: these hold every sound of the language between all others, and no vocabulary of a public corpus.
"""

from __future__ import annotations

import numpy as np

from slubook.ch5_bootstrapping.acoustic import AcousticModel, best_path, edits, train_recogniser
from slubook.ch5_bootstrapping.material import SHIPPED
from slubook.ch5_bootstrapping.speech import (
    DEV_VOICES,
    RATE,
    TEST_VOICES,
    TRAINING_VOICES,
    SpokenClips,
    recording,
    say_all,
    speakable,
)
from slubook.corpora.assistant import sample
from slubook.corpora.parallel import embedded, spoken

SENTENCES = 1600
#: Of the clips; which of them the notebook lets one hear.
SEED, HEARD = 1, (0, 6, 14)
#: Characters with their weights: frequent sounds more often than rare ones, and each often enough to be learnt.
CONSONANTS = "क6 ख2 ग3 घ1 च3 छ1 ज3 झ1 ट3 ठ1 ड2 ढ1 ण1 त5 थ2 द4 ध2 न6 प4 फ1 ब3 भ2 म5 य4 र7 ल4 व3 श2 ष1 स6 ह6 ज़1 फ़1 ड़2 ढ़1"
SIGNS = "ा9 ि4 ी6 ु3 ू2 े7 ै3 ो6 ौ1 ॉ1 ृ1 -14"
VOWELS = "अ4 आ4 इ3 ई2 उ3 ऊ1 ए4 ऐ1 ओ2 औ2 ऑ1"


def _draw(rng: np.random.Generator, weighted: str) -> str:
    items = [(item.rstrip("0123456789"), int(item.lstrip(item.rstrip("0123456789")))) for item in weighted.split()]
    weights = np.array([weight for _, weight in items], float)
    return items[int(rng.choice(len(items), p=weights / weights.sum()))][0].replace("-", "")


def word_without_meaning(rng: np.random.Generator) -> str:
    """Makes one to four syllables, some of them nasal or with two consonants."""
    said = _draw(rng, VOWELS) if rng.random() < 0.15 else ""
    for _ in range(int(rng.integers(1, 4))):
        pair = _draw(rng, CONSONANTS) + "्" if said and rng.random() < 0.15 else ""
        said += pair + _draw(rng, CONSONANTS) + _draw(rng, SIGNS) + ("ं" if rng.random() < 0.12 else "")
        said += _draw(rng, VOWELS) if rng.random() < 0.06 else ""
    return said.replace("ांं", "ां") + ("ँ" if said[-1] in "ाू" and rng.random() < 0.2 else "")


def training_texts(seed: int = 0) -> list[str]:
    """Mixes words of the assistant with words without meaning: half of the words each, and a quarter whole requests."""
    rng = np.random.default_rng(seed)
    requests = sorted({text for u in sample("hi", per_intent=200) if (text := speakable(u.text))})
    words = sorted({word for request in requests for word in request.split()})
    texts = [str(text) for text in rng.permutation(requests)[: SENTENCES // 4]]
    while len(texts) < SENTENCES:
        some = rng.random(int(rng.integers(3, 8))) < 0.5
        text = " ".join(str(rng.choice(words)) if known else word_without_meaning(rng) for known in some)
        if len(text) < 60 and speakable(text) == text:
            texts.append(text)
    return [str(text) for text in rng.permutation(texts)]


def make() -> None:
    """Writes the shipped files anew."""
    make_recogniser()
    make_clips()


def make_recogniser() -> None:
    """Trains the recogniser."""
    texts = training_texts()
    voices = [TRAINING_VOICES[i % len(TRAINING_VOICES)] for i in range(len(texts))]
    train_recogniser("shipped", say_all("shipped-training", texts, voices)).save(SHIPPED / "recogniser")


def make_clips() -> None:
    """Speaks every fourth request about restaurants, and keeps a few of the recordings to be heard."""
    import soundfile

    texts = [speakable(pair.hindi) for pair in embedded("restaurant")][::4]
    voices = [TEST_VOICES[i % len(TEST_VOICES)] for i in range(len(texts))]
    say_all("shipped-test", texts, voices, SEED).save(SHIPPED / "clips")
    for n in HEARD:
        wave = recording(n, texts[n], voices[n], SEED)
        soundfile.write(SHIPPED / f"clip-{n}.flac", 0.9 * wave / np.abs(wave).max(), RATE)


def test_the_shipped_files_are_small():
    sizes = {path.relative_to(SHIPPED).as_posix(): path.stat().st_size for path in SHIPPED.rglob("*.*")}
    assert sizes["recogniser/weights.safetensors"] <= 2_000_000
    assert sum(size for name, size in sizes.items() if not name.startswith("recogniser")) <= 3_000_000


def test_the_clips_are_requests_of_this_book_in_voices_that_no_training_heard():
    clips, own = SpokenClips.load(SHIPPED / "clips"), {speakable(pair.hindi) for pair in embedded("restaurant")}
    assert len(clips) <= 60 and set(clips.texts) <= own
    assert set(clips.voices) <= set(TEST_VOICES) and not set(TEST_VOICES) & {*TRAINING_VOICES, *DEV_VOICES}


def test_the_recogniser_has_heard_no_request_about_restaurants():
    assert not {speakable(pair.hindi) for pair in embedded("restaurant")} & set(training_texts())


def test_the_recogniser_can_spell_every_word_of_this_book():
    alphabet = set(AcousticModel.load(SHIPPED / "recogniser").alphabet)
    pairs = [*embedded("restaurant"), *embedded("general")]
    assert {character for pair in pairs for word in spoken(pair.hindi) for character in word} <= alphabet


def test_it_hears_most_characters_of_most_voices():
    clips, model = SpokenClips.load(SHIPPED / "clips"), AcousticModel.load(SHIPPED / "recogniser")
    heard = [best_path(model.log_probs(one), model.alphabet) for one in clips.features]
    wrong = sum(edits(text, said) for text, said in zip(clips.texts, heard, strict=True))
    assert 0.05 < wrong / sum(map(len, clips.texts)) < 0.5, "neither too easy for a language model to help, nor noise"


if __name__ == "__main__":
    make()
