"""HWU64 (Liu et al., 2019, arXiv 1903.05566): crowd-written requests to a home robot, 18 scenarios, 64 intents.

Read from fold 1 of the authors' cross-validation, whose two sides together are the whole released selection.

Traps:
    * The column to read is ``answer_annotation``; ``answer_from_user`` is the unnormalised first answer.
    * Fields are separated by semicolons, and ``answerid`` is neither unique nor always there.
    * An intent name such as ``query`` means something else in each scenario: here it is ``alarm_query``.
    * The fold is drawn by utterance. For a skill of one scenario, make a split of your own.
    * The *play* scenario is noisy: every system makes mistakes in half of its slots.
"""

from __future__ import annotations

import csv
from pathlib import Path

from slubook.corpora.bio import from_markup
from slubook.corpora.sources import source
from slubook.corpora.utterance import Utterance


def read(root: Path) -> list[Utterance]:
    """Reads all utterances; domain = scenario, intent = scenario and intent, split = side of the fold."""
    utterances = []
    for path in sorted(file.path for file in source("hwu64").files):
        split = "test" if "/testset/" in path else "train"
        with (root / path).open(encoding="utf-8", newline="") as lines:
            for i, row in enumerate(csv.DictReader(lines, delimiter=";")):
                intent = f"{row['scenario']}_{row['intent']}"
                text, slots = from_markup(row["answer_annotation"])
                id = f"hwu64/{intent}/{split}/{i}"
                utterances.append(Utterance(id, text, intent, slots, domain=row["scenario"], split=split))
    return utterances
