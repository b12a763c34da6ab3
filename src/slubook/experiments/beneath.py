"""What the benchmark's models stand on: vectors and a language model in the cache, and that they are still the same.

Taught on the page *The benchmark*.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from slubook.models.bilm import BiLM
from slubook.models.contextual import WordVectors
from slubook.models.language_model import LanguageModel
from slubook.models.vectors import VectorTable


class Beneath(NamedTuple):
    """What was learned from the pool of requests: word vectors, the same as an embedding, and a language model."""

    table: VectorTable
    vectors: WordVectors
    reader: BiLM


class Places(NamedTuple):
    """Where vectors and language model lie, the keys that they must have, and the vectors' scale as an embedding."""

    table: Path
    table_key: str
    scale: float
    reader: Path
    reader_key: str

    def load(self) -> Beneath:
        """What lies there.

        Raises:
            RuntimeError: when another run has replaced one meanwhile.
        """
        table, reader = VectorTable.load(self.table), LanguageModel.load(self.reader).reader
        if (table.key, reader.about["kept_key"]) != (self.table_key, self.reader_key):
            raise RuntimeError(f"what lies at {self.table} or {self.reader} was replaced: run this one again")
        vectors = WordVectors(table)
        vectors.scale = torch.tensor([self.scale])
        return Beneath(table, vectors, reader)
