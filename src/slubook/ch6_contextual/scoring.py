"""Word error rates of a recogniser: over all words, and over biased and unbiased words apart.

A biased word is one that the context names. B-WER counts the errors on biased words, U-WER those on all others, as in
Le et al., *Contextualized streaming end-to-end speech recognition with trie-based deep biasing and shallow fusion*
(Interspeech 2021, section 3.2). Every utterance keeps eight small integers, so a bootstrap sums them and looks at no
text again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

#: What is counted for each part of the words: an array of counts is [..., parts, columns].
PARTS = ("unbiased", "biased")
COLUMNS = ("words", "substituted", "inserted", "deleted")
#: The costs of NIST's sclite: an insertion and a deletion together cost more than a substitution, less than two.
INDEL, SUBSTITUTION = 3, 4


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Pairs the words of two texts, of R and H words, at the least cost.

    ``(word, None)`` is a deletion, ``(None, word)`` an insertion. Of equally cheap alignments it is the one that, read
    from the end, prefers pairs to insertions and these to deletions.
    """
    costs = [[INDEL * h for h in range(len(hypothesis) + 1)]]  # [R + 1, H + 1]
    for r, said in enumerate(reference, 1):
        above, row = costs[-1], [INDEL * r]
        for h, heard in enumerate(hypothesis, 1):
            paired = above[h - 1] + (0 if said == heard else SUBSTITUTION)
            row.append(min(paired, row[-1] + INDEL, above[h] + INDEL))
        costs.append(row)
    pairs, r, h = [], len(reference), len(hypothesis)
    while r or h:
        cost = costs[r][h]
        if r and h and cost == costs[r - 1][h - 1] + (0 if reference[r - 1] == hypothesis[h - 1] else SUBSTITUTION):
            r, h = r - 1, h - 1
            pairs.append((reference[r], hypothesis[h]))
        elif h and cost == costs[r][h - 1] + INDEL:
            h -= 1
            pairs.append((None, hypothesis[h]))
        else:
            r -= 1
            pairs.append((reference[r], None))
    return pairs[::-1]


def count(reference: str, hypothesis: str, biased: Collection[str] = ()) -> np.ndarray:
    """Counts the words and errors of one utterance by part and column, [2, 4].

    An error belongs to the word said, an insertion to the word inserted; ``biased`` are the words of the biasing list.
    """
    counts = np.zeros((len(PARTS), len(COLUMNS)), dtype=np.int64)
    said, heard = reference.split(), hypothesis.split()
    for word, other in zip(said, said, strict=True) if said == heard else align(said, heard):
        part = counts[int((other if word is None else word) in biased)]
        part[0] += word is not None
        if word != other:
            part[2 if word is None else 3 if other is None else 1] += 1
    return counts


def rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Computes ``wer``, ``u_wer`` and ``b_wer``, each [...], of summed counts, [..., 2, 4].

    They are shares of the words said, and NaN where none were said.
    """
    words, errors = counts[..., 0], counts[..., 1:].sum(axis=-1)  # each [..., 2]
    parts = {"wer": slice(None), "u_wer": slice(0, 1), "b_wer": slice(1, 2)}
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {name: (errors[..., part].sum(-1), words[..., part].sum(-1)) for name, part in parts.items()}
        return {name: np.where(of > 0, wrong / of, np.nan) for name, (wrong, of) in found.items()}


def oracle(reference: str, hypotheses: Sequence[str]) -> int:
    """Finds the hypothesis of an n-best list with the fewest errors: what a perfect re-scorer would choose."""
    return min(range(len(hypotheses)), key=lambda n: int(count(reference, hypotheses[n])[:, 1:].sum()))
