"""Exported language models answer as torch does: closely in float32, roughly at eight bits."""

import numpy as np
import pytest
import torch
from test_bilm import LEXICON, TALK, numbers

from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.exported import ExportedReader, at_eight_bits, to_onnx

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
    assert np.abs(rough - expected[real]).max() > 0 and np.linalg.norm(rough - expected[real]) < 0.1 * np.linalg.norm(
        expected[real]
    )
    assert {"DynamicQuantizeLSTM", "MatMulInteger"} <= {node.op_type for node in small.graph.node}
