"""BANKING77 (Casanueva et al., 2020, arXiv 2003.04807): questions to a bank, 77 fine intents.

Traps:
    * Intents only, and so fine that some utterances could carry two of the labels.
    * Classes are uneven in training and even in the test split; there is no dev split.
    * Written questions, not spoken commands: long, with line breaks in a few.
"""

from __future__ import annotations

import csv
from pathlib import Path

from slubook.corpora.utterance import Utterance


def read(root: Path) -> list[Utterance]:
    """Reads all utterances; domain ``"banking"``."""
    utterances = []
    for split in ("train", "test"):
        with (root / "banking_data" / f"{split}.csv").open(encoding="utf-8", newline="") as lines:
            for i, row in enumerate(csv.DictReader(lines)):
                id = f"banking77/{split}/{i}"
                utterances.append(Utterance(id, row["text"], row["category"], (), "banking", split))
    return utterances
