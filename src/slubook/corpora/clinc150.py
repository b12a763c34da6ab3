"""CLINC150 (Larson et al., 2019, arXiv 1909.02027): 150 intents in ten domains, and requests out of their scope.

Traps:
    * Intents only: no slots are annotated.
    * ``oos`` is no intent but the absence of one; it is far more frequent in the test split than in training.
    * Each intent has the same number of utterances: real traffic does not.
"""

from __future__ import annotations

import json
from pathlib import Path

from slubook.corpora.utterance import Utterance

OUT_OF_SCOPE = "oos"
_SPLITS = {"train": "train", "val": "dev", "test": "test"}


def read(root: Path) -> list[Utterance]:
    """Reads all utterances; domain from the authors' table, ``"oos"`` for those out of scope."""
    data = json.loads((root / "data" / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads((root / "data" / "domains.json").read_text(encoding="utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    return [
        Utterance(f"clinc150/{part}/{i}", text, intent, (), domain_of.get(intent, OUT_OF_SCOPE), _SPLITS[name])
        for name in _SPLITS
        for part in (name, f"oos_{name}")
        for i, (text, intent) in enumerate(data[part])
    ]
