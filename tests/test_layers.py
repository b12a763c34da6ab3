"""The house in order: imports run downwards, no circles, small modules, documented doors, no traces of a machine."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slubook.profiles import ROOT

PACKAGE = ROOT / "src" / "slubook"
MODULES = {
    ".".join(("slubook", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: Lower floors first. A module may import from its own floor and from those below.
FLOORS = (
    {"profiles", "files"},
    {"corpora", "evaluation"},
    {"models"},
    {"learning", "context"},
    {
        "experiments",
        "claims",
        "cost",
        "ledger",
        "figures",
        "figures_contextual",
        "figures_transfer",
        "figure_diagram",
        "figure_style",
        "pages",
        "reported",
    },
    {"cli", "cli_elmol", "cli_run", "cli_skill", "cli_tune"},
)


def floor(module: str) -> int:
    """The floor on which a module of the package stands; the package itself stands at the bottom."""
    room = [*module.split("."), ""][1]
    return next((k for k, rooms in enumerate(FLOORS) if room in rooms), 0 if not room else -1)


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: say where a relative import comes from"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in inner}
    return {name for name in found if name.split(".")[0] == "slubook"}


GRAPH = {name: imports(path) - {name} for name, path in MODULES.items()}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module):
    assert floor(module) >= 0, f"{module} stands on no floor: name it in FLOORS"
    upwards = {other for other in GRAPH[module] if floor(other) > floor(module)}
    assert not upwards


def test_no_circles():
    done, open_now = set(), []

    def visit(module: str) -> None:
        assert module not in open_now, f"a circle of imports: {' → '.join([*open_now, module])}"
        if module not in done:
            open_now.append(module)
            for other in sorted(GRAPH.get(module, ())):
                visit(other)
            done.add(open_now.pop())

    for module in GRAPH:
        visit(module)


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module):
    assert len(MODULES[module].read_text("utf-8").splitlines()) <= 300


def undocumented(body: list[ast.stmt], inside: str = "") -> list[str]:
    """The public functions, classes and methods of a module's or class's body that have no docstring."""
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                found.append(f"{inside}{node.name}")
            protocol = isinstance(node, ast.ClassDef) and any(getattr(b, "id", "") == "Protocol" for b in node.bases)
            if isinstance(node, ast.ClassDef) and not protocol:  # a protocol says in its own docstring what it asks for
                found += undocumented(node.body, f"{inside}{node.name}.")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_have_docstrings(module):
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    assert module == "slubook" or MODULES[module].name == "__init__.py" or ast.get_docstring(tree)
    assert not undocumented(tree.body)


# What means something on one machine only; written, here and below, so that this file can be searched, too.
TRACES = re.compile(
    r"(?<![\w.~}])/(?:work|tmp|root|home|Users)/\w|\b(?:pypi|pythonhosted|npmjs)\.(?:org|com)|\bdeb\.debian\b|"
    r"--(?:(?:extra-)?index-url|find-links)"
)


def tracked() -> list[Path]:
    """The text files under version control."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a git checkout: which files are tracked is unknown")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in names.split("\0") if name]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()[:4096]]


@pytest.mark.parametrize(
    "text",
    [
        *(f"cd /{folder}/x" for folder in ("work", "tmp", "root", "home", "Users")),
        *(f"https://{host}/x" for host in (".".join(["pypi", "org"]), ".".join(["deb", "debian", "org"]))),
        *(f"pip --{option} x" for option in ("index-url", "extra-index-url", "find-links")),
    ],
)
def test_traces_are_found(text):
    assert TRACES.search(text)


def test_no_traces_of_a_machine():
    found = {}
    for file in tracked():
        if hit := TRACES.search(file.read_text("utf-8", errors="replace")):
            found[file.relative_to(ROOT).as_posix()] = hit.group()
    assert not found
