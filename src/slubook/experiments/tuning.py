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
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from tqdm import tqdm

from slubook.corpora.utterance import Utterance
from slubook.evaluation.metrics import mistakes
from slubook.evaluation.model import NLUModel
from slubook.experiments.cells import CellStore
from slubook.experiments.records import RecordsError
from slubook.experiments.stamps import add_origins, config_hash, hardware, peak_memory_mb, stamp
from slubook.files import write_atomically
from slubook.profiles import RESULTS, cache_dir

SEAL = "sha256"
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


@dataclass(frozen=True)
class TrialCell:
    """One trial, the ``number``-th of its method, on one draw of a skill."""

    trial: Trial
    number: int
    config: Any
    skill: Any  # has a name and draw(size, seed)
    size: int
    seed: int
    store: CellStore

    @property
    def draw(self) -> tuple[Sequence[Utterance], Sequence[Utterance], int]:
        """Returns what a model is trained with: training set, dev set and seed."""
        return *self.skill.draw(self.size, self.seed), self.seed

    @property
    def key(self) -> tuple[str, int, str, int]:
        """Returns what names the cell in its store."""
        return self.trial.method, self.number, self.skill.name, self.seed

    @property
    def content(self) -> dict[str, Any]:
        """Returns what is kept of the cell; nothing before it is measured."""
        return self.store.get(self.key) or {}

    def __str__(self) -> str:
        """Names the cell among those of its bank."""
        return f"{self.trial.method} {self.skill.name} {self.seed} {json.dumps(self.trial.changes)}"


@dataclass(frozen=True)
class Ground:
    """What the trials of an experiment are measured on, in banks: of cells that are trained side by side."""

    skills: Sequence[tuple[Any, int]]  # each with its training size
    errors: Callable[[Sequence[TrialCell]], Sequence[float]]  # gives the dev error of each cell of a bank
    inputs: Mapping[str, Mapping[str, str]]  # for each method, hashes of its pretrained inputs, by name
    alike: Callable[[TrialCell], object] = lambda cell: cell.key  # what a bank has in common; its one cell by default


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

    def configured(self, method: str, changes: Changes) -> Any:
        """Returns the configuration that a method starts from, with ``changes``, or raises one of :data:`WRONG`."""
        made = changed(self.start[method], changes)
        return TypeAdapter(type(made)).validate_json(json.dumps(asdict(made)), strict=True)

    def replay(self, methods: Sequence[str]) -> list[Trial]:
        """Returns the trials of these methods that the published record lists, or raises RecordsError."""
        kept = self.load()["methods"] if self.record.is_file() else {}
        if missing := [method for method in methods if method not in kept]:
            raise RecordsError(f"{self.record} lists no trials of {', '.join(missing)}: give a list of your own")
        listed = ("round", "seeds", "changes")
        return [Trial(method=m, **{name: t[name] for name in listed}) for m in methods for t in kept[m]["trials"]]

    def read_trials(self, path: Path) -> list[Trial]:
        """Reads a JSON list of trials; raises RecordsError when one of them cannot be made in this experiment."""
        where = "no list of trials"
        try:
            trials = TypeAdapter(Annotated[list[Trial], Field(min_length=1)]).validate_json(path.read_bytes())
            for number, trial in enumerate(trials):
                where = f"trial {number}"
                if trial.method not in self.start:
                    raise ValueError(f"method {trial.method!r} is unknown: choose from {', '.join(self.start)}")
                self.configured(trial.method, trial.changes)
        except WRONG as error:
            said = "; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors()) if hasattr(error, "errors") else error
            raise RecordsError(f"{path}: {where}: {said}") from error
        return trials

    def entry(self, method: str, rows: Rows, origin: str, stamped: Mapping[str, Any] | None) -> dict[str, Any]:
        """Returns what the record says of a method; ``settings`` counts different ones, ``trials`` has a row a try."""
        best = self.choose(rows)
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
        """Returns the record of these methods, in the order of ``start``, with the hash of its content."""
        record = {**self.head, "methods": {name: methods[name] for name in self.start if name in methods}}
        return {**record, SEAL: config_hash(record)}

    def load(self, path: Path | None = None) -> dict[str, Any]:
        """Reads a record, by default the published one; checks its seal, and that choices follow from the trials.

        Raises:
            FileNotFoundError: when there is none.
            RecordsError: when it is damaged, was changed by hand, or says another choice than its trials do.
        """
        path = path or self.record
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record[SEAL] != config_hash({name: value for name, value in record.items() if name != SEAL}):
                raise ValueError(f"the content does not match its {SEAL}, so it was changed by hand")
            for method, found in record["methods"].items():
                if found != self.entry(method, found["trials"], found["origin"], found["stamp"]):
                    raise ValueError(f"{method}: what is chosen does not follow from the trials")
        except WRONG as error:
            remedy = f"restore it, or move it away before `slubook tune {self.experiment}` writes it"
            raise RecordsError(f"{path}: not a sound record of tuning ({error}): {remedy}") from error
        return record

    def run(self, trials: Sequence[Trial], out: Path, jobs: int = 1, device: str = "cpu") -> dict[str, Any]:
        """Measures trials and writes them into the record ``out``; methods that are not tried stay in it as they are.

        Finished cells are kept, so a run that was stopped can be resumed. ``jobs`` are processes of one thread each.

        Raises:
            RecordsError: when the record cannot be trusted, what stays in it is of another protocol, a trial cannot be
                measured, or none can be chosen.
        """
        methods = [method for method in self.start if any(trial.method == method for trial in trials)]
        kept = dict(self.load(out)["methods"]) if out.is_file() else {}
        stamps = {m: kept[m]["stamp"] for m in sorted(kept) if m not in methods}
        if old := [m for m, stamped in stamps.items() if stamped and stamped["protocol"] != self.protocol]:
            raise RecordsError(f"{out}: {', '.join(old)} were tuned by another protocol: tune them again as well")
        start, ground = time.time(), self.ground(methods, jobs, device)
        cells = {m: self._cells([trial for trial in trials if trial.method == m], ground) for m in methods}
        _measure([cell for tried in cells.values() for cell in tried], ground, jobs)
        for m, tried in cells.items():
            stamped = self._stamp(m, tried, ground, time.time() - start, jobs)
            kept[m] = self.entry(m, _rows(tried), f"measured by slubook tune {self.experiment}", stamped)
        record = self.sealed(kept)
        write_atomically(out, json.dumps(record, indent=1) + "\n")
        return record

    def _cells(self, trials: Sequence[Trial], ground: Ground) -> list[TrialCell]:
        """Returns the cells of one method's trials, one trial and within it one skill after the other."""
        found = []
        for number, trial in enumerate(trials):
            config, inputs = self.configured(trial.method, trial.changes), dict(ground.inputs[trial.method])
            depends = {"protocol": self.protocol, "config": asdict(config), "beneath": inputs}
            for skill, size, seed in ((s, n, seed) for s, n in ground.skills for seed in trial.seeds):
                fingerprint = config_hash({**depends, "data": draw_hash(skill, size, seed)})
                store = CellStore(cache_dir() / "cells" / f"tuning-{self.experiment}", fingerprint)
                found.append(TrialCell(trial, number, config, skill, size, seed, store))
        return found

    def _stamp(self, method: str, cells: list[TrialCell], ground: Ground, wall_s: float, jobs: int) -> dict[str, Any]:
        """Returns the stamp of one method's cells."""
        start, contents = asdict(self.configured(method, {})), [cell.content for cell in cells]
        config = {"method": method, "sizes": [n for _, n in ground.skills], "start": start}
        draws = {f"{c.skill.name}, draw {c.seed}": draw_hash(c.skill, c.size, c.seed) for c in cells}
        costs = wall_s, jobs, max(c["memory_mb"] for c in contents), sum(c["seconds"] for c in contents)
        seeds = sorted({cell.seed for cell in cells})
        made = stamp(self.protocol, config, {**draws, **ground.inputs[method]}, seeds, *costs)
        # older cells do not tell where they were measured
        origins = [{"hardware": c.get("hardware"), "vectors": {}, "wall_s": c["seconds"]} for c in contents]
        return made | {"origins": add_origins([], origins)}


