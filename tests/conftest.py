import random

import pytest
from hypothesis import HealthCheck, settings

from slubook.corpora.utterance import Slot, Utterance

#: Hypothesis times examples, too: a busy machine is no failure.
settings.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any load")

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
