"""Reads all text of chapter 5's experiment, and speaks its test.

The full profile has HDRS, WOZ 2.0 and general pairs. The quick one has this book's own pairs and clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from slubook.ch5_bootstrapping import restaurants
from slubook.ch5_bootstrapping.speech import DEV_VOICES, TEST_VOICES, SpokenClips, say_all, speakable
from slubook.corpora import parallel
from slubook.corpora.download import fetch
from slubook.corpora.errors import CorpusError
from slubook.corpora.parallel import Pair, spoken

#: The recogniser and the clips of the quick profile.
SHIPPED = Path(__file__).parent / "shipped"
#: Test dialogues of each voice, and turns of dev dialogues.
PER_VOICE, DEV = 30, 120

Words = Sequence[str]


@dataclass(frozen=True)
class Material:
    """All text of a run, and the test.

    Attributes:
        name: of what is kept of it.
        hindi: in-domain dialogues that may be drawn, each a list of turns.
        english: in-domain requests to translate, those that were said twice twice.
        human: human translations of some of them, in pairs: those that go with each dialogue of ``hindi``, then
            others, which are never drawn.
        prompts, general: sentence pairs.
        tests: for each voice, its clips and the dialogue that each belongs to.
        dev: clips to choose the decoder's settings on; none in the quick profile.
    """

    name: str
    hindi: Sequence[Sequence[Words]]
    english: Sequence[str]
    human: Sequence[Sequence[Pair]]
    prompts: Sequence[Pair]
    general: Sequence[Pair]
    tests: Mapping[str, tuple[SpokenClips, Sequence[str]]]
    dev: SpokenClips | None = None

    def draw(self, size: int, seed: int) -> tuple[list[Words], list[Words]]:
        """Draws dialogues in some order, and splits their turns: the first ``size``, and all others.

        Raises:
            CorpusError: when there are not so many.
        """
        if sum(map(len, self.hindi)) < size:
            raise CorpusError(f"{size} requests are asked for, there are {sum(map(len, self.hindi))}: ask for fewer")
        turns = [turn for k in self._order(seed) for turn in self.hindi[k]]
        return turns[:size], turns[size:]

    def human_beside(self, size: int, seed: int) -> list[Pair]:
        """Returns the human translations of all dialogues but those that :meth:`draw` has taken a turn of."""
        order = self._order(seed)
        before = np.cumsum([0, *(len(self.hindi[k]) for k in order)])  # turns ahead of each dialogue
        drawn = {k for k, ahead in zip(order, before, strict=False) if ahead < size}
        return [pair for k, pairs in enumerate(self.human) if k not in drawn for pair in pairs]

    def _order(self, seed: int) -> list[int]:
        return np.random.default_rng(seed).permutation(len(self.hindi)).tolist()


@cache
def material_of(kind: str) -> Material:
    """Reads all text of a profile, and speaks the test of the full one, if need be now.

    Raises:
        CorpusError: when a corpus is missing.
        NoVoice: when a synthesiser is missing.
    """
    return _quick() if kind == "quick" else _full()


def _quick() -> Material:
    clips = SpokenClips.load(SHIPPED / "clips")
    pairs = [pair for pair in parallel.embedded("restaurant") if speakable(pair.hindi) not in clips.texts]
    tests = {voice: clips.of(voice) for voice in dict.fromkeys(clips.voices)}
    named = {voice: (some, [f"own/{clips.texts.index(t)}" for t in some.texts]) for voice, some in tests.items()}
    hindi, human = [[spoken(pair.hindi)] for pair in pairs[::2]], pairs[1::2]
    english, general = [pair.english for pair in human], parallel.embedded("general")
    return Material("quick", hindi, english, [*([] for _ in hindi), human], (), general, named)


def _full() -> Material:
    hdrs, woz = restaurants.read_hdrs(fetch("hdrs")), restaurants.read_woz(fetch("woz"))
    own, pool = [d for d in hdrs if d.split == "train"], restaurants.unseen(woz, hdrs)
    matched = restaurants.translations(pool, own)
    hindi = [[words for turn in d.user if (words := spoken(turn))] for d in own]
    english = [turn for d in pool for turn in d.user if spoken(turn)]
    of = {two.id: restaurants.turn_pairs([(one, two)]) for one, two in matched}
    human = [[pair for pair in of.get(d.id, ()) if all(map(spoken, pair))] for d in own]
    general = [pair for source in parallel.GENERAL for pair in parallel.read(fetch(source), source)]
    held_out = {split: [d for d in hdrs if d.split == split] for split in ("dev", "test")}
    order, tests = np.random.default_rng(0).permutation(len(held_out["test"])), {}
    for k, voice in enumerate(TEST_VOICES):
        some = [held_out["test"][i] for i in order[k * PER_VOICE : (k + 1) * PER_VOICE]]
        turns = [(text, d.id) for d in some for turn in d.user if (text := speakable(turn))]
        texts, units = zip(*turns, strict=True)
        tests[voice] = say_all(f"test-{voice}", texts, [voice] * len(texts), seed=1), units
    texts = [text for d in held_out["dev"] for turn in d.user if (text := speakable(turn))][:DEV]
    dev = say_all("dev", texts, [DEV_VOICES[k % len(DEV_VOICES)] for k in range(len(texts))], seed=2)
    return Material("full", hindi, english, human, restaurants.turn_pairs(matched, "system"), general, tests, dev)
