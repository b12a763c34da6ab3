"""Sentence pairs and the two restaurant corpora, on a few lines of ours in their layouts."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import pytest

from slubook.ch5_bootstrapping import restaurants
from slubook.corpora import parallel
from slubook.corpora.parallel import Pair, spoken


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def test_spoken_words_keep_their_vowel_signs():
    assert spoken("फ़ोन, ढूंढो। Don’t  STOP 'now'") == ["फ़ोन", "ढूंढो", "don't", "stop", "now"]
    assert spoken("रा\u200cम | 12 …") == ["राम", "12"]
    composed, decomposed = "\u095e\u094b\u0928", "\u092b\u093c\u094b\u0928"
    assert spoken(composed) == spoken(decomposed)


@pytest.mark.parametrize("domain", ["restaurant", "general"])
def test_the_embedded_pairs_are_whole_and_spelled_in_devanagari(domain):
    pairs = parallel.embedded(domain)
    assert len(pairs) >= 80 and len({p.english for p in pairs}) == len({p.hindi for p in pairs}) == len(pairs)
    assert all("\u0900" <= c <= "\u097f" for pair in pairs for word in spoken(pair.hindi) for c in word)
    assert all(c.isascii() for pair in pairs for c in pair.english)


def test_joshua_pairs_each_translation_with_its_sentence(tmp_path):
    write(tmp_path / "hi-en/dev.hi-en.hi", "नमस्ते ।\nपानी\u2028दो\n")
    for i, one in enumerate(["hello .\ngive water\n", "hi\ngive water\n"]):
        write(tmp_path / f"hi-en/dev.hi-en.en.{i}", one)
    assert parallel.read(tmp_path, "joshua_hi_en") == [
        Pair("hello .", "नमस्ते ।"),
        Pair("give water", "पानी\u2028दो"),
        Pair("hi", "नमस्ते ।"),
    ]


def test_pairs_without_a_word_are_left_out(tmp_path):
    write(tmp_path / "hin.txt", "\ufeffGo!\tजाओ!\tsomebody\n...\tजाओ!\tsomebody\n")
    assert parallel.read(tmp_path, "tatoeba_manythings") == [Pair("Go!", "जाओ!")]
    unit = "<tu><prop>x</prop><tuv><seg>no <b>pain</b></seg></tuv><tuv><seg>दर्द नहीं</seg></tuv></tu>"
    write(tmp_path / "data/TM/all.en-hi.tmx", f"<tmx><body>{unit}</body></tmx>")
    assert parallel.read(tmp_path, "tico19") == [Pair("no pain", "दर्द नहीं")]


def test_files_that_are_not_aligned_are_no_pairs(tmp_path):
    write(tmp_path / "NTREX-128/newstest2019-src.eng.txt", "one\ntwo\n")
    write(tmp_path / "NTREX-128/newstest2019-ref.hin.txt", "एक\n")
    with pytest.raises(ValueError, match="zip"):
        parallel.read(tmp_path, "ntrex")


def test_turns_of_two_languages_stand_side_by_side(tmp_path):
    for language, said in (("en", "hello"), ("hi", "नमस्ते")):
        dialogue = [{"dialogue": [{"user_utterance": [said, {}], "system_utterance": ["x", {}]}]}]
        write(tmp_path / f"dialogues/risawoz/data/original/{language}_fewshot.json", json.dumps(dialogue))
    assert parallel.read(tmp_path, parallel.DIALOGUES) == [Pair("hello", "नमस्ते")]


def dialogue(index, *turns):
    turns = [{"transcript": f" {said} ", "system_transcript": asked, "turn_label": ls} for said, asked, ls in turns]
    return {"dialogue_idx": index, "dialogue": turns}


@pytest.fixture
def corpora(tmp_path):
    """Two English dialogues, and the translation of each: the first to learn from, the second to test on."""
    cheap, north = ["price range", "cheap"], ["area", "north"]
    english = {
        "train": [dialogue(0, ("a cheap italian", "", [cheap, ["food", "italian"]]), ("bye", "sure?", []))],
        "validate": [dialogue(1, ("in the north", "", [north]))],
        "test": [dialogue(2, ("thai", "", [["food", "thai"]])), dialogue(3, ("chinese", "", [["food", "chinese"]]))],
    }
    for split, dialogues in english.items():
        write(tmp_path / f"data/woz/woz_{split}_en.json", json.dumps(dialogues))
    hindi = {
        "train": [
            dialogue(0, ("सस्ता पंजाबी", "", [["food", "पंजाबी"], ["price range", "सस्ता"]]), ("अलविदा", "पक्का?", [])),
            dialogue(7, ("चाइनीज़", "", [["food", "चाइनीस"]])),
        ],
        "dev": [],
        "test": [dialogue(9, ("उत्तर में", "", [["area", "उत्तर"]]))],
    }
    with zipfile.ZipFile(tmp_path / "HDRS_Corpus.zip", "w") as archive:
        for split, dialogues in hindi.items():
            archive.writestr(f"HDRS_Corpus/final_{split}_hin.json", json.dumps(dialogues))
    return restaurants.read_woz(tmp_path), restaurants.read_hdrs(tmp_path)


def test_translated_dialogues_are_found_by_their_labels(corpora):
    english, hindi = corpora
    assert [(d.id, d.split) for d in hindi] == [("hdrs/0", "train"), ("hdrs/7", "train"), ("hdrs/9", "test")]
    matched = restaurants.translations(english, hindi)
    assert [(a.id, b.id) for a, b in matched] == [("woz/0", "hdrs/0"), ("woz/1", "hdrs/9")]  # 2 and 3 look the same
    assert restaurants.turn_pairs(matched)[:2] == [Pair("a cheap italian", "सस्ता पंजाबी"), Pair("bye", "अलविदा")]
    assert restaurants.turn_pairs(matched, "system") == [Pair("sure?", "पक्का?")]


def test_originals_of_held_out_dialogues_are_left_out(corpora):
    assert [d.id for d in restaurants.unseen(*corpora)] == ["woz/0", "woz/2", "woz/3"]


def test_a_slip_in_one_turn_hides_no_original(corpora):
    english, hindi = corpora
    cheap, north, slip = ((("price range", "cheap"),), (("area", "north"),), (("area", "nort"),))
    known = (cheap, north), (cheap, cheap), (north, north), (cheap,)
    pool = [replace(english[0], signature=turns) for turns in known]

    def left(*turns) -> list:
        return [pool.index(d) for d in restaurants.unseen(pool, [replace(hindi[-1], signature=turns)])]

    assert left(cheap, slip) == [2, 3], "its original is one of those that differ in one turn"
    assert left(cheap, north) == [1, 2, 3], "its original is known, so the others stay"


@pytest.mark.public
def test_public_pairs(public):
    for name in ("hdrs", "woz", "tatoeba_laser"):
        public(name)
    from slubook.corpora.download import fetch

    assert len(parallel.read(fetch("tatoeba_laser"), "tatoeba_laser")) == 1000
    english, hindi = restaurants.read_woz(fetch("woz")), restaurants.read_hdrs(fetch("hdrs"))
    assert (len(english), len(hindi)) == (1200, 1400)
    matched = restaurants.translations(english, hindi)
    assert len(matched) == 930
    assert len(restaurants.unseen(english, hindi)) == 508
