"""A skill of one's own: what is held together, what is refused, and what is recommended."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.maxent import MaxEntConfig
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.transfer import Recipe
from slubook.ch3_elmol.bilm import BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining, bilm_folder, train_bilm
from slubook.corpora import skills as embedded
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Prediction
from slubook.evaluation.crossval import k_folds
from slubook.evaluation.intervals import Comparison
from slubook.own import answer
from slubook.own import elmol as own_elmol
from slubook.own import skill as own
from slubook.own.compare import compare, cross_validate, recommend

TINY = answer.Configs(
    MaxEntConfig(inverse_l2=(4.0,), l1_l2=((0.05, 0.02),), max_iterations=30),
    DNNConfig(
        NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=8), TrainingConfig(updates=12, evaluations=1)
    ),
    Recipe(
        NetworkConfig(
            dim=8, project=8, char_dim=4, char_filters=4, hidden=8, layers=3, word_dropout=0.25, ngram_order=1
        ),
        TrainingConfig(updates=12, evaluations=1),
    ),
)
STAGE_ONE = PretrainingConfig(replace(TINY.transfer.network, ngram_order=0), updates=3, batch=4)
READER = BiLMTraining(
    BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8), epochs=1, candidates=20
)
REDUCED = {"dnn", "transfer", "elmol"}
PLAIN = answer.Beneath("none")


def interaction_model(samples: dict[str, list[str]]) -> dict:
    """An ASK model whose intents all have the slot ``item``."""
    intents = [{"name": n, "slots": [{"name": "item", "type": "Item"}], "samples": s} for n, s in samples.items()]
    values = [{"name": {"value": v}} for v in ("bread", "green tea", "rice", "two lemons", "soap", "oat milk", "plums")]
    language = {"invocationName": "larder", "intents": intents, "types": [{"name": "Item", "values": values}]}
    return {"interactionModel": {"languageModel": language}}


SAMPLES = {
    "Add": ["add {item}", "we need {item}", "put {item} on it", "buy {item} soon", "some {item} please"],
    "Drop": ["remove {item}", "no more {item}", "drop {item}", "forget the {item}", "without {item} now"],
    "Read": ["read it", "what is on it", "tell me all", "list everything", "how long is it", "Read it!"],
}


@pytest.fixture
def larder(tmp_path) -> Path:
    path = tmp_path / "larder.json"
    path.write_text(json.dumps(interaction_model(SAMPLES)))
    return path


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class TestReading:
    def test_a_sample_is_a_group_and_is_asked_once(self, larder):
        [skill] = own.read(larder)
        assert (skill.name, skill.path, skill.left_out) == ("larder", larder, ())
        assert len(set(skill.groups)) == 15  # "read it" and "Read it!" are one
        assert len(skill.asked) == 15
        assert 50 < len(skill.utterances) <= 10 * 6 + 6  # a value that comes twice in a sample counts once
        assert len({skill.groups[i] for i in skill.asked}) == 15

    def test_no_sample_stands_on_both_sides(self, larder):
        [skill] = own.read(larder)
        for fold in k_folds(skill.utterances, skill.groups, 5, 0):
            learned = {skill.groups[i] for i in fold.train + fold.dev}
            assert learned.isdisjoint(skill.groups[i] for i in fold.test)

    def test_each_domain_is_a_skill_or_all_are_one(self, tmp_path):
        rows = [{"text": f"say {w}", "intent": "A", "domain": d} for d in "xy" for w in ("one", "two", "Two.")]
        path = write(tmp_path / "mine.jsonl", rows)
        assert [(s.name, len(s.utterances)) for s in own.read(path)] == [("x", 2), ("y", 2)]
        assert [(s.name, len(s.utterances)) for s in own.read(path, as_one=True)] == [("mine", 2)]

    def test_dialogues_stay_together(self, tmp_path):
        rows = [{"text": w, "intent": "A", "group": f"g{i // 3}"} for i, w in enumerate("abcdefghi")]
        [skill] = own.read(write(tmp_path / "talk.jsonl", rows))
        assert skill.groups == ("g0",) * 3 + ("g1",) * 3 + ("g2",) * 3

    def test_the_key_follows_the_content(self, larder):
        [before] = own.read(larder)
        assert own.read(larder)[0].key == before.key
        larder.write_text(larder.read_text().replace("drop {item}", "drop the {item}"))
        assert own.read(larder)[0].key != before.key


class TestRefusing:
    def refused(self, path: Path, folds: int = 5) -> str:
        with pytest.raises(CorpusError) as caught:
            for skill in own.read(path):
                own.check(skill, folds)
        return str(caught.value)

    def test_one_class(self, tmp_path):
        path = write(tmp_path / "one.jsonl", [{"text": f"hello {i} there", "intent": "Hi"} for i in range(30)])
        assert "one intent ('Hi') and no slots" in self.refused(path)

    def test_too_few_for_the_folds(self, tmp_path, larder):
        rows = [{"text": w, "intent": "AB"[len(w) % 2]} for w in ("one", "two", "four", "five", "seven")]
        assert "5 different utterances or dialogues, and 5 folds need 10: add some, or use --folds 2" in self.refused(
            write(tmp_path / "few.jsonl", rows)
        )
        assert "15 different samples, and 8 folds need 16" in self.refused(larder, folds=8)
        own.check(own.read(larder)[0], 7)

    def test_as_many_folds_as_the_smallest_skill_allows(self, tmp_path, larder):
        [skill] = own.read(larder)  # 15 samples
        few = own.OwnSkill("few", skill.utterances, ("a", "b", "c") * 25, ())
        assert own.folds_for([skill]) == 5
        assert own.folds_for([own.OwnSkill("eight", (), tuple("abcdefgh"), ()), skill]) == 4
        assert own.folds_for([few]) == 2

    def test_slot_used_but_not_declared(self, tmp_path):
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(interaction_model({"Add": ["add {thing}"], "Read": ["read it"]}), indent=1))
        assert "bad.json, line" in self.refused(path)
        assert "'thing'" in self.refused(path)

    def test_malformed_and_empty(self, tmp_path):
        path = tmp_path / "half.json"
        path.write_text('{"interactionModel": {')
        assert "not JSON" in self.refused(path)
        (tmp_path / "empty.jsonl").write_text("\n")
        assert "holds no utterance" in self.refused(tmp_path / "empty.jsonl")


class TestVectors:
    def table(self, folder: Path) -> Path:
        VectorTable("mine", {"add": 0}, np.ones((1, 8), np.float16), np.zeros((0, 8), np.float16)).save(folder)
        return folder

    def test_none_a_folder_or_the_best_of_the_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
        assert own.vectors("none", []) is None
        assert own.vectors(str(self.table(tmp_path / "x")), []).table.name == "mine"
        second, first = (self.table(tmp_path / "vectors" / name) for name in ("full-mlm", "full-pool"))
        assert own.vectors("auto", []).folder == first
        first.rename(tmp_path / "gone")
        assert own.vectors("auto", []).folder == second

    def test_trained_on_the_embedded_pool_where_there_is_none(self, tmp_path, monkeypatch, larder):
        monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(own, "POOL_SOURCES", ("skills/coffee_shop",))
        monkeypatch.setattr(own, "FastTextConfig", partial(own.FastTextConfig, dim=8, epochs=1, buckets=100))
        skills = own.read(larder)
        found = own.vectors("auto", skills)
        assert (found.table.name, found.table.dim) == ("embedded", 8)
        assert (found.folder / "rows.npy").is_file()
        pooled = own.load("skills/coffee_shop")[0]  # must not be read before it is asked
        overlapping = own.OwnSkill("mine", (pooled,), ("1",), (0,))
        assert own.vectors("auto", [overlapping]).folder.name == f"embedded-without-{overlapping.key}"

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("embedded", "FastText of the requests that come with this book"),
            ("embedded-without-0f", "FastText of the requests that come with this book, without those that are also"),
            ("full-mlm", "a masked language model of the public requests"),
            ("crawl-without-topics", "the table 'crawl-without-topics'"),
        ],
    )
    def test_what_a_table_was_learned_from_in_words(self, name, told):
        table = VectorTable(name, {}, np.zeros((0, 8), np.float16), np.zeros((0, 8), np.float16))
        assert own.Vectors(table, Path()).in_words().startswith(told)

    def test_no_table_there(self, tmp_path):
        with pytest.raises(CorpusError, match="--vectors none"):
            own.vectors(str(tmp_path), [])


@pytest.fixture
def stage_one(tmp_path, monkeypatch):
    """Pretraining in a second: two domains, three updates; a language model of one of them, in one epoch."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(own, "EMBEDDED_SOURCE", ("skills/coffee_shop", "skills/weather_station"))
    monkeypatch.setattr(own, "PRETRAINING", STAGE_ONE)
    monkeypatch.setattr(own, "POOL_SOURCES", ("skills/coffee_shop",))
    monkeypatch.setattr(own_elmol, "PRETRAINING", STAGE_ONE)
    monkeypatch.setattr(own_elmol, "SMALL", READER)


