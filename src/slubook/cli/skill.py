"""``slubook skill``: a skill of your own, from the shell."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slubook.own.skill import OwnSkill

skill = typer.Typer(no_args_is_help=True, help="A skill of your own: which model to use, and what it would answer.")

File = Annotated[Path, typer.Argument(metavar="MODEL.json|FILE.jsonl", help="An ASK interaction model, or a corpus.")]
AsOne = Annotated[bool, typer.Option("--as-one", help="Take all domains of a JSONL file for one skill.")]
VectorsOption = Annotated[
    str,
    typer.Option(
        "--vectors", metavar="auto|none|FOLDER", help="Word vectors beneath the DNN. auto: a run's or the book's."
    ),
]
ELMoLOption = Annotated[
    str | None,
    typer.Option(
        "--elmol",
        metavar="auto|FOLDER",
        help="Read this language model. auto: the book's; or the FOLDER of `elmol train`.",
    ),
]
WIDTH = 80
JsonFlag = Annotated[bool, typer.Option("--json", help="Print an object instead of a table.")]


@skill.command("compare")
def skill_compare(
    file: File,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Parts that the data are cut into; 5, or fewer for a small skill.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often they are cut anew.")] = 1,
    as_one: AsOne = False,
    vectors: VectorsOption = "auto",
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Compare a network pretrained on the embedded corpora as well.")
    ] = False,
    elmol: ELMoLOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train MaxEnt-CRF and the DNN on the same folds, print their errors with intervals, and say which to use.

    --transfer and --elmol add further networks, which start from what they learned of other skills.

    All are then trained on everything and kept, ready for `slubook skill predict`.
    """
    from rich.console import Console

    from slubook.own import answer
    from slubook.own import elmol as own_elmol
    from slubook.own import skill as own
    from slubook.own.compare import compare

    skills = _read(file, as_one)
    asked_for, folds = folds, folds or own.folds_for(skills)
    for one in skills:
        own.check(one, folds)
    if asked_for is None and folds < own.FOLDS:
        typer.echo(f"{folds} folds instead of {own.FOLDS}: every fold needs two different samples", err=True)
    beneath = answer.Beneath(vectors, elmol or "auto")
    own_elmol.check(beneath.elmol)
    requested = {name for name, given in (("transfer", transfer), ("elmol", elmol)) if given}
    methods = [m for m in answer.METHODS if m in requested or m not in answer.ON_REQUEST]
    n = len(skills) * folds * seeds * len(methods)
    bases = {m: answer.METHODS[m].basis(beneath, skills) for m in methods}
    typer.echo(f"{n} models are trained and judged, then {len(methods)} a skill to keep", err=True)
    report = compare(skills, bases, folds, seeds)
    kept = {
        one.name: {m: str(answer.train_and_keep(one, m, bases[m], beneath=beneath)) for m in methods} for one in skills
    }
    for one in skills:
        answer.remember(one, report.recommended, report.reason)
    if as_json:
        typer.echo(json.dumps({**report.to_json(), "kept": kept}, indent=2, ensure_ascii=False))
        return
    asked = ", ".join(f"{name} ({n} utterances)" for name, n in report.skills.items())
    typer.echo(fill(f"{asked}; {folds} folds, {seeds} seed{'s' * (seeds > 1)}", WIDTH))
    for m, told in report.beneath.items():
        typer.echo(fill(f"{answer.METHODS[m].title} stands on {told}", WIDTH))
    typer.echo()
    Console().print(report.table())
    typer.echo("\n" + fill(report.reason, WIDTH))
    if len(skills) > 1:
        typer.echo("These are means over the skills: compare one alone when it matters most.")
    typer.echo(f'All are kept: slubook skill predict {file} "..."')


@skill.command("predict")
def skill_predict(
    file: File,
    utterance: Annotated[str, typer.Argument(help="What was said.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="auto|maxent_crf|dnn|transfer|elmol", help="auto: what `compare` recommended, else maxent_crf."
        ),
    ] = "auto",
    name: Annotated[str | None, typer.Option("--skill", help="Which domain, where the file has several.")] = None,
    as_one: AsOne = False,
    vectors: VectorsOption = "auto",
    elmol: ELMoLOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Answer one utterance with intent, slots and confidence; the model is trained first where none is kept."""
    from slubook.corpora.errors import CorpusError
    from slubook.own import answer
    from slubook.own import skill as own

    if model not in ("auto", *answer.METHODS):
        raise typer.BadParameter(f"model {model!r} is unknown: choose from auto, {', '.join(answer.METHODS)}")
    if not utterance.strip():
        raise CorpusError("the utterance is empty: say something")
    one = _pick(_read(file, as_one), name, file)
    own.check(one, folds=1)
    method = (answer.chosen(one) or answer.SIMPLEST) if model == "auto" else model
    say, beneath = partial(typer.echo, err=True), answer.Beneath(vectors, elmol or "auto")
    opened = answer.open_model(one, method, partial(answer.METHODS[method].basis, beneath, [one]), say, beneath)
    [said] = opened.predict([utterance])
    slots = [{"type": s.type, "value": utterance[s.start : s.end], "start": s.start, "end": s.end} for s in said.slots]
    if as_json:
        whole = {"skill": one.name, "model": method, "text": utterance, "intent": said.intent}
        typer.echo(json.dumps({**whole, "confidence": said.confidence, "slots": slots}, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{said.intent}  ({said.confidence:.0%} sure, {answer.METHODS[method].title})")
    for slot in slots:
        typer.echo(f"  {slot['type']}: {slot['value']}")


def _read(file: Path, as_one: bool) -> list[OwnSkill]:
    """The skills of a file; what cannot be learned of them is said once."""
    from slubook.own import skill as own

    skills = own.read(file, as_one)
    for one in skills:
        if one.left_out:
            typer.echo(f"{one.name}: left out, no samples: {', '.join(one.left_out)}", err=True)
    return skills


def _pick(skills: list[OwnSkill], name: str | None, file: Path) -> OwnSkill:
    """The skill of that name, or the only one."""
    from slubook.corpora.errors import CorpusError

    if name is None and len(skills) == 1:
        return skills[0]
    names = ", ".join(one.name for one in skills)
    if found := [one for one in skills if one.name == name]:
        return found[0]
    problem = f"has no skill {name!r}" if name else f"has {len(skills)} skills"
    raise CorpusError(f"{file} {problem}: name one of {names} with --skill, or take all for one with --as-one")
