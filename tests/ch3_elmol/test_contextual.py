"""Networks that read an embedding: what moves, what is cached, when which layer learns, and that it helps."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_transfer import DEV, DOMAINS, SMALL, STAGE_ONE, STAGE_TWO, TAXI, TRAIN

from slubook.ch1_skills.dnn import DNNConfig
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.training import predict
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch3_elmol.bilm import BiLM, BiLMConfig
from slubook.ch3_elmol.bilm_training import BiLMTraining, train_bilm
from slubook.ch3_elmol.contextual import ContextEncoded, ContextualNetwork, WordVectors, match_norm
from slubook.ch3_elmol.contextual_training import (
    ContextDNN,
    ContextPretrained,
    ContextPretraining,
    ContextStart,
    fit_contextual,
    mean_loss,
    pretrain_contextual,
)
from slubook.ch3_elmol.unfreezing import CUT, Gradual, Unfreezing, UnfreezingConfig, paces_of, rates_of
from slubook.corpora.utterance import words

READER = BiLMConfig(char_dim=4, filters=((1, 6), (2, 8)), width=8, hidden=9, longest=8)
ONE = replace(STAGE_ONE, updates=40)
TWO = replace(STAGE_TWO, training=replace(STAGE_TWO.training, updates=8, evaluations=4))
TALK = [words(u.text) for d in DOMAINS for u in d.utterances] + [words(u.text) for u in TAXI]
HOWS = ("slowly", "frozen", "at_once", "gradual")


@pytest.fixture(scope="module")
def reader() -> BiLM:
    """ELMo in the small, trained for a moment on the text of all toy domains."""
    config = BiLMTraining(READER, epochs=1, batch=16, candidates=20, rate=2e-2)
    model = train_bilm("toy", TALK, replace(config, model=replace(READER, layers=2))).reader
    match_norm(model, TALK)
    return model


@pytest.fixture(scope="module")
def known(reader) -> ContextPretrained:
    return pretrain_contextual("toy", DOMAINS, reader, ONE, UnfreezingConfig("frozen"))[0]


@pytest.fixture(scope="module")
def table() -> VectorTable:
    """A vector for some words of the toy domains, n-grams for all others."""
    draw, listed = np.random.default_rng(0), ["london", "taxi", "paris", "zebra"]
    rows, buckets = (draw.normal(size=(n, 7)).astype(np.float16) for n in (len(listed), 50))
    return VectorTable("generic", {w: i for i, w in enumerate(listed)}, rows, buckets, (2, 3))


def changed(network: ContextualNetwork, source: ContextPretrained) -> list[bool]:
    """Which parts of the embedding differ from what was taken over, the highest first."""
    pairs = zip(network.embedding.parts(), source.embedding.parts(), strict=True)
    return [any(not torch.equal(a, b) for a, b in zip(mine, other, strict=True)) for mine, other in pairs]


class TestNetwork:
    def test_cached_vectors_of_a_frozen_reader_are_those_of_the_running_one(self, known):
        model = fit_contextual(ContextStart(known, UnfreezingConfig("frozen")), TRAIN, [], 1, TWO)
        encoded = model.encoder.encode_gold(DEV[:9], [known.base.table], TWO.network.dim)
        live, cached = (ContextEncoded(encoded, model.network.embedding, frozen) for frozen in (False, True))
        assert live.known is None and cached.known is not None
        with torch.no_grad():
            (tags, intents), (of_cache, intents_of_cache) = (model.network(e.batch(range(9))) for e in (live, cached))
        torch.testing.assert_close(intents, intents_of_cache)
        real = live.batch(range(9)).mask
        torch.testing.assert_close(tags[0][real], of_cache[0][real])
        [of_live], [of_cached] = (predict(model.network, model.encoder, e) for e in (live, cached))
        assert [p[:2] for p in of_live] == [p[:2] for p in of_cached]  # how sure it is, is rounded otherwise

    def test_a_cache_is_ignored_once_the_reader_learns(self, known):
        encoder = Encoder(TRAIN, 1, known.base.characters)
        network = ContextualNetwork(encoder, TWO.network, known.embedding, False).eval()
        encoded = ContextEncoded(encoder.encode([TRAIN[0].text], [None], TWO.network.dim), network.embedding, True)
        batch = encoded.batch([0])
        with torch.no_grad():
            before = network.inputs(batch)
            network.embedding.stack[1].bias += 1.0
            assert torch.equal(network.inputs(batch), before), "frozen: what was computed once stands"
            network.unfreeze(1)
            assert not torch.equal(network.inputs(batch), before)

    def test_the_reader_is_a_copy_and_only_unfrozen_parts_have_gradients(self, known, toy_skill):
        encoder = Encoder(TRAIN, 1, known.base.characters)
        network = ContextualNetwork(encoder, TWO.network, known.embedding, False)
        batch = ContextEncoded(encoder.encode_gold(TRAIN, [None], TWO.network.dim), known.embedding).batch(range(6))
        assert network.frozen
        for unfrozen in range(4):
            network.unfreeze(unfrozen)
            network.zero_grad(set_to_none=True)
            network.loss(batch).sum().backward()
            has = [any(p.grad is not None and p.grad.any() for p in part) for part in network.embedding.parts()]
            assert has == [k < unfrozen for k in range(3)]
            assert network.mix.weights.grad.any() and network.context.weight.grad.any()
        assert not any(p.grad is not None for p in known.embedding.parameters())

    def test_a_word_that_the_source_never_had_is_read_by_the_embedding(self, table, reader):
        """FastText's vector, or its n-grams; not a row of zeros."""
        for embedding in (WordVectors(table), reader):
            source, _ = pretrain_contextual("toy", DOMAINS, embedding, replace(ONE, updates=2))
            assert "taxi" not in source.base.table.index and "qqq" not in source.base.table.index
            once = replace(TWO, training=replace(TWO.training, updates=1))
            model = fit_contextual(ContextStart(source), TRAIN[:3], [], 1, once)
            known = model.encoder.encode(["taxi", "zebra", "qqq", "rrr"], [source.base.table], TWO.network.dim)
            with torch.no_grad():
                batch = ContextEncoded(known, model.network.embedding).batch(range(4))
                read = model.network.embedding(batch.spelled, batch.words, batch.lengths)[:, 0, 0]
            assert read.abs().sum(1).min() > 0
            assert len({tuple(row) for row in read.tolist()}) == 4
        expected = torch.from_numpy(table.vectors(["taxi", "zebra", "qqq", "rrr"]))
        vectors = WordVectors(table)
        found = vectors(vectors.spell(["taxi", "zebra", "qqq", "rrr"]), torch.arange(4).view(4, 1), torch.ones(4))
        assert torch.equal(found[:, 0, 0], expected)


