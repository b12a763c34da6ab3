"""Tuning of a made-up experiment: banks, kept cells, replays, lists of trials, and records that can be trusted."""

import json
from dataclasses import asdict, dataclass, field, replace

import pytest

from slubook.experiments import tuning
from slubook.experiments.records import RecordsError
from slubook.experiments.tuning import SEED, Ground, Search, Trial, changed, clearly_better, least


@dataclass(frozen=True)
class Part:
    width: int = 4
    rates: tuple[float, ...] = (1.0, 2.0)


@dataclass(frozen=True)
class Config:
    rate: float = 0.5
    part: Part = field(default_factory=Part)


@dataclass(frozen=True)
class Draws:
    """Something to draw from: what is drawn tells size and seed."""

    name: str
    utterances: tuple

    def draw(self, size, seed):
        return self.utterances[:size], self.utterances[size : size + 2 + seed % 2]


@pytest.fixture
def fake(toy_skill, tmp_path, monkeypatch):
    """A search over two skills, whose dev error is its rate; the banks that it measured are noted."""
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "RESULTS", tmp_path)
    seen = []

    def errors(bank):
        if any(cell.config.rate > 1 for cell in bank):
            raise ValueError("rates are at most 1")
        seen.append([str(cell) for cell in bank])
        return [cell.config.rate for cell in bank]

    def ground(methods, jobs, device):
        skills = [(Draws("one", tuple(toy_skill)), 10), (Draws("two", tuple(toy_skill)), 20)]
        return Ground(skills, errors, {m: {f"input of {m}": "abc"} for m in methods}, lambda c: (c.skill.name, c.seed))

    start = {"plain": Config(), "wide": Config(part=Part(9))}
    return Search("fake", 3, {"about": "dev errors"}, start, least, ground), seen, tmp_path / "fake_tuning.json"


TRIALS = [
    Trial(method="wide", changes={}),
    Trial(method="plain", changes={}),
    Trial(method="plain", changes={"rate": 0.25, "part.rates": [3.0]}),
    Trial(method="plain", changes={"rate": 0.125}, round=2, seeds=[SEED, SEED + 1]),
]


def test_alike_cells_of_a_round_are_measured_together(fake):
    search, seen, path = fake
    record = search.run(TRIALS, path)
    assert [len(bank) for bank in seen] == [3, 3, 1, 1, 1, 1]
    assert [name.split()[0] for name in seen[0]] == ["plain", "plain", "wide"], "in the record's order"
    assert list(record["methods"]) == ["plain", "wide"] and record["about"] == "dev errors"
    plain = record["methods"]["plain"]
    assert [t["dev_error"] for t in plain["trials"]] == [0.5, 0.25, 0.125]
    assert [len(t["errors"]) for t in plain["trials"]] == [2, 2, 4]
    assert (plain["first_error"], plain["chosen_error"], plain["chosen"]) == (0.5, 0.125, {"rate": 0.125})
    assert plain["config"] == json.loads(json.dumps(asdict(Config(0.125))))
    stamp = plain["stamp"]
    assert stamp["protocol"] == 3 and stamp["seeds"] == [SEED, SEED + 1] and stamp["config"]["sizes"] == [10, 20]
    assert stamp["config"]["start"] == json.loads(json.dumps(asdict(Config())))
    drawn = {f"{skill}, draw {seed}" for skill in ("one", "two") for seed in (SEED, SEED + 1)}
    assert set(stamp["data"]) == {*drawn, "input of plain"}
    [origin] = stamp["origins"]
    assert origin["cells"] == 8 and origin["hardware"] == stamp["hardware"]


def test_a_replay_of_the_record_comes_out_equal_from_the_kept_cells(fake, tmp_path):
    search, seen, path = fake
    published = search.run(TRIALS, path)
    text = path.read_text()
    seen.clear()
    again = search.run(search.replay(list(search.start)), tmp_path / "again.json")
    assert not seen and path.read_text() == text
    for record in (published, again):
        assert search.load(path) == json.loads(text)
        for found in record["methods"].values():
            del found["stamp"]["wall_s"]
    assert again["methods"] == published["methods"]


def test_one_method_is_replayed_and_joins_the_others(fake):
    search, seen, path = fake
    before = search.run(TRIALS, path)["methods"]["wide"]
    seen.clear()
    after = search.run(search.replay(["plain"]), path)
    assert after["methods"]["wide"] == before
    assert [name.split()[0] for name in seen[0]] == ["plain", "plain"], "without the other method it is another bank"
    assert len(seen) == 2, "banks of the second round were the same"
    assert after == search.load()


def test_a_bank_depends_on_protocol_settings_data_and_inputs(fake):
    search, _, _ = fake
    ground = search.ground(["plain"], 1, "cpu")
    [cell, other] = search.cells(TRIALS[2], ground)
    changes = [
        search.key([cell], ground),
        search.key([other], ground),
        search.key([cell, other], ground),
        search.key([cell], replace(ground, inputs={"plain": {"input of plain": "abd"}})),
        search.key([replace(cell, config=Config(0.3))], ground),
        search.key([replace(cell, size=9)], ground),
        replace(search, protocol=4).key([cell], ground),
    ]
    assert len(set(changes)) == 7 and changes[0][1:] == (10, SEED)
    assert search.key(search.cells(TRIALS[2], ground)[:1], ground) == changes[0]
    assert cell.config == Config(0.25, Part(rates=(3.0,)))
    train, dev, seed = cell.draw
    assert (len(train), len(dev), seed) == (10, 2, SEED)
    assert hash(cell.config), "lists of a record are tuples in a configuration"


