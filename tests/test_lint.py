"""The package and the tests are as ruff would have them, so that ``make test`` says so before a reviewer does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from slubook.profiles import ROOT


@pytest.mark.parametrize("how", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_has_nothing_to_say(how):
    command = [sys.executable, "-m", "ruff", *how, "--no-cache", "src", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
