"""Tuning of chapter 3: equal budgets, every method by itself on what it reads, and the choice that the code holds."""

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from types import SimpleNamespace

import pytest

from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.skillsets import own_skills
from slubook.ch2_transfer.plan import Chosen, Kept
from slubook.ch2_transfer.tuning import SKILLS
from slubook.ch3_elmol import tuning as tuning_elmol
from slubook.ch3_elmol.embeddings import Read
from slubook.ch3_elmol.protocol import AS, GROUPS, HOW, METHODS, START, ElmolSettings, variant_of
from slubook.ch3_elmol.tuning import HEAD, OTHERWISE, SEARCH, TRIED, ground, trial_errors
from slubook.corpora.utterance import Prediction
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import SEED, Ground, Trial, changed


def test_fewer_requests_are_read_by_the_recipe_of_all():
    recipes = {**ElmolSettings().recipes, "elmol": replace(START, rate=0.123)}
    settings = ElmolSettings(recipes)
    assert {settings.recipe(m).rate for m in ("elmol", *AS)} == {0.123} and settings.recipe("elmo").rate != 0.123


class Silent:
    """A model that gets every utterance wrong."""

    def predict(self, texts):
        return [Prediction("none of them", (), 1.0)] * len(texts)


def test_a_trial_is_judged_on_dev_over_what_its_method_reads(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(
        tuning_elmol,
        "learned",
        lambda method, source, recipe, draw, unfreezing: (
            seen.append((method, source, recipe.rate, draw[2], unfreezing)) or Silent()
        ),
    )
    monkeypatch.setattr(tuning_elmol, "load_pretrained", lambda kept: kept.name)
    monkeypatch.setattr(tuning_elmol, "load_contextual", lambda kept, read: f"{kept.name} over {read.name}")
    read, unfreezing = Read("elmol", "reader", 1.0, "its key", "its key"), ElmolSettings().unfreezing
    networks = {
        "none": (Kept("plain", "a"), None),
        "elmol": (Kept("plain-slowly", "b"), read),
        "elmol_words": (Kept("plain-slowly", "b"), read),
    }
    measured = partial(trial_errors, networks=networks, unfreezing=unfreezing)
    ground = Ground([(own_skills(tiny.corpora)[0], 20)], measured, {name: {} for name in networks})
    search = replace(SEARCH, ground=lambda methods, jobs, device: ground)
    trials = [Trial(method=m, changes={"rate": 0.7}, seeds=[1007]) for m in networks]
    record = search.run(trials, tiny.out)
    over = "plain-slowly over reader"
    assert seen == [(m, source, 0.7, 1007, unfreezing) for m, source in (("none", "plain"), *[("elmol", over)] * 2)]
    assert {f["chosen_error"] for f in record["methods"].values()} == {1.0}


def test_only_the_group_of_the_skills_is_pretrained_and_no_published_one(monkeypatch):
    made = {}

    def pretrain_all(sources, reads, schedules, jobs):
        names = [s.name + end for s in sources for end in ("", *(f"-{v}" for v in schedules))]
        made.update(sources=sources, schedules=schedules)
        return {name: {"key": f"key of {name}"} for name in names}

    @dataclass(frozen=True)
    class Reads:
        fasttext: dict = field(default_factory=lambda: dict.fromkeys(("general", "pool"), FastTextConfig()))

        def embeddings(self, kinds, jobs):
            return {kind: Read(kind, kind, 1.0, "", "") for kind in kinds}, {}

        def embedding(self, kind):
            return Read(kind, f"{kind} of {self.fasttext[kind].epochs} epochs", 1.0, "", ""), {}

    skills = [(SimpleNamespace(name=name), 100) for name in (*SKILLS, "another#0")]
    of = {s.name: "elmol-full-3" if s.name in SKILLS else "elmol-full-1" for s, _ in skills}
    sources = [SimpleNamespace(name=f"elmol-full-{k}") for k in range(6)]
    monkeypatch.setattr(tuning_elmol, "choose", lambda profile: Chosen(profile, skills))
    monkeypatch.setattr(tuning_elmol, "texts_of", lambda chosen, settings, device: Reads())
    monkeypatch.setattr(tuning_elmol, "folds_of", lambda *given: (of, sources))
    monkeypatch.setattr(tuning_elmol, "pretrain_all", pretrain_all)
    made_on = ground(list(TRIED), 1, "cpu")
    networks = made_on.errors.keywords["networks"]
    assert made_on.errors.func is trial_errors and made_on.errors.keywords["unfreezing"] == ElmolSettings().unfreezing
    assert [s.name for s in made["sources"]] == ["elmol-full-3"] and 3 not in GROUPS
    usual = {variant_of(m) for m in TRIED if m != "none" and m not in OTHERWISE}
    words = {name: other.method for name, other in OTHERWISE.items() if other.word_dropout}
    assert all(networks[name] == networks[method] for name, method in words.items())
    inputs = {name: other for name, other in OTHERWISE.items() if name not in words}
    assert set(made["schedules"]) == usual | {name for name, other in inputs.items() if not other.source}
    for name, other in inputs.items():
        kept, read = networks[name]
        kind = HOW[other.method].embedding
        variant = f"{kind}-{other.source}" if other.source else name
        before, usually = (made["schedules"][v][1] for v in (variant, variant_of(other.method)))
        assert kept == Kept(f"elmol-full-3-{variant}", f"key of elmol-full-3-{variant}")
        assert before.how == (other.source or usually.how)
        assert before.reduced == (other.reduced or usually.reduced) or other.source == "frozen"
        assert read.name == (f"{kind} of {other.epochs} epochs" if other.epochs else kind)
        assert (read.scale, read.key) == ((other.norm, f", norm {other.norm:g}") if other.norm else (1.0, ""))
        assert (before, read) != (usually, Read(kind, kind, 1.0, "", "")), "something else than the usual"
        assert made_on.inputs[name] == {f"pretrained {kept.name}": kept.key, f"embedding {read.name}": read.key}
    assert [s.name for s, _ in made_on.skills] == [*SKILLS] and set(networks) == set(made_on.inputs) == set(TRIED)
    assert made_on.inputs["none"] == {"pretrained elmol-full-3": "key of elmol-full-3"}
    assert networks["elmol_trained"] == (
        Kept("elmol-full-3-elmol-at_once", "key of elmol-full-3-elmol-at_once"), Read("elmol", "elmol", 1.0, "", ""),
    )  # fmt: skip
    few = ground(["none", "elmol_second"], 1, "cpu")
    assert list(made["schedules"]) == ["elmol-frozen"] and set(few.inputs) == {"none", "elmol_second"}
    of.update(dict.fromkeys(SKILLS, f"elmol-full-{GROUPS[0]}"))
    with pytest.raises(ValueError, match="which the published run learns"):
        ground(["none"], 1, "cpu")
    of.update(dict.fromkeys(SKILLS, "elmol-full-3") | {"hwu64/qa#0": "elmol-full-1"})
    with pytest.raises(ValueError, match="of several groups: elmol-full-1, elmol-full-3"):
        ground(["none"], 1, "cpu")


@pytest.fixture(scope="module")
def record():
    return SEARCH.load()


def test_every_method_got_nine_trials_that_differ_and_every_other_input_three(record):
    assert list(record["methods"]) == list(TRIED) and {name: record[name] for name in HEAD} == HEAD
    assert set(TRIED) - set(OTHERWISE) == set(METHODS) - set(AS) == set(ElmolSettings().recipes)
    for method, found in record["methods"].items():
        trials = found["trials"]
        recipes = [changed(SEARCH.start[method], t["changes"]) for t in trials]
        count = 3 if method in OTHERWISE else 9
        assert len(trials) == found["settings"] == len({json.dumps(asdict(r)) for r in recipes}) == count
        assert {tuple(t["seeds"]) for t in trials} == {(SEED, SEED + 1)}
        assert {r.training for r in recipes} == {START.training}, "one number of updates for all"
        assert found["stamp"]["config"]["start"] == json.loads(json.dumps(asdict(START)))
        usual = record["methods"][TRIED[method].method]["trials"][:3]
        words = {"network.word_dropout": TRIED[method].word_dropout} if TRIED[method].word_dropout else {}
        assert [t["changes"] for t in trials[:3]] == [{**t["changes"], **words} for t in usual]


def test_the_defaults_are_what_tuning_chose(record):
    methods = record["methods"]
    defaults = {method: asdict(recipe) for method, recipe in ElmolSettings().recipes.items()}
    found = {m: one["config"] for m, one in methods.items() if m not in OTHERWISE}
    assert found == json.loads(json.dumps(defaults))
    assert {one["stamp"]["protocol"] for one in methods.values()} == {EXPERIMENTS["elmol"].protocol}
    best = {m: min(t["dev_error"] for t in one["trials"][:3]) for m, one in methods.items()}
    better = {name for name, other in OTHERWISE.items() if best[name] < best[other.method]}
    late = {"elmol_frozen_half", "elmol_words", "elmo_words", "elmol_trained_words"}
    assert better == late and all(OTHERWISE[name].late for name in late), "any other would have to be the usual"