class TestPretrained:
    def test_made_once_for_all_skills_that_share_nothing_with_the_source(self, stage_one, larder, capfd):
        first = own.pretrained([])
        told = capfd.readouterr().err
        assert "pretrained network embedded: " in told and "requests of 2 domains, once" in told
        again = own.pretrained(own.read(larder))
        assert "pretraining" not in capfd.readouterr().err
        assert first.network.table.stamp == again.network.table.stamp
        assert again.folder == first.folder and (again.folder / "rows.npy").is_file()
        assert again.in_words().endswith(" requests of 2 domains that come with this book")

    def test_near_duplicates_of_the_users_utterances_are_left_out(self, stage_one, larder):
        [skill], known = own.read(larder), own.load("skills/weather_station")[0]
        few = replace(skill, utterances=(*skill.utterances, known))
        found = own.pretrained([few])
        assert found.network.table.name.startswith("embedded-without-")
        assert found.network.about["domains"] == 2
        assert found.network.about["utterances"] < own.pretrained([]).network.about["utterances"]
        assert found.in_words().endswith("2 domains that come with this book, without those that are also yours")

    @pytest.mark.parametrize("file", ["en-US.json", "test.jsonl"])
    def test_an_embedded_skill_is_not_pretrained_on_its_own_topic(self, stage_one, file, tmp_path):
        copy = tmp_path / file  # wherever it lies
        copy.write_bytes((embedded.ROOT / "coffee_shop" / file).read_bytes())
        about = own.pretrained(own.read(copy)).network.about
        assert about["domains"] == 1
        assert not any("coffee" in name for name in about["intents"])

    def test_nothing_left_to_learn_from(self, stage_one, monkeypatch):
        monkeypatch.setattr(own, "EMBEDDED_SOURCE", ("skills/coffee_shop",))
        with pytest.raises(CorpusError, match=r"no source domains are left.*or go without transfer"):
            own.pretrained(own.read(embedded.ROOT / "coffee_shop" / "en-US.json"))


