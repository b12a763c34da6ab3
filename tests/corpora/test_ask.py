import json
from collections import Counter

import pytest

from slubook.corpora import ask
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import slot_problems


def interaction_model(intents, types=(), **more):
    language = {"invocationName": "tea time", "intents": intents, "types": list(types), **more}
    return {"interactionModel": {"languageModel": language}}


def an_intent(name, samples, **slots):
    return {"name": name, "samples": samples, "slots": [{"name": n, "type": t} for n, t in slots.items()]}


def a_type(name, *values):
    values = [{"name": {"value": v[0], "synonyms": list(v[1:])}} for v in values]
    return {"name": name, "values": values}


TEA = a_type("Tea", ["assam"], ["green tea", "sencha"], ["earl grey"])
BREW = an_intent("Brew", ["make {tea}", "a pot of {tea} for { count } people"], tea="Tea", count="AMAZON.NUMBER")


@pytest.fixture
def save(tmp_path):
    def write(model, indent=1):
        path = tmp_path / "model.json"
        path.write_text(model if isinstance(model, str) else json.dumps(model, indent=indent), encoding="utf-8")
        return path

    return write


def problems_of(path):
    with pytest.raises(CorpusError) as error:
        ask.read(path)
    return error.value.problems


def test_reads_a_model(save):
    helper = {"name": "AMAZON.HelpIntent", "samples": []}
    model = ask.read(save(interaction_model([BREW, helper], [TEA], modelConfiguration={"x": 1})))
    assert (model.name, model.invocation) == ("tea time", "tea time")
    assert model.left_out == ("AMAZON.HelpIntent",)
    assert [intent.name for intent in model.intents] == ["Brew"]
    assert model.intents[0].samples == ("make {tea}", "a pot of {tea} for {count} people")
    assert model.types["Tea"] == ("assam", "green tea", "sencha", "earl grey")
    assert "seven" in model.types["AMAZON.NUMBER"]


def test_a_skill_is_called_what_users_say_else_by_its_file_else_by_its_folder(tmp_path):
    nameless = json.dumps(interaction_model([BREW], [TEA], invocationName=" "))
    for path, name in (("kettle.json", "kettle"), ("samovar/en-US.json", "samovar")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(nameless)
        assert ask.read(tmp_path / path).name == name
    assert ask.read(tmp_path / "kettle.json", "urn").name == "urn"


def test_values_of_ones_own_extend_a_built_in_type(save):
    drink = an_intent("Order", ["a {drink}"], drink="AMAZON.Drink")
    model = ask.read(save(interaction_model([drink], [a_type("AMAZON.Drink", ["butter tea"])])))
    assert model.types["AMAZON.Drink"][0] == "butter tea"
    assert "lemonade" in model.types["AMAZON.Drink"]


def test_a_built_in_type_unknown_here_needs_values(save):
    intent = an_intent("Visit", ["take me to {castle}"], castle="AMAZON.Castle")
    (problem,) = problems_of(save(interaction_model([intent])))
    assert "slot 'castle' of 'Visit': no values are known here for the built-in type 'AMAZON.Castle'" in problem
    assert "add a type of that name" in problem
    ask.read(save(interaction_model([intent], [a_type("AMAZON.Castle", ["windsor"])])))


def test_malformed_json_has_line_and_column(save):
    path = save('{\n  "interactionModel": {\n    "languageModel": }\n}')
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}, line 3, column 22: not JSON")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ([], "the file: "),
        ({}, "interactionModel: field required"),
        ({"interactionModel": {"languageModel": {"intents": "Brew"}}}, "languageModel.intents: input should be"),
        (interaction_model([]), "intents: list should have at least 1 item"),
        (interaction_model([{"samples": ["a"]}]), "intents.0.name: field required"),
        (interaction_model([an_intent("A", [1])]), "intents.0.samples.0: input should be a valid string"),
        (interaction_model([an_intent("A", ["a"])], [{"name": "T", "values": [{}]}]), "types.0.values.0.name"),
    ],
)
def test_other_shapes_are_refused_by_name(save, model, message):
    found = problems_of(save(model))
    assert any(message in problem and "model.json" in problem for problem in found)