class TestStageOne:
    def test_reading_moves_and_a_frozen_reader_keeps_every_bit(self, known, reader):
        assert all(torch.equal(a, b) for a, b in zip(known.embedding.parameters(), reader.parameters(), strict=True))
        assert known.reading["context.weight"].shape == (1, 16, SMALL.project)
        assert known.reading["mix.weights"].any(), "the mix is the network's own, and learns"
        encoder = Encoder(TRAIN, 1, known.base.characters)
        network = ContextualNetwork(encoder, TWO.network, known.embedding, False)
        known.carry_over(network, encoder, ("common",))
        for name, value in known.reading.items():
            assert torch.equal(network.get_parameter(name), value)
        assert torch.equal(network.encoders[0].w_in, known.base.weights["encoders.0.w_in"])

    def test_a_reader_that_may_learn_does_and_the_seed_decides(self, reader):
        few = replace(ONE, updates=6)
        (one, since), (again, _) = (
            pretrain_contextual("toy", DOMAINS, reader, few, UnfreezingConfig("at_once")) for _ in range(2)
        )
        assert since == [0.0] * 3
        network = ContextualNetwork(Encoder(TRAIN, 1, one.base.characters), TWO.network, one.embedding, False)
        assert changed(network, ContextPretrained(one.base, reader, {})) == [True] * 3
        assert changed(network, again) == [False] * 3
        _, since = pretrain_contextual("toy", DOMAINS, reader, ONE, UnfreezingConfig("slowly", latest=0.5))
        assert since == sorted(since) and 0 < since[0] <= 0.5 and len(since) == 3

    def test_what_is_asked_of_it(self, reader):
        with pytest.raises(ValueError, match="no source domains"):
            pretrain_contextual("none", [], reader)
        with pytest.raises(ValueError, match="'gradual' is for new skills"):
            pretrain_contextual("none", DOMAINS, reader, ONE, UnfreezingConfig("gradual"))
        with pytest.raises(ValueError, match="schedule 'never' is unknown: use slowly, frozen"):
            UnfreezingConfig("never")

    def test_saved_and_read_again_it_is_the_same(self, known, table, tmp_path):
        known.save(tmp_path / "n")
        again = ContextPretrained.load(tmp_path / "n", known.embedding)
        assert again.base.table.stamp == known.base.table.stamp
        for a, b in ((again.reading, known.reading), (again.embedding.state_dict(), known.embedding.state_dict())):
            assert all(torch.equal(a[name], b[name]) for name in b) and a.keys() == b.keys()
        words_only = replace(known, embedding=WordVectors(table))
        words_only.save(tmp_path / "w")
        assert not (tmp_path / "w" / "reader").exists(), "the table is kept elsewhere"
        assert ContextPretrained.load(tmp_path / "w", words_only.embedding).embedding is words_only.embedding
        (tmp_path / "n" / "reading.safetensors").write_bytes(b"{}")
        with pytest.raises(ValueError, match=r"n is damaged .*: delete the folder"):
            ContextPretrained.load(tmp_path / "n", known.embedding)


