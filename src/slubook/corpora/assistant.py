"""A smart-home assistant, sampled from the sentence templates of Home Assistant in English and Hindi.

The package ``home-assistant-intents`` carries the templates that its users talk to every day, ``hassil`` parses
them. What a template leaves open (rooms, devices, list items) is filled from ``assistant_values.yml``.

Traps:
    * These are templates: utterances of one template share their words. ``group`` is the template; keep it on one side
      of a split.
    * A few templates per intent give thousands of sentences, others one: every intent is capped.
    * Slots are what a template leaves open; what its wording implies (*light* in "turn on the lights") has no span.
    * Numbers are drawn evenly: timers of ninety-nine hours are as frequent as those of ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

import numpy as np
import yaml
from hassil import Intents
from hassil import expression as template
from hassil.intents import IntentData, RangeSlotList, TextSlotList, WildcardSlotList
from home_assistant_intents import get_intents

from slubook.corpora.bio import from_markup
from slubook.corpora.utterance import Utterance
from slubook.profiles import stable_hash

#: The registry's names and their languages.
NAMES = {"assistant-en": "en", "assistant-hi": "hi"}
PER_INTENT = 60
_TRIES = 20  # draws for each utterance wanted, for intents with few sentences


def sample(language: str, per_intent: int = PER_INTENT, seed: int = 0) -> list[Utterance]:
    """Draws different utterances of every intent from its blocks of templates in turn; domain ``"assistant"``.

    Args:
        language: ``"en"`` or ``"hi"``.
        per_intent: the most utterances of an intent; some have fewer sentences.
        seed: of the draws.
    """
    intents = Intents.from_dict(get_intents(language))
    return [
        utterance
        for name in sorted(intents.intents)
        for utterance in _sample_intent(language, name, intents, per_intent, stable_hash(seed, language, name))
    ]


def _sample_intent(language: str, name: str, intents: Intents, most: int, seed: int) -> Iterator[Utterance]:
    rng, texts = np.random.default_rng(seed), set()
    blocks = intents.intents[name].data
    for attempt in range(most * _TRIES):
        b = attempt % len(blocks)
        s = int(rng.integers(len(blocks[b].sentences)))
        drawn = _Draw(language, intents, blocks[b], rng).text(blocks[b].sentences[s].expression)
        text, slots = from_markup(" ".join(drawn.split()))
        if text in texts:
            continue
        texts.add(text)
        group = f"assistant-{language}/{name}/{b}.{s}"
        yield Utterance(f"{group}/{attempt}", text, name, slots, "assistant", group=group)
        if len(texts) == most:
            return


class _Draw:
    """A random walk through a template; the values of lists are marked as ``[slot : value]``."""

    def __init__(self, language: str, intents: Intents, block: IntentData, rng: np.random.Generator) -> None:
        self.rng, self.lists = rng, {**intents.slot_lists, **block.slot_lists}
        self.rules = {**intents.expansion_rules, **block.expansion_rules}
        self.values = _values()[language]
        kinds = block.requires_context.get("domain") or []
        self.kinds = kinds if isinstance(kinds, list) else [kinds]

    def text(self, expression: template.Expression) -> str:
        match expression:
            case template.TextChunk():
                return expression.original_text
            case template.Alternative():
                return self.text(self.pick(expression.items))
            case template.Permutation():
                return " ".join(self.text(expression.items[i]) for i in self.rng.permutation(len(expression.items)))
            case template.Group():
                return "".join(self.text(item) for item in expression.items)
            case template.RuleReference():
                return self.text(self.rules[expression.rule_name].expression)
            case template.ListReference():
                return f"[{expression.slot_name} : {self.value(expression.list_name)}]"
        raise TypeError(f"hassil has a new kind of expression: {type(expression).__name__}")

    def value(self, name: str) -> str:
        match self.lists.get(name):
            case TextSlotList(values=values):
                return self.text(self.pick(values).text_in)
            case RangeSlotList(start=start, stop=stop, step=step):
                return str(self.pick(range(start, stop + 1, step)))
            case WildcardSlotList() | None:
                of_kind = [value for kind in self.kinds for value in self.values["name"].get(kind, ())]
                return self.pick(of_kind if name == "name" else self.values[name])

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]


@cache
def _values() -> dict:
    return yaml.safe_load(resources.files("slubook.corpora").joinpath("assistant_values.yml").read_text("utf-8"))
