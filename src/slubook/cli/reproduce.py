"""``slubook reproduce``: published cells measured anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slubook.cli.run import device_for
from slubook.cli.shared import JsonFlag, print_blocks
from slubook.experiments.table import EXPERIMENTS


def reproduce(
    experiment: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.")],
    out: Annotated[Path, typer.Option(help="Folder of the new results file and its cells; name a new one.")],
    cells: Annotated[int | None, typer.Option(min=1, help="How many cells to draw; all by default.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one thread each.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda: for language models.")] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Measure published cells anew, and print what differs from what is published.

    Neither results/ nor finished cells in the cache stand in for a measurement; the same --out again resumes. Word
    vectors and pretrained networks are read from the cache where it has them, and trained where not: set SLUBOOK_CACHE
    to a new folder to train those anew as well. The expected minutes are told before.

    With --cells, the same ones are drawn each time, at random among the cells of one fold of topics, which is drawn
    first: cells of one fold read the same vectors and networks, so no others are trained.

    For each method: the share of utterances whose outcome changed, and how much higher the error is. There is a
    tolerance, 7 % of the utterances and 3 points, because word vectors and networks differ in their last digits from
    one type of processor to another, and a network trained on other digits answers a few utterances otherwise. Another
    random start changes 14 %. Where all cells are measured, figures of tables are compared as well: one with an
    interval may lie anywhere in the published one, sizes and counts of serving may differ by 1 %. Times never count.

    Exits with 1 when a tolerance is exceeded.
    """
    from slubook.book.measured import published
    from slubook.experiments.options import Options
    from slubook.reproduction import CHANGED, POINTS, differences, report, tabled, to_json
    from slubook.reproduction import reproduce as measure

    before = published(experiment) if experiment in EXPERIMENTS else None
    if before is None:
        raise typer.BadParameter(f"experiment {experiment!r} has no published results to compare with")
    options = Options("full", jobs=jobs, out=out / f"{experiment}.json", device=device_for(experiment, device))
    anew = measure(before, options, cells)
    found = differences(before, anew)
    print_blocks(to_json(found), report(found, experiment), as_json)
    tables = tabled(before, anew)
    beyond = [f"{name}: {now:,.4g}, published {was:,.4g}" for name, was, now, tolerated in tables if not tolerated]
    n = len({(row.skill, row.size, row.seed) for row in anew.rows})
    allowed = f"tolerance: {CHANGED:.0%} of the utterances changed, {POINTS:g} points of error"
    typer.echo(f"{n} cells measured anew; {allowed}; records in {options.out}", err=True)
    if tables:
        typer.echo("\n".join([f"{len(tables)} figures of tables, {len(beyond)} beyond tolerance", *beyond]), err=True)
    if beyond or not all(one.tolerated for one in found):
        raise typer.Exit(1)
