"""Word-vector tables that are trained once and kept: by name, for a given text and configuration.

Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from slubook.ch1_skills.vectors import WHAT, VectorTable
from slubook.experiments.kept import Artefacts

Trainer = Callable[[str, Sequence[Sequence[str]], Any], VectorTable]

#: Every table that is kept.
VECTORS = Artefacts(WHAT, "vectors", VectorTable.load, lambda table: table.key)
#: Where the table of a name is kept.
table_folder = VECTORS.folder


def text_key(sentences: Sequence[Sequence[str]], config: Any) -> str:
    """Returns a hash of the text, in order, and the settings."""
    digest = hashlib.sha256(repr(config).encode())
    for sentence in sentences:
        digest.update(" ".join(sentence).encode() + b"\n")
    return digest.hexdigest()[:16]


def kept_table(name: str, sentences: Sequence[Sequence[str]], train: Trainer, config: Any) -> VectorTable:
    """Returns the table ``name``: the one that is kept if it had the same text and settings, else a new one.

    Args:
        name: of the table.
        sentences: tokens of each text.
        train: :func:`slubook.ch1_skills.fasttext.train_fasttext` or
            :func:`slubook.ch1_skills.masked_lm.train_masked_lm`.
        config: its configuration.

    Raises:
        KeptError, OSError: as :meth:`slubook.experiments.kept.Artefacts.kept` does.
    """
    key, kind = text_key(sentences, config), type(config).__name__.removesuffix("Config")

    def make() -> VectorTable:
        table = train(name, sentences, config)
        table.key = key
        return table

    return VECTORS.kept(name, key, make, f"training {kind} on {len(sentences):,} requests")
