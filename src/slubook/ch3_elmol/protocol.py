"""Compares contextual embeddings of unannotated requests with FastText's, after transfer: chapter 3's experiment.

Protocol (decided before any test figure of this experiment was looked at; chapters 1 and 2, some of whose skills are
learned here, had been measured; raise its number in the table when its meaning changes):

- *Skills*: of chapter 2's two hundred, the first of each domain in two of its six groups (:data:`GROUPS`), so that few
  pretrainings are needed. The two were chosen, before anything was trained, by what they hold: five corpora, and a
  skill with room for 2,000 examples, the only such one that is learned. Each is learned at one size of :data:`SIZES`,
  dealt so that each size has about as many skills as there is room for, and the one with room at 2,000 examples as
  well, there by the methods that no schedule or share of the pool tells apart (quick: two embedded skills;
  ``--corpus``: each domain of the file). Seed *s* draws training and dev sets.
- *Unannotated text*: chapter 1's corpora, all topics, as in the article; without near-duplicates of the tests of any of
  the two hundred, and without one part in a hundred, which is held out for perplexity. FastText of the pool reads the
  very same requests, of which language models read 30 tokens. ``elmol_1`` and ``elmol_10`` read that many parts in a
  hundred, the smaller in the larger. Each language model is tried at several lengths of training, and the one that
  guesses the held-out requests best is taken; FastText's epochs are chosen on dev. ``elmol_light`` reads all, for three
  times the usual epochs, with 80 states for 192, half of the filters over one to three characters, and none over
  more. ``elmol_again`` is ELMoL from another seed, in its own training and in stage one: a yardstick, since no interval
  holds what one training of a language model owes to luck; it is as long as that of the light one. Turns of test
  dialogues other than the test utterance stay in the pool.
- *Annotated source*: as in chapter 2, without every topic of the group; one pretraining an embedding and group, half as
  long as there, for all methods alike.
- *Network*: for all the same, chapter 2's, which reads the embedding beside its words. Every embedding is scaled so
  that its vectors lie, on average over the tokens of the same requests, 1 from their mean. A word that the annotated
  source never had keeps its vector; one that no table has is read by FastText's n-grams or by ELMoL's characters.
  ``none`` is chapter 2's network.
- *Schedules*: ``elmol`` is frozen first and unfrozen slowly, in both stages (:mod:`slubook.ch3_elmol.unfreezing`);
  ``elmol_frozen`` and ``elmol_trained`` never and at once, in both stages; ``elmol_ulmfit`` follows Howard and Ruder on
  the new skill, from the network of ``elmol``. All have equally many updates. Rates of layers count from the highest,
  so ELMo's characters and its lower LSTM learn more slowly than ELMoL's.
- *Updates*: as in ``transfer``, and never fewer than eight epochs, for all methods alike.
- *Settings*: of each method by itself on the new skill, from equal budgets, on dev sets of draws that no published seed
  uses and skills of another group (:mod:`slubook.ch3_elmol.tuning`; ``results/elmol_tuning.json``). The light
  ELMoL, the one of another seed and those of fewer requests have the settings of ELMoL. Chosen on the same dev sets:
  the epochs of FastText, and how much slower an embedding learns in stage one: for ELMoL under *slowly* and under *at
  once*, and for ELMo. The sizes of the language models and all else of both pretrainings have their defaults, which
  were fixed by their cost before anything was trained.
- *Judged by*: IRER first; relative reductions with a hierarchical paired bootstrap that draws corpora, then domains,
  before skills.
- *Speed*: ELMo, ELMoL and the light one as trained, reading alone (:mod:`slubook.ch3_elmol.speed`); the claim is read
  in torch, one utterance at a time, characters included, from three processes one after the other. A service that keeps
  the vectors of the words it has met, and the light one exported, are rows of their own. The quick profile trains no
  ELMo and leaves this out.
- *Not here*: how many labelled examples a language model is worth; that is :mod:`slubook.ch3_elmol.worth`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from slubook.ch1_skills.bench import Bench, Cell
from slubook.ch1_skills.dnn import DNN
from slubook.ch1_skills.fasttext import FastTextConfig
from slubook.ch1_skills.pool import build_pool, public_pool
from slubook.ch1_skills.skillsets import Skill
from slubook.ch2_transfer import protocol as transfer
from slubook.ch2_transfer.arriving import long_enough
from slubook.ch2_transfer.plan import (
    Chosen,
    Kept,
    PretrainingSource,
    TransferPlan,
    folds_of,
    load_pretrained,
    one_a_domain,
)
from slubook.ch2_transfer.pretrained import Pretrained
from slubook.ch2_transfer.pretraining import PretrainingConfig
from slubook.ch2_transfer.source import EMBEDDED_SOURCE
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Start, fit_starts
from slubook.ch3_elmol.bilm_training import BiLMTraining
from slubook.ch3_elmol.contextual_training import ContextPretrained, ContextRecipe, fit_contextual
from slubook.ch3_elmol.embeddings import (
    SMALL,
    SMALL_EPOCHS,
    TABLES,
    Read,
    Schedules,
    Texts,
    load_contextual,
    load_embedding,
    pretrain_all,
)
from slubook.ch3_elmol.speed import PROCESSES, RATIOS, TIMED, speed_tables
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora.utterance import Utterance
from slubook.experiments.cells import Key, Measured, Task
from slubook.experiments.options import Options
from slubook.experiments.records import Row
from slubook.experiments.runner import Work
from slubook.experiments.table import EXPERIMENTS
from slubook.experiments.tuning import Changes, changed

METHODS = EXPERIMENTS["elmol"].methods
#: Groups of chapter 2's skills that are learned, and the sizes that these are learned at.
GROUPS, SIZES = (1, 4), (100, 200, 300, 400, 500)
#: The larger size, and the methods with an embedding that are run at it.
LARGE, AT_LARGE = 2000, ("fasttext_general", "fasttext_pool", "elmol", "elmo")
#: Pretraining of the quick profile.
QUICK_PRETRAINING = PretrainingConfig(updates=400, batch=32)


class EmbeddingUse(NamedTuple):
    """How a method uses an embedding: which one, and its schedules in stage one and on the new skill."""

    embedding: str
    source: str
    skill: str


#: The use of each method with an embedding.
HOW = {
    "fasttext_general": EmbeddingUse("general", "frozen", "frozen"),
    "fasttext_pool": EmbeddingUse("pool", "frozen", "frozen"),
    "elmol": EmbeddingUse("elmol", "slowly", "slowly"),
    "elmo": EmbeddingUse("elmo", "slowly", "slowly"),
    "elmol_light": EmbeddingUse("elmol_light", "slowly", "slowly"),
    "elmol_again": EmbeddingUse("elmol_again", "slowly", "slowly"),
    "elmol_1": EmbeddingUse("elmol1", "slowly", "slowly"),
    "elmol_10": EmbeddingUse("elmol10", "slowly", "slowly"),
    "elmol_frozen": EmbeddingUse("elmol", "frozen", "frozen"),
    "elmol_trained": EmbeddingUse("elmol", "at_once", "at_once"),
    "elmol_ulmfit": EmbeddingUse("elmol", "slowly", "gradual"),
}
#: Methods of the other profiles: general text is not among the embedded corpora, and minutes are few.
USED = {
    "full": tuple(HOW),
    "quick": ("fasttext_pool", "elmol", "elmol_frozen"),
    "corpus": ("fasttext_pool", "elmol", "elmo", "elmol_frozen", "elmol_trained"),
}
#: Methods that share the recipe of another one.
AS = dict.fromkeys(("elmol_light", "elmol_again", "elmol_1", "elmol_10"), "elmol")
#: The updates and sizes that chapter 2 has for a network with new heads; tuning started from it.
START = ContextRecipe(replace(transfer.NETWORK, dropout=0.3), rate=0.6)
#: What tuning chose (:mod:`slubook.ch3_elmol.tuning`), where it differs from the start.
CHOSEN: dict[str, Changes] = {
    "none": {"rate": 1.6},
    "fasttext_general": {"rate": 1.6},
    "fasttext_pool": {"rate": 1.6, "network.word_dropout": 0.25},
    "elmol": {"rate": 2.56},
    "elmo": {"rate": 1.6},
    "elmol_frozen": {"rate": 1.0},
    "elmol_trained": {"rate": 1.6, "reduced": 0.2},
    "elmol_ulmfit": {"rate": 4.0, "network.dropout": 0.4},
}


@dataclass(frozen=True)
class ElmolSettings:
    """The configuration of every method on the new skill, and of what comes before.

    Attributes:
        recipes: of methods on the new skill.
        pretraining: of all networks.
        bilm: of the language models in the full run; ``small`` those of others.
        fasttext: of tables of words.
        epochs: of FastText in the full run, by table; ``small`` those of other runs.
        unfreezing: of all schedules, but for the rates, which ``recipes`` have for the new skill.
        stage_one: for ``<embedding>-<schedule>`` of stage one, the rate of the embedding's highest layer; all ELMoLs
            have that of ``elmol``.
    """

    recipes: Mapping[str, ContextRecipe] = field(
        default_factory=lambda: {method: changed(START, changes) for method, changes in CHOSEN.items()}
    )
    pretraining: PretrainingConfig = field(default_factory=lambda: PretrainingConfig(updates=4000))
    bilm: BiLMTraining = field(default_factory=BiLMTraining)
    small: BiLMTraining = SMALL
    fasttext: FastTextConfig = field(default_factory=FastTextConfig)
    epochs: Mapping[str, int] = field(default_factory=lambda: {"general": 15, "pool": 45, "small": SMALL_EPOCHS})
    unfreezing: UnfreezingConfig = field(default_factory=UnfreezingConfig)
    stage_one: Mapping[str, float] = field(
        default_factory=lambda: {"elmol-slowly": 0.1, "elmol-at_once": 0.1, "elmo-slowly": 0.5}
    )

    def schedule(self, kind: str, how: str) -> UnfreezingConfig:
        """Returns the schedule ``how`` of stage one over an embedding of ``kind``."""
        name = f"{kind if kind == 'elmo' else 'elmol'}-{how}"
        return replace(self.unfreezing, how=how, reduced=self.stage_one.get(name, self.unfreezing.reduced))

    def recipe(self, method: str) -> ContextRecipe:
        """Returns how a method is trained on a new skill."""
        return self.recipes[AS.get(method, method)]


def variant_of(method: str) -> str:
    """Returns the ending of the name of a method's pretrained network."""
    return f"{HOW[method].embedding}-{HOW[method].source}"


