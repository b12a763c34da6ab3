"""Shows verdicts: as cards on pages, and as blocks of text in a terminal.

Headlines are in view, and what belongs to them folds out.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

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


def cards(rows: Sequence[Mapping[str, str]], caption: str = "", ids: Sequence[str] = ()) -> Any:
    """Shows rows, whose cells are HTML, as a table on a wide page, and as a card each on a phone.

    Args:
        rows: each maps the heads of columns to cells.
        caption: of the table.
        ids: the address of each row on its page.
    """
    from IPython.display import HTML

    if not rows:
        return HTML("<p>Not run yet.</p>")
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    body = ""
    for k, row in enumerate(rows):
        (_, first), *rest = row.items()
        cells = "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in rest)
        address = f' id="{ids[k]}"' if ids else ""
        body += f"<tr{address}><td>{first}</td>{cells}</tr>\n"
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    return HTML(
        f'<table class="dataframe ledger">{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>'
    )


def ledger_cards(assessed: Sequence[Assessed], caption: str = "") -> Any:
    """Shows verdicts as cards, a headline each."""
    families = ledger.families(assessed)
    rows = [
        {
            "claim": _told(head, rest),
            "claimed": escape(ledger.show_claimed(head.claim.claimed)),
            "measured [interval]": _small(ledger.show_measured(head), *_facts(head)),
            "skills": escape(ledger.show_n(head) or "–"),
            "verdict": _small(f"<b>{_badge(head)}</b>", escape(head.reason)),
        }
        for head, rest in families
    ]
    return cards(rows, caption, [head.claim.id for head, _ in families])


def _small(said: str, *lines: str) -> str:
    return "".join((said, *(f"<br><small>{line}</small>" for line in lines if line)))


def _badge(row: Assessed) -> str:
    return f'<span class="added">{verdict(row)}</span>' if row.claim.added else verdict(row)


def _told(head: Assessed, rest: Sequence[Assessed]) -> str:
    """Writes a headline's claim, which unfolds to what is known of it, and then to the rows of it."""
    claim = head.claim
    how = " · ".join(filter(None, (claim.role, claim.metric, claim.protocol)))
    told = f"<details><summary>{escape(claim.claim)}</summary>"
    told += "".join(f"<p>{escape(text)}</p>" for text in (claim.stated, how, claim.caveat) if text) + "</details>"
    groups = {what: [row for row in rest if row.claim.role == role] for role, what in ROLES.items()}
    lists = "".join(f"<p>{what}:</p><ul>{''.join(map(_item, rows))}</ul>" for what, rows in groups.items() if rows)
    count = f"{len(rest)} more row{'s' * (len(rest) > 1)}"
    return told + (f"<details><summary>{count}</summary>{lists}</details>" if rest else "")


def _item(row: Assessed) -> str:
    said = f"{escape(row.claim.claim)} {escape(ledger.show_measured(row))}"
    if row.claim.claimed.value is not None:
        said += f", claimed {escape(ledger.show_claimed(row.claim.claimed))}"
    return f'<li id="{row.claim.id}">{said}: <b>{_badge(row)}</b>' + _small(
        "", escape(row.reason), *map(escape, (*_facts(row), row.claim.caveat))
    ) + "</li>"  # fmt: skip


def blocks(assessed: Sequence[Assessed]) -> Iterator[str]:
    """Writes verdicts as text of 80 columns: a block each headline, then what is still to be run, then the counts."""
    for head, rest in ledger.in_view(assessed):
        yield "\n".join([*_block(head), *(line for row in rest for line in _line(row))]) + "\n"
    if waiting := [row.claim.id for row in assessed if row.verdict == ledger.NOT_RUN]:
        yield wrapped(f"{ledger.NOT_RUN}: {', '.join(waiting)}", "") + "\n"
    counts = Counter(row.verdict for row in assessed)
    yield wrapped(", ".join(f"{counts[v]} {v}" for v in (*ledger.VERDICTS, ledger.ADDED) if counts[v]), "")


def _block(head: Assessed) -> list[str]:
    claim, n = head.claim, ledger.show_n(head)
    found = f"claimed: {ledger.show_claimed(claim.claimed)}; measured: {ledger.show_measured(head)}"
    found += f", {n}{' skills' * n.isdigit()}" if n else ""
    return [
        f"{claim.id}: {verdict(head)}",
        *(wrapped(text, "  ") for text in (claim.claim, found, *_facts(head), f"because: {head.reason}")),
    ]


def _line(row: Assessed) -> list[str]:
    found = f"{ledger.show_measured(row)}, " if row.interval else ""
    return [wrapped(f"- {row.claim.id} ({row.claim.role}): {found}{verdict(row)}", "    ", "      ")]


def wrapped(text: str, indent: str, further: str | None = None) -> str:
    """Breaks text into lines of a terminal's width, between words only."""
    further = indent if further is None else further
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )
