"""Says how an experiment is run: the options that all experiments share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slubook.corpora.errors import CorpusError

#: Draws of a published run.
SEEDS = 5
#: Takes the cells of a run, and what names the tables and networks that are trained for one of them. Returns the cells
#: that are measured: nothing is trained for others.
Choice = Callable[[Sequence[tuple[str, int, int]], Callable[[tuple[str, int, int]], Sequence[str]]], Sequence]


@dataclass(frozen=True)
class Options:
    """What a run is asked for.

    Attributes:
        profile: ``quick`` or ``full``.
        corpora: the user's own files; each domain in them is a skill.
        seeds: how many draws, each with its own seed; 1 in the quick profile and :data:`SEEDS` else by default.
        jobs: processes, one thread each.
        out: the results file; ``None`` writes none.
        until: no cell begins after this time (``time.time()``).
        backend: joblib's: ``loky`` for this machine, or ``dask`` with a client of the caller's. Machines of a cluster
            read vectors from a cache folder that they share.
        brief: whether a corpus of the user's own has the short training of the quick profile.
        choose: called before anything is trained.
        device: on which language models are trained, ``cpu`` or ``cuda``; all other networks are too small for a GPU.

    Raises:
        CorpusError: when the full profile is asked for with a corpus of the user's own.
    """

    profile: str = "quick"
    corpora: Sequence[Path] = ()
    seeds: int | None = None
    jobs: int = 2
    out: Path | None = None
    until: float = math.inf
    backend: str = "loky"
    device: str = "cpu"
    brief: bool = False
    choose: Choice = lambda keys, needs: keys

    def __post_init__(self) -> None:
        if self.corpora and self.profile == "full":
            raise CorpusError("--corpus has settings of its own, and no full profile: leave --profile out")
        if self.brief and not self.corpora:
            raise CorpusError("--quick shortens the training on a --corpus: the quick profile is --profile quick")

    @property
    def kind(self) -> str:
        """Returns ``quick``, ``full`` or ``corpus``: what settings and sizes depend on."""
        return "corpus" if self.corpora else self.profile

    @property
    def draws(self) -> int:
        """Returns the number of draws."""
        return self.seeds or (1 if self.kind == "quick" else SEEDS)