def wanted(methods: Sequence[str], settings: ElmolSettings) -> tuple[list[str], Schedules]:
    """Returns the embeddings that methods need, and the schedules of their variants of pretraining."""
    schedules = {variant_of(m): (HOW[m].embedding, settings.schedule(HOW[m].embedding, HOW[m].source)) for m in methods}
    return list(dict.fromkeys(kind for kind, _ in schedules.values())), schedules


def settings_of(kind: str) -> ElmolSettings:
    """Returns the tuned settings, which have those of small language models as well; quick pretraining is brief."""
    return ElmolSettings(pretraining=QUICK_PRETRAINING) if kind == "quick" else ElmolSettings()


def config_of(kind: str, settings: ElmolSettings) -> dict[str, Any]:
    """Returns what a run's stamp and the fingerprint of its cells call its configuration."""
    config = {"profile": kind, "methods": {method: HOW[method] for method in USED[kind]}, **asdict(settings)}
    if kind != "full":  # the language model and the table that these train
        config |= {"bilm": config["small"], "epochs": {"pool": settings.epochs["small"]}}
    return config


def prepare(options: Options, settings: ElmolSettings) -> Work:
    """Plans a run; see :func:`slubook.experiments.runner.run` for its parts."""
    chosen, methods = transfer.choose(options.profile, options.corpora), USED[options.kind]
    learned, names, sources = learn_some(chosen, settings.pretraining)
    kinds, schedules = wanted(methods, settings)

    def needs(key: Key) -> list[str]:
        network = names[key[0]]
        return [network, *(f"{network}-{variant}" for variant in schedules)]

    cells = options.choose(TransferPlan(learned, names, {}, range(options.draws)).keys(), needs)
    names = {name: names[name] for name, *_ in cells}
    learned, sources = learned.only(names), [s for s in sources if s.name in names.values()]
    texts = texts_of(chosen, settings, options.device)
    reads, embeddings = texts.embeddings(kinds, options.jobs)
    about = pretrain_all(sources, reads, schedules, options.jobs)
    the_plan = TransferPlan(learned, names, about, range(options.draws), cells)
    timed = {kind: load_embedding(reads[kind]) for kind in TIMED if kind in reads}

    def task(key: Key) -> Task:
        used = [m for m in methods if key[1] < LARGE or m in AT_LARGE]
        networks = {m: (the_plan.network(key[0], variant_of(m)), reads[HOW[m].embedding]) for m in used}
        return measure_cell, (the_plan.cell(key), the_plan.network(key[0]), networks, settings)

    def tables(rows: Sequence[Row], known: Mapping[str, Any]) -> dict[str, Any]:
        ratios = [name for name, *_, model in RATIOS if model in timed]
        needed = ["speed", "speed_times", "exported", *ratios] if "elmo" in timed else []
        if set(needed) <= known.keys():  # measured once, on the machine that began
            speed = {name: known[name] for name in needed}
        else:
            speed = speed_tables(timed, texts.measured(), PROCESSES)
        unfrozen = {name: found["unfrozen"] for name, found in about.items() if "unfrozen" in found}
        return {"embeddings": embeddings, "unfrozen": unfrozen} | speed

    return the_plan.work(task, tables)


