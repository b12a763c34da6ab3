"""Vector tables that are trained once and kept: by name, for a given text and configuration.

A table on disk carries a hash of the text and settings it came from; another text or setting retrains it.
Taught in chapter 1, *Embeddings from text nobody labelled*.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slubook.ch1_skills.vectors import VectorTable
from slubook.files import one_at_a_time
from slubook.profiles import cache_dir

Trainer = Callable[[str, Sequence[Sequence[str]], Any], VectorTable]


def text_key(sentences: Sequence[Sequence[str]], config: Any) -> str:
    """A hash of the text, in order, and the settings."""
    digest = hashlib.sha256(repr(config).encode())
    for sentence in sentences:
        digest.update(" ".join(sentence).encode() + b"\n")
    return digest.hexdigest()[:16]


def kept_table(name: str, sentences: Sequence[Sequence[str]], train: Trainer, config: Any) -> VectorTable:
    """The table ``name``: from the cache when it was trained on the same text with the same settings, else trained.

    Training takes a minute or more, and where stderr is no terminal there is no bar: a line there says what is done.

    Args:
        name: of the table and of its folder in the cache.
        sentences: tokens of each text.
        train: :func:`slubook.ch1_skills.fasttext.train_fasttext` or
            :func:`slubook.ch1_skills.masked_lm.train_masked_lm`.
        config: its configuration.

    Raises:
        KeptError: when the one that is kept is damaged.
        OSError: when the cache cannot be written.
    """
    folder, key = table_folder(name), text_key(sentences, config)
    with one_at_a_time(folder):
        if (folder / "meta.json").is_file() and (table := VectorTable.load(folder)).key == key:
            return table
        kind = type(config).__name__.removesuffix("Config")
        print(f"word vectors {name}: training {kind} on {len(sentences):,} requests, once", file=sys.stderr, flush=True)
        table = train(name, sentences, config)
        table.key = key
        table.save(folder)
        return VectorTable.load(folder)


def table_folder(name: str) -> Path:
    """Where the table ``name`` is kept."""
    return cache_dir() / "vectors" / name
