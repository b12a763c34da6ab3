"""Builds a language model from a user's own text: a little in-domain Hindi, more English, and sentence pairs.

It is what `slubook run bootstrapping --in-domain … --english …` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slubook.ch5_bootstrapping import arpa, selection
from slubook.ch5_bootstrapping.ngram import Perplexity, Vocabulary
from slubook.ch5_bootstrapping.techniques import adapt, pooled
from slubook.ch5_bootstrapping.translator import TranslatorConfig, kept_translator, translate
from slubook.corpora import parallel
from slubook.corpora.download import available, fetch
from slubook.corpora.errors import CorpusError, place
from slubook.corpora.jsonl import numbered_lines
from slubook.corpora.parallel import Pair, spoken
from slubook.corpora.registry import read_texts

#: Every so manieth in-domain line is held out to measure on.
HELD_OUT = 10
#: Fewer in-domain lines than that say nothing of a domain.
LEAST = 20
#: Pairs nearest to the domain that the translator learns from.
MOST_PAIRS = 6000
N_BEST = 4
QUICK = TranslatorConfig(pieces=1500, width=128, updates=600, longest=35)
FULL = TranslatorConfig(longest=35)


@dataclass(frozen=True)
class Bootstrapped:
    """What was built, measured on in-domain lines that were held out: both models over one vocabulary."""

    path: str
    in_domain: int  # lines learned from
    held_out: int
    pairs: int  # that the translator learned from
    translated: int  # English lines
    weight: float  # of the translations' model in the mixture
    before: Perplexity  # of the in-domain text alone; its unknown words are those outside this text
    after: Perplexity  # of the mixture


def bootstrap(
    in_domain: Path, english: Path, pairs: Path | None, target: Path, config: TranslatorConfig, device: str = "cpu"
) -> Bootstrapped:
    """Trains a translator, translates the English lines, and writes the mixture as an ARPA file.

    Args:
        in_domain: requests in Hindi, one a line.
        english: requests in English, one a line.
        pairs: English, a tab, Hindi, one pair a line; they join the pairs of the book that are on this machine.
        target: the ARPA file.
        config: of the translator, which is kept in the cache.
        device: on which it is trained.

    Raises:
        CorpusError: when a file cannot be used, listing every bad line; or when there is too little text.
    """
    texts = [words for line in read_texts(in_domain) if (words := spoken(line))]
    sources = [line for line in read_texts(english) if spoken(line)]
    own_pairs = read_pairs(pairs) if pairs else []
    if len(texts) < LEAST:
        raise CorpusError(f"{in_domain}: has {len(texts)} lines with words: {LEAST} at least are needed")
    if not sources:
        raise CorpusError(f"{english}: has no line with words: write one request a line")
    held_out = texts[::HELD_OUT]
    learned = [words for i, words in enumerate(texts) if i % HELD_OUT]
    chosen = list(dict.fromkeys([*own_pairs, *_nearest(learned, _general())]))
    translator = kept_translator("own", chosen, config, also=[" ".join(words) for words in learned], device=device)
    added = pooled(translate([translator], sources, n=N_BEST, device=device))
    if not added:
        raise CorpusError(f"{english}: no line could be translated: give more pairs with --parallel")
    vocabulary = Vocabulary.of(learned, added)
    alone, mixed = (adapt(learned, some, vocabulary) for some in ([], [added]))
    arpa.write(mixed.model, target)
    before, after = (adapted.model.perplexity(held_out) for adapted in (alone, mixed))
    known = {word for words in learned for word in words}
    strange = sum(word not in known for words in held_out for word in words)
    before = Perplexity(before.value, before.tokens + before.oov - strange, strange)
    about = (str(target), len(learned), len(held_out), len(chosen), len(sources), mixed.weights[1])
    return Bootstrapped(*about, before, after)


def _general() -> list[Pair]:
    """The general pairs of this book, and those of public sources that are on this machine."""
    public = [pair for name in parallel.GENERAL if available(name) for pair in parallel.read(fetch(name), name)]
    return [*parallel.embedded("general"), *public]


def _nearest(in_domain: Sequence[Sequence[str]], pairs: list[Pair]) -> list[Pair]:
    """The pairs whose Hindi is nearest to the centroid of the in-domain text."""
    if len(pairs) <= MOST_PAIRS:
        return pairs
    hindi = [spoken(pair.hindi) for pair in pairs]
    table = selection.vectors_of("own-hindi", in_domain, hindi)
    counts = Counter(word for text in (in_domain, hindi) for words in text for word in words)
    vectors = (selection.sentence_vectors(table, text, counts) for text in (in_domain, hindi))
    return [pairs[i] for i in selection.nearest(selection.centroid_distances(*vectors), MOST_PAIRS)]


def read_pairs(path: Path) -> list[Pair]:
    """Reads the user's own pairs: English, a tab, Hindi, one pair a line.

    Raises:
        CorpusError: listing every bad line with file, line and remedy.
    """
    pairs, problems = [], []
    for number, raw in numbered_lines(path):
        try:
            cells = [cell.strip() for cell in raw.decode("utf-8").split("\t")]
        except UnicodeDecodeError as error:
            problems.append(f"{place(path, number, error.start + 1)}: not UTF-8: save the file in UTF-8")
            continue
        if len(cells) != 2 or not all(map(spoken, cells)):
            problems.append(f"{place(path, number)}: a sentence, one tab and its translation are expected: mend it")
        else:
            pairs.append(Pair(*cells))
    if not pairs and not problems:
        problems = [f"{path}: holds no pair: write a sentence, a tab and its translation on each line"]
    if problems:
        raise CorpusError(problems)
    return pairs
