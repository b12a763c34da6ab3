"""The experiment *transfer*, in the small: what is pretrained, left out, measured and kept."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from slubook.ch1_skills import skillsets
from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer import plan as transfer_sources
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.plan import Kept, PretrainingSource, label_slices, load_pretrained, one_a_domain
from slubook.ch2_transfer.pretrained import MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import pretrained_folder
from slubook.ch2_transfer.protocol import ALONE, MOVED, TOGETHER, TransferSettings, sequential_table, timed
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Recipe
from slubook.corpora.errors import CorpusError
from slubook.corpora.registry import load
from slubook.corpora.utterance import Utterance
from slubook.evaluation.metrics import Outcomes
from slubook.experiments.records import Row
from slubook.experiments.stamps import config_hash
from slubook.experiments.table import EXPERIMENTS
from slubook.files import KeptError

METHODS = EXPERIMENTS["transfer"].methods


def test_each_domain_of_a_users_file_learns_from_the_others(tiny):
    done = tiny.run("transfer")
    assert done.skills == ["mine/flight", "mine/hotel", "mine/taxi"] and done.methods == list(METHODS)
    assert done.tables["cells"] == {"done": 3, "planned": 3}
    seen = done.tables["pretraining"]
    assert sorted(t for about in seen.values() for t in about["left_out"]) == ["flight", "hotel", "taxi"]
    assert {about["domains"] for about in seen.values()} == {2} and {a["updates"] for a in seen.values()} == {20}
    assert set(done.tables["train_seconds"]) == set(METHODS)
    assert {row.bytes > 0 and row.train_s > 0 for row in done.rows} == {True}
    assert all(row.slices["new_intents"].all() for row in done.rows), "no domain shares a label with another"
    assert not any(row.slices["known_slots"].any() for row in done.rows)


def test_a_stopped_run_goes_on_and_pretrains_nothing_again(tiny, monkeypatch):
    stopped = tiny.run("transfer", until=0.0)
    assert stopped.tables["cells"]["done"] == 0
    monkeypatch.setattr("slubook.ch2_transfer.pretraining.pretrain", lambda *a, **k: pytest.fail("pretrained again"))
    done = tiny.run("transfer")
    again = tiny.run("transfer", until=time.time())
    assert {r.key: r.train_s for r in again.rows} == {r.key: r.train_s for r in done.rows}


def test_the_file_must_have_domains_to_learn_from(tiny, tmp_path):
    lines = tiny.corpora[0].read_text().splitlines(keepends=True)
    for kept, says in ((lines[:90], "one domain only"), (lines[::9], "too few distinct utterances in")):
        path = tmp_path / "less.jsonl"
        path.write_text("".join(kept))
        with pytest.raises(CorpusError, match=says):
            transfer.choose("quick", [path])


def test_a_plan_learns_some_skills_and_leaves_out_the_topics_of_all(tiny, monkeypatch):
    made: list[PretrainingSource] = []
    monkeypatch.setattr(PretrainingSource, "about", lambda self: made.append(self) or {"key": self.name})
    monkeypatch.setattr(transfer_sources, "FOLDS", 1)
    double = {"less": lambda source: replace(source, step=2)}
    planned = transfer.plan(tiny.options(seeds=2), tiny.settings, pick=one_a_domain(2), variants=double)
    learned = planned.keys()
    assert [key[0] for key in learned] == ["mine/flight", "mine/taxi"] * 2
    assert [source.name for source in made] == ["corpus-0", "corpus-0-less"] == list(planned.about)
    assert made[0].left_out == {"flight", "hotel", "taxi"} and [s.step for s in made] == [1, 2]
    assert set(made[0].tests) == {u for s in transfer.choose("quick", tiny.corpora).distinct for u in s.test}
    assert planned.network("mine/taxi", "less") == Kept("corpus-0-less", "corpus-0-less")


def test_a_source_holds_no_utterance_of_a_left_out_topic_and_every_second_domain_is_half_of_it(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(
        transfer_sources, "kept_pretrained",
        lambda name, domains, config, table: seen.append([d.name for d in domains]) or Pretrained(*[None] * 5),
    )  # fmt: skip
    own = load(tiny.corpora[0])
    source = PretrainingSource("s", (), frozenset({"hotel"}), (), [u for u in own if u.domain != "hotel"], None)
    assert source.about()["left_out"] == ["hotel"]
    replace(source, step=2).about()
    assert seen == [["own/flight", "own/taxi"], ["own/flight"]]


def test_a_source_holds_no_turn_of_a_dialogue_that_a_test_is_from(tiny):
    own = [replace(u, group=f"{k % 30}") for k, u in enumerate(load(tiny.corpora[0])) if u.domain != "hotel"]
    said = Utterance("t", "a room of the test", "BookHotel", (), domain="hotel", group="7")
    alone = replace(said, group="")
    kept = [
        {u.group for d in PretrainingSource("s", (), frozenset(), [test], own, None).domains() for u in d.utterances}
        for test in (alone, said)
    ]
    assert kept[0] - kept[1] == {"7"} and len(kept[1]) == 29


def test_a_skill_is_chosen_of_every_so_many_domains():
    skills = [Skill(name, "", (), (), ()) for name in ("a#1", "a#0", "b#0", "c#0", "c#1", "d#0")]
    assert [s.name for s in one_a_domain()(skills)] == ["a#1", "b#0", "c#0", "d#0"]
    assert [s.name for s in one_a_domain(2, ["b#0"])(skills)] == ["a#1", "d#0"]


def test_a_network_that_another_run_replaced_is_not_taken_for_this_ones(tiny):
    tiny.run("transfer", out=None)
    kept = json.loads((pretrained_folder("corpus-0") / "meta.json").read_text())["about"]["key"]
    assert load_pretrained(Kept("corpus-0", kept)).about["key"] == kept
    with pytest.raises(KeptError, match="corpus-0 was replaced by another run"):
        load_pretrained(Kept("corpus-0", "another"))


def test_slices_by_labels_whose_name_the_source_never_had(toy_skill):
    slices = label_slices(toy_skill, {"intents": ["add", "read"], "slot_types": ["item"]})
    types = [{s.type for s in u.slots} for u in toy_skill]
    expected = {
        "new_intents": [u.intent == "RemoveIntent" for u in toy_skill],
        "new_slots": ["place" in t for t in types],
        "known_slots": [t == {"item"} for t in types],
        "no_slots": [not t for t in types],
    }
    assert {name: mask.tolist() for name, mask in slices.items()} == expected
    assert all(0 < sum(expected[name]) < len(toy_skill) for name in ("new_intents", "new_slots", "known_slots"))


def test_quick_skills_are_learned_in_one_size_and_the_seed_of_cells_is_kept():
    chosen = transfer.choose("quick")
    assert [s.name.split("/")[1] for s in chosen.distinct] == list(skillsets.QUICK_SKILLS)
    assert {size for _, size in chosen.skills} == {skillsets.QUICK_SIZE}


def test_the_configuration_of_cells_names_every_setting():
    config, other = (
        transfer.config_of("full", s) for s in (TransferSettings(), TransferSettings(transfer=Recipe(rate=0.5)))
    )
    assert set(config) == {"profile", "maxent", "scratch", "transfer", "transfer_names", "pretraining"}
    assert config_hash(config) != config_hash(other)


def test_every_method_is_trained_by_its_own_recipe_and_those_of_one_configuration_side_by_side(tiny, monkeypatch):
    fit, trained = transfer.fit_starts, []
    monkeypatch.setattr(transfer, "fit_starts", lambda *given: trained.append(given) or fit(*given))
    monkeypatch.setattr(transfer, "both_ways", lambda *given: {})
    other = replace(tiny.settings.scratch, rate=1.6, network=replace(tiny.settings.scratch.network, dropout=0.1))
    settings = replace(tiny.settings, scratch=other, transfer=replace(tiny.settings.transfer, unfreezing="gradual"))
    done = tiny.run("transfer", settings, out=None)
    assert done.methods == list(METHODS)
    begun = [{name: (s.rate, s.unfreezing, s.parts) for name, s in starts.items()} for starts, *_ in trained[:2]]
    assert begun[0] == {
        "scratch": (1.6, "all", ()),
        "transfer": (0.6, "gradual", LOWER_LAYERS),
        "transfer_names": (0.6, "all", MOVABLE),
    }
    usual = tiny.settings.transfer.network.dropout
    assert [start.dropout for start in trained[0][0].values()] == [0.1, usual, usual], "of each, in one bank"


def row(skill, method, train_s, **figures):
    one = np.ones(3, dtype=int)
    return Row(skill, method, 100, 0, Outcomes(one, one, one, one, 0 * one), train_s=train_s, figures=figures)


def test_a_few_skills_of_the_first_draw_are_timed():
    keys = [(f"s{k}", 100, seed) for seed in (0, 1) for k in range(200)]
    assert timed(keys) == {(f"s{k}", 100, 0) for k in (0, 40, 80, 120, 160)}
    assert timed(keys[:3]) == {keys[0]}


def test_the_ratio_is_carried_over_to_all_networks_of_the_run():
    rows = [row("a", m, 2.0, **{TOGETHER: 4.0, ALONE: 10.0}) for m in MOVED] + [row("a", "maxent_crf", 9.0)]
    rows += [row("b", m, 2.0, **{TOGETHER: 6.0, ALONE: 10.0}) for m in MOVED] + [row("c", m, 4.0) for m in MOVED]
    found = sequential_table(rows, jobs=2)["sequential"]
    assert (found["cells"], found[TOGETHER], found[ALONE], found["ratio"]) == (2, 10.0, 20.0, 2.0)
    assert (found["networks_s"], found["plain_loop_s"], found["speed_up"]) == (24.0, 48.0, 4.0)
    assert sequential_table([row("c", "scratch", 4.0)], 2) == {}


def test_the_loop_trains_the_same_networks_one_by_one_in_unsorted_batches(tiny, monkeypatch):
    fit, given = transfer.fit_starts, []
    monkeypatch.setattr(
        transfer, "fit_starts",
        lambda starts, *rest, **more: given.append((list(starts), rest[3].training.updates, more))
        or fit(starts, *rest, **more),
    )  # fmt: skip
    monkeypatch.setattr(transfer, "UPDATES", 12)
    done = tiny.run("transfer")
    assert given[:5] == [
        (["scratch"], transfer.WARM_UP, {}),
        (list(MOVED), 12, {}),
        *(([method], 12, {"pool": 1}) for method in MOVED),
    ]
    usual = tiny.settings.scratch.training.updates
    assert given[5:] == [(list(MOVED), usual, {})] * 3, "each cell is judged after the usual training"
    found = done.tables["sequential"]
    assert (found["cells"], found["jobs"]) == (1, 1) and 0 < found["ratio"] == found[ALONE] / found[TOGETHER]
    assert found["networks_s"] == pytest.approx(sum(r.train_s for r in done.rows if r.method in MOVED))
    assert [r.method for r in done.rows if r.figures] == list(MOVED), "one cell, its networks"
