"""Lists the experiments of the book: where each stands, what it compares, what it downloads.

The table is ``experiments.yml``. Nothing heavy is imported here, so that the ledger, the command line and the cost page
can ask about an experiment without loading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from types import MappingProxyType, ModuleType
from typing import Any

import yaml


@dataclass(frozen=True)
class Experiment:
    """One experiment, as the table has it."""

    name: str  # on the command line, and of its results file
    chapter: int  # of the book
    module: str  # that has its protocol
    protocol: int  # its protocol number
    baseline: str  # the method that the others are compared with
    methods: Mapping[str, str]  # how tables call each method, in the order in which they show them
    downloads: tuple[str, ...]  # the sources that its full profile reads
    not_corpus: str = ""  # why it cannot be run on a corpus of the user's own, and what can; empty where it can
    language_model: bool = False  # whether it trains a language model, for which a GPU is worth while
    least_seeds: int = 5  # that a verdict takes
    metric: str = "irer"  # the error that its table shows and compares, in METRICS
    crossed: bool = False  # whether a seed is one and the same draw for all skills: intervals then draw it once for all
    intent_only: tuple[str, ...] = ()  # methods that look for no slots, so that SER and IRER say nothing of them

    def load(self) -> ModuleType:
        """Imports the module that has the protocol."""
        return import_module(f"slubook.{self.module}")


def _table(name: str) -> dict[str, Any]:
    return yaml.safe_load(resources.files("slubook.experiments").joinpath(name).read_text("utf-8"))


def _read() -> Mapping[str, Experiment]:
    found = {}
    for row in _table("experiments.yml")["experiments"]:
        row["downloads"] = tuple(s for some in row["downloads"] for s in ([some] if isinstance(some, str) else some))
        found[row["name"]] = Experiment(**row)
    return MappingProxyType(found)


#: What is tuned, by experiment: where its search is, and what the ``head`` of its record says.
TUNED = _table("tuning.yml")
#: Every experiment of the book, by name, in the order of the chapters.
EXPERIMENTS = _read()
