"""Pretrained networks that are trained once and kept: by name, for given source domains and settings.

Taught in chapter 2, *Build it*.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slubook
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.label_names import name_words
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig, pretrain
from slubook.ch2_transfer.source import SourceDomain, source_key
from slubook.files import one_at_a_time
from slubook.profiles import cache_dir

#: Of pretraining: raise it when the same source and settings come to train another network.
REVISION = 1


def pretrained_folder(name: str) -> Path:
    """Where the pretrained network ``name`` is kept."""
    return cache_dir() / "pretrained" / name


def pretrained_key(domains: Sequence[SourceDomain], config: PretrainingConfig, table: VectorTable | None = None) -> str:
    """A hash of the source's texts and labels, the settings, the generic table beneath, and the revision."""
    parts = (source_key(domains), repr(config), table.key if table else "", f"revision {REVISION}")
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def kept_pretrained(
    name: str, domains: Sequence[SourceDomain], config: PretrainingConfig, table: VectorTable | None = None
) -> Pretrained:
    """The pretrained network ``name``: from the cache when it had the same source and settings, else trained.

    Pretraining takes minutes, and where stderr is no terminal there is no bar: a line there says what is done.

    Its ``about`` says what it has seen: domains, utterances, the names of slot types and intents; and the processor's
    seconds it took, the version and the key.

    Args:
        name: of the network and of its folder in the cache.
        domains: annotated source domains.
        config: sizes, steps and rates.
        table: generic vectors beneath the words.

    Raises:
        KeptError: when the one that is kept is damaged.
        OSError: when the cache cannot be written.
    """
    folder, key = pretrained_folder(name), pretrained_key(domains, config, table)
    with one_at_a_time(folder):
        if (folder / "meta.json").is_file() and (kept := Pretrained.load(folder)).about.get("key") == key:
            return kept
        start = begin(name, domains)
        network = pretrain(name, domains, config, table)
        network.about = about_of(key, start, domains, config)
        network.save(folder)
        return Pretrained.load(folder)


def begin(name: str, domains: Sequence[SourceDomain]) -> float:
    """Say what begins; the processor's clock then."""
    texts = sum(len(d.utterances) for d in domains)
    print(f"pretraining {name}: {texts:,} requests of {len(domains)} domains, once", file=sys.stderr, flush=True)
    return time.process_time()


def about_of(key: str, start: float, domains: Sequence[SourceDomain], config: PretrainingConfig) -> dict[str, Any]:
    """What a network has seen, and the processor's seconds since ``start``."""
    return {
        "key": key,
        "version": slubook.__version__,
        "seconds": round(time.process_time() - start, 1),
        "updates": config.updates,
        "domains": len(domains),
        "utterances": sum(len(d.utterances) for d in domains),
        "slot_types": sorted({spoken(t) for d in domains for t in d.slot_types}),
        "intents": sorted({spoken(i) for d in domains for i in d.intents}),
    }


def spoken(label: str) -> str:
    """A label as its words, by which labels of two corpora are held to be the same."""
    return " ".join(name_words(label))
