"""Alexa Skills Kit interaction models: a skill as its developer writes it, with samples instead of utterances.

The format is Amazon's `interaction model schema
<https://developer.amazon.com/docs/alexa/smapi/interaction-model-schema.html>`_: intents with sample utterances that
name slots in braces (``book a table for {people}``), and slot types with values and synonyms. :func:`expand` fills
the braces. The values of built-in types (``AMAZON.DATE``) are Amazon's own; ours stand in ``builtin_types.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from slubook.corpora.errors import CorpusError, place
from slubook.corpora.utterance import Slot, Utterance
from slubook.profiles import stable_hash

_BRACES = re.compile(r"\{([^{}]*)\}")
_LOCALE = re.compile(r"[a-z]{2}-[A-Z]{2}")
_BUILT_IN = "AMAZON."


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent: its name, the type of each of its slots by name, and its samples."""

    name: str
    slots: dict[str, str]
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InteractionModel:
    """The interaction model of a skill.

    Attributes:
        name: the domain of its utterances.
        invocation: what users say to open it.
        intents: those with samples.
        types: for each slot type in use, its values and their synonyms, each once.
        left_out: Amazon's own intents without samples (``AMAZON.HelpIntent``), which cannot be learned.
    """

    name: str
    invocation: str
    intents: tuple[Intent, ...]
    types: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()


