"""The bidirectional language model: what each direction sees, what a word's vector rests on, and what is saved."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from slubook.ch1_skills.masked_lm import OutputWords, sampled_softmax
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig, LanguageModel, strongest
from slubook.ch3_elmol.contextual import WordVectors, match_norm

SMALL = BiLMConfig(char_dim=3, filters=((1, 4), (3, 5)), width=6, hidden=7, longest=8)
TALK = [["play", "some", "jazz"], ["stop"], ["play", "jaaaazz", "all", "of", "the", "day"]]
LEXICON = sorted({w for s in TALK for w in s})


def reader(layers: int = 1) -> BiLM:
    torch.manual_seed(1)
    return BiLM("adefhjlmopsty", BiLMConfig(**{**SMALL.__dict__, "layers": layers})).eval()


def numbers(talk):
    lengths = torch.tensor([len(s) for s in talk])
    words = torch.zeros(len(talk), int(lengths.max()), dtype=torch.long)
    for row, s in zip(words, talk, strict=True):
        row[: len(s)] = torch.tensor([LEXICON.index(w) for w in s])
    return words, lengths


def vectors(model: BiLM, talk) -> torch.Tensor:
    with torch.no_grad():
        return model(model.spell(LEXICON), *numbers(talk))


@pytest.mark.parametrize("window", [1, 3])
def test_filters_answer_as_a_convolution_does(window):
    filters, letters = torch.nn.Conv1d(3, 5, window), torch.randn(4, 9, 3)
    assert torch.allclose(strongest(filters, letters), filters(letters.transpose(1, 2)).amax(2), atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_directions_never_see_each_other(layers):
    """A change of one word changes the forward half from there on and the backward half up to there, and no more."""
    model, w = reader(layers), SMALL.width
    before = vectors(model, [["play", "some", "jazz", "day"]])[0]
    after = vectors(model, [["play", "some", "of", "day"]])[0]
    assert before.shape == (4, layers + 1, 2 * w)
    for layer in range(1, layers + 1):
        forth, back = (before[:, layer] != after[:, layer]).unflatten(1, (2, w)).any(2).T.tolist()
        assert forth == [False, False, True, True] and back == [True, True, True, False]
    assert (before[:, 0] != after[:, 0]).any(1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("layers", [1, 2])
def test_no_direction_reads_the_word_that_it_guesses(layers):
    """The states that guess a word must not change with it, or training would be a copy."""
    model = LanguageModel(reader(layers), OutputWords(Counter(LEXICON), 6))
    rows, found = model.output.rows(LEXICON), []
    for last in ("jazz", "day"):
        states, targets = model.guesses(model.reader.spell(LEXICON), *numbers([["play", "some", last]]), rows)
        found.append(states)
        spoken, boundary = [model.output.index[w] for w in ("play", "some", last)], model.output.BOUNDARY
        assert targets.tolist() == [[*spoken, boundary], [*spoken[::-1], boundary]]
    assert torch.equal(found[0][0, 2], found[1][0, 2]) and not torch.equal(found[0][0, 3], found[1][0, 3])
    assert torch.equal(found[0][1, 0], found[1][1, 0]) and not torch.equal(found[0][1, 1], found[1][1, 1])


@pytest.mark.parametrize("layers", [1, 2])
def test_padding_and_company_change_nothing(layers):
    model = reader(layers)
    together = vectors(model, TALK)
    for row, said in zip(together, TALK, strict=True):
        torch.testing.assert_close(vectors(model, [said])[0], row[: len(said)])
    states = LanguageModel(model, OutputWords(Counter(LEXICON), 6)).guesses
    rows = torch.arange(len(LEXICON) + 1)
    whole = states(model.spell(LEXICON), *numbers(TALK), rows)[1]
    alone = [states(model.spell(LEXICON), *numbers([said]), rows)[1] for said in TALK]
    assert sorted(whole[0].tolist()) == sorted(torch.cat(alone, 1)[0].tolist())
    assert whole.shape == (2, sum(len(said) + 1 for said in TALK))


def test_any_word_has_a_vector_of_its_own_and_the_same_word_another_one_elsewhere():
    model, words = reader(), numbers([["play"]])
    strange = [vectors_of_word(model, w, words) for w in ("stop", "pots", "stops", "Ωμέγα", "")]
    assert all(torch.isfinite(v).all() for v in strange)
    assert not any(torch.equal(a, b) for k, a in enumerate(strange) for b in strange[:k])
    talk = vectors(model, [["play", "jazz"], ["stop", "jazz"]])
    assert torch.equal(talk[0, 1, 0], talk[1, 1, 0]) and not torch.allclose(talk[0, 1, 1], talk[1, 1, 1])
    cut = [model.spell([w])[0].tolist() for w in ("abcdefgh", "abcdefghij")]
    assert cut[0] == cut[1], "only so many characters are read"


def vectors_of_word(model, word, words):
    with torch.no_grad():
        return model(model.spell([word]), torch.zeros(1, 1, dtype=torch.long), words[1])


def test_every_parameter_is_of_one_part_and_the_highest_layer_comes_first():
    model = reader(2)
    parts = model.parts()
    assert sorted(map(id, model.parameters())) == sorted(id(p) for part in parts for p in part)
    assert parts[0][0] is model.stack[1].w_in and parts[2][-1] is model.boundary
    with pytest.raises(ValueError, match="at least one layer, not 0"):
        BiLM("ab", BiLMConfig(layers=0))


def test_an_even_mix_lies_one_from_its_mean_for_every_embedding():
    rows = np.random.default_rng(0).normal(size=(len(LEXICON) - 1, 5)).astype(np.float16) * 9
    table = VectorTable("t", {w: i for i, w in enumerate(LEXICON[1:])}, rows, rows[:4], (2, 3))
    for embedding in (reader(2), reader(1), WordVectors(table)):
        match_norm(embedding, TALK)
        states = torch.cat([embedding(embedding.spell(LEXICON), *numbers([said]))[0] for said in TALK])
        states -= states.mean(0)  # what all tokens have in common tells none from another
        assert states.mean(1).norm(dim=1).mean().item() == pytest.approx(1, abs=1e-5)
        each = states.norm(dim=2).mean(0)
        torch.testing.assert_close(each, each[:1].expand_as(each))
    for talk, says in (([[]], "no words"), ([["zz"]], "knows none"), ([["a"]], "the same vector")):
        empty = VectorTable("t", {"a": 0}, rows[:1], np.zeros((0, 5), np.float16))
        with pytest.raises(ValueError, match=says):
            match_norm(WordVectors(empty), talk)


class TestSoftmax:
    def test_with_every_word_drawn_often_enough_it_is_the_whole_softmax(self):
        torch.manual_seed(0)
        output = OutputWords(Counter(LEXICON), 6)
        states, targets = torch.randn(30, 6), torch.randint(len(output.bias), (30,))
        whole = output.surprise(states, targets).mean()
        sampled = sampled_softmax(states, targets, output.vectors, output.bias, output.frequency, 5000)
        torch.testing.assert_close(sampled, whole)

    def test_an_unknown_word_is_one_class_and_the_boundary_another(self):
        output = OutputWords(Counter({"jazz": 9, "play": 3, None: 5, "": 7}), 6)
        assert output.words == ["jazz", "play"]
        assert output.rows(["play", "zebra", "jazz"]).tolist() == [3, output.UNKNOWN, 2, output.BOUNDARY]
        expected = torch.tensor([5.0, 7, 9, 3]) ** 0.75
        torch.testing.assert_close(output.frequency, expected / expected.sum())


class TestSaved:
    @pytest.fixture
    def folder(self, tmp_path):
        model = LanguageModel(reader(2), OutputWords(Counter(LEXICON), 6))
        match_norm(model.reader, TALK)
        model.reader.about = {"sentences": 3}
        model.save(tmp_path / "lm")
        self.model = model
        return tmp_path / "lm"

    def test_what_comes_back_is_the_same_to_the_last_bit(self, folder):
        again = LanguageModel.load(folder)
        assert (again.reader.config, again.reader.about) == (self.model.reader.config, {"sentences": 3})
        assert again.output.words == self.model.output.words
        for (name, a), b in zip(self.model.state_dict().items(), again.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
        assert torch.equal(vectors(again.reader, TALK), vectors(self.model.reader, TALK))
        assert [p.name for p in folder.parent.iterdir()] == ["lm"]

    @pytest.mark.parametrize(
        "part", ["reader/weights.safetensors", "reader/meta.json", "output.safetensors", "words.json"]
    )
    def test_damage_is_named_with_its_folder(self, folder, part):
        whole = (folder / part).read_bytes()
        for damaged in (whole[: len(whole) // 2], b"{}"):
            (folder / part).write_bytes(damaged)
            with pytest.raises(ValueError, match=r"(?s)the language model in .* is damaged .*: delete the folder"):
                LanguageModel.load(folder)

    def test_another_format_and_nothing_at_all(self, folder, tmp_path):
        meta = json.loads((folder / "reader" / "meta.json").read_text())
        (folder / "reader" / "meta.json").write_text(json.dumps(meta | {"format": 9}))
        with pytest.raises(ValueError, match="format 9, this version reads 1: train one"):
            BiLM.load(folder / "reader")
        with pytest.raises(FileNotFoundError, match="holds no language model"):
            LanguageModel.load(tmp_path)
