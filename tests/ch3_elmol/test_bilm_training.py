"""Training a language model: it learns, it goes on where it was interrupted, and its perplexity is what it says."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from slubook.ch1_skills.masked_lm import OutputWords
from slubook.ch3_elmol import bilm_training as bilm
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig, LanguageModel, perplexity
from slubook.ch3_elmol.bilm_training import BiLMTraining, bilm_folder, kept_bilm, train_bilm, warm_cosine

SMALL = BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=12, hidden=14, longest=8)
FAST = BiLMTraining(SMALL, epochs=5, batch=8, candidates=10, rate=2e-2, least=2, dropout=0.1)
TALK = [
    f"{verb} {thing} {end}".split()
    for verb, things, end in (
        ("play", ("jazz", "rock", "blues"), "in the kitchen"),
        ("set", ("an alarm", "a timer"), "for noon"),
    )
    for thing in things
    for _ in range(9)
]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all([torch.equal(x, y) for x, y in pairs])


@pytest.mark.parametrize("layers", [1, 2])
def test_it_learns_what_follows_what(layers):
    config = replace(FAST, model=replace(SMALL, layers=layers), epochs=12)
    trained = train_bilm("toy", TALK, config)
    untrained = train_bilm("toy", TALK, replace(config, epochs=1, rate=0.0, weight_decay=0.0))
    good, bad = (perplexity(m, TALK) for m in (trained, untrained))
    assert max(good["forward"], good["backward"]) < 2.5 < 5 < min(bad["forward"], bad["backward"])
    about = trained.reader.about
    counted = about["sentences"], about["updates"], about["output_words"]
    assert counted == (len(TALK), 12 * math.ceil(len(TALK) / 8), len({w for s in TALK for w in s}))


def test_interrupted_and_resumed_it_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole, keep = train_bilm("toy", TALK, FAST), tmp_path / "half" / "state.safetensors"
    step, done = OutputWords.loss, []

    def interrupted(*given):
        done.append(1)
        if len(done) in (9, 17):
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(OutputWords, "loss", interrupted)
    monkeypatch.setattr(bilm, "device_name", lambda device: "an older one" if len(done) < 9 else "this one")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_bilm("toy", TALK, FAST, keep=keep, every=4)
        assert keep.is_file()
        torch.rand(3)  # whatever else is drawn meanwhile
    resumed = train_bilm("toy", TALK, FAST, keep=keep, every=4)
    updates = whole.reader.about["updates"]
    assert len(done) == 9 + (17 - 9) + (updates - 12), "it went on from updates 8 and 12, not from the start"
    assert same(whole, resumed) and list(keep.parent.iterdir()) == [keep], "who saves the model removes it"
    assert resumed.reader.about["devices"] == ["an older one", "this one"]
    assert whole.reader.about["devices"] == ["processor"]
    assert not same(whole, train_bilm("toy", TALK, FAST, seed=1))


def test_a_state_of_another_training_or_a_damaged_one_is_refused(tmp_path, monkeypatch):
    keep, step = tmp_path / "state.safetensors", OutputWords.loss
    calls = iter(range(100))
    monkeypatch.setattr(OutputWords, "loss", lambda *a: step(*a) if next(calls) < 5 else (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):
        train_bilm("toy", TALK, FAST, keep=keep, every=2)
    with pytest.raises(ValueError, match=r"another text or other settings.*delete the file"):
        train_bilm("toy", TALK[1:], FAST, keep=keep)
    keep.write_bytes(keep.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"no training can resume from it .*: delete the file"):
        train_bilm("toy", TALK, FAST, keep=keep)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_it_trains_on_a_gpu():
    figures = perplexity(train_bilm("toy", TALK, replace(FAST, epochs=12), device="cuda"), TALK)
    assert figures["forward"] < 2.5


def test_text_without_repeated_words_is_refused():
    with pytest.raises(ValueError, match="of 1 requests, no word occurs 2 times"):
        train_bilm("toy", [["once"]], FAST)


def test_the_rate_rises_for_a_tenth_and_falls_to_almost_nothing():
    rates = [warm_cosine(k / 100) for k in range(1, 101)]
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(0.02)


def test_a_model_is_trained_again_only_when_its_text_or_settings_change(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    few = replace(FAST, epochs=1)
    first = kept_bilm("t", TALK, few, TALK[:5])
    assert "language model t: training ELMoL on 45 requests, once" in capsys.readouterr().err
    monkeypatch.setattr(bilm, "train_bilm", lambda *a, **k: pytest.fail("trained again"))
    assert same(first, kept_bilm("t", TALK, few, TALK[:5]))
    assert [p.name for p in bilm_folder("t").parent.iterdir()] == ["t"]
    for text, config, measured in ((TALK[1:], few, TALK[:5]), (TALK, FAST, TALK[:5]), (TALK, few, TALK)):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            kept_bilm("t", text, config, measured)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        kept_bilm("t", TALK, few, TALK[:5], seed=1)


class TestPerplexity:
    @pytest.fixture
    def model(self):
        torch.manual_seed(3)
        counts = Counter(w for s in TALK for w in s)
        return LanguageModel(BiLM("abcdefgh", SMALL), OutputWords(counts, 12)).eval()

    def test_a_model_that_knows_nothing_has_as_many_choices_as_words(self, model):
        torch.nn.init.zeros_(model.output.vectors)
        found = perplexity(model, TALK)
        for name in ("forward", "backward", "forward_known", "backward_known"):
            assert found[name] == pytest.approx(len(model.output.bias))
        assert found["unknown"] == 0 and found["words"] == sum(map(len, TALK))

    def test_it_is_that_of_each_sentence_by_hand(self, model):
        said = [["play", "zebra", "jazz"], ["set"]]
        found = perplexity(model, said)
        assert found["unknown"] == 1 / 4 and found["words"] == 4
        for direction, name in enumerate(("forward", "backward")):
            surprises, known = [], []
            for s in said:
                lexicon = sorted(set(s))
                words = torch.tensor([[lexicon.index(w) for w in s]])
                states, _, _ = model.reader.read(
                    model.reader.characters(model.reader.spell(lexicon)), words, torch.tensor([len(s)])
                )
                spoken = s if direction == 0 else s[::-1]
                for step, word in enumerate([*spoken, ""]):
                    logits = states[-1][direction, step] @ model.output.vectors.t() + model.output.bias
                    row = 1 if word == "" else model.output.index.get(word, 0)
                    surprises.append(-F.log_softmax(logits, 0)[row].item())
                    known.append(row != 0)
            assert found[name] == pytest.approx(math.exp(sum(surprises) / 6), rel=1e-4)
            of_known = [x for x, k in zip(surprises, known, strict=True) if k]
            assert found[f"{name}_known"] == pytest.approx(math.exp(sum(of_known) / 5), rel=1e-4)

    def test_nothing_to_guess(self, model):
        with pytest.raises(ValueError, match="no words"):
            perplexity(model, [[]])
