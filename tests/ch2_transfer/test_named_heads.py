"""Heads from names: words however a corpus spells them, weights by hand, steps by kind, one network's heads written."""

import pytest
import torch

from slubook.ch1_skills.crf import CRF
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch2_transfer.stacked import PARTS, STEPS, NamedHeads, StackedNetwork, name_words, step_kinds
from slubook.corpora.utterance import Slot, Utterance

TAG_WIDTH, INTENT_WIDTH = 4, 8
SMALL = NetworkConfig(dim=3, project=4, char_dim=2, char_filters=3, hidden=2, layers=3)


@pytest.fixture
def heads():
    """Every weight random."""
    torch.manual_seed(1)
    made = NamedHeads(["city", "date", "pickup"], ["book", "cancel", "ride"], TAG_WIDTH, INTENT_WIDTH)
    for p in made.parameters():
        torch.nn.init.normal_(p)
    return made


def skill(intents, kinds) -> Encoder:
    text = "one two three four five six"
    return Encoder([Utterance("1", text, i, tuple(Slot(k, 0, 3) for k in kinds)) for i in intents])


@pytest.mark.parametrize("types", range(4))
def test_kinds_of_steps_against_the_names_of_tags(types):
    tags = ["O", *(f"{p}-{k}" for k in range(types) for p in "BI")]
    found = step_kinds(types)
    assert found.shape == (len(tags), len(tags))
    for i, a in enumerate(tags):
        for j, b in enumerate(tags):
            kinds = f"{a[0]}>{b[0]}"
            other_slot = "O" not in (a, b) and (a[2:] != b[2:] or b[0] == "B")
            assert STEPS[found[i, j]] == ("other" if other_slot or kinds == "O>I" else kinds), (a, b)


def test_scores_of_the_crf_by_hand(heads):
    start, end, step = heads.crf(2)
    start_o, start_b, end_o, end_b, end_i = heads.ends.tolist()
    by_kind = dict(zip(STEPS, heads.steps.tolist(), strict=True))
    assert start[[0, 1, 3]].tolist() == [start_o, start_b, start_b]  # a sentence never starts inside
    assert end.tolist() == [end_o, end_b, end_i, end_b, end_i]
    assert step[0, 0] == by_kind["O>O"] and step[0, 1] == step[0, 3] == by_kind["O>B"]
    assert step[1, 2] == step[3, 4] == by_kind["B>I"] and step[2, 2] == step[4, 4] == by_kind["I>I"]
    assert step[1, 0] == step[3, 0] == by_kind["B>O"] and step[2, 0] == step[4, 0] == by_kind["I>O"]
    assert step[1, 3] == step[2, 3] == step[4, 3] == step[1, 1] == by_kind["other"]


def test_a_skill_without_slots_has_one_tag(heads):
    start, end, step = heads.crf(0)
    assert (start.shape, end.shape, step.shape) == ((1,), (1,), (1, 1))
    assert heads.tag_weights(heads.tag_mix([])).tolist() == heads.outside.tolist()


def test_weights_are_the_sums_of_the_words(heads):
    kinds = ["pickup_city", "RideDate", "pickup-colour", "colour"]
    weights = heads.tag_weights(heads.tag_mix(kinds))
    city, date, pickup, any_slot = range(4)
    for row, part in ((1, heads.begin), (2, heads.inside)):
        torch.testing.assert_close(weights[row], (part[pickup] + part[city]) / 2**0.5 + part[any_slot])
        torch.testing.assert_close(weights[row + 2], part[date] + part[any_slot])  # rides are no slots here
        torch.testing.assert_close(weights[row + 4], part[pickup] + part[any_slot])
        torch.testing.assert_close(weights[row + 6], part[any_slot])  # no word of its name is known
    torch.testing.assert_close(weights[0], heads.outside[0])
    intents = heads.intent_mix(["BookRideIntent", "CancelTrain", "Sing"]) @ heads.intent
    torch.testing.assert_close(intents[0], (heads.intent[0] + heads.intent[2]) / 2**0.5)
    torch.testing.assert_close(intents[1], heads.intent[1])
    assert not intents[2].any()


def test_a_word_said_twice_counts_twice(heads):
    torch.testing.assert_close(heads.intent_mix(["BookBook"])[0], torch.tensor([2 * 2**-0.5, 0, 0]))


def test_order_of_labels_does_not_matter_to_their_weights(heads):
    one, other = (heads.tag_weights(heads.tag_mix(kinds)) for kinds in (["city", "date"], ["date", "city"]))
    torch.testing.assert_close(one[[0, 3, 4, 1, 2]], other)  # a product may round its last rows otherwise


