"""spaCy's and fastText's pipelines behave like the book's own models, on a skill small enough to learn in a second."""

import glob
import tempfile

import pytest

from slubook.ch1_skills.offtheshelf import FastTextIntent, FastTextIntentConfig, SpacyConfig, SpacyPipeline
from slubook.corpora.utterance import Slot, Utterance, tokenize
from slubook.evaluation.model import NLUModel

FAST = SpacyConfig(width=32, depth=1, rows=200, batch=(4, 8), epochs=12, rate=5e-3)
SMALL = FastTextIntentConfig(dim=16, buckets=500, epochs=(50,), rates=(1.0,))


def say(text: str, intent: str, value: str = "") -> Utterance:
    start = text.find(value)
    return Utterance(text, text, intent, (Slot("thing", start, start + len(value)),) if value else ())


THINGS = ["apples", "green tea", "bread", "two lemons", "oat milk", "rice", "brown sugar", "soap"]
SKILL = [
    *(say(f"please add {t} to it", "Add", t) for t in THINGS),
    *(say(f"throw {t} out", "Remove", t) for t in THINGS),
    *(say(f"{w} read it back to me", "Read") for w in ["now", "please", "then", "quickly"]),
]


@pytest.mark.parametrize("model", [SpacyPipeline(FAST), FastTextIntent(SMALL)], ids=["spacy", "fasttext"])
class TestBoth:
    def test_learns_and_keeps_the_order(self, model):
        model.fit(SKILL, SKILL[::3], seed=1)
        answers = model.predict([u.text for u in SKILL])
        right = sum(a.intent == u.intent for a, u in zip(answers, SKILL, strict=True))
        assert isinstance(model, NLUModel)
        assert right >= len(SKILL) - 1
        assert all(0.0 < a.confidence <= 1.0 for a in answers)
        assert model.size_bytes() > 1000

    def test_same_seed_same_answers(self, model):
        texts = [u.text for u in SKILL] + ["something quite different"]
        first = model.fit(SKILL, SKILL[::3], seed=3).predict(texts)
        assert model.fit(SKILL, SKILL[::3], seed=3).predict(texts) == first

    def test_one_intent_and_no_slots(self, model):
        model.fit([Utterance("1", "hello there", "Hi")], [], seed=0)
        assert model.predict(["anything", ""]) == [("Hi", (), 1.0)] * 2

    def test_strange_texts(self, model):
        model.fit(SKILL, [], seed=0)
        answers = model.predict(["", "   ", "…", "add  tea\n now", "<intent>0", "__label__0", "दूध जोड़ो"])
        assert [a.intent in {"Add", "Remove", "Read"} for a in answers] == [True] * 7
        assert model.predict([]) == []

    def test_nothing_to_learn_from(self, model):
        with pytest.raises(ValueError, match="no training utterances"):
            model.fit([], [], seed=0)


def test_spacy_finds_spans_in_characters_of_the_text():
    model = SpacyPipeline(FAST).fit(SKILL, SKILL[::3], seed=1)
    text = "please add  brown sugar to it"  # two blanks: spaCy's own text differs from ours here
    assert model.predict([text])[0].slots == (Slot("thing", 12, 23),)


def test_spacy_loses_no_gold_span():
    model = SpacyPipeline(FAST)
    model._build(SKILL)
    odd = Utterance("x", "wake me at 7:30pm, don't forget", "Add", (Slot("time", 11, 17), Slot("note", 19, 24)))
    found = [(e.label_, e.start, e.end) for e in model._gold(odd).ents]
    tokens = [t.text for t in tokenize(odd.text)]
    assert [(k, tokens[a:b]) for k, a, b in found] == [("time", ["7", ":", "30", "pm"]), ("note", ["don't"])]


def test_spacy_with_slots_but_one_intent_still_tags():
    adds = [u for u in SKILL if u.intent == "Add"]
    answer = SpacyPipeline(FAST).fit(adds, adds, seed=1).predict(["please add bread to it"])[0]
    assert answer == ("Add", (Slot("thing", 11, 16),), 1.0)


def test_fasttext_removes_its_training_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FastTextIntent(SMALL).fit(SKILL, [], seed=0)
    assert glob.glob(f"{tmp_path}/*") == []


def test_fasttext_intents_may_hold_spaces():
    skill = [Utterance("1", "play it", "play music"), Utterance("2", "stop it", "stop music")]
    answers = FastTextIntent(SMALL).fit(skill, []).predict(["play", "stop"])
    assert [p.intent for p in answers] == ["play music", "stop music"]
