"""Choosing settings on dev sets, for any experiment: trials that are kept, and a record of them that can be trusted.

What is tried, on which skills and how one is chosen is a :class:`Search`; :mod:`slubook.ch1_skills.tuning` is chapter
1's, :mod:`slubook.ch2_transfer.tuning` chapter 2's. What is chosen stands in the defaults of the
configurations; a test holds record and defaults equal. Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from slubook.ch1_skills.skillsets import Skill
from slubook.corpora.utterance import Utterance
from slubook.evaluation.metrics import mistakes
from slubook.evaluation.model import NLUModel
from slubook.experiments.cells import CellStore
from slubook.experiments.records import RecordsError
from slubook.experiments.stamps import add_origins, config_hash, hardware, peak_memory_mb, stamp
from slubook.experiments.trials import Changes, Round
from slubook.files import write_atomically
from slubook.profiles import RESULTS, cache_dir

SEAL = "sha256"
#: Trials of one method, as they stand in the record.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One trial on one draw of one skill: ``trial`` counts through all rounds of the method from 0."""

    method: str
    trial: int
    changes: Changes
    skill: Skill
    size: int
    seed: int

    @property
    def key(self) -> tuple[str, int, str, int]:
        """What names this cell."""
        return self.method, self.trial, self.skill.name, self.seed


