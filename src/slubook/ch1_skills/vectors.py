"""Shares word vectors among all skills: one read-only table on disk, mapped into memory by every process.

A table holds one row a word and, for words it has never seen, one row a hashed character n-gram, as
FastText does (Bojanowski et al., 2017). Taught in chapter 1, *Shared and local embeddings*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from gensim.models.fasttext import ft_ngram_hashes

from slubook.experiments.kept import reading
from slubook.files import replaced_folder

#: What a table is called in messages.
WHAT = "word-vector table"


@dataclass
class VectorTable:
    """A generic table of word vectors."""

    name: str  # what pages call it
    index: dict[str, int]  # word → row
    rows: np.ndarray  # one row a word, [V, D], float16, possibly memory-mapped
    buckets: np.ndarray  # one row a hashed n-gram, [B, D], float16; B may be 0
    ngrams: tuple[int, int] = (3, 5)  # shortest and longest n-gram
    key: str = ""  # hash of the text and settings that it was trained from
    _seen: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def dim(self) -> int:
        """Returns D, the length of a vector."""
        return self.rows.shape[1]

    @property
    def nbytes(self) -> int:
        """Counts the bytes of rows and buckets."""
        return self.rows.nbytes + self.buckets.nbytes

    @cached_property
    def stamp(self) -> str:
        """Computes a hash of the words and numbers: what was trained over one table does not fit another."""
        words = sorted(self.index, key=self.index.__getitem__)
        digest = hashlib.sha256(json.dumps([words, self.ngrams, self.rows.shape, self.buckets.shape]).encode())
        for part in (self.rows, self.buckets):
            digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()[:16]

    def vectors(self, words: Sequence[str]) -> np.ndarray:
        """Returns the row of each word, else the mean of its n-grams' rows, else zeros: [N, D], float32."""
        out = np.empty((len(words), self.dim), np.float32)
        for i, word in enumerate(words):
            if word not in self._seen:
                self._seen[word] = self._vector(word)
            out[i] = self._seen[word]
        return out

    def _vector(self, word: str) -> np.ndarray:
        if (row := self.index.get(word)) is not None:
            return np.asarray(self.rows[row], np.float32)
        hashes = ft_ngram_hashes(word, *self.ngrams, len(self.buckets)) if len(self.buckets) else ()
        return np.asarray(self.buckets[hashes], np.float32).mean(0) if len(hashes) else np.zeros(self.dim, np.float32)

    def save(self, folder: Path) -> None:
        """Writes the table whole or not at all, so that :meth:`load` can map it."""
        words = sorted(self.index, key=self.index.__getitem__)
        meta = {"name": self.name, "key": self.key, "ngrams": list(self.ngrams), "words": words}
        with replaced_folder(folder) as draft:
            np.save(draft / "rows.npy", self.rows)
            np.save(draft / "buckets.npy", self.buckets)
            (draft / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Maps a saved table into memory, read-only: processes that load it share its pages.

        Raises:
            FileNotFoundError: when ``folder`` holds no table.
            KeptError: when the table is damaged.
        """
        if not (folder / "meta.json").is_file():
            raise FileNotFoundError(f"{folder} holds no {WHAT}: build it with `slubook run skills`")
        with reading(folder, WHAT):
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            index = {w: i for i, w in enumerate(meta["words"])}
            rows, buckets = (np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("rows", "buckets"))
            if len(index) != len(rows):
                raise ValueError(f"{len(index)} words for {len(rows)} rows")
            return cls(meta["name"], index, rows, buckets, tuple(meta["ngrams"]), meta["key"])


def unit_scale(rows: np.ndarray) -> float:
    """Returns the factor that brings the mean norm of ``rows`` [V, D] to 1: tables must not differ by scale alone."""
    return float(1.0 / np.linalg.norm(np.asarray(rows, np.float32), axis=1).mean())