def test_written_heads_say_what_the_names_say(heads):
    encoder = skill(["CancelRide", "book_ride", "Sing"], ["pickup_city", "ride_date"])
    network = StackedNetwork(encoder, SMALL, [True, True, True])
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    heads.write(network, 1, encoder.tags, encoder.intents)
    changed = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert (
        changed == {"tag_head.weight", "intent_head.weight", "crf.start", "crf.end", "crf.step"} <= set(PARTS["heads"])
    )
    for name in changed:
        assert all(torch.equal(network.rows(name, g), before[name][[g]]) for g in (0, 2))
    states, pooled = torch.randn(3, 5, TAG_WIDTH), torch.randn(3, 2, INTENT_WIDTH)
    begin = {"pickup_city": (heads.begin[0] + heads.begin[2]) / 2**0.5, "ride_date": heads.begin[1]}
    for kind, row in begin.items():
        place = encoder.tags.index(f"B-{kind}")
        torch.testing.assert_close(network.tag_head(states)[1, :, place], states[1] @ (row + heads.begin[3]))
    for intent, row in (("CancelRide", (heads.intent[1] + heads.intent[2]) / 2**0.5), ("Sing", 0 * heads.intent[0])):
        place = encoder.intents.index(intent)
        torch.testing.assert_close(network.intent_head(pooled)[1, :, place], pooled[1] @ row)


def test_a_written_crf_scores_as_the_given_scores_do(heads):
    """Loss under the network's own CRF against one that is filled by hand."""
    encoder = skill(["book"], ["city", "date"])
    network = StackedNetwork(encoder, SMALL, [True])
    heads.write(network, 0, encoder.tags, encoder.intents)
    by_hand = CRF(1, encoder.tags)
    by_kind = dict(zip(STEPS, heads.steps, strict=True))
    ends = dict(zip(("O", "B", "end O", "end B", "end I"), heads.ends, strict=True))
    with torch.no_grad():
        for i, a in enumerate(encoder.tags):
            by_hand.start[0, 0, i], by_hand.end[0, 0, i] = ends.get(a[0], 0.0), ends[f"end {a[0]}"]
            for j, b in enumerate(encoder.tags):
                same = a[1:] == b[1:] or "O" in (a, b)
                kind = f"{a[0]}>{b[0]}"
                by_hand.step[0, i, j] = by_kind[kind if same and kind in by_kind else "other"]
    emissions, tags = (
        torch.randn(1, 3, 6, 5),
        torch.tensor([[0, 1, 2, 2, 0, 3], [3, 4, 1, 3, 3, 4], [0, 0, 0, 1, 1, 2]]),
    )
    mask = torch.arange(6) < torch.tensor([6, 6, 4]).unsqueeze(1)
    torch.testing.assert_close(network.crf.loss(emissions, tags, mask), by_hand.loss(emissions, tags, mask))
    assert network.crf.decode(emissions, mask) == by_hand.decode(emissions, mask)


def test_untaught_heads_are_silent():
    empty = NamedHeads([], [], TAG_WIDTH, INTENT_WIDTH)
    assert not any(p.any() for p in empty.parameters())
    assert empty.tag_mix(["city"]).tolist() == [[1.0]]
    assert (empty.intent_mix(["a", "b"]) @ empty.intent).tolist() == [[0.0] * INTENT_WIDTH] * 2


@pytest.mark.parametrize(
    "label",
    ["DEPARTURE_CITY", "departureCity", "SL:departure-city", "departure city", "Departure.City_2", "TheDepartureCity"],
)
def test_spellings_of_one_name(label):
    assert name_words(label) == ["departure", "city"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("BookRestaurantIntent", ["book", "restaurant"]),
        ("IN:GET_WEATHER", ["get", "weather"]),
        ("HassTurnOn", ["turn", "on"]),
        ("AMAZON.CancelIntent", ["cancel"]),
        ("alarm_set", ["alarm", "set"]),
        ("time_from", ["time", "from"]),
        ("date2Return", ["date", "return"]),
        ("party_of_the_year", ["party", "year"]),
        ("hotel_hotel", ["hotel", "hotel"]),
        ("Intents", ["intents"]),  # whole words only are empty
        ("AMAZON.TheIntent", []),
        ("42", []),
        ("", []),
    ],
)
def test_words_that_say_something(label, words):
    assert name_words(label) == words
