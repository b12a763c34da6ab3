"""The translator on a language of ours that it can learn in seconds; floors; scores."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from slubook.ch5_bootstrapping import translator as module
from slubook.ch5_bootstrapping.floors import dictionary, gloss, score
from slubook.ch5_bootstrapping.translator import (
    END,
    START,
    TranslatorConfig,
    kept_translator,
    train_translator,
    translate,
)
from slubook.corpora.parallel import Pair
from slubook.files import KeptError

SMALL = TranslatorConfig(pieces=80, width=32, dropout=0.0, batch=8, updates=150, rate=1e-2)
WHO, WHAT = {"i": "मैं", "you": "आप", "we": "हम"}, {"tea": "चाय", "water": "पानी", "milk": "दूध"}
DO = {"drink": "पी", "bring": "ला", "want": "चाह"}
#: The verb goes last, as in Hindi.
PAIRS = [Pair(f"{who} {do} {what}", f"{WHO[who]} {WHAT[what]} {DO[do]}") for who, do, what in product(WHO, DO, WHAT)]


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, body="transformer", rate=5e-3, updates=250)], ids=["gru", "transformer"]
)
def test_it_learns_words_and_their_order(config):
    held_out = PAIRS[::6]
    trained = train_translator([pair for pair in PAIRS if pair not in held_out], config, also=[p.hindi for p in PAIRS])
    found = translate([trained], [pair.english for pair in held_out], beam=3)
    right = sum(best[0].text == pair.hindi for best, pair in zip(found, held_out, strict=True))
    assert right >= len(held_out) - 1


@pytest.fixture(scope="module")
def trained():
    return train_translator(PAIRS, replace(SMALL, updates=40))


def test_the_list_of_the_best_is_sorted_and_scored_as_the_network_does(trained):
    sentences = ["I drink tea.", "we want water", "bring", ""]
    found = translate([trained], sentences, beam=6, n=4, batch=3)
    assert [len({t.text for t in best}) for best in found] == [len(best) for best in found]
    for sentence, best in zip(sentences, found, strict=True):
        assert 1 <= len(best) <= 4
        assert log_probs(trained, sentence, best[0].text).sum().item() == pytest.approx(best[0].log_prob, abs=1e-3)


def test_a_sentence_is_translated_alike_in_any_company(trained):
    sentences = [pair.english for pair in PAIRS]
    together, alone = (translate([trained], sentences, n=2, batch=size) for size in (64, 1))
    assert [[t.text for t in best] for best in together] == [[t.text for t in best] for best in alone]


@pytest.mark.parametrize("body", ["recurrent", "transformer"])
def test_sub_words_one_by_one_are_scored_as_all_at_once(body):
    torch.manual_seed(0)
    network = module.TranslationNetwork(replace(SMALL, body=body), 20).eval()
    source, target = torch.tensor([[5, 6, 3, 0], [7, 8, 9, 3]]), torch.tensor([[2, 5, 6, 7, 8], [2, 9, 4, 5, 6]])
    memory, state, found = network.encode(source), None, []
    for piece in target.split([1, 1, 2, 1], 1):
        scores, state = network.logits(piece, memory, source, state)
        found.append(scores)
    torch.testing.assert_close(torch.cat(found, 1), network.logits(target, memory, source)[0])


def log_probs(translator, sentence, text):
    """ln P of each sub-word of a translation, by the network alone."""
    source = torch.tensor([translator.ids(sentence)])
    target = torch.tensor([[START, *translator.pieces.encode(text), END]])
    with torch.no_grad():
        scores, _ = translator.network.logits(target[:, :-1], translator.network.encode(source), source)
    return scores.log_softmax(2)[0].gather(1, target[0, 1:, None])[:, 0]


def test_two_translators_average_their_probabilities(trained):
    other = train_translator(PAIRS, replace(SMALL, updates=40), seed=1)
    assert other.serialized == trained.serialized and other.stamp != trained.stamp
    sentence = "you bring milk"
    [[best]] = translate([trained, other], [sentence])
    each = torch.stack([log_probs(t, sentence, best.text) for t in (trained, other)])
    assert each.exp().mean(0).log().sum().item() == pytest.approx(best.log_prob, abs=1e-3)
    with pytest.raises(ValueError, match="same sub-words"):
        translate([trained, train_translator(PAIRS[:9], replace(SMALL, updates=1))], ["tea"])


def test_training_resumes_to_the_same_translator(tmp_path, monkeypatch):
    config, keep = replace(SMALL, dropout=0.2, updates=20), tmp_path / "state.safetensors"
    whole = train_translator(PAIRS, config, seed=3)

    class Stopped(Exception):
        pass

    real, calls = module.nn.utils.clip_grad_norm_, []

    def stop(*args):
        calls.append(args)
        if len(calls) == 15:
            raise Stopped
        return real(*args)

    monkeypatch.setattr(module.nn.utils, "clip_grad_norm_", stop)
    with pytest.raises(Stopped):
        train_translator(PAIRS, config, seed=3, keep=keep, every=6)
    assert train_translator(PAIRS, config, seed=3, keep=keep, every=6).stamp == whole.stamp
    with pytest.raises(KeptError, match="no training can resume"):
        train_translator(PAIRS[1:], config, seed=3, keep=keep)


def test_it_is_kept_and_fine_tuned_with_its_sub_words(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    config = replace(SMALL, updates=5)
    first, again = (kept_translator("toy", PAIRS, config) for _ in range(2))
    assert first.stamp == again.stamp
    assert capfd.readouterr().err.count("translator toy: training on 27 sentence pairs, once") == 1
    tuned = train_translator([Pair("coffee", "कॉफ़ी")], config, start=first)
    assert tuned.serialized == first.serialized and tuned.stamp != first.stamp
    [weights] = tmp_path.glob("translators/toy/weights.safetensors")
    weights.write_bytes(b"half")
    with pytest.raises(KeptError, match="damaged"):
        kept_translator("toy", PAIRS, config)


def test_no_pairs_are_an_error():
    with pytest.raises(ValueError, match="no text"):
        train_translator([], SMALL)
    with pytest.raises(ValueError, match="at most 2 sub-words"):
        train_translator(PAIRS, replace(SMALL, longest=2))


def test_the_dictionary_finds_the_words():
    words = dictionary(PAIRS)
    assert words == {**WHO, **WHAT, **DO}
    assert gloss("We want COFFEE", words) == "हम चाह coffee"


def test_scores_come_with_signatures():
    perfect = score(["मैं चाय पी रहा हूँ।"], ["मैं चाय पी रहा हूँ"])
    assert (perfect.bleu, perfect.chrf) == pytest.approx((100, 100))
    assert all("version:" in signature for signature in perfect.signatures)
    with pytest.raises(ValueError, match="one each"):
        score(["a"], [])
