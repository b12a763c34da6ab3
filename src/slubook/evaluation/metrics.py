"""Error rates of language understanding, counted once per utterance and summed as often as needed.

:func:`outcomes` compares predictions with the truth and keeps five small integers an utterance.
Every metric is a ratio of sums of these, so a bootstrap needs no second look at the texts.
Slots are right by exact span *and* type, as in the CoNLL-2000 script and in seqeval.
Taught in notebook 01, *The evidence*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.optimize import linear_sum_assignment

from slubook.corpora.utterance import Prediction, Slot, Utterance

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BYTES = np.frombuffer(DIGITS.encode(), dtype=np.uint8)  # ascending
#: The columns of a totals array, in order; see :meth:`Outcomes.counts`.
COLUMNS = ("utterances", "intent", "correct", "predicted", "gold", "substituted", "perfect")


def encode(values: Sequence[int] | np.ndarray) -> str:
    """One base-36 digit a value.

    Raises:
        ValueError: when a value is below 0 or above 35.
    """
    values = np.asarray(values, dtype=np.int64)
    if (wrong := values[(values < 0) | (values >= len(DIGITS))]).size:
        raise ValueError(f"cannot write {wrong[0]} as one base-36 digit: an utterance may have 0 to 35 slots")
    return _BYTES[values].tobytes().decode()


def decode(text: str) -> np.ndarray:
    """The integers that :func:`encode` wrote, [N].

    Raises:
        ValueError: when a character is no base-36 digit.
    """
    if wrong := set(text) - set(DIGITS):
        raise ValueError(f"{min(wrong)!r} is not a base-36 digit (0–9, a–z)")
    return np.searchsorted(_BYTES, np.frombuffer(text.encode(), dtype=np.uint8))


@dataclass(frozen=True)
class Outcomes:
    """What came of each test utterance; all arrays are integers, [N].

    Attributes:
        intent: 1 where the intent is right, else 0.
        correct: slots right by exact span and type.
        predicted: slots predicted.
        gold: slots in the truth.
        substituted: true slots that have a wrong partner; see :func:`substitutions`.
    """

    intent: np.ndarray
    correct: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray
    substituted: np.ndarray

    def __post_init__(self) -> None:
        lengths = {f.name: len(getattr(self, f.name)) for f in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"outcomes differ in their number of utterances: {lengths}")

    def __len__(self) -> int:
        return len(self.intent)

    @property
    def perfect(self) -> np.ndarray:
        """1 where the intent and every slot are right and no slot is too many, [N]."""
        right = (self.intent == 1) & (self.correct == self.gold) & (self.correct == self.predicted)
        return right.astype(np.int64)

    def counts(self) -> np.ndarray:
        """The columns named in ``COLUMNS``, [N, 7]; a sum over utterances of these gives every metric."""
        ones = np.ones(len(self), dtype=np.int64)
        return np.stack([ones, *(getattr(self, name) for name in COLUMNS[1:])], axis=1)

    def totals(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Sums over utterances: [7], or with ``weights`` [..., N] (how often each counts) [..., 7]."""
        return self.counts().sum(axis=0) if weights is None else weights @ self.counts()

    def take(self, indices: np.ndarray) -> Outcomes:
        """The outcomes of the utterances at ``indices`` (positions or a Boolean mask)."""
        return Outcomes(**{f.name: getattr(self, f.name)[indices] for f in fields(self)})

    def encode(self) -> dict[str, str]:
        """One string a column, one base-36 digit an utterance.

        Raises:
            ValueError: when an utterance has more than 35 slots.
        """
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def decode(cls, columns: dict[str, str]) -> Outcomes:
        """The outcomes that :meth:`encode` wrote.

        Raises:
            ValueError: when a column is missing, too many, damaged or of another length.
        """
        if set(columns) != (names := {f.name for f in fields(cls)}):
            raise ValueError(f"outcomes need the columns {sorted(names)}, not {sorted(columns)}")
        return cls(**{name: decode(text) for name, text in columns.items()})


def substitutions(gold: Sequence[Slot], predicted: Sequence[Slot]) -> int:
    """How many true slots were replaced by a wrong one, as the semantic error rate aligns them.

    Slots that match exactly are set aside. Of what remains, a true and a predicted slot may be partners
    when they have the same type (with another value or span) or share a character (with another type or
    span). Each slot has at most one partner; the pairing with the most pairs counts, that is, the one
    with the fewest errors.

    Args:
        gold: the true slots of one utterance.
        predicted: the predicted slots of the same utterance.
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
    """Compare predictions with the truth, utterance by utterance.

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
    """How many utterances have any mistake, intent or slots: what dev sets choose epochs and settings by.

    Raises:
        ValueError: when there are not as many predictions as utterances.
    """
    return sum(p.intent != u.intent or set(p.slots) != set(u.slots) for u, p in zip(gold, predictions, strict=True))


def _totals(measured: Outcomes | np.ndarray) -> dict[str, np.ndarray]:
    totals = measured.totals() if isinstance(measured, Outcomes) else np.asarray(measured)
    return {name: totals[..., k] for k, name in enumerate(COLUMNS)}


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float | np.ndarray) -> np.ndarray | float:
    """``part / whole``, and ``empty`` where the whole is nothing; a plain float for plain input."""
    filled = np.full(np.shape(whole), empty, dtype=float)
    ratio = np.divide(part, whole, out=filled, where=np.asarray(whole) != 0)
    return float(ratio) if ratio.ndim == 0 else ratio


def icer(measured: Outcomes | np.ndarray) -> np.ndarray | float:
    """Intent classification error: the share of utterances whose intent is wrong.

    Args:
        measured: outcomes, or totals of the shape [..., 7]; so for every metric here.

    Returns:
        A float, or [...] for totals; NaN where there are no utterances.
    """
    t = _totals(measured)
    return _ratio(t["utterances"] - t["intent"], t["utterances"], np.nan)


def ser(measured: Outcomes | np.ndarray) -> np.ndarray | float:
    """Slot error: 1 − micro-averaged F1 by exact span and type; 0 where there are utterances but no slots."""
    t = _totals(measured)
    both = t["predicted"] + t["gold"]
    return _ratio(both - 2 * t["correct"], both, np.where(t["utterances"] > 0, 0.0, np.nan))


def irer(measured: Outcomes | np.ndarray) -> np.ndarray | float:
    """Interpretation error: the share of utterances with any mistake in intent or slots."""
    t = _totals(measured)
    return _ratio(t["utterances"] - t["perfect"], t["utterances"], np.nan)


def semer(measured: Outcomes | np.ndarray) -> np.ndarray | float:
    """Semantic error rate, (D + I + S) / (C + D + S), the intent counted as one slot.

    Deleted, inserted, substituted and correct slots as in Su et al. (SLT 2018, *A Re-ranker Scheme for
    Integrating Large Scale NLU Models*). A wrong intent is a substitution.
    The rate may exceed 1.
    """
    t = _totals(measured)
    deleted = t["gold"] - t["correct"] - t["substituted"]
    inserted = t["predicted"] - t["correct"] - t["substituted"]
    substituted = t["substituted"] + t["utterances"] - t["intent"]
    return _ratio(deleted + inserted + substituted, t["gold"] + t["utterances"], np.nan)


#: Every metric by name; each takes outcomes or totals, and less is better.
METRICS: dict[str, Callable[[Outcomes | np.ndarray], np.ndarray | float]] = {
    "icer": icer,
    "ser": ser,
    "irer": irer,
    "semer": semer,
}
