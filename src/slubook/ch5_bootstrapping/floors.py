"""Measures translations, and makes the two that cost nothing: the English words as they are, and a dictionary's.

Source: Brown et al. (1993), model 1. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sacrebleu

from slubook.corpora.parallel import Pair, spoken


class TranslationScores(NamedTuple):
    """BLEU and chrF of translations, 0 to 100, and the signatures that say how they were computed."""

    bleu: float
    chrf: float
    signatures: tuple[str, str]


def score(translations: Sequence[str], references: Sequence[str]) -> TranslationScores:
    """Computes BLEU and chrF of whole texts, as they are said: without case and punctuation.

    Raises:
        ValueError: when there is not one reference for each translation, or none at all.
    """
    if len(translations) != len(references) or not references:
        raise ValueError(f"{len(translations)} translations and {len(references)} references: one each is needed")
    said, wanted = ([" ".join(spoken(text)) for text in some] for some in (translations, references))
    metrics = sacrebleu.BLEU(), sacrebleu.CHRF()
    bleu, chrf = (metric.corpus_score(said, [wanted]).score for metric in metrics)
    return TranslationScores(bleu, chrf, tuple(str(metric.get_signature()) for metric in metrics))


def dictionary(pairs: Sequence[Pair], steps: int = 8) -> dict[str, str]:
    """Learns the likeliest Hindi word of each English one by IBM model 1, with a null word for what stands alone.

    Raises:
        ValueError: when there are no pairs.
    """
    if not pairs:
        raise ValueError("no sentence pairs: no dictionary can be learned")
    sides = [[spoken(text) for text in side] for side in zip(*pairs, strict=True)]
    names = [sorted({word for sentence in side for word in sentence}) for side in sides]
    index = [{word: i for i, word in enumerate(side, start)} for side, start in zip(names, (1, 0), strict=True)]
    links = []  # for each sentence [3, links]: a Hindi word's place, the word, an English one that it may stand for
    for one, two in zip(*sides, strict=True):
        hindi, english = np.array([*map(index[1].get, two)]), np.array([0, *map(index[0].get, one)])
        spread = np.broadcast_arrays(np.arange(len(hindi))[:, None], hindi[:, None], english)
        links.append(np.stack(spread).reshape(3, -1))
    offsets = np.cumsum([0, *map(len, sides[1])])[:-1]
    target = np.concatenate([link[0] + offset for link, offset in zip(links, offsets, strict=True)])
    word, given = (np.concatenate([link[row] for link in links]) for row in (1, 2))
    couples, couple = np.unique(given * len(names[1]) + word, return_inverse=True)
    english, hindi = np.divmod(couples, len(names[1]))
    prob = np.full(len(couples), 1.0 / len(names[1]))  # P(Hindi | English)
    for _ in range(steps):
        share = prob[couple] / np.bincount(target, prob[couple])[target]
        counts = np.bincount(couple, share, len(couples))
        prob = counts / np.bincount(english, counts)[english]
    found: dict[str, str] = {}
    for at in np.lexsort((hindi, -prob)):
        if english[at]:
            found.setdefault(names[0][english[at] - 1], names[1][hindi[at]])
    return found


def gloss(sentence: str, words: Mapping[str, str]) -> str:
    """Translates word by word; words that the dictionary lacks stay as they are."""
    return " ".join(words.get(word, word) for word in spoken(sentence))
