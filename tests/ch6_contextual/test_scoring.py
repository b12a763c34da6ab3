"""Word error rates against a brute-force edit distance and against published figures."""

import json
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch6_contextual.scoring import INDEL, SUBSTITUTION, align, count, oracle, rates
from slubook.corpora import download

words = st.lists(st.sampled_from("abcd"), max_size=7)


def cheapest(reference, hypothesis, indel, substitution):
    """The least cost of any alignment, by trying every one."""

    @cache
    def cost(r, h):
        if not r or not h:
            return indel * (r + h)
        differ = substitution * (reference[r - 1] != hypothesis[h - 1])
        return min(cost(r - 1, h - 1) + differ, cost(r - 1, h) + indel, cost(r, h - 1) + indel)

    return cost(len(reference), len(hypothesis))


@given(words, words)
def test_alignment_is_whole_and_cheapest(reference, hypothesis):
    pairs = align(reference, hypothesis)
    assert [said for said, _ in pairs if said is not None] == reference
    assert [heard for _, heard in pairs if heard is not None] == hypothesis
    costs = [INDEL if None in pair else SUBSTITUTION * (pair[0] != pair[1]) for pair in pairs]
    assert sum(costs) == cheapest(reference, hypothesis, INDEL, SUBSTITUTION)


@given(words, words, st.sets(st.sampled_from("abcd")))
def test_counts_add_up(reference, hypothesis, biased):
    counts = count(" ".join(reference), " ".join(hypothesis), biased)
    assert counts[1, 0] == sum(word in biased for word in reference)
    words, substituted, inserted, deleted = counts.sum(axis=0)
    assert words == len(reference)
    assert words + inserted - deleted == len(hypothesis)
    errors = substituted + inserted + deleted
    assert cheapest(reference, hypothesis, 1, 1) <= errors <= max(len(reference), len(hypothesis)) * 2
    assert (errors == 0) == (reference == hypothesis)
    assert (counts.sum(axis=0) == count(" ".join(reference), " ".join(hypothesis)).sum(axis=0)).all()


def test_errors_belong_to_the_word_said_or_inserted():
    counts = count("call meg bauer now at once", "please call meg power now", {"bauer", "please"})
    assert counts.tolist() == [[5, 0, 0, 2], [1, 1, 1, 0]]
    found = rates(counts)
    assert {name: float(rate) for name, rate in found.items()} == {"wer": 4 / 6, "u_wer": 2 / 5, "b_wer": 2.0}
    assert np.isnan(rates(count("", "oh"))["wer"])


def test_rates_of_resampled_sums():
    counts = np.array([count("a b", "a c", {"b"}), count("a", "a")])  # [2, 2, 4]
    weights = np.array([[1, 1], [2, 0], [0, 2]])  # [replicates, utterances]
    assert rates(np.tensordot(weights, counts, 1))["wer"].tolist() == [1 / 3, 1 / 2, 0.0]


def test_oracle_is_the_first_of_the_best():
    assert oracle("call meg bauer", ["call make power", "call meg power", "tall meg bauer", "meg"]) == 1
    with pytest.raises(ValueError):
        oracle("call", [])


@pytest.mark.public
@pytest.mark.parametrize("test", ["test-clean", "test-other"])
def test_published_figures(test, public):
    """Every system of the trie-based deep biasing paper, to the last digit."""
    public("fbai_deep_bias")
    folder = download.fetch("fbai_deep_bias", progress=False) / "is21_deep_bias"
    rows = [line.split("\t") for line in (folder / "ref" / f"{test}.biasing_100.tsv").read_text("utf-8").splitlines()]
    said = {name: (text, frozenset(json.loads(biased))) for name, text, biased, _ in rows}
    seen = {}  # systems often agree
    systems = sorted((folder / "hyp").glob(f"{test}.*.tsv"))
    assert len(systems) == 22
    for system in systems:
        heard = dict(line.split("\t") for line in system.read_text("utf-8").splitlines())
        for name in said:
            if (name, heard[name]) not in seen:
                seen[name, heard[name]] = count(said[name][0], heard[name], said[name][1])
        totals = sum(seen[name, heard[name]] for name in said)  # [2, 4]
        published = (folder / "results" / f"{system.name}.result").read_text("utf-8")
        for line, rate, counts in zip(
            published.splitlines(), rates(totals).values(), [totals.sum(0), *totals], strict=True
        ):
            error_rate, *figures = re.findall(r"=([\d.]+)", line)
            assert [int(figure) for figure in figures] == [counts[0], counts[1], counts[2], counts[3]]
            assert 100 * float(rate) == pytest.approx(float(error_rate), rel=1e-14)
