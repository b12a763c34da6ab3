"""Chapter 2's fourth experiment: what it is in pretraining that helps, one change at a time.

Protocol (decided before any test figure of this experiment was looked at; ``transfer``, whose skills and draws these
are, had been measured in part when its rows of twice the updates were added; raise its number in the table when its
meaning changes):

- *Skills*: of the two hundred, those of three of the six pretrained networks (:data:`NETWORKS`), since every change of
  the source takes a pretraining a network; of these the first of every second domain, none that was tuned on (quick:
  two embedded ones; ``--corpus``: each domain of the file). Draws and tests are those of ``transfer``.
- *Changes*: to what is spent on the skill, twice the updates from scratch (``scratch_long``) and after transfer
  (``transfer_long``, ``names_long``), to which parts move (``words``, ``layers``, ``lower``), to
  how they may change (``frozen``, ``gradual``), and to the source: labels shuffled, a tenth of the updates or twice as
  many, every second domain, no SGD, general vectors as input. All are changes of ``transfer``, with new heads;
  ``transfer_names`` adds those by name. The quick profile has the first two sources, and trains half as long.
- *Settings*: those of ``transfer``, chosen for it and for scratch, not for the changes. A network whose
  layers start at random learns at the rate of one from scratch, whatever words it was given.
- *Scratch with general vectors* (``scratch_general``): the network from scratch with the same general vectors as input
  that the source of ``general`` has. Dev chooses one of two rates (:data:`RATES`) in every cell, since those of
  ``transfer`` were tuned for words that start at random.
- *Joint training* (``joint``): one network from scratch learns source and skill together, in a pretraining for every
  cell. It is short: every second update is of the skill, as many as the others have, and as many are of the source,
  of which up to sixty utterances a domain are read. Rates and dropout are those of scratch, heads those of pretraining,
  the skill's always with rows of its own. So it has no n-grams of the skill's. ``joint_budget`` has its updates,
  utterances and seconds.
- *Judged by*: IRER against scratch (``against_scratch``) and against transfer (``against_transfer``, where a positive
  figure says that the change is better), with intervals that draw corpora and domains first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch1_skills.dnn import DNN, DNNConfig
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.skill_vectors import GENERAL, general_table
from slubook.ch1_skills.tables import table_folder
from slubook.ch1_skills.training import LAST, swap
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.convergence import STEP
from slubook.ch2_transfer.plan import Kept, PretrainingSource, Variants, load_pretrained, one_a_domain
from slubook.ch2_transfer.pretrained import LOWER, MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import Pretraining, PretrainingConfig, learn
from slubook.ch2_transfer.protocol import MOVED, TransferSettings, learn_banks, plan, starts
from slubook.ch2_transfer.protocol import config_of as config_of  # that of ``transfer``
from slubook.ch2_transfer.source import SourceDomain, make_domain
from slubook.ch2_transfer.stacked import StackedNetwork
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Recipe, Start, fit_starts
from slubook.ch2_transfer.tuning import SKILLS
from slubook.corpora.utterance import Utterance
from slubook.evaluation.intervals import compare
from slubook.evaluation.metrics import mistakes
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import dev_error
from slubook.profiles import seed_everything

BASELINE = EXPERIMENTS["ablation"].baseline
#: The networks whose skills are learned: the three with most domains.
NETWORKS = ("full-2", "full-3", "full-5")
#: Methods that are trained for twice as long, and whose recipe that is.
LONG = {"scratch_long": "scratch", "transfer_long": "transfer", "names_long": "transfer_names"}
#: Multiples of the learning rate, from which dev chooses for the network from scratch on general vectors.
RATES = (1.0, 2.5)
#: The name of the new skill among the domains of joint training.
TARGET = "new skill"


def without_sgd(source: PretrainingSource) -> PretrainingSource:
    """Returns the source without SGD, which has most of its utterances: fewer, and less like SGD's own skills."""
    return replace(source, corpora=[corpus for corpus in source.corpora if corpus != "sgd_turns"])


def on_general(source: PretrainingSource) -> PretrainingSource:
    """Returns the same source with FastText vectors of general English as input."""
    network = replace(source.config.network, dim=general_table().dim)
    return replace(source, table=table_folder(GENERAL), config=replace(source.config, network=network))


