"""Schema and reader of the claims file ``book/claims.yml``; errors name the line and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from slubook.evaluation.intervals import STATISTICS
from slubook.evaluation.metrics import METRICS
from slubook.profiles import CLAIMS


class LedgerError(ValueError):
    """The claims file is malformed; the message names the file, the line and the remedy."""


class Article(BaseModel, extra="forbid", frozen=True):
    """An article; ``cite`` and ``paper`` are keys of the bibliography."""

    title: str
    cite: str
    year: int | None = None
    paper: str | None = None


class Claimed(BaseModel, extra="forbid", frozen=True):
    """The figure that an article states: ``value``, or a range up to ``upper``; ``None`` where there is none."""

    value: float | None
    unit: str
    upper: float | None = None
    note: str = ""


class OfComparison(BaseModel, extra="forbid", frozen=True):
    """A comparison of two methods over records; see :func:`slubook.evaluation.intervals.compare`.

    Skills of one source share its style, and skills of one domain share utterances. So the bootstrap draws sources and
    domains first, unless ``groups`` is ``None``.
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


class OfTable(BaseModel, extra="forbid", frozen=True):
    """A figure in the experiment's own tables: ``{point, low, high, n}``, or a bare number."""

    kind: Literal["table"]
    table: str  # its name
    entry: str = ""  # path of the figure in it, such as ``total.shared``; without one, the table itself is the figure
    over: str = ""  # path of the figure to divide by
    most: dict[str, float] = Field(default_factory=dict)  # for ``feasible``, the upper limits of entries of the table
    counts: str = "skills"  # what ``n`` of the figure counts


class Claim(BaseModel, extra="forbid", frozen=True):
    """One claim; the fields are explained at the head of ``book/claims.yml``."""

    id: str
    name: str
    article: str
    chapter: int
    role: Literal["claim", "variant", "reading", "control", "goal", "ablation"]
    of: str | None = None
    judged_with: str | None = None
    added: str = ""
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

    @property
    def headline(self) -> bool:
        """Tells whether the claim stands in view; the others fold out of the headline ``of`` which they are."""
        return self.of is None

    @property
    def counts(self) -> str:
        """Returns what ``n`` of the claim's figure counts."""
        return self.measure.counts if isinstance(self.measure, OfTable) else "skills"

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
    """Reads the claims file.

    Raises:
        FileNotFoundError: when there is none.
        LedgerError: listing every fault of the file, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        body, tree = yaml.safe_load(text), yaml.compose(text)
    except yaml.YAMLError as error:
        raise LedgerError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(body, dict) or set(body) != {"articles", "claims"} or not isinstance(body["claims"], list):
        raise LedgerError(f"{path}: needs `articles:` (a mapping) and `claims:` (a list), and nothing else")
    node = next(value for key, value in tree.value if key.value == "claims")
    faults: list[str] = []
    articles = {k: _checked(Article, v, f"{path}: article {k!r}", faults) for k, v in body["articles"].items()}
    claims: dict[str, Claim] = {}  # by where it stands
    for item, value in zip(node.value, body["claims"], strict=True):
        where = f"{path}:{item.start_mark.line + 1}"
        if claim := _checked(Claim, value, where, faults):
            claims[where] = claim
    headlines = {claim.id for claim in claims.values() if claim.headline}
    controls = {claim.id for claim in claims.values() if claim.role == "control"}
    taken = set[tuple[str, str]]()
    for where, claim in claims.items():
        if claim.article not in articles:
            faults.append(f"{where}: article {claim.article!r} is not listed under `articles:`")
        for named in (("id", claim.id), ("name", claim.name)):
            if named in taken:
                faults.append(f"{where}: the {named[0]} {named[1]!r} is used twice: rename one")
            taken.add(named)
        for field, known, what in (("of", headlines, "headline"), ("judged_with", controls, "control")):
            if (other := getattr(claim, field)) and other not in known:
                faults.append(f"{where}: {claim.id}: {field}: {other!r} is no {what}")
    if faults:
        raise LedgerError("\n".join(faults))
    return articles, [*claims.values()]


def _checked(schema: type[BaseModel], value: object, where: str, faults: list[str]) -> Any:
    """Validates an entry; a bad one is ``None``, and its faults are added to ``faults``, each with its place."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        faults += [f"{where}: {'.'.join(map(str, e['loc'])) or 'claim'}: {e['msg']}" for e in error.errors()]
    return None
