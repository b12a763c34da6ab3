"""Every page of the built book in a real browser: wide and narrow, light and dark, without a network."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.browser

WIDTHS = {"wide": 1280, "phone": 390}
#: Seconds that a busy machine may take to draw; a page that is ready is not waited for.
PATIENCE = 60

# Every figure has an <svg> with a size; returns the ids of those that have none (yet).
NOT_DRAWN = """
return [...document.querySelectorAll(".plotly-graph-div")].filter(figure => {
  const svg = figure.querySelector("svg.main-svg"), box = svg && svg.getBoundingClientRect();
  return !(box && box.width > 100 && box.height > 100);
}).map(figure => figure.id || "a figure without an id");
"""

UNFOLD = """
document.querySelectorAll("details").forEach(box => { box.open = true; });
document.querySelectorAll(".toggle-hidden").forEach(box => box.classList.remove("toggle-hidden"));
"""

# What is drawn sticks out to the right of the window: the page would scroll sideways.
SIDEWAYS = """
const root = document.documentElement, article = document.querySelector(".bd-article-container") || root;
return [root.scrollWidth - root.clientWidth, article.scrollWidth - article.clientWidth];
"""

# The size of the first heading of each level, from the highest.
HEADINGS = """
return ["h1", "h2", "h3"].map(level => document.querySelector(".bd-article " + level)).filter(found => found)
  .map(found => parseFloat(getComputedStyle(found).fontSize));
"""

# Least contrast (WCAG) of visible text in code, tables and figures against what is behind it, with the text.
CONTRAST = """
const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                     return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const parse = s => (s.match(/[\\d.]+/g) || []).map(Number);
const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
                      if (c.length && (c.length < 4 || c[3] > 0.5)) return c.slice(0, 3); } return [255, 255, 255]; };
let worst = [21, ""];
for (const e of document.querySelectorAll(".bd-article :is(pre span, pre, td, th, p), .plotly-graph-div text")) {
  const text = [...e.childNodes].filter(n => n.nodeType == 3).map(n => n.data).join("").trim();
  const style = getComputedStyle(e), svg = e.namespaceURI.endsWith("svg");
  if (!text || !e.getClientRects().length || Number(style.opacity) < 0.5) continue;
  const colour = parse(svg ? style.fill : style.color);
  if (colour.length < 3 || (colour.length > 3 && colour[3] < 0.5)) continue;
  const paper = behind(svg ? e.closest(".plotly-graph-div") : e);
  const [a, b] = [light(colour.slice(0, 3)), light(paper)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < worst[0]) worst = [ratio, text.slice(0, 40)];
}
return worst;
"""


def open_page(chromium, site: str, page: str, width: int, mode: str) -> None:
    """Load ``page`` at ``width`` in ``mode``, unfold everything, and wait until its figures are drawn."""
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    chromium.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": mode}]}
    )
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get(f"{site}/{page}")
    if chromium.execute_script("return localStorage.getItem('mode')") != mode:
        chromium.execute_script("localStorage.mode = arguments[0]; localStorage.theme = arguments[0]", mode)
        chromium.get(f"{site}/{page}")
    chromium.execute_script(UNFOLD)
    WebDriverWait(chromium, PATIENCE, 0.1).until(
        lambda _: not chromium.execute_script(NOT_DRAWN), "figures were not drawn"
    )


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_page(chromium, site: str, page: str, width: int, mode: str):
    open_page(chromium, site, page, width, mode)
    assert chromium.execute_script("return document.documentElement.dataset.theme") == mode
    assert max(chromium.execute_script(SIDEWAYS)) <= 0, "the page scrolls sideways"
    assert not chromium.execute_script("return document.querySelectorAll('.system-message, .problematic').length")
    sizes = chromium.execute_script(HEADINGS)
    assert sizes == sorted(sizes, reverse=True), "a heading is larger than the one above it"
    ratio, text = chromium.execute_script(CONTRAST)
    assert ratio >= 3, f"{text!r} can hardly be read: contrast {ratio:.1f}"
    errors = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors, errors
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked, "Chromium reported no request: the check of addresses saw nothing"
    outside = {url for url in asked if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(site)}
    assert not outside, outside


def test_figures_follow_a_change_of_mode(chromium, site: str):
    open_page(chromium, site, "book/ledger.html", WIDTHS["wide"], "light")
    colour = "return getComputedStyle(document.querySelector('.plotly-graph-div text')).fill"
    before = chromium.execute_script(colour)
    chromium.execute_script("document.documentElement.dataset.theme = 'dark'")
    said = "figures keep their colours"
    WebDriverWait(chromium, PATIENCE, 0.1).until(lambda _: chromium.execute_script(colour) != before, said)


def test_the_layers_that_are_replaced_light_up_at_a_press(chromium, site: str):
    open_page(chromium, site, "notebooks/02_transfer_learning.html", WIDTHS["phone"], "dark")
    boxes = "document.getElementById('transfer-stages').data.filter(trace => trace.fill)"
    count = f"return new Set({boxes}.map(trace => trace.line.color)).size"
    assert chromium.execute_script(count) == 1, "stage one: everything is the source's"
    button = chromium.find_elements("css selector", "#transfer-stages .updatemenu-button")[1]
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    ActionChains(chromium).click(button).perform()
    WebDriverWait(chromium, PATIENCE, 0.1).until(lambda _: chromium.execute_script(count) != 1, "no box lights up")
    assert chromium.execute_script(count) == 2
