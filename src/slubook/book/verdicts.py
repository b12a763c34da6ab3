"""Shows verdicts: as cards on pages, and as blocks of text in a terminal.

Headlines are in view, and what belongs to them folds out.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader

from slubook.book import ledger
from slubook.book.ledger import Assessed, wins
from slubook.evaluation.intervals import Comparison

#: What the rows of each role are called, where they fold out.
ROLES = {
    "variant": "The same claim by another method",
    "reading": "Other readings of the sentence",
    "control": "Controls, which the article lacks",
    "goal": "Goals of our own",
    "ablation": "On the fewer skills of the ablation, of which no figure is claimed",
}
#: Columns of a terminal.
WIDTH = 80


def verdict(row: Assessed) -> str:
    """Returns a row's verdict, and whether it is stale."""
    return row.verdict + (" (stale)" if row.stale else "")


def _facts(row: Assessed) -> list[str]:
    """Lists what stands beside a measured figure."""
    won = f"better in {wins(row.interval)}" if isinstance(row.interval, Comparison) else ""
    return [*filter(None, (won, ledger.show_by_corpus(row)))]


_HTML = Environment(loader=PackageLoader("slubook.book", "."), trim_blocks=True)
_HTML.filters["e"] = escape
_HTML.globals |= {"ledger": ledger, "roles": ROLES, "verdict": verdict, "facts": _facts}
_MADE = _HTML.get_template("verdicts.html.j2").module


def cards(rows: Sequence[Mapping[str, str]], caption: str = "", ids: Sequence[str] = ()) -> Any:
    """Shows rows, whose cells are HTML, as a table on a wide page, and as a card each on a phone.

    Args:
        rows: each maps the heads of columns to cells.
        caption: of the table.
        ids: the address of each row on its page.
    """
    from IPython.display import HTML

    return HTML(_MADE.cards(rows, caption, ids) if rows else "<p>Not run yet.</p>")


def ledger_cards(assessed: Sequence[Assessed], caption: str = "") -> Any:
    """Shows verdicts as cards, a headline each; its claim unfolds to what is known of it, and to the rows of it."""
    families = ledger.families(assessed)
    rows = [
        {
            "claim": _MADE.told(head, rest),
            "claimed": escape(ledger.show_claimed(head.claim.claimed)),
            "measured [interval]": _MADE.small(ledger.show_measured(head), _facts(head)),
            "skills": escape(ledger.show_n(head) or "–"),
            "verdict": _MADE.small(f"<b>{_MADE.badge(head)}</b>", [escape(head.reason)]),
        }
        for head, rest in families
    ]
    return cards(rows, caption, [head.claim.id for head, _ in families])


def blocks(assessed: Sequence[Assessed]) -> Iterator[str]:
    """Writes verdicts as text of 80 columns: a block each headline, then what is still to be run, then the counts."""
    for head, rest in ledger.in_view(assessed):
        claim, n = head.claim, ledger.show_n(head)
        found = f"claimed: {ledger.show_claimed(claim.claimed)}; measured: {ledger.show_measured(head)}"
        found += f", {n}{' skills' * n.isdigit()}" if n else ""
        yield f"{claim.id}: {verdict(head)}"
        yield from (wrapped(text, "  ") for text in (claim.claim, found, *_facts(head), f"because: {head.reason}"))
        for row in rest:
            said = f"{ledger.show_measured(row)}, " if row.interval else ""
            yield wrapped(f"- {row.claim.id} ({row.claim.role}): {said}{verdict(row)}", "    ", "      ")
        yield ""
    if waiting := [row.claim.id for row in assessed if row.verdict == ledger.NOT_RUN]:
        yield wrapped(f"{ledger.NOT_RUN}: {', '.join(waiting)}", "") + "\n"
    counts = Counter(row.verdict for row in assessed)
    yield wrapped(", ".join(f"{counts[v]} {v}" for v in (*ledger.VERDICTS, ledger.ADDED) if counts[v]), "")


def wrapped(text: str, indent: str, further: str | None = None) -> str:
    """Breaks text into lines of a terminal's width, between words only."""
    indents = {"initial_indent": indent, "subsequent_indent": indent if further is None else further}
    return textwrap.fill(text, WIDTH, **indents, break_long_words=False, break_on_hyphens=False)
