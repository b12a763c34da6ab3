"""pyproject.toml, requirements.lock, environment.yml and the linter's pin name the same versions."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slubook.profiles import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
LOCK_LINES = [line for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines() if line.strip()]
LOCK = {canonicalize_name(r.name): r for r in map(Requirement, LOCK_LINES)}


def direct() -> list[Requirement]:
    """What pyproject.toml asks for, extras included."""
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def pin(name: str) -> str:
    return str(LOCK[canonicalize_name(name)].specifier).removeprefix("==")


def test_lock_pins_exact_public_versions():
    for requirement in LOCK.values():
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)), requirement
        assert requirement.url is None, requirement
    assert len(LOCK) == len(LOCK_LINES), "a package stands twice in requirements.lock"


@pytest.mark.parametrize("requirement", direct(), ids=str)
def test_pyproject_is_satisfied_by_the_lock(requirement):
    assert canonicalize_name(requirement.name) in LOCK, f"{requirement} is not in requirements.lock: run make lock"
    assert requirement.specifier.contains(pin(requirement.name), prereleases=True), requirement


def test_lock_holds_every_transitive_requirement():
    queue = [(canonicalize_name(r.name), frozenset(r.extras)) for r in direct()]
    seen = set()
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert name in LOCK, f"{name} is needed but not in requirements.lock: run make lock"
        for line in importlib.metadata.distribution(name).requires or []:
            needed = Requirement(line)
            wanted = [needed.marker is None or needed.marker.evaluate({"extra": e}) for e in extras | {""}]
            # A CUDA build of torch pins its own NVIDIA packages; which they are depends on the platform.
            if any(wanted) and not (name == "torch" and re.match(r"nvidia|cuda|triton", needed.name)):
                queue.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    unused = LOCK.keys() - {name for name, _ in seen}
    assert not unused, f"nothing asks for {sorted(unused)}: run make lock"


def test_installed_versions_are_the_locked_ones():
    different = {
        name: version for name in LOCK if (version := importlib.metadata.version(name).partition("+")[0]) != pin(name)
    }
    assert not different, "the environment is not the lock's: run make book"


def test_environment_yml_names_the_same_set():
    pip = next(item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict))
    assert pip == LOCK_LINES, "environment.yml differs from requirements.lock: run make lock"
    python = next(item for item in CONDA["dependencies"] if str(item).startswith("python="))
    assert Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier.contains(python.split("=")[1])


def test_pre_commit_runs_the_locked_ruff():
    config = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert f"ruff=={pin('ruff')}" in config


def test_citation_names_the_packages_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PYPROJECT["project"]["version"] == importlib.metadata.version("slubook")
