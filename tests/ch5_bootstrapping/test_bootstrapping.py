"""The experiment: models and counts on made-up text, the quick profile end to end, and what it may not depend on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from slubook.book.claims import load_claims
from slubook.ch5_bootstrapping import methods, protocol
from slubook.ch5_bootstrapping.material import Material, material_of
from slubook.ch5_bootstrapping.methods import MethodSettings
from slubook.ch5_bootstrapping.ngram import Vocabulary, train
from slubook.ch5_bootstrapping.protocol import (
    GRID,
    SLICE,
    by_unit,
    log_probs,
    measure_cell,
    rare_over_common,
    search,
    settings_of,
    truth,
)
from slubook.ch5_bootstrapping.speech import FESTIVAL, TEST_VOICES, speakable
from slubook.evaluation.intervals import mean_error
from slubook.evaluation.metrics import Counted
from slubook.experiments.options import Options
from slubook.experiments.records import Results, Row
from slubook.experiments.report import summarise, tabulate
from slubook.experiments.runner import run
from slubook.experiments.table import EXPERIMENTS

OWN = [["a", "b"], ["a", "c"], ["b", "c"], ["a", "b", "c"], ["c"], ["a"]]
#: A translator that learns next to nothing, in no time.
BRIEF = MethodSettings(replace(protocol.BRIEF, updates=60), updates=1, selected=5)
BRIEF = replace(settings_of("quick"), methods=BRIEF)


def test_counts_are_added_up_by_dialogue():
    assert by_unit([1, 2, 3, 4], ["x", "y", "x", "z"]).tolist() == [4, 2, 4]
    said, units = [["a", "b"], ["c"], ["a", "unheard"]], ["x", "y", "x"]
    assert {name: column.tolist() for name, column in truth(said, units).items()} == {"words": [4, 1], "tokens": [6, 2]}
    model = train(OWN, Vocabulary.of(OWN), 3)
    found = log_probs(model, said, units)
    assert found["oov"].tolist() == [1, 0]
    assert found["log_probability"][1] == pytest.approx(model.sentence_scores([["c"]])[0])
    counted = Counted(errors=np.zeros(2, int), **truth(said, units), **found)
    ours = mean_error([Row("v", "m", 1, 0, counted)], "perplexity", "m", replicates=10).point
    assert ours == pytest.approx(model.perplexity(said).value)


def test_the_gain_at_few_requests_less_that_at_many():
    def row(method: str, size: int, errors: int, voice: str = "v", seed: int = 0) -> Row:
        counted, mask = Counted(words=np.full(30, 10), errors=np.full(30, errors)), np.full(30, voice != FESTIVAL)
        return Row(voice, method, size, seed, counted, slices={SLICE: mask})

    rows = [row("in_domain", 100, 5), row("all", 100, 4), row("in_domain", 1000, 4), row("all", 1000, 4)]
    rows += [row(r.method, r.size, 9, FESTIVAL) for r in rows]  # another synthesiser's voice says nothing
    figure = rare_over_common(rows, (100, 250, 1000, 2000))["rare_over_common"]
    assert figure["point"] == pytest.approx(0.2) == pytest.approx(figure["low"])
    half = [row(r.method, 100, 0, "v", seed=1) for r in rows[:2]]  # a run that was stopped before the other size
    assert rare_over_common([*rows, *half], (100, 250, 1000, 2000))["rare_over_common"] == figure
    for some in ([], half, rows[:2], rows[4:]):
        assert rare_over_common(some, (100, 250, 1000, 2000)) == {}


def test_the_quick_material_keeps_the_test_out_of_all_that_is_read():
    material = material_of("quick")
    tests = {text for clips, _ in material.tests.values() for text in clips.texts}
    human = material.human_beside(80, 0)
    read = {" ".join(turn) for dialogue in material.hindi for turn in dialogue} | {speakable(p.hindi) for p in human}
    assert set(material.tests) <= {*TEST_VOICES} and FESTIVAL in material.tests
    assert len(tests) == sum(len(c) for c, _ in material.tests.values())
    assert tests and read and not tests & read
    assert len(material.english) == len(human)


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> Results:
    """The quick profile, at the smaller size and on two voices."""
    folder, patch = tmp_path_factory.mktemp("quick"), pytest.MonkeyPatch()
    patch.setenv("SLUBOOK_CACHE", str(folder))
    patch.setitem(protocol.SIZES, "quick", (20,))
    whole = material_of("quick")
    some: Material = replace(whole, tests={voice: whole.tests[voice] for voice in TEST_VOICES[:2]})
    patch.setattr(protocol, "material_of", lambda kind: some)
    yield run("bootstrapping", Options(jobs=1, out=folder / "bootstrapping.json"), BRIEF)
    patch.undo()


def test_the_quick_profile_measures_every_method_that_needs_no_public_text(quick):
    known = EXPERIMENTS["bootstrapping"].methods
    assert set(quick.methods) == {name for name in known if not name.startswith("prompts")}
    assert quick.skills == list(TEST_VOICES[:2]) and quick.sizes == [20]
    for row in quick.rows:
        assert row.outcomes.errors.sum() > 0 and row.outcomes.words.sum() > 40
        assert 0 <= row.figures["oov"] < 1 and row.bytes > 0


def test_more_requests_are_recognised_better_and_the_words_of_the_test_are_what_is_missing(quick):
    rate = {m: mean_error(quick.rows, "wer", m, replicates=10).point for m in ("in_domain", "human", "rest")}
    assert 0.1 < rate["human"] < rate["in_domain"] < 1.0
    oov = {m: np.mean([row.figures["oov"] for row in quick.select([m])]) for m in rate}
    assert oov["human"] < oov["in_domain"]


def test_claims_are_judged_on_the_voices_of_the_synthesiser_that_trained_the_recogniser(quick):
    assert all(row.slices[SLICE].all() for row in quick.rows)
    clips, units = material_of("quick").tests[FESTIVAL]
    assert not protocol._test("quick", FESTIVAL, clips, units).slices[SLICE].any()
    claims = [c for c in load_claims()[1] if c.experiment == "bootstrapping" and c.measure.kind == "comparison"]
    assert {c.measure.slice for c in claims if not c.id.endswith("-voices")} == {SLICE}
    assert [c.role for c in claims if c.measure.slice is None] == ["reading", "reading"]


def test_results_say_what_was_tried_and_what_cells_were_made_with(quick):
    tried, settings = quick.tables["techniques"], BRIEF.methods
    assert [row["weight"] for row in tried if "weight" in row] == list(settings.weights)
    assert [row["keep"] for row in tried if "keep" in row] == list(settings.keeps)
    assert all(1 < row["perplexity"] < 1e4 for row in tried) and len({row["perplexity"] for row in tried}) > 2
    assert all({*origin["vectors"]} == {"translator", "Hindi vectors"} for origin in quick.tables["origins"])
    scores = {row["method"]: row for row in quick.tables["quality"]}
    assert len(material_of("quick").english) >= scores["translated"]["turns"] > scores["filtered"]["turns"] > 0
    assert all(0 <= row["bleu"] <= 100 and len(row["signatures"]) == 2 for row in scores.values())
    assert quick.stamp["config"]["compared"] == list(EXPERIMENTS["bootstrapping"].methods)


def test_the_search_goes_on_while_the_best_lies_at_an_edge():
    def errors(weight: float, bonus: float) -> int:
        return round(100 * (weight - 2.1) ** 2 + (bonus + 2) ** 2)

    tried = search(errors)
    assert tried[0] == {"weight": 2.1, "bonus": -2.0, "errors": 0}
    assert [row["errors"] for row in tried] == sorted(row["errors"] for row in tried)
    assert {2.4, 0.6} <= {row["weight"] for row in tried} and {-3.0, 3.0} <= {row["bonus"] for row in tried}
    assert len(tried) == len({(row["weight"], row["bonus"]) for row in tried})
    inside = search(lambda weight, bonus: round(10 * (weight - 0.9) ** 2 + bonus**2))
    assert len(inside) == len(GRID["weight"]) * len(GRID["bonus"])
    with pytest.raises(ValueError, match="best weight"):
        search(lambda weight, bonus: round(100 - 10 * weight + bonus**2))


def test_one_vocabulary_for_every_perplexity(quick):
    for voice in quick.skills:
        assert len({row.outcomes.oov.tobytes() for row in quick.select(skills=[voice])}) == 1


def test_records_can_be_resampled_and_tabulated(quick, tmp_path):
    quick.save(tmp_path / "again.json")
    lines = summarise(Results.load(tmp_path / "again.json"), replicates=20)
    assert all(math.isfinite(line["wer"][0]) for line in lines)
    assert tabulate(lines, EXPERIMENTS["bootstrapping"]).row_count == len(lines)


def test_a_cell_is_measured_the_same_again_and_translates_nothing(quick, monkeypatch, tmp_path):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    protocol.models_of.cache_clear()
    protocol.prepare(Options(jobs=1), BRIEF)
    monkeypatch.setattr(methods, "translate", None)  # what cells share was made before
    again = {row.method: row.outcomes for row in measure_cell("quick", TEST_VOICES[0], 20, 0, BRIEF).rows}
    for row in quick.select(skills=[TEST_VOICES[0]]):
        assert (row.outcomes.errors == again[row.method].errors).all(), row.method