class TestOverELMoL:
    def test_both_stages_are_made_once_without_what_is_also_the_users(self, stage_one, larder, capfd):
        [skill], known = own.read(larder), own.load("skills/coffee_shop")[0]
        first = own_elmol.contextual("auto", [skill])
        told = capfd.readouterr().err
        assert "language model embedded: training ELMoL" in told and "pretrained network embedded-elmol-" in told
        assert own_elmol.contextual("auto", []).network.base.table.stamp == first.network.base.table.stamp
        assert not capfd.readouterr().err
        assert (first.folder / "rows.npy").is_file()
        few = replace(skill, utterances=(*skill.utterances, known))
        other = own_elmol.contextual("auto", [few])
        read = own_elmol.language_model("auto", [few])
        assert read.read.endswith("this book, without those that are also yours")
        assert read.model.about["sentences"] < own_elmol.language_model("auto", []).model.about["sentences"]
        assert other.network.about["utterances"] < first.network.about["utterances"]
        assert other.in_words().count("without those that are also yours") == 2

    def test_a_language_model_from_elsewhere_and_the_best_of_the_cache(self, stage_one, tmp_path):
        folders = [tmp_path / "mine", bilm_folder(own_elmol.FULL[0])]
        for seed, folder in enumerate(folders):
            train_bilm("toy", [["read", "it", "read", "it"]] * 3, READER, seed).save(folder)
        mine, best = own_elmol.language_model(str(folders[0]), []), own_elmol.language_model("auto", [])
        assert mine.model.stamp != best.model.stamp and mine.read.startswith(
            f"the language model in {folders[0]} (which may have read"
        )
        assert best.read == "a language model of the public requests of chapter 3"
        over = own_elmol.contextual(str(folders[0]), [])
        assert over.folder.parts[-3] == f"embedded-elmol-{mine.model.stamp}" and over.in_words().startswith(
            mine.read + "; and on "
        )

    def test_what_is_no_language_model(self, stage_one, tmp_path):
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(CorpusError, match=r"holds no language model: train one with `slubook elmol train`$"):
                own_elmol.contextual(str(folder), [])
        train_bilm("toy", [["read", "it"]] * 3, READER).save(tmp_path / "old")
        facts = tmp_path / "old" / "reader" / "meta.json"
        facts.write_text(facts.read_text().replace('"format": 1', '"format": 0'))
        with pytest.raises(CorpusError, match=r"old/reader is of format 0, this version reads 1: train one"):
            own_elmol.contextual(str(tmp_path / "old"), [])
        facts.write_text("{")
        with pytest.raises(CorpusError, match=r"reader is damaged .*: delete the folder"):
            own_elmol.contextual(str(tmp_path / "old"), [])
        assert not (tmp_path / "cache" / "pretrained").exists()


