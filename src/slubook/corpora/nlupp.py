"""NLU++ (Casanueva et al., 2022, arXiv 2204.13021): banking and hotel turns with several intents each.

Traps:
    * An utterance has any number of intents, in no fixed order. Here they are sorted and joined by ``+``, and
      ``none`` stands for those without any; most of the joined labels occur only once.
    * There are twenty folds for cross-validation and no split: ``split`` is empty, the fold stands in the id.
    * Follow-up turns ("then seven") mean nothing without their context, which is not given.
    * A few slots overlap; the later one is dropped when spans are fitted to tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

from slubook.corpora.utterance import Slot, Utterance

DOMAINS = ("banking", "hotels")
FOLDS = 20
NO_INTENT = "none"


def read(root: Path) -> list[Utterance]:
    """Reads all utterances of both domains, fold by fold."""
    return [
        _utterance(f"nlupp/{domain}/fold{fold}/{i}", domain, entry)
        for domain in DOMAINS
        for fold in range(FOLDS)
        for i, entry in enumerate(
            json.loads((root / "nlupp" / "data" / domain / f"fold{fold}.json").read_text(encoding="utf-8"))
        )
    ]


def _utterance(id: str, domain: str, entry: dict) -> Utterance:
    slots = sorted((Slot(name, *slot["span"]) for name, slot in entry.get("slots", {}).items()), key=lambda s: s.start)
    intent = "+".join(sorted(entry.get("intents", ()))) or NO_INTENT
    return Utterance(id, entry["text"], intent, tuple(slots), domain)
