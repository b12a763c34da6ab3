"""The experiment *ablation*: each method changes one thing, and networks that cannot be trained together are not."""

from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills.bench import Cell
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer import ablation, protocol
from slubook.ch2_transfer.ablation import LONG, USED, VARIANTS, recipe_of, reductions, starts_from
from slubook.ch2_transfer.plan import PretrainingSource
from slubook.ch2_transfer.pretrained import MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.protocol import TransferSettings, choose
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Recipe, Start, banks
from slubook.evaluation.intervals import compare
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.table import EXPERIMENTS

METHODS = EXPERIMENTS["ablation"].methods


def network(*letters: str) -> Pretrained:
    return Pretrained(None, None, {letter: k for k, letter in enumerate(letters, 2)}, {}, None)


SETTINGS = TransferSettings(scratch=Recipe(rate=1.6), transfer=Recipe(rate=0.6), transfer_names=Recipe(rate=0.6))
NETWORKS = {"transfer": network("a", "b"), **{kind: network("a", "b") for kind in VARIANTS}, "half": network("a", "c")}


def test_every_method_is_there_and_changes_one_thing_of_transfer():
    starts = starts_from(NETWORKS, SETTINGS)
    assert {*starts, "joint", "scratch_general"} == set(METHODS)
    usual = Start(NETWORKS["transfer"], LOWER_LAYERS, 0.6, dropout=SETTINGS.transfer.network.dropout)
    assert starts["transfer"] == usual
    assert starts["scratch"] == starts["scratch_long"] == replace(usual, parts=(), rate=1.6)
    assert all(starts[how] == replace(usual, unfreezing=how) for how in ("frozen", "gradual"))
    assert starts["transfer_names"] == starts["names_long"] == replace(usual, parts=MOVABLE)
    assert starts["transfer_long"] == usual
    assert set(starts["words"].parts) | set(starts["layers"].parts) == set(LOWER_LAYERS)
    assert not set(starts["words"].parts) & set(starts["layers"].parts)
    assert starts["lower"] == replace(usual, parts=("words", "characters", "common"))
    assert starts["words"].rate == 1.6, "its layers start at random and learn as those from scratch do"
    for kind in VARIANTS:
        assert starts[kind] == replace(usual, pretrained=NETWORKS[kind])


def test_no_change_is_what_the_tuned_settings_do_anyway():
    starts = starts_from(NETWORKS, TransferSettings())
    alike = [n for n, start in starts.items() if start == starts["transfer"] and n not in {*VARIANTS, *LONG}]
    assert alike == ["transfer"], "the sources of the variants look alike here, and no other start may"


def test_networks_with_the_same_characters_and_the_same_recipe_share_a_bank():
    starts = starts_from(NETWORKS, SETTINGS)
    made = banks(starts, {name: recipe_of(name, SETTINGS) for name in starts})
    assert [set(bank) for _, bank in made[1:]] == [set(LONG), {"half"}]
    assert set(made[0][1]) == set(METHODS) - {"half", "joint", "scratch_general", *LONG}
    assert made[1][0].training.updates == 2 * made[0][0].training.updates
    for changed, together in (
        ({"dropout": 0.1}, set(made[0][1])),
        ({"word_dropout": 0.1}, {"scratch", "words"}),
    ):
        network = replace(SETTINGS.scratch.network, **changed)
        other = replace(SETTINGS, scratch=replace(SETTINGS.scratch, network=network))
        found = banks(starts, {name: recipe_of(name, other) for name in starts})
        assert [set(bank) for _, bank in found if "scratch" in bank] == [together]


