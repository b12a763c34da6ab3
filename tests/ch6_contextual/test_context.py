"""The recipe of the context's language model, against writing every text out; and phrase boosting."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch6_contextual.context import Replies, Weights, boost, fill, template, union, worth
from slubook.ch6_contextual.data import Context, Turn
from slubook.ch6_contextual.ngram import count_texts
from slubook.ch6_contextual.recogniser import Decoded

BOOK = Context("contact", "call meg", "meg jones or meg bauer", ("meg jones", "meg bauer", "tom"), ("meg jones",))
entries = st.dictionaries(
    st.sampled_from(["meg", "meg bauer", "tom le roy", "ann"]), st.floats(0.25, 5, allow_subnormal=False), min_size=1
)
sentences = st.dictionaries(
    st.sampled_from(["<v>", "call <v>", "<v> please", "no not <v> but now", "yes", "that one"]),
    st.integers(1, 9),
    min_size=1,
)


@given(sentences, entries)
def test_counting_is_as_good_as_writing_out(templates, values):
    wanted, total = Counter(), sum(values.values())
    for text, count in templates.items():
        if "<v>" not in text:
            wanted.update(count_texts([text], count))
            continue
        for value, weight in values.items():
            wanted.update(count_texts([text.replace("<v>", value)], count * weight / total))
    found = fill(templates, values)
    assert found.keys() == wanted.keys()
    assert all(found[gram] == pytest.approx(wanted[gram]) for gram in wanted)


def test_entries_that_were_named_weigh_more_and_parts_less():
    weights = worth(BOOK)
    assert weights == {"meg jones": 6.0, "meg bauer": 1.0, "tom": 1.0, "meg": 1.75, "jones": 1.5, "bauer": 0.25}


def test_a_reply_becomes_a_template():
    assert template(Turn("1", "no meg bauer please", BOOK, "contact", "1", "train")) == "no <v> please"
    assert template(Turn("2", "i mean bauer", BOOK, "contact", "2", "train")) == "i mean <v>"
    assert template(Turn("3", "neither of them", BOOK, "contact", "3", "train")) == "neither of them"


def test_the_context_makes_its_own_words_likely():
    turns = [Turn(str(k), text, Context("contact"), "contact", str(k), "train")
             for k, text in enumerate(["yes please", "the first one", "call tom", "no"])]  # fmt: skip
    replies = Replies.of(turns)
    model, plain = replies.model(BOOK, Weights()), replies.model(Context("contact"), Weights())
    assert "bauer" in model.numbers and "bauer" not in plain.numbers
    start, bauer = model.numbers["<s>"], model.numbers["bauer"]
    assert model.probability(np.array([[start, bauer]]))[0] > 1e-3
    assert replies.model(Context(), Weights()).words == replies.domain.words, "without context the domain is left"


def test_kinds_that_training_lacks_are_read_as_their_acts():
    replies = Replies.of([Turn("1", "in rome", Context("REQUEST city"), "s", "1", "train")])
    assert replies.kind("REQUEST city") == "REQUEST city"
    assert replies.kind("REQUEST street") == "REQUEST"
    assert replies.kind("CONFIRM") == ""


def test_boosting_prefers_words_of_the_context():
    heard = Decoded("the power", -10.0, (("the power", -10.0), ("bauer", -30.0)))
    assert boost(heard, BOOK, 0) == "the power"
    assert boost(heard, BOOK, 50) == "bauer"
    assert boost(Decoded("", float("-inf")), BOOK, 50) == ""


def test_a_union_keeps_the_order_and_no_text_twice():
    assert union([Decoded("a", 0, (("a", 0), ("b", -1))), Decoded("b", 0, (("b", 0), ("c", -1)))]) == ["a", "b", "c"]
