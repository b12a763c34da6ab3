"""Metrics on hand-counted cases, and slot F1 against seqeval and the CoNLL-2000 rules on generated tags."""

import json
from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from slubook.corpora.bio import tag_spans
from slubook.corpora.utterance import Prediction, Slot, Utterance
from slubook.evaluation.metrics import (
    METRICS,
    Columns,
    Counted,
    Outcomes,
    decode,
    encode,
    icer,
    irer,
    mistakes,
    outcomes,
    semer,
    ser,
    substitutions,
)

#: The metrics of interpretations.
OF_SLOTS = [icer, ser, irer, semer]

TRUE = [
    Utterance("1", "play yellow by coldplay", "Play", (Slot("song", 5, 11), Slot("artist", 15, 23))),
    Utterance("2", "stop", "Stop"),
    Utterance("3", "weather in rome", "Weather", (Slot("city", 11, 15),)),
]

#: Decimals of a process that may flush the smallest ones to zero, as training does.
decimals = partial(st.floats, allow_subnormal=False)


def score(*slots_and_intents):
    return outcomes(TRUE, [Prediction(intent, tuple(slots)) for intent, slots in slots_and_intents])


def test_all_right_is_no_error():
    perfect = score(("Play", TRUE[0].slots), ("Stop", ()), ("Weather", TRUE[2].slots))
    assert [metric(perfect) for metric in OF_SLOTS] == [0.0] * 4
    assert perfect.perfect.tolist() == [1, 1, 1]


def test_hand_counted_case():
    measured = score(
        ("Play", [Slot("song", 5, 23)]),  # one substituted, one deleted
        ("Stop", [Slot("city", 0, 4)]),  # one inserted
        ("Play", [Slot("city", 11, 15)]),  # the intent substituted
    )
    assert measured.correct.tolist() == [0, 0, 1]
    assert measured.substituted.tolist() == [1, 0, 0]
    assert icer(measured) == pytest.approx(1 / 3)
    assert ser(measured) == pytest.approx(1 - 2 * 1 / (3 + 3))
    assert irer(measured) == 1.0
    assert semer(measured) == pytest.approx((1 + 1 + 2) / (3 + 3))


def test_an_inserted_slot_alone_spoils_the_utterance():
    assert score(("Play", TRUE[0].slots), ("Stop", [Slot("x", 0, 4)]), ("Weather", TRUE[2].slots)).perfect.sum() == 2


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([Slot("a", 0, 3)], [Slot("a", 0, 3)], 0),  # right is not substituted
        ([Slot("a", 0, 3)], [Slot("a", 8, 9)], 1),  # same type elsewhere
        ([Slot("a", 0, 3)], [Slot("b", 2, 5)], 1),  # another type that overlaps
        ([Slot("a", 0, 3)], [Slot("b", 3, 5)], 0),  # touching is not overlapping
        ([Slot("a", 0, 3)], [Slot("a", 5, 6), Slot("b", 0, 3)], 1),  # one partner each
        # The first true slot could take either prediction, the second only its namesake: two pairs exist.
        ([Slot("a", 0, 3), Slot("b", 5, 6)], [Slot("b", 0, 2), Slot("a", 8, 9)], 2),
    ],
)
def test_substitutions(gold, predicted, expected):
    assert substitutions(gold, predicted) == expected
    assert substitutions(predicted, gold) == expected


def test_no_slots_at_all_is_no_slot_error():
    assert ser(outcomes(TRUE[1:2], [Prediction("Stop", ())])) == 0.0


def test_no_utterances_is_not_a_number():
    empty = outcomes([], [])
    assert all(np.isnan(metric(empty)) for metric in OF_SLOTS)


def test_too_few_predictions():
    with pytest.raises(ValueError, match="1 predictions for 3 utterances"):
        outcomes(TRUE, [Prediction("Play", ())])


counts = st.integers(0, 35)
rows = st.lists(st.tuples(st.integers(0, 1), counts, counts, counts, counts), max_size=30)


@given(rows)
def test_encode_round_trip(rows):
    measured = Outcomes(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)
    again = Columns.decode(measured.encode())
    assert isinstance(again, Outcomes) and again.columns().keys() == measured.columns().keys()
    assert all(np.array_equal(again[name], column) for name, column in measured.columns().items())
    assert all(isinstance(text, str) and len(text) == len(rows) for text in measured.encode().values())


