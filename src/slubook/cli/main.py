"""Run the book's experiments, see what they showed, and compare models on a skill of your own.

Exit codes: 0 done, 1 a check failed, 2 bad use or bad input.
"""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperGroup

from slubook.cli.elmol import elmol
from slubook.cli.run import run
from slubook.cli.skill import skill
from slubook.cli.tune import tune

if TYPE_CHECKING:
    from rich.table import Table

#: What the system says of places that cannot be written.
UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip
JsonFlag = Annotated[bool, typer.Option("--json", help="Print a list of objects instead of a table.")]


class _Clear(TyperGroup):
    """Says what is wrong with input, downloads, results or cells in words, without a traceback; exits as it should."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, RuntimeError, OSError) as error:
            code = _exit_code(error)
            if code is None:
                raise
            for problem in str(error).splitlines():
                typer.echo(f"error: {problem}", err=True)
            if isinstance(error, OSError):
                typer.echo("for the cache, set SLUBOOK_CACHE to a folder that can be written", err=True)
            raise typer.Exit(code) from error


def _exit_code(error: Exception) -> int | None:
    """1 for a failed download or cell, 2 for what cannot be used or written, ``None`` for any other error."""
    from slubook.corpora.errors import CorpusError, DownloadError
    from slubook.experiments.records import RecordsError
    from slubook.experiments.workers import CellsFailed
    from slubook.files import KeptError

    if isinstance(error, OSError):
        return 2 if error.errno in UNWRITABLE else None
    if isinstance(error, DownloadError | CellsFailed):
        return 1
    return 2 if isinstance(error, CorpusError | RecordsError | KeptError) else None


app = typer.Typer(
    cls=_Clear, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown", help=__doc__
)
data = typer.Typer(no_args_is_help=True, help="The corpora: what there is, fetching it, verifying it.")
app.add_typer(data, name="data")
app.add_typer(skill, name="skill")
app.add_typer(elmol, name="elmol")
app.command()(run)
app.command()(tune)


@app.callback()
def _root() -> None:
    """Spoken-language understanding with little data: experiments, evidence, and your own skill."""


@app.command()
def claims(as_json: JsonFlag = False) -> None:
    """Recompute the verdict on every claim of the articles from the published results.

    Exits with 1 when a result is stale, damaged or was changed by hand.
    """
    from slubook.book.claims import LedgerError, load_claims
    from slubook.book.ledger import assess, show_claimed, show_measured, show_n
    from slubook.experiments.records import RecordsError

    try:
        assessed = assess(load_claims()[1])
    except (LedgerError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    except (RecordsError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        _print_json([row.to_json() for row in assessed])
    else:
        table = _table("claim", "claimed", "measured [95 % interval]", "skills", "verdict")
        for row in assessed:
            mark = " (stale)" if row.stale else ""
            table.add_row(
                row.claim.id, show_claimed(row.claim.claimed), show_measured(row), show_n(row), row.verdict + mark
            )
        _print(table)
    if old := [row.claim.id for row in assessed if row.stale]:
        typer.echo(f"stale: {', '.join(old)}: run their experiments again under today's protocol", err=True)
        raise typer.Exit(1)


@app.command()
def cost(as_json: JsonFlag = False) -> None:
    """What the published runs cost: training time, memory, downloads.

    Exits with 1 when a results file is damaged.
    """
    from slubook.book.cost import LABELS, costs
    from slubook.experiments.records import RecordsError

    try:
        lines = costs()
    except RecordsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        _print_json(lines)
        return
    if not lines:
        typer.echo("nothing is published yet", err=True)
        return
    table = _table("experiment", *(line["experiment"] for line in lines))
    for key, label in LABELS.items():
        table.add_row(label, *(str(line[key]) for line in lines))
    _print(table)


Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Corpora or their sources; all of them.")]


@data.command("list")
def data_list(as_json: JsonFlag = False) -> None:
    """List every corpus and source: licence, size, and whether it is on this machine.

    --json adds address and version.
    """
    from slubook.book.catalogue import entries

    if as_json:
        _print_json([dataclasses.asdict(entry) for entry in entries()])
        return
    table = _table("name", "corpora", "licence", "MB", "here")
    for entry in entries():
        size = f"{entry.bytes / 1e6:.1f}" if entry.bytes else "?"
        here = "yes" if entry.here else "no" if entry.pinned else "no; --trust"
        table.add_row(entry.name, ", ".join(entry.corpora), entry.licence, size, here)
    _print(table)


@data.command("fetch")
def data_fetch(
    names: Names = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Take sources of unknown checksum, and hold them to what arrives now.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Download public corpora from their official addresses, or check those of the mirror; what is here is kept.

    Sources of which nobody states a checksum are fetched only by name, and with --trust. Exits with 1 when a source
    cannot be fetched; the others are fetched all the same.
    """
    from slubook.book.catalogue import sources_of
    from slubook.corpora.download import fetch
    from slubook.corpora.errors import DownloadError

    reports = []
    for source in sources_of(names, pinned=True):
        try:
            reports.append({"source": source, "folder": str(fetch(source, trust=trust)), "problems": []})
        except DownloadError as error:
            reports.append({"source": source, "folder": "", "problems": error.problems})
    _report(reports, "fetched", as_json)


@data.command("verify")
def data_verify(names: Names = None, as_json: JsonFlag = False) -> None:
    """Compute the checksums of public corpora again: of those named, or of all that are on this machine.

    Exits with 1 when a file is missing or not the pinned one.
    """
    from slubook.book.catalogue import sources_of
    from slubook.corpora.download import folder, verify

    chosen = [source for source in sources_of(names) if names or folder(source).is_dir()]
    if not chosen and not as_json:
        typer.echo("nothing to verify: `slubook data fetch`", err=True)
        return
    reports = [{"source": s, "folder": str(folder(s)), "problems": verify(s)} for s in chosen]
    _report(reports, "verified", as_json)


@data.command("passports")
def data_passports(
    out: Annotated[Path | None, typer.Option(help="File to write; results/passports.json by default.")] = None,
) -> None:
    """Write what the data page shows of every corpus on this machine: counts and hashes, no text."""
    from tqdm import tqdm

    from slubook.book.catalogue import entries
    from slubook.corpora.passports import passport
    from slubook.files import write_atomically
    from slubook.profiles import RESULTS

    names = [corpus for entry in entries() if entry.here for corpus in entry.corpora]
    written = [dataclasses.asdict(passport(name)) for name in tqdm(names, desc="passports", unit="corpus")]
    target = out or RESULTS / "passports.json"
    write_atomically(target, json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    typer.echo(f"{len(written)} passports in {target}")


def _report(reports: list[dict[str, Any]], done: str, as_json: bool) -> None:
    """Print what was done to each source; exit with 1 when anything failed."""
    if as_json:
        _print_json(reports)
    else:
        table = _table("source", "folder", "state")
        for report in reports:
            failed = f"problems: {len(report['problems'])}" if report["problems"] else done
            table.add_row(report["source"], report["folder"], failed)
        _print(table)
    for problem in (problem for report in reports for problem in report["problems"]):
        typer.echo(f"error: {problem}", err=True)
    if any(report["problems"] for report in reports):
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _table(first: str, *others: str) -> Table:
    from rich.table import Column, Table

    return Table(Column(first, no_wrap=True), *others)


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)
