"""A passport for every corpus: its origin, its counts and its known faults; no text of it.

The known faults are the *Traps* of each reader's docstring, so that they stand in one place. Shown on the book's data
page; counts are in notebook 00, *Meet the data*.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from tqdm import tqdm

from slubook.corpora import assistant, registry, skills
from slubook.corpora.dedupe import near_duplicates
from slubook.corpora.sources import source
from slubook.corpora.utterance import Utterance
from slubook.files import write_atomically


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a corpus.

    Attributes:
        kind: ``"embedded"``, ``"public"`` or ``"file"`` (the user's own).
        licence: as its publisher states it; ``""`` for a file.
        address: of its repository or page, or the path of a file.
        version: the pinned commit or release.
        checksum: SHA-256 over the checksums of all its files.
        bytes: of all its files, 0 when unknown.
        note: what to know of the pin.
    """

    kind: str
    licence: str
    address: str
    version: str
    checksum: str
    bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class SplitPassport:
    """One split: its size, a hash of its contents, and the share of near-duplicates of training utterances."""

    utterances: int
    sha256: str
    near_duplicates: float | None


@dataclass(frozen=True, slots=True)
class Passport:
    """The passport of a corpus.

    Attributes:
        corpus: its name.
        origin: where it is from.
        utterances, domains, intents, slot_types, slots: counts, of distinct domains, intents and slot types.
        splits: by name; ``""`` where the corpus has none.
        snapped: slots moved to token boundaries, or dropped because they overlapped.
        faults: the known ones, a sentence or two each.
    """

    corpus: str
    origin: Origin
    utterances: int
    domains: int
    intents: int
    slot_types: int
    slots: int
    splits: dict[str, SplitPassport]
    snapped: int
    faults: tuple[str, ...]


def passport(corpus: str | Path) -> Passport:
    """Loads a corpus and makes its passport.

    Raises:
        CorpusError: when it cannot be loaded.
    """
    utterances = registry.load(corpus)
    return Passport(
        corpus=str(corpus),
        origin=origin(corpus),
        utterances=len(utterances),
        domains=len({u.domain for u in utterances}),
        intents=len({u.intent for u in utterances} - {""}),
        slot_types=len({s.type for u in utterances for s in u.slots}),
        slots=sum(len(u.slots) for u in utterances),
        splits=_splits(utterances),
        snapped=registry.snapped(corpus),
        faults=faults(corpus),
    )


def write_passports(corpora: Sequence[str], path: Path) -> int:
    """Writes the passports of corpora as JSON, and returns how many; raises CorpusError when one cannot be loaded."""
    written = [asdict(passport(name)) for name in tqdm(corpora, desc="passports", unit="corpus")]
    write_atomically(path, json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    return len(written)


def origin(corpus: str | Path) -> Origin:
    """Returns the origin of a corpus; needs none of a public corpus's data."""
    name = str(corpus)
    if registry.is_file(corpus):
        content = Path(corpus).read_bytes()
        return Origin("file", "", name, "", hashlib.sha256(content).hexdigest(), len(content))
    if name in registry.PUBLIC:
        pinned = source(registry.PUBLIC[name].source)
        checksum = _digest(f"{file.path} {file.sha256}" for file in pinned.files)
        return Origin("public", pinned.licence, pinned.page, pinned.commit, checksum, pinned.bytes, pinned.note)
    if name in assistant.NAMES:
        templates = resources.files("home_assistant_intents") / "data" / f"{assistant.NAMES[name]}.json"
        values = resources.files("slubook.corpora") / "assistant_values.yml"
        version = f"home-assistant-intents {metadata.version('home-assistant-intents')}"
        licence = "Apache-2.0 (templates); CC-BY-4.0 (values)"
        return _embedded(licence, "https://github.com/OHF-Voice/intents", version, [templates, values])
    chosen = skills.embedded_skills() if name == registry.SKILLS else [name.removeprefix(f"{registry.SKILLS}/")]
    files = [skills.ROOT / skill / file for skill in chosen for file in ("en-US.json", "test.jsonl")]
    return _embedded("CC-BY-4.0", "written for this book", f"slubook {metadata.version('slubook')}", files)


def faults(corpus: str | Path) -> tuple[str, ...]:
    """Returns the known faults of a corpus: the traps that its reader's docstring names."""
    name = str(corpus)
    if registry.is_file(corpus):
        return ()
    module = assistant if name in assistant.NAMES else skills
    if name in registry.PUBLIC:
        module = sys.modules[registry.PUBLIC[name].read.__module__]
    _, _, listed = inspect.getdoc(module).partition("Traps:\n")
    items = [" ".join(item.split()) for item in re.split(r"^\s*\* ", listed, flags=re.MULTILINE)]
    plain = (re.sub(r":\w+:`~?([^`]*)`", r"`\1`", item).replace("``", "`") for item in items)
    return tuple(item for item in plain if item)


def _splits(utterances: Sequence[Utterance]) -> dict[str, SplitPassport]:
    members: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        members.setdefault(utterance.split, []).append(utterance)
    train = [u.text for u in members.get("train", ())]
    return {
        split: SplitPassport(
            len(chosen),
            _digest(sorted(repr((u.id, u.text, u.intent, [tuple(s) for s in u.slots], u.domain)) for u in chosen)),
            float(near_duplicates([u.text for u in chosen], train).mean()) if train and split != "train" else None,
        )
        for split, chosen in sorted(members.items())
    }


def _embedded(licence: str, address: str, version: str, files: Sequence[Traversable]) -> Origin:
    contents = [file.read_bytes() for file in files]
    checksum = _digest(hashlib.sha256(content).hexdigest() for content in contents)
    return Origin("embedded", licence, address, version, checksum, sum(map(len, contents)))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
