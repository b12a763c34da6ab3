"""Chooses settings on dev sets: measures trials that are listed, and keeps them in a record that can be trusted.

``results/<experiment>_tuning.json`` lists every trial that was made, and what was chosen of each method. ``slubook
tune`` measures these trials again, or others that it is given. Each chapter supplies a :class:`Search`. What its record
chose stands in the defaults of its configurations; a test holds the two equal. Taught in chapter 1, *The protocol*.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from slubook.corpora.utterance import Utterance
from slubook.evaluation.metrics import mistakes
from slubook.evaluation.model import NLUModel
from slubook.experiments.cells import CellStore, Key, Measured, measure
from slubook.experiments.options import Options
from slubook.experiments.records import RecordsError
from slubook.experiments.stamps import add_origins, config_hash, stamp
from slubook.files import write_atomically
from slubook.profiles import RESULTS, cache_dir

#: The first seed of draws that no published run uses.
SEED = 1000
#: Settings that differ from a method's start; a dotted name reaches into a part.
Changes = Mapping[str, Any]
#: A trial as it stands in the record, and those of one method.
Row = Mapping[str, Any]
Rows = Sequence[Row]
#: What is raised where a record or a list of trials is not what it should be.
WRONG = (ValueError, KeyError, TypeError, AttributeError)


class Trial(BaseModel):
    """Settings to try on the draws of ``seeds``; trials of one ``round`` were decided on together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    method: str
    changes: dict[str, Any]
    round: Annotated[int, Field(ge=1)] = 1
    seeds: Annotated[list[Annotated[int, Field(ge=SEED)]], Field(min_length=1)] = [SEED]


@dataclass(eq=False)
class TrialCell:
    """One trial on one draw of a skill; ``found`` is what was measured, its dev error among others."""

    trial: Trial
    config: Any
    skill: Any  # has a name and draw(size, seed)
    size: int
    seed: int
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def draw(self) -> tuple[Sequence[Utterance], Sequence[Utterance], int]:
        """Returns what a model is trained with: training set, dev set and seed."""
        return *self.skill.draw(self.size, self.seed), self.seed

    def __str__(self) -> str:
        """Names the cell among those of its bank."""
        return f"{self.trial.method} {self.skill.name} {self.seed} {json.dumps(self.trial.changes)}"


@dataclass(frozen=True)
class Ground:
    """What the trials of an experiment are measured on, in banks: of cells that are trained side by side."""

    skills: Sequence[tuple[Any, int]]  # each with its training size
    errors: Callable[[Sequence[TrialCell]], Sequence[float]]  # gives the dev error of each cell of a bank
    inputs: Mapping[str, Mapping[str, str]]  # for each method, hashes of its pretrained inputs, by name
    alike: Callable[[TrialCell], object] = id  # what a bank has in common; each cell is one of its own by default

    def __call__(self, bank: Sequence[TrialCell]) -> Measured:
        """Measures a bank, in the process of a worker."""
        return Measured((), more={"errors": [*self.errors(bank)]})


