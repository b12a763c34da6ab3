"""A packed skill says what its network says; a store gives back what was stored, or says clearly why not."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load, save

from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import Network, NetworkConfig
from slubook.ch1_skills.training import predict
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.stacked import StackedNetwork
from slubook.corpora.utterance import Utterance, tokenize
from slubook.serving.packed import PackedSkill, Rows, StoreError, from_nibbles, quantise, to_nibbles
from slubook.serving.packing import BITS, bytes_per_part, pack
from slubook.serving.served import pack_network
from slubook.serving.store import DATA, INDEX, SkillStore, append

SMALL = NetworkConfig(dim=6, project=8, char_dim=4, char_filters=5, hidden=7, vector_norm=2.0)
BIT_SETS = {"as served": BITS, "eight": dict.fromkeys(BITS, 8), "four": dict.fromkeys(BITS, 4)}


def table_of(words: list[str], name: str = "toy", seed: int = 0) -> VectorTable:
    draw = np.random.default_rng(seed)
    rows, buckets = (draw.normal(size=(n, 6)).astype(np.float16) for n in (len(words), 50))
    return VectorTable(name, {w: i for i, w in enumerate(words)}, rows, buckets)


def random_network(
    encoder: Encoder, seed: int = 5, config: NetworkConfig = SMALL, kind: type[Network] = Network
) -> Network:
    """A network in which every parameter is random."""
    torch.manual_seed(seed)
    network = kind(encoder, config, [False])
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return network.eval()


def rounded(network: Network, bits) -> Network:
    """The network with its parameters replaced by what is left of them in a pack: packing it loses nothing more."""
    with torch.no_grad():
        for name, p in network.named_parameters():
            first, last = name.split(".")[0], name.split(".")[-1]
            part = "lstm" if last in ("w_in", "w_rec") else "ngrams" if first == "intent_ngrams" else first
            if part in bits and last != "bias":
                values = quantise(p.numpy(), bits[part]).decode()[..., : p.shape[-1]]
                p.copy_(torch.from_numpy(values))
            elif name in ("intent_head.bias", "intent_ngrams.bias"):
                p.zero_()  # they are stored as their sum
            else:
                p.copy_(p.half())
    return network


@pytest.fixture(scope="module")
def skill(toy_skill):
    encoder = Encoder(toy_skill)
    return encoder, random_network(encoder), table_of(encoder.words[::2])


@pytest.fixture(scope="module")
def blobs(toy_skill, skill):
    """Three packed skills over one table."""
    encoder, _, table = skill
    return {f"skill {k}": pack(random_network(encoder, k), encoder, table) for k in range(3)}


WORDS = [
    "add",
    "milk",
    "brown",
    "sugar",
    "no",
    "more",
    "zebras",
    "उठो",
    "İ",
    "fridge",
    "12",
    "!",
    "internationalisation",
]
ONE_LAYER = NetworkConfig(dim=6, project=3, char_dim=4, char_filters=2, hidden=4, layers=1, ngram_order=0)
FORKED = replace(SMALL, layers=3)
texts = st.one_of(st.lists(st.sampled_from(WORDS)).map(" ".join), st.text(max_size=30))


@pytest.mark.parametrize("bits", BIT_SETS.values(), ids=BIT_SETS)
@pytest.mark.parametrize(("kind", "config"), [(Network, SMALL), (Network, ONE_LAYER), (StackedNetwork, FORKED)])
def test_packed_skill_scores_as_its_network(toy_skill, bits, kind, config):
    encoder = Encoder(toy_skill, config.ngram_order)
    table = table_of(encoder.words[::2])
    network = rounded(random_network(encoder, config=config, kind=kind), bits)
    packed = PackedSkill(pack_network(network, encoder, table, bits), table)

    @settings(max_examples=40)
    @given(texts)
    def check(text):
        encoded = encoder.encode([text], [table], 6)
        with torch.no_grad():
            emissions, intents = network(encoded.batch([0]))
        mine = packed.scores(tokenize(text))
        np.testing.assert_allclose(mine[0], emissions[0, 0].numpy(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(mine[1], intents[0, 0].numpy(), rtol=1e-3, atol=1e-4)
        [[theirs]], [answer] = predict(network, encoder, encoded), packed.predict([text])
        assert (answer.intent, answer.slots) == (theirs.intent, theirs.slots)
        assert answer.confidence == pytest.approx(theirs.confidence, abs=1e-4)

    check()


def test_eight_bits_change_hardly_any_score(skill):
    encoder, network, table = skill
    packed = PackedSkill(pack(network, encoder, table, BIT_SETS["eight"]), table)
    encoded = encoder.encode([text := "please add brown sugar to my basket"], [table], 6)
    with torch.no_grad():
        emissions, _ = network(encoded.batch([0]))
    assert np.abs(packed.scores(tokenize(text))[0] - emissions[0, 0].numpy()).max() < 0.1
    assert emissions.abs().max() > 1


def test_a_skill_without_words_or_slots_can_be_packed():
    encoder = Encoder([Utterance("1", "", "OnlyIntent")])
    table = table_of(["x"])
    packed = PackedSkill(pack(random_network(encoder), encoder, table), table)
    assert packed.vocabulary == 0
    assert {p.intent for p in packed.predict(["", "anything at all"])} == {"OnlyIntent"}


# No subnormal numbers: training, in an earlier test, tells the processor to take them for zero.
numbers = st.floats(-100, 100, width=16, allow_subnormal=False)
matrices = arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(0, 7)), elements=numbers)


@given(matrices, st.sampled_from([4, 8]))
def test_quantising_errs_by_half_a_step_at_most(matrix, bits):
    rows = quantise(matrix, bits)
    back = rows.decode()[:, : matrix.shape[1]]
    steps = rows.scales.astype(np.float32)
    assert (np.abs(back - matrix) <= steps * 0.51 + 2e-5).all()
    assert rows.codes.dtype == (np.int8 if bits == 8 else np.uint8)
    if len(matrix):
        np.testing.assert_array_equal(rows.decode([0])[:, : matrix.shape[1]], back[:1])


@given(arrays(np.int8, st.tuples(st.integers(0, 3), st.integers(0, 6)), elements=st.integers(-8, 7)))
def test_nibbles_there_and_back(codes):
    packed = to_nibbles(codes)
    assert packed.shape == (len(codes), (codes.shape[1] + 1) // 2)
    np.testing.assert_array_equal(from_nibbles(packed)[:, : codes.shape[1]], codes)
    np.testing.assert_array_equal(Rows(packed, np.ones((len(codes), 1), np.float16)).decode(), from_nibbles(packed))


@pytest.mark.parametrize(
    ("matrix", "bits", "says"), [(np.ones((2, 2)), 5, "5 bits"), (np.full((2, 2), np.nan), 8, "finite")]
)
def test_what_cannot_be_quantised(matrix, bits, says):
    with pytest.raises(ValueError, match=says):
        quantise(matrix, bits)


def test_what_cannot_be_packed(toy_skill, skill):
    encoder, _, table = skill
    with pytest.raises(StoreError, match="bank of 2"):
        pack(Network(encoder, SMALL, [False, True]), encoder, table)
    private = NetworkConfig(dim=6, correction="generic")
    with pytest.raises(StoreError, match="generic"):
        pack(Network(encoder, private, [False]), encoder, table)
    with pytest.raises(StoreError, match=r"StackedNetwork is packed by .*pack_network"):
        pack(StackedNetwork(encoder, FORKED, [False]), encoder, table)


def test_parts_sum_to_the_blob(blobs):
    blob = blobs["skill 0"]
    parts = bytes_per_part(blob)
    assert sum(parts.values()) == len(blob)
    assert set(parts) == {"local", "ngrams", "lstm", "project", "characters", "heads", "labels", "container"}
    assert min(parts.values()) > 0


def test_another_table_is_refused(blobs, skill, tmp_path):
    encoder, _, table = skill
    append(tmp_path, blobs.items())
    changed = table_of(encoder.words[::2], "changed", seed=1)
    with (
        SkillStore(tmp_path, changed) as store,
        pytest.raises(StoreError, match=f"'skill 1'.*'toy' \\({table.stamp}\\), not 'changed'"),
    ):
        store.skill("skill 1")


def test_damaged_blobs_are_refused(blobs, skill):
    blob, table = blobs["skill 0"], skill[2]
    tensors = load(blob)
    about = json.loads(tensors["about"].tobytes())
    old = save({**tensors, "about": np.frombuffer(json.dumps({**about, "format": 0}).encode(), np.uint8)})
    for bytes_, says in ((blob[:-1], "whole"), (b"", "whole"), (save({"x": np.ones(3)}), "whole"), (old, "format 0")):
        with pytest.raises(StoreError, match=says):
            PackedSkill(bytes_, table)


def test_store_gives_back_what_was_stored(blobs, skill, tmp_path):
    table = skill[2]
    append(tmp_path, list(blobs.items())[:2])
    append(tmp_path, list(blobs.items())[2:])
    with SkillStore(tmp_path, table) as store:
        assert set(store.places) == set(blobs)
        for name, blob in blobs.items():
            assert store.blob(name) == blob
            said = store.skill(name).predict(["add rice", "zebras"])
            assert said == PackedSkill(blob, table).predict(["add rice", "zebras"])


def test_a_skill_stored_again_is_replaced(blobs, skill, tmp_path):
    first, second, _ = blobs.values()
    append(tmp_path, [("mine", first), ("other", first)])
    with SkillStore(tmp_path, skill[2]) as reader:
        append(tmp_path, [("mine", second)])
        assert reader.blob("mine") == first  # as it was when this reader came
    with SkillStore(tmp_path, skill[2]) as reader:
        assert reader.blob("mine") == second and reader.blob("other") == first and len(reader.places) == 2


def test_an_append_that_dies_leaves_the_store_as_it_was(blobs, skill, tmp_path):
    first, second, third = blobs.values()
    append(tmp_path, [("a", first)])

    def dying():
        yield "b", second
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append(tmp_path, dying())
    with SkillStore(tmp_path, skill[2]) as store:
        assert list(store.places) == ["a"] and store.blob("a") == first
    append(tmp_path, [("c", third)])
    with SkillStore(tmp_path, skill[2]) as store:
        assert list(store.places) == ["a", "c"] and store.blob("c") == third
    assert {p.name for p in tmp_path.iterdir()} == {DATA, INDEX}


def test_least_recently_used_skills_make_room(blobs, skill, tmp_path):
    append(tmp_path, blobs.items())
    size = PackedSkill(blobs["skill 0"], skill[2]).nbytes
    with SkillStore(tmp_path, skill[2], capacity=2 * size) as store:
        for name in ("skill 0", "skill 1", "skill 0", "skill 2", "skill 0", "skill 1"):
            store.skill(name)
            assert store.open_bytes <= 2 * size and len(store.opened) <= 2
        assert (store.hits, store.misses) == (2, 4)  # skill 1 had to make room for skill 2
        assert store.open_bytes == size * 2
    with SkillStore(tmp_path, skill[2], capacity=1) as store:
        assert store.skill("skill 0") is store.skill("skill 0")  # the last one stays, however small the room
        store.clear()
        assert (len(store.opened), store.open_bytes, store.hits) == (0, 0, 0)


def test_what_a_store_refuses(blobs, skill, tmp_path):
    table = skill[2]
    with pytest.raises(StoreError, match="no skill store"):
        SkillStore(tmp_path, table)
    append(tmp_path, blobs.items())
    with SkillStore(tmp_path, table) as store, pytest.raises(StoreError, match="'nobody' is not among the 3"):
        store.skill("nobody")
    data = (tmp_path / DATA).read_bytes()
    (tmp_path / DATA).write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    with SkillStore(tmp_path, table) as store:
        damaged = [name for name, (start, length, _) in store.places.items() if start <= 5000 < start + length]
        with pytest.raises(StoreError, match=f"{damaged[0]!r} .* damaged"):
            store.skill(damaged[0])
    (tmp_path / DATA).write_bytes(data[:-1])
    for open_it in (lambda: SkillStore(tmp_path, table), lambda: append(tmp_path, [])):
        with pytest.raises(StoreError, match="cut short"):
            open_it()
    (tmp_path / INDEX).write_text('{"format": 1, "skills"')
    with pytest.raises(StoreError, match=INDEX):
        SkillStore(tmp_path, table)
    (tmp_path / INDEX).write_text('{"format": 9}')
    with pytest.raises(StoreError, match="format 9"):
        SkillStore(tmp_path, table)


def test_empty_store(skill, tmp_path):
    append(tmp_path, [])
    with SkillStore(tmp_path, skill[2]) as store, pytest.raises(StoreError, match="among the 0"):
        store.skill("any")


def test_stamp_of_a_table_follows_its_content(tmp_path):
    table = table_of(["a", "b"])
    table.save(tmp_path / "saved")
    assert VectorTable.load(tmp_path / "saved").stamp == table.stamp
    stamps = {t.stamp for t in (table, table_of(["a", "c"]), table_of(["b", "a"]), table_of(["a", "b"], seed=1))}
    assert len(stamps) == 4


def test_serving_needs_no_torch():
    code = "import slubook.serving.store, slubook.serving.traffic, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
