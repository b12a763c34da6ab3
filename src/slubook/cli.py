"""The same doors from the shell: ``slubook --help``.

Exit codes: 0 done, 1 a check failed, 2 bad use or bad input.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperGroup

from slubook.cli_skill import skill

if TYPE_CHECKING:
    from rich.table import Table

JsonFlag = Annotated[bool, typer.Option("--json", help="Print a list of objects instead of a table.")]


class _Clear(TyperGroup):
    """Says what is wrong with a corpus or a download in words, without a traceback, and exits with the right code."""

    def invoke(self, ctx: click.Context) -> Any:
        from slubook.corpora.errors import CorpusError, DownloadError

        try:
            return super().invoke(ctx)
        except CorpusError as error:
            for problem in str(error).splitlines():
                typer.echo(f"error: {problem}", err=True)
            raise typer.Exit(1 if isinstance(error, DownloadError) else 2) from error


app = typer.Typer(cls=_Clear, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
data = typer.Typer(no_args_is_help=True, help="The corpora: what there is, fetching it, verifying it.")
app.add_typer(data, name="data")
app.add_typer(skill, name="skill")


@app.callback()
def _root() -> None:
    """Spoken-language understanding with little data: experiments, evidence, and your own skill."""


@app.command()
def claims(as_json: JsonFlag = False) -> None:
    """Recompute the verdict on every claim of the articles from the published results.

    Exits with 1 when a result is stale, damaged or was changed by hand.
    """
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
        _print_json([row.to_json() for row in assessed])
    else:
        table = _table("claim", "claimed", "measured [95 % interval]", "skills", "verdict")
        for row in assessed:
            n = str(row.interval.n_skills) if row.interval else ""
            mark = " (stale)" if row.stale else ""
            table.add_row(row.claim.id, show_claimed(row.claim.claimed), show_measured(row), n, row.verdict + mark)
        _print(table)
    if old := [row.claim.id for row in assessed if row.stale]:
        typer.echo(f"stale: {', '.join(old)}: run their experiments again under today's protocol", err=True)
        raise typer.Exit(1)


@app.command()
def cost(as_json: JsonFlag = False) -> None:
    """What the published runs cost: training time, memory, downloads.

    Exits with 1 when a results file is damaged.
    """
    from slubook.cost import costs
    from slubook.experiments.records import RecordsError

    try:
        lines = costs()
    except RecordsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        _print_json(lines)
        return
    table = _table("experiment", "profile", "seeds", "cells", "training min", "peak MiB", "download MB", "processor")
    for line in lines:
        table.add_row(*map(str, line.values()))
    _print(table) if lines else typer.echo("nothing is published yet", err=True)


#: The chapters' experiments, and the module of each that stands.
EXPERIMENTS = {
    "skills": "slubook.experiments.skills",
    "serving": "slubook.experiments.serving",
    **dict.fromkeys(("transfer", "elmol", "selftraining", "bootstrapping", "contextual")),
}


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.")],
    profile: Annotated[
        str, typer.Option(help="quick: embedded corpora, minutes; full: public corpora, hours.")
    ] = "quick",
    corpus: Annotated[
        list[Path] | None, typer.Option(help="Your own JSONL or ASK file; each domain is a skill.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Draws a skill.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    backend: Annotated[str, typer.Option(help="loky: this machine; dask: a cluster.")] = "loky",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder of the results file.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no cell after that long; run again to go on.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run an experiment by its protocol and print its table; a run that was stopped goes on where it was.

    The full profile writes into results/, everything else into work/, unless --out says otherwise.
    """
    from slubook.profiles import PROFILES, RESULTS, ROOT
    from slubook.profiles import device as check_device

    if experiment not in EXPERIMENTS or profile not in PROFILES or backend not in ("loky", "dask"):
        raise typer.BadParameter(
            f"experiment {experiment!r}, profile {profile!r}, backend {backend!r}: choose from "
            f"{', '.join(EXPERIMENTS)}; {', '.join(PROFILES)}; loky, dask"
        )
    if EXPERIMENTS[experiment] is None:
        raise typer.BadParameter(f"experiment {experiment!r} is not part of this version of the book yet")
    try:
        if check_device(device) == "cuda" and device == "cuda":
            raise ValueError(f"experiment {experiment!r} trains networks too small for a GPU: use --device cpu")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    published = profile == "full" and not corpus
    target = (out or (RESULTS if published else ROOT / "work")) / f"{experiment}.json"
    module = import_module(EXPERIMENTS[experiment])
    if experiment == "serving":
        results = module.run(profile, target, seeds, jobs)
        _print_json(results.tables)
        return
    from slubook.experiments.methods import METHODS
    from slubook.experiments.report import summarise, tabulate

    until = time.time() + 60 * minutes if minutes is not None else float("inf")
    with _cluster(backend, scheduler):
        results = module.run(profile, corpus or (), seeds, jobs, target, until=until, backend=backend)
    lines = summarise(results, "maxent_crf")
    _print_json(lines) if as_json else _print(tabulate(lines, METHODS))
    done = results.tables["cells"]
    typer.echo(f"{done['done']} of {done['planned']} cells; records in {target}", err=True)


