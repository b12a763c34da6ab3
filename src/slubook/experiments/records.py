"""Stores measured rows: what was run, where, and what came of every test utterance.

A results file ``results/<experiment>.json`` names utterances by id and keeps outcomes only, never text, so that every
interval can be drawn again without the corpora. It is written one row a line, so that diffs can be read, and sealed, so
that an edit by hand is noticed. Slices that all methods of a (skill, size, seed) share stand in a block of their own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slubook.evaluation.metrics import Columns, decode, encode
from slubook.experiments.stamps import config_hash
from slubook.experiments.table import EXPERIMENTS
from slubook.files import write_atomically

SEAL = "rows_sha256"
#: The file beside results that has slices which were made after them, from the corpora.
SLICES = "slices.json"
#: What rows may have; ``None`` means anything.
Some = Collection[Any] | None


class RecordsError(ValueError):
    """A results file cannot be trusted or read; the message names the file and the remedy."""


@dataclass(frozen=True)
class Test:
    """The N test utterances of one skill, the same for every method, size and seed."""

    __test__ = False  # not a test case of pytest's

    corpus: str  # where the skill is from
    topic: str  # what it is about, by the table of topics
    ids: tuple[str, ...]  # one per utterance
    gold: np.ndarray | None = None  # how many slots each has, [N]; None where no slots are counted
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # masks for every row of the skill, [N] bool each
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)  # other columns that no method changes, [N] each

    def columns(self) -> dict[str, Any]:
        """Returns the columns of outcomes that no method changes, encoded."""
        slots = {} if self.gold is None else {"gold": self.gold}
        return {name: encode(column) for name, column in (slots | dict(self.truth)).items()}

    def to_json(self) -> dict[str, Any]:
        """Returns the test as it stands in a results file."""
        test = {"corpus": self.corpus, "topic": self.topic, "ids": list(self.ids), **self.columns()}
        return test | ({"slices": _encoded(self.slices)} if self.slices else {})

    @classmethod
    def from_json(cls, test: Mapping[str, Any]) -> Test:
        """Returns the test that :meth:`to_json` wrote."""
        named = {"corpus", "topic", "ids", "slices"}
        truth = {name: decode(column) for name, column in test.items() if name not in named}
        slices = _decoded(test.get("slices", {}))
        return cls(test["corpus"], test["topic"], tuple(test["ids"]), truth.pop("gold", None), slices, truth)


def _encoded(slices: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {name: encode(np.asarray(mask, dtype=int)) for name, mask in slices.items()}


def _decoded(slices: Mapping[str, str]) -> dict[str, np.ndarray]:
    return {name: decode(mask).astype(bool) for name, mask in slices.items()}


@dataclass(frozen=True)
class Row:
    """One measured cell: one method on one skill with ``size`` training utterances and one seed."""

    skill: str
    method: str
    size: int
    seed: int
    outcomes: Columns  # what came of each test utterance, [N]
    train_s: float = 0.0  # seconds of training
    predict_ms: float = 0.0  # milliseconds per utterance, one at a time
    bytes: int = 0  # size of the trained model
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # masks such as "unseen", the same for all methods
    figures: Mapping[str, float] = field(default_factory=dict)  # what else was measured, such as updates until the best

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Returns what names this cell."""
        return self.skill, self.method, self.size, self.seed

    def to_json(self) -> dict[str, Any]:
        """Returns the row as it stands in a cell; columns that no method changes are kept in the test."""
        columns = self.outcomes.encode()
        row = {
            **{name: getattr(self, name) for name in ("skill", "method", "size", "seed")},
            "outcomes": {name: columns[name] for name in columns if name not in self.outcomes.TRUTH},
            "train_s": round(float(self.train_s), 3),
            "predict_ms": round(float(self.predict_ms), 4),
            "bytes": int(self.bytes),
        }
        more = {"figures": {k: float(value) for k, value in self.figures.items()}, "slices": _encoded(self.slices)}
        return row | {name: values for name, values in more.items() if values}

    @classmethod
    def from_json(cls, row: Mapping[str, Any], tests: Mapping[str, Test]) -> Row:
        """Returns the row that :meth:`to_json` wrote, with the slices of its test.

        Raises:
            ValueError: when its skill has no test, or a column has another length than the test.
        """
        if row["skill"] not in tests:
            raise ValueError(f"skill {row['skill']!r} has a row but no test")
        test = tests[row["skill"]]
        outcomes = Columns.decode({**row["outcomes"], **test.columns()})
        slices = _decoded(row.get("slices", {})) | dict(test.slices)
        if wrong := [name for name, mask in slices.items() if len(mask) != len(outcomes)]:
            raise ValueError(f"slice {wrong[0]!r} of {row['skill']!r} does not cover its {len(outcomes)} utterances")
        fields = {name: value for name, value in row.items() if name not in ("outcomes", "slices")}
        return cls(**fields, outcomes=outcomes, slices=slices)


