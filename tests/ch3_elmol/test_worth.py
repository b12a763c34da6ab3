"""The experiment *worth*: how far labelled examples go with and without a language model."""

from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.skillsets import Skill
from slubook.ch1_skills.tables import table_folder
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.transfer import Recipe
from slubook.ch3_elmol import benchmark, worth
from slubook.ch3_elmol.benchmark import BenchmarkPlan, BenchmarkSettings, PoolInputs
from slubook.ch3_elmol.bilm import BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining, kept_bilm
from slubook.ch3_elmol.embeddings import Read
from slubook.ch3_elmol.worth import (
    METHODS,
    RATIOS,
    TrainingWay,
    WorthSettings,
    enough,
    resampled,
    settings_of,
    usual_ways,
    worth_tables,
)
from slubook.corpora.utterance import words
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.cells import CellsFailed
from slubook.experiments.options import Options
from slubook.experiments.records import Results, Row
from slubook.experiments.runner import run

NARROW = Recipe(
    NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=8, layers=3, word_dropout=0.1),
    TrainingConfig(batch=4, updates=10, evaluations=2),
)
WIDE = replace(NARROW, network=replace(NARROW.network, hidden=9), training=replace(NARROW.training, updates=0))
RATES = (1.0, 2.5)
SMALL = WorthSettings(
    (TrainingWay(NARROW, RATES, 8), TrainingWay(WIDE, (0.5,), 12)),
    BiLMTraining(BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8), epochs=1),
)


