"""Prepares the benchmark page's rows: what others report (``book/published_benchmarks.yml``) and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from slubook.book.pages import error
from slubook.ch3_elmol.benchmark import INPUTS
from slubook.evaluation.intervals import Interval
from slubook.experiments.records import Results
from slubook.profiles import BENCHMARKS

#: What papers call one minus an error rate of the book: figure → error.
ERRORS = {"intent": "icer", "slot_f1": "ser", "sentence": "irer"}
COLUMNS = {"intent": "intent accuracy %", "slot_f1": "slot F1 %", "sentence": "sentence accuracy %"}


class Reported(BaseModel):
    """A row of somebody else's table, in percent.

    Attributes:
        model: its name.
        pretrained_input: what it was pretrained with.
        intent, slot_f1, sentence: accuracy, F1 by exact span, utterances without a mistake; ``None`` if not reported.
        paper: address of where the figures are from.
        read_in: address of where they were read.
        second_hand: whether that is somebody else's account of the paper.
        unconfirmed: figures that were not found in it either.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    pretrained_input: str
    intent: float = Field(gt=0, le=100)
    slot_f1: float = Field(gt=0, le=100)
    sentence: float | None = Field(default=None, gt=0, le=100)
    paper: str = Field(pattern="^https://")
    read_in: str = Field(pattern="^https://")
    second_hand: bool = False
    unconfirmed: tuple[Literal["intent", "slot_f1", "sentence"], ...] = ()

    def line(self) -> dict[str, str]:
        """Returns the row as the page shows it; ``?`` marks what was not confirmed."""
        shown = {
            column: "–" if (value := getattr(self, name)) is None else f"{value}" + "?" * (name in self.unconfirmed)
            for name, column in COLUMNS.items()
        }
        source = f'<a href="{self.paper}">reported</a>'
        if self.second_hand:
            source += f', read <a href="{self.read_in}">second-hand</a>'
        return {"model": self.model, **shown, "pretrained input": self.pretrained_input, "from": source}


def reported(path: Path = BENCHMARKS) -> list[Reported]:
    """Reads the rows of the published table.

    Raises:
        pydantic.ValidationError: naming each field that is missing, unknown or out of range.
    """
    return TypeAdapter(list[Reported]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))


def accuracy(results: Results, method: str, figure: str, slice: str | None = None) -> Interval:
    """Returns a method's mean over seeds of a figure of :data:`ERRORS`, with its interval over seeds and utterances."""
    wrong = error(results, method, metric=ERRORS[figure], slice=slice)
    return Interval(1 - wrong.point, 1 - wrong.high, 1 - wrong.low, wrong.n_skills)


def measured_line(results: Results, method: str, name: str) -> dict[str, str]:
    """Returns a row of a model of the book, under the same heads as :meth:`Reported.line`."""
    rows = results.select([method])
    return {
        "model": f"<b>{name}</b>",
        **{column: accuracy(results, method, figure).percent() for figure, column in COLUMNS.items()},
        "pretrained input": INPUTS.get(method, "nothing"),
        "from": f"here, seeds: {len(rows)}",
    }


def cost_line(results: Results, method: str, name: str) -> dict[str, str]:
    """Returns what a model of the book consists of and takes: parameters, seconds, bytes, milliseconds."""
    rows = results.select([method])

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return {
        "model": name,
        "parameters of the network": f"{mean(r.figures['parameters'] for r in rows):,.0f}",
        "parameters of its input": f"{mean(r.figures['beneath'] for r in rows):,.0f}",
        "training s": f"{mean(r.train_s for r in rows):,.0f}",
        "MB of its own": f"{mean(r.bytes for r in rows) / 1e6:,.1f}",
        "ms an utterance": f"{mean(r.predict_ms for r in rows):.1f}",
    }


def ahead(results: Results, method: str, rows: Sequence[Reported]) -> list[str]:
    """Lists the reported models whose intent accuracy and slot F1 the method's means both reach, to two decimals."""
    mine = {figure: round(100 * accuracy(results, method, figure).point, 2) for figure in ("intent", "slot_f1")}
    return [row.model for row in rows if all(value >= getattr(row, figure) for figure, value in mine.items())]


def distance_line(results: Results, methods: Sequence[str], row: Reported) -> dict[str, str]:
    """Returns how many points the best of the book's means is above or below a reported row, figure by figure."""
    line = {"reported": row.model}
    for figure, column in list(COLUMNS.items())[:2]:
        best = max(100 * accuracy(results, method, figure).point for method in methods)
        line[column.replace(" %", ", points")] = f"{best - getattr(row, figure):+.2f}"
    return line


def missed(results: Results, method: str, figure: Literal["intent", "sentence"]) -> np.ndarray:
    """Returns which test utterances a method gets wrong, by seed: [S, N] bool."""
    outcomes = [row.outcomes for row in results.select([method])]
    return np.stack([(out.intent if figure == "intent" else out.perfect) == 0 for out in outcomes])


def missed_line(results: Results, method: str, name: str) -> dict[str, str]:
    """Counts the test utterances that a method misses: a seed's mean, by all seeds, and by some of them only."""
    line = {"model": name}
    for figure in ("intent", "sentence"):
        wrong = missed(results, method, figure)
        always, ever = wrong.all(axis=0).sum(), wrong.any(axis=0).sum()
        line[f"{figure}s missed"] = f"{wrong.sum(axis=1).mean():.1f}"
        line[f"{figure}s: by all seeds"] = f"{always}"
        line[f"{figure}s: by some only"] = f"{ever - always}"
    return line


def missed_by_all(results: Results, figure: Literal["intent", "sentence"]) -> str:
    """Counts the test utterances that no seed of any method gets right, as the page says it."""
    wrong = np.concatenate([missed(results, method, figure) for method in results.methods]).all(axis=0)
    return f"{wrong.sum()} of {len(wrong)}"


def trial_lines(found: Mapping[str, Any], start: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """Makes a row a trial of a method's tuning: the changes, the error on dev, and which was chosen.

    Args:
        found: the method's entry in the record of tuning.
        start: the configuration that trials change, in parts, as ``asdict`` returns it.
        name: of the method, above the changes.
    """

    def said(settings: Mapping[str, Any]) -> str:
        return ", ".join(f"{key.split('.')[1].replace('_', ' ')} {value}" for key, value in settings.items())

    trials = found["trials"]
    parts = [key.split(".") for key in dict.fromkeys(key for trial in trials for key in trial["changes"])]
    begun = {f"{part}.{key}": start[part][key] for part, key in parts}
    return [
        {
            name: f"with {said(trial['changes'])}" if trial["changes"] else f"the start: {said(begun)}",
            "IRER on dev": f"{100 * trial['dev_error']:.1f} %" + ", chosen" * (trial["changes"] == found["chosen"]),
        }
        for trial in trials
    ]
