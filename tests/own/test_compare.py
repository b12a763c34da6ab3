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
from slubook.own import answer, inputs, methods
from slubook.own import skill as own
from slubook.own.compare import compare, cross_validate, recommend
from slubook.own.methods import METHODS

TINY = {
    "MAXENT": MaxEntConfig(inverse_l2=(4.0,), l1_l2=((0.05, 0.02),), max_iterations=30),
    "DNN": DNNConfig(
        NetworkConfig(dim=8, project=8, char_dim=4, char_filters=4, hidden=8), TrainingConfig(updates=12, evaluations=1)
    ),
    "TRANSFER": Recipe(
        NetworkConfig(
            dim=8, project=8, char_dim=4, char_filters=4, hidden=8, layers=3, word_dropout=0.25, ngram_order=1
        ),
        TrainingConfig(updates=12, evaluations=1),
    ),
}
STAGE_ONE = PretrainingConfig(replace(TINY["TRANSFER"].network, ngram_order=0), updates=3, batch=4)
READER = BiLMTraining(
    BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=6, hidden=7, longest=8), epochs=1, candidates=20
)
REDUCED = {"dnn", "transfer", "elmol"}


@pytest.fixture
def tiny(monkeypatch):
    """Models that are trained in no time."""
    for name, config in TINY.items():
        monkeypatch.setattr(methods, name, config)


def made(method: str, skills: list[own.OwnSkill]) -> inputs.PretrainedInput | None:
    """The pretrained input of a method; no word vectors for the DNN."""
    return METHODS[method].pretrained("none" if method == "dnn" else "auto", skills)


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

    def test_a_file_is_parsed_once_and_gives_what_the_registry_gives(self, larder, monkeypatch):
        expected, parsed, parse = own.load(larder), [], own.ask.read
        monkeypatch.setattr(own.ask, "read", lambda *given: parsed.append(given) or parse(*given))
        [skill] = own.read(larder)
        assert len(parsed) == 1 and list(skill.utterances) == expected

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
        assert inputs.word_vectors("none", []) is None
        assert inputs.word_vectors(str(self.table(tmp_path / "x")), []).model.name == "mine"
        second, first = (self.table(tmp_path / "vectors" / name) for name in ("full-mlm", "full-pool"))
        assert inputs.word_vectors("auto", []).table == first
        first.rename(tmp_path / "gone")
        assert inputs.word_vectors("auto", []).table == second

    def test_trained_on_the_embedded_pool_where_there_is_none(self, tmp_path, monkeypatch, larder):
        monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(inputs, "POOL_SOURCES", ("skills/coffee_shop",))
        monkeypatch.setattr(inputs, "FastTextConfig", partial(inputs.FastTextConfig, dim=8, epochs=1, buckets=100))
        skills = own.read(larder)
        found = inputs.word_vectors("auto", skills)
        assert (found.model.name, found.model.dim) == ("embedded", 8)
        assert (found.table / "rows.npy").is_file()
        pooled = own.load("skills/coffee_shop")[0]  # must not be read before it is asked
        overlapping = own.OwnSkill("mine", (pooled,), ("1",), (0,))
        assert inputs.word_vectors("auto", [overlapping]).table.name == f"embedded-without-{overlapping.key}"

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("embedded", "FastText of the requests that come with this book"),
            ("embedded-without-0f", "FastText of the requests that come with this book, without those that are also"),
            ("full-mlm", "a masked language model of the public requests"),
            ("crawl-without-topics", "the table 'crawl-without-topics'"),
        ],
    )
    def test_what_a_table_was_learned_from_in_words(self, name, told, tmp_path):
        VectorTable(name, {}, np.zeros((0, 8), np.float16), np.zeros((0, 8), np.float16)).save(tmp_path)
        assert inputs.word_vectors(str(tmp_path), []).trained_on.startswith(told)

    def test_no_table_there(self, tmp_path):
        with pytest.raises(CorpusError, match="--vectors none"):
            inputs.word_vectors(str(tmp_path), [])


