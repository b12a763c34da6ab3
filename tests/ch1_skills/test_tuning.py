"""Chapter 1's tuning: what was tried and chosen by which rule, what a trial is measured on, and the command."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from slubook.ch1_skills import tuning
from slubook.ch1_skills.protocol import SkillsSettings
from slubook.ch1_skills.skill_vectors import GRAINS
from slubook.ch1_skills.skillsets import make_skill
from slubook.ch1_skills.tuning import HEAD, SEARCH, START, choice
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer import tuning as tuning_transfer
from slubook.ch3_elmol import tuning as tuning_elmol
from slubook.cli.main import app
from slubook.experiments.records import RecordsError
from slubook.experiments.tuning import SEED, Search, Trial, changed


@pytest.fixture(scope="module")
def record():
    return SEARCH.load()


class TestThePublishedRecord:
    def test_every_method_got_ten_trials_and_the_baseline_more(self, record):
        trials = {method: len(found["trials"]) for method, found in record["methods"].items()}
        assert trials == {**dict.fromkeys(START, 10), "maxent_crf": 15}
        assert record["methods"]["maxent_crf"]["settings"] == 14 and record["methods"]["spacy"]["settings"] == 9

    def test_it_says_what_the_code_says(self, record):
        assert {name: record[name] for name in HEAD} == HEAD and list(record["methods"]) == list(START)
        starts = json.loads(json.dumps({method: asdict(start) for method, start in START.items()}))
        stamped = {m: f["stamp"]["config"]["start"] for m, f in record["methods"].items() if f["stamp"]}
        assert set(stamped) == {"maxent_crf", "maxent_crf_clusters"} and stamped.items() <= starts.items()

    def test_the_linear_models_go_on_from_what_their_first_rounds_found(self, record):
        trials = record["methods"]["maxent_crf"]["trials"]
        standing = choice([t for t in trials if t["round"] <= 2])["changes"]
        assert changed(SEARCH.start["maxent_crf"], standing) == START["maxent_crf_clusters"].maxent

    def test_the_defaults_are_what_tuning_chose(self, record):
        now = asdict(SkillsSettings())
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
            draws = {f"{skill}, draw {SEED + k}" for skill in record["skills"] for k in range(3)}
            assert draws <= set(found["stamp"]["data"])
            assert {"hardware", "config_sha256", "protocol"} <= set(found["stamp"])
        assert f"vectors {tuning.TABLE}, rows" in record["methods"]["maxent_crf_clusters"]["stamp"]["data"]
        assert "masked" in record["about"]["not_tuned"]

    def test_with_one_figure_changed(self, tmp_path):
        path = tmp_path / "record.json"
        path.write_text(SEARCH.record.read_text().replace('"dev_error": 0.2', '"dev_error": 0.1', 1))
        with pytest.raises(RecordsError, match="changed by hand"):
            SEARCH.load(path)


def trial(number, error, changes, spread=0.0):
    errors = (error + spread * np.array([-1, 1, -1, 1])).tolist()
    return {"round": number, "changes": changes, "dev_error": error, "errors": errors}


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
        with pytest.raises(RecordsError, match="try that in round 3 too"):
            choice([trial(1, 0.3, {"order": 3}), trial(3, 0.3, {"order": 2})])


def test_trials_are_measured_on_the_skills_and_over_the_vectors_of_the_pool(tmp_path, toy_skill, monkeypatch):
    skill = make_skill("toy", "toy", ["shopping"], toy_skill)
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "SKILLS", ("toy",))
    monkeypatch.setattr(tuning, "SIZE", skill.sizes()[0])
    monkeypatch.setattr(tuning, "public_skills", lambda: [replace(skill, name="other"), skill])
    monkeypatch.setattr(tuning, "table_folder", lambda name: tmp_path / name)
    words = sorted({w for u in toy_skill for w in u.text.split()})
    table = VectorTable("toy", {w: i for i, w in enumerate(words)}, np.eye(len(words), 8, dtype=np.float16),
                        np.zeros((0, 8), np.float16), key="abc")  # fmt: skip
    table.save(tmp_path / tuning.TABLE)
    small = {"network.dim": 8, "network.hidden": 4, "training.updates": 4}
    changes = {
        "maxent_crf": {"order": 1, "inverse_l2": [1.0]}, "maxent_crf_clusters": {"grains": [2, 4]}, "dnn": small,
        "spacy": {"epochs": 1}, "fasttext": {"dim": 5},
    }  # fmt: skip
    trials = [Trial(method=m, changes=c) for m, c in changes.items()]
    methods = SEARCH.run(trials, tmp_path / "record.json")["methods"]
    assert list(methods) == list(START)
    for method, found in methods.items():
        assert 0 <= found["chosen_error"] <= 1
        vectors = {f"vectors {tuning.TABLE}": "abc", f"vectors {tuning.TABLE}, rows": table.stamp}
        assert set(found["stamp"]["data"]) == {"toy, draw 1000", *(vectors if method in tuning.NEED_TABLE else ())}
        assert not (vectors.items() - found["stamp"]["data"].items()) or method not in tuning.NEED_TABLE
    asked = tuning.ground(["maxent_crf"], 1, "cpu")
    assert asked.skills == [(skill, skill.sizes()[0])] and asked.inputs == {"maxent_crf": {}}


class TestCommand:
    @pytest.fixture
    def ran(self, monkeypatch):
        """What the command asks a search to run; each chosen trial changes the rate."""
        ran = []

        def run(self, trials, out, jobs, device):
            ran.append((self.experiment, [t.method for t in trials], out, jobs, device))
            found = {"settings": 3, "chosen_error": 0.25, "chosen": {"rate": 2}}
            return {"methods": {t.method: found for t in trials}}

        monkeypatch.setattr(Search, "run", run)
        return ran

    @pytest.mark.parametrize(
        "words",
        [
            ["serving"],
            ["skills", "--method", "magic"],
            ["skills", "--jobs", "0"],
            ["transfer", "--method", "scratch"],
            ["skills", "--method", "dnn", "--trials", str(SEARCH.record)],
            ["skills", "--trials", str(SEARCH.record)],
            ["skills", "--trials", "nowhere.json"],
            ["elmol", "--device", "tpu"],
            ["skills", "--device", "cuda"],
        ],
    )
    def test_bad_use(self, words, ran):
        assert CliRunner().invoke(app, ["tune", *words]).exit_code == 2 and not ran

    def test_a_damaged_record_stops_it_before_anything_is_read(self, tmp_path, monkeypatch):
        path = tmp_path / "record.json"
        path.write_text("{")
        monkeypatch.setattr(tuning, "public_skills", lambda: pytest.fail("nothing is read"))
        asked = CliRunner().invoke(app, ["tune", "skills", "--out", str(path)])
        assert asked.exit_code == 2
        assert "record.json: not a sound record" in asked.output
        assert path.read_text() == "{"

    @pytest.mark.parametrize(
        "search", [SEARCH, tuning_transfer.SEARCH, tuning_elmol.SEARCH, tuning_elmol.BENCHMARK_SEARCH]
    )
    def test_it_replays_the_published_record_into_its_place(self, search, ran):
        before = search.record.read_bytes()
        asked = CliRunner().invoke(app, ["tune", search.experiment])
        assert asked.exit_code == 0, asked.output
        [(experiment, methods, out, jobs, _)] = ran
        assert (experiment, out, jobs) == (search.experiment, search.record, 1)
        assert methods == [m for m, found in search.load()["methods"].items() for _ in found["trials"]]
        assert all(f"{m}: 3 settings, 0.2500 on dev, rate = 2" in asked.stdout for m in search.start)
        assert search.record.read_bytes() == before

    def test_one_method_or_a_list_of_trials(self, tmp_path, ran):
        given = tmp_path / "given.json"
        given.write_text(json.dumps([{"method": "elmo", "changes": {"rate": 2.0}, "seeds": [1007]}]))
        out = ("--jobs", "2", "--device", "cpu", "--out", str(tmp_path / "mine.json"))
        for words in (["--method", "none", *out], ["--trials", str(given), *out], ["--trials", str(given)]):
            assert CliRunner().invoke(app, ["tune", "elmol", *words]).exit_code == 0
        assert ran[0] == ("elmol", ["none"] * 9, tmp_path / "mine.json", 2, "cpu")
        assert ran[1] == ("elmol", ["elmo"], tmp_path / "mine.json", 2, "cpu")
        assert ran[2][2].parent.name == "work", "a list of one's own does not replace the published record"
