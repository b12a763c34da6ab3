"""Times how long ELMo and models with one layer take to read: one at a time and by thirty-two, in torch and exported.

All are timed in turns on the same requests, on one thread, by the processor's clock, and the least of a few times
counts: what else the machine does must not bring two models closer together. Who goes first changes from turn to turn.
Published figures come from several processes, one after the other, since where a process puts its weights in memory is
luck, too. An exported model must answer as the one in torch before it is timed, and what eight bits do to the answer is
measured. Only the reading of spelled words is timed, the part in which models differ; the network above takes as long
for all. Taught in chapter 3, *How fast it is*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.linalg import norm

from slubook.ch1_skills.encoding import distinct_words, numbered
from slubook.ch3_elmol.bilm import BiLM
from slubook.ch3_elmol.exported import ExportedReader, at_eight_bits, to_onnx
from slubook.evaluation.intervals import Interval
from slubook.profiles import seed_everything

#: What is timed: each against the first.
TIMED = ("elmo", "elmol", "elmol_light")
SIZES = (1, 32)
#: Batches of each size, and how often each is read; processes for published figures.
TURNS, TIMES, PROCESSES = {1: 100, 32: 12}, 5, 3
#: The most that a graph in float32 may differ from the model in torch, as a share of the vectors' norm.
CLOSE = 1e-4
_WARM_UP = 3
#: Of the names of runtimes: whether the vectors of words are known.
ENDINGS = {False: "", True: "_known"}
#: Tables of one ratio: its name, the runtime, the batch size, and what is timed against ELMo.
RATIOS = (
    ("speed_ratio", "torch", 1, "elmol"),
    ("speed_ratio_known", "torch_known", 1, "elmol"),
    ("speed_ratio_light", "onnx", 1, "elmol_light"),
    ("speed_ratio_light_many", "onnx", 32, "elmol_light"),
)

Reader = Callable[[np.ndarray, np.ndarray, np.ndarray], object]


def speed_tables(
    models: Mapping[str, BiLM], sentences: Sequence[Sequence[str]], processes: int = 0
) -> dict[str, object]:
    """Returns the table ``speed``, those of :data:`RATIOS` that claims read, ``exported`` and ``speed_times``.

    Args:
        models: some of :data:`TIMED`, among them ``elmo`` with two layers; all have the same characters and width.
        sentences: tokens of requests; they are used again where there are too few.
        processes: how many new ones measure, one after the other; 0 measures here.

    Returns:
        ``speed`` has what :func:`medians` says of milliseconds an utterance, for each runtime and batch size. Runtimes
        are ``torch``, ``onnx`` and ``onnx_int8``, and each with ``_known``, where the vectors of words are known.
        ``speed_times`` has all times that it is made from, [processes, batches, models]. ``exported`` has, for each
        exported runtime and model, how far its vectors are from those in torch, as a share of their norm.

    Raises:
        RuntimeError: when a graph in float32 does not answer as the model in torch does.
        ValueError: when models differ in their characters, or in the width of word vectors.
    """
    if len({(*model.names, model.config.width) for model in models.values()}) > 1:
        raise ValueError("models read the same spelled words in turns: give them one alphabet and one width")
    names, given = list(models), (list(models.values()), sentences)
    exported = differences(models, sentences)  # before anything is timed
    if processes:
        new = {"max_workers": 1, "max_tasks_per_child": 1, "mp_context": get_context("spawn")}
        with ProcessPoolExecutor(**new) as pool:
            times = [pool.submit(measure, *given).result() for _ in range(processes)]
    else:
        times = [measure(*given)]
    speed, raw = dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
    for name, size in times[0]:
        whole = np.stack([one[name, size] for one in times]).round(5)  # [P, batches, R]
        speed.setdefault(name, {})[str(size)] = medians(whole, names)
        raw.setdefault(name, {})[str(size)] = whole.tolist()
    ratios = {table: speed[runtime][str(size)].get(f"{model}_ratio") for table, runtime, size, model in RATIOS}
    found = {"speed": speed, "exported": exported, "speed_times": raw}
    return found | {table: ratio for table, ratio in ratios.items() if ratio}


def runtimes(reader: BiLM, known: bool) -> dict[str, Reader]:
    """Returns the reader in each runtime; it reads spelled words, or words whose vectors are ``known``."""
    graph = to_onnx(reader, known)
    return {
        "torch": in_torch(reader.over if known else reader),
        "onnx": ExportedReader(graph),
        "onnx_int8": ExportedReader(at_eight_bits(graph)),
    }


def measure(readers: Sequence[BiLM], sentences: Sequence[Sequence[str]]) -> dict[tuple[str, int], np.ndarray]:
    """Returns the milliseconds an utterance of each of R readers, [batches, R], for each runtime and batch size."""
    seed_everything(0, threads=1)
    times = {}
    for known, ending in ENDINGS.items():
        by_reader = [runtimes(reader, known) for reader in readers]
        batches = {n: spelled_batches(readers[0], sentences, n, TURNS[n]) for n in SIZES}
        if known:  # another reader's vectors take as long to read
            made = in_torch(readers[0].characters)
            batches = {n: [(made(spelled).numpy(), *rest) for spelled, *rest in of] for n, of in batches.items()}
        for name in by_reader[0]:
            turns = [of[name] for of in by_reader]
            times |= {(name + ending, n): in_turns(turns, of) / n for n, of in batches.items()}
    return times


def differences(models: Mapping[str, BiLM], sentences: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Returns how far a graph's vectors are from those of the model in torch, as a share of their norm.

    Raises:
        RuntimeError: when they are far from them without eight bits.
    """
    found: dict[str, dict[str, float]] = {}
    for name, reader in models.items():
        [(spelled, words, lengths)] = spelled_batches(reader, sentences, max(SIZES), 1)
        inside = np.arange(words.shape[1]) < lengths[:, None]
        wanted = in_torch(reader)(spelled, words, lengths).numpy()[inside]
        for known, ending in ENDINGS.items():
            first = in_torch(reader.characters)(spelled).numpy() if known else spelled
            for runtime, read in list(runtimes(reader, known).items())[1:]:
                apart = read(first, words, lengths)[inside] - wanted
                found.setdefault(runtime + ending, {})[name] = share = float(norm(apart) / norm(wanted))
                if runtime == "onnx" and share > CLOSE:
                    raise RuntimeError(f"{name}: ONNX Runtime answers otherwise than torch, by {share:.1e}")
    return found


