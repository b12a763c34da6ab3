"""Names of labels as words: however a corpus spells them, the same words come out."""

import pytest

from slubook.ch2_transfer.label_names import name_words


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
