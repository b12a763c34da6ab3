"""Decodes the output of a CTC recogniser into words: a beam over a lexicon trie, with the language model inside.

A small CTC model misplaces the spaces between words. So the probability of a space is added to that of the blank: a
word may end anywhere where the lexicon says that it is one, and the language model decides where it does. Language
models enter in the first pass: with the best unigram that a beginning of a word can become, and with the whole
history when the word is complete.

Sources: Hannun et al. (2014), arXiv 1408.2873, algorithm 1, for the two probabilities of a prefix; Ortmanns and Ney
(2000) for look-ahead. Taught in chapter 5, *Build it*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

import numpy as np

from slubook.ch5_bootstrapping.ngram import END, SPECIAL, START, NGram

BLANK, SPACE = "", " "
ROOT = 0


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder searches; weight and bonus are chosen on development data."""

    beam: int = 40  # hypotheses that are kept after each frame
    weight: float = 1.0  # of the language model's logarithm beside the acoustic one
    bonus: float = 0.0  # added for each word: language models prefer few
    least: float = 1e-3  # characters below this probability are not tried in a frame; a tenth of it takes twice as long


@dataclass(frozen=True)
class Hypothesis:
    """What may have been said."""

    words: tuple[str, ...]
    score: float  # acoustic + weight × language + bonus × words
    acoustic: float  # ln P of the characters, all alignments together
    language: float  # ln P of the words and the end mark


class Trie:
    """All words of a lexicon by their characters: nodes are numbers, 0 is the beginning of a word.

    Attributes:
        children: for each node, the node behind each character, by its output of the recogniser.
        symbol: the output that leads to each node.
        word: the id of the word that ends at each node, 0 where none does.
        left_out: words that the recogniser's characters cannot spell.
    """

    def __init__(self, words: Sequence[str], alphabet: Sequence[str]) -> None:
        index = {symbol: i for i, symbol in enumerate(alphabet) if symbol not in (BLANK, SPACE)}
        self.children: list[dict[int, int]] = [{}]
        self.symbol, self.word, self.left_out = [-1], [0], []
        for i, word in enumerate(words):
            if i < len(SPECIAL):
                continue
            if not word or any(character not in index for character in word):
                self.left_out.append(word)
                continue
            node = ROOT
            for c in (index[character] for character in word):
                if c not in self.children[node]:
                    self.children[node][c] = len(self.children)
                    self.children.append({})
                    self.symbol.append(c)
                    self.word.append(0)
                node = self.children[node][c]
            self.word[node] = i

    def best(self, scores: np.ndarray) -> list[float]:
        """Returns, for each node, the best score of a word that goes through it; 0 at the root."""
        found = [float(scores[w]) if w else -math.inf for w in self.word]
        for node in range(len(found) - 1, -1, -1):  # children have higher numbers than their parents
            found[node] = max([found[node], *(found[child] for child in self.children[node].values())])
        return [0.0, *found[1:]]