class Search(ABC):
    """What is tried for one experiment, how it is measured, and what follows from it.

    Attributes:
        experiment: whose settings are chosen.
        protocol: the experiment's protocol number.
    """

    experiment: str
    protocol: int

    @property
    def record(self) -> Path:
        """Where the published record is."""
        return RESULTS / f"{self.experiment}_tuning.json"

    @abstractmethod
    def rounds(self) -> Mapping[str, Sequence[Round]]:
        """What is tried, by method."""

    @abstractmethod
    def head(self) -> dict[str, Any]:
        """What the record says before its methods: about the figures, the skills and the sizes."""

    @abstractmethod
    def configured(self, method: str, changes: Changes) -> Any:
        """The method's first configuration with ``changes``."""

    @abstractmethod
    def chosen(self, trials: Mapping[str, Rows]) -> dict[str, Mapping[str, Any]]:
        """The first trial of the settings that are chosen, of every method."""

    @abstractmethod
    def skills(self) -> Sequence[tuple[Skill, int]]:
        """What is tuned on, each with its training size."""

    @abstractmethod
    def beneath(self, method: str) -> dict[str, str]:
        """Hashes of what networks of ``method`` stand on, by name."""

    @abstractmethod
    def errors(self, cells: Sequence[Cell]) -> list[float]:
        """The dev error of each of ``cells``, which are one of :meth:`banks`."""

    def banks(self, cells: Sequence[Cell]) -> list[list[Cell]]:
        """Cells that are trained together: each alone, unless said otherwise."""
        return [[cell] for cell in cells]

    def later(self, trials: Mapping[str, Rows]) -> Mapping[str, Sequence[Round]]:
        """Rounds that follow from those of :meth:`rounds`; none, unless said otherwise."""
        return {}

    def together(self, methods: Sequence[str]) -> list[list[str]]:
        """Methods that enter the record together: each alone, unless said otherwise."""
        return [[method] for method in methods]

    def data(self, cell: Cell) -> str:
        """The hash of what it trains and is judged on: a draw of its skill, unless said otherwise."""
        return draw_hash(cell.skill, cell.size, cell.seed)

    def store(self, cell: Cell) -> CellStore:
        """Where its result is kept: what it depends on beside its key is the fingerprint."""
        config, data = asdict(self.configured(cell.method, cell.changes)), self.data(cell)
        depends = {"protocol": self.protocol, "config": config, "data": data, "beneath": self.beneath(cell.method)}
        return CellStore(cache_dir() / "cells" / f"tuning-{self.experiment}", config_hash(depends))

    def entry(
        self, method: str, rows: Rows, best: Mapping[str, Any], origin: str, stamped: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """What the record says of one method; ``settings`` counts different ones, ``trials`` has one row a try."""
        found = {
            "origin": origin,
            "stamp": stamped,
            "settings": len({json.dumps(r["changes"]) for r in rows}),
            "trials": list(rows),
            "first_error": rows[0]["dev_error"],
            "chosen_error": best["dev_error"],
            "chosen": best["changes"],
            "config": asdict(self.configured(method, best["changes"])),
        }
        return json.loads(json.dumps(found))  # as a reader of the file finds it: lists

    def sealed(self, methods: Mapping[str, Any]) -> dict[str, Any]:
        """The record of these methods, in the order of the rounds, with the hash of its content."""
        record = {**self.head(), "methods": {name: methods[name] for name in self.rounds() if name in methods}}
        return {**record, SEAL: config_hash(record)}

    def load(self, path: Path) -> dict[str, Any]:
        """A record, checked: the seal, and that each method's choice follows from the trials.

        Raises:
            FileNotFoundError: when there is none.
            RecordsError: when it is damaged, was changed by hand, or says another choice than its trials do.
        """
        command = f"slubook tune {self.experiment}"
        remedy = f"restore it from version control, or move it away and run `{command}` again"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record[SEAL] != config_hash({name: value for name, value in record.items() if name != SEAL}):
                raise ValueError(f"the content does not match its {SEAL}, so it was changed by hand")
            chosen = self.chosen({method: found["trials"] for method, found in record["methods"].items()})
            for method, found in record["methods"].items():
                if found != self.entry(method, found["trials"], chosen[method], found["origin"], found["stamp"]):
                    raise ValueError(f"{method}: what is chosen does not follow from the trials")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordsError(f"{path}: not a sound record of tuning ({error}): {remedy}") from error
        return record

    def run(self, out: Path | None = None, methods: Sequence[str] = (), jobs: int = 1) -> dict[str, Any]:
        """Run the trials of ``methods`` and write them into the record; other methods in it stay as they are.

        Finished cells are kept, so a run that was stopped goes on where it was; a method is written when it is
        complete.

        Args:
            out: the record; the published one by default.
            methods: which of :meth:`rounds`; all by default.
            jobs: processes, one thread each.

        Returns:
            The record.

        Raises:
            RecordsError: when there is a record that cannot be trusted, or what stays in it is of another protocol.
        """
        out = out or self.record
        measured = dict(self.load(out)["methods"]) if out.is_file() else {}
        stays = measured.keys() - set(methods or self.rounds())
        stamps = {method: measured[method]["stamp"] for method in sorted(stays)}
        if old := [m for m, stamped in stamps.items() if stamped and stamped["protocol"] != self.protocol]:
            raise RecordsError(f"{out}: {', '.join(old)} were tuned by another protocol: tune them again as well")
        for listed in self.together(list(methods or self.rounds())):
            rows = {method: found["trials"] for method, found in measured.items()}
            made = self._measured(listed, jobs)
            chosen = self.chosen(rows | {method: tried for method, (tried, _) in made.items()})
            for method, (tried, stamped) in made.items():
                origin = f"measured by slubook tune {self.experiment}"
                measured[method] = self.entry(method, tried, chosen[method], origin, stamped)
            write_atomically(out, json.dumps(self.sealed(measured), indent=1) + "\n")
        return self.sealed(measured)

    def _measured(self, methods: Sequence[str], jobs: int) -> dict[str, tuple[list[dict], dict]]:
        """Run what is left of these methods' cells: the rows and the stamp of each."""
        start = time.time()
        first = {m: self.rounds()[m] for m in methods}
        trials = {m: [row(r, changes, errors) for r, changes, errors in tried]
                  for m, tried in self._errors(first, jobs).items()}  # fmt: skip
        rounds = {m: [*first[m], *self.later(trials).get(m, ())] for m in methods}
        found = {}
        for m, tried in self._errors(rounds, jobs).items():
            rows = [row(r, changes, errors) for r, changes, errors in tried]
            found[m] = rows, self._stamped(m, rounds[m], start, jobs)
        return found

    def _cells(self, method: str, rounds: Sequence[Round]) -> list[tuple[Round, Changes, list[Cell]]]:
        """Each trial of a method, with its cells."""
        tried = [(r, changes) for r in rounds for changes in r.trials]
        return [
            (r, changes, [Cell(method, i, changes, s, n, seed) for s, n in self.skills() for seed in r.seeds])
            for i, (r, changes) in enumerate(tried)
        ]

    def _errors(
        self, rounds: Mapping[str, Sequence[Round]], jobs: int
    ) -> dict[str, list[tuple[Round, Changes, list[float]]]]:
        """Measure what is left of the cells of these rounds: the errors of every trial."""
        cells = {m: self._cells(m, of) for m, of in rounds.items()}
        rounds_of: dict[int, list[Cell]] = defaultdict(list)
        for trials in cells.values():
            for r, _, own in trials:
                rounds_of[r.number] += own
        banks = [bank for of in rounds_of.values() for bank in self.banks(of)]
        todo = [bank for bank in banks if not all(self._done(cell, bank) for cell in bank)]
        work = joblib.Parallel(jobs, return_as="generator_unordered")(joblib.delayed(self._keep)(bank) for bank in todo)
        for _ in tqdm(work, total=len(todo), desc=f"tuning {', '.join(rounds)}", unit="bank", disable=not todo):
            pass
        return {
            m: [(r, changes, [self.store(cell).get(cell.key)["error"] for cell in own]) for r, changes, own in trials]
            for m, trials in cells.items()
        }

    def _keep(self, bank: Sequence[Cell]) -> None:
        """Measure cells, where they are measured, and keep them; each is given an equal share of the seconds."""
        start = time.perf_counter()
        errors = self.errors(bank)
        seconds = (time.perf_counter() - start) / len(bank)
        for cell, error in zip(bank, errors, strict=True):
            content = {"error": error, "seconds": seconds, "memory_mb": peak_memory_mb(), "bank": names(bank)}
            content["hardware"] = hardware()
            self.store(cell).put(cell.key, content)

    def _done(self, cell: Cell, bank: Sequence[Cell]) -> bool:
        """Whether a cell was measured in this very bank: weights and dropout are drawn for all of a bank at once."""
        content = self.store(cell).get(cell.key)
        return content is not None and content.get("bank") == names(bank)

    def _stamped(self, method: str, rounds: Sequence[Round], start: float, jobs: int) -> dict[str, Any]:
        """The stamp of one method's trials."""
        cells = [cell for _, _, own in self._cells(method, rounds) for cell in own]
        contents = [self.store(cell).get(cell.key) for cell in cells]
        data = {f"{c.skill.name}, draw {c.seed}": self.data(c) for c in cells}
        begun = asdict(self.configured(method, {}))
        config = {"method": method, "sizes": [n for _, n in self.skills()], "start": begun}
        memory, seconds = max(c["memory_mb"] for c in contents), sum(c["seconds"] for c in contents)
        seeds = sorted({cell.seed for cell in cells})
        data |= self.beneath(method)
        # older cells do not tell where they were measured
        origins = [{"hardware": c.get("hardware"), "vectors": {}, "wall_s": c["seconds"]} for c in contents]
        stamped = stamp(self.protocol, config, data, seeds, time.time() - start, jobs, memory, seconds)
        return stamped | {"origins": add_origins([], origins)}


def names(bank: Sequence[Cell]) -> list[str]:
    """What each cell of a bank is and has set, in order."""
    return [f"{cell.method} {cell.skill.name} {cell.seed} {json.dumps(cell.changes)}" for cell in bank]


@cache
def draw_hash(skill: Skill, size: int, seed: int) -> str:
    """The hash of one draw's training and dev sets."""
    return data_hash(*skill.draw(size, seed))


def data_hash(train: Sequence[Utterance], dev: Sequence[Utterance]) -> str:
    """SHA-256 of what is trained and judged on: ids, texts and labels."""
    parts = {"train": train, "dev": dev}
    return config_hash({name: [(u.id, u.text, u.intent, u.slots) for u in part] for name, part in parts.items()})


def dev_error(model: NLUModel, dev: Sequence[Utterance]) -> float:
    """The share of dev utterances with a mistake in intent or slots."""
    return mistakes(dev, model.predict([u.text for u in dev])) / len(dev)


def row(tried: Round, changes: Changes, errors: Sequence[float]) -> dict[str, Any]:
    """One trial in the record; ``errors`` are those of each skill and, within it, each draw."""
    return {
        "round": tried.number,
        "seeds": list(tried.seeds),
        "changes": dict(changes),
        "dev_error": round(float(np.mean(errors)), 4),
        "errors": [round(e, 4) for e in errors],
    }
