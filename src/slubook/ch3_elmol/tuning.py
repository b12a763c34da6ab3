"""Chooses chapter 3's settings on dev sets only, by the trials in ``results/``.

``elmol_tuning.json``: each method has nine trials on a new skill. Round 1 is three learning rates with two values of
dropout. Round 2 changes one thing each of the best of these: twice the rate, past the edge where it is at one, and
once how much slower the embedding learns or, where that is fixed or it never learns, word dropout. Skills and draws are
chapter 2's; all topics of these skills are left out of pretraining, and the published run learns none of their group.
The first three trials are also made over other pretrained inputs (:data:`OTHERWISE`). The usual input is the best of
these, but for the norm, which is one for all embeddings in the published run. Norms, and word dropout where the
embedding learns slowly or at once, were tried after that run and did not change it.

``benchmark_tuning.json``: ten trials each of chapter 1's network over FastText, whose settings the one from scratch
has, too, and of chapter 3's over ELMoL, whose settings the one over FastText has, too. So two rows that are compared
differ in their pretrained input. Six trials were fixed beforehand; four change one thing each of the best of them. All
are on the training and dev splits as they are, where the least error of seven hundred utterances is a noisy choice.

Taught in chapter 3, *The protocol*, and on the page *The benchmark*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from slubook.ch1_skills.dnn import DNN
from slubook.ch2_transfer.plan import Kept, folds_of, load_pretrained
from slubook.ch2_transfer.protocol import choose
from slubook.ch2_transfer.tuning import SKILLS
from slubook.ch3_elmol import benchmark
from slubook.ch3_elmol.embeddings import Read, load_contextual, pretrain_all
from slubook.ch3_elmol.protocol import AS, GROUPS, HOW, METHODS, START, ElmolSettings, learned, texts_of
from slubook.ch3_elmol.unfreezing import UnfreezingConfig
from slubook.corpora.utterance import Utterance
from slubook.experiments.table import EXPERIMENTS, TUNED
from slubook.experiments.tuning import Ground, Search, TrialCell, dev_error, least

HEAD, BENCHMARK_HEAD = TUNED["elmol"]["head"], TUNED["benchmark"]["head"]


class Otherwise(NamedTuple):
    """A method over another input than the usual one."""

    method: str
    epochs: int | None = None  # of FastText
    norm: float | None = None  # of the embedding, as a multiple of the usual one
    word_dropout: float | None = None  # on the new skill
    reduced: float | None = None  # the rate of the embedding's highest layer in stage one
    source: str | None = None  # the schedule of stage one

    @property
    def late(self) -> bool:
        """Returns whether it was measured after the published run."""
        return bool(self.norm or self.word_dropout)

    def __str__(self) -> str:
        """Returns what is otherwise, for tables."""
        forms = ("{} epochs", "{:g} times the norm", "word dropout {:g}", "stage one at {:g}", "stage one {}")
        return ", ".join(form.format(given) for form, given in zip(forms, self[1:], strict=True) if given)


OTHERWISE = {name: Otherwise(**given) for name, given in TUNED["elmol"]["otherwise"].items()}
#: What is tried under each name.
TRIED = {method: Otherwise(method) for method in METHODS if method not in AS} | OTHERWISE
Networks = Mapping[str, tuple[Kept, Read | None]]


def trial_errors(cells: Sequence[TrialCell], networks: Networks, unfreezing: UnfreezingConfig) -> list[float]:
    """Returns the dev error of the one cell, over its method's pretrained network and, if it has one, embedding."""
    [cell] = cells
    kept, read = networks[cell.trial.method]
    source, draw = load_contextual(kept, read) if read else load_pretrained(kept), cell.draw
    return [dev_error(learned(TRIED[cell.trial.method].method, source, cell.config, draw, unfreezing), draw[1])]