@dataclass(frozen=True)
class Search:
    """What is tuned for one experiment, and by which rule a trial is chosen.

    Attributes:
        experiment: whose settings are chosen.
        protocol: the experiment's protocol number.
        head: what the record says before its methods: about the figures, the skills and the sizes.
        start: the configuration of each method that trials change.
        choose: gives the chosen one of a method's trials, or raises RecordsError when its rule fits none.
        ground: prepares what trials are measured on, for some methods, by so many processes, on a device.
    """

    experiment: str
    protocol: int
    head: Mapping[str, Any]
    start: Mapping[str, Any]
    choose: Callable[[Rows], Row]
    ground: Callable[[Sequence[str], int, str], Ground]

    @property
    def record(self) -> Path:
        """Returns where the published record is."""
        return RESULTS / f"{self.experiment}_tuning.json"

    def replay(self, methods: Sequence[str]) -> list[Trial]:
        """Returns the trials of these methods that the published record lists, or raises RecordsError."""
        kept = self.load()["methods"] if self.record.is_file() else {}
        if missing := [method for method in methods if method not in kept]:
            raise RecordsError(f"{self.record} lists no trials of {', '.join(missing)}: give a list of your own")
        rows = ((method, row) for method in methods for row in kept[method]["trials"])
        return [Trial(method=m, changes=row["changes"], round=row["round"], seeds=row["seeds"]) for m, row in rows]

    def read_trials(self, path: Path) -> list[Trial]:
        """Reads a JSON list of trials; raises RecordsError when one of them cannot be made in this experiment."""
        where = "no list of trials"
        try:
            trials = TypeAdapter(Annotated[list[Trial], Field(min_length=1)]).validate_json(path.read_bytes())
            for number, trial in enumerate(trials):
                where = f"trial {number}"
                if trial.method not in self.start:
                    raise ValueError(f"method {trial.method!r} is unknown: choose from {', '.join(self.start)}")
                changed(self.start[trial.method], trial.changes)
        except WRONG as error:
            said = "; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors()) if hasattr(error, "errors") else error
            raise RecordsError(f"{path}: {where}: {said}") from error
        return trials

    def entry(self, method: str, trials: Rows, origin: str, stamp: Mapping[str, Any] | None) -> dict[str, Any]:
        """Returns what the record says of a method; ``settings`` counts different ones, ``trials`` has a row a try."""
        best = self.choose(trials)
        found = {
            "origin": origin,
            "stamp": stamp,
            "settings": len({json.dumps(row["changes"]) for row in trials}),
            "trials": list(trials),
            "first_error": trials[0]["dev_error"],
            "chosen_error": best["dev_error"],
            "chosen": best["changes"],
            "config": asdict(changed(self.start[method], best["changes"])),
        }
        return json.loads(json.dumps(found))  # as a reader of the file finds it: lists

    def sealed(self, methods: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the record of these methods, in the order of ``start``, with the hash of its content."""
        record = {**self.head, "methods": {name: methods[name] for name in self.start if name in methods}}
        return {**record, "sha256": config_hash(record)}

    def load(self, path: Path | None = None) -> dict[str, Any]:
        """Reads a record, by default the published one; checks its seal, and that choices follow from the trials.

        Raises:
            FileNotFoundError: when there is none.
            RecordsError: when it is damaged, was changed by hand, or says another choice than its trials do.
        """
        path = path or self.record
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["sha256"] != config_hash({name: value for name, value in record.items() if name != "sha256"}):
                raise ValueError("the content does not match its sha256, so it was changed by hand")
            for method, found in record["methods"].items():
                if found != self.entry(method, *(found[name] for name in ("trials", "origin", "stamp"))):
                    raise ValueError(f"{method}: what is chosen does not follow from the trials")
        except WRONG as error:
            remedy = f"restore it, or move it away before `slubook tune {self.experiment}` writes it"
            raise RecordsError(f"{path}: not a sound record of tuning ({error}): {remedy}") from error
        return record

    def run(self, trials: Sequence[Trial], out: Path, jobs: int = 1, device: str = "cpu") -> dict[str, Any]:
        """Measures trials and writes them into the record ``out``; methods that are not tried stay in it as they are.

        Finished banks are kept, so a run that was stopped can be resumed. ``jobs`` are processes of one thread each.

        Raises:
            RecordsError: when the record cannot be trusted, what stays in it is of another protocol, a trial cannot be
                measured, or none can be chosen.
        """
        tried = {m: own for m in self.start if (own := [trial for trial in trials if trial.method == m])}
        kept = dict(self.load(out)["methods"]) if out.is_file() else {}
        stamps = {m: kept[m]["stamp"] for m in sorted(kept.keys() - tried)}
        if old := [m for m, stamped in stamps.items() if stamped and stamped["protocol"] != self.protocol]:
            raise RecordsError(f"{out}: {', '.join(old)} were tuned by another protocol: tune them again as well")
        began, ground = time.time(), self.ground([*tried], jobs, device)
        cells = {m: [self.cells(trial, ground) for trial in own] for m, own in tried.items()}
        self._measure([cell for own in cells.values() for row in own for cell in row], ground, jobs)
        for m, own in cells.items():
            inputs, every = ground.inputs[m], [cell for row in own for cell in row]
            config = {"method": m, "sizes": [n for _, n in ground.skills], "start": asdict(self.start[m])}
            data = {f"{c.skill.name}, draw {c.seed}": draw_hash(c.skill, c.size, c.seed) for c in every}
            found, seeds = [cell.found for cell in every], sorted({cell.seed for cell in every})
            costs = jobs, max(f["memory_mb"] for f in found), sum(f["wall_s"] for f in found)
            made = stamp(self.protocol, config, {**data, **inputs}, seeds, time.time() - began, *costs)
            made |= {"origins": add_origins((), found)}
            kept[m] = self.entry(m, [*map(_row, own)], f"measured by slubook tune {self.experiment}", made)
        record = self.sealed(kept)
        write_atomically(out, json.dumps(record, indent=1) + "\n")
        return record

    def cells(self, trial: Trial, ground: Ground) -> list[TrialCell]:
        """Returns the cells of a trial, all draws of one skill after the other."""
        config = changed(self.start[trial.method], trial.changes)
        return [TrialCell(trial, config, skill, n, seed) for skill, n in ground.skills for seed in trial.seeds]

    def key(self, bank: Sequence[TrialCell], ground: Ground) -> Key:
        """Returns what names a bank in its store: all that its errors depend on is part of a hash."""
        parts = [
            [str(c), asdict(c.config), dict(ground.inputs[c.trial.method]), draw_hash(c.skill, c.size, c.seed)]
            for c in bank
        ]
        return config_hash([self.protocol, parts]), bank[0].size, bank[0].seed

    def _measure(self, cells: Sequence[TrialCell], ground: Ground, jobs: int) -> None:
        """Measures what is left of the banks of these cells, each of one round, and tells each cell what was found.

        Weights and dropout are drawn for a bank at once, so a cell counts as measured only if it was in this very bank.
        """
        alike: dict[object, list[TrialCell]] = defaultdict(list)
        for cell in cells:
            alike[cell.trial.round, ground.alike(cell)].append(cell)
        banks = [(self.key(bank, ground), bank) for bank in alike.values()]
        of, store = dict(banks), CellStore(cache_dir() / "cells" / f"tuning-{self.experiment}")
        failed = measure([*of], lambda key: (ground, (of[key],)), store, Options(jobs=jobs), "tuning")
        if failed:
            said = (f"{'; '.join(map(str, of[k]))}: {e.removeprefix('ValueError: ')}" for k, e in failed.items())
            raise RecordsError("\n".join(said))
        for key, bank in banks:
            kept = store.get(key)
            for cell, error in zip(bank, kept["errors"], strict=True):  # each is given an equal share of the seconds
                cell.found = {**kept, "error": error, "wall_s": kept["wall_s"] / len(bank)}


def _row(cells: Sequence[TrialCell]) -> dict[str, Any]:
    """Returns a trial as it stands in the record, from its measured cells."""
    trial, errors = cells[0].trial, [cell.found["error"] for cell in cells]
    row = {"round": trial.round, "seeds": [*dict.fromkeys(trial.seeds)], "changes": trial.changes}
    return row | {"dev_error": round(float(np.mean(errors)), 4), "errors": [round(e, 4) for e in errors]}


def changed(config: Any, changes: Changes) -> Any:
    """Returns a configuration, a dataclass of settings and of parts with settings, with ``changes`` of the right types.

    Raises:
        KeyError, TypeError, ValueError: where it has no such setting, or the setting no such value.
    """
    settings = asdict(config)
    for name, value in changes.items():
        *parts, last = name.split(".")
        part = reduce(getitem, parts, settings)
        if last not in part:
            raise KeyError(name)
        part[last] = value
    return TypeAdapter(type(config)).validate_json(json.dumps(settings), strict=True)


def least(rows: Rows) -> Row:
    """Returns the first of the trials with the least dev error."""
    return min(rows, key=lambda trial: trial["dev_error"])


def clearly_better(challenger: Row, stands: Row) -> bool:
    """Tells whether a trial's dev error is lower by more than two standard errors of the paired difference."""
    gains = np.subtract(stands["errors"], challenger["errors"])
    return bool(gains.mean() > 2 * gains.std(ddof=1) / len(gains) ** 0.5)


def dev_error(model: NLUModel, dev: Sequence[Utterance]) -> float:
    """Returns the share of dev utterances with a mistake in intent or slots."""
    return mistakes(dev, model.predict([u.text for u in dev])) / len(dev)


@cache
def draw_hash(skill: Any, size: int, seed: int) -> str:
    """Returns the SHA-256 of what one draw trains and judges on: ids, texts and labels."""
    parts = dict(zip(("train", "dev"), skill.draw(size, seed), strict=True))
    return config_hash({name: [(u.id, u.text, u.intent, u.slots) for u in part] for name, part in parts.items()})