def learn_some(chosen: Chosen, config: PretrainingConfig) -> tuple[Chosen, dict[str, str], list[PretrainingSource]]:
    """Returns the chosen skills that are learned, with sizes; the pretrained network of each; and their sources."""
    of, sources = folds_of(chosen, config, "elmol-")
    if chosen.profile == "full":
        sources = [sources[k] for k in GROUPS]
    inside = [s for s in chosen.distinct if of[s.name] in {source.name for source in sources}]
    picked = one_a_domain(2 if chosen.profile == "quick" else 1)(inside)
    names = {s.name: of[s.name] for s in picked}
    skills = chosen.only(names).skills
    if chosen.profile == "full":
        skills = [*deal(picked), *((s, LARGE) for s in picked if s.allows(LARGE))]
    return replace(chosen, skills=skills), names, sources


def deal(skills: Sequence[Skill]) -> list[tuple[Skill, int]]:
    """Deals each skill one of :data:`SIZES` that it has room for: the one that fewest have, the smallest of such.

    A skill with room for few of them chooses first.
    """
    room, taken = {s.name: [n for n in SIZES if s.allows(n)] for s in skills}, dict.fromkeys(SIZES, 0)
    dealt = {}
    for s in sorted(skills, key=lambda s: len(room[s.name])):
        dealt[s.name] = min(room[s.name], key=taken.__getitem__)
        taken[dealt[s.name]] += 1
    return [(s, dealt[s.name]) for s in skills]


