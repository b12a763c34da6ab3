"""The experiment *elmol*, in the small: which embeddings and networks are made, and what is measured over them."""

from dataclasses import replace

import pytest
import torch

from slubook.book.claims import load_claims
from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.pool import Pool
from slubook.ch1_skills.skillsets import Skill
from slubook.ch1_skills.tables import table_folder
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.plan import Chosen, Kept, PretrainingSource
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch3_elmol import bilm_training as bilm
from slubook.ch3_elmol import contextual_training
from slubook.ch3_elmol import embeddings as elmol_sources
from slubook.ch3_elmol import protocol as elmol
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining
from slubook.ch3_elmol.contextual_training import ContextRecipe
from slubook.ch3_elmol.embeddings import MODELS, TABLES, BiLMKind, Texts, guessing, load_contextual, load_embedding
from slubook.ch3_elmol.protocol import (
    AS,
    GROUPS,
    HOW,
    LARGE,
    METHODS,
    SIZES,
    USED,
    ElmolSettings,
    deal,
    learn_some,
    variant_of,
    wanted,
)
from slubook.ch3_elmol.unfreezing import SCHEDULES, UnfreezingConfig
from slubook.corpora.utterance import Utterance, words
from slubook.experiments.records import RecordsError
from slubook.experiments.runner import run
from slubook.files import KeptError

READER = BiLMTraining(
    BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8), epochs=1, batch=64, candidates=20
)
FAST = FastTextConfig(dim=6, epochs=1, buckets=50)


@pytest.fixture
def arguments(tiny, monkeypatch):
    """Two domains, and as few methods as show each kind of network."""
    monkeypatch.setattr(elmol, "EMBEDDED_SOURCE", ())
    monkeypatch.setitem(USED, "corpus", ("fasttext_pool", "elmol", "elmol_trained"))
    tiny.corpora[0].write_text("".join(tiny.corpora[0].read_text().splitlines(keepends=True)[:180]))
    scratch = tiny.settings.scratch
    recipe = ContextRecipe(scratch.network, replace(scratch.training, batch=64, evaluations=4))
    settings = ElmolSettings(
        dict.fromkeys(HOW.keys() | {"none"}, recipe),
        replace(tiny.settings.pretraining, updates=4),
        small=READER,
        fasttext=FAST,
        epochs={"small": 1},
        unfreezing=UnfreezingConfig(latest=0.25),
    )
    return tiny.options(), settings


