"""Exports language models to ONNX, in float32 or at eight bits, and times how long they take to read.

A graph is put together operator by operator, since it is small and since ONNX has an LSTM of its own that knows the
length of each utterance. ELMo and models with one layer read one at a time and by thirty-two, in torch and exported.
All are timed in turns on the same requests, on one thread, by the processor's clock, and the least of a few times
counts: what else the machine does must not bring two models closer together. Who goes first changes from turn to turn.
Published figures come from several processes, one after the other, since where a process puts its weights in memory is
luck, too. An exported model must answer as the one in torch before it is timed, and what eight bits do to the answer is
measured. Only the reading of spelled words is timed, the part in which models differ; the network above takes as long
for all. Taught in chapter 3, *How fast it is*.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.linalg import norm
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from slubook.ch1_skills.encoding import distinct_words, numbered
from slubook.ch3_elmol.bilm import BiLM, Layer
from slubook.evaluation.intervals import Interval
from slubook.profiles import seed_everything

OPSET = 17
#: The operators that eight bits replace; convolutions over characters are too small to profit.
AT_EIGHT_BITS = ["MatMul", "LSTM"]
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


class _Graph:
    """Nodes and constants, named as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        """Adds a constant, and returns its name."""
        self.constants.append(numpy_helper.from_array(value, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        """Adds a node, and returns the name of its first output."""
        names = [f"n{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0]

    def affine(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """Adds x @ weight + bias."""
        return self.add("Add", self.add("MatMul", x, self.constant(weight)), self.constant(bias))


def to_onnx(reader: BiLM, known: bool = False) -> onnx.ModelProto:
    """Returns the graph of :meth:`slubook.ch3_elmol.bilm.BiLM.forward`, or of ``over`` where words are ``known``.

    Its inputs are ``spelled`` [U, L], or ``vectors`` [U, W] of words that are ``known``; ``framed`` [S, B], which
    distinct word stands where, between boundaries (U); and ``lengths`` [B], boundaries included. Its output is
    ``states`` [B, T, K, 2W].
    """
    g = _Graph()
    value = {name: tensor.detach().numpy() for name, tensor in reader.state_dict().items()}
    vectors = "vectors" if known else _characters(g, reader, value)
    words = g.add("Concat", vectors, g.constant(value["boundary"]), axis=0)  # [U + 1, W]
    x = g.add("Gather", words, "framed", axis=0)  # [S, B, W]
    both, kept = [x, x], [g.add("Concat", x, x, axis=2)]
    for number, layer in enumerate(reader.stack):
        made = [_direction(g, layer, d, both[d]) for d in (0, 1)]
        both = [g.add("Add", m, b) for m, b in zip(made, both, strict=True)] if number else made
        kept.append(g.add("Concat", *both, axis=2))
    scaled = [g.add("Mul", k, g.constant(value["scale"][n : n + 1])) for n, k in enumerate(kept)]
    axis, begin, end = (g.constant(np.array([n])) for n in (2, 1, -1))
    stacked = g.add("Concat", *(g.add("Unsqueeze", s, axis) for s in scaled), axis=2)  # [S, B, K, 2W]
    inside = g.add("Slice", stacked, begin, end, g.constant(np.array([0])))
    g.nodes.append(helper.make_node("Transpose", [inside], ["states"], perm=[1, 0, 2, 3]))
    first = ("vectors", TensorProto.FLOAT, ["U", reader.config.width])
    inputs = [
        first if known else ("spelled", TensorProto.INT64, ["U", "L"]),
        ("framed", TensorProto.INT64, ["S", "B"]),
        ("lengths", TensorProto.INT32, ["B"]),
    ]
    outputs = [("states", TensorProto.FLOAT, ["B", "T", reader.layers, reader.dim])]
    given, made = ([helper.make_tensor_value_info(*one) for one in some] for some in (inputs, outputs))
    graph = helper.make_graph(g.nodes, "reader", given, made, g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # it has nothing to simplify
    onnx.checker.check_model(model)
    return model


def _characters(g: _Graph, reader: BiLM, value: dict[str, np.ndarray]) -> str:
    """Adds the vectors of the distinct words, [U, W]."""
    embedded = g.add("Gather", g.constant(value["characters.table.weight"]), "spelled", axis=0)
    embedded = g.add("Transpose", embedded, perm=[0, 2, 1])  # [U, E, L]
    answers = []
    for n in range(len(reader.characters.filters)):
        weights = (g.constant(value[f"characters.filters.{n}.{part}"]) for part in ("weight", "bias"))
        answers.append(g.add("ReduceMax", g.add("Conv", embedded, *weights), axes=[2], keepdims=0))
    x = g.add("Relu", g.add("Concat", *answers, axis=1))
    weight, bias = value["characters.highway.weight"].T, value["characters.highway.bias"]
    half = len(bias) // 2
    gate = g.add("Sigmoid", g.affine(x, weight[:, :half].copy(), bias[:half]))
    changed = g.add("Relu", g.affine(x, weight[:, half:].copy(), bias[half:]))
    x = g.add("Add", x, g.add("Mul", gate, g.add("Sub", changed, x)))
    return g.affine(x, value["characters.project.weight"].T.copy(), value["characters.project.bias"])


def _direction(g: _Graph, layer: Layer, direction: int, x: str) -> str:
    """Adds one direction of a layer, [S, B, W] in the order of the text; ONNX has the gates in another order."""
    w_in, w_rec, bias, project = (
        p[direction].detach().numpy() for p in (layer.w_in, layer.w_rec, layer.bias, layer.project)
    )
    i, f, o, c = np.split(np.arange(w_in.shape[1]), 4)
    order = np.concatenate([i, o, f, c])
    both = np.concatenate([bias[0, order], np.zeros_like(bias[0])])
    weights = [g.constant(np.ascontiguousarray(w[None])) for w in (w_in.T[order], w_rec.T[order], both)]
    way = ("forward", "reverse")[direction]
    states = g.add("LSTM", x, *weights, "lengths", hidden_size=len(w_rec), direction=way)
    return g.add("MatMul", g.add("Squeeze", states, g.constant(np.array([1]))), g.constant(project.copy()))


def at_eight_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph with the weights of its matrix products and LSTMs as bytes, a scale for each channel.

    Weights keep to ±64. x86 processors without VNNI add two products of an unsigned and a signed byte in sixteen bits,
    which saturate from weights of ±127, but hold 2 · 255 · 64: products are exact, and so the same, on every processor.
    """
    with tempfile.TemporaryDirectory() as folder:
        before, after = (Path(folder) / name for name in ("before.onnx", "after.onnx"))
        onnx.save(model, before)
        how = {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8}
        quantize_dynamic(before, after, op_types_to_quantize=AT_EIGHT_BITS, **how)
        return onnx.load(after)


class ExportedReader:
    """Runs a graph of :func:`to_onnx` on one thread, with the arguments and the answer of the model it came from."""

    def __init__(self, model: onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def __call__(self, spelled: np.ndarray, words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Reads [U, L] (or [U, W] of known words), [B, T] and [B] to [B, T, K, 2W], as the model does.

        Where there is padding, the answer has vectors of the boundary, the model's has zeros.
        """
        inside = np.arange(words.shape[1]) < lengths[:, None]
        framed = np.pad(np.where(inside, words, len(spelled)), ((0, 0), (1, 1)), constant_values=len(spelled))
        given = {"framed": framed.T.copy(), "lengths": (lengths + 2).astype(np.int32)}
        given[self.session.get_inputs()[0].name] = spelled
        return self.session.run(["states"], given)[0]


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
