"""Nothing in the built book points to another host, but for links that a reader may follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

# Attributes that make a browser fetch something by itself, and the elements whose address is only a link.
FETCHED = ("src", "srcset", "poster", "data", "href", "xlink:href", "action")
LINKS = {"a", "area"}
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
IN_CSS = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s;]+)", re.IGNORECASE)
# Hosts that are named in scripts and styles to fetch code, fonts or pictures from.
CDN = re.compile(
    r"unpkg\.com|cdnjs\.cloudflare|jsdelivr\.net|fonts\.g(?:oogleapis|static)\.com|mybinder\.org|require(?:\.min)?\.js|"
    r"cdn\.plot\.ly|googletagmanager|plausible\.io"
)


def outside(text: str) -> list[str]:
    """The addresses in one page that a browser would fetch from another host."""
    soup = BeautifulSoup(text, "html.parser")
    found = []
    for element in soup.find_all(True):
        if element.name not in LINKS:
            found += [str(element[a]) for a in FETCHED if element.has_attr(a) and ELSEWHERE.match(str(element[a]))]
        found += IN_CSS.findall(str(element.get("style", "")))
        if element.name == "style" or (element.name == "script" and not element.get("src")):
            found += IN_CSS.findall(element.get_text()) if element.name == "style" else CDN.findall(element.get_text())
    return found


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/thebe@1/index.js"></script>',
        '<link rel="stylesheet" href="//fonts.googleapis.com/css">',
        '<img src="HTTPS://example.org/a.png">',
        '<div style="background: url(https://example.org/a.png)"></div>',
        "<style>@import 'https://example.org/a.css';</style>",
        '<script>const THEBE_JS_URL = "https://unpkg.com/thebe"</script>',
    ],
)
def test_the_scan_finds_what_it_looks_for(text):
    assert outside(text)


def test_a_link_is_allowed():
    assert not outside('<a href="https://example.org">elsewhere</a><img src="../_static/a.png">')


def test_pages_fetch_nothing_from_elsewhere(html: Path):
    pages = list(html.rglob("*.html"))
    found = {p.relative_to(html).as_posix(): bad for p in pages if (bad := outside(p.read_text("utf-8")))}
    assert not found


def test_styles_fetch_nothing_from_elsewhere(html: Path):
    found = {p.name: bad for p in html.rglob("*.css") if (bad := IN_CSS.findall(p.read_text("utf-8")))}
    assert not found


def test_plotly_and_mathjax_are_part_of_the_book(html: Path):
    assert (html / "_static" / "plotly.min.js").stat().st_size > 1_000_000
    assert (html / "_static" / "mathjax" / "tex-chtml.js").is_file()
