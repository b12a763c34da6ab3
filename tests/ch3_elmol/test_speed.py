"""Timing in turns: who goes when, what is divided by what, and that every runtime is measured."""

import os
import time
from itertools import count

import numpy as np
import pytest

from slubook.ch3_elmol import speed
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.embeddings import BiLMKind
from slubook.ch3_elmol.speed import TIMED, in_turns, medians, speed_tables, spelled_batches

SMALL = BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=8, hidden=10, longest=8)
SAID = [["play", "some", "jazz"], ["stop"], ["turn", "the", "lights", "off"]]


def os_number(readers, sentences):
    """Instead of times, the number of the process."""
    ways = [f"{way}{ending}" for ending in ("", "_known") for way in ("torch", "onnx", "onnx_int8")]
    return {(way, n): np.full((1, len(readers)), float(os.getpid())) for way in ways for n in speed.SIZES}


@pytest.fixture
def clock(monkeypatch):
    """A processor's clock by which each reading takes longer than the one before, however long it takes."""
    ticks = count()
    monkeypatch.setattr(speed.time, "thread_time", lambda: next(ticks) ** 2 / 1000)


def test_the_tables_have_every_runtime_and_size(monkeypatch, clock):
    monkeypatch.setattr(speed, "TURNS", {1: 6, 32: 2})
    elmol, elmo = BiLM("abc", SMALL), BiLM("abc", BiLMConfig(**{**SMALL.__dict__, "layers": 6}))
    made = speed_tables({"elmo": elmo, "elmol": elmol}, SAID)
    assert {name: list(sizes) for name, sizes in made["speed"].items()} == {
        f"{name}{ending}": ["1", "32"] for ending in ("", "_known") for name in ("torch", "onnx", "onnx_int8")
    }
    tables = {"speed", "speed_times", "exported", "speed_ratio", "speed_ratio_known"}
    assert set(made) == tables, "no light one was given"
    assert set(made["exported"]) == {"onnx", "onnx_int8", "onnx_known", "onnx_int8_known"}
    for runtime, sizes in made["speed_times"].items():
        for size, times in sizes.items():
            assert medians(np.array(times), ["elmo", "elmol"]) == made["speed"][runtime][size], "anybody can recompute"
    whole, eight = made["exported"]["onnx"], made["exported"]["onnx_int8"]
    assert set(whole) == {"elmo", "elmol"} and all(0 <= whole[m] < 1e-5 < eight[m] < 0.05 for m in whole)
    assert made["speed_ratio_known"] == made["speed"]["torch_known"]["1"]["elmol_ratio"] != made["speed_ratio"]
    one = made["speed"]["torch"]["1"]
    assert made["speed_ratio"] == one["elmol_ratio"] and one["elmol_ratio"]["n"] == 6
    assert one["elmol_ratio"]["point"] == pytest.approx(one["elmo"]["point"] / one["elmol"]["point"])


def test_a_light_one_is_timed_beside_them(monkeypatch, clock):
    monkeypatch.setattr(speed, "TURNS", {1: 4, 32: 2})
    sizes = {"elmo": BiLMKind(layers=6), "elmol": BiLMKind(), "elmol_light": BiLMKind(light=True)}
    made = speed_tables({name: BiLM("abc", model.sizes(SMALL)) for name, model in sizes.items()}, SAID)
    assert list(sizes) == list(TIMED)
    assert made["speed_ratio_light"] == made["speed"]["onnx"]["1"]["elmol_light_ratio"]
    assert made["speed_ratio_light_many"] == made["speed"]["onnx"]["32"]["elmol_light_ratio"]
    assert "elmo_ratio" not in made["speed"]["onnx"]["1"]
    light = sizes["elmol_light"].sizes(SMALL)
    assert (light.hidden, light.width, light.filters, light.layers) == (4, 8, ((1, 3), (2, 4)), 1)


