"""Tuning of chapter 3: equal budgets, every method by itself on what it reads, and the choice that the code holds."""

import json
from dataclasses import asdict, dataclass, field, replace
from types import SimpleNamespace

import pytest

from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.skillsets import own_skills
from slubook.ch2_transfer.plan import Chosen, Kept
from slubook.ch2_transfer.tuning import DRAWS, SKILLS
from slubook.ch3_elmol import tuning as tuning_elmol
from slubook.ch3_elmol.embeddings import Read
from slubook.ch3_elmol.methods import AS, HOW, METHODS, START, Settings, variant_of
from slubook.ch3_elmol.protocol import GROUPS
from slubook.ch3_elmol.tuning import OTHERWISE, ROUNDS, ElmolSearch, elmol_search, second
from slubook.corpora.utterance import Prediction
from slubook.experiments.records import RecordsError
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.trials import Round


def test_every_method_has_nine_trials_that_differ():
    assert set(ROUNDS) - set(OTHERWISE) == set(METHODS) - set(AS) == set(Settings().recipes)
    for method, [first] in ((m, r) for m, r in ROUNDS.items() if m not in OTHERWISE):
        for stands in first.trials:
            rounds = [first, second(method, stands)]
            recipes = [ElmolSearch().configured(method, changes) for r in rounds for changes in r.trials]
            assert len({json.dumps(asdict(r)) for r in recipes}) == 9 and {r.seeds for r in rounds} == {DRAWS}
            assert {r.training for r in recipes} == {START.training}, "one number of updates for all"
            begun = ElmolSearch().configured(method, stands)
            apart = [
                [n for n in ("rate", "network", "reduced") if getattr(r, n) != getattr(begun, n)] for r in recipes[6:]
            ]
            learns = method in ("elmol", "elmo", "elmol_trained")
            assert apart == [["rate"], ["rate"], ["reduced" if learns else "network"]]


def test_round_two_looks_past_the_edge_where_the_best_stands():
    for rate, others in ((0.6, (0.375, 0.24)), (1.0, (1.25, 0.8)), (1.6, (2.56, 4.0))):
        tried = second("none", {"rate": rate, "network.dropout": 0.4}).trials
        assert tuple(t["rate"] for t in tried[:2]) == others and {t["network.dropout"] for t in tried} == {0.4}
    assert second("elmol_ulmfit", {"rate": 2.5}).trials[0]["rate"] == 4.0


def test_fewer_requests_are_read_by_the_recipe_of_all():
    recipes = {**Settings().recipes, "elmol": replace(START, rate=0.123)}
    settings = Settings(recipes)
    assert {settings.recipe(m).rate for m in ("elmol", *AS)} == {0.123} and settings.recipe("elmo").rate != 0.123


class Silent:
    """A model that gets every utterance wrong."""

    def predict(self, texts):
        return [Prediction("none of them", (), 1.0)] * len(texts)


