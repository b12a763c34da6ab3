"""Cards of verdicts: headlines in view, everything else beneath them, and nothing that HTML would misread."""

from __future__ import annotations

from bs4 import BeautifulSoup

from slubook.book import verdicts
from slubook.book.claims import Claim
from slubook.book.ledger import ADDED, Assessed, families
from slubook.book.measured import ByCorpus
from slubook.evaluation.intervals import Comparison, Interval

BY = ByCorpus("sgd", 0.07, 0.08, 0.12, 0.1)


def row(id: str, verdict: str = "reproduced", by_corpus: ByCorpus | None = None, **changes) -> Assessed:
    claim = Claim.model_validate(
        {
            "id": id, "name": f"n {id}", "article": "a", "chapter": 1, "role": "claim", "claim": f"{id} <errs>",
            "stated": "There.", "metric": "irer", "claimed": {"value": 0.15, "unit": "share"},
            "not_testable": "for this test", **changes,
        }
    )  # fmt: skip
    return Assessed(claim, verdict, Comparison(0.2, 0.1, 0.3, 4, 3, 0, 0.2, 0, 0.1), False, f"why {id}", by_corpus)


ROWS = [
    row("b-control", of="b", role="control"),
    row("a", by_corpus=BY),
    row("b", "inconclusive", caveat="Mind it."),
    row("b-late", ADDED, of="b", role="reading", added="afterwards"),
    row("b-part", of="b", role="ablation"),
    row("orphan", of="elsewhere", role="goal"),
]


def test_families_keep_the_order_of_headlines():
    found = {head.claim.id: [row.claim.id for row in beneath] for head, beneath in families(ROWS)}
    assert found == {"a": [], "b": ["b-control", "b-late", "b-part"], "orphan": []}


def test_a_card_for_each_headline():
    page = BeautifulSoup(verdicts.ledger_cards(ROWS, "An <article>").data, "html.parser")
    assert page.table["class"] == ["dataframe", "ledger"] and page.caption.text == "An <article>"
    first, second, third = page.tbody.find_all("tr", recursive=False)
    assert [tr["id"] for tr in (first, second, third)] == ["a", "b", "orphan"]
    labels = [td["data-label"] for td in first.find_all("td")[1:]]
    assert (
        labels == ["claimed", "measured [interval]", "skills", "verdict"] == [th.text for th in page.find_all("th")][1:]
    )
    assert "20.0 % [10.0, 30.0]" in first.text and "better in 3 of 4" in first.text and "why a" in first.text
    assert "without sgd 7.0 %; with the corpora held fixed 8.0 % to 12.0 %" in first.text
    assert "mean of the corpora's own figures 10.0 %" in first.text and "b-control" not in first.text
    assert first.summary.text == "a <errs>" and second.find_all("summary")[1].text == "3 more rows"
    assert [li["id"] for li in second.find_all("li")] == ["b-late", "b-control", "b-part"], "by their roles"
    assert second.find(class_="added").text == ADDED and "Mind it." in second.text
    heads = [p.text for p in second.find_all("details")[1].find_all("p")]
    assert heads == [f"{verdicts.ROLES[role]}:" for role in ("reading", "control", "ablation")]


def test_cards_without_rows_say_so():
    assert verdicts.cards([]).data == verdicts.ledger_cards([]).data == "<p>Not run yet.</p>"


def test_a_figure_that_is_no_comparison_has_no_wins():
    plain = Assessed(ROWS[1].claim, "reproduced", Interval(0.2, 0.1, 0.3, 4))
    assert "better in" not in verdicts.ledger_cards([plain]).data
