"""Writes a language model as an ONNX graph, in float32 or at eight bits, to read outside of torch.

The graph is put together operator by operator, since it is small and since ONNX has an LSTM of its own that knows the
length of each utterance. Taught in chapter 3, *How fast it is*.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from slubook.ch3_elmol.bilm import BiLM, Layer

OPSET = 17
#: The operators that eight bits replace; convolutions over characters are too small to profit.
AT_EIGHT_BITS = ["MatMul", "LSTM"]


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
