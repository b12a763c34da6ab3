"""The README's table of results is the ledger's: ``make readme`` writes it, this test compares."""

from __future__ import annotations

import re

from slubook.book import ledger
from slubook.book.claims import load_claims
from slubook.book.verdicts import verdict
from slubook.profiles import ROOT

README = ROOT / "README.md"
#: Rows that the README shows.
MOST = 15
BLOCK = re.compile(r"(?<=<!-- measured: begin -->\n).*?(?=<!-- measured: end -->)", re.DOTALL)


def measured() -> str:
    """The headline claims that were measured, as a table in Markdown; then the controls in view."""
    rows = ledger.assess(load_claims()[1], progress=False)
    heads = [head for head, _ in ledger.in_view(rows) if head.interval is not None]
    lines = ["| the claim | claimed | measured | verdict | because |", "|---|---|---|---|---|"]
    for row in (row for row in heads if row.claim.role == "claim"):
        claimed, found = ledger.show_claimed(row.claim.claimed), ledger.show_measured(row)
        found += f" ({row.claim.metric})" if row.claim.rule == "feasible" else ""
        lines.append(f"| {row.claim.claim} | {claimed} | {found} | **{verdict(row)}** | {row.reason} |")
    lines += ["", "The controls that could explain the first claim of each chapter away:", ""]
    for row in (row for row in heads if row.claim.role == "control"):
        lines.append(f"- {row.claim.claim} {ledger.show_measured(row)}, **{verdict(row)}**: {row.reason}.")
    waiting = sum(row.verdict == ledger.NOT_RUN for row in rows)
    lines += ["", f"Of {len(rows)} rows of the ledger, {waiting} have not been run yet."]
    return "\n".join([*lines, ""])


def test_results_in_the_readme_are_the_ledgers():
    block = BLOCK.search(README.read_text("utf-8"))
    assert block and block.group() == measured(), "write it again: make readme"
    assert 2 < block.group().count("\n| ") <= MOST + 1, "a table for the first look: the ledger has the rest"


def test_what_the_readme_names_is_there():
    text = README.read_text("utf-8")
    named = re.findall(r"`([\w./-]+\.(?:md|lock|yml|cff)|[a-z]+/(?:[a-z]+/)?)`|\]\(([^)]+)\)", text)
    paths = [path for pair in named for path in pair if path]
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_make_targets_in_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"`make (\w+)|^\$ make (\w+)", README.read_text("utf-8"), re.MULTILINE))
    for target in {name for pair in targets for name in pair if name}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


if __name__ == "__main__":
    README.write_text(BLOCK.sub(lambda _: measured(), README.read_text("utf-8")), encoding="utf-8")