@pytest.mark.parametrize(
    ("intents", "types", "line", "message"),
    [
        (
            [an_intent("A", ["go to {city}"])],
            [],
            9,
            "sample 'go to {city}' of 'A' uses slot 'city', which is not",
        ),
        ([an_intent("A", ["to {c"], c="Tea")], [TEA], 9, "brace without its partner"),
        ([an_intent("A", ["a"], c="Town")], [], 14, "type 'Town' is not defined: add it to types"),
        ([an_intent("A", ["a"], c="Town")], [a_type("Town")], 14, "type 'Town' has no values"),
        ([an_intent("A", []), an_intent("B", ["b"])], [], 7, "intent 'A' has no samples"),
        ([an_intent("A", [" "])], [], 7, "empty sample"),
        ([an_intent("A", ["a"]), an_intent("A", ["b"])], [], 7, "intent 'A' is there twice"),
        ([an_intent("A", ["make tea"]), an_intent("B", ["Make  tea"])], [], 16, "stands in 'A' and in 'B'"),
        ([{"name": "AMAZON.StopIntent"}], [], 5, "no intent has a sample"),
    ],
)
def test_faults_are_found_with_line_and_remedy(save, intents, types, line, message):
    path = save(interaction_model(intents, types))
    (problem,) = problems_of(path)
    assert message in problem
    assert problem.startswith(f"{path}, line {line}, column ")


def test_all_faults_at_once(save):
    intents = [an_intent("A", ["{x} and {y}", "ok"]), an_intent("B", ["ok"], z="Nothing"), an_intent("C", [])]
    assert len(problems_of(save(interaction_model(intents)))) == 5


def test_missing_file(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.json: cannot be read"):
        ask.read(tmp_path / "none.json")


def test_expansion_marks_slots_by_name(save):
    utterances = ask.expand(ask.read(save(interaction_model([BREW], [TEA]))), per_sample=4, seed=1)
    assert len({u.id for u in utterances}) == len(utterances) == len({u.text for u in utterances})
    for u in utterances:
        assert not slot_problems(u.text, u.slots)
        assert {s.type for s in u.slots} <= {"tea", "count"}
        assert (u.domain, u.split, u.intent) == ("tea time", "train", "Brew")
        (tea,) = (u.text[s.start : s.end] for s in u.slots if s.type == "tea")
        assert tea in ("assam", "green tea", "sencha", "earl grey")


def test_expansion_covers_values_evenly_and_follows_its_seed(save):
    samples = [f"{word} {{tea}} or {{other}}" for word in ("drink", "brew", "taste", "buy", "pour")]
    model = ask.read(save(interaction_model([an_intent("Brew", samples, tea="Tea", other="Tea")], [TEA])))
    utterances = ask.expand(model, 2, seed=3)
    used = Counter(u.text[s.start : s.end] for u in utterances for s in u.slots)
    assert set(used.values()) == {5}
    assert ask.expand(model, 2, seed=3) == utterances
    assert ask.expand(model, 2, seed=4) != utterances


def test_a_sample_without_slots_is_taken_once(save):
    model = ask.read(save(interaction_model([an_intent("Stop", ["enough", "that will do"])])))
    assert [u.text for u in ask.expand(model, 9, seed=0)] == ["enough", "that will do"]


def test_built_in_values_are_spelled_as_a_recogniser_writes_them():
    types = ask.built_in_types()
    for name in ("DATE", "TIME", "DURATION", "NUMBER", "ORDINAL", "FirstName", "US_CITY"):
        assert len(types[f"AMAZON.{name}"]) >= 40
    for name, values in types.items():
        assert len(values) == len(set(values)) >= 8, name
        assert all(v == v.lower().strip() and not any(c.isdigit() or c in ".,!?" for c in v) for v in values), name
