"""Cross-validates, keeping together what belongs together: every utterance is tested once, by a model that
has seen nothing of its group. Taught in *Your own skill*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from slubook.corpora.utterance import Utterance
from slubook.profiles import stable_hash

#: One part in six of what is not tested chooses settings and epochs.
DEV_PARTS = 6


@dataclass(frozen=True)
class Fold:
    """Positions of the utterances of one fold; no group stands in two of the three."""

    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]


def deal(utterances: Sequence[Utterance], groups: Sequence[str], parts: int, seed: int) -> list[int]:
    """Returns the part of each utterance, [N], 0 to ``parts`` − 1; groups stay whole, intents are spread evenly.

    Groups are dealt in an order drawn by the seed, large ones first, each to the part that has the fewest
    utterances of its most frequent intent, and of those to the smallest.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    of_intent: list[Counter[str]] = [Counter() for _ in range(parts)]
    part_of = [0] * len(utterances)
    for group in sorted(members, key=lambda g: (-len(members[g]), stable_hash("deal", seed, g), g)):
        intents = Counter(utterances[i].intent for i in members[group])
        intent = max(sorted(intents), key=intents.__getitem__)
        part = min(range(parts), key=lambda p: (of_intent[p][intent], of_intent[p].total(), p))
        of_intent[part] += intents
        for i in members[group]:
            part_of[i] = part
    return part_of


def k_folds(utterances: Sequence[Utterance], groups: Sequence[str], k: int, seed: int) -> list[Fold]:
    """Returns ``k`` folds; the dev part of each is dealt from what the fold does not test.

    Args:
        utterances: of one skill, N of them.
        groups: what must stay on one side, [N].
        k: folds, at least two.
        seed: of the deal.

    Raises:
        ValueError: when there are fewer groups than folds, or fewer than two folds.
    """
    if len(groups) != len(utterances):
        raise ValueError(f"{len(groups)} groups for {len(utterances)} utterances: give each utterance its group")
    distinct = len(set(groups))
    if k < 2 or distinct < k:
        raise ValueError(f"{k} folds of {distinct} groups: use 2 folds at the least, and no more than there are groups")
    part_of, folds = deal(utterances, groups, k, seed), []
    for test in range(k):
        rest = [i for i, part in enumerate(part_of) if part != test]
        inner = deal([utterances[i] for i in rest], [groups[i] for i in rest], DEV_PARTS, seed)
        dev = {i for i, part in zip(rest, inner, strict=True) if part == DEV_PARTS - 1}
        folds.append(
            Fold(
                tuple(i for i in rest if i not in dev),
                tuple(sorted(dev)),
                tuple(i for i, part in enumerate(part_of) if part == test),
            )
        )
    return folds
