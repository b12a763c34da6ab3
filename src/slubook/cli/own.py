"""``slubook skill`` and ``slubook elmol``: a skill of your own, and a language model of your own text."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from slubook.cli.run import device_for
from slubook.cli.shared import JsonFlag, print_json
from slubook.corpora.errors import CorpusError

if TYPE_CHECKING:
    from slubook.own.skill import OwnSkill

skill = typer.Typer(no_args_is_help=True, help="A skill of your own: which model to use, and what it would answer.")
elmol = typer.Typer(no_args_is_help=True, help="ELMoL, trained on requests of your own that nobody annotated.")
MODELS = "auto|maxent_crf|dnn|transfer|elmol"
File = Annotated[Path, typer.Argument(metavar="MODEL.json|FILE.jsonl", help="An ASK interaction model, or a corpus.")]
AsOne = Annotated[bool, typer.Option("--as-one", help="Take all domains of a JSONL file for one skill.")]
Vectors = Annotated[
    str, typer.Option(metavar="auto|none|FOLDER", help="The DNN's word vectors; auto: a run's or the book's.")
]
ELMoL = Annotated[
    str | None,
    typer.Option(
        metavar="auto|FOLDER", help="Read this language model. auto: the book's; or the FOLDER of `elmol train`."
    ),
]
wrapped = partial(fill, width=80)


@skill.command("compare")
def skill_compare(
    file: File,
    folds: Annotated[int | None, typer.Option(min=2, help="Parts of the data; 5, or fewer for a small skill.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often the data are cut anew.")] = 1,
    as_one: AsOne = False,
    vectors: Vectors = "auto",
    transfer: Annotated[bool, typer.Option("--transfer", help="Compare a pretrained network as well.")] = False,
    elmol: ELMoL = None,
    as_json: JsonFlag = False,
) -> None:
    """Train MaxEnt-CRF and the DNN on the same folds, print their errors with intervals, and say which to use.

    --transfer and --elmol add further networks, which start from what they learned of other skills.

    All are then trained on everything and kept, ready for `slubook skill predict`.
    """
    from rich.console import Console

    from slubook.own import inputs
    from slubook.own import skill as own
    from slubook.own.answer import remember, train_and_keep
    from slubook.own.compare import compare
    from slubook.own.methods import METHODS

    skills = _read(file, as_one)
    asked_for, folds = folds, folds or own.folds_for(skills)
    for one in skills:
        own.check(one, folds)
    if asked_for is None and folds < own.FOLDS:
        typer.echo(f"{folds} folds instead of {own.FOLDS}: every fold needs two different samples", err=True)
    if elmol not in (None, "auto"):
        inputs.users_language_model(elmol)  # fails before anything is trained
    choices = {"dnn": vectors, "transfer": transfer and "auto", "elmol": elmol}
    methods = [name for name, method in METHODS.items() if choices.get(name) or not method.on_request]
    pretrained = {m: METHODS[m].pretrained(choices.get(m, "auto"), skills) for m in methods}
    n = len(skills) * folds * seeds * len(methods)
    typer.echo(f"{n} models are trained and judged, then {len(methods)} a skill to keep", err=True)
    report = compare(skills, pretrained, folds, seeds)
    kept = {one.name: {m: str(train_and_keep(one, m, pretrained[m])) for m in methods} for one in skills}
    for one in skills:
        remember(one, report.recommended, report.reason)
    if as_json:
        print_json({**report.to_json(), "kept": kept})
        return
    asked = ", ".join(f"{name} ({n} utterances)" for name, n in report.skills.items())
    typer.echo(wrapped(f"{asked}; {folds} folds, {seeds} seed{'s' * (seeds > 1)}"))
    for m, told in report.pretrained_inputs.items():
        typer.echo(wrapped(f"{METHODS[m].title} stands on {told}"))
    typer.echo()
    Console().print(report.table())
    typer.echo("\n" + wrapped(report.reason))
    if len(skills) > 1:
        typer.echo("These are means over the skills: compare one alone when it matters most.")
    typer.echo(f'All are kept: slubook skill predict {file} "..."')


@skill.command("predict")
def skill_predict(
    file: File,
    utterance: Annotated[str, typer.Argument(help="What was said.")],
    model: Annotated[str, typer.Option(metavar=MODELS, help="auto: the one recommended, else maxent_crf.")] = "auto",
    name: Annotated[str | None, typer.Option("--skill", help="Which domain, where the file has several.")] = None,
    as_one: AsOne = False,
    vectors: Vectors = "auto",
    elmol: ELMoL = None,
    as_json: JsonFlag = False,
) -> None:
    """Answer one utterance with intent, slots and confidence; the model is trained first where none is kept."""
    from slubook.own import skill as own
    from slubook.own.answer import chosen, open_model
    from slubook.own.methods import METHODS, SIMPLEST

    if model not in ("auto", *METHODS):
        raise typer.BadParameter(f"model {model!r} is unknown: choose from auto, {', '.join(METHODS)}")
    if not utterance.strip():
        raise CorpusError("the utterance is empty: say something")
    one = own.pick(_read(file, as_one), name)
    own.check(one, folds=1)
    method = (chosen(one) or SIMPLEST) if model == "auto" else model
    choice = {"dnn": vectors, "elmol": elmol}.get(method) or "auto"
    [said] = open_model(one, method, partial(typer.echo, err=True), choice).predict([utterance])
    slots = [{"type": s.type, "value": utterance[s.start : s.end], "start": s.start, "end": s.end} for s in said.slots]
    if as_json:
        whole = {"skill": one.name, "model": method, "text": utterance, "intent": said.intent}
        print_json({**whole, "confidence": said.confidence, "slots": slots})
        return
    typer.echo(f"{said.intent}  ({said.confidence:.0%} sure, {METHODS[method].title})")
    for slot in slots:
        typer.echo(f"  {slot['type']}: {slot['value']}")


def _read(file: Path, as_one: bool) -> list[OwnSkill]:
    """Reads the skills of a file; prints what of them cannot be learned."""
    from slubook.own.skill import read

    skills = read(file, as_one)
    for one in skills:
        if one.left_out:
            typer.echo(f"{one.name}: left out, no samples: {', '.join(one.left_out)}", err=True)
    return skills


@elmol.command("train")
def elmol_train(
    text: Annotated[Path, typer.Argument(metavar="TEXT.txt", help="Requests, one a line.")],
    out: Annotated[Path, typer.Option(help="A new folder for the language model.")],
    without: Annotated[list[Path] | None, typer.Option(help="A skill to be compared on; again for more.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the text; 15 by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Train a language model on text that nobody annotated, for `slubook skill compare --elmol FOLDER`.

    Says how well it guesses the words of requests that were held out. Requests that nearly repeat those of the skills
    given by --without are left out. A training that was stopped resumes when the same command is given again.
    """
    from slubook.own.elmol import train_own

    done = train_own(text, out, without or (), epochs, device_for("elmol", device))
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    typer.echo(f"{done.sentences:,} requests read in {done.seconds:,.0f} s; the language model is in {done.folder}")
    if without:
        typer.echo(f"left out, as they nearly repeat what it must not know: {done.left_out:,}")
    if not (p := done.perplexity):
        typer.echo("the text is too small to hold requests out, so its perplexity is not known")
        return
    typer.echo(
        f"perplexity on {done.held_out:,} requests held out: {p['forward_known']:.1f} forwards, "
        f"{p['backward_known']:.1f} backwards, over the words that it can name; {p['unknown']:.0%} it cannot"
    )