@given(st.lists(st.integers(0, 2**50), min_size=1), st.lists(decimals(-1e9, 1e9), min_size=1))
def test_numbers_of_any_size_come_back_through_json_and_decimals_are_rounded_once(whole, decimals):
    for column, kind in ((np.array(whole), "i"), (np.array(decimals), "f")):
        written = json.loads(json.dumps(encode(column)))
        read = decode(written)
        assert read.dtype.kind == kind
        # Half of the last place kept, and what a double of this size cannot hold.
        assert np.all(np.abs(read - column) <= (0 if kind == "i" else 0.5e-4 + 2 * np.spacing(np.abs(column))))
        assert encode(read) == written
    assert isinstance(encode(np.array(whole)), str) is (max(whole) < 36)


def test_encode_refuses_what_it_could_not_read_again():
    one = np.array([1])
    for wrong in (np.array([-1]), np.array([np.nan]), np.array([0.5, -np.inf])):
        with pytest.raises(ValueError, match="cannot write"):
            encode(wrong)
    for wrong in (["a"], [[1]], [None], [True], {"a": 1}):
        with pytest.raises(ValueError, match="string of digits or a list of numbers"):
            decode(wrong)
    with pytest.raises(ValueError, match="'!'"):
        Columns.decode(dict.fromkeys(("intent", "correct", "predicted", "gold", "substituted"), "!"))
    for columns in ({"intent": "1"}, {"words": "1", "letters": "1"}):
        with pytest.raises(ValueError, match="need the columns"):
            Columns.decode(columns)
    for differ in (lambda: Outcomes(one, one, one, one, np.array([1, 2])), lambda: Counted(one, np.array([1, 2]))):
        with pytest.raises(ValueError, match="differ"):
            differ()


# --- recognised words, and perplexity ---------------------------------------------------------------------------


def edits(reference, hypothesis):
    """The edit distance of two texts by trying everything."""
    if not reference or not hypothesis:
        return len(reference) + len(hypothesis)
    (a, *more), (b, *others) = reference, hypothesis
    if a == b:
        return edits(more, others)
    return 1 + min(edits(more, others), edits(more, hypothesis), edits(reference, others))


texts = st.lists(st.sampled_from("abc"), min_size=1, max_size=5)


@settings(max_examples=50)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_word_errors_of_a_test_are_all_edits_over_all_words(pairs):
    words = np.array([len(reference) for reference, _ in pairs])
    errors = np.array([edits(*pair) for pair in pairs])
    assert METRICS["wer"](Counted(words, errors)) == pytest.approx(sum(errors) / sum(words))
    spelled = Counted(characters=words, character_errors=errors)
    assert METRICS["cer"](spelled) == METRICS["wer"](Counted(words, errors))


def test_biased_and_unbiased_errors_part_all_errors():
    measured = Counted(*map(np.array, ([4, 6], [2, 3], [1, 0], [1, 2])))  # of the second, two words too many
    found = {name: METRICS[name](measured) for name in ("wer", "u_wer", "b_wer")}
    assert found == {"wer": 5 / 10, "u_wer": (1 + 1) / (3 + 6), "b_wer": 3 / 1}
    nothing = Counted(*np.zeros((4, 2), int))
    assert all(np.isnan(METRICS[name](nothing)) for name in found), "no word was said"


def test_a_model_that_guesses_evenly_has_the_perplexity_of_its_choices():
    tokens, oov = np.array([5, 3]), np.array([1, 0])
    measured = Counted(tokens=tokens, oov=oov, log_probability=(tokens - oov) * np.log(1 / 7))
    assert METRICS["perplexity"](measured) == pytest.approx(7)
    assert METRICS["perplexity"](Columns.decode(measured.encode())) == pytest.approx(7, rel=1e-4)


@given(st.lists(st.tuples(*[st.integers(0, 99)] * 8, decimals(-99, 0)), min_size=1, max_size=9), st.data())
def test_what_was_counted_comes_back_and_nothing_else(rows, data):
    names = [f.name for f in fields(Counted)]
    some = data.draw(st.sets(st.sampled_from(names), min_size=1))
    every = {n: np.array(column) for n, column in zip(names, zip(*rows, strict=True), strict=True)}
    measured = Counted(**{n: every[n] for n in some})
    again = Columns.decode(json.loads(json.dumps(measured.encode())))
    assert isinstance(again, Counted) and again.columns().keys() == some and len(again) == len(rows)
    assert again.encode() == measured.encode()


@pytest.mark.parametrize(("measured", "metric"), [
    (Counted(np.ones(1), np.ones(1)), "u_wer"), (Counted(np.ones(1)), "irer"),
    (Outcomes(*np.ones((5, 1), int)), "wer"), (Outcomes(*np.ones((5, 1), int)), "perplexity"),
])  # fmt: skip
def test_a_metric_of_what_was_not_counted_is_refused(measured, metric):
    with pytest.raises(ValueError, match="was not counted: there are"):
        METRICS[metric](measured)