class Parrot:
    """Knows what it was taught, and remembers everything it was ever taught or asked."""

    taught: ClassVar[list[tuple[set[str], set[str]]]] = []

    def fit(self, train, dev, seed):
        self.known = {u.text: u for u in train}
        self.seen = {u.text for u in [*train, *dev]}
        return self

    def predict(self, texts):
        Parrot.taught.append((self.seen, set(texts)))
        return [Prediction("Add", self.known[t].slots if t in self.known else ()) for t in texts]

    def size_bytes(self):
        return 7


class TestCrossValidation:
    def test_every_sample_is_asked_once_of_a_model_that_has_not_seen_it(self, larder):
        [skill] = own.read(larder)
        Parrot.taught.clear()
        calls = []
        [row] = cross_validate(skill, {"parrot": Parrot}, folds=5, seed=0, done=lambda: calls.append(1))
        assert len(calls) == 5
        assert (row.skill, row.method, row.bytes, len(row.outcomes)) == ("larder", "parrot", 7, 15)
        intents = [skill.utterances[i].intent for i in skill.asked]
        assert row.outcomes.intent.tolist() == [int(i == "Add") for i in intents]  # in the order of the samples
        assert all(seen.isdisjoint(asked) for seen, asked in Parrot.taught)

    def test_all_models_and_all_figures(self, larder, stage_one):
        skills = own.read(larder)
        bases = {name: method.basis(PLAIN, skills) for name, method in answer.METHODS.items()}
        report = compare(skills, bases, folds=3, seeds=2, configs=TINY, replicates=200)
        assert report.skills == {"larder": 15}
        assert set(report.errors) == set(report.reductions) == {"icer", "ser", "irer", "semer"}
        for metric, by_model in report.errors.items():
            assert list(by_model) == list(answer.METHODS)
            for interval in by_model.values():
                assert 0 <= interval.low <= interval.point <= interval.high, metric
            assert set(report.reductions[metric]) == REDUCED
        assert report.errors["irer"]["maxent_crf"].point < 1
        assert all(cost > 0 for by_cost in report.costs.values() for cost in by_cost.values())
        assert report.beneath["dnn"] == "nothing" and "requests of 2 domains" in report.beneath["transfer"]
        read = "a language model of the requests that come with this book; and on "
        assert report.beneath["elmol"] == read + report.beneath["transfer"]
        assert report.recommended in answer.METHODS
        assert json.loads(json.dumps(report.to_json(), allow_nan=False))["folds"] == 3
        assert report.table().row_count == 4 + 1 + 4 + 3
        assert [column.header for column in report.table().columns[1:]] == ["MaxEnt-CRF", "DNN", "Transfer", "ELMoL"]
        assert report.too_few and report.to_json()["too_few"]
        assert "15 utterances are too few for an interval" in report.reason
        cells = [cell for column in report.table().columns[1:] for cell in column.cells]
        assert not any("[" in cell for cell in cells)

    def test_any_of_the_models_alone(self, larder):
        report = compare(own.read(larder), {"dnn": None}, folds=2, configs=TINY, replicates=50)
        assert list(report.costs) == ["dnn"] and report.recommended == "dnn"
        assert not any(report.reductions.values())


def found(low: float, high: float) -> Comparison:
    return Comparison((low + high) / 2, low, high, 1, 0, 0, 0.0, 0, 1.0)