#: Other sources, by the method that starts from them.
VARIANTS: Variants = {
    "shuffled": lambda source: replace(source, config=replace(source.config, shuffled=True)),
    "tenth": lambda source: source.lasting(max(1, source.config.updates // 10)),
    "double": lambda source: source.lasting(2 * source.config.updates),
    "half": lambda source: replace(source, step=2),  # every second domain, for as many updates
    "without_sgd": without_sgd,
    "general": on_general,
}
#: Those of each profile: some cost a quick run too much, and neither SGD nor general text is among a user's files.
USED = {"full": tuple(VARIANTS), "quick": ("shuffled", "tenth"), "corpus": ("shuffled", "tenth", "half")}


def settings_of(kind: str) -> TransferSettings:
    """Returns the tuned settings; the quick profile trains half as long."""
    return transfer.settings_of(kind).lasting(lambda updates: updates // (2 if kind == "quick" else 1))


def prepare(options: Options, settings: TransferSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    variants = {name: VARIANTS[name] for name in USED[options.kind]}
    within = NETWORKS if options.kind == "full" else None
    pick = one_a_domain(STEP[options.kind], SKILLS)
    the_plan = plan(options, settings, pick=pick, within=within, variants=variants)

    def task(key: Key) -> Task:
        kept = {"transfer": the_plan.network(key[0])} | {v: the_plan.network(key[0], v) for v in variants}
        return measure_cell, (the_plan.cell(key), kept, the_plan.about[kept["transfer"].name]["sample"], settings)

    def tables(rows: Sequence[Row], known: Mapping[str, Any]) -> dict[str, Any]:
        made = {f"against_{base}": reductions(rows, base, the_plan.groups()) for base in (BASELINE, "transfer")}
        return made | joint_budget(rows, settings, [about["sample"] for about in the_plan.about.values()])

    return the_plan.work(task, tables)


def measure_cell(
    cell: Cell, kept: Mapping[str, Kept], source: Sequence[SourceDomain], settings: TransferSettings
) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one skill.

    Args:
        cell: the draw.
        kept: the pretrained network of ``transfer`` and of each variant.
        source: a sample of what ``transfer`` was pretrained on.
        settings: as tuned.
    """
    networks = {kind: load_pretrained(k) for kind, k in kept.items()}
    bench, begun = Bench(cell), starts_from(networks, settings)
    learn_banks(bench, begun, {name: recipe_of(name, settings) for name in begun})
    bench.learn_together(lambda: {"joint": fit_joint(source, *cell.draw, settings.scratch, settings.pretraining)})
    if "general" in kept:
        bench.learn_together(lambda: {"scratch_general": fit_on_general(networks["transfer"], cell, settings.scratch)})
    return Measured(bench.rows, {kept[kind].name: network.table.stamp for kind, network in networks.items()})


def fit_on_general(source: Pretrained, cell: Cell, recipe: Recipe) -> DNN:
    """Trains a network from scratch with vectors of general English, by the better of :data:`RATES` on dev.

    Of ``source`` it has the characters that all networks read; nothing moves.
    """
    table = VectorTable.load(table_folder(GENERAL))
    recipe = replace(recipe, network=replace(recipe.network, dim=table.dim))
    begun = {str(rate): replace(recipe.start(source), rate=rate, table=table) for rate in RATES}
    return min(fit_starts(begun, *cell.draw, recipe).values(), key=lambda model: dev_error(model, cell.dev))


def fit_joint(
    domains: Sequence[SourceDomain],
    train_set: Sequence[Utterance],
    dev: Sequence[Utterance],
    seed: int,
    recipe: Recipe,
    source: PretrainingConfig,
) -> DNN:
    """Trains one network from scratch on source domains and a new skill in turn: joint training.

    Args:
        domains: the source.
        train_set: of the new skill.
        dev: chooses the evaluation whose averaged weights are kept, as in :func:`slubook.ch1_skills.training.train`.
        seed: of initial weights, batches and dropout.
        recipe: rates, batch, dropout and updates on the new skill; there are as many on the source.
        source: what only pretraining has: which words are known, how a domain is drawn, how often names are alone.

    Raises:
        ValueError: when there is no domain, or no training utterance.
    """
    if not domains or not train_set:
        raise ValueError("joint training: source domains and training utterances are needed")
    rng, t, own = seed_everything(seed, threads=1), recipe.training, recipe.network
    sizes = replace(source.network, dropout=own.dropout, word_dropout=own.word_dropout, ngram_order=0)
    steps = {"updates": 2 * t.updates, "batch": t.batch, "rate": t.rate * recipe.rate, "weight_decay": t.weight_decay}
    config = replace(source, network=sizes, **steps)
    model = Pretraining([*domains, make_domain(TARGET, train_set)], config, None)
    parameters = model.used_parameters()
    average, every = [p.detach().clone() for p in parameters], max(1, config.updates // t.evaluations)
    best, least = None, float("inf")

    def watch(step: int, _: float) -> None:
        nonlocal best, least
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(t.average, step / (step + 10)))
        if step % every and step != config.updates:
            return
        current = swap(parameters, average)
        learned = _learned(model.eval(), train_set)
        swap(parameters, current)
        model.train()
        error = mistakes(dev, learned.predict([u.text for u in dev])) if dev else 0
        if error <= least:
            best, least = learned, error

    learn(model, "", config, rng, watch=watch, target=model.domains[-1], last=LAST)
    return best


@torch.no_grad()
def _learned(model: Pretraining, train_set: Sequence[Utterance]) -> DNN:
    """Returns the new skill's network as a model of its own: what pretraining leaves, and the rows of its labels."""
    kept, target = model.finished(TARGET, None), model.domains[-1]
    config = replace(kept.config, ngram_order=0)
    encoder = Encoder(train_set, config.ngram_order, kept.characters)
    network = StackedNetwork(encoder, config, [False])
    kept.carry_over(network, 0, encoder, MOVABLE)
    network.tag_head.weight[0] += model.own_tags[target.tag_rows].t()
    if len(target.intent_mix):
        network.intent_head.weight[0] += model.own_intents[target.intent_rows].t()
    found = DNN(kept.table, DNNConfig(config))
    found.encoder, found.network = encoder, network.eval()
    return found


def recipe_of(method: str, settings: TransferSettings) -> Recipe:
    """Returns the tuned recipe that a method is trained by: that of the start it is most like."""
    recipes = settings.recipes()
    if method in LONG:
        usual = recipes[LONG[method]]
        return usual.lasting(2 * usual.training.updates)
    return recipes[{"words": "scratch"}.get(method, method if method in MOVED else "transfer")]


def starts_from(networks: Mapping[str, Pretrained], settings: TransferSettings) -> dict[str, Start]:
    """Returns a start for each method, from the networks of ``transfer`` and of the variants."""
    source, moved = networks["transfer"], settings.transfer
    usual = starts(source, settings)
    made = usual | {long: usual[method] for long, method in LONG.items()}
    made |= {
        "words": settings.scratch.start(source, ("words",)),
        "layers": moved.start(source, LOWER),
        "lower": moved.start(source, ("words", "characters", "common")),
        "frozen": replace(moved, unfreezing="frozen").start(source, LOWER_LAYERS),
        "gradual": replace(moved, unfreezing="gradual").start(source, LOWER_LAYERS),
    }
    return made | {kind: moved.start(network, LOWER_LAYERS) for kind, network in networks.items()}


def joint_budget(
    rows: Sequence[Row], settings: TransferSettings, samples: Sequence[Sequence[SourceDomain]]
) -> dict[str, dict[str, float]]:
    """Returns what joint training spends a cell, and the seconds of scratch beside it; nothing without rows.

    ``samples`` are the domains that it reads of each source.
    """
    if not rows:
        return {}
    updates, read = settings.scratch.training.updates, max(sum(len(d.utterances) for d in ds) for ds in samples)
    found = {"updates_on_skill": updates, "updates_on_source": updates, "source_utterances": read}
    for method in ("joint", BASELINE):
        seconds = [r.train_s for r in rows if r.method == method]
        found[f"seconds_{method}"] = round(sum(seconds) / len(seconds), 3)
    return {"joint_budget": found}


def reductions(rows: Sequence[Row], base: str, groups: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Returns the relative reduction of IRER of each method against ``base``, over all sizes."""
    others = [m for m in dict.fromkeys(r.method for r in rows) if m != base]
    return {m: compare(rows, "irer", base, m, groups=groups).figure() for m in others}
