"""The turns of chapter 6: what was said, and the context in which it was said. The clips are made by ``speech.py``.

Three kinds. *Ours*: answers to a question of the assistant, from ``dialogues/grammar.yml`` (which Meg? which lamp?), of
which some, spoken, ship with the book. *Follow-ups* of Schema-Guided Dialogue (SGD), to services that no training
dialogue has. *First turns*, which nothing precedes. Beside them *orders*: of coffee, by people, with the menu.

Traps:
    * A catalogue is what a service could offer: of SGD, all values of the slots in question that occur in the split, in
      other dialogues or in the prompt. Else the catalogue would hold what only the turn itself has.
    * Turns with digits are left out: a text does not say how they were spoken.
    * Half of the entries of our lists are for training texts and shuffled contexts, the other half for clips.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import product
from pathlib import Path

import yaml

from slubook.corpora.download import fetch
from slubook.corpora.errors import CorpusError, place
from slubook.corpora.jsonl import numbered_lines
from slubook.corpora.sources import source
from slubook.profiles import stable_hash

DIALOGUES = Path(str(resources.files("slubook.ch6_contextual"))) / "dialogues"
#: Kinds of our own turns that ask which of several was meant, and those that ask for something.
DISAMBIGUATION, ANSWERS = ("contact", "device", "place"), ("dish", "song", "time")
#: The stratum of orders of coffee.
ORDERS = "orders"
#: Entries of a catalogue of ours.
ENTRIES = 100
_ASKS = {"REQUEST", "CONFIRM", "OFFER", "OFFER_INTENT", "REQ_MORE"}
_LONGEST = 14  # words of a turn of SGD that becomes a clip


@dataclass(frozen=True)
class Context:
    """What is known before a turn: its kind, both texts of the turn before, entries, and those that were named."""

    kind: str = ""
    previous: str = ""
    prompt: str = ""
    catalogue: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def words(self) -> frozenset[str]:
        """Returns the words of all entries."""
        return frozenset(word for entry in (*self.catalogue, *self.named) for word in entry.split())

    def without(self, words: frozenset[str]) -> Context:
        """Returns the context without the entries that have one of these words."""
        kept = [tuple(e for e in entries if not words & {*e.split()}) for entries in (self.catalogue, self.named)]
        return replace(self, catalogue=kept[0], named=kept[1])


@dataclass(frozen=True)
class Turn:
    """What a user said, in which context, and the stratum that it counts in; ``stale`` is the context before that.

    Of a turn that nobody wrote down, ``values`` are what has to be heard, and ``text`` is all of them.
    """

    id: str
    text: str
    context: Context
    stratum: str
    group: str  # the dialogue
    split: str
    stale: Context = Context()
    audio: str = ""
    values: tuple[str, ...] = ()


def words_of(text: str) -> str:
    """Returns the words of a text in lower case, without punctuation and digits."""
    found = re.findall(r"[a-z']+", text.lower().replace("’", "'"))
    return " ".join(word for raw in found if (word := raw.strip("'")))


def normalise(text: str) -> str:
    """Returns the words of a text; ``""`` where digits or other signs are read, as nobody knows how."""
    return "" if re.search(r"[\d$%&@#+]", text) else words_of(text)


@cache
def grammar() -> dict:
    """Reads the grammar of our own turns."""
    return yaml.safe_load((DIALOGUES / "grammar.yml").read_text(encoding="utf-8"))


@cache
def entries(kind: str, training: bool) -> tuple[str, ...]:
    """Lists the entries of a kind that may occur in training, or those of clips; no entry is in both."""
    lists = {
        name: [entry.replace("-", " ") for entry in text.split()]
        for name, text in grammar().items()
        if isinstance(text, str)
    }
    if kind == "contact":
        pairs = product(lists["first_names"], lists["other_surnames" if training else "surnames"])
        return tuple(map(" ".join, pairs))
    parts = {"device": ("rooms", "things"), "place": ("proper_names", "sorts"), "dish": ("dishes",), "song": ("songs",)}
    every = map(" ".join, product(*(lists[part] for part in parts.get(kind, ("times",)))))
    return tuple(entry for entry in every if stable_hash(kind, entry) % 2 == training)


def our_turns(kind: str, count: int, split: str, seed: int = 0, size: int = ENTRIES) -> list[Turn]:
    """Draws turns of a kind from the grammar; the wordings and entries of ``"train"`` are others than of clips."""
    rng, rules = random.Random(stable_hash(kind, split, seed)), grammar()["kinds"][kind]
    training = split == "train"
    wordings, pool, turns = rules["train" if training else "test"], entries(kind, training), []
    for k in range(count):
        catalogue = rng.sample(pool, min(size, len(pool)))
        a = catalogue[0]
        same = [e for e in pool if e != a and _head(kind, e) == _head(kind, a)] or [e for e in pool if e != a]
        catalogue[1] = b = rng.choice(same)
        fields = {"<a>": a, "<b>": b, "<first>": a.split()[0], "<thing>": a.split()[-1], "<sort>": a.split()[-1]}
        previous, prompt = (_filled(rng.choice(rules[part]), fields) for part in ("previous", "prompt"))
        named = tuple(e for e in (a, b) if e in prompt)
        wording = rng.choices([*wordings], [*wordings.values()])[0]
        meant = rng.choice(named or tuple(catalogue))
        text = wording.replace("<v>", _said(kind, meant, wording, rng))
        rng.shuffle(catalogue)
        context = Context(kind, previous, prompt, tuple(dict.fromkeys(catalogue)), named)
        turns.append(Turn(f"{kind}-{split}-{k}", text, context, kind, f"{kind}-{split}-{k}", split))
    return turns


def demo_turn() -> Turn:
    """Returns the article's own case, "Bauer", with an address book of ours; its id decides voice and noise."""
    named = ("meg jones", "meg bauer")
    book = (*named, *our_turns("contact", 1, "demo")[0].context.catalogue)
    context = Context("contact", "call meg", "do you mean meg jones or meg bauer", tuple(dict.fromkeys(book)), named)
    return Turn("demo-5", "bauer", context, "contact", "demo-5", "demo")


