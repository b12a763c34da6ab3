"""What corpora are cut into: nothing of a test is learned from, and dialogues stay whole."""

from __future__ import annotations

import pytest

from slubook.ch4_selftraining.data import KEPT, USES, Cut, Data, Heard, cut_corpora, public_targets
from slubook.corpora.dedupe import near_duplicates, normalise
from slubook.corpora.utterance import Slot, Utterance
from slubook.files import KeptError

CUT = Cut((4, 6), mature=3, development=2, background=2, reserve=4, hidden=(2, 8), slots=0.5, pool=40)
_WORDS = (
    *("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath"),
    *("inlet", "jetty", "knoll", "lagoon", "marsh", "night", "ocean", "prairie"),
)


def heard(corpus: str, domain: str, intent: str, n: int, topic: str, groups: int = 0) -> list[Heard]:
    made = []
    for i in range(n):
        one, two = _WORDS[i % 16], _WORDS[(i // 16 + 3 * i) % 16]
        text = f"{intent} {one} {domain} {two} {'x' * (i + 1)} {'y' * (i + 1)}"
        slots = (Slot("thing", len(intent) + 1, len(intent) + 1 + len(one)),)
        group = f"{corpus}/{domain}/{i % groups}" if groups else ""
        made.append(Heard(Utterance(f"{corpus}/{domain}/{i}", text, intent, slots, domain, group=group), corpus, topic))
    return [h._replace(topics=(topic,)) for h in made]


@pytest.fixture(scope="module")
def everything() -> list[Heard]:
    return [
        *heard("sgd", "Events_1", "find", 60, "events", groups=25),
        *heard("sgd", "Events_2", "find", 50, "events", groups=25),
        *heard("snips", "snips", "play", 40, "music"),
        *heard("snips", "snips", "book", 6, "food"),
        *heard("hwu64", "music", "listen", 30, "music"),
        *heard("clinc150", "home", "clean", 30, "home"),
    ]


@pytest.fixture(scope="module")
def data(everything) -> Data:
    texts = [h.utterance.text for h in everything] + ["nothing of anybody"]

    def pool_of(tests):
        return [t for t, near in zip(texts, near_duplicates(texts, tests), strict=True) if not near]

    return cut_corpora(everything, public_targets, pool_of, CUT)


def test_one_intent_of_a_domain_of_sgd(data):
    assert list(data.targets) == ["sgd/Events_1.find", "snips/play"]


def test_nothing_of_a_test_is_learned_from(data):
    tests = [u.text for t in data.targets.values() for u in t.test]
    tests += [h.utterance.text for h in data.heard["background"]]
    rest = [u.text for t in data.targets.values() for u in t.rest]
    others = [h.utterance.text for use in USES[:2] for h in data.heard[use]]
    assert not {normalise(t) for t in tests} & {normalise(t) for t in (*rest, *others, *data.pool)}
    assert not near_duplicates(data.pool, tests).any()


def test_dialogues_stay_on_one_side_of_the_test(data):
    target = data.targets["sgd/Events_1.find"]
    assert not {u.group for u in target.test} & {u.group for u in target.rest}
    tried = target.held_out(0)
    assert not {u.group for u in tried.test} & {u.group for u in tried.rest}
    assert not {u.id for u in tried.test + tried.rest} & {u.id for u in target.test}


def test_the_assistant_has_no_text_twice(data):
    every = [normalise(h.utterance.text) for use in USES for h in data.heard[use]]
    assert len(every) == len(set(every))
    assert not set(every) & {normalise(t) for t in data.pool}
    assert all(h.utterance.intent != "book" for use in USES[1:] for h in data.heard[use])  # fewer than it takes


def test_a_target_admits_what_cannot_ask_for_it(data):
    target = data.targets["snips/play"]
    found = {(h.corpus, h.utterance.intent) for use in USES for h in data.heard[use] if target.admits(h)}
    assert ("clinc150", "clean") in found and ("sgd", "find") in found
    assert not found & {("snips", "play"), ("hwu64", "listen")}  # itself, and its topic in another corpus


def test_a_smaller_draw_is_a_prefix_of_a_larger_one(data):
    target = data.targets["snips/play"]
    small, hidden = target.draw(3, 1)
    large, _ = target.draw(5, 1)
    assert small == large[:3] and {u.id for u in small + hidden} == {u.id for u in target.rest}
    assert small != target.draw(3, 2)[0]


def test_what_is_kept_is_what_was_cut(data, tmp_path):
    data.save(tmp_path / "kept")
    found = Data.load(tmp_path / "kept")
    assert found.key == data.key and found.targets == dict(data.targets) and list(found.pool) == list(data.pool)
    (tmp_path / "kept" / "data.json").write_text("{")
    with pytest.raises(KeptError, match="damaged"):
        Data.load(tmp_path / "kept")
    with pytest.raises(FileNotFoundError, match="slubook run selftraining"):
        KEPT.load(tmp_path / "nowhere")