def test_a_stopped_run_is_resumed(fake, monkeypatch):
    search, seen, path = fake
    put, kept = tuning.CellStore.put, []

    def stops(self, key, content):
        if len(kept) == 1:
            raise KeyboardInterrupt
        kept.append(key)
        put(self, key, content)

    monkeypatch.setattr(tuning.CellStore, "put", stops)
    with pytest.raises(KeyboardInterrupt):
        search.run(TRIALS, path)
    assert not path.is_file()
    monkeypatch.setattr(tuning.CellStore, "put", put)
    first = seen[0]
    seen.clear()
    search.run(TRIALS, path)
    assert [len(bank) for bank in seen] == [3, 1, 1, 1, 1] and first not in seen


def test_a_record_is_of_one_protocol(fake):
    search, _, path = fake
    search.run(TRIALS, path)
    with pytest.raises(RecordsError, match="wide were tuned by another protocol"):
        replace(search, protocol=4).run(TRIALS[1:], path)
    assert replace(search, protocol=4).run(TRIALS, path)["methods"]["wide"]["stamp"]["protocol"] == 4


def test_a_trial_that_cannot_be_measured_is_named(fake):
    search, _, path = fake
    with pytest.raises(RecordsError, match=r'plain one 1000 \{"rate": 2.0\}: rates are at most 1'):
        search.run([Trial(method="plain", changes={"rate": 2.0})], path)
    assert not path.is_file()


class TestLists:
    @pytest.fixture
    def read(self, fake, tmp_path):
        def read(text):
            (tmp_path / "list.json").write_text(text)
            return fake[0].read_trials(tmp_path / "list.json")

        return read

    def test_rounds_and_draws_have_defaults(self, read):
        given = [{"method": "plain", "changes": {"rate": 1}}, TRIALS[3].model_dump()]
        assert read(json.dumps(given)) == [Trial(method="plain", changes={"rate": 1}, round=1, seeds=[SEED]), TRIALS[3]]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[", "no list of trials.*Invalid JSON"),
            ("[]", "no list of trials.*at least 1"),
            ('{"method": "plain"}', "no list of trials"),
            ('[{"method": "plain"}]', "no list of trials: .*changes.*Field required"),
            ('[{"method": "plain", "changes": {}, "draws": [1]}]', "no list of trials: .*draws.*not permitted"),
            ('[{"method": "plain", "changes": {}, "seeds": [4]}]', "no list of trials: .*seeds.*1000"),
            ('[{"method": "plain", "changes": {}, "seeds": []}]', "no list of trials: .*seeds.*at least 1"),
            ('[{"method": "plain", "changes": {}}, {"method": "slim", "changes": {}}]', "trial 1: method 'slim'.*wide"),
            ('[{"method": "plain", "changes": {"rat": 1.0}}]', "trial 0: .*'rat'"),
            ('[{"method": "plain", "changes": {"path.width": 1}}]', "trial 0: .*'path'"),
            ('[{"method": "plain", "changes": {"rate.width": 1}}]', "trial 0: "),
            ('[{"method": "plain", "changes": {"rate": "fast"}}]', "trial 0: .*rate.*valid number"),
            ('[{"method": "plain", "changes": {"part.rates": 1.0}}]', "trial 0: .*part.*rates.*valid array"),
        ],
    )
    def test_what_is_wrong_is_said(self, read, text, said):
        with pytest.raises(RecordsError, match=rf"list\.json: {said}"):
            read(text)

    def test_without_a_record_there_is_nothing_to_replay(self, fake):
        with pytest.raises(RecordsError, match=r"fake_tuning\.json lists no trials of plain, wide: give a list"):
            fake[0].replay(["plain", "wide"])


class TestTrust:
    @pytest.fixture
    def path(self, fake):
        fake[0].run(TRIALS, fake[2])
        return fake[2]

    def test_changed_by_hand(self, fake, path):
        path.write_text(path.read_text().replace("0.25", "0.15", 1))
        with pytest.raises(RecordsError, match=r"fake_tuning\.json.*changed by hand.*restore.*slubook tune fake"):
            fake[0].load()
        with pytest.raises(RecordsError, match="changed by hand"):
            fake[0].run(TRIALS, path)

    def test_a_choice_that_does_not_follow(self, fake, path):
        methods = json.loads(path.read_text())["methods"]
        methods["plain"]["chosen"] = {}
        path.write_text(json.dumps(fake[0].sealed(methods)))
        with pytest.raises(RecordsError, match="plain: what is chosen does not follow"):
            fake[0].load()

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"methods": {}}'])
    def test_damaged(self, fake, path, text):
        path.write_text(text)
        with pytest.raises(RecordsError, match="not a sound record"):
            fake[0].load()


def test_a_dotted_name_reaches_into_a_part():
    assert changed(Config(), {"rate": 2.0, "part.width": 7}) == Config(2.0, Part(7))
    assert changed(Config(), {}) == Config()


def test_clearly_better_is_by_two_standard_errors():
    stands, near = {"errors": [0.3, 0.3, 0.3, 0.3]}, {"errors": [0.4, 0.16, 0.28, 0.28]}
    assert clearly_better({"errors": [0.28, 0.28, 0.28, 0.28]}, stands)
    assert not clearly_better(near, stands) and not clearly_better(stands, stands)