def _measure(cells: Sequence[TrialCell], ground: Ground, jobs: int) -> None:
    """Measures what is left of these cells, in banks.

    Weights and dropout are drawn for a bank at once, so a cell counts as measured only if it was in this very bank.
    """
    banks: dict[object, list[TrialCell]] = defaultdict(list)
    for cell in cells:
        banks[cell.trial.round, ground.alike(cell)].append(cell)
    todo = [bank for bank in banks.values() if any(c.content.get("bank") != [*map(str, bank)] for c in bank)]
    work = joblib.Parallel(jobs, return_as="generator_unordered")(joblib.delayed(_keep)(b, ground.errors) for b in todo)
    for _ in tqdm(work, total=len(todo), desc="tuning", unit="bank", disable=not todo):
        pass


def _keep(bank: Sequence[TrialCell], measured: Callable[[Sequence[TrialCell]], Sequence[float]]) -> None:
    """Measures a bank and keeps its cells; each is given an equal share of the seconds."""
    start, names = time.perf_counter(), [*map(str, bank)]
    try:
        errors = measured(bank)
    except ValueError as error:
        raise RecordsError(f"{'; '.join(names)}: {error}") from error
    told = {"seconds": (time.perf_counter() - start) / len(bank), "memory_mb": peak_memory_mb(), "bank": names}
    for cell, error in zip(bank, errors, strict=True):
        cell.store.put(cell.key, {"error": error, **told, "hardware": hardware()})


def _rows(cells: Sequence[TrialCell]) -> list[dict[str, Any]]:
    """Returns the trials of measured cells as they stand in the record."""
    rows = []
    for _, own in groupby(cells, key=lambda cell: cell.number):
        trial, seeds, errors = zip(*((cell.trial, cell.seed, cell.content["error"]) for cell in own), strict=True)
        row = {"round": trial[0].round, "seeds": [*dict.fromkeys(seeds)], "changes": trial[0].changes}
        rows.append(row | {"dev_error": round(float(np.mean(errors)), 4), "errors": [round(e, 4) for e in errors]})
    return rows


def changed(config: Any, changes: Changes) -> Any:
    """Returns a configuration, a dataclass of settings and of parts with settings, with ``changes``."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        part, _, setting = name.rpartition(".")
        parts.setdefault(part, {})[setting] = value
    own = parts.pop("", {})
    return replace(config, **own, **{part: replace(getattr(config, part), **new) for part, new in parts.items()})


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
