"""``slubook run``: the experiments, from the shell."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Annotated, Literal

import typer

from slubook.cli.bootstrap import own_text
from slubook.cli.shared import JsonFlag, print_json
from slubook.corpora.errors import CorpusError
from slubook.experiments.table import EXPERIMENTS

#: Experiments that a user's own file is nothing for, and those for which a GPU is worth while.
NOT_CORPUS = [name for name, about in EXPERIMENTS.items() if about.not_corpus]
ON_DEVICE = [name for name, about in EXPERIMENTS.items() if about.language_model]


def chapters() -> str:
    """Returns the experiments of each chapter, for the help."""
    grouped = groupby(EXPERIMENTS.values(), key=lambda about: about.chapter)
    return " ".join(f"Chapter {chapter}: {', '.join(e.name for e in own)}." for chapter, own in grouped)


def device_for(experiment: str, device: str) -> str:
    """The device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises:
        typer.BadParameter: when there is none such, or the experiment has nothing that is worth a GPU.
    """
    from slubook.profiles import device as check_device

    try:
        found = check_device(device)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if device == "cuda" and experiment not in ON_DEVICE:
        raise typer.BadParameter(f"experiment {experiment!r} trains networks too small for a GPU: use --device cpu")
    return found


def run(
    experiment: Annotated[str, typer.Argument(help=chapters())],
    profile: Annotated[
        Literal["quick", "full"], typer.Option(help="quick: embedded corpora, minutes; full: public corpora, hours.")
    ] = "quick",
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help=f"Your own JSONL or ASK file, each domain a skill; not for {', '.join(NOT_CORPUS)}."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Train on a --corpus as briefly as quick does.")] = False,
    pool: Annotated[
        Path | None, typer.Option(help="selftraining, with --corpus and --target: a log to find requests in.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The intent of the corpus that requests are found of.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many draws, each with its own seed.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    backend: Annotated[Literal["loky", "dask"], typer.Option(help="loky: this machine; dask: a cluster.")] = "loky",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    device: Annotated[
        str, typer.Option(help=f"auto, cpu or cuda: for language models ({', '.join(ON_DEVICE)}).")
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder of the results file.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no cell after that long; run again to resume.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Decimals, ICER, SER and costs as well: 150 columns.")] = False,
    in_domain: Annotated[
        Path | None, typer.Option(help="bootstrapping: your requests in Hindi, one a line; with --english.")
    ] = None,
    english: Annotated[Path | None, typer.Option(help="bootstrapping: your requests in English.")] = None,
    parallel: Annotated[
        Path | None, typer.Option(help="bootstrapping: your sentence pairs, English, tab, Hindi.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run an experiment by its protocol and print its table; a run that was stopped resumes.

    The full profile writes into results/, everything else into work/, unless --out says otherwise. Exits with 1 while
    cells are missing. With text of your own, bootstrapping writes a language model, bootstrapped.arpa.
    """
    if in_domain or english or parallel:
        return own_text(experiment, in_domain, english, parallel, profile, device, out, as_json)
    from rich.console import Console

    from slubook.book.measured import published as results_of
    from slubook.experiments import runner
    from slubook.experiments.options import Options
    from slubook.experiments.report import headlines, summarise, tabulate
    from slubook.profiles import RESULTS, ROOT
    from slubook.reproduction import expecting, trained

    if experiment not in EXPERIMENTS:
        raise typer.BadParameter(f"experiment {experiment!r} is unknown: choose from {', '.join(EXPERIMENTS)}")
    if scheduler and backend != "dask":
        raise typer.BadParameter("--scheduler is the address of a Dask cluster: add --backend dask")
    if pool or target or (experiment == "selftraining" and corpus):
        return _review(experiment, corpus or [], pool, target, out or ROOT / "work", as_json)
    found = device_for(experiment, device)
    published = profile == "full" and not corpus
    name = "-".join([experiment, *(path.stem for path in corpus or ())])
    target = (out or (RESULTS if published else ROOT / "work")) / f"{name}.json"
    until = time.time() + 60 * minutes if minutes is not None else math.inf
    with _cluster(backend, scheduler):
        options = Options(profile, tuple(corpus or ()), seeds, jobs, target, until, backend, found, quick)
        if corpus and not quick and (before := results_of(experiment)):
            options = replace(options, choose=expecting(before, options.choose, jobs, fresh=True))
        results = runner.run(experiment, options)
    lines, figures = summarise(results), headlines(results)
    if as_json:
        print_json([*lines, *({"figure": name, "interval": numbers} for name, numbers in figures.items())])
    else:
        if said := trained(results):
            typer.echo(f"{options.kind} profile, trained: {said}")
        if lines:
            Console(width=160 if wide else None).print(tabulate(lines, EXPERIMENTS[experiment], wide))
        for name, (point, low, high) in figures.items():
            typer.echo(f"{name.replace('_', ' ')}: {point:.4g}" + (f" [{low:.4g}, {high:.4g}]" if low < high else ""))
    cells = results.tables["cells"]
    typer.echo(f"{cells['done']} of {cells['planned']} cells; records in {target}", err=True)
    if cells["done"] < cells["planned"]:
        raise typer.Exit(1)


def _review(
    experiment: str, corpus: list[Path], pool: Path | None, target: str | None, out: Path, as_json: bool
) -> None:
    """Writes requests of a user's log, labelled for review, to a file that does not exist yet."""
    from slubook.ch4_selftraining.review import review
    from slubook.files import write_atomically

    if experiment != "selftraining" or len(corpus) != 1 or not (pool and target):
        raise typer.BadParameter(
            "a log is searched by `run selftraining --corpus MINE.jsonl --pool LOG.txt --target INTENT`: give all three"
        )
    name = re.sub(r"[^\w.-]+", "_", f"selftraining-{corpus[0].stem}-{target}")
    file = out / f"{name}.jsonl"
    if file.exists():
        raise CorpusError(
            f"{file} is there already, and may have been reviewed: move it away, or name a folder by --out"
        )
    found = review(corpus[0], pool, target)
    if found.lines:
        write_atomically(file, found.text())
    if as_json:
        print_json({"file": str(file), "lines": len(found.lines), "notes": found.notes, "warnings": found.warnings})
    else:
        for text in (*found.notes, *(f"This would probably not help: {reason}." for reason in found.warnings)):
            typer.echo(fill(text, 80))
        if found.lines:
            typer.echo(f"{len(found.lines)} requests to review are in {file}")
    if not found.lines:
        raise typer.Exit(1)


@contextmanager
def _cluster(backend: str, scheduler: str | None) -> Iterator[None]:
    """A Dask client for the time of a run, where one is asked for."""
    if backend != "dask":
        yield
        return
    from dask.distributed import Client

    with Client(scheduler) if scheduler else Client(threads_per_worker=1):
        yield
