"""Taskmaster-4 (Google, 2024): written orders at a coffee bar. Unannotated here: a pool of in-domain text.

Traps:
    * The dialogues follow a few scenarios, so that a third of the user turns repeat another word for word: each text
      is kept once, where it first occurs.
    * The annotations are calls of a tool, not intents or spans; they are not read.
"""

from __future__ import annotations

import json
from pathlib import Path

from slubook.corpora.sources import source
from slubook.corpora.utterance import Utterance


def read(root: Path) -> list[Utterance]:
    """Reads the distinct user turns; domain ``"coffee"``, group = dialogue, no intent."""
    turns: dict[str, Utterance] = {}
    for path in sorted(file.path for file in source("taskmaster4").files):
        for dialogue in json.loads((root / path).read_text(encoding="utf-8")):
            group = f"taskmaster4/{dialogue['conversation_id']}"
            for turn in dialogue["utterances"]:
                text = turn["text"]
                if turn["speaker"] == "user" and text not in turns:
                    turns[text] = Utterance(f"{group}/{turn['index']}", text, "", domain="coffee", group=group)
    return list(turns.values())