def test_each_variant_changes_one_thing_of_the_source(monkeypatch, tmp_path):
    table = VectorTable("g", {"a": 0}, np.ones((1, 7), np.float16), np.zeros((0, 7), np.float16))
    table.save(tmp_path / "g")
    monkeypatch.setattr(ablation, "general_table", lambda: table)
    monkeypatch.setattr(ablation, "table_folder", lambda name: tmp_path / "g")
    source = PretrainingSource(
        "full-0", ("sgd_turns", "skills"), frozenset({"music"}), ("hello",), (), PretrainingConfig()
    )
    made = {kind: change(source) for kind, change in VARIANTS.items()}
    assert made["shuffled"] == replace(source, config=replace(source.config, shuffled=True))
    assert made["tenth"] == replace(source, config=replace(source.config, updates=source.config.updates // 10))
    assert made["double"] == replace(source, config=replace(source.config, updates=2 * source.config.updates))
    assert made["half"] == replace(source, step=2)
    assert made["without_sgd"] == replace(source, corpora=["skills"])
    assert made["general"].table == tmp_path / "g" and made["general"].config.network.dim == 7
    assert replace(made["general"], table=None, config=source.config) == source
    assert set(USED["full"]) == set(VARIANTS) and "general" not in USED["quick"] + USED["corpus"]


def test_every_cell_has_all_methods_and_some_last_twice_as_long(tiny, monkeypatch):
    trained = []
    fit = protocol.fit_starts
    monkeypatch.setattr(
        protocol, "fit_starts",
        lambda starts, *rest: trained.extend((name, rest[3].training.updates) for name in starts) or fit(starts, *rest),
    )  # fmt: skip
    done = tiny.run("ablation")
    left_out = {"general", "scratch_general", "double", "without_sgd"}
    assert set(done.methods) == set(METHODS) - left_out and done.skills == [
        "mine/flight",
        "mine/hotel",
        "mine/taxi",
    ]
    assert dict(trained) == {m: 16 if m in LONG else 8 for m in done.methods if m != "joint"}
    budget = done.tables["joint_budget"]
    assert (budget["updates_on_skill"], budget["updates_on_source"], budget["source_utterances"]) == (8, 8, 120)
    assert budget["seconds_joint"] > 0 and budget["seconds_scratch"] > 0
    seen = done.tables["pretraining"]
    assert sorted(seen) == sorted(f"corpus-{k}{v}" for k in range(3) for v in ("", "-shuffled", "-tenth", "-half"))
    of = {name.partition("-")[2][1:].lstrip("-"): (about["domains"], about["updates"]) for name, about in seen.items()}
    assert of == {"": (2, 20), "shuffled": (2, 20), "tenth": (2, 2), "half": (1, 20)}
    assert set(done.tables["against_scratch"]) == set(done.methods) - {"scratch"}
    assert set(done.tables["against_transfer"]) == set(done.methods) - {"transfer"}
    assert done.tables["against_scratch"]["transfer"]["n"] == 3


def test_on_general_vectors_scratch_learns_by_the_rate_that_dev_chooses(tiny, monkeypatch, tmp_path):
    table = VectorTable("g", {"a": 0, "to": 1}, np.ones((2, 7), np.float16), np.zeros((0, 7), np.float16))
    table.save(tmp_path / "g")
    monkeypatch.setattr(ablation, "table_folder", lambda name: tmp_path / name.replace("full-general", "g"))
    skill = choose("quick", tiny.corpora).distinct[0]
    train, dev = skill.draw(30, 0)
    cell, begun, errors = Cell(skill.name, 30, 0, train, dev, skill.test), {}, iter([0.5, 0.2])
    fit = ablation.fit_starts
    monkeypatch.setattr(ablation, "fit_starts", lambda starts, *rest: begun.update(starts) or fit(starts, *rest))
    monkeypatch.setattr(ablation, "dev_error", lambda model, dev: next(errors))
    recipe = Recipe().lasting(4)
    source = replace(network(*sorted({c for u in train for c in u.text})), config=recipe.network)
    model = ablation.fit_on_general(source, cell, recipe)
    assert [start.rate for start in begun.values()] == list(ablation.RATES)
    assert all(start.parts == () and start.table.name == "g" for start in begun.values())
    assert model.table.dim == 7 and next(errors, None) is None
    assert len(model.predict([u.text for u in skill.test])) == len(skill.test)


def test_reductions_are_those_of_the_ledger_and_keep_their_sign():
    gold, draw, rows = np.ones(100, dtype=int), np.random.default_rng(0), []
    for skill in "abc":
        for method, share in (("scratch", 0.5), ("transfer", 0.8), ("shuffled", 0.3)):
            right = (draw.random(100) < share).astype(int)
            rows.append(Row(skill, method, 100, 0, Outcomes(right, gold, gold, right, 0 * gold)))
    groups = dict.fromkeys("abc", "corpus")
    found = reductions(rows, "scratch", groups)
    expected = compare(rows, "irer", "scratch", "transfer", groups=groups)
    assert found["transfer"] == {"point": expected.point, "low": expected.low, "high": expected.high, "n": 3}
    assert found["transfer"]["low"] > 0 > found["shuffled"]["high"]
    assert reductions(rows, "transfer", groups)["scratch"]["high"] < 0
    assert reductions([], "scratch", groups) == {}


def test_the_quick_profile_trains_half_as_long_and_has_fewer_sources(monkeypatch):
    def planned(options, settings, **more):
        raise LookupError(options.draws, settings, more["within"], tuple(more["variants"]))

    monkeypatch.setattr(ablation, "plan", planned)
    usual, brief = ablation.settings_of("full"), ablation.settings_of("quick")
    for profile, settings, expected in (
        ("quick", brief, (1, brief, None, ("shuffled", "tenth"))),
        ("full", usual, (5, usual, ablation.NETWORKS, tuple(VARIANTS))),
    ):
        with pytest.raises(LookupError) as asked:
            ablation.prepare(Options(profile), settings)
        assert asked.value.args == expected
    assert usual == TransferSettings() and ablation.settings_of("corpus") == usual
    assert [2 * r.training.updates for r in brief.recipes().values()] == [
        r.training.updates for r in usual.recipes().values()
    ]