@dataclass
class Results:
    """Everything that one experiment measured.

    Attributes:
        experiment: its name, and the name of its file.
        stamp: how it was run; see :mod:`slubook.experiments.stamps`.
        tests: the test utterances of each skill.
        rows: one a cell.
        tables: free JSON for figures that are no rows, such as tuning budgets and serving.
    """

    experiment: str
    stamp: dict[str, Any]
    tests: dict[str, Test] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)

    def select(self, methods: Some = None, sizes: Some = None, skills: Some = None, seeds: Some = None) -> list[Row]:
        """Returns the rows whose method, size, skill and seed are among those named; ``None`` means any."""
        wanted = (("method", methods), ("size", sizes), ("skill", skills), ("seed", seeds))
        return [row for row in self.rows if all(some is None or getattr(row, name) in some for name, some in wanted)]

    @property
    def methods(self) -> list[str]:
        """Lists the methods measured, in the order of their first row."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def sizes(self) -> list[int]:
        """Lists the training sizes measured, ascending."""
        return sorted({row.size for row in self.rows})

    @property
    def skills(self) -> list[str]:
        """Lists the skills measured, in the order of their first row."""
        return list(dict.fromkeys(row.skill for row in self.rows))

    def groups(self) -> dict[str, str]:
        """Returns the corpus of each skill, for intervals that respect shared sources."""
        return {skill: test.corpus for skill, test in self.tests.items()}

    @property
    def crossed(self) -> bool:
        """Tells whether a seed is the same draw for all skills, as the table of experiments has it."""
        return self.experiment in EXPERIMENTS and EXPERIMENTS[self.experiment].crossed

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all, and seals it.

        Raises:
            ValueError: when two rows measure the same cell, a row has no test or another truth than its test, lengths
                differ, or methods of one (skill, size, seed) have different slices.
        """
        keys = [row.key for row in self.rows]
        if len(set(keys)) < len(keys):
            raise ValueError(f"two rows measure {next(k for k in keys if keys.count(k) > 1)}: keep one of them")
        tests = {name: test.to_json() for name, test in self.tests.items()}
        rows = [row.to_json() for row in self.rows]
        for row, written in zip(self.rows, rows, strict=True):
            if Row.from_json(written, self.tests).outcomes.encode() != row.outcomes.encode():
                raise ValueError(f"the row {row.key} has another truth than its test: give both the same")
        body = {"experiment": self.experiment, "stamp": dict(self.stamp), "tests": tests}
        body |= {"slices": _move_slices(rows, self.tests), "rows": rows}
        body["tables"] = json.loads(json.dumps(self.tables))  # as a reader will find them: string keys, lists
        body["stamp"][SEAL] = self.stamp[SEAL] = _seal(body)
        write_atomically(path, _written(body))

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads a results file and checks its seal.

        Raises:
            FileNotFoundError: when there is none.
            RecordsError: when it is damaged or was changed by hand.
        """
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            if body["stamp"].get(SEAL) != _seal(body):
                raise ValueError(f"the content does not match its {SEAL}, it was changed by hand")
            tests = {name: Test.from_json(test) for name, test in body["tests"].items()}
            masks = {(s["skill"], s["size"], s["seed"]): {"slices": s["masks"]} for s in body.get("slices", [])}
            cells = ((row["skill"], row["size"], row["seed"]) for row in body["rows"])
            rows = [Row.from_json(row | masks.get(c, {}), tests) for c, row in zip(cells, body["rows"], strict=True)]
            return cls(body["experiment"], body["stamp"], tests, rows, body["tables"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "move it away, or restore it from version control"
            raise RecordsError(f"{path}: not a readable results file ({error}): {remedy}") from error


def with_slices(results: Results, folder: Path) -> Results:
    """Returns the results with the slices that :data:`SLICES` in their folder adds to their cells, if it does."""
    path = folder / SLICES
    cells = json.loads(path.read_text(encoding="utf-8")).get(results.experiment) if path.is_file() else None
    out = {(cell["skill"], cell["size"], cell["seed"]): cell["without"] for cell in cells or ()}

    def slices(row: Row) -> dict[str, np.ndarray]:
        left_out, every = out.get((row.skill, row.size, row.seed), {}), np.arange(len(row.outcomes))
        return {**row.slices, **{name: ~np.isin(every, places) for name, places in left_out.items()}}

    return replace(results, rows=[replace(row, slices=slices(row)) for row in results.rows]) if cells else results


def _move_slices(rows: Sequence[dict[str, Any]], tests: Mapping[str, Test]) -> list[dict[str, Any]]:
    """Takes the slices out of the rows: one entry a (skill, size, seed) that has any beside those of its test."""
    masks: dict[tuple[str, int, int], dict[str, str]] = {}
    for row in rows:
        of_test = tests[row["skill"]].slices
        own = {name: mask for name, mask in row.pop("slices", {}).items() if name not in of_test}
        cell = row["skill"], row["size"], row["seed"]
        if masks.setdefault(cell, own) != own:
            raise ValueError(f"methods of {cell} have different slices: they were not judged alike")
    return [{"skill": s, "size": n, "seed": k, "masks": own} for (s, n, k), own in masks.items() if own]


def _seal(body: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of everything in the file but the seal itself."""
    return config_hash({**body, "stamp": {name: value for name, value in body["stamp"].items() if name != SEAL}})


def _written(body: Mapping[str, Any]) -> str:
    """Returns the text of a results file: each part of the body one item a line."""
    line = partial(json.dumps, ensure_ascii=False)

    def block(part: str | Mapping[str, Any] | Sequence[Any]) -> str:
        if isinstance(part, str):
            return line(part)
        named = isinstance(part, Mapping)
        items = [f"  {line(item)}: {line(part[item])}" if named else f"  {line(item)}" for item in part]
        inner = "\n" + ",\n".join(items) + "\n " if items else ""
        return f"{{{inner}}}" if named else f"[{inner}]"

    return "{" + ",\n ".join(f"{line(name)}: {block(part)}" for name, part in body.items()) + "\n}\n"
