"""Schema-Guided Dialogue (Rastogi et al., 2020, arXiv 1909.05855): user turns to 45 services of 20 domains.

Traps:
    * Split by dialogue, not by turn: values and wordings recur within one. ``group`` is the dialogue.
    * A turn may serve two services ("that film sounds good; now find me a table"). One label cannot say that;
      such turns are left out here and stand in :func:`all_user_turns`.
    * Only values that are copied from the text have spans. Categorical slots (the number of seats) and values
      taken over from earlier turns have none: a word that looks like a slot value may be unmarked.
    * Nearly two in three of the turns that state an intent carry no span at all.
    * Not every file of the corpus is pinned: the list is that of ``sources.json``, not what lies in the folder.
    * Most services appear in several versions (``Hotels_1`` … ``Hotels_4``) with other slot names, and some in one
      split only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from slubook.corpora.sources import source
from slubook.corpora.utterance import Slot, Utterance


def read(root: Path) -> list[Utterance]:
    """The turns in which a user states an intent of one service and serves no other in the same breath.

    Intent, slots and domain are those of the service's frame; domain is the service.
    """
    utterances = []
    for id, turn, group, split in _user_turns(root):
        if len(turn["frames"]) != 1 or not _states_intent(turn["frames"][0]):
            continue
        frame = turn["frames"][0]
        slots = tuple(sorted((Slot(s["slot"], s["start"], s["exclusive_end"]) for s in frame["slots"]), key=_start))
        intent = frame["state"]["active_intent"]
        utterances.append(Utterance(id, turn["utterance"], intent, slots, frame["service"], split, group))
    return utterances


def all_user_turns(root: Path) -> list[Utterance]:
    """Every user turn, unlabelled: a pool of in-domain text. The domain is the turn's services, joined by ``+``."""
    return [
        Utterance(id, turn["utterance"], "", (), "+".join(sorted(f["service"] for f in turn["frames"])), split, group)
        for id, turn, group, split in _user_turns(root)
    ]


def _user_turns(root: Path) -> Iterator[tuple[str, dict, str, str]]:
    """Each user turn as (id, turn, dialogue, split)."""
    paths = sorted(f.path for f in source("sgd").files if "/dialogues_" in f.path)
    for path in tqdm(paths, desc="sgd", unit="file", leave=False, disable=None):
        split = path.split("/")[0]
        for dialogue in json.loads((root / path).read_bytes()):
            group = f"sgd/{split}/{dialogue['dialogue_id']}"
            for i, turn in enumerate(dialogue["turns"]):
                if turn["speaker"] == "USER":
                    yield f"{group}/{i}", turn, group, split


def _states_intent(frame: dict) -> bool:
    return any(action["act"] == "INFORM_INTENT" for action in frame["actions"])


def _start(slot: Slot) -> int:
    return slot.start
