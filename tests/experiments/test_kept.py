"""What is trained once and kept: made again only for another key, whole or not at all, and not taken for another's."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from slubook.experiments.kept import Artefacts, OtherFormat, reading, state_of, write_weights
from slubook.files import KeptError, replaced_folder


@dataclass
class Toy:
    """An artefact of one file: its key, and what it says."""

    key: str
    says: str

    def save(self, folder: Path) -> None:
        with replaced_folder(folder) as draft:
            (draft / "toy.txt").write_text(f"{self.key}\n{self.says}")

    @classmethod
    def load(cls, folder: Path) -> "Toy":
        if not (folder / "toy.txt").is_file():
            raise FileNotFoundError(folder)
        with reading(folder, "toy"):
            key, says = (folder / "toy.txt").read_text().split("\n")
            return cls(key, says)


TOYS = Artefacts("toy", "toys", Toy.load, lambda toy: toy.key)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path))
    return tmp_path


def never():
    pytest.fail("made again")


def test_it_is_made_once_for_each_key_and_said_so(cache, capsys):
    assert TOYS.kept("a", "1" * 16, lambda: Toy("1" * 16, "one"), "carved").says == "one"
    assert TOYS.folder("a") == cache / "toys" / "a" and capsys.readouterr().err == "toy a: carved, once\n"
    assert TOYS.kept("a", "1" * 16, never, "carved").says == "one" and not capsys.readouterr().err
    assert TOYS.kept("a", "2" * 16, lambda: Toy("2" * 16, "two"), "carved").says == "two"
    assert TOYS.kept("b", "1" * 16, lambda: Toy("1" * 16, "other"), "carved").says == "other"
    assert TOYS.kept("a", "2" * 16, never, "carved").says == "two"


def test_it_is_kept_in_another_folder_on_request(tmp_path):
    mine = tmp_path / "mine"
    for make in (lambda: Toy("k", "here"), never):
        assert TOYS.kept("a", "k", make, "carved", mine).says == "here"
    assert not TOYS.folder("a").exists()


def test_a_training_that_fails_leaves_what_was_there_and_its_state():
    TOYS.kept("a", "1" * 16, lambda: Toy("1" * 16, "one"), "carved")
    state = state_of(TOYS.folder("a"), "2" * 16)

    def stopped():
        state.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TOYS.kept("a", "2" * 16, stopped, "carved")
    assert state.is_file() and TOYS.named("a", "1" * 16).says == "one"
    beside = [state_of(TOYS.folder("ab"), "2" * 16), state.with_name("a-notes.safetensors")]
    for other in beside:
        other.write_text("of another")
    TOYS.kept("a", "3" * 16, lambda: Toy("3" * 16, "three"), "carved")
    assert not state.exists() and all(other.is_file() for other in beside)


def test_what_a_plan_names_must_not_have_been_replaced():
    with pytest.raises(FileNotFoundError):
        TOYS.named("a", "k")
    TOYS.kept("a", "k", lambda: Toy("k", "one"), "carved")
    assert TOYS.named("a", "k").says == "one"
    with pytest.raises(KeptError, match="the toy a was replaced by another run: run this one again"):
        TOYS.named("a", "another")


def test_a_damaged_one_is_told_and_not_replaced():
    TOYS.kept("a", "k", lambda: Toy("k", "one"), "carved")
    (TOYS.folder("a") / "toy.txt").write_text("k")
    for ask in (lambda: TOYS.kept("a", "k", never, "carved"), lambda: TOYS.named("a", "k")):
        with pytest.raises(KeptError, match=r"(?s)the toy in .*a is damaged .*: delete the folder"):
            ask()


def test_weights_that_cannot_be_written_are_an_error_of_the_system_which_callers_can_tell(tmp_path):
    with pytest.raises(OSError, match="No such file or directory") as told:
        write_weights(tmp_path / "gone" / "weights.safetensors", {"a": torch.ones(2)})
    assert told.value.filename.endswith("weights.safetensors")


def test_an_artefact_of_another_format_is_made_again():
    def old(folder: Path) -> Toy:
        found = Toy.load(folder)
        if found.says == "old":
            raise OtherFormat("the toy is of format 0")
        return found

    toys = Artefacts("toy", "toys", old, lambda toy: toy.key)
    Toy("key", "old").save(toys.folder("one"))
    assert toys.kept("one", "key", lambda: Toy("key", "new"), "made").says == "new"
    Toy("key", "old").save(toys.folder("one"))
    with pytest.raises(KeptError, match="format 0"):
        toys.named("one", "key")


def test_what_may_not_be_read_is_not_called_damaged(tmp_path):
    with pytest.raises(PermissionError), reading(tmp_path, "toy"):
        raise PermissionError