def test_each_domain_of_a_users_file_is_learned_over_every_embedding_and_nothing_is_trained_twice(
    arguments, monkeypatch
):
    done = run("elmol", *arguments)
    assert done.skills == ["mine/flight", "mine/hotel"] and done.tables["cells"] == {"done": 2, "planned": 2}
    assert done.methods == ["none", "fasttext_pool", "elmol", "elmol_trained"]
    about = done.tables["embeddings"]
    assert list(about) == ["pool", "elmol"] and about["elmol"]["sentences"] > 90
    assert all(about["pool"][name] == about["elmol"][name] for name in ("sentences", "text")), "the very same requests"
    assert set(done.tables["pretraining"]) == {
        f"elmol-corpus-{fold}{variant}"
        for fold in range(2)
        for variant in ("", "-pool-frozen", "-elmol-slowly", "-elmol-at_once")
    }
    assert {name[15:]: len(since) for name, since in done.tables["unfrozen"].items()} == {
        "pool-frozen": 0, "elmol-slowly": 2, "elmol-at_once": 2,
    }  # fmt: skip
    unfrozen = {row.method: len(row.figures) for row in done.rows}
    assert unfrozen == {"none": 0, "fasttext_pool": 0, "elmol": 2, "elmol_trained": 2}
    assert all(row.slices["new_intents"].all() for row in done.rows), "no domain shares a label with another"

    trained = ("ch3_elmol.bilm_training.train_bilm", "ch2_transfer.pretraining.pretrain")
    for name in (*trained, "ch3_elmol.contextual_training.pretrain_contextual"):
        monkeypatch.setattr(f"slubook.{name}", lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(elmol_sources, "train_fasttext", lambda *a, **k: pytest.fail("trained again"))
    other = replace(arguments[1], pretraining=PretrainingConfig(updates=3))
    with pytest.raises(RecordsError, match="holds results of other settings"):
        run("elmol", arguments[0], other)
    again = run("elmol", *arguments)
    assert {r.key: r.train_s for r in again.rows} == {r.key: r.train_s for r in done.rows}

    read = elmol_sources.Read("elmol", "elmol-corpus-elmol-1", 1.0, "another", "another")
    with pytest.raises(KeptError, match="elmol-corpus-elmol-1 was replaced by another run"):
        load_embedding(read)
    with pytest.raises(KeptError, match="word-vector table elmol-corpus-pool-1 was replaced by another run"):
        load_embedding(elmol_sources.Read("pool", "elmol-corpus-pool-1", 1.0, "", "another"))
    made = VectorTable.load(table_folder("elmol-corpus-pool-1")).key
    pool = elmol_sources.Read("pool", "elmol-corpus-pool-1", 1.0, "", made)
    with pytest.raises(KeptError, match="elmol-corpus-0-pool-frozen was replaced by another run"):
        load_contextual(Kept("elmol-corpus-0-pool-frozen", "another"), pool)


def test_another_seed_is_another_model_in_both_stages_and_speed_is_measured_once(arguments, monkeypatch):
    monkeypatch.setitem(USED, "corpus", ("elmol", "elmol_again", "elmo"))
    timed, made = [], ("speed", "speed_times", "exported", "speed_ratio", "speed_ratio_known")
    monkeypatch.setattr(
        elmol, "speed_tables", lambda models, said, n: timed.append([*models, n]) or dict.fromkeys(made, 1.0)
    )
    seeds, train, pretrain = [], bilm.train_bilm, contextual_training.pretrain_contextual
    monkeypatch.setattr(bilm, "train_bilm", lambda *a, **k: seeds.append(("one", a[3])) or train(*a, **k))
    monkeypatch.setattr(
        contextual_training, "pretrain_contextual", lambda *a: seeds.append(("two", a[5])) or pretrain(*a)
    )
    done = run("elmol", *arguments)
    assert sorted(seeds) == [("one", 0)] * 2 + [("one", 1)] + [("two", 0)] * 4 + [("two", 1)] * 2
    about = done.tables["embeddings"]
    assert about["elmol"]["perplexity"] != about["elmol_again"]["perplexity"]
    again = run("elmol", replace(arguments[0], seeds=2), arguments[1])
    assert set(made) < again.tables.keys() and "speed_ratio_light" not in again.tables
    assert timed == [["elmo", "elmol", 3]], "and not again, when the run goes on"


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    things, places = ("jazz", "a song", "my album", "it"), ("here", "in the kitchen", "at home", "for us", "now")
    said = [f"{verb} {what} {place}" for verb in ("play", "stop", "find") for what in things for place in places]
    return Texts("toy", Pool(tuple(said), ("music",) * len(said), {}), ["play a record"], READER, {"pool": FAST})


def test_every_embedding_has_the_same_norm_on_the_same_requests(texts):
    kinds = ["pool", "elmol", "elmo", "elmol10"]
    reads, about = texts.embeddings(kinds, 1)
    for kind in kinds:
        embedding, mixed = load_embedding(reads[kind]), []
        assert isinstance(embedding, BiLM) is (kind in MODELS) and (kind in MODELS or kind in TABLES)
        for said in map(words, texts.pool.texts):
            with torch.no_grad():
                places, length = torch.arange(len(said)).unsqueeze(0), torch.tensor([len(said)])
                states = embedding(embedding.spell(said), places, length)
            mixed.append(states[0].mean(1))
        every = torch.cat(mixed)
        assert (every - every.mean(0)).norm(dim=1).mean() == pytest.approx(1, abs=1e-3), kind
    for kind in ("pool", "elmol"):
        usual, twice = (load_embedding(read).scale for read in (reads[kind], reads[kind].times(2)))
        assert torch.allclose(2 * usual, twice) and reads[kind].times(2).key != reads[kind].key
    assert [load_embedding(reads[k]).layers for k in kinds] == [1, 2, 3, 2]
    assert about["elmol"]["sentences"] == len(texts.pool.texts) > 3 * about["elmol10"]["sentences"] > 0
    assert about["elmol"]["perplexity"]["requests"]["words"] == 3 and "perplexity" not in about["pool"]
    assert len({read.key for read in reads.values()}) == 4


def test_in_the_full_run_requests_are_read_as_often_as_serves_a_model_best(texts, monkeypatch):
    monkeypatch.setattr(elmol_sources, "general_sentences", lambda: [["a", "song", "of", "old"]])
    _, usually = texts.embedding("elmol10")
    assert set(usually["tried"]) == {READER.epochs} and "general" not in usually["perplexity"]
    full = replace(texts, full=True)
    read, about = full.embedding("elmol10")
    tried, usual = about["tried"], READER.epochs
    assert set(tried) == {usual, 3 * usual, 9 * usual} and about["perplexity"] == tried[about["epochs"]]
    assert guessing(about["perplexity"]) == min(map(guessing, tried.values())) > 0
    assert read.name == f"toy-elmol10-{about['epochs'] // usual}" and guessing({}) == 0
    assert about["perplexity"]["general"]["words"] == 4
    _, again = full.embedding("elmol_again")
    assert set(again["tried"]) == {3 * usual}


def test_a_table_of_words_read_for_longer_is_another_one(texts):
    one, two = (replace(texts, fasttext={"pool": replace(FAST, epochs=n)}).embedding("pool") for n in (1, 2))
    assert (one[0].name, two[0].name) == ("toy-pool-1", "toy-pool-2") and one[0].made != two[0].made
    assert (one[1]["epochs"], two[1]["epochs"]) == (1, 2)


def test_language_models_are_trained_on_the_device_that_was_asked_for(texts, monkeypatch):
    seen = []
    monkeypatch.setattr(elmol_sources, "kept_bilm", lambda *given, seed: seen.append(given[4]) or pytest.fail("enough"))
    chosen = Chosen("quick", [])
    monkeypatch.setattr(elmol, "build_pool", lambda *rest: texts.pool)
    settings = ElmolSettings(small=READER)
    for made in (elmol.texts_of(chosen, settings, "cuda"), elmol.texts_of(chosen, settings)):
        with pytest.raises(pytest.fail.Exception, match="enough"):
            made.embedding("elmol")
    assert seen == ["cuda", "cpu"]


def test_methods_are_those_of_the_claims_and_change_one_thing_each():
    _, claims = load_claims()
    compared = [c.measure for c in claims if c.experiment == "elmol" and c.measure.kind == "comparison"]
    assert len(compared) == 7 and {m for c in compared for m in (c.baseline, c.proposed)} <= set(METHODS)
    assert set(HOW) == set(METHODS) - {"none"} == set(USED["full"])
    assert all(kind in (*MODELS, *TABLES) and {a, b} <= set(SCHEDULES) for kind, a, b in HOW.values())
    embedding, *both = HOW["elmol"]
    for method, schedules in (("elmol_frozen", ["frozen"] * 2), ("elmol_trained", ["at_once"] * 2)):
        assert HOW[method] == (embedding, *schedules)
    assert HOW["elmol_ulmfit"] == (embedding, both[0], "gradual") and variant_of("elmol_ulmfit") == variant_of("elmol")
    assert all(HOW[m][1:] == HOW["elmol"][1:] for m in ("elmo", *AS))
    named = ("elmol", "elmo", "elmol_light", "elmol_again", "elmol_1", "elmol_10")
    assert {k: MODELS[HOW[k].embedding] for k in named} == {
        "elmol": BiLMKind(times=(1, 3)), "elmo": BiLMKind(2, times=(1, 3)),
        "elmol_light": BiLMKind(light=True, times=(3,)), "elmol_1": BiLMKind(1, 0.01, times=(1, 4, 12, 36)),
        "elmol_10": BiLMKind(1, 0.1, times=(1, 3, 9)), "elmol_again": BiLMKind(times=(3,), seed=1),
    }  # fmt: skip


def test_what_is_trained_is_trained_once_for_all_methods_that_need_it():
    settings = ElmolSettings(
        unfreezing=UnfreezingConfig(slack=0.3), stage_one={"elmol-slowly": 0.2, "elmo-slowly": 0.4}
    )
    kinds, schedules = wanted(USED["full"], settings)
    assert kinds == ["general", "pool", "elmol", "elmo", "elmol_light", "elmol_again", "elmol1", "elmol10"]
    assert len(schedules) == 10 and schedules["elmol-slowly"] == ("elmol", UnfreezingConfig(slack=0.3, reduced=0.2))
    assert (schedules["elmol1-slowly"][1].reduced, schedules["elmo-slowly"][1].reduced) == (0.2, 0.4)
    assert schedules["pool-frozen"] == ("pool", UnfreezingConfig("frozen", slack=0.3))


def test_two_groups_of_the_two_hundred_are_learned_and_the_larger_size_where_there_is_room(monkeypatch):
    def skill(name, count):
        pool = tuple(Utterance(f"{name}{k}", f"say {k}", "A") for k in range(count))
        return Skill(name, "toy", ("music",), (), pool)

    room = {1: 2200, 4: 700, 7: 500, 10: 700}
    skills = [skill(f"toy/{k % 12:02}#{k // 12}", room.get(k, 300)) for k in range(24)]
    sources = [PretrainingSource(f"full-{k}", (), frozenset(), (), (), PretrainingConfig()) for k in range(6)]
    of = {s.name: f"full-{k % 6}" for k, s in enumerate(skills)}
    monkeypatch.setattr(elmol, "folds_of", lambda chosen, config, prefix: (of, sources))
    learned, names, used = learn_some(Chosen("full", [(s, 100) for s in skills]), PretrainingConfig())
    assert [s.name for s in used] == [f"full-{k}" for k in GROUPS]
    first = ["toy/01#0", "toy/04#0", "toy/07#0", "toy/10#0"]
    assert names == {name: of[name] for name in first}, "one of each domain"
    assert [(s.name, n) for s, n in learned.skills] == [
        *zip(first, (200, 300, 100, 400), strict=True),
        (first[0], LARGE),
    ]


def test_sizes_are_dealt_evenly_and_those_with_least_room_choose_first():
    def skill(name, count):
        return Skill(name, "toy", (), (), tuple(Utterance(f"{name}{k}", "say", "A") for k in range(count)))

    skills = [*(skill(f"large{k}", 800) for k in range(9)), *(skill(f"small{k}", 200) for k in range(3))]
    dealt = {s.name: n for s, n in deal(skills)}
    assert all(dealt[f"small{k}"] == 100 for k in range(3))
    assert sorted(dealt.values()) == [100] * 3 + [200] * 3 + [300] * 2 + [400] * 2 + [500] * 2
    assert {n for _, n in deal(skills)} == set(SIZES)
    _, claims = load_claims()
    read = {n for c in claims if c.experiment == "elmol" for n in getattr(c.measure, "sizes", None) or ()}
    assert read == set(SIZES), "the claims read the sizes that are dealt"
