from itertools import pairwise

from slubook.ch1_skills import pool as pools
from slubook.ch1_skills.pool import Pool, build_pool, topic_folds
from slubook.ch1_skills.skillsets import Skill
from slubook.corpora.dedupe import near_duplicates, opened
from slubook.corpora.utterance import Utterance


def test_the_pool_holds_no_test_utterance_nor_a_near_duplicate(monkeypatch):
    texts = ["play some jazz music for us now", "Play some jazz music for us, now!", "turn the heating off"]
    monkeypatch.setattr(
        pools, "load", lambda name: [Utterance(str(i), t, "A", domain="d") for i, t in enumerate(texts)]
    )
    pool = build_pool(["mine"], ["play some jazz music for me now", "something else"], own=["turn the lights on"])
    one_word_in_six = "play some jazz music for us now"  # no near-duplicate of the test, by the threshold
    assert set(pool.texts) == {"turn the lights on", "turn the heating off", one_word_in_six}
    assert pool.counts["read"] == 4 and pool.counts["distinct"] == 3
    exact = build_pool(["mine"], ["play some JAZZ music for us now"])
    assert set(exact.texts) == {"turn the heating off"}


def test_a_test_that_is_spelled_without_apostrophes_is_not_known_either():
    said = ("I'd like a table at the Unseen Bean", "add it to cristina’s endorphin rush playlist", "what's on")
    tests = ["i d like a table at the unseen bean", "add it to cristina s endorphin rush playlist"]
    pool = Pool(said, ("",) * 3, {"read": 3})
    assert not near_duplicates(said, tests)[0], "by its words, the first is another text"
    assert pool.unlike(tests).texts == ("what's on",) and pool.unlike([]).texts == said
    assert opened("I'd like") == "I d like"


def test_a_pool_without_a_topic_drops_turns_that_also_serve_another():
    pool = Pool(("a", "b", "c"), ("music", "music+films", "weather"), {})
    assert pool.without({"films"}).texts == ("a", "c")


def skill(name: str, *topics: str) -> Skill:
    return Skill(name, "x", topics, (), ())


def test_each_fold_leaves_out_every_topic_of_its_skills():
    skills = [skill("many", "music", "films"), skill("m", "music"), skill("w", "weather"), skill("a", "alarms")]
    fold_of, left_out = topic_folds(skills)
    assert fold_of["m"] == fold_of["many"] == 0
    for s in skills:
        assert set(s.topics) <= left_out[fold_of[s.name]]
    assert topic_folds(skills[::-1]) == (fold_of, left_out)


def test_parts_of_a_pool_are_nested_and_of_their_size():
    texts = tuple(f"play the list {a}{b}" for a in "abcdefgh" for b in "xyzuvw")
    pool = Pool(texts, ("music",) * len(texts), {"read": 99})
    parts = [pool.part(share) for share in (0.0, 0.1, 0.5, 1.0)]
    for small, large in pairwise(parts):
        assert set(small.texts) <= set(large.texts) and len(small.topics) == len(small.texts)
    assert [parts[0].texts, parts[3].texts] == [(), texts]
    assert 0 < len(parts[1].texts) < 12 < len(parts[2].texts) < 36
    assert parts[2].counts == {"read": 99, "left": len(parts[2].texts)}


def test_what_is_held_out_nearly_repeats_nothing_that_is_left():
    texts = tuple(f"order {fruit} from a big shop in {city} please" for fruit in "abcdef" for city in ("oslo", "bonn"))
    left, held = Pool(texts, ("",) * 12, {}).held_out(0.5)
    assert held == [], "each of them differs from others by one word"
    texts += ("is it raining", "lovely day", "call my mother", "how far is the moon", "mute", "lock it")
    left, held = Pool(texts, ("",) * len(texts), {}).held_out(0.5)
    assert held and not set(held) & set(left.texts) and set(held) <= set(texts[12:])


def test_norms_are_measured_on_the_same_texts_in_whatever_order_they_stand(monkeypatch):
    monkeypatch.setattr(pools, "MEASURED", 9)
    pool = Pool(tuple(f"say number {word}" for word in "abcdefghijklmnopqrstuvwxyz"), ("",) * 26, {})
    assert pool.measured() == Pool(pool.texts[::-1], pool.topics, {}).measured()
    assert len(pool.measured()) == 9 and pool.measured() != pool.sentences()[:9]
