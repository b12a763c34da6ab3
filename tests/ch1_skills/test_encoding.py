"""Utterances as tensors: what the local vocabulary holds, and that a batch can be read back."""

import numpy as np
import pytest

from slubook.ch1_skills.encoding import PAD, UNKNOWN, WORD_LENGTH, Encoder
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.utterance import Slot, Utterance, tokenize

TRAIN = [
    Utterance("1", "Add milk", "Add", (Slot("item", 4, 8),)),
    Utterance("2", "add brown bread", "Add", (Slot("item", 4, 15),)),
    Utterance("3", "read it", "Read"),
]


def table(*words: str, dim: int = 3) -> VectorTable:
    rows = np.arange(1, len(words) * dim + 1, dtype=np.float16).reshape(len(words), dim)
    return VectorTable("t", {w: i for i, w in enumerate(words)}, rows, np.zeros((0, dim), np.float16))


def test_vocabulary_of_a_skill():
    encoder = Encoder(TRAIN)
    assert encoder.words == ["add", "bread", "brown", "it", "milk", "read"]
    assert encoder.counts["add"] == 2
    assert encoder.intents == ["Add", "Read"]
    assert encoder.tags == ["O", "B-item", "I-item"]
    assert "add milk" in encoder.ngrams
    assert "<s> add brown" not in encoder.ngrams  # order 2
    assert min(encoder.characters.values()) > UNKNOWN > PAD


def test_ngram_order_zero_means_none():
    encoder = Encoder(TRAIN, ngram_order=0)
    assert encoder.ngrams == {}
    assert encoder.encode(["add milk"], [None], 3).batch([0]).ngrams.shape == (1, 0)


def test_known_and_unknown_words():
    encoder = Encoder(TRAIN)
    encoded = encoder.encode(["ADD zebra"], [table("zebra"), None], 3)
    place = {w: i for i, w in enumerate(encoded.lexicon)}
    assert encoded.local[place["add"]] == encoder.local["add"]
    assert encoded.local[place["zebra"]] == 0
    assert encoded.vectors.shape == (2, 2, 3)
    assert encoded.vectors[0, place["zebra"]].tolist() == [1.0, 2.0, 3.0]
    assert not encoded.vectors[1].any()
    z, *rest = encoded.chars[place["zebra"]].tolist()
    assert z == UNKNOWN  # no training word has a z
    assert rest[0] == encoder.characters["e"]
    assert rest[4:] == [PAD] * (WORD_LENGTH - 5)
    assert encoded.batch([0]).ngrams.sum() == len(encoded.ngrams[0]) == 3  # add, <s> add, length=0


def test_long_words_are_cut():
    encoded = Encoder(TRAIN).encode(["a" * 40], [None], 3)
    assert encoded.chars.shape == (1, WORD_LENGTH)
    assert (encoded.chars != PAD).all()


def test_a_batch_can_be_read_back():
    encoder = Encoder(TRAIN)
    encoded = encoder.encode_gold(TRAIN, [table("milk", "bread")], 3)
    rows = [2, 1]
    batch = encoded.batch(rows)
    assert batch.lengths.tolist() == [2, 3]
    assert batch.mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.intents.tolist() == [1, 0]
    assert batch.tags.tolist() == [[0, 0, 0], [0, 1, 2]]
    names = {i: w for w, i in encoder.local.items()}
    for b, row in enumerate(rows):
        read = [names[int(batch.local[batch.words[b, t]])] for t in range(batch.lengths[b])]
        assert read == [t.text.lower() for t in tokenize(TRAIN[row].text)]
    bread = batch.words[1, 2]
    assert batch.vectors[0, bread].tolist() == [4.0, 5.0, 6.0]
    assert len(batch.local) == len({"read", "it", "add", "brown", "bread"})


def test_empty_text_is_one_unknown_word():
    encoded = Encoder(TRAIN).encode(["", "add milk", " "], [None], 3)
    assert [len(w) for w in encoded.words] == [1, 2, 1]
    assert encoded.tokens[0] == []
    assert encoded.batch([0, 1]).mask.tolist() == [[True, False], [True, True]]


def test_labels_the_skill_has_not_seen():
    strange = Utterance("9", "book a table", "Book", (Slot("what", 5, 12),))
    encoded = Encoder(TRAIN).encode_gold([strange], [None], 3)
    assert encoded.tags[0].tolist() == [0, 0, 0]
    assert encoded.intents.tolist() == [0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="no training utterances"):
        Encoder([])
    with pytest.raises(ValueError, match=r"'t' has 5 dimensions.* 3"):
        Encoder(TRAIN).encode(["add milk"], [table("milk", dim=5)], 3)
