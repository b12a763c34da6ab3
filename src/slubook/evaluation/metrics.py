"""Records what came of each test utterance, and the error rates that are sums of it.

A record keeps a few numbers an utterance. Every metric is a ratio of two sums of these, so a bootstrap needs no second
look at the texts. :func:`outcomes` compares interpretations with the truth: slots are right by exact span *and* type,
as in the CoNLL-2000 script and in seqeval. Taught in notebook 01, *The evidence*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment

from slubook.corpora.utterance import Prediction, Slot, Utterance

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BYTES = np.frombuffer(DIGITS.encode(), dtype=np.uint8)  # ascending
#: Decimals that a record keeps of a number that is not whole.
DECIMALS = 4


def encode(values: Sequence[float] | np.ndarray) -> str | list[float]:
    """Returns one base-36 digit a value where all are whole numbers below 36, else a list of numbers for JSON.

    Raises:
        ValueError: when a whole number is below zero, or another is not finite.
    """
    values = np.asarray(values)
    whole = values.dtype.kind != "f"
    if (wrong := values[values < 0 if whole else ~np.isfinite(values)]).size:
        raise ValueError(f"cannot write {wrong[0]}: counts are zero or more, other numbers finite")
    if not whole:
        return values.round(DECIMALS).tolist()
    if (values >= len(DIGITS)).any():
        return values.tolist()
    return _BYTES[values.astype(np.int64)].tobytes().decode()


def decode(column: str | Sequence[float]) -> np.ndarray:
    """Returns the numbers that :func:`encode` wrote, [N].

    Raises:
        ValueError: when a character is no base-36 digit, or something in a list is no number.
    """
    if not isinstance(column, str):
        if (values := np.array(column)).ndim != 1 or values.dtype.kind not in "if":
            raise ValueError(f"a column is a string of digits or a list of numbers, not {column!r}")
        return values
    if wrong := set(column) - set(DIGITS):
        raise ValueError(f"{min(wrong)!r} is not a base-36 digit (0–9, a–z)")
    return np.searchsorted(_BYTES, np.frombuffer(column.encode(), dtype=np.uint8))


@dataclass(frozen=True)
class Columns:
    """What came of N test utterances, column by column, [N] each; :class:`Outcomes` and :class:`Counted` are its kinds.

    ``TRUTH`` names the columns that no method changes: a record keeps them once for all.
    """

    TRUTH: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"outcomes differ in their number of utterances: {lengths}")

    def columns(self) -> dict[str, np.ndarray]:
        """Returns the columns by name, without those that were not counted."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: column for name, column in found if column is not None}

    def __len__(self) -> int:
        return len(next(iter(self.columns().values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        """Returns a column, or a property that is computed from columns, [N].

        Raises:
            ValueError: when it was not counted.
        """
        if (column := getattr(self, name, None)) is None:
            raise ValueError(f"{name!r} was not counted: there are {', '.join(self.columns())}")
        return column

    @property
    def utterances(self) -> np.ndarray:
        """Returns 1 for each utterance, [N]."""
        return np.ones(len(self), dtype=np.int64)

    def encode(self) -> dict[str, str | list[float]]:
        """Returns the columns as a record keeps them; see :func:`encode`."""
        return {name: encode(column) for name, column in self.columns().items()}

    @staticmethod
    def decode(columns: Mapping[str, str | Sequence[float]]) -> Outcomes | Counted:
        """Returns the outcomes that :meth:`encode` wrote, of the kind that has such columns.

        Raises:
            ValueError: when a column is missing, too many, damaged or of another length.
        """
        kind = Outcomes if "intent" in columns else Counted
        need = {f.name: f.default is MISSING for f in fields(kind)}
        if set(columns) - set(need) or {name for name, always in need.items() if always} - set(columns):
            raise ValueError(f"outcomes need the columns {sorted(need)}, not {sorted(columns)}")
        return kind(**{name: decode(column) for name, column in columns.items()})


@dataclass(frozen=True)
class Outcomes(Columns):
    """What came of each interpreted utterance; all columns are integers, [N].

    Attributes:
        intent: 1 where the intent is right, else 0.
        correct: slots right by exact span and type.
        predicted: slots predicted.
        gold: slots in the truth.
        substituted: true slots that have a wrong partner; see :func:`substitutions`.
    """

    TRUTH: ClassVar[frozenset[str]] = frozenset({"gold"})

    intent: np.ndarray
    correct: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray
    substituted: np.ndarray

    @property
    def perfect(self) -> np.ndarray:
        """Returns 1 where the intent and every slot are right and no slot is too many, [N]."""
        right = (self.intent == 1) & (self.correct == self.gold) & (self.correct == self.predicted)
        return right.astype(np.int64)


@dataclass(frozen=True)
class Counted(Columns):
    """What came of each recognised utterance, or what a language model makes of its text, [N]; ``None``: not counted.

    Attributes:
        words: words of the reference.
        errors: words substituted, deleted and inserted.
        biased_words: words of the reference that the context names.
        biased_errors: errors on such words; an inserted word counts where it is one of them.
        characters, character_errors: the same of characters as of words.
        tokens: what a language model has to predict, the ends of sentences included.
        oov: tokens outside its vocabulary.
        log_probability: natural logarithm of the probability of all tokens but these, a decimal.
    """

    TRUTH: ClassVar[frozenset[str]] = frozenset({"words", "biased_words", "characters", "tokens"})

    words: np.ndarray | None = None
    errors: np.ndarray | None = None
    biased_words: np.ndarray | None = None
    biased_errors: np.ndarray | None = None
    characters: np.ndarray | None = None
    character_errors: np.ndarray | None = None
    tokens: np.ndarray | None = None
    oov: np.ndarray | None = None
    log_probability: np.ndarray | None = None


def substitutions(gold: Sequence[Slot], predicted: Sequence[Slot]) -> int:
    """Counts the true slots of an utterance that were replaced by a wrong one, as the semantic error rate aligns them.

    Slots that match exactly are set aside. Of what remains, a true and a predicted slot may be partners
    when they have the same type (with another value or span) or share a character (with another type or
    span). Each slot has at most one partner; the pairing with the most pairs counts, that is, the one
    with the fewest errors.
    """
    true, said = Counter(gold), Counter(predicted)
    rest_true, rest_said = list((true - said).elements()), list((said - true).elements())
    if not rest_true or not rest_said:
        return 0
    partners = np.array(
        [[g.type == p.type or (g.start < p.end and p.start < g.end) for p in rest_said] for g in rest_true], dtype=int
    )
    rows, columns = linear_sum_assignment(partners, maximize=True)
    return int(partners[rows, columns].sum())


def outcomes(gold: Sequence[Utterance], predictions: Sequence[Prediction]) -> Outcomes:
    """Compares predictions with the truth, utterance by utterance.

    Args:
        gold: the test utterances, N of them.
        predictions: one for each, in the same order.

    Raises:
        ValueError: when there are not as many predictions as utterances.
    """
    if len(gold) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(gold)} utterances: predict each of them once")
    rows = [
        (
            int(said.intent == true.intent),
            (Counter(true.slots) & Counter(said.slots)).total(),
            len(said.slots),
            len(true.slots),
            substitutions(true.slots, said.slots),
        )
        for true, said in zip(gold, predictions, strict=True)
    ]
    return Outcomes(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


def mistakes(gold: Sequence[Utterance], predictions: Sequence[Prediction]) -> int:
    """Counts the utterances with any mistake, intent or slots: what dev sets choose epochs and settings by.

    Raises:
        ValueError: when there are not as many predictions as utterances.
    """
    return sum(p.intent != u.intent or set(p.slots) != set(u.slots) for u, p in zip(gold, predictions, strict=True))


@dataclass(frozen=True)
class Metric:
    """An error rate: the sum of ``errors`` over the sum of ``chances``. Less is better.

    Attributes:
        errors: of each utterance, [N].
        chances: to err in it, [N].
        none: the rate of utterances without any chance.
        scale: what the ratio is reported as.
    """

    errors: Callable[[Columns], np.ndarray]
    chances: Callable[[Columns], np.ndarray]
    none: float = np.nan
    scale: Callable[[np.ndarray], np.ndarray] = np.asarray

    def parts(self, measured: Columns) -> np.ndarray:
        """Returns what is summed: utterances, errors and chances, [N, 3].

        Raises:
            ValueError: when these outcomes have no such columns.
        """
        return np.stack([measured.utterances, self.errors(measured), self.chances(measured)], axis=1)

    def rate(self, sums: np.ndarray) -> np.ndarray:
        """Returns the rate of sums over utterances, [..., 3] → [...]; NaN where there are no utterances."""
        utterances, errors, chances = np.moveaxis(np.asarray(sums), -1, 0)
        ratio = np.where(utterances > 0, self.none, np.nan)
        return self.scale(np.divide(errors, chances, out=ratio, where=chances != 0))

    def __call__(self, measured: Columns) -> float:
        """Returns the rate of all utterances."""
        return float(self.rate(self.parts(measured).sum(axis=0)))


#: Intent classification error: the share of utterances whose intent is wrong.
icer = Metric(lambda c: c["utterances"] - c["intent"], lambda c: c["utterances"])
#: Slot error: 1 − micro-averaged F1 by exact span and type; 0 where there are utterances but no slots.
ser = Metric(lambda c: c["predicted"] + c["gold"] - 2 * c["correct"], lambda c: c["predicted"] + c["gold"], none=0.0)
#: Interpretation error: the share of utterances with any mistake in intent or slots.
irer = Metric(lambda c: c["utterances"] - c["perfect"], lambda c: c["utterances"])
#: Semantic error rate, (D + I + S) / (C + D + S), the intent counted as one slot; it may exceed 1. Slots are deleted,
#: inserted and substituted as in Su et al. (SLT 2018, *A Re-ranker Scheme for Integrating Large Scale NLU Models*):
#: D = gold − correct − substituted, I = predicted − correct − substituted. A wrong intent is a substitution.
semer = Metric(
    lambda c: c["predicted"] + c["gold"] - 2 * c["correct"] - c["substituted"] + c["utterances"] - c["intent"],
    lambda c: c["gold"] + c["utterances"],
)
#: Word error rate; over biased words, and over all others.
wer = Metric(lambda c: c["errors"], lambda c: c["words"])
b_wer = Metric(lambda c: c["biased_errors"], lambda c: c["biased_words"])
u_wer = Metric(lambda c: c["errors"] - c["biased_errors"], lambda c: c["words"] - c["biased_words"])
#: Character error rate.
cer = Metric(lambda c: c["character_errors"], lambda c: c["characters"])
#: Perplexity over the tokens of the vocabulary.
perplexity = Metric(lambda c: -c["log_probability"], lambda c: c["tokens"] - c["oov"], scale=np.exp)

#: Every metric by name; the first four are of :class:`Outcomes`, the others of :class:`Counted`.
METRICS = {
    "icer": icer, "ser": ser, "irer": irer, "semer": semer,
    "wer": wer, "u_wer": u_wer, "b_wer": b_wer, "cer": cer, "perplexity": perplexity,
}  # fmt: skip