def ground(methods: Sequence[str], jobs: int, device: str) -> Ground:
    """Returns the skills and what these methods read, which is trained where the cache has none.

    Raises:
        ValueError: when the skills to tune on are of several groups, or of one that is published.
    """
    chosen, settings = choose("full"), ElmolSettings()
    of, sources = folds_of(chosen, settings.pretraining, "elmol-")
    skills = [(s, n) for s, n in chosen.skills if s.name in SKILLS]
    if len(group := {of[s.name] for s, _ in skills}) != 1:
        raise ValueError(f"the skills to tune on are of several groups: {', '.join(sorted(group))}")
    [own] = group
    if own in {sources[k].name for k in GROUPS}:
        raise ValueError(f"the skills to tune on are of {own}, which the published run learns: choose others")
    tried = {m: TRIED[m] for m in methods if m != "none"}
    texts = texts_of(chosen, settings, device)
    kinds = list(dict.fromkeys(HOW[other.method].embedding for other in tried.values()))
    reads, _ = texts.embeddings(kinds, jobs) if kinds else ({}, {})
    schedules, variants = dict[str, tuple[str, UnfreezingConfig]](), dict[str, str]()
    for name, other in tried.items():
        kind, usual, _ = HOW[other.method]
        how = other.source or usual
        variant, unfreezing = f"{kind}-{how}", settings.schedule(kind, how)
        if other.epochs:
            table = {kind: replace(texts.fasttext[kind], epochs=other.epochs)}
            reads[name], _ = replace(texts, fasttext=table).embedding(kind)
        if other.norm:
            reads[name] = reads[kind].times(other.norm)
        if other.reduced:
            variant, unfreezing = name, replace(unfreezing, reduced=other.reduced)
        if other.epochs or other.norm:
            variant = kind = name
        variants[name], schedules[variant] = variant, (kind, unfreezing)
    about = pretrain_all([s for s in sources if s.name == own], reads, schedules, jobs)
    kept = {name: Kept(name, seen["key"]) for name, seen in about.items()}
    networks: Networks = {"none": (kept[own], None)}
    networks |= {m: (kept[f"{own}-{variant}"], reads[schedules[variant][0]]) for m, variant in variants.items()}
    inputs = {
        name: {f"pretrained {kept.name}": kept.key} | ({f"embedding {read.name}": read.key} if read else {})
        for name, (kept, read) in networks.items()
    }
    return Ground(skills, partial(trial_errors, networks=networks, unfreezing=settings.unfreezing), inputs)


class Splits(NamedTuple):
    """The benchmark's training and dev splits: every draw is all of both."""

    name: str
    train: tuple[Utterance, ...]
    dev: tuple[Utterance, ...]

    def draw(self, size: int, seed: int) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
        """Returns both splits."""
        return self.train, self.dev


def benchmark_errors(cells: Sequence[TrialCell], inputs: benchmark.PoolInputs) -> list[float]:
    """Returns the dev error of the one cell."""
    [cell] = cells
    vectors, reader = inputs.load()
    model = DNN(vectors.table, cell.config) if cell.trial.method == "dnn_pool" else cell.config.over(reader)
    return [dev_error(model.fit(*cell.draw), cell.draw[1])]


def benchmark_ground(methods: Sequence[str], jobs: int, device: str) -> Ground:
    """Returns the benchmark's splits; vectors and language model are trained where the cache has none."""
    plan = benchmark.plan("full", benchmark.BenchmarkSettings().bilm, device)
    splits = Splits(plan.whole.name, tuple(plan.train), tuple(plan.dev))
    read = zip(("dnn_pool", "elmol"), plan.inputs.data().items(), strict=True)
    inputs = {method: {name: made} for method, (name, made) in read}
    return Ground([(splits, len(splits.train))], partial(benchmark_errors, inputs=plan.inputs), inputs)


BENCHMARK_START = {"dnn_pool": benchmark.START, "elmol": benchmark.ContextConfig.of(benchmark.START)}
SEARCH = Search("elmol", EXPERIMENTS["elmol"].protocol, HEAD, dict.fromkeys(TRIED, START), least, ground)
BENCHMARK_SEARCH = Search(
    "benchmark", EXPERIMENTS["benchmark"].protocol, BENCHMARK_HEAD, BENCHMARK_START, least, benchmark_ground
)
