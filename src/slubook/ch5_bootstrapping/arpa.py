"""Reads and writes ARPA files, in which recognisers of all makes take n-gram models.

A file lists the n-grams of each order with the base-10 logarithm of their probability and, where they are contexts,
that of their back-off weight.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from slubook.ch5_bootstrapping.ngram import SPECIAL, NGram, Vocabulary, build
from slubook.corpora.errors import CorpusError, place
from slubook.files import replaced_file

#: Base-10 logarithms at or below this mean a probability of zero.
ZERO = -99.0
_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)$")
_SECTION = re.compile(r"\\(\d+)-grams:$")


def write(model: NGram, path: Path) -> None:
    """Writes a model whole or not at all, one n-gram a line with seven digits."""
    words = np.array(model.vocabulary.words, object)
    with replaced_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {k}={len(level.keys)}\n" for k, level in enumerate(model.levels, 1))
        for k, level in enumerate(model.levels, 1):
            file.write(f"\n\\{k}-grams:\n")
            texts = map(" ".join, words[model.grams(k - 1)])
            prob, backoff = (np.maximum(x / math.log(10), ZERO) for x in (level.prob, level.backoff))
            for p, text, b in zip(prob.tolist(), texts, backoff.tolist(), strict=True):
                file.write(f"{p:.7g}\t{text}\t{b:.7g}\n" if b else f"{p:.7g}\t{text}\n")
        file.write("\n\\end\\\n")


def read(path: Path) -> NGram:
    """Reads a model; its vocabulary is that of its unigrams. A missing ``<unk>`` is added with probability zero.

    Raises:
        CorpusError: with every line that cannot be used, and what to do about it.
        OSError: when the file cannot be opened.
    """
    try:
        lines = [(i, line) for i, line in enumerate(path.read_text("utf-8").split("\n"), 1) if line.strip()]
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not UTF-8 text ({error.reason}): convert it") from error
    heads = [n for n, (_, line) in enumerate(lines) if _SECTION.match(line.strip())]
    ends = [n for n, (_, line) in enumerate(lines) if line.strip() == "\\end\\"]
    if not lines or not heads or not ends or "\\data\\" not in {line.strip() for _, line in lines[: heads[0]]}:
        raise CorpusError(
            f"{path}: is no whole ARPA file, which has \\data\\, \\1-grams: and \\end\\ on lines of their own: "
            "write the model again"
        )
    promised = {int(m[1]): int(m[2]) for _, line in lines[: heads[0]] if (m := _COUNT.match(line.strip()))}
    problems: list[str] = []
    sections = []
    for k, (head, end) in enumerate(pairwise([*heads, ends[-1]]), 1):
        at, title = lines[head]
        if int(_SECTION.match(title.strip())[1]) != k:
            problems.append(f"{place(path, at)}: \\{k}-grams: is expected here, not {title.strip()}: sort the orders")
        section = list(_entries(path, lines[head + 1 : end], k, problems))
        if promised.get(k) != end - head - 1:
            problems.append(
                f"{place(path, at)}: {end - head - 1} n-grams of order {k} follow, and \\data\\ promises "
                f"{promised.get(k, 0)}: the file was cut or edited, write the model again"
            )
        sections.append(section)
    unigrams = [text for _, (text,), _, _ in sections[0]]
    problems += [
        f"{path}: has no unigram {mark}: train with sentence marks" for mark in SPECIAL[1:] if mark not in unigrams
    ]
    if problems:
        raise CorpusError(problems)
    if SPECIAL[0] not in unigrams:
        sections[0].append((lines[heads[0]][0], (SPECIAL[0],), ZERO, 0.0))
    vocabulary = Vocabulary((*SPECIAL, *(word for word in unigrams if word not in SPECIAL)))
    return _model(path, vocabulary, sections)


Entry = tuple[int, tuple[str, ...], float, float]  # line, words, log10 of probability and of back-off weight


def _entries(path: Path, lines: list[tuple[int, str]], k: int, problems: list[str]) -> Iterator[Entry]:
    """Reads the lines of one order; adds those that are wrong to ``problems``."""
    for at, line in lines:
        prob, *rest = line.split()
        if len(rest) not in (k, k + 1):
            problems.append(f"{place(path, at)}: a logarithm, {k} words and at most one weight are expected: mend it")
            continue
        try:
            numbers = float(prob), float(rest[k]) if len(rest) > k else 0.0
        except ValueError:
            problems.append(f"{place(path, at)}: the first and last field must be numbers: mend the line")
            continue
        if not numbers[0] <= 0 or math.isnan(numbers[1]):
            problems.append(f"{place(path, at)}: {prob} is no logarithm of a probability: mend the line")
        yield at, tuple(rest[:k]), *numbers


def _model(path: Path, vocabulary: Vocabulary, sections: list[list[Entry]]) -> NGram:
    """Builds the model of entries that are well formed; complains of strangers, repetitions and missing contexts."""
    problems, known, index = [], {()}, vocabulary.index
    for section in sections:
        here: set[tuple[str, ...]] = set()
        for at, words, _, _ in section:
            if strange := [word for word in words if word not in index]:
                problems.append(f"{place(path, at)}: {strange[0]!r} is not among the unigrams: add it there")
            elif words[:-1] not in known:
                problems.append(f"{place(path, at)}: its context {' '.join(words[:-1])!r} is not listed: add it")
            elif words in here:
                problems.append(f"{place(path, at)}: {' '.join(words)!r} stands here again: delete one of the two")
            here.add(words)
        known = here
    if problems:
        raise CorpusError(problems)
    grams = [
        np.array([[index[w] for w in words] for _, words, _, _ in some], np.int64).reshape(-1, k)
        for k, some in enumerate(sections, 1)
    ]
    numbers = [np.array([entry[2:] for entry in some], float).reshape(-1, 2) for some in sections]
    probs = [np.where(n[:, 0] <= ZERO, -np.inf, n[:, 0] * math.log(10)) for n in numbers]
    return build(vocabulary, grams, probs, [n[:, 1] * math.log(10) for n in numbers])
