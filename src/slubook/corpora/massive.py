"""MASSIVE 1.1 (FitzGerald et al., 2022, arXiv 2204.08582): HWU64-like requests in fifty-two locales.

Traps:
    * Texts are translations and localisations of HWU64's English: in English the two overlap, and a model trained on
      one has seen the other.
    * The archive is served by name and version, without a published checksum: the pinned one is second-hand.
    * ``utt`` is the text, ``annot_utt`` the text with slots; where they differ by spaces, the annotation decides.
"""

from __future__ import annotations

import json
from pathlib import Path

from slubook.corpora.bio import from_markup
from slubook.corpora.utterance import Utterance

LOCALE = "en-US"


def read(root: Path, locale: str = LOCALE) -> list[Utterance]:
    """Reads all utterances of one locale; domain = scenario, split = partition."""
    utterances = []
    with (root / "1.1" / "data" / f"{locale}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            text, slots = from_markup(row["annot_utt"])
            id = f"massive/{locale}/{row['id']}"
            utterances.append(Utterance(id, text, row["intent"], slots, row["scenario"], row["partition"]))
    return utterances