class BeamDecoder:
    """Finds the best word sequences for CTC outputs under a language model, whose vocabulary is the lexicon."""

    def __init__(self, model: NGram, alphabet: Sequence[str], settings: DecoderSettings | None = None) -> None:
        """Prepares the lexicon.

        Args:
            model: a back-off model; words that ``alphabet`` cannot spell are never found.
            alphabet: the recogniser's outputs, C characters: the blank as ``""`` and a space are among them.

        Raises:
            ValueError: when blank or space are missing.
        """
        if BLANK not in alphabet or SPACE not in alphabet:
            raise ValueError('the recogniser\'s outputs must have a blank, "", and a space, " "')
        self.model, self.settings = model, settings or DecoderSettings()
        self.blank, self.space = alphabet.index(BLANK), alphabet.index(SPACE)
        self.trie = Trie(model.vocabulary.words, alphabet)
        self._look = [self.settings.weight * best for best in self.trie.best(model.levels[0].prob)]
        self._row = lru_cache(1024)(model.row)

    def decode(self, log_probs: np.ndarray, n: int = 1) -> list[Hypothesis]:
        """Returns the ``n`` best hypotheses for the recogniser's outputs, ln P [T, C], best first.

        Where no word ends at the last frame, the words that were complete by then are returned.
        """
        probs = np.exp(np.asarray(log_probs, np.float64))
        probs[:, self.blank] += probs[:, self.space]
        probs[:, self.space] = 0.0
        language = {(): 0.0}  # ln P of the complete words of each hypothesis
        fused = {(): 0.0}  # the same with weight and bonus
        beam = {((), ROOT): (1.0, 0.0)}  # complete words, node → P of all alignments that end in a blank, that do not
        scale, look = 0.0, self._look  # scale: ln of what all of them were divided by, lest they vanish
        for frame in probs:
            grown = self._grow(beam, frame)
            for words, _ in grown:
                if words not in language:
                    language[words] = language[words[:-1]] + self._log_prob(words[:-1], words[-1])
                    fused[words] = self._fused(words, language[words])
            scored = [  # a hypothesis with the best word that its beginning can become
                (math.log(both) + fused[words] + look[node], (words, node), ends)
                for (words, node), ends in grown.items()
                if (both := ends[0] + ends[1]) > 0
            ]
            kept = sorted(scored, key=itemgetter(0), reverse=True)[: self.settings.beam]
            most = max((sum(ends) for _, _, ends in kept), default=1.0)
            beam = {key: (ends[0] / most, ends[1] / most) for _, key, ends in kept}
            scale += math.log(most)
        ended = [h for key, both in beam.items() if (h := self._ended(key, sum(both), scale, language, whole=True))]
        if not ended:
            ended = [self._ended(key, sum(both), scale, language, whole=False) for key, both in beam.items()]
        best: dict[tuple[str, ...], Hypothesis] = {}
        for hypothesis in sorted(ended, key=lambda h: (-h.score, h.words)):
            best.setdefault(hypothesis.words, hypothesis)
        return list(best.values())[:n]

    def _grow(self, beam: dict, frame: np.ndarray) -> dict:
        """Lets every hypothesis stay or grow by one character."""
        probs, least, trie = frame.tolist(), self.settings.least, self.trie
        blank, opening = probs[self.blank], {c: child for c, child in trie.children[ROOT].items() if probs[c] > least}
        grown: dict = {}
        for (words, node), (ends_blank, ends_not) in beam.items():
            both, last = ends_blank + ends_not, trie.symbol[node]
            stays = (both * blank, ends_not * probs[last] if node else 0.0)
            old = grown.get((words, node), (0.0, 0.0))
            grown[words, node] = (old[0] + stays[0], old[1] + stays[1])
            starts = [(words, trie.children[node] if node else opening)]
            if trie.word[node]:  # the next word may begin
                starts.append(((*words, trie.word[node]), opening))
            for said, children in starts:
                for c, child in children.items():
                    if (p := probs[c]) > least:
                        gain = p * (ends_blank if c == last else both)  # a character twice needs a blank between
                        old = grown.get((said, child), (0.0, 0.0))
                        grown[said, child] = (old[0], old[1] + gain)
        return grown

    def _log_prob(self, words: tuple[int, ...], word: int) -> float:
        return float(self._row((START, *words)[1 - self.model.order :] if self.model.order > 1 else ())[word])

    def _fused(self, words: tuple[int, ...], language: float) -> float:
        return self.settings.weight * language + self.settings.bonus * len(words)

    def _ended(self, key: tuple, prob: float, scale: float, language: dict, whole: bool) -> Hypothesis | None:
        """The hypothesis with its last word and the end mark; none if a ``whole`` word is wanted and does not end."""
        (words, node), so_far = key, language[key[0]]
        if self.trie.word[node]:
            words, so_far = (*words, self.trie.word[node]), so_far + self._log_prob(words, self.trie.word[node])
        elif whole and node != ROOT:
            return None
        so_far += self._log_prob(words, END)
        acoustic = math.log(prob) + scale
        spelled = tuple(self.model.vocabulary.words[w] for w in words)
        return Hypothesis(spelled, acoustic + self._fused(words, so_far), acoustic, so_far)
