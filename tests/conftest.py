import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch2_transfer import plan as transfer_sources
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.protocol import TransferSettings
from slubook.ch2_transfer.transfer import Recipe
from slubook.corpora import download
from slubook.corpora.utterance import Slot, Utterance
from slubook.experiments.options import Options
from slubook.experiments.records import Results
from slubook.experiments.runner import run

#: The same examples at every run of a commit; a busy machine is no failure. ``--hypothesis-profile=search`` draws anew.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=1000)
settings.load_profile("same")

_VALUES = {
    "item": ["apples", "green tea", "bread", "two lemons", "oat milk", "rice", "brown sugar", "soap"],
    "place": ["the fridge", "my basket", "the long list", "aisle nine"],
}
_TEMPLATES = [
    ("AddIntent", "please add {item} to {place}"),
    ("AddIntent", "we need {item}"),
    ("RemoveIntent", "throw {item} out of {place}"),
    ("RemoveIntent", "no more {item}"),
    ("ReadIntent", "read {place} back to me"),
    ("ReadIntent", "what do we have"),
]


@pytest.fixture(scope="session")
def toy_skill() -> list[Utterance]:
    """Sixty utterances of a shopping list, three intents, two slot types: small enough to learn in a second."""
    draw, made = random.Random(7), []
    for i in range(60):
        intent, template = _TEMPLATES[i % len(_TEMPLATES)]
        text, slots = "", []
        for n, piece in enumerate(template.replace("}", "{").split("{")):
            if n % 2:
                value = draw.choice(_VALUES[piece])
                slots.append(Slot(piece, len(text), len(text) + len(value)))
                piece = value
            text += piece
        made.append(Utterance(f"toy-{i}", text, intent, tuple(slots), "toy"))
    return made


_SMALL = {"project": 16, "char_dim": 4, "char_filters": 6, "hidden": 10, "layers": 3, "word_dropout": 0.1}
_FILLERS = {
    "City": ["london", "paris", "new york", "oslo", "san jose", "rome", "cape town", "lima"],
    "Date": ["today", "next friday", "tomorrow", "may third", "sunday", "the first of june"],
}
_PHRASES = {
    "Book": ["book a {noun} in {City} for {Date}", "get me a {noun} in {City} {Date}"],
    "Cancel": ["cancel my {noun} in {City} of {Date}", "no {noun} in {City} on {Date}"],
    "Show": ["which {noun} do i have in {City} {Date}", "list the {noun} of {Date} in {City}"],
}


@dataclass(frozen=True)
class Tiny:
    """A user's file of three domains with about ninety utterances each, and settings that train in a second."""

    corpora: list[Path]
    settings: TransferSettings
    out: Path

    def options(self, **more) -> Options:
        return Options(**{"corpora": self.corpora, "jobs": 1, "seeds": 1, "out": self.out, **more})

    def run(self, experiment: str, settings: object = None, **more) -> Results:
        return run(experiment, self.options(**more), settings or self.settings)


def _rows(noun: str) -> list[dict]:
    draw, found = random.Random(noun), {}
    while len(found) < 90:
        intent = list(_PHRASES)[len(found) % len(_PHRASES)]
        text, slots = "", []
        for n, piece in enumerate(draw.choice(_PHRASES[intent]).replace("}", "{").split("{")):
            if n % 2 and piece != "noun":
                value = draw.choice(_FILLERS[piece])
                slots.append({"type": f"{noun}{piece}", "start": len(text), "end": len(text) + len(value)})
                piece = value
            text += noun if piece == "noun" else piece
        labels = {"intent": f"{intent}{noun.title()}", "slots": slots, "domain": noun, "split": ""}
        found.setdefault(text, {"id": f"{noun}-{len(found)}", "text": text, **labels})
    return list(found.values())


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Tiny:
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer_sources, "EMBEDDED_SOURCE", ())
    path = tmp_path / "mine.jsonl"
    rows = [row for noun in ("flight", "hotel", "taxi") for row in _rows(noun)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = PretrainingConfig(NetworkConfig(dim=8, ngram_order=0, **_SMALL), 20, 32, rate=2e-2, characters=30)
    training = TrainingConfig(batch=8, updates=8, evaluations=2, average=0.5)
    scratch = Recipe(NetworkConfig(dim=16, ngram_order=1, **_SMALL), training)
    slower = replace(scratch, rate=0.6)
    settings = TransferSettings(scratch=scratch, transfer=slower, transfer_names=slower, pretraining=source)
    return Tiny([path], settings, tmp_path / "out.json")


@pytest.fixture
def public():
    """``public(source)`` skips the test where that source is neither in the mirror nor in the cache."""

    def need(source: str) -> None:
        if not download.available(source):
            pytest.skip("public corpora are not on this machine: set SLUBOOK_MIRROR or run `slubook data fetch`")

    return need
