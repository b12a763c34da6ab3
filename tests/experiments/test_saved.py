"""Weights on disk: what the writer cannot write is an error of the system, which callers know how to tell."""

import pytest
import torch

from slubook.experiments.saved import write_weights


def test_weights_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="No such file or directory") as told:
        write_weights(tmp_path / "gone" / "weights.safetensors", {"a": torch.ones(2)})
    assert told.value.filename.endswith("weights.safetensors")
