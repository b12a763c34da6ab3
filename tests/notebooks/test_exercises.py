"""Exercises: the blank must fail its check, the hidden solution must pass it.

In a notebook, cells tagged ``setup`` hold what exercises need; a cell tagged ``exercise`` has a blank; the next one,
tagged ``check``, prints ``right`` or ``not yet``; the solution is the Python block in the dropdown that follows.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from slubook.profiles import ROOT

SOLUTION = re.compile(r"\{dropdown\}.*?```(?:\{code-block\} )?python\n(.*?)```", re.DOTALL)


class Exercise(NamedTuple):
    """One exercise with everything that runs it."""

    setup: str
    blank: str
    check: str
    solution: str


def exercises(path: Path) -> list[Exercise]:
    """The exercises of a notebook, in order."""
    cells, found, setup = nbformat.read(path, as_version=4).cells, [], ""
    for k, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        if "setup" in tags:
            setup += cell.source + "\n"
        if "exercise" in tags:
            rest = cells[k + 1 :]
            check = next(c.source for c in rest if "check" in c.metadata.get("tags", []))
            solution = next(m for c in rest if c.cell_type == "markdown" and (m := SOLUTION.search(c.source)))
            found.append(Exercise(setup, cell.source, check, solution.group(1)))
    return found


def printed(*sources: str) -> str:
    """What the sources print, run one after the other in one namespace."""
    out, names = io.StringIO(), {"__name__": "__main__"}
    with contextlib.redirect_stdout(out):
        for source in sources:
            exec(compile(source, "<exercise>", "exec"), names)
    return out.getvalue().strip().splitlines()[-1]


ALL = [
    pytest.param(exercise, id=f"{path.stem}-{k}")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    for k, exercise in enumerate(exercises(path), 1)
]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_has_exercises(path):
    assert len(exercises(path)) >= 2


@pytest.mark.parametrize("exercise", ALL)
def test_the_blank_fails(exercise):
    assert printed(exercise.setup, exercise.blank, exercise.check) == "not yet"


@pytest.mark.parametrize("exercise", ALL)
def test_the_solution_passes(exercise):
    assert "..." in exercise.blank
    assert printed(exercise.setup, exercise.solution, exercise.check) == "right"
