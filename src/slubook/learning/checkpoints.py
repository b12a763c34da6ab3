"""Pretrained networks that are trained once and kept: by name, for given source domains and settings.

Taught in chapters 2 and 3, *Build it*.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slubook
from slubook.corpora.label_names import name_words
from slubook.files import one_at_a_time
from slubook.learning.contextual_pretraining import pretrain_contextual
from slubook.learning.pretraining import PretrainingConfig, pretrain
from slubook.learning.source import SourceDomain, source_key
from slubook.learning.unfreezing import UnfreezingConfig
from slubook.models.context_pretrained import ContextPretrained
from slubook.models.contextual import Embedding
from slubook.models.pretrained import Pretrained
from slubook.models.vectors import VectorTable
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
        start = _begin(name, domains)
        network = pretrain(name, domains, config, table)
        network.about = _about(key, start, domains, config)
        network.save(folder)
        return Pretrained.load(folder)


def kept_contextual(
    name: str,
    domains: Sequence[SourceDomain],
    embedding: Embedding,
    origin: str,
    config: PretrainingConfig,
    unfreezing: UnfreezingConfig,
    seed: int = 0,
) -> ContextPretrained:
    """The pretrained network ``name`` over an embedding, as :func:`kept_pretrained` keeps others.

    Its ``about`` also says at which progress each layer of the embedding was unfrozen (``unfrozen``).

    Args:
        name: of the network and of its folder in the cache.
        domains: annotated source domains.
        embedding: what it reads.
        origin: a hash of what the embedding was made from.
        config: sizes, steps and rates.
        unfreezing: when the embedding may learn.
        seed: of everything drawn.

    Raises:
        KeptError: when the one that is kept is damaged.
        OSError: when the cache cannot be written.
    """
    folder = pretrained_folder(name)
    parts = (pretrained_key(domains, config), origin, repr((unfreezing, seed)))
    key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
    with one_at_a_time(folder):
        if (folder / "base" / "meta.json").is_file():
            kept = ContextPretrained.load(folder, embedding)
            if kept.about.get("key") == key:
                return kept
        start = _begin(name, domains)
        network, unfrozen = pretrain_contextual(name, domains, embedding, config, unfreezing, seed)
        network.base.about = _about(key, start, domains, config) | {"unfrozen": unfrozen}
        network.save(folder)
        return ContextPretrained.load(folder, embedding)


def _begin(name: str, domains: Sequence[SourceDomain]) -> float:
    """Say what begins; the processor's clock then."""
    texts = sum(len(d.utterances) for d in domains)
    print(f"pretraining {name}: {texts:,} requests of {len(domains)} domains, once", file=sys.stderr, flush=True)
    return time.process_time()


def _about(key: str, start: float, domains: Sequence[SourceDomain], config: PretrainingConfig) -> dict[str, Any]:
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
