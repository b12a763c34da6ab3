"""What ships for the quick profile: a recogniser, and requests of this book in voices that it has not heard.

``python tests/ch5_bootstrapping/test_shipped.py`` makes both anew, in a quarter of an hour. It needs the synthesisers
espeak-ng and festival with its Hindi voice. The recogniser's texts are the embedded assistant's, and words without
meaning: these hold every sound of the language between all others, and no vocabulary of a public corpus.
"""

from __future__ import annotations

import numpy as np

from slubook.ch5_bootstrapping.acoustic import train_recogniser
from slubook.ch5_bootstrapping.protocol import SHIPPED
from slubook.ch5_bootstrapping.speech import TEST_VOICES, TRAINING_VOICES, say_all, speakable
from slubook.corpora.assistant import sample
from slubook.corpora.parallel import embedded

SENTENCES = 1600
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
    texts = training_texts()
    voices = [TRAINING_VOICES[i % len(TRAINING_VOICES)] for i in range(len(texts))]
    train_recogniser("shipped", say_all("shipped-training", texts, voices)).save(SHIPPED / "recogniser")
    tests = [pair.hindi for pair in embedded("restaurant")][::3]
    say_all("shipped-test", tests, [TEST_VOICES[i % len(TEST_VOICES)] for i in range(len(tests))], 1).save(
        SHIPPED / "clips"
    )


if __name__ == "__main__":
    make()