def test_a_trial_is_judged_on_dev_over_what_its_method_reads(tiny, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        tuning_elmol,
        "learned",
        lambda method, beneath, recipe, draw, unfreezing: seen.append((beneath, recipe.rate, draw[2])) or Silent(),
    )
    monkeypatch.setattr(tuning_elmol, "load_pretrained", lambda kept: kept.name)
    monkeypatch.setattr(tuning_elmol, "load_contextual", lambda kept, read: f"{kept.name} over {read.name}")
    rounds = {m: (Round(1, (7,), ({"rate": 0.6}, {"rate": 1.0})),) for m in ("none", "elmol")}
    monkeypatch.setattr(tuning_elmol, "ROUNDS", rounds)
    networks = {
        "none": (Kept("plain", "a"), None),
        "elmol": (Kept("plain-slowly", "b"), Read("elmol", "reader", 1.0, "its key", "its key")),
    }
    path = tmp_path / "record.json"
    search = ElmolSearch([(own_skills(tiny.corpora)[0], 20)], networks)
    record = search.run(path)
    over = "plain-slowly over reader"
    first, later = ([s for s in seen if (s[2] == 7) is of] for of in (True, False))
    assert first == [("plain", 0.6, 7), ("plain", 1.0, 7), (over, 0.6, 7), (over, 1.0, 7)]
    assert later == [(b, r, draw) for b in ("plain", over) for r in (0.375, 0.24, 0.6) for draw in DRAWS]
    assert {f["chosen_error"] for f in record["methods"].values()} == {1.0}
    assert record["methods"]["elmol"]["stamp"]["data"].items() >= {
        "pretrained plain-slowly": "b", "embedding reader": "its key",
    }.items()  # fmt: skip
    assert record == search.load(path)
    path.write_text(path.read_text().replace('"rate": 0.6', '"rate": 0.61', 1))
    with pytest.raises(RecordsError, match="slubook tune elmol"):
        search.load(path)


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
    search = elmol_search()
    assert [s.name for s in made["sources"]] == ["elmol-full-3"] and 3 not in GROUPS
    usual = {variant_of(m) for m in ROUNDS if m != "none" and m not in OTHERWISE}
    words = {name: other.method for name, other in OTHERWISE.items() if other.word_dropout}
    assert all(search.networks[name] == search.networks[method] for name, method in words.items())
    beneath = {name: other for name, other in OTHERWISE.items() if name not in words}
    assert set(made["schedules"]) == usual | {name for name, other in beneath.items() if not other.source}
    for name, other in beneath.items():
        kept, read = search.networks[name]
        kind = HOW[other.method].embedding
        variant = f"{kind}-{other.source}" if other.source else name
        before, usually = (made["schedules"][v][1] for v in (variant, variant_of(other.method)))
        assert kept == Kept(f"elmol-full-3-{variant}", f"key of elmol-full-3-{variant}")
        assert before.how == (other.source or usually.how)
        assert before.reduced == (other.reduced or usually.reduced) or other.source == "frozen"
        assert read.name == (f"{kind} of {other.epochs} epochs" if other.epochs else kind)
        assert (read.scale, read.key) == ((other.norm, f", norm {other.norm:g}") if other.norm else (1.0, ""))
        assert (before, read) != (usually, Read(kind, kind, 1.0, "", "")), "something else than the usual"
    assert [s.name for s, _ in search.listed] == [*SKILLS] and set(search.networks) == set(ROUNDS)
    assert search.networks["elmol_trained"] == (
        Kept("elmol-full-3-elmol-at_once", "key of elmol-full-3-elmol-at_once"), Read("elmol", "elmol", 1.0, "", ""),
    )  # fmt: skip
    search = elmol_search(1, ["none", "elmol_second"])
    assert list(made["schedules"]) == ["elmol-frozen"] and set(search.networks) == {"none", "elmol_second"}
    of.update(dict.fromkeys(SKILLS, f"elmol-full-{GROUPS[0]}"))
    with pytest.raises(ValueError, match="which the published run learns"):
        elmol_search()
    of.update(dict.fromkeys(SKILLS, "elmol-full-3") | {"hwu64/qa#0": "elmol-full-1"})
    with pytest.raises(ValueError, match="of several groups: elmol-full-1, elmol-full-3"):
        elmol_search()


@pytest.mark.skipif(not ElmolSearch().record.is_file(), reason="chapter 3 has not been tuned yet")
def test_the_defaults_are_what_tuning_chose():
    methods, settings = ElmolSearch().load(ElmolSearch().record)["methods"], Settings()
    defaults = {method: asdict(recipe) for method, recipe in settings.recipes.items()}
    found = {m: one["config"] for m, one in methods.items() if m not in OTHERWISE}
    assert found == json.loads(json.dumps(defaults)) and set(methods) == set(ROUNDS)
    assert {one["stamp"]["protocol"] for one in methods.values()} == {EXPERIMENTS["elmol"].protocol}
    best = {m: min(t["dev_error"] for t in one["trials"][:3]) for m, one in methods.items()}
    better = {name for name, other in OTHERWISE.items() if best[name] < best[other.method]}
    late = {"elmol_frozen_half", "elmol_words", "elmo_words", "elmol_trained_words"}
    assert better == late and all(OTHERWISE[name].late for name in late), "any other would have to be the usual"