@pytest.fixture
def how(toy_skill, tmp_path, monkeypatch) -> tuple[Options, BenchmarkPlan]:
    """Options and plan of a run on the toy skill; its last utterance is in the pool and in the test set."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(worth, "SIZES", {"quick": (6, 12, 24, 9000)})
    monkeypatch.setattr(worth, "LABELLED", {"quick": (6, 12)})
    monkeypatch.setattr(worth, "UPDATES", {"quick": 20})
    pool, test = toy_skill[:50], [*toy_skill[50:], toy_skill[0]]
    rows = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float16)
    VectorTable("toy", {"read": 0, "add": 1}, rows, np.zeros((0, 8), np.float16)).save(table_folder("toy"))
    whole, said = Skill("toy", "toy", ("shopping",), tuple(test), tuple(pool)), [words(u.text) for u in pool]
    reader = kept_bilm("toy", said, SMALL.bilm, said).reader
    table = VectorTable.load(table_folder("toy"))
    inputs = PoolInputs(Read.of_table("pool", table, said), Read.of_model("elmol", "toy", reader))
    the_plan = BenchmarkPlan(whole, (), (), inputs, {})
    monkeypatch.setattr(benchmark, "plan", lambda *given: the_plan)
    return Options(seeds=2, jobs=1, out=tmp_path / "worth.json"), the_plan


def test_scratch_is_learned_at_every_size_and_the_others_where_they_are_few(how, monkeypatch):
    fitted, fit_starts, fit_contextual = [], worth.fit_starts, worth.fit_contextual

    def starts(given, *rest):
        fitted.append(("scratch", [(s.rate, s.pretrained, s.parts) for s in given.values()], *rest))
        return fit_starts(given, *rest)

    def contextual(start, *rest):
        fitted.append((start.unfreezing.how, start.rate, *rest))
        return fit_contextual(start, *rest)

    monkeypatch.setattr(worth, "fit_starts", starts)
    monkeypatch.setattr(worth, "fit_contextual", contextual)
    done = run("worth", how[0], SMALL)
    assert done.tables["cells"] == {"done": 6, "planned": 6}, "9,000 are more than there are"
    sizes = {m: [r.size for r in done.select([m], seeds=[0])] for m in METHODS}
    assert sizes == {"scratch": [6, 12, 24], "fasttext_pool": [6, 12], "elmol": [6, 12]}
    lengths = {(f[-1].network.hidden, len(f[2]), f[-1].training.updates) for f in fitted}
    assert lengths == {(8, 6, 20), (8, 12, 24), (8, 24, 48), (9, 6, 20), (9, 12, 36), (9, 24, 72)}, "or enough epochs"
    assert [f[1] for f in fitted[:2]] == [[(rate, None, ()) for rate in RATES], [(0.5, None, ())]]
    assert [f[1] for f in fitted[2:8]] == [*RATES, 0.5] * 2
    assert [f[0] for f in fitted[:8]] == ["scratch"] * 2 + ["frozen"] * 3 + ["slowly"] * 3
    assert len({repr(f[-1]) for f in fitted if len(f[2]) == 6}) == 2, "two recipes, the same for all"
    assert {(r.figures["way"], r.figures["rate"]) for r in done.rows} <= {(0, 1.0), (0, 2.5), (1, 0.5)}
    trained = [{u.id for u in f[2]} for f in fitted if f[0] == "scratch" and f[4] == 0][::2]
    assert trained[0] < trained[1] < trained[2]
    assert set(done.tables["capped"]) == set(RATIOS) < set(done.tables)
    again = Results.load(how[0].out)
    assert again.tables["data_ratio"]["n"] == 2 and not again.rows[0].slices["apart"][-1]


def test_of_all_ways_dev_chooses_the_first_of_the_best(how, monkeypatch):
    errors = iter([0.3, 0.2, 0.2, 0.3, 0.4, 0.2, 0.1, 0.4, 0.1] + [0.5] * 99)
    monkeypatch.setattr(worth, "dev_error", lambda model, dev: next(errors))
    done = run("worth", replace(how[0], seeds=1), SMALL)
    chosen = {r.method: (r.figures["way"], r.figures["rate"]) for r in done.select(sizes=[6])}
    assert chosen == {"scratch": (0, 2.5), "fasttext_pool": (1, 0.5), "elmol": (0, 1.0)}


def test_the_ways_are_chapter_twos_and_the_benchmarks():
    (narrow, wide), tuned = usual_ways(), BenchmarkSettings().contextual
    assert narrow.recipe == transfer.TransferSettings().scratch and wide.recipe.network == tuned.network
    assert wide.recipe.training.batch == tuned.training.batch and wide.recipe.network.layers == 3
    assert wide.lasting(1000, 250).training.updates == 1000
    assert wide.lasting(1000, 12_000).training.updates == 16 * 12_000 // tuned.training.batch
    assert [way.recipe for way in settings_of("quick").ways] == [narrow.recipe]


def test_a_language_model_that_another_run_replaced_is_not_taken_for_this_ones(how, monkeypatch):
    inputs = how[1].inputs
    other = replace(how[1], inputs=inputs._replace(reader=inputs.reader._replace(made="another")))
    monkeypatch.setattr(benchmark, "plan", lambda *given: other)
    with pytest.raises(CellsFailed, match="was replaced by another run: run this one again"):
        run("worth", how[0], SMALL)


def test_between_two_sizes_the_line_is_straight_over_their_logarithm():
    sizes = [250, 500, 1000]
    assert enough([0.4, 0.3, 0.2], sizes, 0.3) == pytest.approx(500)
    assert enough([0.4, 0.3, 0.2], sizes, 0.25) == pytest.approx(500 * 2**0.5)
    assert enough([0.4, 0.3, 0.2], sizes, 0.5) == 250 and enough([0.4, 0.3, 0.2], sizes, 0.1) == 1000
    assert enough([0.4, 0.2, 0.3], sizes, 0.25) < 500, "the first time that it is reached counts"


def rows(errors: dict[tuple[str, int], float], seeds: int = 3, n: int = 200) -> list[Row]:
    """Methods with an embedding err on other utterances than scratch; the first half of the test is *apart*."""
    ones, apart, made = np.ones(n, dtype=int), {"apart": np.arange(n) < n // 2}, []
    for (method, size), error in errors.items():
        for seed in range(seeds):
            right = (np.arange(n) + 7 * seed + 50 * (method != "scratch")) % n >= error * n
            measured = Outcomes(right.astype(int), ones, ones, ones, 0 * ones)
            made.append(Row("snips", method, size, seed, measured, slices=apart))
    return made


CURVE = {("scratch", n): e for n, e in ((500, 0.4), (1000, 0.3), (2000, 0.2), (4000, 0.1))}
SIZES = sorted(size for _, size in CURVE)


def test_the_ratio_and_how_often_it_is_a_lower_bound():
    others = {("elmol", 1000): 0.2, ("elmol", 500): 0.3, ("fasttext_pool", 1000): 0.05}
    found = worth_tables(rows(CURVE | others), (500, 1000), SIZES)
    ratio = found["data_ratio"]
    assert ratio["point"] == pytest.approx(2) and ratio["low"] < 1.9 and ratio["high"] > 2.1 and ratio["n"] == 3
    assert found["data_ratio_few"]["point"] == pytest.approx(2), "1,000 for 500"
    assert found["data_ratio_pool"]["point"] == found["data_ratio_pool"]["high"] == 4
    assert found["capped"]["data_ratio_pool"] > 0.9 > found["capped"]["data_ratio"]
    apart = found["data_ratio_apart"]["point"]
    assert apart > ratio["point"], "scratch errs in the first half, the other one does not there"


def test_a_draw_that_is_not_whole_is_not_counted():
    curve = {("scratch", 500): 0.4, ("scratch", 1000): 0.3}
    sizes = [500, 1000]
    some = rows(curve | {("elmol", 500): 0.2})
    assert set(worth_tables(some, (500, 1000), sizes)) == {"data_ratio_few", "capped"}
    assert worth_tables([], (500, 1000), sizes) == {}
    assert worth_tables(some, (500, 1000), [*sizes, 2000]) == {}, "a size that is to come would cap the ratio"
    found = worth_tables([*some, *rows({("elmol", 1000): 0.3}, seeds=2)], (500, 1000), sizes)
    assert found["data_ratio"]["n"] == 2 and found["data_ratio_few"]["n"] == 3


def test_seeds_and_utterances_are_drawn_alike_for_all():
    mistakes = np.zeros((2, 3, 50))
    mistakes[:, :, :10] = 1
    drawn = resampled(mistakes, 100)
    assert (drawn[:, 0] == drawn[:, 1]).all() and drawn.std() > 0 and drawn.mean() == pytest.approx(0.2, abs=0.02)
    of_seeds = np.broadcast_to(np.array([0.0, 0.5, 1.0])[None, :, None], (2, 3, 50))  # utterances make no difference
    drawn = resampled(of_seeds, 200)
    assert (drawn[:, 0] == drawn[:, 1]).all() and drawn.std() == pytest.approx((1 / 6 / 3) ** 0.5, abs=0.05)
