"""Exported language models answer as torch does: closely in float32, roughly at eight bits."""

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from test_bilm import LEXICON, TALK, numbers

from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.speed import ExportedReader, at_eight_bits, to_onnx

CONFIG = BiLMConfig(char_dim=5, filters=((1, 8), (3, 8)), width=16, hidden=20, longest=8)


@pytest.mark.parametrize("layers", [1, 2])
def test_answers_are_those_of_torch(layers):
    torch.manual_seed(0)
    reader = BiLM("adefhjlmopsty", BiLMConfig(**{**CONFIG.__dict__, "layers": layers})).eval()
    torch.nn.init.normal_(reader.scale, 1.0, 0.2)
    for p in reader.parameters():
        torch.nn.init.normal_(p, std=0.3)
    (words, lengths), spelled = numbers(TALK), reader.spell(LEXICON)
    with torch.no_grad():
        expected = reader(spelled, words, lengths).numpy()
    graph, real = to_onnx(reader), (torch.arange(words.shape[1]) < lengths.unsqueeze(1)).numpy()
    given = [t.numpy() for t in (spelled, words, lengths)]
    found = ExportedReader(graph)(*given)
    assert found.shape == expected.shape == (3, 6, layers + 1, 32)
    np.testing.assert_allclose(found[real], expected[real], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        vectors = reader.characters(spelled)
        assert torch.equal(reader.over(vectors, words, lengths), reader(spelled, words, lengths))
    known = ExportedReader(to_onnx(reader, known=True))(vectors.numpy(), *given[1:])
    np.testing.assert_allclose(known[real], expected[real], rtol=1e-4, atol=1e-5)
    small = at_eight_bits(graph)
    rough = ExportedReader(small)(*given)[real]
    # Its whole-number products are exact on every processor (see below), so what varies is rounding in float32, which
    # moves a state by a step of a byte at most; the bound is three times what is lost.
    lost = np.linalg.norm(rough - expected[real]) / np.linalg.norm(expected[real])
    assert 1e-4 < lost < 0.05, "bytes are rougher than float32 is anywhere"
    assert {"DynamicQuantizeLSTM", "MatMulInteger"} <= {node.op_type for node in small.graph.node}


def test_no_sum_of_two_products_can_saturate_sixteen_bits():
    """What x86 processors without VNNI add two products of an unsigned and a signed byte in."""
    reader = BiLM("adefhjlmopsty", BiLMConfig(**{**CONFIG.__dict__, "layers": 2}))
    constants = map(numpy_helper.to_array, at_eight_bits(to_onnx(reader)).graph.initializer)
    weights = [c for c in constants if c.dtype == np.int8 and c.any()]  # zero points are zero
    assert len(weights) >= 4 * 3, "of each direction of each layer: inputs, states, projection"
    assert max(2 * 255 * abs(int(side)) for w in weights for side in (w.min(), w.max())) <= np.iinfo(np.int16).max
