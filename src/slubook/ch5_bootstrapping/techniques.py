"""Makes language-model text of lists of translations, and a language model of that and a little in-domain text.

The article re-scores each list with a weak in-domain model, and filters out improbable translations by it. The list can
also be used whole: pooled, or drawn from by how probable the translator finds each one.

Source: Punjabi et al. (2019), arXiv 1912.00958, sections 3.2 to 3.4. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slubook.ch5_bootstrapping.ngram import NGram, Sentences, Vocabulary, interpolate, mixture_weights, train
from slubook.ch5_bootstrapping.translator import Translation
from slubook.corpora.parallel import spoken

#: Every so manieth in-domain sentence is held out while the weights of a mixture are estimated.
HELD_OUT = 5
Lists = Sequence[Sequence[Translation]]


class Adapted(NamedTuple):
    """A mixture, and the weights of its parts: the in-domain model's first."""

    model: NGram
    weights: tuple[float, ...]


def adapt(in_domain: Sentences, added: Sequence[Sentences], vocabulary: Vocabulary, order: int = 3) -> Adapted:
    """Interpolates a model of in-domain text with one of each added text.

    The weights suit every fifth in-domain sentence best, while the in-domain model is trained on the others; then that
    is trained on all of them. So no text beyond the in-domain one is used to choose.

    Raises:
        ValueError: when there are fewer than two in-domain sentences, or an added text is empty.
    """
    if len(in_domain) < 2:
        raise ValueError("at least two in-domain sentences are needed, one of them to be held out")
    if not added:
        return Adapted(train(in_domain, vocabulary, order), (1.0,))
    others = [train(text, vocabulary, order) for text in added]
    learned = [sentence for i, sentence in enumerate(in_domain) if i % HELD_OUT]
    weights = mixture_weights([train(learned, vocabulary, order), *others], in_domain[::HELD_OUT])
    mixed = interpolate([train(in_domain, vocabulary, order), *others], weights)
    return Adapted(mixed, tuple(float(weight) for weight in weights))


def first(lists: Lists) -> list[list[str]]:
    """Returns the best translation of each list in words; empty ones are left out."""
    return [words for best in lists if best and (words := spoken(best[0].text))]


def pooled(lists: Lists) -> list[list[str]]:
    """Returns all translations of all lists in words."""
    return [words for best in lists for translation in best if (words := spoken(translation.text))]


def drawn(lists: Lists, copies: int, seed: int, temperature: float = 1.0) -> list[list[str]]:
    """Draws ``copies`` translations from each list, each as often as the translator finds it probable.

    Args:
        lists: of translations.
        copies: from each list; a translation may be drawn again.
        seed: of the draws.
        temperature: above 1, the less probable ones are drawn more often.
    """
    rng, texts = np.random.default_rng(seed), []
    for best in lists:
        logits = np.array([translation.log_prob for translation in best]) / temperature
        shares = np.exp(logits - logits.max(initial=-np.inf))
        rows = rng.choice(len(best), copies, p=shares / shares.sum()) if len(best) else ()
        texts += [words for row in rows if (words := spoken(best[row].text))]
    return texts


def rescored(lists: Lists, model: NGram, weight: float) -> list[list[Translation]]:
    """Sorts each list by ln P of the translator and, times ``weight``, of a language model, both per word."""
    texts = [[spoken(translation.text) for translation in best] for best in lists]
    scores = iter(model.sentence_scores([words for some in texts for words in some]).tolist())
    found = []
    for best, some in zip(lists, texts, strict=True):
        totals = [
            (translation.log_prob + weight * next(scores)) / (len(words) + 1)
            for translation, words in zip(best, some, strict=True)
        ]
        found.append([best[i] for i in sorted(range(len(best)), key=lambda i: -totals[i])])
    return found


def filtered(lists: Lists, model: NGram, share: float) -> list[list[Translation]]:
    """Keeps the lists whose first translation a language model finds most probable per word: ``share`` of them."""
    places = [i for i, best in enumerate(lists) if best]
    texts = [spoken(lists[i][0].text) for i in places]
    per_word = model.sentence_scores(texts) / np.array([len(words) + 1 for words in texts])
    kept = sorted(np.argsort(-per_word, kind="stable")[: round(share * len(places))])
    return [list(lists[places[i]]) for i in kept]
