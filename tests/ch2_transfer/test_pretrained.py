"""What pretraining leaves: the named parts move and no other, and what is saved comes back whole or not at all."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import predict
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import LOWER, MOVABLE, Pretrained
from slubook.ch2_transfer.stacked import PARTS, NamedHeads, StackedNetwork

CONFIG = NetworkConfig(dim=8, project=8, char_dim=4, char_filters=5, hidden=6, layers=3, vector_norm=2.0, ngram_order=1)
CHARACTERS = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyzü", 2)}
TEXTS = ["please add soap to aisle nine", "no more zebras", "", "read the long list back to me", "qqq"]


@pytest.fixture
def encoder(toy_skill):
    return Encoder(toy_skill, 1, CHARACTERS)


@pytest.fixture
def known(encoder) -> Pretrained:
    """Every number random."""
    torch.manual_seed(2)
    listed = ["add", "aisle", "list", "milk", "please"]
    rows = np.random.default_rng(0).normal(size=(len(listed), 8)).astype(np.float16)
    table = VectorTable("words", {w: i for i, w in enumerate(listed)}, rows, np.zeros((0, 8), np.float16))
    shapes = StackedNetwork(encoder, CONFIG, [True])
    weights = {n: torch.randn_like(shapes.rows(n, 0)) for part in LOWER for n in PARTS[part]}
    heads = NamedHeads(["item", "place"], ["add", "remove", "read"], 12, 24)
    for p in heads.parameters():
        torch.nn.init.normal_(p)
    weights["unknown"] = torch.randn(1, 8)
    return Pretrained(CONFIG, table, CHARACTERS, weights, heads, {"domains": ["toy/ü"], "updates": 3})


def start(encoder, known: Pretrained | None = None, parts=(), groups: int = 1, group: int = 0) -> StackedNetwork:
    """A bank of fixed random weights into one network of which ``parts`` are carried over."""
    torch.manual_seed(0)
    network = StackedNetwork(encoder, CONFIG, [False] * groups)
    if known:
        known.carry_over(network, group, encoder, parts)
    return network.eval()


#: Of the words, the table and what stands above it move; the skill's own rows start at zero anyway.
MOVED = {
    "words": {"project.weight", "project.bias"},
    **{part: set(PARTS[part]) for part in LOWER},
    "heads": {"tag_head.weight", "intent_head.weight", "crf.start", "crf.end", "crf.step"},
}
CHOICES = [(), *((p,) for p in MOVABLE), *combinations(MOVABLE, 2), LOWER, MOVABLE]


@pytest.mark.parametrize("parts", CHOICES, ids="+".join)
def test_named_parts_move_and_no_other_and_into_one_network_only(known, encoder, parts):
    plain, carried = start(encoder, groups=3), start(encoder, known, parts, groups=3, group=1)
    for name, p in carried.named_parameters():
        rows, before = (n.get_parameter(name).unflatten(0, (3, -1)) for n in (carried, plain))
        assert torch.equal(rows[[0, 2]], before[[0, 2]]), name
        moves = any(name in MOVED[part] for part in parts)
        assert torch.equal(rows[1], before[1]) is not moves, name
        if name in known.weights:
            assert torch.equal(carried.rows(name, 1), known.weights[name]) is moves
        assert p.requires_grad


def test_words_are_met_as_they_were_left(known, encoder):
    network = start(encoder, known, ("words",))
    batch = encoder.encode(["milk zebra"], [known.table], 8).batch([0])
    with torch.no_grad():
        words = network.words(batch)[0, batch.words[0], :8]
    row = torch.from_numpy(known.table.rows[known.table.index["milk"]].astype(np.float32))
    unknown = known.weights["unknown"][0]
    torch.testing.assert_close(words[0], torch.tanh(2.0 * row + unknown))  # scaled by the network's norm
    torch.testing.assert_close(words[1], torch.tanh(unknown))


def test_a_change_of_the_network_leaves_the_pretrained_one_alone(known, encoder):
    before = {n: w.clone() for n, w in known.weights.items()}
    network = start(encoder, known, MOVABLE)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1.0)
    assert all(torch.equal(known.weights[n], w) for n, w in before.items())


def test_unknown_parts_other_characters_and_other_sizes_are_refused(known, encoder, toy_skill):
    with pytest.raises(ValueError, match="'legs' cannot move: choose from words, characters"):
        start(encoder, known, ("common", "legs"))
    own = Encoder(toy_skill, 1)
    with pytest.raises(ValueError, match="other characters"):
        start(own, known, ("characters",))
    start(own, known, [p for p in MOVABLE if p != "characters"])
    for name, value, part in (("hidden", 7, "common"), ("dim", 9, "words"), ("vector_norm", 4.0, "words")):
        network = StackedNetwork(encoder, replace(CONFIG, **{name: value}), [False])
        with pytest.raises(ValueError, match=f"{name} {value}, the pretrained one {getattr(CONFIG, name)}"):
            known.carry_over(network, 0, encoder, (part,))
    known.carry_over(StackedNetwork(encoder, replace(CONFIG, dim=9), [True]), 0, encoder, ("common",))


def test_saved_and_read_again_it_is_the_same_to_the_last_bit(known, encoder, tmp_path):
    known.save(tmp_path / "deep" / "toy")
    again = Pretrained.load(tmp_path / "deep" / "toy")
    assert (again.config, again.characters, again.about) == (known.config, known.characters, known.about)
    assert (again.heads.tag_words, again.heads.intent_words) == (known.heads.tag_words, known.heads.intent_words)
    assert again.table.stamp == known.table.stamp and isinstance(again.table.rows, np.memmap)
    assert again.weights.keys() == known.weights.keys()
    networks = [start(encoder, k, MOVABLE) for k in (known, again)]
    for a, b in zip(*(n.parameters() for n in networks), strict=True):
        assert torch.equal(a, b)
    said = [
        predict(n, encoder, encoder.encode(TEXTS, [k.table], 8)) for n, k in zip(networks, (known, again), strict=True)
    ]
    assert said[0] == said[1]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["toy"]  # nothing left aside


def test_heads_without_any_word_survive(known, tmp_path):
    replace(known, heads=NamedHeads([], [], 12, 24)).save(tmp_path / "toy")
    again = Pretrained.load(tmp_path / "toy").heads
    assert (again.tag_words, again.intent_words, again.intent.shape) == ({}, {}, (0, 24))


def test_saving_over_one_replaces_it(known, tmp_path):
    known.save(tmp_path / "toy")
    again = Pretrained.load(tmp_path / "toy")
    replace(again, about={"second": True}).save(tmp_path / "toy")  # while its table is mapped from there
    assert Pretrained.load(tmp_path / "toy").about == {"second": True}


def test_a_save_that_fails_leaves_what_was_there(known, tmp_path):
    broken = replace(known, about={"not in JSON": object()})
    with pytest.raises(TypeError):
        broken.save(tmp_path / "toy")
    assert not list(tmp_path.iterdir())
    known.save(tmp_path / "toy")
    with pytest.raises(TypeError):
        broken.save(tmp_path / "toy")
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]
    assert Pretrained.load(tmp_path / "toy").about == known.about


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        with pytest.raises(FileNotFoundError, match=f"{name} holds no pretrained network"):
            Pretrained.load(tmp_path / name)


def _half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _meta(folder, **changes):
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    (folder / "meta.json").write_text(json.dumps({k: v for k, v in (meta | changes).items() if v is not None}))


def _without(folder, name):
    tensors = {n: t.clone() for n, t in load_file(folder / "weights.safetensors").items()}
    del tensors[name]
    save_file(tensors, folder / "weights.safetensors")


FAULTS = {
    "half the meta": lambda f: _half(f / "meta.json"),
    "half the weights": lambda f: _half(f / "weights.safetensors"),
    "half the table": lambda f: _half(f / "table" / "rows.npy"),
    "no weights": lambda f: (f / "weights.safetensors").unlink(),
    "no table": lambda f: (f / "table" / "meta.json").unlink(),
    "no format": lambda f: _meta(f, format=None),
    "no characters": lambda f: _meta(f, characters=None),
    "a word too few": lambda f: _meta(f, tag_words=["item"]),
    "an unknown size": lambda f: _meta(f, config={"dim": 8, "depth": 3}),
    "not a table of facts": lambda f: (f / "meta.json").write_text("[]"),
    "a head is missing": lambda f: _without(f, "heads.steps"),
    "a layer is missing": lambda f: _without(f, "encoders.1.w_rec"),
    "no unknown word": lambda f: _without(f, "unknown"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_named_with_its_folder(known, tmp_path, fault):
    known.save(tmp_path / "toy")
    FAULTS[fault](tmp_path / "toy")
    with pytest.raises(ValueError, match=r"(?s)toy is damaged .*: delete the folder"):
        Pretrained.load(tmp_path / "toy")


def test_another_format_is_no_damage(known, tmp_path):
    known.save(tmp_path / "toy")
    _meta(tmp_path / "toy", format=9)
    with pytest.raises(ValueError, match="toy is of format 9, this version reads 1: make one with `slubook run"):
        Pretrained.load(tmp_path / "toy")