#: Intervals of relative reductions: of the second model against the first.
BETTER, WORSE, EVEN = (0.02, 0.3), (-0.3, -0.02), (-0.1, 0.3)


@pytest.mark.parametrize(
    ("intervals", "model", "why"),
    [
        ({"dnn": BETTER}, "dnn", ["16.0 [2.0, 30.0] %, lies above zero"]),
        ({"dnn": WORSE}, "maxent_crf", ["The DNN errs more than MaxEnt-CRF", "lies below zero"]),
        ({"dnn": EVEN}, "maxent_crf", ["includes zero; and MaxEnt-CRF is simpler, as it needs no word vectors."]),
        ({"dnn": (0.0, 0.0)}, "maxent_crf", ["includes zero"]),
        ({"dnn": (-float("inf"), 0.5)}, "maxent_crf", ["includes zero"]),
        (
            {"dnn": BETTER, "transfer": BETTER},
            "transfer",
            ["DNN errs less than MaxEnt-CRF", "network errs less than the DNN"],
        ),
        (
            {"dnn": BETTER, "transfer": EVEN},
            "dnn",
            ["network from the DNN", "the DNN is simpler, as it needs no pretrained n"],
        ),
        ({"dnn": EVEN, "transfer": BETTER}, "transfer", ["The transferred network errs less than MaxEnt-CRF"]),
        ({"dnn": BETTER, "transfer": WORSE}, "dnn", ["The transferred network errs more than the DNN"]),
        (
            {"transfer": BETTER, "elmol": EVEN},
            "transfer",
            ["cannot tell ELMoL from the transferred network", "it needs no language model."],
        ),
        ({}, "maxent_crf", []),
    ],
)
def test_recommendation_and_its_reason(intervals, model, why):
    chosen, reason = recommend(["maxent_crf", *intervals], lambda _, other: found(*intervals[other]), asked=30)
    assert chosen == model
    assert all(part in reason for part in why)
    assert reason.startswith(f"Use {answer.METHODS[model].noun}.")
    assert reason.count("interval") == len(intervals)


def test_a_challenger_is_held_against_the_best_so_far():
    asked = []
    recommend(["maxent_crf", "dnn", "transfer"], lambda a, b: asked.append((a, b)) or found(*BETTER), asked=30)
    assert asked == [("maxent_crf", "dnn"), ("dnn", "transfer")]


def test_too_few_utterances_decide_nothing():
    chosen, reason = recommend(["maxent_crf", "dnn"], lambda *_: found(0.5, 0.9), asked=29)
    assert chosen == "maxent_crf" and "29 utterances are too few for an interval" in reason


