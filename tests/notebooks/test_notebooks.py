"""Notebooks are committed as they were run, in small cells, and nbval has something to compare in each."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from slubook.profiles import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOT_COMPARED = re.compile(r"^\s*#\s*(?:NBVAL_IGNORE_OUTPUT|NBVAL_SKIP|NBVAL_RAISES_EXCEPTION)", re.MULTILINE)
TAGS_NOT_COMPARED = {"nbval-ignore-output", "nbval-skip", "raises-exception", "nbval-raises-exception"}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def texts(output: nbformat.NotebookNode) -> str:
    """All text that one output of a cell shows."""
    data = [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *data, *output.get("traceback", [])])


def test_every_cell_was_run_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "restart the kernel, run all cells, save"


def test_cells_that_are_compared(path):
    compared = [
        cell
        for cell in code_cells(path)
        if cell.outputs
        and not NOT_COMPARED.search(cell.source)
        and not TAGS_NOT_COMPARED & set(cell.metadata.get("tags", []))
    ]
    assert len(compared) >= 8


def test_cells_are_short(path):
    long = {cell.execution_count: n for cell in code_cells(path) if (n := len(cell.source.splitlines())) > 20}
    assert not long


def test_size(path):
    assert path.stat().st_size <= 1_500_000


def test_no_cell_failed(path):
    failed = [cell.execution_count for cell in code_cells(path) for out in cell.outputs if out.output_type == "error"]
    assert not failed


def test_no_machine_shows(path):
    shown = "\n".join(texts(output) for cell in code_cells(path) for output in cell.outputs)
    assert not re.findall(r"(?<![\w.<])/(?:work|tmp|root|home|Users)/\S+|ipykernel_\d+|site-packages", shown)


def test_no_warning_shows(path):
    warned = [
        cell.execution_count
        for cell in code_cells(path)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert not warned, "these cells write to stderr: mend the cause"


def test_the_kernel_has_no_name_of_its_own(path):
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.kernelspec.name == "python3"
    assert metadata.language_info.name == "python"
