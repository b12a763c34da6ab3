"""Chapter 2's fourth experiment: what it is in pretraining that helps, one change at a time.

Protocol (decided before any test figure was looked at; raise :data:`PROTOCOL` when its meaning changes):

- *Skills*: every fifth of the two hundred (quick: two embedded ones; ``--corpus``: each domain of the file), with the
  pretrained networks, draws and tests of ``transfer``.
- *Changes*: to what scratch may spend (``scratch_long``), to which parts move (``words``, ``layers``), to how they may
  change (``frozen``, ``gradual``), and to the source: labels shuffled, a tenth of the updates, every second domain,
  general vectors beneath the words. All are changes of ``transfer``, with new heads; ``transfer_names`` adds those
  by name. The quick profile leaves the last two sources out, and trains half as long.
- *Settings*: those of ``transfer``, chosen for it and for scratch, not for the changes. A network whose
  layers start at random learns at the rate of one from scratch, whatever words it was given.
- *Not here*: joint training on source and target, which would be a pretraining for every cell.
- *Judged by*: IRER against scratch (``against_scratch``) and against transfer (``against_transfer``, where a positive
  figure says that the change is better), with intervals that draw corpora first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slubook.evaluation.intervals import compare
from slubook.experiments.bench import Bench, Cell
from slubook.experiments.convergence import STEP
from slubook.experiments.records import Results, Row
from slubook.experiments.runner import load_earlier, run_cells, train_seconds
from slubook.experiments.transfer import Settings, config_of, plan
from slubook.experiments.transfer_sources import Kept, Source, Variants, load_pretrained
from slubook.experiments.vectors import GENERAL, general_table
from slubook.experiments.workers import How, Key, Measured, Task
from slubook.learning.tables import table_folder
from slubook.learning.transfer import LOWER_LAYERS, Start, fit_starts
from slubook.models.pretrained import LOWER, MOVABLE, Pretrained

EXPERIMENT, PROTOCOL = "ablation", 1
SEEDS = 3
QUICK_UPDATES = 200
BASELINE = "scratch"
METHODS = {
    "scratch": "From scratch",
    "scratch_long": "From scratch, twice the updates",
    "words": "Word representations only",
    "layers": "Layers only, no words",
    "frozen": "What moved is frozen",
    "gradual": "Gradual unfreezing, from the top",
    "shuffled": "Source with shuffled labels",
    "tenth": "A tenth of the source's updates",
    "half": "Half of the source's domains",
    "general": "Source on general vectors",
    "transfer": "Transfer, new heads",
    "transfer_names": "Transfer, heads from label names",
}


def shuffled(source: Source) -> Source:
    """The same texts with labels that mean nothing."""
    return replace(source, config=replace(source.config, shuffled=True))


def tenth(source: Source) -> Source:
    """The same source, for a tenth of the updates."""
    return replace(source, config=replace(source.config, updates=max(1, source.config.updates // 10)))


def half(source: Source) -> Source:
    """Every second domain, for as many updates."""
    return replace(source, step=2)


def on_general(source: Source) -> Source:
    """The same source over FastText vectors of general English."""
    network = replace(source.config.network, dim=general_table().dim)
    return replace(source, table=table_folder(GENERAL), config=replace(source.config, network=network))


#: Other sources, by the method that starts from them.
VARIANTS: Variants = {"shuffled": shuffled, "tenth": tenth, "half": half, "general": on_general}
#: Those of each profile: two of them cost a quick run too much, and general text is not among a user's files.
USED = {
    "full": ("shuffled", "tenth", "half", "general"),
    "quick": ("shuffled", "tenth"),
    "corpus": ("shuffled", "tenth", "half"),
}


def run(
    profile: str = "quick",
    corpora: Sequence[Path] = (),
    seeds: int | None = None,
    jobs: int = 2,
    out: Path | None = None,
    *,
    until: float = math.inf,
    backend: str = "loky",
    settings: Settings | None = None,
) -> Results:
    """Run the protocol; arguments, results and errors are those of :func:`slubook.experiments.transfer.run`."""
    how, earlier, settings = How(jobs, until, backend), load_earlier(out), settings or Settings()
    kind = "corpus" if corpora else profile
    settings = shorter(settings) if kind == "quick" else settings
    count = seeds or (1 if kind == "quick" else SEEDS)
    variants = {name: VARIANTS[name] for name in USED[kind]}
    the_plan = plan(profile, corpora, count, settings, jobs, every=STEP[kind], variants=variants)

    def task(key: Key) -> Task:
        kept = {"transfer": the_plan.network(key[0])} | {v: the_plan.network(key[0], v) for v in variants}
        return measure_cell, (the_plan.cell(key), kept, settings)

    def tables(rows: Sequence[Row]) -> dict[str, Any]:
        made = {f"against_{base}": reductions(rows, base, the_plan.groups()) for base in (BASELINE, "transfer")}
        return {**made, "pretraining": the_plan.seen(), "train_seconds": train_seconds(rows)}

    identity = the_plan.identity(EXPERIMENT, PROTOCOL, config_of(kind, settings))
    return run_cells(identity, the_plan.keys(), task, the_plan.tests(), how, out, earlier, tables)


def shorter(settings: Settings) -> Settings:
    """The same settings with :data:`QUICK_UPDATES` for every new skill."""
    training = replace(settings.network.training, updates=QUICK_UPDATES)
    return replace(settings, network=replace(settings.network, training=training))


def measure_cell(cell: Cell, kept: Mapping[str, Kept], settings: Settings) -> Measured:
    """One cell, in a worker: every method on one draw of one skill.

    Args:
        cell: the draw.
        kept: the pretrained network of ``transfer`` and of each variant.
        settings: as tuned.
    """
    networks = {kind: load_pretrained(k) for kind, k in kept.items()}
    bench, config = Bench(cell), settings.network
    for bank in banks(starts_from(networks, settings.rate)):
        bench.learn_together(lambda bank=bank: fit_starts(bank, cell.train, cell.dev, cell.seed, config))
    longer = replace(config, training=replace(config.training, updates=2 * config.training.updates))
    alone = {"scratch_long": Start(networks["transfer"])}  # the same characters as the others, and nothing moved
    bench.learn_together(lambda: fit_starts(alone, cell.train, cell.dev, cell.seed, longer))
    return Measured(bench.rows, {kept[kind].name: network.table.stamp for kind, network in networks.items()})


def starts_from(networks: Mapping[str, Pretrained], rate: float) -> dict[str, Start]:
    """A start for each method that trains as long as the others.

    Args:
        networks: ``transfer`` and the variants.
        rate: of networks whose layers moved, as a multiple of the configured one.
    """
    source = networks["transfer"]
    made = {
        "scratch": Start(),
        "words": Start(source, ("words",)),
        "layers": Start(source, LOWER, rate),
        "frozen": Start(source, LOWER_LAYERS, rate, "frozen"),
        "gradual": Start(source, LOWER_LAYERS, rate, "gradual"),
        "transfer_names": Start(source, MOVABLE, rate),
    }
    return made | {kind: Start(network, LOWER_LAYERS, rate) for kind, network in networks.items()}


def banks(starts: Mapping[str, Start]) -> list[dict[str, Start]]:
    """Starts that can be trained side by side, since they read the same characters; scratch joins the first bank."""
    found: list[tuple[dict[str, int], dict[str, Start]]] = []
    characters = next((s.pretrained.characters for s in starts.values() if s.pretrained), {})
    for name, start in starts.items():
        own = start.pretrained.characters if start.pretrained else characters
        bank = next((bank for known, bank in found if known == own), None)
        if bank is None:
            found.append((own, bank := {}))
        bank[name] = start
    return [bank for _, bank in found]


def reductions(rows: Sequence[Row], base: str, groups: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The relative reduction of IRER of each method against ``base``, over all sizes."""
    found = {}
    for method in dict.fromkeys(r.method for r in rows):
        if method != base:
            found[method] = compare(rows, "irer", base, method, groups=groups).figure()
    return found
