"""The pairs of slot templates, and a detector trained on the requests that come with the book."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from slubook.ch4_selftraining import paraphrase, tried
from slubook.ch4_selftraining.data import Data, Heard
from slubook.ch4_selftraining.paraphrase import (
    Detector,
    DetectorConfig,
    compared,
    fill,
    judge,
    judge_unseen,
    pairs,
    rarity,
    template,
    train_detector,
)
from slubook.corpora.registry import load
from slubook.corpora.utterance import Slot, Utterance
from slubook.profiles import seed_everything

TARGET = "music_player"


def request(text: str, intent: str, domain: str, **slots: str) -> Utterance:
    """A request whose slots are given by their values."""
    found = sorted(Slot(kind, text.index(v), text.index(v) + len(v)) for kind, v in slots.items())
    return Utterance(text, text, intent, tuple(sorted(found, key=lambda s: s.start)), domain)


MUSIC = [
    request("play adele", "Play", "music", artist="adele"),
    request("i want to listen to seal", "Play", "music", artist="seal"),
    request("who is queen", "Ask", "music", artist="queen"),
    request("stop", "Stop", "music"),
]
TAXI = [
    request("a taxi from ely to bath please", "Book", "taxi", start="ely", end="bath"),
    request("bring me to york from hull", "Book", "taxi", start="hull", end="york"),
]


def test_templates_and_values():
    assert template(TAXI[0]) == (("a taxi from ", " to ", " please"), ("ely", "bath"))
    assert template(MUSIC[3]) == (("stop",), ())


def test_values_go_by_type_not_by_place():
    assert fill(TAXI[1], [("start", "ely"), ("end", "bath")]) == "bring me to bath from ely"
    twice = request("play adele and seal", "Play", "music", artist="adele", other="seal")
    twice = Utterance(twice.id, twice.text, twice.intent, tuple(s._replace(type="artist") for s in twice.slots))
    assert fill(twice, [("artist", "queen"), ("artist", "abba")]) == "play queen and abba"


def test_pairs_are_of_the_four_kinds():
    made = {kind: [] for kind in ("paraphrase", "value", "intent", "domain")}
    for seed in range(8):
        for pair in pairs(MUSIC + TAXI, seed):
            made[pair.kind].append(pair)
            assert pair.same == (pair.kind == "paraphrase")
    assert {(p.first, p.second) for p in made["paraphrase"] if p.domain == "music"} == {
        ("play adele", "i want to listen to adele"),
        ("i want to listen to seal", "play seal"),
    }
    assert {p.second for p in made["value"] if p.first == "play adele"} == {"play seal", "play queen"}
    assert {p.second for p in made["intent"] if p.first == "play adele"} == {"who is adele"}
    assert all((p.second in [u.text for u in TAXI]) == (p.domain == "music") for p in made["domain"])


def test_an_utterance_alone_in_its_intent_makes_no_pair():
    assert not pairs(MUSIC[2:], 0)


def test_pairs_follow_the_seed_and_the_limit():
    assert pairs(MUSIC + TAXI, 1) == pairs(MUSIC + TAXI, 1)
    assert len(pairs(MUSIC + TAXI, 1, most=5)) == 5


def test_a_detector_needs_pairs_of_both_kinds():
    with pytest.raises(ValueError, match="add utterances"):
        train_detector(MUSIC[2:], [])


@pytest.fixture(scope="module")
def untrained() -> Detector:
    seed_everything(0, threads=1)
    detector = Detector({"play": 0, "a": 0, "request": 1, "with": 0}, DetectorConfig(width=4)).eval()
    with torch.no_grad():
        detector.product.uniform_(-1, 1)
    return detector


def test_a_score_is_symmetric_and_each_text_is_read_alone(untrained):
    texts = ["play adele", "", "who is queen", "a much longer request, with a comma in the middle of it"]
    there, back = untrained.score(texts, texts[::-1]), untrained.score(texts[::-1], texts)
    assert there == pytest.approx(back, abs=1e-6)
    alone = np.concatenate([untrained.score([a], [b]) for a, b in zip(texts, texts[::-1], strict=True)])
    assert there == pytest.approx(alone, abs=1e-5)


def test_the_nearest_is_the_highest_score(untrained):
    texts, known = [u.text for u in MUSIC], [u.text for u in TAXI + MUSIC[:1]]
    score, place = untrained.nearest(untrained.encode(texts), untrained.encode(known))
    table = np.array([untrained.score([t] * len(known), known) for t in texts])  # [A, B]
    assert score == pytest.approx(table.max(1), abs=1e-5)
    assert place.tolist() == table.argmax(1).tolist()


def test_nothing_is_nearest_to_nothing(untrained):
    score, place = untrained.nearest(untrained.encode(["play adele"]), untrained.encode([]))
    assert score.tolist() == [0] and place.tolist() == [-1]


def test_words_are_rarer_the_fewer_requests_have_them():
    texts = ["play adele", "play seal", "play play", "stop", "stop now"]
    found = rarity(texts, (0.5, 0.3))
    assert found == {"play": 0, "stop": 1, "adele": 2, "seal": 2, "now": 2}


def test_shared_words_are_counted_by_rarity():
    detector = Detector({"play": 0, "now": 1}, DetectorConfig(width=4, rare=(0.5, 0.1)))
    marked = [detector.mark([text]) for text in ("play adele now now", "now play seal")]
    shared, both = compared(*marked)
    assert shared.tolist() == [[1, 1, 0]] and both.tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("part", ["vectors", "words"])
def test_a_part_that_is_left_out_says_nothing(untrained, part):
    alone = Detector(untrained.rarities, DetectorConfig(width=4, parts=(part,))).eval()
    alone.load_state_dict(untrained.state_dict())
    u, v = (alone.encode([text]) for text in ("play adele", "play seal"))
    given = alone.odds(u.vectors, v.vectors), alone.counted(*compared(u.words, v.words))
    assert [bool(some.abs().sum() > 0) for some in given] == [part == "vectors", part == "words"]


def test_the_judge_counts_right(untrained):
    labelled = pairs(MUSIC + TAXI, 0)
    assert set(judge(untrained, labelled)) == {"detector", "jaccard", "tfidf", "share"}
    assert judge(untrained, labelled)["share"] == pytest.approx(np.mean([p.same for p in labelled]), abs=1e-4)


@pytest.fixture(scope="module")
def embedded() -> list[Utterance]:
    return [*load("assistant-en"), *load("skills")]


@pytest.fixture(scope="module")
def trained(embedded) -> Detector:
    return train_detector([u for u in embedded if u.domain != TARGET], [u.text for u in embedded])


def test_it_finds_paraphrases_of_an_unseen_domain_better_than_word_overlap(trained, embedded):
    unseen = [p for p in pairs(embedded, 1) if p.domain == TARGET]
    assert min(Counter(p.kind for p in unseen).values()) > 100
    found = judge(trained, unseen)
    assert found["detector"] > found["tfidf"] + 0.05 > found["jaccard"] + 0.05
    assert found["tfidf"] > found["share"]


def test_it_knows_the_articles_example(trained):
    listen, play, seal = "I want to listen to Adele", "Play Adele", "Play Seal"
    good, bad = trained.score([listen, listen], [play, seal])
    assert good > 3 * bad
    assert trained.score([play], [seal])[0] < good


def test_training_repeats_itself(embedded):
    some = [u for u in embedded if u.domain in ("taxi_booking", "pill_tracker")]
    config, texts = DetectorConfig(pairs=300, passes=1), [u.text for u in some]
    one, two = (train_detector(some, texts, config, seed=4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_unseen_topics_are_judged_one_by_one_and_not_learned_from(embedded, untrained, monkeypatch):
    known = [(u, {u.domain}) for u in embedded if u.domain in ("taxi_booking", "pill_tracker", TARGET)]
    learned = []
    monkeypatch.setattr(paraphrase, "train_detector", lambda some, *rest: learned.extend(some) or untrained)
    found = judge_unseen(known, {TARGET, "pill_tracker"}, [])
    assert {u.domain for u in learned} == {"taxi_booking"}
    assert set(found) == {TARGET, "pill_tracker"} and found[TARGET] != found["pill_tracker"]


def test_the_record_is_of_what_is_used_and_it_beats_word_overlap_on_every_topic():
    rows = tried.read_record()
    assert [(r["tried"], r["topic"]) for r in rows] == [(n, t) for n in tried.TRIED for t in sorted(tried.TOPICS)]
    assert [*tried.TRIED.values()][-1] == DetectorConfig()
    assert all(r["detector"] > max(r["tfidf"], r["jaccard"]) for r in rows[-len(tried.TOPICS) :])


def test_what_is_tried_is_judged_on_the_topics_that_are_left_out(untrained, monkeypatch):
    heard = [Heard(u, "made", ("music" if u.domain == "music" else "taxi",)) for u in MUSIC + TAXI]
    learned = []
    monkeypatch.setattr(paraphrase, "train_detector", lambda some, *rest: learned.extend(some) or untrained)
    monkeypatch.setattr(tried, "TOPICS", ("music",))
    rows = tried.try_detectors(Data({}, {"mature": heard}, []), {"one": DetectorConfig()})
    assert [(r["tried"], r["topic"]) for r in rows] == [("one", "music")] and learned == TAXI
