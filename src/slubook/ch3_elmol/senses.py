"""Finds one word in many requests, its vector in each of them, and the nearest of these vectors.

How much a vector knows of its request shows in its neighbours: do they agree in the domain, or in the part that the
word plays? Neighbours from the same sample sentence are left out, or fillings of one sample would find each other.
Taught in chapter 3, *The same word, elsewhere*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slubook.ch1_skills.encoding import numbered
from slubook.ch3_elmol.contextual import Embedding, vectors_of
from slubook.corpora.bio import to_bio
from slubook.corpora.dedupe import normalise
from slubook.corpora.utterance import Utterance, tokenize, words
from slubook.profiles import stable_hash

#: The part of a word outside of every slot.
NO_SLOT = "no slot"


class Occurrence(NamedTuple):
    """A word in a request.

    Attributes:
        text: the request.
        place: which of its tokens is meant.
        domain: of the request.
        part: the type of the slot that the word is in, or :data:`NO_SLOT`.
        group: the sample that the request was made from, or the dialogue that it is of.
    """

    text: str
    place: int
    domain: str
    part: str
    group: str


def occurrences(word: str, utterances: Sequence[Utterance], most: int) -> list[Occurrence]:
    """Finds up to ``most`` requests, drawn by hash, that have the lower-case ``word``, each distinct text once."""
    distinct = {normalise(u.text): u for u in utterances if word in words(u.text)}
    drawn = sorted(distinct.values(), key=lambda u: (stable_hash("sense", u.text), u.text))[:most]
    found = []
    for u in drawn:
        place = words(u.text).index(word)
        part = to_bio(tokenize(u.text), u.slots)[place][2:] or NO_SLOT  # without B- or I-
        found.append(Occurrence(u.text, place, u.domain, part, u.group or u.id))
    return found


def in_context(embedding: Embedding, found: Sequence[Occurrence]) -> np.ndarray:
    """Returns the vector of the word in each request, of the embedding's highest layer, [N, D]."""
    return np.stack([s[o.place, -1] for s, o in zip(_states(embedding, found), found, strict=True)])


def around(embedding: Embedding, found: Sequence[Occurrence]) -> np.ndarray:
    """Returns the mean vector of all words of each request, of the highest layer, [N, D]: a bag of words."""
    return np.stack([states[:, -1].mean(0) for states in _states(embedding, found)])


def _states(embedding: Embedding, found: Sequence[Occurrence]) -> list[np.ndarray]:
    """Returns every vector of every request, [T, K, D] each."""
    lexicon, rows = numbered([words(o.text) for o in found])
    states: list[Tensor] = vectors_of(embedding, embedding.spell(lexicon), rows)
    return [s.numpy() for s in states]


def nearest(vectors: np.ndarray, groups: Sequence[str], most: int) -> np.ndarray:
    """Finds for each vector the nearest others by cosine, none of its own group, nearest first, [N, most].

    Raises:
        ValueError: when a vector has fewer than ``most`` others.
    """
    unit = torch.nn.functional.normalize(torch.from_numpy(np.asarray(vectors, dtype=np.float64)), dim=1)
    allowed = _others(groups)
    if (allowed.sum(1) < most).any():
        raise ValueError(f"nearest: a vector has fewer than {most} others of another group")
    near = (unit @ unit.T).numpy()
    return np.argsort(np.where(allowed, -near, np.inf), axis=1, kind="stable")[:, :most]


def agreement(labels: Sequence[str], neighbours: np.ndarray) -> float:
    """Returns the share of neighbours, [N, k], that have the label of the one whose neighbours they are."""
    label = np.asarray(labels)
    return float((label[neighbours] == label[:, None]).mean())


def chance(labels: Sequence[str], groups: Sequence[str]) -> float:
    """Returns the agreement of neighbours that are drawn blindly: all that one vector a word can reach."""
    label, allowed = np.asarray(labels), _others(groups)
    same = (label[:, None] == label) & allowed
    return float((same.sum(1) / allowed.sum(1)).mean())


def _others(groups: Sequence[str]) -> np.ndarray:
    """Returns which may be neighbours: those of another group, [N, N]."""
    group = np.asarray(groups)
    return group[:, None] != group
