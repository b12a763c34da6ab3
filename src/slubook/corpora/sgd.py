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
from functools import cache
from pathlib import Path

from tqdm import tqdm

from slubook.corpora.sources import source
from slubook.corpora.utterance import Slot, Utterance


def read(root: Path) -> list[Utterance]:
    """Reads the turns in which a user states an intent of one service and addresses no other; domain = service."""
    return [turn for turn in _user_turns(root) if turn.intent]


def all_user_turns(root: Path) -> list[Utterance]:
    """Reads every user turn, with the labels that it has: a pool of in-domain text, and chapter 2's source of slots.

    The domain is the turn's services, joined by ``+``; a turn of several has no labels, and one that only
    answers a question ("Tuesday, please") has slots, but ``""`` for its intent.
    """
    return [*_user_turns(root)]


@cache
def _user_turns(root: Path) -> list[Utterance]:
    """Parses all user turns, once in a process: the files are large."""
    turns = []
    paths = sorted(f.path for f in source("sgd").files if "/dialogues_" in f.path)
    for path in tqdm(paths, desc="sgd", unit="file", leave=False, disable=None):
        split = path.split("/")[0]
        for dialogue in json.loads((root / path).read_bytes()):
            group = f"sgd/{split}/{dialogue['dialogue_id']}"
            turns += [
                _turn(f"{group}/{i}", turn, split, group)
                for i, turn in enumerate(dialogue["turns"])
                if turn["speaker"] == "USER"
            ]
    return turns


def _turn(id: str, turn: dict, split: str, group: str) -> Utterance:
    services = "+".join(sorted(frame["service"] for frame in turn["frames"]))
    if len(turn["frames"]) != 1:
        return Utterance(id, turn["utterance"], "", (), services, split, group)
    (frame,) = turn["frames"]
    stated = any(action["act"] == "INFORM_INTENT" for action in frame["actions"])
    slots = sorted((Slot(s["slot"], s["start"], s["exclusive_end"]) for s in frame["slots"]), key=lambda s: s.start)
    intent = frame["state"]["active_intent"] if stated else ""
    return Utterance(id, turn["utterance"], intent, tuple(slots), services, split, group)