@pytest.mark.usefixtures("stage_one")
class TestKeeping:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(answer, "Configs", lambda: TINY)
        return tmp_path / "cache"

    @pytest.mark.parametrize("method", list(answer.METHODS))
    def test_trained_once_then_opened(self, larder, cache, method):
        [skill], said = own.read(larder), []
        first = answer.open_model(skill, method, lambda: answer.METHODS[method].basis(PLAIN, [skill]), said.append)
        assert said == [f"larder: no {method} is kept yet; training it"]
        again = answer.open_model(skill, method, lambda: pytest.fail("trained twice"), said.append)
        texts = [u.text for u in skill.utterances] + ["", "buy plums soon"]
        assert again.predict(texts) == first.predict(texts)
        assert len(said) == 1
        [folder] = (cache / "skills").iterdir()
        assert folder.name.startswith("larder-")
        assert [p.name for p in folder.iterdir()] == [method]  # nothing left aside

    def test_namesakes_in_two_files_are_kept_side_by_side(self, larder, tmp_path):
        (tmp_path / "other").mkdir()
        other = tmp_path / "other" / larder.name
        other.write_text(larder.read_text().replace("Drop", "Discard"))
        [first], [second], said = own.read(larder), own.read(other), []
        for skill in (first, second):
            answer.train_and_keep(skill, "maxent_crf", None)
        for skill in (first, second):
            answer.open_model(skill, "maxent_crf", lambda: None, said.append)
        assert first.name == second.name and not said

    def test_a_changed_file_is_learned_again(self, larder):
        [skill], said = own.read(larder), []
        answer.train_and_keep(skill, "maxent_crf", None)
        larder.write_text(larder.read_text().replace("Drop", "Discard"))
        [changed] = own.read(larder)
        model = answer.open_model(changed, "maxent_crf", lambda: None, said.append)
        assert "changed since" in said[0]
        assert "Discard" in {p.intent for p in model.predict([u.text for u in changed.utterances])}

    @pytest.mark.parametrize("method", list(answer.METHODS))
    def test_damaged_files_are_trained_again(self, larder, cache, method):
        [skill], said = own.read(larder), []
        basis = answer.METHODS[method].basis(PLAIN, [skill])
        folder = answer.train_and_keep(skill, method, basis)
        victim = max(folder.iterdir(), key=lambda p: p.stat().st_size)
        victim.write_bytes(victim.read_bytes()[:30])
        assert answer.open_model(skill, method, lambda: basis, said.append).predict(["read it"])
        assert "cannot be used" in said[0]

    def test_what_was_recommended_holds_for_that_content_only(self, larder):
        [skill] = own.read(larder)
        assert answer.chosen(skill) is None
        answer.remember(skill, "dnn", "because")
        assert answer.chosen(skill) == "dnn"
        larder.write_text(larder.read_text().replace("Drop", "Discard"))
        assert answer.chosen(own.read(larder)[0]) is None

    def test_an_unwritable_cache_leaves_nothing(self, larder, cache):
        cache.write_text("a file where a folder should be")
        [skill] = own.read(larder)
        with pytest.raises(CorpusError, match="set SLUBOOK_CACHE"):
            answer.train_and_keep(skill, "maxent_crf", None)

    def test_a_failure_half_way_keeps_the_old_model(self, larder, cache, monkeypatch):
        [skill] = own.read(larder)
        folder = answer.train_and_keep(skill, "maxent_crf", None)
        before = {p.name: p.read_bytes() for p in folder.iterdir()}

        def broken(model, aside):
            (aside / "half").write_text("x")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(answer, "save_maxent", broken)
        with pytest.raises(CorpusError, match="No space left"):
            answer.train_and_keep(skill, "maxent_crf", None)
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
        assert [p.name for p in folder.parent.iterdir()] == ["maxent_crf"]

    def test_a_kept_model_is_not_taken_for_one_over_something_else(self, larder, tmp_path):
        [skill], said = own.read(larder), []
        answer.train_and_keep(skill, "dnn", None, beneath=PLAIN)
        answer.train_and_keep(skill, "maxent_crf", None, beneath=PLAIN)
        never = lambda: pytest.fail("trained twice")  # noqa: E731
        for beneath in (None, answer.Beneath(), PLAIN):
            answer.open_model(skill, "dnn", never, said.append, beneath)
        other = answer.Beneath(str(tmp_path / "vectors"), str(tmp_path / "reader"))
        answer.open_model(skill, "maxent_crf", never, said.append, other)
        assert (
            said == []
            and other.asked("transfer") == "auto"
            and other.asked("elmol").startswith(f"{tmp_path / 'reader'}#")
        )
        answer.open_model(skill, "dnn", lambda: None, said.append, other)
        over = f"over other word vectors than {tmp_path / 'vectors'} the kept dnn was trained"
        assert said == [f"larder: {over}; training it again"]
        answer.open_model(skill, "dnn", never, said.append, other)
        (tmp_path / "vectors").mkdir()
        (tmp_path / "vectors" / "rows").write_text("others, in the same place")
        answer.open_model(skill, "dnn", lambda: None, said.append, other)
        assert said[1:] == said[:1]

    def test_the_network_stands_on_the_table_it_was_trained_over(self, larder, tmp_path):
        [skill], said = own.read(larder), []
        draw = np.random.default_rng(0)

        def table(name: str) -> own.Vectors:
            rows = draw.normal(size=(2, 8)).astype(np.float16)
            VectorTable(name, {"add": 0, "read": 1}, rows, np.zeros((0, 8), np.float16)).save(tmp_path / "t")
            return own.Vectors(VectorTable.load(tmp_path / "t"), tmp_path / "t")

        answer.train_and_keep(skill, "dnn", table("old"))
        assert answer.open_model(skill, "dnn", lambda: pytest.fail("trained twice"), said.append).table.name == "old"
        new = table("new")
        assert answer.open_model(skill, "dnn", lambda: new, said.append).table.name == "new"
        assert "trained over table 'old'" in said[0]