@pytest.fixture
def stage_one(tmp_path, monkeypatch):
    """Pretraining in a second: two domains, three updates; a language model of one of them, in one epoch."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inputs, "EMBEDDED_SOURCE", ("skills/coffee_shop", "skills/weather_station"))
    monkeypatch.setattr(inputs, "PRETRAINING", STAGE_ONE)
    monkeypatch.setattr(inputs, "POOL_SOURCES", ("skills/coffee_shop",))
    monkeypatch.setattr(inputs, "ELMOL_PRETRAINING", STAGE_ONE)
    monkeypatch.setattr(inputs, "SMALL", READER)


class TestPretrained:
    def test_made_once_for_all_skills_that_share_nothing_with_the_source(self, stage_one, larder, capfd):
        first = inputs.pretrained_network([])
        told = capfd.readouterr().err
        assert "pretrained network embedded: " in told and "requests of 2 domains, once" in told
        again = inputs.pretrained_network(own.read(larder))
        assert "pretraining" not in capfd.readouterr().err
        assert first.model.table.stamp == again.model.table.stamp
        assert again.table == first.table and (again.table / "rows.npy").is_file()
        assert again.trained_on.endswith(" requests of 2 domains that come with this book")

    def test_near_duplicates_of_the_users_utterances_are_left_out(self, stage_one, larder):
        [skill], known = own.read(larder), own.load("skills/weather_station")[0]
        few = replace(skill, utterances=(*skill.utterances, known))
        found = inputs.pretrained_network([few])
        assert found.model.table.name.startswith("embedded-without-")
        assert found.model.about["domains"] == 2
        assert found.model.about["utterances"] < inputs.pretrained_network([]).model.about["utterances"]
        assert found.trained_on.endswith("2 domains that come with this book, without those that are also yours")

    @pytest.mark.parametrize("file", ["en-US.json", "test.jsonl"])
    def test_an_embedded_skill_is_not_pretrained_on_its_own_topic(self, stage_one, file, tmp_path):
        copy = tmp_path / file  # wherever it lies
        copy.write_bytes((embedded.ROOT / "coffee_shop" / file).read_bytes())
        about = inputs.pretrained_network(own.read(copy)).model.about
        assert about["domains"] == 1
        assert not any("coffee" in name for name in about["intents"])

    def test_nothing_left_to_learn_from(self, stage_one, monkeypatch):
        monkeypatch.setattr(inputs, "EMBEDDED_SOURCE", ("skills/coffee_shop",))
        with pytest.raises(CorpusError, match=r"no source domains are left.*or go without transfer"):
            inputs.pretrained_network(own.read(embedded.ROOT / "coffee_shop" / "en-US.json"))


class TestOverELMoL:
    def test_both_stages_are_made_once_without_what_is_also_the_users(self, stage_one, larder, capfd):
        [skill], known = own.read(larder), own.load("skills/coffee_shop")[0]
        first = inputs.elmol_network("auto", [skill])
        told = capfd.readouterr().err
        assert "language model embedded: training ELMoL" in told and "pretrained network embedded-elmol-" in told
        assert inputs.elmol_network("auto", []).model.base.table.stamp == first.model.base.table.stamp
        assert not capfd.readouterr().err
        assert (first.table / "rows.npy").is_file()
        few = replace(skill, utterances=(*skill.utterances, known))
        other = inputs.elmol_network("auto", [few])
        reader, read = inputs.language_model("auto", [few])
        assert read.endswith("this book, without those that are also yours")
        assert reader.about["sentences"] < inputs.language_model("auto", [])[0].about["sentences"]
        assert other.model.about["utterances"] < first.model.about["utterances"]
        assert other.trained_on.count("without those that are also yours") == 2

    def test_a_language_model_from_elsewhere_and_the_best_of_the_cache(self, stage_one, tmp_path):
        folders = [tmp_path / "mine", bilm_folder(inputs.FULL_ELMOL[0])]
        for seed, folder in enumerate(folders):
            train_bilm("toy", [["read", "it", "read", "it"]] * 3, READER, seed).save(folder)
        (mine, read), (best, of_chapter_3) = (inputs.language_model(choice, []) for choice in (str(folders[0]), "auto"))
        assert mine.stamp != best.stamp and read.startswith(f"the language model in {folders[0]} (which may have read")
        assert of_chapter_3 == "a language model of the public requests of chapter 3"
        over = inputs.elmol_network(str(folders[0]), [])
        assert over.table.parts[-3] == f"embedded-elmol-{mine.stamp}"
        assert over.trained_on.startswith(f"{read}; and on ") and over.choice == str(folders[0])

    def test_what_is_no_language_model(self, stage_one, tmp_path):
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(CorpusError, match=r"holds no language model: train one with `slubook elmol train`$"):
                inputs.elmol_network(str(folder), [])
        train_bilm("toy", [["read", "it"]] * 3, READER).save(tmp_path / "old")
        facts = tmp_path / "old" / "reader" / "meta.json"
        facts.write_text(facts.read_text().replace('"format": 1', '"format": 0'))
        with pytest.raises(CorpusError, match=r"old/reader is of format 0, this version reads 1: train one"):
            inputs.elmol_network(str(tmp_path / "old"), [])
        facts.write_text("{")
        with pytest.raises(CorpusError, match=r"reader is damaged .*: delete the folder"):
            inputs.elmol_network(str(tmp_path / "old"), [])
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

    def test_all_models_and_all_figures(self, larder, stage_one, tiny):
        skills = own.read(larder)
        report = compare(skills, {name: made(name, skills) for name in METHODS}, folds=3, seeds=2, replicates=200)
        assert report.skills == {"larder": 15}
        assert set(report.errors) == set(report.reductions) == {"icer", "ser", "irer", "semer"}
        for metric, by_model in report.errors.items():
            assert list(by_model) == list(METHODS)
            for interval in by_model.values():
                assert 0 <= interval.low <= interval.point <= interval.high, metric
            assert set(report.reductions[metric]) == REDUCED
        assert report.errors["irer"]["maxent_crf"].point < 1
        assert all(cost > 0 for by_cost in report.costs.values() for cost in by_cost.values())
        read_by = report.pretrained_inputs
        assert read_by["dnn"] == "nothing" and "requests of 2 domains" in read_by["transfer"]
        read = "a language model of the requests that come with this book; and on "
        assert read_by["elmol"] == read + read_by["transfer"]
        assert report.recommended in METHODS
        assert json.loads(json.dumps(report.to_json(), allow_nan=False))["folds"] == 3
        assert report.table().row_count == 4 + 1 + 4 + 3
        assert [column.header for column in report.table().columns[1:]] == ["MaxEnt-CRF", "DNN", "Transfer", "ELMoL"]
        assert report.too_few and report.to_json()["too_few"]
        assert "15 utterances are too few for an interval" in report.reason
        cells = [cell for column in report.table().columns[1:] for cell in column.cells]
        assert not any("[" in cell for cell in cells)

    def test_any_of_the_models_alone(self, larder, tiny):
        report = compare(own.read(larder), {"dnn": None}, folds=2, replicates=50)
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
    assert reason.startswith(f"Use {METHODS[model].noun}.")
    assert reason.count("interval") == len(intervals)


def test_a_challenger_is_held_against_the_best_so_far():
    asked = []
    recommend(["maxent_crf", "dnn", "transfer"], lambda a, b: asked.append((a, b)) or found(*BETTER), asked=30)
    assert asked == [("maxent_crf", "dnn"), ("dnn", "transfer")]


def test_too_few_utterances_decide_nothing():
    chosen, reason = recommend(["maxent_crf", "dnn"], lambda *_: found(0.5, 0.9), asked=29)
    assert chosen == "maxent_crf" and "29 utterances are too few for an interval" in reason


@pytest.mark.usefixtures("stage_one", "tiny")
class TestKeeping:
    @pytest.fixture
    def cache(self, tmp_path):
        return tmp_path / "cache"

    @pytest.fixture
    def trained(self, monkeypatch):
        """The methods that are trained, in order."""
        done, train = [], answer.train_and_keep
        monkeypatch.setattr(answer, "train_and_keep", lambda one, m, given: done.append(m) or train(one, m, given))
        return done

    @pytest.mark.parametrize("method", list(METHODS))
    def test_trained_once_then_opened(self, larder, cache, method, trained):
        [skill], said = own.read(larder), []
        choice = "none" if method == "dnn" else "auto"
        first = answer.open_model(skill, method, said.append, choice)
        assert said == [f"larder: no {method} is kept yet; training it"] and trained == [method]
        again = answer.open_model(skill, method, said.append, choice)
        texts = [u.text for u in skill.utterances] + ["", "buy plums soon"]
        assert again.predict(texts) == first.predict(texts)
        assert len(said) == len(trained) == 1
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
            answer.open_model(skill, "maxent_crf", said.append)
        assert first.name == second.name and not said

    def test_a_changed_file_is_learned_again(self, larder):
        [skill], said = own.read(larder), []
        answer.train_and_keep(skill, "maxent_crf", None)
        larder.write_text(larder.read_text().replace("Drop", "Discard"))
        [changed] = own.read(larder)
        model = answer.open_model(changed, "maxent_crf", said.append)
        assert "changed since" in said[0]
        assert "Discard" in {p.intent for p in model.predict([u.text for u in changed.utterances])}

    @pytest.mark.parametrize("method", list(METHODS))
    def test_damaged_files_are_trained_again(self, larder, cache, method):
        [skill], said = own.read(larder), []
        folder = answer.train_and_keep(skill, method, made(method, [skill]))
        victim = max(folder.iterdir(), key=lambda p: p.stat().st_size)
        victim.write_bytes(victim.read_bytes()[:30])
        choice = "none" if method == "dnn" else "auto"
        assert answer.open_model(skill, method, said.append, choice).predict(["read it"])
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

        monkeypatch.setattr(methods, "save_maxent", broken)
        with pytest.raises(CorpusError, match="No space left"):
            answer.train_and_keep(skill, "maxent_crf", None)
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
        assert [p.name for p in folder.parent.iterdir()] == ["maxent_crf"]

    def vectors(self, folder: Path, name: str, seed: int = 0) -> str:
        """A folder of word vectors."""
        rows = np.random.default_rng(seed).normal(size=(2, 8)).astype(np.float16)
        VectorTable(name, {"add": 0, "read": 1}, rows, np.zeros((0, 8), np.float16)).save(folder)
        return str(folder)

    def test_a_kept_model_is_not_taken_for_one_over_something_else(self, larder, tmp_path, trained):
        [skill], said = own.read(larder), []
        for method in ("dnn", "maxent_crf"):
            answer.train_and_keep(skill, method, None)
        trained.clear()
        for choice in ("auto", "none"):
            answer.open_model(skill, "dnn", said.append, choice)
        answer.open_model(skill, "maxent_crf", said.append)
        assert not said and not trained
        other = self.vectors(tmp_path / "vectors", "first")
        answer.open_model(skill, "dnn", said.append, other)
        over = f"over other word vectors than {other} the kept dnn was trained"
        assert said == [f"larder: {over}; training it again"] and trained == ["dnn"]
        for choice in ("auto", other):
            answer.open_model(skill, "dnn", said.append, choice)
        assert trained == ["dnn"]
        self.vectors(tmp_path / "vectors", "others, in the same place", seed=1)
        answer.open_model(skill, "dnn", said.append, other)
        assert said[1:] == said[:1] and trained == ["dnn", "dnn"]
        answer.open_model(skill, "dnn", said.append, "none")
        assert said[2] == "larder: over other word vectors than none the kept dnn was trained; training it again"

    def test_the_network_stands_on_the_table_it_was_trained_over(self, larder, cache, trained):
        [skill], said = own.read(larder), []
        self.vectors(cache / "vectors" / "full-pool", "old")
        answer.open_model(skill, "dnn", said.append)
        assert answer.open_model(skill, "dnn", said.append).table.name == "old" and trained == ["dnn"]
        self.vectors(cache / "vectors" / "full-pool", "new", seed=1)
        assert answer.open_model(skill, "dnn", said.append).table.name == "new"
        assert "trained over table 'old'" in said[1] and trained == ["dnn", "dnn"]

    def test_a_model_kept_by_an_earlier_version_is_opened(self, larder, cache, trained):
        """The names of folders and files, and what their notes hold, stay as they are."""
        [skill] = own.read(larder)
        for method, note in {
            "maxent_crf": {"key": skill.key, "asked": "auto"},
            "dnn": {"table": None, "dim": 8, "key": skill.key, "asked": "auto"},
        }.items():
            folder = answer.train_and_keep(skill, method, None)
            assert json.loads((folder / "about.json").read_text()).keys() == note.keys()
            (folder / "about.json").write_text(json.dumps(note))
            assert folder.parts[-3:] == (
                "skills",
                f"larder-{answer.stable_hash(larder.resolve(), 'larder'):08x}",
                method,
            )
        trained.clear()
        for method in ("maxent_crf", "dnn"):
            answer.open_model(skill, method, pytest.fail)
        assert not trained
