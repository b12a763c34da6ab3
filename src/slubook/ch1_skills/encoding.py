"""Utterances as tensors: words, characters, n-grams and labels of one skill.

The encoder of a skill is its *local* vocabulary, collected from the skill's training utterances alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slubook.ch1_skills.maxent import utterance_features
from slubook.ch1_skills.vectors import VectorTable
from slubook.corpora.bio import OUTSIDE, to_bio
from slubook.corpora.utterance import Token, Utterance, tokenize

WORD_LENGTH = 14
PAD, UNKNOWN = 0, 1


@dataclass
class Batch:
    """A batch of B utterances, padded to the longest; U is the number of distinct words in it."""

    vectors: Tensor  # generic vectors of the distinct words, one table a group, [G, U, D]
    local: Tensor  # rows of the distinct words in the skill's own table, 0 where it has none, [U]
    chars: Tensor  # their characters, [U, L]
    words: Tensor  # index of the distinct word at each position, [B, T]
    lengths: Tensor  # tokens of each utterance, [B]
    ngrams: Tensor  # presence of the skill's n-grams, [B, F]
    tags: Tensor | None = None  # gold tags, [B, T]
    intents: Tensor | None = None  # gold intents, [B]

    @property
    def mask(self) -> Tensor:
        """Marks the tokens, [B, T]."""
        return torch.arange(self.words.shape[1]).unsqueeze(0) < self.lengths.unsqueeze(1)


@dataclass
class Encoded:
    """N encoded utterances of one skill, to be cut into batches."""

    tokens: list[list[Token]]  # of each utterance
    lexicon: list[str]  # the V distinct words
    words: list[np.ndarray]  # index in the lexicon of each token, one array an utterance
    vectors: Tensor  # generic vectors of the lexicon, one table a group, [G, V, D]
    local: Tensor  # its rows in the skill's own table, [V]
    chars: Tensor  # its characters, [V, L]
    ngrams: list[np.ndarray]  # indices of the n-grams of each utterance, among those of the skill
    features: int  # F, the number of the skill's n-grams
    tags: list[np.ndarray] | None = None  # gold tags, one array an utterance
    intents: Tensor | None = None  # gold intents, [N]

    def batch(self, rows: Sequence[int]) -> Batch:
        """Pads the utterances at ``rows`` into a batch."""
        picked, words, lengths = distinct_words([self.words[r] for r in rows])
        ngrams = np.zeros((len(rows), self.features), np.float32)
        for i, r in enumerate(rows):
            ngrams[i, self.ngrams[r]] = 1
        tags = None if self.tags is None else padded([self.tags[r] for r in rows])
        intents = None if self.intents is None else self.intents[torch.as_tensor(rows)]
        vectors, local, chars = self.vectors.index_select(1, picked), self.local[picked], self.chars[picked]
        return Batch(vectors, local, chars, words, lengths, torch.from_numpy(ngrams), tags, intents)

    def __len__(self) -> int:
        return len(self.words)


def spell(lexicon: Sequence[str], characters: Mapping[str, int]) -> Tensor:
    """Returns the rows of each word's first characters, [V, L], padded."""
    chars = np.full((len(lexicon), WORD_LENGTH), PAD)
    for i, word in enumerate(lexicon):
        ids = [characters.get(c, UNKNOWN) for c in word[:WORD_LENGTH]]
        chars[i, : len(ids)] = ids
    return torch.from_numpy(chars)


def padded(rows: Sequence[np.ndarray]) -> Tensor:
    """Pads rows of integers with 0 to the longest, [B, T]."""
    lengths = np.array([len(row) for row in rows])
    at = np.arange(lengths.max())[None] < lengths[:, None]  # [B, T]
    numbers = np.zeros(at.shape, np.int64)
    numbers[at] = np.concatenate(rows)
    return torch.from_numpy(numbers)


def numbered(sentences: Sequence[Sequence[str]]) -> tuple[list[str], list[np.ndarray]]:
    """Returns the lexicon of sentences (their distinct words, sorted), and each sentence as indices in it, [T]."""
    lexicon = sorted({w for s in sentences for w in s})
    place = {w: i for i, w in enumerate(lexicon)}
    return lexicon, [np.array([place[w] for w in s]) for s in sentences]


