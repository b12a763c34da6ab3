"""Judges detectors of several settings on topics that they have not learned from, and keeps the record of it.

``python -m slubook.ch4_selftraining.tried`` measures it again, from the full profile's mature data: no test of an
intent is among them. Taught in chapter 4, *Self-training*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slubook.ch4_selftraining.data import Cut, Data, full_data
from slubook.ch4_selftraining.paraphrase import DetectorConfig, judge_unseen
from slubook.files import write_atomically
from slubook.profiles import RESULTS

#: Where the record is, topics that are left out together, and what was tried, in order: the last one is used.
RECORD, TOPICS = RESULTS / "detector_tried.json", ("music", "restaurants", "weather")
TRIED: Mapping[str, DetectorConfig] = {
    "vectors": DetectorConfig(parts=("vectors",)),
    "words": DetectorConfig(parts=("words",)),
    "vectors and words, together": DetectorConfig(together=True),
    "vectors and words, each by itself": DetectorConfig(),
}


def try_detectors(data: Data, tried: Mapping[str, DetectorConfig] = TRIED) -> list[dict[str, Any]]:
    """Returns what each of them reaches on each topic; see :func:`slubook.ch4_selftraining.paraphrase.judge`."""
    known = [(h.utterance, h.topics) for h in data.heard["mature"]]
    found = {name: judge_unseen(known, TOPICS, data.pool, config) for name, config in tried.items()}
    return [{"tried": n, "topic": t, **judged} for n, of in found.items() for t, judged in of.items()]


def read_record(path: Path = RECORD) -> list[dict[str, Any]]:
    """Returns the rows of the record."""
    return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    write_atomically(RECORD, json.dumps(try_detectors(full_data(Cut())), indent=1) + "\n")
