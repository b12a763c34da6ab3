"""Run the book's experiments, see what they showed, and compare models on a skill of your own.

Exit codes: 0 done, 1 a check failed, 2 bad use or bad input.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from slubook.cli.own import elmol, skill
from slubook.cli.reproduce import reproduce
from slubook.cli.run import run
from slubook.cli.shared import Commands, JsonFlag, print_blocks, print_rows, told
from slubook.cli.tune import tune
from slubook.corpora.errors import DownloadError

app = typer.Typer(
    cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown", help=__doc__
)
data = typer.Typer(no_args_is_help=True, help="The corpora: what there is, fetching it, verifying it.")
for name, group in (("data", data), ("skill", skill), ("elmol", elmol)):
    app.add_typer(group, name=name)
app.command()(run)
app.command()(reproduce)
app.command()(tune)
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Corpora or their sources; all of them.")]


@app.command()
def claims(as_json: JsonFlag = False) -> None:
    """Recompute the verdict on every claim of the articles from the published results.

    Exits with 1 when a result is stale, damaged or was changed by hand.
    """
    from slubook.book.claims import LedgerError, load_claims
    from slubook.book.ledger import assess
    from slubook.book.verdicts import blocks

    try:
        assessed = assess(load_claims()[1])
    except (ValueError, FileNotFoundError) as error:
        raise told(error, 2 if isinstance(error, LedgerError | FileNotFoundError) else 1) from error
    print_blocks([row.to_json() for row in assessed], blocks(assessed), as_json)
    if stale := [row.claim.id for row in assessed if row.stale]:
        typer.echo(f"stale: {', '.join(stale)}: run their experiments again under today's protocol", err=True)
        raise typer.Exit(1)


@app.command()
def cost(as_json: JsonFlag = False) -> None:
    """What the published runs cost: training time, memory, downloads.

    Exits with 1 when a results file is damaged.
    """
    from slubook.book.cost import blocks, costs
    from slubook.experiments.records import RecordsError

    try:
        lines = costs()
    except RecordsError as error:
        raise told(error, 1) from error
    if not lines and not as_json:
        typer.echo("nothing is published yet", err=True)
        return
    print_blocks(lines, blocks(lines), as_json)


@data.command("list")
def data_list(as_json: JsonFlag = False) -> None:
    """List every corpus and source: licence, size, and whether it is on this machine.

    --json adds address and version.
    """
    from slubook.corpora.catalogue import entries

    rows, found = [], entries()
    for entry in found:
        size = f"{entry.bytes / 1e6:.1f}" if entry.bytes else "?"
        rows.append((entry.name, ", ".join(entry.corpora), entry.licence, size, "yes" if entry.here else "no"))
    print_rows([*map(dataclasses.asdict, found)], ("name", "corpora", "licence", "MB", "here"), rows, as_json)


@data.command("fetch")
def data_fetch(names: Names = None, as_json: JsonFlag = False) -> None:
    """Download public corpora from their official addresses, or check those of the mirror; what is here is kept.

    Exits with 1 when a source cannot be fetched; the others are fetched all the same.
    """
    from slubook.corpora.catalogue import fetched, sources_of

    _report([fetched(source) for source in sources_of(names)], "fetched", as_json)


@data.command("verify")
def data_verify(names: Names = None, as_json: JsonFlag = False) -> None:
    """Compute the checksums of public corpora again: of those named, or of all that are on this machine.

    Exits with 1 when a file is missing or not the pinned one.
    """
    from slubook.corpora.catalogue import sources_of, verified
    from slubook.corpora.download import folder

    chosen = [source for source in sources_of(names) if names or folder(source).is_dir()]
    if not chosen and not as_json:
        typer.echo("nothing to verify: `slubook data fetch`", err=True)
        return
    _report([verified(source) for source in chosen], "verified", as_json)


def _report(reports: list[dict[str, Any]], done: str, as_json: bool) -> None:
    """Prints what was done to each source; raises what went wrong with any of them."""
    rows = ((r["source"], r["folder"], f"problems: {len(r['problems'])}" if r["problems"] else done) for r in reports)
    print_rows(reports, ("source", "folder", "state"), rows, as_json)
    if problems := [problem for report in reports for problem in report["problems"]]:
        raise DownloadError(problems)


@data.command("passports")
def data_passports(
    out: Annotated[Path | None, typer.Option(help="File to write; results/passports.json by default.")] = None,
) -> None:
    """Write what the data page shows of every corpus on this machine: counts and hashes, no text."""
    from slubook.corpora.catalogue import entries
    from slubook.corpora.passports import write_passports
    from slubook.profiles import RESULTS

    target = out or RESULTS / "passports.json"
    written = write_passports([corpus for entry in entries() if entry.here for corpus in entry.corpora], target)
    typer.echo(f"{written} passports in {target}")