def distinct_words(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the distinct words of rows, [U], the index among them at each position, [B, T], and lengths, [B]."""
    lengths = [len(row) for row in rows]
    used, where = np.unique(np.concatenate(rows), return_inverse=True)
    words = padded(np.split(where, np.cumsum(lengths)[:-1]))
    return torch.from_numpy(used), words, torch.tensor(lengths)


class Encoder:
    """The local vocabulary of one skill: its words, characters, n-grams, intents and tags."""

    def __init__(
        self, train: Sequence[Utterance], ngram_order: int = 2, characters: Mapping[str, int] | None = None
    ) -> None:
        """Collects the vocabulary.

        Args:
            train: the skill's training utterances.
            ngram_order: longest n-gram of the intent's linear path; 0 for none.
            characters: rows of the characters of a pretrained network; by default those of ``train``.

        Raises:
            ValueError: when ``train`` is empty.
        """
        if not train:
            raise ValueError("Encoder: no training utterances")
        tokens = [tokenize(u.text) for u in train]
        self.counts = Counter(t.text.lower() for sentence in tokens for t in sentence)
        self.words = sorted(self.counts)
        self.local = {w: i for i, w in enumerate(self.words, 1)}  # 0: an unknown word
        own = {c: i for i, c in enumerate(sorted({c for w in self.words for c in w}), 2)}
        self.characters = own if characters is None else dict(characters)
        self.ngram_order = ngram_order
        grams = {f for t in tokens for f in utterance_features(t, ngram_order)} if ngram_order else set()
        self.ngrams = {f: i for i, f in enumerate(sorted(grams))}
        self.intents = sorted({u.intent for u in train})
        kinds = sorted({s.type for u in train for s in u.slots})
        self.tags = [OUTSIDE, *(f"{p}-{k}" for k in kinds for p in "BI")]

    def encode(self, texts: Sequence[str], tables: Sequence[VectorTable | None], dim: int) -> Encoded:
        """Encodes texts with the vectors of each table (zeros for ``None``); an empty text is one unknown word.

        Raises:
            ValueError: when a table is not ``dim`` wide.
        """
        for table in tables:
            if table is not None and table.dim != dim:
                raise ValueError(
                    f"table {table.name!r} has {table.dim} dimensions, the network reads {dim}: "
                    "train the table again, or set the network's dim"
                )
        tokens = [tokenize(t) for t in texts]
        lower = [[t.text.lower() for t in sentence] or [""] for sentence in tokens]
        lexicon, numbers = numbered(lower)
        generic = [np.zeros((len(lexicon), dim), np.float32) if t is None else t.vectors(lexicon) for t in tables]
        vectors, local = torch.from_numpy(np.stack(generic)), torch.tensor([self.local.get(w, 0) for w in lexicon])
        chars, ngrams = spell(lexicon, self.characters), [self._ngrams_of(sentence) for sentence in tokens]
        return Encoded(tokens, lexicon, numbers, vectors, local, chars, ngrams, len(self.ngrams))

    def _ngrams_of(self, sentence: Sequence[Token]) -> np.ndarray:
        found = utterance_features(sentence, self.ngram_order) if self.ngram_order else ()
        return np.array([k for f in found if (k := self.ngrams.get(f)) is not None], np.int64)

    def encode_gold(self, utterances: Sequence[Utterance], tables: Sequence[VectorTable | None], dim: int) -> Encoded:
        """Encodes as :meth:`encode`, with gold labels; unknown tags are outside, unknown intents the first one."""
        encoded = self.encode([u.text for u in utterances], tables, dim)
        tag_of, intent_of = ({n: i for i, n in enumerate(names)} for names in (self.tags, self.intents))
        encoded.tags = [
            np.array([tag_of.get(t, 0) for t in to_bio(tokens, u.slots)] or [0])
            for tokens, u in zip(encoded.tokens, utterances, strict=True)
        ]
        encoded.intents = torch.tensor([intent_of.get(u.intent, 0) for u in utterances])
        return encoded