@given(rows.filter(bool), st.data())
def test_weighted_totals_equal_repeated_utterances(rows, data):
    measured = Outcomes(*np.array(rows, dtype=np.int64).T)
    drawn = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=40))
    weights = np.stack([np.bincount(drawn, minlength=len(rows)), np.ones(len(rows), dtype=int)])
    repeated = Outcomes(*np.array(rows, dtype=np.int64)[drawn].T)
    for metric in OF_SLOTS:
        sums = weights @ metric.parts(measured)  # [2, 3]
        assert metric.rate(sums) == pytest.approx([metric(repeated), metric(measured)])


# --- slot F1 against two references -----------------------------------------------------------------------------

# "other" and "unseen" stand for labels that training never had; I- after O or after another type is broken BIO.
tags = st.sampled_from(["O", "B-city", "I-city", "B-date", "I-date", "B-other", "I-other", "I-unseen"])
pairs = st.lists(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(st.lists(tags, min_size=n, max_size=n), st.lists(tags, min_size=n, max_size=n))
    ),
    min_size=1,
    max_size=6,
)


def conlleval_f1(gold: list[list[str]], predicted: list[list[str]]) -> float:
    """F1 by the rules of the CoNLL-2000 Perl script, tag by tag, written anew from its description."""

    def split(tag: str) -> tuple[str, str]:
        return tag[0], tag[2:]

    def ends(before: str, now: str) -> bool:
        (p, kind), (q, new) = split(before), split(now)
        return p != "O" and (q in "BO" or kind != new)

    def starts(before: str, now: str) -> bool:
        (p, kind), (q, new) = split(before), split(now)
        return q != "O" and (q == "B" or p == "O" or kind != new)

    found_gold = found_predicted = correct = 0
    for true, said in zip(gold, predicted, strict=True):
        in_correct = False
        last_true = last_said = "O"
        for t, s in [*zip(true, said, strict=True), ("O", "O")]:
            if in_correct:
                end_true, end_said = ends(last_true, t), ends(last_said, s)
                if end_true and end_said:
                    correct, in_correct = correct + 1, False
                elif end_true != end_said or t[2:] != s[2:]:
                    in_correct = False
            start_true, start_said = starts(last_true, t), starts(last_said, s)
            if start_true and start_said and t[2:] == s[2:]:
                in_correct = True
            found_gold += start_true
            found_predicted += start_said
            last_true, last_said = t, s
    precision = correct / found_predicted if found_predicted else 0.0
    recall = correct / found_gold if found_gold else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def our_f1(gold: list[list[str]], predicted: list[list[str]]) -> float | None:
    utterances = [Utterance(str(i), "", "", tuple(tag_spans(tags))) for i, tags in enumerate(gold)]
    measured = outcomes(utterances, [Prediction("", tuple(tag_spans(tags))) for tags in predicted])
    return 1 - ser(measured) if measured.gold.sum() + measured.predicted.sum() else None


@settings(max_examples=300)
@given(pairs)
@pytest.mark.filterwarnings("ignore")
def test_slot_f1_equals_seqeval_and_conlleval(pairs):
    gold, predicted = [list(p) for p in zip(*pairs, strict=True)]
    ours = our_f1(gold, predicted)
    conll = conlleval_f1(gold, predicted)
    if ours is None:  # no slots on either side: our convention is no error, theirs is F1 = 0
        assert conll == 0
    else:
        assert ours == pytest.approx(conll)
        assert ours == pytest.approx(seqeval.metrics.f1_score(gold, predicted, zero_division=0))


@settings(max_examples=50)
@given(st.lists(st.lists(tags, min_size=1, max_size=9), min_size=1, max_size=5))
@pytest.mark.filterwarnings("ignore")
def test_empty_predictions(gold):
    nothing = [["O"] * len(tags) for tags in gold]
    ours = our_f1(gold, nothing)
    assert ours in (None, 0.0)
    assert conlleval_f1(gold, nothing) == 0


def test_mistakes_counts_utterances(toy_skill):
    answers = [Prediction(u.intent, u.slots[::-1]) for u in toy_skill[:3]]
    assert mistakes(toy_skill[:3], answers) == 0
    answers[0] = answers[0]._replace(slots=(), intent="Wrong")
    assert mistakes(toy_skill[:3], answers) == 1
    with pytest.raises(ValueError):
        mistakes(toy_skill[:3], answers[:2])