def our_first_turns(count: int, split: str) -> list[Turn]:
    """Draws requests that nothing precedes; those of clips come from patterns that training texts do not have."""
    rng, rules = random.Random(stable_hash("first", split)), grammar()["first"]
    if split == "train":
        texts = rng.choices(rules["train"], k=count)
    else:
        texts = sorted({_choice(pattern, rng) for pattern in rules["patterns"] * count})
        texts = rng.sample(texts, min(count, len(texts)))
    return [
        Turn(f"first-{split}-{k}", normalise(text), Context("first"), "first", f"first-{split}-{k}", split)
        for k, text in enumerate(texts)
    ]


def _head(kind: str, entry: str) -> str:
    """What the entries of one question have in common: a first name, a thing, a sort of place."""
    return entry.split()[0 if kind == "contact" else -1]


def _said(kind: str, entry: str, wording: str, rng: random.Random) -> str:
    """Says an entry in full or in short, as people do who were offered two."""
    words = entry.split()
    if kind == "contact":
        return words[-1] if rng.random() < 0.7 else entry
    if kind == "device" and wording in ("the one in the <v>", "the <v> one"):
        return " ".join(words[:-1])
    return " ".join(words[:-1]) if kind in ("device", "place") and rng.random() < 0.4 else entry


def _filled(text: str, fields: Mapping[str, str]) -> str:
    for field, value in fields.items():
        text = text.replace(field, value)
    return text


def _choice(pattern: str, rng: random.Random) -> str:
    return re.sub(r"\{(.*?)\}", lambda found: rng.choice(found.group(1).split("|")), pattern)


def sgd_turns(split: str) -> tuple[list[Turn], list[Turn]]:
    """Reads SGD's follow-ups, to one service each that asked something, and first turns; fetches the corpus first.

    The kind of a prompt is its acts and slots (``"REQUEST city"``); the stratum is the service.

    Raises:
        CorpusError: when the corpus cannot be fetched.
    """
    root, follow_ups, first = fetch("sgd"), [], []
    values: dict[tuple[str, str], dict[str, set[str]]] = {}  # service and slot → value → dialogues that have it
    catalogues: dict[tuple[str, tuple[str, ...]], dict[str, set[str]]] = {}  # service and slots → the same
    dialogues = [
        dialogue
        for path in sorted(f.path for f in source("sgd").files if f.path.startswith(f"{split}/dialogues_"))
        for dialogue in json.loads((root / path).read_bytes())
    ]
    for dialogue in dialogues:
        for turn in dialogue["turns"]:
            for frame in turn["frames"]:
                for action in frame["actions"]:
                    said = {normalise(value) for value in action["values"]} - {"", "true", "false", "dontcare"}
                    having = values.setdefault((frame["service"], action.get("slot", "")), {})
                    for value in said:
                        having.setdefault(value, set()).add(dialogue["dialogue_id"])
    for dialogue in dialogues:
        group, before, turns = f"sgd/{split}/{dialogue['dialogue_id']}", Context(), dialogue["turns"]
        opening, service = normalise(turns[0]["utterance"]), turns[0]["frames"][0]["service"]
        if opening and len(opening.split()) <= _LONGEST:
            first.append(Turn(f"{group}/0", opening, Context("first"), service, group, split))
        for k in range(2, len(turns), 2):
            asked, said = turns[k - 1], turns[k]
            acts = [action for frame in asked["frames"] for action in frame["actions"]]
            services = {frame["service"] for frame in (*asked["frames"], *said["frames"])}
            asking = sorted({action["act"] for action in acts} & _ASKS)
            if len(services) > 1 or not asking:
                continue
            (service,) = services
            slots = sorted({action.get("slot", "") for action in acts if action["act"] in _ASKS} - {""})
            named = {normalise(value) for action in acts for value in action["values"]} - {"", "true", "false"}
            key = service, tuple(slots)
            if key not in catalogues:
                every = sorted({value for slot in slots for value in values[service, slot]})
                catalogues[key] = {v: set().union(*(values[service, s].get(v, ()) for s in slots)) for v in every}
            elsewhere = [
                v for v, having in catalogues[key].items() if v in named or having != {dialogue["dialogue_id"]}
            ]
            context = Context(
                f"{asking[0]} {slots[0] if asking[0] == 'REQUEST' and slots else ''}".strip(),
                words_of(turns[k - 2]["utterance"]),
                words_of(asked["utterance"]),
                tuple(elsewhere),
                tuple(sorted(named)),
            )
            text = normalise(said["utterance"])
            if text and len(text.split()) <= _LONGEST:
                follow_ups.append(Turn(f"{group}/{k}", text, context, service, group, split, before))
            before = context
    return follow_ups, first


