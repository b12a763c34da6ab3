"""``slubook elmol``: a language model of your own text, from the shell."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

elmol = typer.Typer(no_args_is_help=True, help="ELMoL, trained on requests of your own that nobody annotated.")


@elmol.callback()
def _group() -> None:
    """Keeps ``train`` a command of its own while it is the only one."""


@elmol.command("train")
def elmol_train(
    text: Annotated[Path, typer.Argument(metavar="TEXT.txt", help="Requests, one a line.")],
    out: Annotated[Path, typer.Option(help="A new folder for the language model.")],
    without: Annotated[
        list[Path] | None, typer.Option(help="A skill that it must know nothing of, to be compared on; again for more.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the text; 15 by default, as in chapter 3.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print an object instead of words.")] = False,
) -> None:
    """Train a language model on text that nobody annotated, for `slubook skill compare --elmol FOLDER`.

    Says how well it guesses the words of requests that were held out. A training that was stopped goes on where it was
    when the same command is given again.
    """
    from slubook.own.elmol import train_own
    from slubook.profiles import device as check_device

    try:
        device = check_device(device)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    done = train_own(text, out, without or (), epochs, device)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(done), indent=2, ensure_ascii=False))
        return
    typer.echo(f"{done.sentences:,} requests read in {done.seconds:,.0f} s; the language model is in {done.folder}")
    if without:
        typer.echo(f"left out, as they nearly repeat what it must not know: {done.left_out:,}")
    if not done.perplexity:
        typer.echo("the text is too small to hold requests out, so its perplexity is not known")
        return
    p = done.perplexity
    typer.echo(
        f"perplexity on {done.held_out:,} requests held out: {p['forward_known']:.1f} forwards, "
        f"{p['backward_known']:.1f} backwards, over the words that it can name; {p['unknown']:.0%} it cannot"
    )
