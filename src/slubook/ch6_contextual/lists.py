"""What decoders A and B make of a turn, under its true context and under those of the controls.

Lists of n-best hypotheses are all that the experiment needs of a clip. Those of the clips that ship are shipped as
well, so the quick profile decodes nothing.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np

from slubook.ch6_contextual import ngram
from slubook.ch6_contextual.context import Replies, Weights
from slubook.ch6_contextual.data import (
    ANSWERS,
    DIALOGUES,
    DISAMBIGUATION,
    Context,
    Turn,
    entries,
    our_first_turns,
    our_turns,
    read_turns,
    words_of,
)
from slubook.ch6_contextual.recogniser import Decoded, Pocketsphinx, general_model
from slubook.corpora.errors import CorpusError, place
from slubook.corpora.jsonl import numbered_lines
from slubook.files import one_at_a_time, replaced_file
from slubook.profiles import cache_dir, stable_hash

OURS = (*DISAMBIGUATION, *ANSWERS)
TURNS, LISTS = DIALOGUES / "turns.jsonl", DIALOGUES / "lists.json"
#: Training turns of each kind of ours, for language models and the encoder.
TRAINING = 400
#: Entries of the small and of the large catalogue.
SMALL, LARGE = 10, 1000

Lists = Mapping[str, Decoded]  # "general", "a", and decoder B's by the context that it had


def contexts(turn: Turn, others: Sequence[Turn], seed: int = 0) -> dict[str, Context]:
    """Returns the contexts that decoder B gets for a turn, by name.

    ``context`` is the true one; a first turn gets that of an interaction which it does not follow. ``shuffled`` is
    another turn's, of the same kind where there is one, without the entries of this one's and without any entry that
    was said; with a catalogue where this one has one. Of ours, it is from the lists that no clip is made of. ``stale``
    is that of the interaction before: of ours, one of another kind. ``type`` is the kind of the prompt alone.
    """
    rng = random.Random(stable_hash("contexts", seed, turn.id))
    true, said = turn.context, frozenset(turn.text.split())
    same = [other for other in others if other.split == turn.split and other.group != turn.group]
    rest = [other.context for other in same if other.context.prompt]
    if not (true.prompt or true.catalogue):
        wrong = rng.choice(rest or [true])
        return {"empty": Context(), "type": Context(wrong.kind), "context": wrong}
    stale = turn.stale
    if true.kind in OURS:
        shuffled = our_turns(true.kind, 1, "train", stable_hash(turn.id, seed))[0].context
        before = rng.choice([kind for kind in OURS if kind != true.kind])
        stale = our_turns(before, 1, "test", stable_hash("stale", turn.id, seed))[0].context
    else:
        own = {*true.catalogue, *true.named}
        apart = [
            c for c in rest if own.isdisjoint((*c.catalogue, *c.named)) and bool(c.catalogue) == bool(true.catalogue)
        ]
        near = [context for context in apart if context.kind.split(" ")[0] == true.kind.split(" ")[0]]
        shuffled = rng.choice(near or apart or rest)
    found = {"empty": Context(), "type": Context(true.kind), "context": true}
    found |= {"shuffled": replace(shuffled, kind=true.kind).without(said & true.words), "stale": stale}
    if true.kind in DISAMBIGUATION:
        pool = entries(true.kind, training=False)
        more = rng.sample(pool, min(LARGE, len(pool)))
        found["small"] = replace(true, catalogue=(*true.named, *true.catalogue[: SMALL - len(true.named)]))
        found["large"] = replace(true, catalogue=tuple(dict.fromkeys((*true.catalogue, *more)))[:LARGE])
    return found


@dataclass
class Decoders:
    """What decodes the turns of an experiment: pocketsphinx without and with the domain, replies, and weights."""

    general: Pocketsphinx
    domain: Pocketsphinx
    replies: Replies
    weights: Weights

    @classmethod
    def of(cls, name: str, replies: Replies, weights: Weights) -> Self:
        """Makes them; decoder A's mixed model is kept in the cache under a name, and made once, in a minute."""
        path = cache_dir() / "contextual" / f"{name}-{_size(replies.domain)}-{weights.general}.arpa"
        with one_at_a_time(path):
            if not path.is_file():
                mixed = ngram.mix([general_model(), replies.domain], [weights.general, 1 - weights.general])
                with replaced_file(path) as part:
                    mixed.write(part)
        return cls(Pocketsphinx(), Pocketsphinx(path, replies.domain.words), replies, weights)

    def lists(self, audio: np.ndarray, found: Mapping[str, Context]) -> dict[str, Decoded]:
        """Decodes a clip: by A without and with the domain, and by B in each of the contexts."""
        return {name: self.hear(name, audio, found.get(name)) for name in ("general", "a", *found)}

    def hear(self, name: str, audio: np.ndarray, context: Context | None) -> Decoded:
        """Decodes a clip as a list's name says: by A without or with the domain, or by B with a context."""
        if context is None:
            return (self.general if name == "general" else self.domain).hear(audio)
        return self.domain.hear_with(self.replies.model(context, self.weights), audio)


def _size(model: ngram.Trigrams) -> int:
    return stable_hash(*model.words, *(len(grams) for grams in model.grams), *model.p[0].round(12))


def our_training() -> list[Turn]:
    """Draws the training turns of ours, of all kinds, and first turns."""
    replies = [turn for kind in OURS for turn in our_turns(kind, TRAINING, "train")]
    return [*replies, *our_first_turns(TRAINING, "train")]


@cache
def shipped() -> tuple[tuple[Turn, ...], Mapping[str, Lists]]:
    """Reads the turns that ship with the book, and their lists, by turn."""
    return tuple(read_turns(TURNS)), read_lists(LISTS)


def read_lists(path: Path) -> dict[str, dict[str, Decoded]]:
    """Reads lists by turn and by name."""
    told = json.loads(path.read_text(encoding="utf-8"))
    return {turn: {name: Decoded.from_json(entry) for name, entry in found.items()} for turn, found in told.items()}


def own_lists(path: Path) -> dict[str, dict[str, Decoded]]:
    """Reads the lists that a user's turns have, as ``"lists": {"a": [[text, score], …], "context": […]}``, by turn.

    The best comes first; its score counts as that of the path. ``context`` is decoder B with the turn's context.

    Raises:
        CorpusError: with file and line where lists are not of this form.
    """
    found = {}
    for number, raw in numbered_lines(path):
        if not (told := (entry := json.loads(raw)).get("lists")):
            continue
        try:
            if not isinstance(told, dict) or not {"a", "context"} <= told.keys():
                raise ValueError("the list of one decoder is missing")
            heard = {name: [(words_of(text), float(score)) for text, score in some] for name, some in told.items()}
        except (AttributeError, TypeError, ValueError) as error:
            remedy = 'write {"a": [[text, score], …], "context": [[text, score], …]}'
            raise CorpusError(f"{place(path, number)}: lists: {error}: {remedy}") from error
        silent = -math.inf
        found[entry.get("id", f"{path.stem}/{number}")] = {
            name: Decoded(*(some[0] if some else ("", silent)), tuple(some)) for name, some in heard.items()
        }
    return found


def samples(path: str | Path) -> np.ndarray:
    """Reads a clip as 16-bit samples at 16 kHz, [S].

    Raises:
        CorpusError: when it is no sound file, or of another rate.
    """
    import soundfile

    try:
        audio, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{path}: no sound file ({error}): give a WAV or FLAC file") from error
    if rate != 16_000:
        raise CorpusError(f"{path}: {rate} Hz: convert it to 16,000 Hz")
    return audio[:, 0]
