"""The experiment on the clips that ship: what is chosen on dev, what is measured, and what of it reaches the tables."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from slubook.ch6_contextual import protocol
from slubook.ch6_contextual.data import Context, Turn, written
from slubook.ch6_contextual.lists import shipped
from slubook.ch6_contextual.protocol import Example, Tuned, answers, best, dialogue, reduction, tune
from slubook.ch6_contextual.recogniser import Decoded
from slubook.corpora.errors import CorpusError
from slubook.evaluation.metrics import Counted
from slubook.experiments import runner
from slubook.experiments.options import Options
from slubook.experiments.records import Results, Row
from slubook.experiments.report import summarise, tabulate
from slubook.experiments.table import EXPERIMENTS


@pytest.fixture(scope="module")
def settings():
    made = protocol.settings_of("quick")
    return replace(made, encoder=replace(made.encoder, updates=20, size=16))


@pytest.fixture(scope="module")
def results(settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("contextual")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUBOOK_CACHE", str(path))
        runner.run("contextual", Options(jobs=1, out=path / "contextual.json"), settings)
    return Results.load(path / "contextual.json")


def test_context_helps_and_another_context_does_not(results):
    found = results.tables
    assert found["wer_reduction"]["low"] > 0.2
    assert found["methods"]["shuffled"]["point"] < 0.1 < found["true_over_shuffled"]["low"]
    assert found["first_turns"]["point"] >= -0.01
    rates = found["rates"]["follow-ups"]
    assert rates["context"]["b_wer"] < 0.5 * rates["a"]["b_wer"]
    assert rates["oracle_both"]["errors"] <= min(rates["oracle_a"]["errors"], rates["context"]["errors"])


def test_every_method_is_measured_on_every_turn(results):
    assert set(results.methods) == set(EXPERIMENTS["contextual"].methods)
    turns = {turn.id for turn in shipped()[0] if turn.split == "test"}
    assert {id for test in results.tests.values() for id in test.ids} == turns
    assert {row.size for row in results.rows} == {10, 100, 1000}


def test_the_table_fits_a_terminal(results, capsys):
    from rich.console import Console

    lines = summarise(results, replicates=50)
    assert {"wer", "wer_reduction"} <= lines[0].keys() and "irer" not in lines[0]
    Console(width=80).print(tabulate(lines, EXPERIMENTS["contextual"]))
    assert "WER %" in capsys.readouterr().out


def test_records_hold_no_text(results):
    held = json.dumps([row.to_json() for row in results.rows])
    assert not [turn.text for turn in shipped()[0] if len(turn.text) > 6 and turn.text in held]


def example(id, text, a, b, stratum="contact"):
    lists = {"a": a, "general": a, **dict.fromkeys(("empty", "type", "context", "shuffled", "stale"), b)}
    return Example(
        Turn(id, text, Context(stratum, "", "who"), stratum, id, "dev"), Context(stratum), lists, frozenset()
    )


def heard(text, path):
    return Decoded(text, path, ((text, path),))


def test_delta_does_no_harm_to_first_turns():
    """One δ would mend the follow-up and break the first turn; what is left is the largest gain without harm."""
    mended = example("1", "bauer", heard("power", -100), heard("bauer", -50))
    harmed = example("2", "stop", heard("stop", -100), heard("bauer", -60), "first")
    free = tune([mended], {}).delta["context"]
    assert free == -4000 or select_says(mended, free) == "bauer"
    careful = tune([mended, harmed], {}).delta["context"]
    assert select_says(harmed, careful) == "stop"
    both = [example("1", "bauer", heard("power", -100), heard("bauer", 950)), harmed]
    chosen = tune(both, {}).delta["context"]
    assert [select_says(e, chosen) for e in both] == ["bauer", "stop"]


def select_says(some, delta):
    return protocol.select(some.lists["a"], some.lists["context"], delta).text


def test_without_the_neural_model_the_list_that_delta_selects_is_taken():
    features = np.array([[-100.0, 0, 0, -5], [-100, -9, 0, -1], [-80, 0, 1, -7], [-80, -3, 1, -2]])
    texts = ["a1", "a2", "b1", "b2"]
    assert best(texts, features, -19, 0, 0.1) == "b1" and best(texts, features, -21, 0, 0.1) == "a1"
    assert best(texts, features, -19, 1, 0.1) == "b2", "a likelier text may win within its list"


def test_a_silent_decoder_breaks_nothing():
    silent = Decoded("", float("-inf"))
    one = example("1", "bauer", heard("power", -100), silent)
    said = answers(one, Tuned(dict.fromkeys(protocol.TUNED, 0), 0, {}), {})
    assert said["context"] == said["a"] == "power"
    nothing = Decoded.from_json(json.loads(json.dumps(silent.to_json())))
    assert nothing == silent
    neither = example("2", "bauer", nothing, nothing)
    encoder = protocol.train_encoder([one.turn], protocol.EncoderConfig(size=8, updates=1))
    said = answers(neither, Tuned(dict.fromkeys(protocol.TUNED, 0), 0, {"neural": (0, 1, 1)}), {"neural": encoder})
    assert set(said.values()) == {""}


def rows(a, b, words=10):
    n = len(a)
    made = [Counted(np.full(n, words), np.array(errors), np.zeros(n, int), np.zeros(n, int)) for errors in (a, b)]
    return [Row("s", method, 100, 0, outcomes) for method, outcomes in zip(("a", "context"), made, strict=True)]


def test_reductions_pool_words_and_draw_dialogues():
    ids = {"s": ["sgd/d/1", "sgd/d/2", "sgd/e/1", "sgd/f/1"]}
    halved = reduction(rows([2, 2, 2, 4], [1, 1, 1, 2]), ids, "context")
    assert halved == {"point": 0.5, "low": 0.5, "high": 0.5, "n": 4}
    spread = reduction(rows([2, 2, 2, 4], [0, 0, 1, 4]), ids, "context")
    assert spread["point"] == 0.5 and spread["low"] == 0 and spread["high"] == 1
    gained = reduction(rows([2, 2], [1, 1]), {"s": ["1", "2"]}, "context", gain=True)
    assert gained["point"] == pytest.approx(0.1)
    assert reduction(rows([1], [1]), {"s": ["1"]}, "neural") is None


def test_services_are_drawn_and_our_strata_stay():
    """Two services whose dialogues all agree: only drawing services spreads the figure."""
    made = [replace(row, skill=name) for name, b in (("one", [0, 0]), ("two", [2, 2])) for row in rows([2, 2], b)]
    ids = {"one": ["sgd/a/1", "sgd/b/1"], "two": ["sgd/c/1", "sgd/d/1"]}
    drawn = reduction(made, ids, "context")
    assert (drawn["point"], drawn["low"], drawn["high"]) == (0.5, 0, 1)
    fixed = reduction(made, ids, "context", drawn=False)
    assert (fixed["point"], fixed["low"], fixed["high"]) == (0.5, 0.5, 0.5)
    ours = reduction(made, {"one": ["contact-1", "contact-2"], "two": ["place-1", "place-2"]}, "context")
    assert (ours["low"], ours["high"]) == (0.5, 0.5)


def test_of_an_order_the_values_that_were_not_heard_are_counted():
    turn = Turn("orders/1", "soy milk mocha", Context("order"), "orders", "1", "test", values=("soy milk", "mocha"))
    order = Example(turn, turn.context, {}, frozenset())
    assert order.counted("a mocha with soy milk please") == [2, 0, 0, 0]
    assert order.counted("a mocha with soya milk please") == [2, 1, 0, 0]
    assert order.counted("") == [2, 2, 0, 0]
    tested = protocol.test_of([turn], frozenset(), "orders")
    assert tested.corpus == "speech_to_intent" and tested.truth["words"].tolist() == [2]


def test_mixtures_are_those_with_the_fewest_errors_on_dev(monkeypatch, settings):
    """What decoding would say is made up: A is right with a tenth of general text, B with much context."""
    clips, _ = protocol.quick_clips(settings)
    clips = replace(clips, dev=clips.dev[:6])

    def decoded(self, turn, names):
        right = self.weights.general == 0.1 if names == ("a",) else self.weights.context == 0.7
        return {names[0]: heard(turn.text if right else "power", -1)}

    monkeypatch.setattr(protocol.Clips, "decoded", decoded)
    chosen, tried = protocol.mixed(clips, 1)
    assert (chosen.weights.general, chosen.weights.context) == (0.1, 0.7)
    assert [t["errors"] > 0 for t in tried] == [True, False, True, True, True, True, True, False]


def test_lists_are_kept_by_what_they_depend_on(monkeypatch, settings, tmp_path):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    clips, _ = protocol.quick_clips(settings)
    turn, made = clips.dev[0], []

    class Listening:
        def hear(self, name, audio, context):
            made.append(name)
            return heard(turn.text, -1)

    monkeypatch.setattr(protocol, "decoders", lambda clips: Listening())
    other = replace(clips, weights=replace(clips.weights, general=0.9))
    for each in (clips, clips, other):
        assert each.decoded(turn, ("general", "a", "context"))["a"].text == turn.text
    assert made == ["general", "a", "context", "a"], (
        "another weight of the general model is another A, and nothing else"
    )


def test_dialogues_of_turns():
    assert dialogue("sgd/test/1_00003/4") == "sgd/test/1_00003"
    assert dialogue("contact-test-3") == "contact-test-3"


def test_own_turns_are_decoded(tmp_path, monkeypatch, settings):
    """A turn of the user's own, with a clip that ships; decoder A keeps its general model, which saves a minute."""
    turns, lists = shipped()
    turn = next(turn for turn in turns if turn.split == "test" and turn.stratum == "contact")
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(protocol.made.ngram, "mix", lambda models, weights: models[0] if len(models) == 2 and
                        len(models[0].words) > 50_000 else real(models, weights))  # fmt: skip
    real = protocol.made.ngram.mix
    clip, rate = soundfile.read(turn.audio, dtype="int16")
    soundfile.write(tmp_path / "mine.wav", clip, rate)
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(written([turn], {turn.id: "mine.wav"})), "utf-8")
    clips, _ = protocol.own_clips([path], settings)
    (found,) = clips.examples(clips.test["contact"])
    assert found.lists["context"].text == lists[turn.id]["context"].text


