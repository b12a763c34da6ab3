"""A word in its requests: where it stands, what its vector is there, and who its neighbours are."""

import numpy as np
import pytest
import torch

from slubook.ch1_skills.vectors import VectorTable
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.contextual import WordVectors
from slubook.ch3_elmol.senses import NO_SLOT, agreement, around, chance, in_context, nearest, occurrences
from slubook.corpora.utterance import Slot, Utterance

READER = BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8)
SAID = [
    Utterance("1", "Book a table", "Reserve", domain="tables", group="s1"),
    Utterance("2", "book A table!", "Reserve", domain="tables", group="s1"),  # the same but for case and marks
    Utterance("3", "find the book dune", "Find", (Slot("title", 9, 18),), "library", group="s2"),
    Utterance("4", "find me a taxi", "Ride", domain="taxis"),
    Utterance("5", "book the book", "Borrow", (Slot("what", 5, 13),), "library"),
]


def test_each_text_counts_once_with_the_part_that_the_word_plays():
    found = {o.text: o for o in occurrences("book", SAID, most=9)}
    assert len(found) == 3 and "find me a taxi" not in found
    assert found["find the book dune"][1:] == (2, "library", "title", "s2")
    assert found["book the book"][1:] == (0, "library", NO_SLOT, "5"), "its first place; alone in its group"
    assert len(occurrences("book", SAID, most=2)) == 2


def test_a_language_model_has_another_vector_for_a_word_in_another_request_and_a_table_has_one():
    torch.manual_seed(0)
    reader, found = BiLM("abcdefghijklmnopqrstuvwxyz", READER).eval(), occurrences("book", SAID, most=9)
    vectors = in_context(reader, found)
    assert vectors.shape == (3, 12) and len(np.unique(vectors.round(5), axis=0)) == 3
    lexicon = ["book", "dune", "find", "the"]
    with torch.no_grad():  # find the book dune
        states = reader(reader.spell(lexicon), torch.tensor([[2, 3, 0, 1]]), torch.tensor([4]))[0]
    at = [o.text for o in found].index("find the book dune")
    np.testing.assert_allclose(vectors[at], states[2, 1], atol=1e-6)
    np.testing.assert_allclose(around(reader, found)[at], states[:, 1].mean(0), atol=1e-6)

    rows = np.eye(4, dtype=np.float16)
    table = WordVectors(VectorTable("t", {w: i for i, w in enumerate(lexicon)}, rows, np.zeros((0, 4), np.float16)))
    assert (in_context(table, found) == [1, 0, 0, 0]).all()
    assert around(table, found)[at].tolist() == [0.25] * 4


def test_neighbours_are_the_nearest_of_other_groups():
    vectors = np.array([[1, 0], [1, 0.01], [1, 0.1], [0, 1], [0.1, 5]])
    near = nearest(vectors, ["a", "a", "b", "c", "d"], 2)
    assert near[0].tolist() == [2, 4] and near[3].tolist() == [4, 2], "the same sample is no neighbour"
    with pytest.raises(ValueError, match="fewer than 4 others"):
        nearest(vectors, ["a", "a", "b", "c", "d"], 4)


def test_agreement_and_what_chance_would_give():
    labels, groups = ["x", "x", "y", "y"], list("abcd")
    assert agreement(labels, np.array([[1], [0], [3], [0]])) == 0.75
    assert chance(labels, groups) == pytest.approx(1 / 3)
    assert chance(["x"] * 4, groups) == 1 and chance(labels, ["a", "a", "b", "b"]) == 0
