"""What the benchmark's models stand on: vectors and a language model in the cache, and that they are still the same.

Taught on the page *The benchmark*.
"""

from __future__ import annotations

from typing import NamedTuple

from slubook.ch1_skills.vectors import VectorTable
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.contextual import WordVectors
from slubook.ch3_elmol.embeddings import Read, load_embedding


class Beneath(NamedTuple):
    """What was learned from the pool of requests: word vectors, the same as an embedding, and a language model."""

    table: VectorTable
    vectors: WordVectors
    reader: BiLM

    def stamps(self) -> dict[str, str]:
        """Hashes of the numbers in both, by name, for :class:`slubook.experiments.workers.Measured`."""
        return {self.table.name: self.table.stamp, f"language model {self.table.name}": self.reader.stamp}


class Places(NamedTuple):
    """Where both lie; each worker reads them once."""

    vectors: Read
    reader: Read

    def load(self) -> Beneath:
        """What lies there.

        Raises:
            FileNotFoundError: when one is gone.
            KeptError: when one is damaged, or another run has replaced it meanwhile.
        """
        vectors = load_embedding(self.vectors)
        return Beneath(vectors.table, vectors, load_embedding(self.reader))