def in_torch(read: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns a model, or a part of it, behind the arguments of an exported one."""

    def answer(*given: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return read(*map(torch.from_numpy, given))

    return answer


def spelled_batches(
    reader: BiLM, sentences: Sequence[Sequence[str]], size: int, count: int
) -> list[tuple[np.ndarray, ...]]:
    """Cuts ``count`` batches of ``size`` sentences, as all models read them: characters, words, lengths."""
    made = []
    for first in range(0, size * count, size):
        lexicon, rows = numbered([sentences[(first + k) % len(sentences)] for k in range(size)])
        used, words, lengths = distinct_words(rows)
        made.append(tuple(t.numpy() for t in (reader.spell(lexicon)[used], words, lengths)))
    return made


def in_turns(readers: Sequence[Reader], batches: Sequence[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Returns the least milliseconds of the processor of each of R readers for each batch, [batches, R]."""
    times = np.full((len(batches), len(readers)), np.inf)
    for batch in batches[:_WARM_UP]:
        for read in readers:
            read(*batch)
    for turn, batch in enumerate(batches):
        order = range(len(readers)) if turn % 2 else range(len(readers) - 1, -1, -1)
        for which in [*order] * TIMES:
            begun = time.thread_time()
            readers[which](*batch)
            times[turn, which] = min(times[turn, which], 1000 * (time.thread_time() - begun))
    return times


def medians(
    times: np.ndarray, names: Sequence[str], replicates: int = 2000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Returns the median of each model, and as ``<name>_ratio`` that of ``elmo`` divided by it, with 95 % intervals.

    Args:
        times: of all for each of P processes and each batch, [P, N, R].
        names: of the models, [R], among them ``elmo``.
        replicates: of the bootstrap, which draws processes, then batches, and keeps the times of a batch together.
        seed: of the draws.
    """
    rng, (p, n, _) = np.random.default_rng(seed), times.shape
    processes, batches = rng.integers(p, size=(replicates, p, 1)), rng.integers(n, size=(replicates, p, n))
    drawn = np.median(times[processes, batches], axis=(1, 2))  # [replicates, R]
    point = np.median(times, axis=(0, 1))  # [R]
    columns, elmo = {name: (point[k], drawn[:, k]) for k, name in enumerate(names)}, names.index("elmo")
    for k, name in enumerate(names):
        if k != elmo:
            columns[f"{name}_ratio"] = point[elmo] / point[k], drawn[:, elmo] / drawn[:, k]
    return {
        name: Interval(value, *np.quantile(replicated, (0.025, 0.975)), p * n).figure()
        for name, (value, replicated) in columns.items()
    }