@contextmanager
def _cluster(backend: str, scheduler: str | None) -> Iterator[None]:
    """A Dask client for the time of a run, where one is asked for."""
    if backend != "dask":
        yield
        return
    from dask.distributed import Client

    with Client(scheduler) if scheduler else Client(threads_per_worker=1):
        yield


Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Corpora or their sources; all of them.")]


@data.command("list")
def data_list(as_json: JsonFlag = False) -> None:
    """List every corpus and source: licence, size, address, and whether it is on this machine."""
    from slubook.corpora.catalogue import entries

    if as_json:
        _print_json([dataclasses.asdict(entry) for entry in entries()])
        return
    table = _table("name", "corpora", "licence", "MB", "here")
    for entry in entries():
        size = f"{entry.bytes / 1e6:.1f}" if entry.bytes else "?"
        table.add_row(entry.name, ", ".join(entry.corpora), entry.licence, size, "yes" if entry.here else "no")
    _print(table)


@data.command("fetch")
def data_fetch(names: Names = None, as_json: JsonFlag = False) -> None:
    """Download public corpora from their official addresses, or check those of the mirror; what is here is kept.

    Exits with 1 when one of them cannot be fetched; the others are fetched all the same.
    """
    from slubook.corpora.catalogue import sources_of
    from slubook.corpora.download import fetch
    from slubook.corpora.errors import DownloadError

    reports = []
    for source in sources_of(names):
        try:
            reports.append({"source": source, "folder": str(fetch(source)), "problems": []})
        except DownloadError as error:
            reports.append({"source": source, "folder": "", "problems": error.problems})
    _report(reports, "fetched", as_json)


@data.command("verify")
def data_verify(names: Names = None, as_json: JsonFlag = False) -> None:
    """Compute the checksums of public corpora again: of those named, or of all that are on this machine.

    Exits with 1 when a file is missing or not the pinned one.
    """
    from slubook.corpora.catalogue import sources_of
    from slubook.corpora.download import folder, verify

    chosen = [source for source in sources_of(names) if names or folder(source).is_dir()]
    reports = [{"source": s, "folder": str(folder(s)), "problems": verify(s)} for s in chosen]
    _report(reports, "verified", as_json)


@data.command("passports")
def data_passports(
    out: Annotated[Path | None, typer.Option(help="File to write; results/passports.json by default.")] = None,
) -> None:
    """Write what the data page shows of every corpus on this machine: counts and hashes, no text."""
    from tqdm import tqdm

    from slubook.corpora.catalogue import entries
    from slubook.corpora.passports import passport
    from slubook.experiments.cells import write_atomically
    from slubook.profiles import RESULTS

    names = [corpus for entry in entries() if entry.here for corpus in entry.corpora]
    written = [passport(name).to_json() for name in tqdm(names, desc="passports", unit="corpus")]
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
