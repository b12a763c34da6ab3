"""What the commands share: printing, and how they exit on an error."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from slubook.corpora.errors import CorpusError, DownloadError

#: What the system says of places that cannot be written.
UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class Commands(TyperGroup):
    """Commands that say what is wrong with input, downloads, results or cells in words, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; exits with 1 for a failed download or cell, with 2 for what cannot be used or written."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, RuntimeError, OSError) as error:
            from slubook.experiments.cells import CellsFailed
            from slubook.experiments.records import RecordsError
            from slubook.files import KeptError

            if isinstance(error, OSError) and error.errno in UNWRITABLE:
                raise told(error, 2, "for the cache, set SLUBOOK_CACHE to a folder that can be written") from error
            if isinstance(error, CorpusError | RecordsError | KeptError | CellsFailed):
                raise told(error, 1 if isinstance(error, DownloadError | CellsFailed) else 2) from error
            raise


def told(error: Exception, code: int, *hints: str) -> typer.Exit:
    """Prints an error to stderr, and returns the exit to raise."""
    for line in (*(f"error: {problem}" for problem in str(error).splitlines()), *hints):
        typer.echo(line, err=True)
    return typer.Exit(code)


def print_json(value: Any) -> None:
    """Prints a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_blocks(objects: Any, blocks: Iterable[str], as_json: bool) -> None:
    """Prints objects as JSON, or blocks of text about them."""
    if as_json:
        return print_json(objects)
    for block in blocks:
        typer.echo(block)


def print_rows(objects: Any, heads: Sequence[str], rows: Iterable[Sequence[str]], as_json: bool) -> None:
    """Prints objects as JSON, or their table, whose first column is never wrapped."""
    if as_json:
        return print_json(objects)
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column(heads[0], no_wrap=True), *heads[1:])
    for row in rows:
        table.add_row(*row)
    Console().print(table)
