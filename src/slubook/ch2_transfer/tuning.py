"""How chapter 2's settings were chosen: on dev sets only, by the trials in ``results/transfer_tuning.json``.

Each of three networks has thirteen trials on the same six skills, of four corpora, on two draws that no published run
uses. The skills are of one group of pretraining, which leaves all their topics out. Round 1 is three learning rates,
higher from scratch than after transfer, with two values of one setting more. Round 2 changes one thing each of the best
of these; one of its trials is that best for twice as long, which is reported and cannot be chosen. Rounds 3 and 4 look
past the edges where the best of rounds 1 and 2 was. The published run had begun with that one, hence their stricter
rule.

The rounds were made from the dev errors of a similar search, on a source that still had other turns of the skills' test
dialogues; all of it was measured again. Taught in chapter 2, *The protocol*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from slubook.ch2_transfer.plan import Kept, load_pretrained, make_plan
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.protocol import MOVED, choose
from slubook.ch2_transfer.transfer import Recipe, fit_starts
from slubook.experiments.records import RecordsError
from slubook.experiments.table import EXPERIMENTS, TUNED
from slubook.experiments.tuning import Ground, Row, Rows, Search, TrialCell, clearly_better, dev_error, least

HEAD = TUNED["transfer"]["head"]
#: Tuned on these; their dev sets only.
SKILLS = tuple(HEAD["skills"])
#: Twice the usual updates: tried once by each network, never chosen.
LONG = HEAD["updates"][1]
#: Trials of rounds from this one on must be clearly better.
LATE = 3
START = Recipe()


def best(rows: Rows) -> Row:
    """Returns the chosen trial, by the rule in :data:`HEAD`.

    Raises:
        RecordsError: when no early trial is of the usual length.
    """
    usual = [r for r in rows if r["changes"].get("training.updates") != LONG]
    early = [r for r in usual if r["round"] < LATE]
    if not early:
        raise RecordsError(f"all trials are late or {LONG} updates long: none can be chosen")
    stands = least(early)
    return least([r for r in usual if r["round"] >= LATE and clearly_better(r, stands)] or [stands])


def bank_errors(cells: Sequence[TrialCell], networks: Mapping[str, Kept]) -> list[float]:
    """Returns the dev errors of cells of one draw, whose networks are trained side by side."""
    source, (train, dev, seed) = load_pretrained(networks[cells[0].skill.name]), cells[0].draw
    starts = {str(k): c.config.start(source, MOVED[c.trial.method]) for k, c in enumerate(cells)}
    models = fit_starts(starts, train, dev, seed, cells[0].config)
    return [dev_error(model, dev) for model in models.values()]


def alike(cell: TrialCell) -> object:
    """Returns what a bank has in common: the draw, and all settings but rates, unfreezing and dropout."""
    return cell.skill.name, cell.seed, cell.config.alike


def ground(methods: Sequence[str], jobs: int, device: str) -> Ground:
    """Returns the skills and their networks, which are pretrained where the cache has none; all methods read them."""
    chosen = choose("full")
    plan = make_plan(chosen, 1, PretrainingConfig(), jobs, pick=lambda skills: [s for s in skills if s.name in SKILLS])
    networks = {skill.name: plan.network(skill.name) for skill, _ in plan.chosen.skills}
    keys = {f"pretrained {kept.name}": kept.key for kept in networks.values()}
    return Ground(plan.chosen.skills, partial(bank_errors, networks=networks), {m: keys for m in methods}, alike)


SEARCH = Search("transfer", EXPERIMENTS["transfer"].protocol, HEAD, dict.fromkeys(MOVED, START), best, ground)
