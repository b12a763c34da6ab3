"""``slubook tune``: choosing the settings of every method again, from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tune(
    experiment: Annotated[str, typer.Argument(help="skills.")],
    method: Annotated[list[str] | None, typer.Option(help="Tune this one only; may be given again.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 1,
    out: Annotated[Path | None, typer.Option(help="The record; results/skills_tuning.json by default.")] = None,
) -> None:
    """Try the listed settings of every method on dev sets of public corpora, and write the record of all trials.

    A run that was stopped goes on where it was. The defaults in the code are not changed by it.
    Exits with 2 when there is a record that is damaged or was changed by hand.
    """
    from slubook.corpora.skillsets import public_skills
    from slubook.experiments.trials import ROUNDS
    from slubook.experiments.tuning import NEED_TABLE, RECORD, load_tuning, pool_table, tune

    methods = method or list(ROUNDS)
    if experiment != "skills" or not set(methods) <= set(ROUNDS):
        raise typer.BadParameter(
            f"experiment {experiment!r}, methods {', '.join(methods)}: choose from skills; {', '.join(ROUNDS)}"
        )
    target = out or RECORD
    if target.is_file():
        load_tuning(target)  # before anything is read or trained
    skills = public_skills()
    record = tune(skills, pool_table(skills) if set(methods) & set(NEED_TABLE) else None, target, methods, jobs)
    for name in methods:
        found = record["methods"][name]
        changed = ", ".join(f"{k} = {v}" for k, v in found["chosen"].items()) or "the start"
        typer.echo(f"{name}: {found['settings']} settings, {found['chosen_error']:.4f} on dev, {changed}")
    typer.echo(f"the record is {target}", err=True)
