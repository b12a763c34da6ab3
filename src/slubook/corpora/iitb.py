"""The IIT Bombay English-Hindi corpus (Kunchukuttan et al., 2018, LREC): sentence pairs of many origins.

Traps:
    * Collected from older corpora, software, films, courts and the government: spoken requests are rare in it, and
      the alignment of its sentences is partly automatic.
    * A pair may lack one of its sides; it is left out, and the numbers in ids are those of lines, so that they stay.
    * Dev and test are those of WMT 2014, which other corpora and many pretrained models contain.
    * For research that earns nothing: the licence forbids commercial use.
    * Nobody states a checksum: it is fetched by name, and once with ``--trust``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from slubook.corpora.errors import CorpusError

#: Split → its source, and its two files without the language at the end.
SPLITS = {
    "train": ("iitb", "parallel/IITB.en-hi"),
    "dev": ("iitb_dev_test", "dev_test/dev"),
    "test": ("iitb_dev_test", "dev_test/test"),
}


class Pair(NamedTuple):
    """A sentence and its translation."""

    id: str
    english: str
    hindi: str


def read(root: Path, split: str = "train") -> Iterator[Pair]:
    """Yields the pairs of one of :data:`SPLITS` from the folder of its source, one at a time: there are a million.

    Raises:
        CorpusError: when one side has more lines than the other, after the pairs before that line.
    """
    name = SPLITS[split][1]
    english, hindi = root / f"{name}.en", root / f"{name}.hi"
    with english.open(encoding="utf-8", newline="\n") as left, hindi.open(encoding="utf-8", newline="\n") as right:
        for number, (a, b) in enumerate(zip_longest(left, right), 1):
            if a is None or b is None:
                longer, shorter = (hindi, english) if a is None else (english, hindi)
                raise CorpusError(f"{longer}: goes on at line {number}, where {shorter} ends: fetch both again")
            if a.strip() and b.strip():
                yield Pair(f"iitb/{split}/{number}", a.strip(), b.strip())
