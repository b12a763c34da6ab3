"""The claims file ``book/claims.yml``: its shape, and a reader that says what is wrong with it and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slubook.evaluation.intervals import STATISTICS
from slubook.evaluation.metrics import METRICS
from slubook.profiles import CLAIMS


class LedgerError(ValueError):
    """The claims file is malformed; the message names the file, the line and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Article(_Strict):
    """An article; ``cite`` and ``paper`` are keys of the bibliography."""

    title: str
    cite: str
    year: int | None = None
    paper: str | None = None


class Claimed(_Strict):
    """The figure that an article states: ``value``, or from ``value`` to ``upper``; ``None`` where there is none."""

    value: float | None
    unit: str
    upper: float | None = None
    note: str = ""


class OfComparison(_Strict):
    """Two methods compared over records; see :func:`slubook.evaluation.intervals.compare`.

    Skills of one source share its style, and those of one domain its utterances, so sources and domains are drawn
    first, unless said otherwise.
    """

    kind: Literal["comparison"]
    baseline: str
    proposed: str
    sizes: tuple[int, ...] | None = None
    statistic: str = "relative_reduction"
    slice: str | None = None
    groups: Literal["corpus"] | None = "corpus"


class OfSlices(OfComparison):
    """The gain on ``slice`` minus that on ``against``; see :func:`slubook.evaluation.intervals.compare`."""

    kind: Literal["slices"]
    slice: str
    against: str


class OfTable(_Strict):
    """A figure that the experiment itself put into its tables: ``{point, low, high, n}``, or a bare number.

    Attributes:
        table: its name.
        entry: where the figure stands in it, such as ``total.shared``; the table itself is the figure otherwise.
        over: what the figure is divided by, likewise.
        most: for the rule ``feasible``, entries of the table and the most that each may be.
        counts: what ``n`` of the figure counts.
    """

    kind: Literal["table"]
    table: str
    entry: str = ""
    over: str = ""
    most: dict[str, float] = Field(default_factory=dict)
    counts: str = "skills"


class Claim(_Strict):
    """One claim; the fields are explained at the head of ``book/claims.yml``."""

    id: str
    article: str
    chapter: int
    role: Literal["primary", "secondary", "reading", "control", "goal"]
    claim: str
    stated: str
    metric: str
    claimed: Claimed
    experiment: str | None = None
    protocol: str | None = None
    rule: Literal["number", "direction", "no_loss", "feasible"] | None = None
    margin: float = 0.0
    measure: Annotated[OfComparison | OfSlices | OfTable, Field(discriminator="kind")] | None = None
    caveat: str = ""
    not_testable: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        tested = (self.experiment, self.protocol, self.rule, self.measure)
        if self.not_testable is None and None in tested:
            raise ValueError("give experiment, protocol, rule and measure, or the reason under not_testable")
        if self.not_testable is not None and tested != (None,) * 4:
            raise ValueError("a claim that is not testable has no experiment, protocol, rule or measure")
        if self.rule == "no_loss" and (self.claimed.value != 0 or self.margin <= 0):
            raise ValueError("the rule no_loss needs the claimed value 0 and a margin above 0")
        limits = self.measure.most if isinstance(self.measure, OfTable) else {}
        if (self.rule == "feasible") != bool(limits) or (limits and self.claimed.value is None):
            raise ValueError("the rule feasible, and no other, needs limits (`most`) and a claimed value")
        if isinstance(self.measure, OfComparison):
            if self.metric not in METRICS:
                raise ValueError(f"a comparison's metric is one of {', '.join(METRICS)}, not {self.metric!r}")
            if self.measure.statistic not in STATISTICS:
                raise ValueError(f"statistic is one of {', '.join(STATISTICS)}, not {self.measure.statistic!r}")
        return self


def load_claims(path: Path = CLAIMS) -> tuple[dict[str, Article], list[Claim]]:
    """Read the claims file.

    Raises:
        FileNotFoundError: when there is none.
        LedgerError: with every fault of the file, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        body, tree = yaml.safe_load(text), yaml.compose(text)
    except yaml.YAMLError as error:
        raise LedgerError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(body, dict) or set(body) != {"articles", "claims"} or not isinstance(body["claims"], list):
        raise LedgerError(f"{path}: needs `articles:` (a mapping) and `claims:` (a list), and nothing else")
    node = next(value for key, value in tree.value if key.value == "claims")
    lines = [item.start_mark.line + 1 for item in node.value]
    faults: list[str] = []
    articles: dict[str, Article] = {}
    for key, value in body["articles"].items():
        try:
            articles[key] = Article.model_validate(value)
        except ValidationError as error:
            faults += [f"{path}: article {key!r}: {fault}" for fault in _faults(error)]
    claims: list[Claim] = []
    for line, value in zip(lines, body["claims"], strict=True):
        try:
            claim = Claim.model_validate(value)
        except ValidationError as error:
            faults += [f"{path}:{line}: {fault}" for fault in _faults(error)]
            continue
        if claim.article not in body["articles"]:
            faults.append(f"{path}:{line}: article {claim.article!r} is not listed under `articles:`")
        if claim.id in {other.id for other in claims}:
            faults.append(f"{path}:{line}: the id {claim.id!r} is used twice: rename one")
        claims.append(claim)
    if faults:
        raise LedgerError("\n".join(faults))
    return articles, claims


def _faults(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, e['loc'])) or 'claim'}: {e['msg']}" for e in error.errors()]
