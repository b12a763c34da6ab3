"""The same doors from the shell: ``slubook --help``.

Exit codes: 0 done, 1 a check failed, 2 bad use or bad input.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def _root() -> None:
    """Spoken-language understanding with little data: experiments, evidence, and your own skill."""


@app.command()
def claims(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects instead of a table.")] = False,
) -> None:
    """Recompute the verdict on every claim of the articles from the published results.

    Exits with 1 when a result is stale, damaged or was changed by hand.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from slubook.claims import LedgerError, load_claims
    from slubook.experiments.records import RecordsError
    from slubook.ledger import assess, show_claimed, show_measured

    try:
        assessed = assess(load_claims()[1])
    except (LedgerError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    except (RecordsError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps([row.to_json() for row in assessed], indent=2, ensure_ascii=False))
    else:
        table = Table(Column("claim", no_wrap=True), "claimed", "measured [95 % interval]", "skills", "verdict")
        for row in assessed:
            n = str(row.interval.n_skills) if row.interval else ""
            mark = " (stale)" if row.stale else ""
            table.add_row(row.claim.id, show_claimed(row.claim.claimed), show_measured(row), n, row.verdict + mark)
        Console().print(table)
    if old := [row.claim.id for row in assessed if row.stale]:
        typer.echo(f"stale: {', '.join(old)}: run their experiments again under today's protocol", err=True)
        raise typer.Exit(1)
