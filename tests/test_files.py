"""What is written is there as a whole or not at all, and nothing is left beside it."""

import os
import threading

import pytest

from slubook.files import one_at_a_time, replaced_file, replaced_folder, write_atomically


def test_a_file_is_replaced_or_stays(tmp_path):
    path = tmp_path / "new" / "notes.json"
    write_atomically(path, "one")
    with pytest.raises(KeyError), replaced_file(path) as draft:
        draft.write_text("tw")
        raise KeyError
    assert path.read_text() == "one"
    write_atomically(path, "two ä")
    assert path.read_text(encoding="utf-8") == "two ä" and list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_or_stays(tmp_path):
    folder = tmp_path / "deep" / "table"
    with replaced_folder(folder) as draft:
        (draft / "old").write_text("1")
    with pytest.raises(KeyError), replaced_folder(folder) as draft:
        (draft / "half").write_text("2")
        raise KeyError
    assert [path.name for path in folder.iterdir()] == ["old"]
    with replaced_folder(folder) as draft:
        (draft / "new").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["new"] and list(folder.parent.iterdir()) == [folder]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path):
    folder, file = tmp_path / "table", tmp_path / "file"
    for end in ("tmp", "old"):
        (tmp_path / f"table.{os.getpid()}.{end}").mkdir()
        (tmp_path / f"table.{os.getpid()}.{end}" / "half").write_text("0")
    folder.mkdir()
    with replaced_folder(folder) as draft:
        (draft / "new").write_text("1")
    assert [path.name for path in folder.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [folder]
    file.write_text("mine")
    with pytest.raises(NotADirectoryError), replaced_folder(file):
        pass
    assert file.read_text() == "mine"


def test_a_folder_is_still_there_when_its_replacement_is_interrupted(tmp_path, monkeypatch):
    folder, replace = tmp_path / "table", os.replace
    with replaced_folder(folder) as draft:
        (draft / "old").write_text("1")

    def interrupted(source, target):
        if target == folder and source.suffix == ".tmp":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), replaced_folder(folder) as draft:
        (draft / "new").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["old"] and list(tmp_path.iterdir()) == [folder]


def test_whoever_comes_second_waits(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    done, held, folder = [], threading.Event(), tmp_path / "table"

    def first():
        with one_at_a_time(folder):
            held.set()
            while not waits():
                pass
            done.append("first")

    def waits():
        return "table: another process is at work on it, waiting" in "".join(told)

    told = []
    monkeypatch.setattr("builtins.print", lambda *said, **_: told.extend(said))
    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with one_at_a_time(tmp_path / "another table"):
        assert not done and not told
    with one_at_a_time(folder):
        done.append("second")
    thread.join()
    assert done == ["first", "second"] and list(tmp_path.iterdir()) == [tmp_path / "cache"]
