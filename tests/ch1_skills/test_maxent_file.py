"""A MaxEnt-CRF written and read again says the same, and a damaged one is named."""

import pytest

from slubook.ch1_skills.maxent import NAMES, TAGGER, WEIGHTS, MaxEntConfig, MaxEntCRF, load_maxent, save_maxent
from slubook.corpora.utterance import Utterance

QUICK = MaxEntConfig(inverse_l2=(4.0,), l1_l2=((0.05, 0.02),), max_iterations=40)


@pytest.mark.parametrize("clusters", [None, {"apples": [1, 4], "soap": [2, 5]}])
def test_says_the_same(toy_skill, tmp_path, clusters):
    model = MaxEntCRF(QUICK, clusters).fit(toy_skill[:40], toy_skill[40:])
    save_maxent(model, tmp_path)
    again = load_maxent(tmp_path)
    texts = [u.text for u in toy_skill] + ["", "something else entirely"]
    assert again.predict(texts) == model.predict(texts)
    assert (again.config, again.clusters, again.size_bytes()) == (model.config, clusters, model.size_bytes())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([NAMES, TAGGER, WEIGHTS])


def test_one_intent(tmp_path):
    save_maxent(MaxEntCRF(QUICK).fit([Utterance("1", "good day", "Hi")], []), tmp_path)
    assert load_maxent(tmp_path).predict(["anything"]) == [("Hi", (), 1.0)]


@pytest.mark.parametrize("file", [NAMES, WEIGHTS, TAGGER])
@pytest.mark.parametrize("fault", ["gone", "cut"])
def test_a_damaged_model_is_named(toy_skill, tmp_path, file, fault):
    save_maxent(MaxEntCRF(QUICK).fit(toy_skill[:12], []), tmp_path)
    if fault == "gone":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:20])
    with pytest.raises(ValueError, match=r"(?s)the MaxEnt-CRF in .* is damaged"):
        load_maxent(tmp_path)