class _Schema(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _SlotSchema(_Schema):
    name: str
    type: str


class _IntentSchema(_Schema):
    name: str
    slots: list[_SlotSchema] = []
    samples: list[str] = []


class _ValueSchema(_Schema):
    value: str = Field(validation_alias=AliasPath("name", "value"))
    synonyms: list[str] = Field([], validation_alias=AliasPath("name", "synonyms"))


class _TypeSchema(_Schema):
    name: str
    values: list[_ValueSchema] = []


class _LanguageModelSchema(_Schema):
    invocationName: str = ""
    intents: list[_IntentSchema] = Field(min_length=1)
    types: list[_TypeSchema] = []


class _InteractionModelSchema(_Schema):
    languageModel: _LanguageModelSchema


class _FileSchema(_Schema):
    interactionModel: _InteractionModelSchema


def read(path: Path | str, name: str = "") -> InteractionModel:
    """Reads and checks an interaction model.

    Args:
        path: a JSON file.
        name: the skill's name. When empty: what users say to open it, else the name of the file, or of its folder where
            the file is named after a language (``en-US.json``), as the developer console does.

    Raises:
        CorpusError: listing every fault: JSON that is malformed or of another shape, intents without samples, slots
            used but not declared, unknown or empty slot types, a sample in two intents.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        schema = _FileSchema.model_validate(json.loads(text)).interactionModel.languageModel
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 (byte {error.start}): save the file in UTF-8") from error
    except json.JSONDecodeError as error:
        where = place(path, error.lineno, error.colno)
        raise CorpusError(f"{where}: not JSON ({error.msg}): correct it, or export the model again") from error
    except ValidationError as error:
        raise CorpusError([_shape_problem(path, fault) for fault in error.errors()]) from error
    types = {t.name: _phrases(t) for t in schema.types}
    for slot in (slot for intent in schema.intents for slot in intent.slots):
        if slot.type in built_in_types():  # the developer's values extend Amazon's
            types[slot.type] = tuple(dict.fromkeys(types.get(slot.type, ()) + built_in_types()[slot.type]))
    if problems := [_located(path, text, *problem) for problem in _problems(schema, types)]:
        raise CorpusError(problems)
    intents = tuple(
        Intent(i.name, {s.name: s.type for s in i.slots}, tuple(dict.fromkeys(map(_clean, i.samples))))
        for i in schema.intents
        if i.samples
    )
    used = {type for intent in intents for type in intent.slots.values()}
    left_out = tuple(i.name for i in schema.intents if not i.samples)
    invocation = " ".join(schema.invocationName.split())
    name = name or invocation or (path.resolve().parent.name if _LOCALE.fullmatch(path.stem) else path.stem)
    return InteractionModel(name, invocation, intents, {t: types[t] for t in sorted(used)}, left_out)


def expand(model: InteractionModel, per_sample: int, seed: int) -> list[Utterance]:
    """Expands every sample into utterances by filling its braces.

    The values and synonyms of a slot type are shuffled by the seed, and all are used before they are shuffled again, so
    that they occur equally often.

    Args:
        model: a checked skill.
        per_sample: fillings of each sample. A sample without slots is taken once; no text occurs twice in an intent.
        seed: of the shuffles.

    Returns:
        Utterances in the order of the samples; split ``"train"``, slot type = slot name.
    """
    decks = {name: _deck(values, stable_hash(seed, model.name, name)) for name, values in model.types.items()}
    utterances = []
    for intent in model.intents:
        texts = set()
        for i, sample in enumerate(intent.samples):
            for k in range(per_sample if _BRACES.search(sample) else 1):
                text, slots = _fill(sample, intent, decks)
                if text not in texts:
                    group = f"{model.name}/{intent.name}/{i}"
                    utterance = Utterance(f"{group}/{k}", text, intent.name, slots, model.name, "train", group)
                    utterances.append(utterance)
                    texts.add(text)
    return utterances


@cache
def built_in_types() -> dict[str, tuple[str, ...]]:
    """Reads our values for Amazon's built-in slot types, spelled as a recogniser writes them."""
    text = resources.files("slubook.corpora").joinpath("builtin_types.json").read_text(encoding="utf-8")
    return {name: tuple(values) for name, values in json.loads(text).items()}


def _deck(values: tuple[str, ...], seed: int) -> Iterator[str]:
    rng = np.random.default_rng(seed)
    while True:
        for i in rng.permutation(len(values)):
            yield values[i]


def _fill(sample: str, intent: Intent, decks: dict[str, Iterator[str]]) -> tuple[str, tuple[Slot, ...]]:
    text, slots, read_to = "", [], 0
    for match in _BRACES.finditer(sample):
        text += sample[read_to : match.start()]
        value, start, read_to = next(decks[intent.slots[match[1]]]), len(text), match.end()
        text += value
        slots.append(Slot(match[1], start, len(text)))
    return text + sample[read_to:], tuple(slots)


def _phrases(type: _TypeSchema) -> tuple[str, ...]:
    phrases = (p.strip() for value in type.values for p in (value.value, *value.synonyms))
    return tuple(dict.fromkeys(p for p in phrases if p))


def _clean(sample: str) -> str:
    """Normalises spaces: single ones, and none inside braces."""
    return _BRACES.sub(lambda m: "{" + m[1].strip() + "}", " ".join(sample.split()))


def _problems(schema: _LanguageModelSchema, types: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Yields each fault as (the string in the file, problem and remedy)."""
    intent_of: dict[str, str] = {}
    names = [intent.name for intent in schema.intents]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield name, f"intent {name!r} is there twice: join the two"
    if not any(intent.samples for intent in schema.intents):
        yield "intents", "no intent has a sample: add some"
    for intent in schema.intents:
        declared = {slot.name for slot in intent.slots}
        if not intent.samples and not intent.name.startswith(_BUILT_IN):
            yield intent.name, f"intent {intent.name!r} has no samples: add some, or remove it"
        for slot in intent.slots:
            if problem := _type_problem(slot.type, types):
                yield slot.type, f"slot {slot.name!r} of {intent.name!r}: {problem}"
        for sample in intent.samples:
            clean = _clean(sample)
            if not clean:
                yield intent.name, f"intent {intent.name!r} has an empty sample: remove it"
            if set(_BRACES.sub("", clean)) & set("{}"):
                yield sample, f"sample {sample!r} of {intent.name!r} has a brace without its partner: add it"
            for slot in sorted(set(_BRACES.findall(clean)) - declared):
                problem = f"sample {sample!r} of {intent.name!r} uses slot {slot!r}, which is not declared"
                yield sample, f"{problem}: declare it among the intent's slots, or correct its name"
            other = intent_of.setdefault(clean.lower(), intent.name)
            if other != intent.name:
                yield sample, f"sample {sample!r} stands in {other!r} and in {intent.name!r}: keep it in one of them"


def _type_problem(type: str, types: dict[str, tuple[str, ...]]) -> str:
    if types.get(type):
        return ""
    if type in types:
        return f"type {type!r} has no values: add some"
    if type.startswith(_BUILT_IN):
        return f"no values are known here for the built-in type {type!r}: add a type of that name with sample values"
    return f"type {type!r} is not defined: add it to types, or correct its name"


def _located(path: Path, text: str, needle: str, problem: str) -> str:
    """Adds to a problem the line and column at which ``needle`` stands in the file as a JSON string."""
    written = (json.dumps(needle, ensure_ascii=False), json.dumps(needle))
    at = next((at for form in written if (at := text.find(form)) >= 0), -1)
    if at < 0:
        return f"{path}: {problem}"
    return f"{place(path, text.count(chr(10), 0, at) + 1, at - text.rfind(chr(10), 0, at))}: {problem}"


def _shape_problem(path: Path, fault: Any) -> str:
    where = ".".join(map(str, fault["loc"]))
    return f"{path}: {where or 'the file'}: {fault['msg'].lower()}: export the interaction model again, or correct it"
