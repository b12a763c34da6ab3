"""Tuning: what is tried, what is chosen and why, a record that can be trusted, runs that go on where they stopped."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

from slubook.ch1_skills import tuning
from slubook.ch1_skills.maxent import MaxEntConfig
from slubook.ch1_skills.methods import Settings
from slubook.ch1_skills.skill_vectors import GRAINS
from slubook.ch1_skills.skillsets import make_skill
from slubook.ch1_skills.tuning import RECORD, SkillsSearch, choice, load_tuning
from slubook.ch1_skills.vectors import VectorTable
from slubook.cli.main import app
from slubook.experiments.records import RecordsError
from slubook.experiments.search import Cell, row
from slubook.experiments.trials import ROUNDS, SEEDS, STANDING, Round, _random, configured

SEARCH = SkillsSearch()


@pytest.fixture(scope="module")
def record():
    return load_tuning()


class TestWhatIsTried:
    def test_every_method_gets_ten_trials_and_the_baseline_more(self):
        trials = {method: sum(len(r.trials) for r in rounds) for method, rounds in ROUNDS.items()}
        assert trials == {**dict.fromkeys(ROUNDS, 10), "maxent_crf": 15}

    def test_the_same_at_every_call(self):
        assert [r.trials[-1] for r in _random("dnn")] == [r.trials[-1] for r in ROUNDS["dnn"]]

    def test_a_dotted_name_reaches_into_a_part(self):
        config = configured("dnn", {"network.hidden": 7, "training.rate": 1.0})
        assert (config.network.hidden, config.training.rate) == (7, 1.0)
        assert config.network.dropout == configured("dnn", {}).network.dropout
        both = configured("maxent_crf_clusters", {"grains": (5,), "maxent.window": 1})
        assert (both.grains, both.maxent.window, both.maxent.order) == ((5,), 1, STANDING["order"])

    @pytest.mark.parametrize("method", ROUNDS)
    def test_every_setting_can_be_expressed(self, method):
        for tried in ROUNDS[method]:
            assert all(configured(method, changes) for changes in tried.trials)

    def test_no_published_run_uses_the_draws(self):
        assert min(SEEDS) >= 1000


class TestThePublishedRecord:
    def test_it_is_of_todays_rounds(self, record):
        assert list(record["methods"]) == list(ROUNDS)
        for method, rounds in ROUNDS.items():
            listed = [[r.number, r.seeds, changes] for r in rounds for changes in r.trials]
            kept = [[t["round"], t["seeds"], t["changes"]] for t in record["methods"][method]["trials"]]
            assert kept == json.loads(json.dumps(listed))

    def test_the_linear_models_go_on_from_what_their_first_rounds_found(self, record):
        trials = record["methods"]["maxent_crf"]["trials"]
        assert choice([t for t in trials if t["round"] <= 2])["changes"] == json.loads(json.dumps(STANDING))

    def test_the_defaults_are_what_tuning_chose(self, record):
        now = asdict(Settings())
        defaults = {
            "maxent_crf": now["maxent"],
            "maxent_crf_clusters": {"grains": GRAINS, "maxent": now["maxent"]},
            **{name: now[name] for name in ("dnn", "spacy", "fasttext")},
        }
        chosen = {method: found["config"] for method, found in record["methods"].items()}
        assert chosen == json.loads(json.dumps(defaults)), "the defaults in the code are not what tuning chose"

    def test_what_was_measured_by_the_command_is_stamped_and_the_rest_says_so(self, record):
        for found in record["methods"].values():
            if found["stamp"] is None:
                assert "protocol 1" in found["origin"]
                continue
            draws = {f"{skill}, draw {seed}" for skill in record["skills"] for seed in SEEDS}
            assert draws <= set(found["stamp"]["data"])
            assert {"hardware", "config_sha256", "protocol"} <= set(found["stamp"])
        assert f"vectors {tuning.TABLE}, rows" in record["methods"]["maxent_crf_clusters"]["stamp"]["data"]
        assert "masked" in record["about"]["not_tuned"]


def trial(number, error, changes, spread=0.0):
    errors = error + spread * np.array([-1, 1, -1, 1])
    return row(Round(number, (1, 2), ()), changes, errors.tolist())


class TestChoice:
    def test_the_least_error_on_one_draw(self):
        rows = [trial(1, 0.3, {}), trial(1, 0.2, {"order": 3}), trial(2, 0.2, {"order": 2})]
        assert choice(rows)["changes"] == {"order": 3}

    def test_a_challenger_must_be_clearly_better(self):
        stands = [trial(1, 0.3, {"order": 3}), trial(3, 0.3, {"order": 3})]
        assert choice([*stands, trial(3, 0.29, {"order": 2})])["changes"] == {"order": 2}
        assert choice([*stands, trial(3, 0.29, {"order": 2}, spread=0.05)])["changes"] == {"order": 3}

    def test_a_later_round_is_held_against_what_stands_then(self):
        rows = [trial(3, 0.3, {}), trial(3, 0.2, {"grains": [9]}), trial(4, 0.21, {"grains": [8]})]
        assert choice(rows)["changes"] == {"grains": [9]}
        assert choice([*rows, trial(4, 0.1, {"grains": [7]})])["changes"] == {"grains": [7]}

    def test_what_stands_must_be_tried_again(self):
        with pytest.raises(ValueError, match="try that in round 3 too"):
            choice([trial(1, 0.3, {"order": 3}), trial(3, 0.3, {"order": 2})])


@pytest.fixture
def small(tmp_path, toy_skill, monkeypatch):
    """Tuning on one toy skill with three trials of the linear model and one clustering: seconds."""
    skill = make_skill("toy", "toy", ["shopping"], toy_skill)
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "SKILLS", ("toy",))
    monkeypatch.setattr(tuning, "SIZE", skill.sizes()[0])
    rounds = {
        "maxent_crf": (
            Round(1, (7,), ({}, {"order": 1, "window": 1})),
            Round(3, (7, 8), ({}, {"order": 1, "window": 1})),
        ),
        "maxent_crf_clusters": (Round(3, (7, 8), ({"grains": (2,)}, {"grains": (2, 4)})),),
    }
    monkeypatch.setattr(tuning, "ROUNDS", rounds)
    words = sorted({w for u in toy_skill for w in u.text.split()})
    table = VectorTable("toy", {w: i for i, w in enumerate(words)}, np.eye(len(words), 8, dtype=np.float16),
                        np.zeros((0, 8), np.float16), key="abc")  # fmt: skip
    table.save(tmp_path / "table")
    return [skill], tmp_path / "table", tmp_path / "record.json"


class TestRuns:
    def test_a_stopped_run_goes_on(self, small, monkeypatch):
        skills, table, out = small
        tried, whole = [], tuning.trial_error

        def stops(cell, table):
            if len(tried) == 3:
                raise KeyboardInterrupt
            tried.append(cell.key)
            return whole(cell, table)

        monkeypatch.setattr(tuning, "trial_error", stops)
        with pytest.raises(KeyboardInterrupt):
            SkillsSearch(skills, table).run(out, ["maxent_crf"])
        assert not out.is_file()
        before = tried.copy()
        monkeypatch.setattr(tuning, "trial_error", lambda cell, table: tried.append(cell.key) or whole(cell, table))
        found = SkillsSearch(skills, table).run(out, ["maxent_crf"])["methods"]["maxent_crf"]
        assert tried[:3] == before
        assert len(set(tried)) == len(tried) == 2 * 1 + 2 * 2, "finished cells must not be run again"
        assert [len(t["errors"]) for t in found["trials"]] == [1, 1, 2, 2]
        assert found["stamp"]["seeds"] == [7, 8]
        [origin] = found["stamp"]["origins"]
        assert origin["cells"] == 2 * 1 + 2 * 2 and origin["hardware"] == found["stamp"]["hardware"]

    def test_methods_join_the_record(self, small):
        skills, table, out = small
        first = SkillsSearch(skills, table).run(out, ["maxent_crf"])
        both = SkillsSearch(skills, table).run(out, ["maxent_crf_clusters"])
        assert both == load_tuning(out)
        assert list(both["methods"]) == ["maxent_crf", "maxent_crf_clusters"]
        assert both["methods"]["maxent_crf"] == first["methods"]["maxent_crf"]
        data = both["methods"]["maxent_crf_clusters"]["stamp"]["data"]
        assert data["vectors full-pool"] == "abc"
        assert data["vectors full-pool, rows"] == VectorTable.load(table).stamp
        assert set(data) > {"toy, draw 7", "toy, draw 8"}

    def test_other_settings_are_other_cells(self, small):
        skills, table, _ = small
        size, search = skills[0].sizes()[0], SkillsSearch(skills, table)
        cells = [Cell("maxent_crf", 0, changes, skills[0], size, 7) for changes in ({}, {"window": 1})]
        search.store(cells[0]).put(cells[0].key, {"error": 0.5})
        assert [search.store(cell).has(cell.key) for cell in cells] == [True, False]


class TestTrust:
    @pytest.fixture
    def path(self, tmp_path):
        rows = [row(Round(1, (7,), ()), changes, [error]) for changes, error in (({}, 0.3), ({"order": 2}, 0.2))]
        path = tmp_path / "record.json"
        found = SEARCH.entry("maxent_crf", rows, rows[1], "by hand", None)
        path.write_text(json.dumps(SEARCH.sealed({"maxent_crf": found})))
        return path

    def test_whole(self, path):
        found = load_tuning(path)["methods"]["maxent_crf"]
        assert (found["chosen"], found["settings"]) == ({"order": 2}, 2)
        assert (found["first_error"], found["chosen_error"]) == (0.3, 0.2)
        assert MaxEntConfig(**found["config"]).order == 2

    def test_changed_by_hand(self, path):
        path.write_text(path.read_text().replace("0.3", "0.4"))
        with pytest.raises(RecordsError, match=r"record\.json.*changed by hand.*restore"):
            load_tuning(path)

    def test_a_choice_that_does_not_follow(self, path):
        kept = json.loads(path.read_text())
        kept["methods"]["maxent_crf"]["chosen"] = {"order": 3}
        path.write_text(json.dumps(SEARCH.sealed(kept["methods"])))
        with pytest.raises(RecordsError, match="maxent_crf: what is chosen does not follow"):
            load_tuning(path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"methods": {}}'])
    def test_damaged(self, path, text):
        path.write_text(text)
        with pytest.raises(RecordsError, match="not a sound record"):
            load_tuning(path)

    def test_the_published_record_with_one_figure_changed(self, tmp_path):
        path = tmp_path / "record.json"
        path.write_text(RECORD.read_text().replace('"dev_error": 0.2', '"dev_error": 0.1', 1))
        with pytest.raises(RecordsError, match="changed by hand"):
            load_tuning(path)


class TestCommand:
    def test_bad_use(self):
        one = ["transfer", "--method", "scratch"]
        for words in (["serving"], ["skills", "--method", "magic"], ["skills", "--jobs", "0"], one):
            assert CliRunner().invoke(app, ["tune", *words]).exit_code == 2

    def test_a_damaged_record_stops_it_before_anything_is_read(self, tmp_path):
        path = tmp_path / "record.json"
        path.write_text("{")
        asked = CliRunner().invoke(app, ["tune", "skills", "--out", str(path)])
        assert asked.exit_code == 2
        assert "record.json: not a sound record" in asked.output
        assert path.read_text() == "{"

    def test_each_search_is_made_as_asked_and_its_choice_is_printed(self, tmp_path, monkeypatch):
        made = []

        class Stub:
            def run(self, out, methods, jobs):
                made[-1] += (out, methods, jobs)
                found = {"settings": 3, "chosen_error": 0.25, "chosen": {"rate": 2}}
                return {"methods": dict.fromkeys(methods, found)}

        for name in ("elmol", "benchmark"):
            module = f"slubook.experiments.tuning_{name}.{name}_search"
            monkeypatch.setattr(module, lambda *given: made.append(given) or Stub())
        out = tmp_path / "record.json"
        words = ("--method", "elmol", "--jobs", "2", "--device", "cpu", "--out", str(out))
        for name, given in (("elmol", (2, ["elmol"], "cpu")), ("benchmark", ("cpu",))):
            asked = CliRunner().invoke(app, ["tune", name, *words])
            assert asked.exit_code == 0, asked.output
            assert made[-1] == (*given, out, ["elmol"], 2)
            assert "elmol: 3 settings, 0.2500 on dev, rate = 2" in asked.stdout
        for name, device in (("elmol", "tpu"), ("skills", "cuda")):
            assert CliRunner().invoke(app, ["tune", name, "--device", device]).exit_code == 2
