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
        ``speed``: for each runtime (``torch``, ``onnx``, ``onnx_int8``; and each with ``_known``, where the vectors of
        words are there already and letters need not be read) and batch size, the median milliseconds an utterance of
        ``elmol`` and ``elmo`` and the ``ratio`` of the medians, with intervals over batches. ``speed_ratio`` and
        ``speed_ratio_known``: those of torch, one utterance at a time.
    """
    seed_everything(0, threads=1)
    speed: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for known, ending in ((False, ""), (True, "_known")):
        graphs = [to_onnx(reader, known) for reader in (elmol, elmo)]
        ways = {
            "torch": [in_torch(reader.over if known else reader) for reader in (elmol, elmo)],
            "onnx": [ExportedReader(graph) for graph in graphs],
            "onnx_int8": [ExportedReader(at_eight_bits(graph)) for graph in graphs],
        }
        batches = {n: spelled_batches(elmol, sentences, n, TURNS[n]) for n in SIZES}
        if known:  # another reader's vectors would be other numbers, which take as long
            made = in_torch(elmol.characters)
            batches = {n: [(made(spelled).numpy(), *rest) for spelled, *rest in of] for n, of in batches.items()}
        for name, pair in ways.items():
            speed[name + ending] = {str(n): medians(in_turns(*pair, of) / n) for n, of in batches.items()}
    ratios = {f"speed_ratio{ending}": speed[f"torch{ending}"]["1"]["ratio"] for ending in ("", "_known")}
    return {"speed": speed, **ratios}


def in_torch(read: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A model as it is, or a part of it, behind the arguments of an exported one."""

    def answer(*given: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return read(*map(torch.from_numpy, given))

    return answer


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
