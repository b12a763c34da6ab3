"""The built book, served on loopback, and a Chromium that can reach nothing else."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from slubook.profiles import ROOT

HTML = ROOT / "_build" / "html"
ROOMS = ("book", "notebooks")
PAGES = sorted(page.relative_to(HTML).as_posix() for room in ROOMS for page in HTML.glob(f"{room}/*.html"))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book."""
    if not PAGES:
        pytest.skip("the book is not built: run make book")
    return HTML


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing of each request."""


@pytest.fixture(scope="session")
def site(html: Path):
    """The address of the built book on loopback."""
    handler = functools.partial(_Quiet, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory):
    """A headless Chromium whose name look-ups fail for every host but this machine."""
    if not (BROWSER and DRIVER):
        pytest.skip("Chromium and ChromeDriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", "hide-scrollbars",
        "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(60)
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a page for every test that asks for ``page``."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES or ["index.html"])
