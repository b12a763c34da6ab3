"""Pretrained networks over an embedding that are trained once and kept, as those of chapter 2.

Taught in chapter 3, *Build it*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from slubook.ch2_transfer.checkpoints import about_of, begin, pretrained_folder, pretrained_key
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.source import SourceDomain
from slubook.ch3_elmol.context_pretrained import ContextPretrained
from slubook.ch3_elmol.contextual import Embedding
from slubook.ch3_elmol.contextual_pretraining import pretrain_contextual
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.files import one_at_a_time


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
        start = begin(name, domains)
        network, unfrozen = pretrain_contextual(name, domains, embedding, config, unfreezing, seed)
        network.base.about = about_of(key, start, domains, config) | {"unfrozen": unfrozen}
        network.save(folder)
        return ContextPretrained.load(folder, embedding)