class Looks:
    """A network of three parts that only counts how many are unfrozen."""

    def __init__(self) -> None:
        self.embedding, self.unfrozen = self, 0

    def parts(self):
        return [[], [], []]

    def unfreeze(self, parts: int) -> None:
        self.unfrozen = parts


class TestRule:
    def test_slowly_waits_until_the_loss_falls_less_and_then_goes_down_layer_by_layer(self):
        network = Looks()
        unfreezing = Unfreezing(network, UnfreezingConfig("slowly", slack=0.1, latest=0.9), 100)
        seen = []
        for update, loss in ((10, 9.0), (20, 5.0), (30, 4.0), (40, 3.7), (50, 1.0), (60, 1.0), (70, 1.0)):
            unfreezing.look(loss, update)
            seen.append(network.unfrozen)
        assert seen == [0, 0, 0, 1, 2, 3, 3] and unfreezing.since == [0.4, 0.5, 0.6] and not unfreezing.watches

    def test_it_begins_at_the_latest_where_the_loss_keeps_falling_or_is_not_known(self):
        for losses in ([2.0**-k for k in range(10)], [float("inf")] * 10):
            unfreezing = Unfreezing(Looks(), UnfreezingConfig("slowly", latest=0.5), 100)
            for k, loss in enumerate(losses, 1):
                unfreezing.look(loss, 10 * k)
            assert unfreezing.since == [0.5, 0.6, 0.7]

    def test_the_other_schedules_do_not_listen(self):
        for how, unfrozen in (("frozen", 0), ("at_once", 3)):
            network = Looks()
            unfreezing = Unfreezing(network, UnfreezingConfig(how), 10)
            assert not unfreezing.watches and network.unfrozen == unfrozen
            unfreezing.look(1.0, 5), unfreezing.look(9.0, 9)
            assert network.unfrozen == unfrozen and len(unfreezing.since) == unfrozen

    def test_lower_layers_learn_less(self):
        unfreezing = Unfreezing(Looks(), UnfreezingConfig("at_once", reduced=0.5, lower=0.4), 10)
        parts = ("heads", "common", "context", "embedding 0", "embedding 1", "embedding 2")
        assert [unfreezing.speed(part, 1) for part in parts] == pytest.approx([1, 1, 1, 0.5, 0.2, 0.08])

    def test_the_rate_of_a_layer_that_was_unfrozen_on_the_way_climbs_from_zero(self):
        unfreezing = Unfreezing(Looks(), UnfreezingConfig(latest=0.5, reduced=0.5, lower=0.4, rise=0.1), 100)
        assert unfreezing.speed("embedding 0", 50) == 0, "frozen"
        unfreezing.look(1.0, 50)
        climbing = [unfreezing.speed("embedding 0", u) for u in (51, 55, 60, 61, 100)]
        assert climbing == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.5]) and unfreezing.speed("embedding 1", 60) == 0
        unfreezing.look(1.0, 60)
        assert unfreezing.speed("embedding 1", 65) == pytest.approx(0.5 * 0.5 * 0.4)
        suddenly = Unfreezing(Looks(), UnfreezingConfig(latest=0.5, rise=0.0), 100)
        suddenly.look(1.0, 50)
        assert suddenly.speed("embedding 0", 51) == 0.5

    def test_gradual_unfreezes_one_layer_an_epoch_from_the_top_each_slower_than_the_one_above(self):
        network = Looks()
        plan = Gradual(network, UnfreezingConfig("gradual"), updates=100, per_epoch=5)
        down = ["heads", "tagger", "common", "words", "embedding 0", "embedding 1", "embedding 2"]
        for update in range(1, 101):
            plan.triangle(update)
            free = min(7, (update - 1) // 5 + 1)
            assert network.unfrozen == max(0, free - 4)
            found = [plan.speed(part, update) for part in down]
            assert found == pytest.approx([2.6**-k if k < free else 0.0 for k in range(7)])
        assert plan.since == [0.2, 0.25, 0.3]
        rates = [plan.triangle(u) for u in range(1, 101)]
        assert max(rates) == rates[int(100 * CUT) - 1] == 1.0
        assert rates[-1] == pytest.approx(1 / 32) and np.diff(rates[:10]).min() > 0 > np.diff(rates[9:]).max()

    def test_rates_are_those_that_training_would_have(self, known):
        network = ContextualNetwork(Encoder(TRAIN, 1, known.base.characters), TWO.network, known.embedding, False)
        losses = {10: 5.0, 20: 4.9, 30: 4.0, 40: 3.0}
        found = {how: rates_of(network, UnfreezingConfig(how), 100, 5, losses) for how in HOWS}
        for how, rates in found.items():
            assert list(rates) == [
                "heads", "tagger", "common", "words", "embedding 0", "embedding 1", "embedding 2",
            ]  # fmt: skip
            assert all(len(r) == 100 for r in rates.values()) and max(rates["heads"]) == pytest.approx(1, abs=1e-3)
            assert (found["frozen"]["heads"] == rates["heads"]) is (how != "gradual")
        assert not any(found["frozen"]["embedding 0"]) and all(found["at_once"]["embedding 2"])
        first = {k: next(u for u, r in enumerate(found["slowly"][f"embedding {k}"], 1) if r) for k in range(3)}
        assert first == {0: 21, 1: 31, 2: 41}, "the loss falls too little at 20; one more layer at each further look"
        assert found["slowly"]["embedding 1"][60] == pytest.approx(0.5 * 0.4 * found["slowly"]["heads"][60])
        assert [sum(r > 0 for r in found["gradual"][p]) for p in ("heads", "tagger", "embedding 2")] == [100, 95, 70]

    @pytest.mark.parametrize("how", HOWS)
    def test_training_has_these_very_rates(self, known, monkeypatch, how):
        seen, losses = [], {}

        class Recording(torch.optim.AdamW):
            def step(self, *given):
                seen.append([group["lr"] for group in self.param_groups])
                return super().step(*given)

        monkeypatch.setattr(torch.optim, "AdamW", Recording)
        recipe = replace(TWO, training=replace(TWO.training, updates=24, evaluations=12))
        start = ContextStart(known, UnfreezingConfig(how, latest=0.25))
        fit_contextual(start, TRAIN, DEV[:8], 1, recipe, on_loss=losses.__setitem__)
        network = ContextualNetwork(Encoder(TRAIN, 1, known.base.characters), TWO.network, known.embedding, False)
        parts = [pace.speed.args[0] for pace in paces_of(network, lambda part, update: 1.0)]
        planned = rates_of(network, start.unfreezing, 24, -(-len(TRAIN) // recipe.training.batch), losses)
        for part, rates in planned.items():
            found = [rate[parts.index(part)] / recipe.training.rate for rate in seen]
            assert found == pytest.approx(rates), part


class TestStageTwo:
    def test_each_schedule_changes_what_it_should(self, known):
        expected = {"slowly": [True] * 3, "frozen": [False] * 3, "at_once": [True] * 3}
        for how in HOWS:
            model = fit_contextual(ContextStart(known, UnfreezingConfig(how, latest=0.25)), TRAIN, DEV[:8], 1, TWO)
            # eight updates are eight epochs of gradual unfreezing: the best average is an early one, or has all
            if how != "gradual":
                assert changed(model.network, known) == expected[how]
            assert len(model.since) == {"frozen": 0}.get(how, 3)
            private = sum(p.numel() for p in model.network.parameters())
            frozen = sum(p.numel() for p in model.network.embedding.parameters())
            own = sum(len(w.encode()) + 4 for w in model.encoder.words)
            assert model.size_bytes() == own + 4 * (private - (frozen if how == "frozen" else 0))
        assert all(p.grad is None for p in known.embedding.parameters())

    def test_runs_repeat_themselves(self, known):
        start = ContextStart(known, UnfreezingConfig(latest=0.25), 0.6)
        one, two = (fit_contextual(start, TRAIN, DEV[:8], 3, TWO) for _ in range(2))
        assert one.since == two.since
        assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True))
        texts = [u.text for u in DEV[:5]] + ["", "quagga"]
        assert one.predict(texts) == two.predict(texts) and one.predict([]) == []

    def test_a_network_can_begin_at_random_over_an_embedding(self, reader, table):
        """Without any annotated source: words and characters are the skill's own, and the schedule is the same."""
        start = ContextStart(reader, UnfreezingConfig(latest=0.25))
        model = ContextDNN(config=DNNConfig(TWO.network, TWO.training), start=start).fit(TRAIN, DEV[:8], 3)
        assert model.table is None and len(model.since) == 3
        assert model.encoder.characters == Encoder(TRAIN, 1).characters
        assert model.network.local.norm() > 0, "no pretrained table: words start at random"
        other = fit_contextual(start, TRAIN, DEV[:8], 3, TWO)
        texts = [u.text for u in DEV[:5]]
        assert model.predict(texts) == other.predict(texts)
        own, read = model.parameters()
        assert read == sum(p.numel() for p in reader.parameters())
        assert own + read == sum(p.numel() for p in model.network.parameters())
        over = fit_contextual(ContextStart(WordVectors(table)), TRAIN, [], 3, TWO)
        assert over.parameters()[1] == table.rows.size + table.buckets.size and over.since == ()

    def test_without_dev_utterances_layers_are_unfrozen_at_the_latest(self, known):
        assert fit_contextual(ContextStart(known), TRAIN, [], 1, TWO).since == (0.5, 0.75), "none when it is over"

    def test_the_watched_loss_can_be_followed_to_the_end_and_following_it_changes_nothing(self, known):
        start, losses = ContextStart(known, UnfreezingConfig(latest=0.25)), {}
        followed = fit_contextual(start, TRAIN, DEV[:8], 3, TWO, on_loss=losses.__setitem__)
        alone = fit_contextual(start, TRAIN, DEV[:8], 3, TWO)
        assert list(losses) == [2, 4, 6, 8] and all(0 < loss < 1e3 for loss in losses.values())
        assert followed.since == alone.since == (0.25, 0.5, 0.75), "the last look has nothing left to unfreeze"
        pairs = zip(followed.network.parameters(), alone.network.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)

    def test_mean_loss_is_that_of_all_utterances_whatever_the_batches(self, known):
        model = fit_contextual(ContextStart(known, UnfreezingConfig("frozen")), TRAIN, [], 1, TWO)
        gold = model.encoder.encode_gold(DEV[:9], [known.base.table], TWO.network.dim)
        encoded = ContextEncoded(gold, model.network.embedding)
        assert mean_loss(model.network, encoded, 4) == pytest.approx(mean_loss(model.network, encoded, 9), rel=1e-5)

    def test_paces_name_every_parameter_once(self, known):
        network = ContextualNetwork(Encoder(TRAIN, 1, known.base.characters), TWO.network, known.embedding, False)
        seen = Counter()
        paces = paces_of(network, lambda part, update: seen.update([part]) or float(update))
        shares = sorted(share for pace in paces for share in pace.shares)
        assert shares == sorted((name, 0) for name, _ in network.named_parameters())
        assert {pace.speed(3) for pace in paces} == {3.0}
        assert set(seen) == {
            "words", "characters", "common", "tagger", "classifier", "heads", "context",
            "embedding 0", "embedding 1", "embedding 2",
        }  # fmt: skip


def test_pretraining_counts_the_embedding_in(reader):
    """The loss of a batch depends on what the embedding says of it."""
    model = ContextPretraining(DOMAINS, ONE, reader).eval()
    before = model.loss(model.domains[0], np.arange(9), True)
    with torch.no_grad():
        model.network.embedding.scale *= 3
    assert abs(model.loss(model.domains[0], np.arange(9), True) - before) > 1e-4
