"""``slubook tune``: choosing the settings of every method again, from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tune(
    experiment: Annotated[str, typer.Argument(help="skills, transfer, elmol or benchmark; hours each.")],
    method: Annotated[
        list[str] | None, typer.Option(help="Tune this one only; may be given again; not for transfer.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda: for language models (elmol, benchmark).")] = "auto",
    out: Annotated[Path | None, typer.Option(help="The record; results/<experiment>_tuning.json by default.")] = None,
) -> None:
    """Choose the book's settings again: try those listed in the code on dev sets of public corpora.

    All trials are written into the record. The defaults in the code are not changed by it, but a test holds them equal
    to what the record chose. A run that was stopped goes on where it was. It is not for a corpus of yours: `slubook run
    EXPERIMENT --corpus` uses the book's settings. Exits with 2 when there is a record that is damaged or was changed by
    hand.
    """
    from slubook.ch1_skills.skillsets import public_skills
    from slubook.ch1_skills.tuning import NEED_TABLE, SkillsSearch, pool_table
    from slubook.ch2_transfer.tuning import TransferSearch, transfer_search
    from slubook.ch3_elmol.tuning import ElmolSearch, elmol_search
    from slubook.ch3_elmol.tuning_benchmark import BenchmarkSearch, benchmark_search
    from slubook.cli.run import device_for

    searches = {"skills": SkillsSearch, "transfer": TransferSearch, "elmol": ElmolSearch, "benchmark": BenchmarkSearch}
    if experiment not in searches:
        raise typer.BadParameter(f"experiment {experiment!r}: choose from {', '.join(searches)}")
    search = searches[experiment]()
    methods = method or list(search.rounds())
    if not set(methods) <= set(search.rounds()):
        raise typer.BadParameter(f"methods {', '.join(methods)}: choose from {', '.join(search.rounds())}")
    if method and experiment == "transfer":
        raise typer.BadParameter("the methods of transfer are trained side by side: leave --method out")
    found = device_for(experiment, device)
    target = out or search.record
    if target.is_file():
        search.load(target)  # before anything is read or trained
    if experiment == "transfer":
        search = transfer_search(jobs)
    elif experiment == "elmol":
        search = elmol_search(jobs, methods, found)
    elif experiment == "benchmark":
        search = benchmark_search(found)
    else:
        skills = public_skills()
        search = SkillsSearch(skills, pool_table(skills) if set(methods) & set(NEED_TABLE) else None)
    record = search.run(target, methods, jobs)
    for name in methods:
        found = record["methods"][name]
        changed = ", ".join(f"{k} = {v}" for k, v in found["chosen"].items()) or "the start"
        typer.echo(f"{name}: {found['settings']} settings, {found['chosen_error']:.4f} on dev, {changed}")
    typer.echo(f"the record is {target}", err=True)
