"""No result is typed by hand: Markdown has no decimals and no percentages outside glue, code, links and formulas."""

from __future__ import annotations

import re

import nbformat
import pytest

from slubook.profiles import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("book/*.md")), *sorted(ROOT.glob("notebooks/*.ipynb"))]
CODE = r"(?!\{)|\{(?:code-cell|code-block|code|sourcecode|literalinclude|math|bibliography|eval-rst)\}"

STRIPPED = (
    re.compile(r"\A---\n.*?\n---\n", re.DOTALL),  # front matter
    re.compile(rf"^(?P<fence>`{{3,}}|~{{3,}})(?:{CODE})[^\n]*\n.*?^(?P=fence)`*\s*$", re.DOTALL | re.MULTILINE),
    re.compile(r"<!-- measured: begin -->.*?<!-- measured: end -->", re.DOTALL),  # written by make readme
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"CC BY 4\.0"),
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?<![\\\w])\$[^$\n]+\$"),
    re.compile(r"(?:\{[\w:]+\})?(?P<tick>`+).+?(?P=tick)", re.DOTALL),  # roles (glue among them) and code
    re.compile(r"!?\[[^\]]*\]\([^)]*\)"),
    re.compile(r"<?https?://[^\s>]+>?"),
    re.compile(r"^:[\w-]+:.*$", re.MULTILINE),  # options of directives
)
TYPED = re.compile(r"(?<![\w.])\d+[.,]\d+(?![\w.]*\d)|\d+(?:[.,]\d+)?\s*(?:%|per ?cent\b|percent\b)")


def typed_numbers(markdown: str) -> list[str]:
    """The decimals and percentages that stand in prose."""
    for pattern in STRIPPED:
        markdown = pattern.sub(" ", markdown)
    return TYPED.findall(markdown)


@pytest.mark.parametrize("bad", ["it falls by 12.5 points", "12 % fewer", "an error of 3.4%.", "12 per cent", "(0.93)"])
def test_typed_results_are_found(bad):
    assert typed_numbers(bad)


def test_results_in_prose_directives_are_found():
    assert typed_numbers(":::{note}\nerrors fall by 12 %\n:::\n```{glossary}\nSER\n  was 3.1 here\n```\n")


@pytest.mark.parametrize(
    "good",
    [
        "it falls by {glue:text}`drop:.1f` %",
        "see [CC BY 4.0](https://example.org/4.0/) and https://example.org/1.5",
        "$x = 0.5$ and `rate=0.1` and 1,000",
        "```{code-cell} python3\nx = 0.5\n```\n```python\n0.5\n```\n",
        "1. first\n2. second, 300 utterances, in 2019\n",
    ],
)
def test_what_is_allowed(good):
    assert not typed_numbers(good.replace("1,000", "a thousand"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_result_is_typed_by_hand(path):
    if path.suffix == ".ipynb":
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    else:
        cells = [path.read_text("utf-8")]
    found = [number for cell in cells for number in typed_numbers(cell)]
    assert not found, "glue these from the records"