@pytest.mark.parametrize("other", [BiLM("abd", SMALL), BiLM("abc", BiLMConfig(**{**SMALL.__dict__, "width": 6}))])
def test_what_cannot_read_the_same_characters_is_not_timed(other):
    with pytest.raises(ValueError, match="one alphabet and one width"):
        speed_tables({"elmo": BiLM("abc", SMALL), "elmol": other}, SAID)


def test_both_are_timed_in_turns_on_the_same_batches_and_the_least_time_counts(monkeypatch):
    monkeypatch.setattr(speed, "TIMES", 2)
    now, calls, batches = [0.0], [], [(np.array(k),) for k in range(4)]
    monkeypatch.setattr(speed.time, "thread_time", lambda: now[0])

    def reader(name, seconds):
        def read(batch):
            calls.append((name, int(batch)))
            now[0] += seconds + (len(calls) % 7) / 1000  # a machine that is busy now and then
            time.sleep(0.001)  # which the processor's clock does not count

        return read

    times = in_turns([reader("a", 0.001), reader("b", 0.02)], batches)
    of = [("b", 0), ("a", 0)] * 2 + [("a", 1), ("b", 1)] * 2 + [("b", 2), ("a", 2)] * 2 + [("a", 3), ("b", 3)] * 2
    assert calls[6:] == of
    cost = [1000 * (0.001 if name == "a" else 0.02) + (k + 1) % 7 for k, (name, _) in enumerate(calls)]
    least = {key: min(c for c, k in zip(cost[6:], of, strict=True) if k == key) for key in of}
    assert times == pytest.approx(np.array([[least["a", k], least["b", k]] for k in range(4)]))


def test_medians_and_their_interval():
    times = np.stack([np.full(50, 2.0), np.r_[np.full(49, 3.0), 900.0]], 1)[None]
    found = medians(times, ["elmol", "elmo"])
    assert found["elmol"] == {"point": 2.0, "low": 2.0, "high": 2.0, "n": 50}
    assert found["elmol_ratio"]["point"] == found["elmol_ratio"]["low"] == 1.5, "one slow turn does no harm"
    wide = medians(np.stack([np.ones(50), np.linspace(1, 3, 50)], 1)[None], ["elmol", "elmo"])["elmol_ratio"]
    assert 1 < wide["low"] < wide["point"] < wide["high"] < 3


def test_the_luck_of_a_process_is_in_the_interval():
    times = np.stack([np.stack([np.ones(50), np.full(50, slow)], 1) for slow in (2.0, 3.0, 4.0)])
    found = medians(times, ["elmol", "elmo"])["elmol_ratio"]
    assert (found["point"], found["low"], found["high"], found["n"]) == (3.0, 2.0, 4.0, 150)


def test_new_processes_measure_one_after_the_other(monkeypatch):
    monkeypatch.setattr(speed, "measure", os_number)
    made = speed_tables({"elmo": BiLM("abc", SMALL), "elmol": BiLM("abc", SMALL)}, SAID, processes=2)
    one = made["speed"]["torch"]["1"]["elmol"]
    assert one["n"] == 2 and one["low"] < one["high"], "two processes, two numbers"


@pytest.mark.parametrize("which", [False, True])
def test_a_graph_that_answers_otherwise_is_not_timed(monkeypatch, which):
    other = BiLM("abc", SMALL)

    def to_onnx(reader, known=False, right=speed.to_onnx):
        return right(other if known == which else reader, known)

    monkeypatch.setattr(speed, "to_onnx", to_onnx)
    monkeypatch.setattr(speed, "measure", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(RuntimeError, match="elmo: ONNX Runtime answers otherwise than torch"):
        speed_tables({"elmo": BiLM("abc", SMALL)}, SAID)


def test_batches_hold_the_sentences_and_begin_again_at_the_end():
    reader = BiLM("abcdefghijklmnopqrstuvwxyz", SMALL)
    batches = spelled_batches(reader, SAID, 2, 2)
    assert [lengths.tolist() for _, _, lengths in batches] == [[3, 1], [4, 3]]
    spelled, words, _ = batches[0]
    assert (spelled[words[1, 0]] == reader.spell(["stop"]).numpy()[0]).all()
