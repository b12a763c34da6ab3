"""Code of notebooks fits the book's column: a longer line hides its end behind a scroll bar."""

from __future__ import annotations

import nbformat
import pytest

from slubook.profiles import ROOT

#: Characters of code that the column shows.
COLUMN = 74
#: The notebooks that keep to it.
NARROW = ("00_meet_the_data", "01_maxent_crf_vs_dnn", "02_transfer_learning", "03_elmol", "04_self_training")


@pytest.mark.parametrize("name", NARROW)
def test_lines_of_code_fit_the_column(name):
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert not [line for line in lines if len(line) > COLUMN]