def test_own_turns_that_cannot_be_measured_are_refused(tmp_path, settings):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"text": "yes", "prompt": "really"}), "utf-8")
    with pytest.raises(CorpusError, match="has no audio"):
        protocol.own_clips([path], settings)
    path.write_text(json.dumps({"text": "yes", "split": "train"}), "utf-8")
    with pytest.raises(CorpusError, match="no test turn has a prompt"):
        protocol.own_clips([path], settings)


def listed(id, split, text, a, context, prompt="who"):
    """A line of a user's own turns, with one hypothesis of each decoder; B's is twenty likelier."""
    lists = {"a": [[a, -320.0]], "context": [[context, -300.0]]}
    return json.dumps({"id": id, "split": split, "text": text, "prompt": prompt, "kind": "contact", "lists": lists})


def test_own_lists_need_no_clip(tmp_path, settings, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.jsonl"
    lines = [listed(f"{split}{k}", split, "bauer", "power", "bauer") for split in ("dev", "test") for k in range(3)]
    lines.append(listed("first", "test", "stop", "stop", "bauer", prompt=""))
    path.write_text("\n".join(lines), "utf-8")
    found = runner.run("contextual", Options(corpora=(path,), jobs=1), settings)
    assert found.tables["wer_reduction"]["point"] == 1 and found.tables["strata"]["first"]["context"]["point"] <= 0
    assert set(found.methods) == {"a", "boost", "context", "neural", "neural_blind", "oracle_a", "oracle_both"}


BAD_LISTS = {
    "one decoder is missing": ['{"id": "1", "text": "a", "prompt": "b", "lists": {"a": [["a", 1]]}}'],
    "list of one decoder": ['{"id": "1", "text": "a", "prompt": "b", "lists": "x"}'],
    "lists: ": ['{"id": "1", "text": "a", "prompt": "b", "lists": {"a": "x", "context": []}}'],
    "some of split dev": [listed("1", "test", "a", "b", "a")],
    "do not compare": [
        listed("1", "test", "a", "b", "a"),
        listed("2", "dev", "a", "b", "a"),
        '{"id": "3", "text": "a", "prompt": "b", "audio": "mine.wav"}',
    ],
    "no audio and no lists": ['{"id": "1", "text": "a", "prompt": "b"}'],
}


@pytest.mark.parametrize("told", BAD_LISTS)
def test_bad_lists_are_named(tmp_path, settings, told):
    (tmp_path / "mine.wav").touch()
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(BAD_LISTS[told]), "utf-8")
    with pytest.raises(CorpusError, match=told):
        protocol.own_clips([path], settings)
