"""The shared table: what it saves it maps again, and unseen words get what gensim would give them."""

import gc
import json

import numpy as np
import pytest
from gensim.models import FastText

from slubook.ch1_skills.vectors import VectorTable, unit_scale


@pytest.fixture(scope="module")
def trained():
    sentences = [["turn", "the", "lamp", "on"], ["turn", "the", "heating", "off"], ["लाइट", "चालू", "करो"]] * 5
    return FastText(
        sentences, vector_size=12, window=2, min_count=1, min_n=3, max_n=5, bucket=97, epochs=3, seed=1, workers=1
    )


@pytest.fixture
def table(trained):
    wv = trained.wv
    rows, buckets = wv.vectors.astype(np.float16), wv.vectors_ngrams.astype(np.float16)
    return VectorTable("lamps", dict(wv.key_to_index), rows, buckets, (3, 5))


def test_known_and_unseen_words_equal_gensim(trained, table):
    words = ["lamp", "heating", "heater", "lamps", "unheard-of", "लाइटें", "करो"]
    expected = np.stack([trained.wv.get_vector(w) for w in words])
    np.testing.assert_allclose(table.vectors(words), expected, atol=2e-4)
    assert table.vectors(words).dtype == np.float32


def test_saved_and_mapped_again(table, tmp_path):
    words = ["lamp", "lamps", "करो", ""]
    before = table.vectors(words)
    table.save(tmp_path / "deep" / "lamps")
    again = VectorTable.load(tmp_path / "deep" / "lamps")
    assert (again.name, again.index, again.ngrams, again.dim) == (table.name, table.index, table.ngrams, 12)
    np.testing.assert_array_equal(again.vectors(words), before)
    assert isinstance(again.rows, np.memmap)
    assert again.nbytes == table.nbytes
    with pytest.raises(ValueError, match="read-only"):
        again.rows[0] = 1
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["lamps"]  # nothing left aside


def test_saving_over_a_table_replaces_it(table, tmp_path):
    table.save(tmp_path / "t")
    VectorTable("other", {"x": 0}, np.ones((1, 2), np.float16), np.zeros((0, 2), np.float16)).save(tmp_path / "t")
    again = VectorTable.load(tmp_path / "t")
    assert again.name == "other"
    assert again.vectors(["x", "y"]).tolist() == [[1.0, 1.0], [0.0, 0.0]]  # no buckets: an unseen word is zeros
    del again
    gc.collect()


def test_the_order_of_words_survives(tmp_path):
    index = {"b": 1, "a": 2, "c": 0}
    rows = np.array([[0.0], [1.0], [2.0]], np.float16)
    VectorTable("t", index, rows, np.zeros((0, 1), np.float16)).save(tmp_path / "t")
    assert VectorTable.load(tmp_path / "t").vectors(["a", "b", "c"]).ravel().tolist() == [2.0, 1.0, 0.0]


def test_no_table_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no word-vector table"):
        VectorTable.load(tmp_path / "none")


@pytest.mark.parametrize("fault", ["half meta", "half rows", "no buckets", "a word too many"])
def test_a_damaged_table_is_named(table, tmp_path, fault):
    folder = tmp_path / "t"
    table.save(folder)
    meta = (folder / "meta.json").read_text()
    if fault == "half meta":
        (folder / "meta.json").write_text(meta[:40])
    if fault == "half rows":
        (folder / "rows.npy").write_bytes((folder / "rows.npy").read_bytes()[:150])
    if fault == "no buckets":
        (folder / "buckets.npy").unlink()
    if fault == "a word too many":
        changed = json.loads(meta)
        changed["words"].append("more")
        (folder / "meta.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=r"t is damaged (?s:.*)delete"):
        VectorTable.load(folder)


def test_unit_scale():
    rows = np.random.default_rng(0).normal(size=(50, 8)) * 7
    assert np.linalg.norm(rows * unit_scale(rows), axis=1).mean() == pytest.approx(1.0)
