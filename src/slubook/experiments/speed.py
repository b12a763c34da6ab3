"""How long ELMo and ELMoL take to read: one at a time and by thirty-two, in torch and exported.

Both are timed in turns on the same requests, on one thread, by the processor's clock, and the least of a few times
counts: what else the machine does must not bring two models closer together. Who goes first changes from turn to turn.
What is timed is the reading of spelled words alone, the part in which they differ;
the network above takes as long for both. Taught in chapter 3, *How fast it is*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from slubook.evaluation.intervals import Interval
from slubook.models.bilm import BiLM
from slubook.models.encoding import distinct_words
from slubook.models.exported import ExportedReader, at_eight_bits, to_onnx
from slubook.profiles import seed_everything

SIZES = (1, 32)
#: Batches of each size, and how often each is read.
TURNS, TIMES = {1: 100, 32: 12}, 5
_WARM_UP = 3

Reader = Callable[[np.ndarray, np.ndarray, np.ndarray], object]


def speed_tables(elmol: BiLM, elmo: BiLM, sentences: Sequence[Sequence[str]]) -> dict[str, object]:
    """The tables ``speed`` and ``speed_ratio``.

    Args:
        elmol: with one layer.
        elmo: with two.
        sentences: tokens of requests; they are used again where there are too few.

    Returns:
        ``speed``: for each runtime (``torch``, ``onnx``, ``onnx_int8``) and batch size, the median milliseconds an
        utterance of ``elmol`` and ``elmo`` and the ``ratio`` of the medians, with intervals over batches.
        ``speed_ratio``: that of torch, one utterance at a time.
    """
    seed_everything(0, threads=1)
    ways = {"torch": (in_torch(elmol), in_torch(elmo))}
    graphs = to_onnx(elmol), to_onnx(elmo)
    ways["onnx"] = ExportedReader(graphs[0]), ExportedReader(graphs[1])
    ways["onnx_int8"] = ExportedReader(at_eight_bits(graphs[0])), ExportedReader(at_eight_bits(graphs[1]))
    speed: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for name, pair in ways.items():
        of_size = {str(n): in_turns(*pair, spelled_batches(elmol, sentences, n, TURNS[n])) / n for n in SIZES}
        speed[name] = {n: medians(times) for n, times in of_size.items()}
    return {"speed": speed, "speed_ratio": speed["torch"]["1"]["ratio"]}


def in_torch(reader: BiLM) -> Reader:
    """The model as it is, behind the arguments of an exported one."""

    def read(*given: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return reader(*map(torch.from_numpy, given))

    return read


def spelled_batches(
    reader: BiLM, sentences: Sequence[Sequence[str]], size: int, count: int
) -> list[tuple[np.ndarray, ...]]:
    """``count`` batches of ``size`` sentences, as both models read them: characters, words, lengths."""
    made = []
    for first in range(0, size * count, size):
        said = [sentences[(first + k) % len(sentences)] for k in range(size)]
        lexicon = sorted({w for s in said for w in s})
        place = {w: i for i, w in enumerate(lexicon)}
        used, words, lengths = distinct_words([np.array([place[w] for w in s]) for s in said])
        made.append(tuple(t.numpy() for t in (reader.spell(lexicon)[used], words, lengths)))
    return made


def in_turns(first: Reader, second: Reader, batches: Sequence[tuple[np.ndarray, ...]]) -> np.ndarray:
    """The least milliseconds of the processor of both readers for each batch, [batches, 2]."""
    readers, times = (first, second), np.full((len(batches), 2), np.inf)
    for batch in batches[:_WARM_UP]:
        for read in readers:
            read(*batch)
    for turn, batch in enumerate(batches):
        for which in ((0, 1) if turn % 2 else (1, 0)) * TIMES:
            begun = time.thread_time()
            readers[which](*batch)
            times[turn, which] = min(times[turn, which], 1000 * (time.thread_time() - begun))
    return times


def medians(times: np.ndarray, replicates: int = 2000, seed: int = 0) -> Mapping[str, dict[str, float]]:
    """The medians of ``elmol`` and ``elmo`` and their ``ratio``, each with a 95 % bootstrap interval over batches.

    Args:
        times: of both for each batch, [N, 2].
        replicates: of the bootstrap, which keeps the two times of a batch together.
        seed: of the draws.
    """
    draws = np.random.default_rng(seed).integers(len(times), size=(replicates, len(times)))
    drawn = np.median(times[draws], axis=1)  # [replicates, 2]
    point = np.median(times, axis=0)
    columns = {
        "elmol": (point[0], drawn[:, 0]),
        "elmo": (point[1], drawn[:, 1]),
        "ratio": (point[1] / point[0], drawn[:, 1] / drawn[:, 0]),
    }
    return {
        name: Interval(value, *np.quantile(replicated, (0.025, 0.975)), len(times)).figure()
        for name, (value, replicated) in columns.items()
    }
