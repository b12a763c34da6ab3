"""``slubook run bootstrapping --in-domain … --english …``: a language model of the user's own text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import typer

from slubook.cli.shared import print_rows
from slubook.profiles import ROOT


def own_text(
    experiment: str, in_domain: Path | None, english: Path | None, parallel: Path | None, profile: str, device: str,
    out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Builds the model and prints what it is worth on lines that were held out."""
    from slubook.ch5_bootstrapping.own_text import FULL, QUICK, bootstrap
    from slubook.profiles import device as check_device

    if experiment != "bootstrapping":
        raise typer.BadParameter("--in-domain, --english and --parallel are for experiment 'bootstrapping'")
    if not (in_domain and english):
        raise typer.BadParameter("--in-domain and --english are needed both: text files, one request a line")
    try:
        device = check_device(device)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    target = (out or ROOT / "work") / "bootstrapped.arpa"
    done = bootstrap(in_domain, english, parallel, target, FULL if profile == "full" else QUICK, device)
    if not as_json:
        typer.echo(
            f"{done.in_domain:,} in-domain lines, {done.translated:,} English ones translated after {done.pairs:,} "
            f"pairs;\ntranslations weigh {done.weight:.0%}; {done.held_out:,} in-domain lines were held out"
        )
    measured = (("in-domain text alone", done.before), ("with translations", done.after))
    rows = [(name, f"{p.value:.1f}", f"{p.oov} of {p.oov + p.tokens}") for name, p in measured]
    print_rows(dataclasses.asdict(done), ("trained on", "perplexity", "unknown words"), rows, as_json)
    if not as_json:
        typer.echo(f"the model: {done.path}")
