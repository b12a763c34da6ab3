"""``slubook tune``: measuring the trials of tuning again, or others, from the shell."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated

import typer


def tune(
    experiment: Annotated[str, typer.Argument(help="skills, transfer, elmol or benchmark; hours each.")],
    method: Annotated[
        list[str] | None, typer.Option(help="Tune this one only; may be given again; not for transfer.")
    ] = None,
    trials: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Trials to make instead: a JSON list.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda: for language models (elmol, benchmark).")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="The record; results/EXPERIMENT_tuning.json, or with --trials in work/.")
    ] = None,
) -> None:
    """Choose the book's settings again: make the trials that the published record lists, on dev sets.

    The record has every trial. The defaults in the code are not changed, but a test holds them equal to what it chose.
    A run that was stopped can be resumed. It is not for a corpus of yours: `slubook run EXPERIMENT --corpus` uses the
    book's settings.

    With --trials, other trials are made: `[{"method": "dnn", "changes": {"training.rate": 0.01}}]`. Changes are to the
    configuration where the search began, `start` in the record's stamp. A trial may also have `seeds` of draws, [1000]
    by default, and a `round`.

    Exits with 2 when a record is damaged or was changed by hand, or when a trial cannot be made.
    """
    from slubook.cli.run import device_for
    from slubook.experiments.table import TUNED
    from slubook.profiles import ROOT

    if experiment not in TUNED:
        raise typer.BadParameter(f"experiment {experiment!r}: choose from {', '.join(TUNED)}")
    search, found = resolve_name(TUNED[experiment]["search"]), device_for(experiment, device)
    if not set(method or ()) <= set(search.start):
        raise typer.BadParameter(f"methods {', '.join(method)}: choose from {', '.join(search.start)}")
    if method and (trials or experiment == "transfer"):
        why = "the list says which are tried" if trials else "those of transfer are trained side by side"
        raise typer.BadParameter(f"{why}: leave --method out")
    tried = search.read_trials(trials) if trials else search.replay(method or list(search.start))
    target = out or (ROOT / "work" / search.record.name if trials else search.record)
    record = search.run(tried, target, jobs, found)
    for name in dict.fromkeys(trial.method for trial in tried):
        made = record["methods"][name]
        changed = ", ".join(f"{k} = {v}" for k, v in made["chosen"].items()) or "the start"
        typer.echo(f"{name}: {made['settings']} settings, {made['chosen_error']:.4f} on dev, {changed}")
    typer.echo(f"the record is {target}", err=True)