def coffee_orders() -> list[Turn]:
    """Reads orders of coffee that people spoke, with the whole menu as their context; fetches the corpus first.

    Raises:
        CorpusError: when the corpus cannot be fetched.
    """
    folder = fetch("speech_to_intent") / "data"
    told = json.loads((folder / "label" / "label.json").read_bytes())
    said = {name: tuple(map(words_of, label["slots"].values())) for name, label in sorted(told.items())}
    menu = Context("order", catalogue=tuple(sorted({value for values in said.values() for value in values})))
    return [
        Turn(f"{ORDERS}/{Path(name).stem}", " ".join(values), menu, ORDERS, name, "test", values=values,
             audio=str(folder / "speech" / "clean" / name))
        for name, values in said.items() if (folder / "speech" / "clean" / name).is_file()
    ]  # fmt: skip


def read_turns(path: Path) -> list[Turn]:
    """Reads turns from JSON lines: id, text, kind, previous, prompt, catalogue, named, split, audio; text is required.

    Raises:
        CorpusError: listing every bad line with file, line and remedy.
    """
    turns, problems = [], []
    for number, raw in numbered_lines(path):
        try:
            turns.append(_turn(json.loads(raw), number, path))
        except (ValueError, TypeError, AttributeError) as error:
            problems.append(f"{place(path, number)}: {error}: correct the line")
    if doubled := [t.id for k, t in enumerate(turns) if t.id in {other.id for other in turns[:k]}]:
        problems.append(f"{path}: id {doubled[0]!r} stands on two lines: give each turn its own")
    if problems or not turns:
        raise CorpusError(problems or f"{path}: holds no turn: write one JSON object a line")
    return turns


def _turn(entry: dict, number: int, path: Path) -> Turn:
    def text(field: str, default: str = "") -> str:
        if not isinstance(value := entry.get(field, default), str):
            raise TypeError(f"{field} is no text")
        return value

    lists = {field: entry.get(field, []) for field in ("catalogue", "named")}
    if wrong := [f for f, v in lists.items() if not isinstance(v, list) or not all(isinstance(e, str) for e in v)]:
        raise TypeError(f"{wrong[0]} is no list of texts")
    if not (said := normalise(text("text"))):
        raise ValueError("text is missing, or has digits: write it in words, as it was spoken")
    kept = {field: tuple(filter(None, map(normalise, value))) for field, value in lists.items()}
    context = Context(text("kind", "any"), *(words_of(text(f)) for f in ("previous", "prompt")), **kept)
    audio = text("audio")
    if audio and not (path.parent / audio).is_file():
        raise ValueError(f"{audio} is not there")
    id, group = text("id", f"{path.stem}/{number}"), text("group")
    stratum = text("stratum", context.kind if context.prompt else "first")
    return Turn(
        id, said, context, stratum, group or id, text("split", "test"),
        audio=str(path.parent / audio) if audio else "",
    )  # fmt: skip


def written(turns: Sequence[Turn], audio: Mapping[str, str]) -> Iterator[str]:
    """Writes turns as :func:`read_turns` reads them; ``audio`` names the clip of each, by id."""
    for turn in turns:
        context, own = turn.context, {"id": turn.id, "text": turn.text, "split": turn.split, "audio": audio[turn.id]}
        said = {"kind": context.kind, "stratum": turn.stratum, "previous": context.previous, "prompt": context.prompt}
        yield json.dumps(own | said | {"named": context.named, "catalogue": context.catalogue}, ensure_ascii=False)