def texts_of(chosen: Chosen, settings: ElmolSettings, device: str = "cpu") -> Texts:
    """Returns the unannotated text of a profile: public, or embedded with the user's own that is in no test."""
    if chosen.profile == "full":
        pool, bilm = public_pool(chosen.distinct), settings.bilm
    else:
        own = [u.text for s in chosen.distinct for u in s.pool] if chosen.own else []
        pool, bilm = build_pool(EMBEDDED_SOURCE, [u.text for s in chosen.distinct for u in s.test], own), settings.small
    left, held_out = pool.held_out()
    full = chosen.profile == "full"
    epochs = {kind: settings.epochs[kind] for kind in TABLES} if full else {"pool": settings.epochs["small"]}
    tables = {kind: replace(settings.fasttext, epochs=n) for kind, n in epochs.items()}
    return Texts(f"elmol-{chosen.profile}", left, held_out, bilm, tables, device, full)


def measure_cell(
    cell: Cell, plain: Kept, networks: Mapping[str, tuple[Kept, Read]], settings: ElmolSettings
) -> Measured:
    """Measures one cell, in a worker: every method on one draw of one skill.

    ``plain`` is the pretrained network without embedding; the other methods have ``networks`` over theirs.
    """
    source, bench = load_pretrained(plain), Bench(cell)
    stamps = {plain.name: source.table.stamp}
    for method in ("none", *networks):
        pretrained = load_contextual(*networks[method]) if method in networks else source
        recipe = settings.recipe(method)
        recipe = recipe.lasting(long_enough(recipe.training.updates, recipe.training.batch, cell.size))
        begun = time.perf_counter()
        model = learned(method, pretrained, recipe, cell.draw, settings.unfreezing)
        figures = {f"unfrozen_{k}": progress for k, progress in enumerate(getattr(model, "since", ()))}
        bench.judge(method, model, time.perf_counter() - begun, **figures)
    stamps |= {kept.name: load_contextual(kept, read).base.table.stamp for kept, read in networks.values()}
    return Measured(bench.rows, stamps)


def learned(
    method: str,
    pretrained: Pretrained | ContextPretrained,
    recipe: ContextRecipe,
    draw: tuple[Sequence[Utterance], Sequence[Utterance], int],
    unfreezing: UnfreezingConfig,
) -> DNN:
    """Trains a method's network on a draw; without an embedding it is chapter 2's with new heads."""
    if isinstance(pretrained, Pretrained):
        return fit_starts({method: Start(pretrained, LOWER_LAYERS, recipe.rate)}, *draw, recipe)[method]
    return fit_contextual(recipe.start(pretrained, replace(unfreezing, how=HOW[method].skill)), *draw, recipe)
