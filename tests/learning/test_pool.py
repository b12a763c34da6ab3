from slubook.corpora.skillsets import Skill
from slubook.corpora.utterance import Utterance
from slubook.learning import pool as pools
from slubook.learning.pool import Pool, build_pool, topic_folds


def test_the_pool_holds_no_test_utterance_nor_a_near_duplicate(monkeypatch):
    texts = ["play some jazz music for us now", "Play some jazz music for us, now!", "turn the heating off"]
    monkeypatch.setattr(
        pools, "load", lambda name: [Utterance(str(i), t, "A", domain="d") for i, t in enumerate(texts)]
    )
    pool = build_pool(["mine"], ["play some jazz music for me now", "something else"], own=["turn the lights on"])
    assert set(pool.texts) == {"turn the lights on", "turn the heating off"} or set(pool.texts) == {
        "turn the lights on",
        "turn the heating off",
        "play some jazz music for us now",
    }
    assert pool.counts["read"] == 4 and pool.counts["distinct"] == 3
    exact = build_pool(["mine"], ["play some JAZZ music for us now"])
    assert set(exact.texts) == {"turn the heating off"}


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
