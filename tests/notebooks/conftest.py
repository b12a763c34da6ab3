"""What tests of published parts share: cells tagged ``published`` run over a folder of results of the test's own."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import nbformat
import pytest

from slubook import profiles


@pytest.fixture
def published_cells(tmp_path, monkeypatch) -> Callable[[str], tuple[str, dict[str, str]]]:
    """Runs those cells of a notebook; gives what they show, as text, and what they glue."""

    def run(notebook: str) -> tuple[str, dict[str, str]]:
        cells = nbformat.read(profiles.ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
        glued: dict[str, str] = {}
        said: list[Any] = []
        monkeypatch.setattr(profiles, "RESULTS", tmp_path)
        monkeypatch.setattr("myst_nb.glue", lambda name, value, display: glued.update({name: value}))
        monkeypatch.setattr("IPython.display.display", said.append)
        names: dict[str, Any] = {}
        for source in (cell.source for cell in cells if "published" in cell.metadata.get("tags", [])):
            body = ast.parse(source).body
            last = body.pop() if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
            said.append(eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None)
        return "\n".join(str(getattr(item, "data", item)) for item in said if item is not None), glued

    return run
