"""Two decoders in parallel, and the choice between them.

Decoder A knows much and no context: pocketsphinx's general language model, mixed with one of the domain. Decoder B has
a small vocabulary and the context of the turn, and runs while A does. B is taken where its path is likely enough; if it
is late or fails, A is what the recogniser always was. Both have one acoustic model, so their path scores compare.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from slubook.ch6_contextual import ngram
from slubook.ch6_contextual.data import DIALOGUES
from slubook.ch6_contextual.ngram import Trigrams

RATE = 16_000
#: Hypotheses that are kept of a list, and of how many paths through the lattice they are the distinct ones.
LISTED, PATHS = 10, 100
_UNIT = math.log(1.0001)  # pocketsphinx's unit of log probability

#: What espeak-ng writes in the International Phonetic Alphabet, as phones of the CMU dictionary; longest first.
_PHONES = dict(pair.split(":") for pair in """
aɪə:AY-AH tʃ:CH dʒ:JH eɪ:EY aɪ:AY ɔɪ:OY oʊ:OW əʊ:OW aʊ:AW ɑːɹ:AA-R ɔːɹ:AO-R oːɹ:AO-R ɛɹ:EH-R ɪɹ:IH-R ʊɹ:UH-R
iː:IY uː:UW ɑː:AA ɔː:AO ɜː:ER oː:AO əl:AH-L ɚ:ER ɝ:ER i:IY ɪ:IH ɛ:EH æ:AE ʌ:AH ɐ:AH ə:AH ʊ:UH ɔ:AO ɑ:AA ᵻ:IH
a:AA e:EY o:OW u:UW p:P b:B t:T d:D k:K ɡ:G f:F v:V θ:TH ð:DH s:S z:Z ʃ:SH ʒ:ZH h:HH m:M n:N ŋ:NG l:L ɹ:R r:R
ɾ:T j:Y w:W x:K ʔ:T
""".split())  # fmt: skip  # noqa: SIM905


@dataclass(frozen=True)
class Decoded:
    """What one decoder makes of a clip: the best path, its log probability, and the n-best list."""

    text: str
    path: float
    hypotheses: tuple[tuple[str, float], ...] = ()  # distinct texts and scores, the best path first

    def to_json(self) -> list[Any]:
        """Returns it as it stands in a list of n-best lists."""
        return [round(self.path, 1), [[text, round(score, 1)] for text, score in self.hypotheses]]

    @classmethod
    def from_json(cls, entry: Sequence[Any]) -> Self:
        """Returns what :meth:`to_json` wrote."""
        path, hypotheses = entry
        found = tuple((text, float(score)) for text, score in hypotheses)
        return cls(found[0][0] if found else "", float(path), found)


def select(a: Decoded, b: Decoded | None, delta: float) -> Decoded:
    """Takes B where its path score plus ``delta`` exceeds A's, else A; A also where B is late or has failed."""
    return b if b and b.text and b.path + delta > a.path else a


class Pocketsphinx:
    """pocketsphinx twice, with one acoustic model: A with its whole dictionary, B with the words that it is given."""

    def __init__(self, general: Path | None = None, words: Iterable[str] = ()) -> None:
        """Reads A's language model: an ARPA file, or pocketsphinx's own general one; ``words`` are what A learns."""
        import pocketsphinx

        model = Path(pocketsphinx.get_model_path()) / "en-us" / "en-us.lm.bin"
        self._a = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
        for word, said in pronunciations(w for w in words if not self._a.lookup_word(w)).items():
            self._a.add_word(word, said, False)
        self._a.add_lm_file("general", str(general or model))
        self._a.activate_search("general")
        with tempfile.TemporaryDirectory() as folder:
            small = Path(folder) / "small.dict"
            small.write_text("the DH AH\n", encoding="utf-8")
            self._b = pocketsphinx.Decoder(lm=None, dict=str(small), loglevel="FATAL")

    def hear(self, audio: np.ndarray) -> Decoded:
        """Decodes a clip, 16-bit samples at 16 kHz, by decoder A."""
        return _decode(self._a, audio)

    def hear_with(self, model: Trigrams, audio: np.ndarray) -> Decoded:
        """Decodes a clip by decoder B with a language model, which is read for it and forgotten afterwards.

        Words learned stay with the decoder, but it recognises only those of the model that it searches with.
        """
        self._learn(word for word in model.words if self._b.lookup_word(word) is None)
        with tempfile.TemporaryDirectory() as folder:
            self._b.add_lm_file("context", str(model.write(Path(folder) / "context.arpa")))
        try:
            self._b.activate_search("context")
            return _decode(self._b, audio)
        finally:
            self._b.remove_search("context")  # else every model stays in memory

    def _learn(self, words: Iterable[str]) -> None:
        unknown = []
        for word in words:
            if said := self._a.lookup_word(word):
                self._b.add_word(word, said, False)
                for k in range(2, 5):  # other ways to say it
                    if other := self._a.lookup_word(f"{word}({k})"):
                        self._b.add_word(f"{word}({k})", other, False)
            else:
                unknown.append(word)
        for word, said in pronunciations(unknown).items():
            self._b.add_word(word, said, False)


def _decode(decoder: Any, audio: np.ndarray) -> Decoded:
    decoder.reinit_feat()  # else the noise that was heard before would count
    decoder.start_utt()
    decoder.process_raw(audio.astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    best, found = decoder.hyp(), {}
    if best is None or not best.hypstr:
        return Decoded("", -math.inf)
    for other in itertools.islice(decoder.nbest() or (), PATHS):
        if other and other.hypstr and len(found) < LISTED:
            found.setdefault(other.hypstr, _log(other.score))
    ranked = {best.hypstr: found.get(best.hypstr, max(found.values(), default=0.0))} | found
    return Decoded(best.hypstr, _log(best.score), tuple(ranked.items())[:LISTED])


def _log(score: float) -> float:
    return math.log(score) / _UNIT if score > 0 else -math.inf


@cache
def general_model() -> Trigrams:
    """Reads pocketsphinx's general trigram model."""
    import pocketsphinx

    return ngram.read_trie(Path(pocketsphinx.get_model_path()) / "en-us" / "en-us.lm.bin")


@cache
def _shipped() -> Mapping[str, str]:
    return json.loads((DIALOGUES / "pronunciations.json").read_text(encoding="utf-8"))


def pronunciations(words: Iterable[str]) -> dict[str, str]:
    """Returns phones of words that pocketsphinx's dictionary lacks: shipped ones, else espeak-ng's if it is there."""
    words = [word for word in words if word[0] != "<"]
    found = {word: _shipped()[word] for word in words if word in _shipped()}
    missing = [word for word in words if word not in found]
    if missing and shutil.which("espeak-ng"):
        told = subprocess.run(
            ["espeak-ng", "-q", "--ipa", "-v", "en-us", "--stdin"],
            input=".\n".join([*missing, ""]), capture_output=True, text=True, check=True,
        )  # fmt: skip
        said = told.stdout.splitlines()
        found |= {word: phones for word, ipa in zip(missing, said, strict=False) if (phones := to_phones(ipa))}
    return found


def to_phones(ipa: str) -> str:
    """Maps a word in the International Phonetic Alphabet to phones of the CMU dictionary; unknown signs are skipped."""
    signs = "|".join(sorted(map(re.escape, _PHONES), key=len, reverse=True))
    return " ".join(_PHONES[sign] for sign in re.findall(signs, ipa.replace("ˈ", "").replace("ˌ", ""))).replace(
        "-", " "
    )
