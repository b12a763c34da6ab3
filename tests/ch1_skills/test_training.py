"""The training loop learns, repeats itself, and keeps the best weights of each network."""

import pytest
import torch

from slubook.ch1_skills.dnn import DNN, DNNConfig, fit_together
from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import Network, NetworkConfig
from slubook.ch1_skills.training import Pace, TrainingConfig, batches, keep, one_cycle, predict, swap, train
from slubook.evaluation.metrics import mistakes
from slubook.evaluation.model import NLUModel
from slubook.profiles import seed_everything

SMALL = DNNConfig(
    NetworkConfig(dim=8, project=16, char_dim=6, char_filters=8, hidden=12, dropout=0.2, word_dropout=0.25),
    TrainingConfig(rate=1e-2, batch=8, updates=180, evaluations=6, average=0.9),
)


def setting(skill, groups=1, config=SMALL):
    """A bank before training, and its encoded train and dev parts."""
    seed_everything(3)
    encoder = Encoder(skill[:40], config.network.ngram_order)
    network = Network(encoder, config.network, [True] * groups)
    parts = (encoder.encode_gold(part, [None] * groups, 8) for part in (skill[:40], skill[40:]))
    return network, encoder, *parts


class TestBatches:
    def test_every_row_once_an_epoch_in_a_fresh_order(self):
        made = batches([5] * 10, TrainingConfig(batch=4, updates=6), seed=1)
        first, second = ([r for rows in made[i : i + 3] for r in rows] for i in (0, 3))
        assert [sorted(map(len, made[i : i + 3])) for i in (0, 3)] == [[2, 4, 4]] * 2
        assert sorted(first) == sorted(second) == list(range(10))
        assert first != second

    def test_as_many_as_updates(self):
        assert len(batches([5] * 10, TrainingConfig(batch=4, updates=7), seed=1)) == 7

    def test_like_lengths_share_a_batch(self):
        lengths = [29, 2, 19, 10] * 4
        made = batches(lengths, TrainingConfig(batch=4, updates=4), seed=1)
        assert sorted(tuple(sorted(lengths[r] for r in rows)) for rows in made) == [(k,) * 4 for k in (2, 10, 19, 29)]

    def test_the_seed_decides(self):
        config = TrainingConfig(batch=4, updates=6)
        assert batches([5] * 10, config, 1) == batches([5] * 10, config, 1) != batches([5] * 10, config, 2)

    def test_nothing_to_cut(self):
        with pytest.raises(ValueError, match="no training utterances"):
            batches([], TrainingConfig(), 1)


def test_the_loss_falls_and_the_skill_is_learned(toy_skill):
    network, encoder, data, dev = setting(toy_skill)
    rows = range(len(data))
    before = network.eval().loss(data.batch(rows)).item()
    train(network, encoder, data, dev, toy_skill[40:], SMALL.training, 3)
    after = network.eval().loss(data.batch(rows)).item()
    assert after < before / 5
    assert mistakes(toy_skill[40:], predict(network, encoder, dev)[0]) <= 8  # of 20; untaught, nearly all are wrong


def test_each_network_keeps_its_best_evaluation(toy_skill):
    network, encoder, data, dev = setting(toy_skill, groups=2)
    seen: list[tuple[int, list[float]]] = []
    short = TrainingConfig(rate=2e-2, batch=8, updates=40, evaluations=10, average=0.5)
    errors = train(network, encoder, data, dev, toy_skill[40:], short, 3, lambda *e: seen.append(e))
    assert [step for step, _ in seen] == list(range(4, 41, 4))
    assert errors == [min(e[g] for _, e in seen) for g in range(2)]
    kept = [mistakes(toy_skill[40:], p) / len(dev) for p in predict(network, encoder, dev)]
    assert kept == errors


def test_without_dev_the_last_average_is_kept(toy_skill):
    network, encoder, data, _ = setting(toy_skill)
    nothing = encoder.encode_gold([], [None], 8)
    assert train(network, encoder, data, nothing, [], SMALL.training, 3) == [0.0]
    assert mistakes(toy_skill[:40], predict(network, encoder, data)[0]) <= 4


def test_twice_the_same_to_the_last_bit(toy_skill):
    runs = [DNN(None, SMALL).fit(toy_skill[:40], toy_skill[40:], seed=5) for _ in range(2)]
    for a, b in zip(runs[0].network.parameters(), runs[1].network.parameters(), strict=True):
        assert torch.equal(a, b)
    texts = [u.text for u in toy_skill] + ["something else"]
    assert runs[0].predict(texts) == runs[1].predict(texts)


def test_another_seed_another_network(toy_skill):
    a, b = (DNN(None, SMALL).fit(toy_skill[:40], toy_skill[40:], seed=s) for s in (1, 2))
    assert not torch.equal(a.network.intent_head.weight, b.network.intent_head.weight)


def test_the_model_behind_the_common_door(toy_skill):
    model = DNN(None, SMALL).fit(toy_skill[:40], [], seed=1)
    assert isinstance(model, NLUModel)
    assert model.predict([]) == []
    [empty] = model.predict([""])
    assert empty.slots == ()
    assert 0.0 < empty.confidence <= 1.0
    assert model.size_bytes() > 4 * sum(p.numel() for p in model.network.parameters())
    with pytest.raises(ValueError, match="no training utterances"):
        DNN(None, SMALL).fit([], [])


def test_fitted_together_under_their_names(toy_skill):
    models = fit_together({"one": None, "two": None}, toy_skill[:40], toy_skill[40:], 1, SMALL)
    assert list(models) == ["one", "two"]
    assert not torch.equal(models["one"].network.project.weight, models["two"].network.project.weight)
    for model in models.values():
        assert mistakes(toy_skill[40:], model.predict([u.text for u in toy_skill[40:]])) <= 8


def test_swap_and_keep():
    now, average = [torch.tensor([1.0, 2.0, 3.0, 4.0])], [torch.tensor([5.0, 6.0, 7.0, 8.0])]
    before = swap(now, average)
    assert now[0].tolist() == [5.0, 6.0, 7.0, 8.0]
    assert before[0].tolist() == [1.0, 2.0, 3.0, 4.0]
    keep(before, now, group=1, groups=2)  # two rows a network, as a bi-LSTM has
    assert before[0].tolist() == [1.0, 2.0, 7.0, 8.0]


class TestSpeeds:
    BRIEF = TrainingConfig(rate=1e-2, batch=8, updates=6, evaluations=1, average=0.5)

    def trained(self, skill, speed=None, groups=1, config=BRIEF):
        """Parameters before and after a few updates at ``speed(update, name, network)``."""
        network, encoder, data, _ = setting(skill, groups)
        nothing, asked = encoder.encode_gold([], [None] * groups, 8), []

        def pace(name, g):
            return Pace([(name, g)], lambda update: asked.append(update) or speed(update, name, g))

        names = [(n, g) for n, _ in network.named_parameters() for g in range(groups)] if speed else []
        before = {n: p.detach().clone() for n, p in network.named_parameters()}
        train(network, encoder, data, nothing, [], config, 3, paces=[pace(*share) for share in names])
        assert asked == [update for update in range(1, config.updates + 1) for _ in names]
        return before, dict(network.named_parameters())

    def test_full_speed_is_plain_training(self, toy_skill):
        _, plain = self.trained(toy_skill)
        _, full = self.trained(toy_skill, lambda *_: 1.0)
        assert all(torch.equal(plain[n], full[n]) for n in plain)

    def test_what_is_frozen_keeps_every_bit_and_the_rest_learns(self, toy_skill):
        before, after = self.trained(toy_skill, lambda update, name, g: float(not name.startswith("encoders.0")))
        changed = {n for n in before if not torch.equal(before[n], after[n])}
        assert set(before) - changed == {"encoders.0.w_in", "encoders.0.w_rec", "encoders.0.bias"}

    def test_one_network_of_a_bank_is_frozen_and_the_other_is_none_the_wiser(self, toy_skill):
        _, both = self.trained(toy_skill, groups=2)
        before, after = self.trained(toy_skill, lambda update, name, g: float(g), groups=2)
        for n, p in after.items():
            (frozen, learned), (start, _), (_, free) = (x.unflatten(0, (2, -1)) for x in (p, before[n], both[n]))
            assert torch.equal(frozen, start), n
            torch.testing.assert_close(learned, free, msg=n)  # alone, an optimiser's step rounds otherwise

    def test_half_speed_goes_half_the_way(self, toy_skill):
        once = TrainingConfig(rate=1e-2, batch=8, updates=1, evaluations=1, average=0.5)
        start, full = self.trained(toy_skill, config=once)
        for speed in (0.5, 2.0):
            _, other = self.trained(toy_skill, lambda *_, by=speed: by, config=once)
            for n in start:
                torch.testing.assert_close(other[n] - start[n], speed * (full[n] - start[n]), rtol=1e-4, atol=1e-6)

    def test_frozen_until_an_update(self, toy_skill):
        def late(update, name, g):
            return float(update > 3 or name != "intent_head.weight")

        three = TrainingConfig(rate=1e-2, batch=8, updates=3, evaluations=1, average=0.5)
        before, after = self.trained(toy_skill, late, config=three)
        assert torch.equal(before["intent_head.weight"], after["intent_head.weight"])
        before, after = self.trained(toy_skill, late)
        assert not torch.equal(before["intent_head.weight"], after["intent_head.weight"])


def test_a_schedule_of_ones_own_is_asked_for_each_update_and_scales_the_rate(toy_skill):
    short = TrainingConfig(rate=2e-2, batch=8, updates=3, evaluations=1, weight_decay=0.0)
    for factor, moved in ((0.0, False), (1.0, True)):
        network, encoder, data, dev = setting(toy_skill)
        before = [p.detach().clone() for p in network.parameters()]
        asked: list[int] = []
        train(network, encoder, data, dev, [], short, 3, schedule=lambda u, f=factor, a=asked: (a.append(u), f)[1])
        assert asked == [1, 2, 3, 4]  # the one after the last is asked for, and never used
        assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)) is moved


class TestOneCycle:
    def rates(self, updates, last=20):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 2.0)
        cycle, found = one_cycle(optimizer, updates, last), []
        for _ in range(updates):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            cycle.step()
        return found

    @pytest.mark.parametrize("updates", range(1, 21))
    def test_every_length_has_one(self, updates):
        found, top = self.rates(updates), min(1, updates - 1)
        assert found[0] == pytest.approx(2.0 / 25) and len(found) == updates
        assert found[top] == max(found) <= 2.0 + 1e-9, "up to the second update"
        assert found[top:] == sorted(found[top:], reverse=True), "and down from there"
        if updates > 2:
            assert found[-1] == pytest.approx(2.0 / 25 / 20)

    def test_a_usual_length_is_torchs_own(self):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 2.0)
        own = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 2.0, 40, pct_start=0.1, cycle_momentum=False, final_div_factor=20
        )
        for rate in self.rates(40):
            assert rate == optimizer.param_groups[0]["lr"]
            optimizer.step()
            own.step()

    def test_ten_updates_train(self, toy_skill):
        network, encoder, data, dev = setting(toy_skill)
        ten = TrainingConfig(rate=1e-2, batch=8, updates=10, evaluations=1)
        assert train(network, encoder, data, dev, toy_skill[40:], ten, 3)[0] <= 1.0
        assert all(p.isfinite().all() for p in network.parameters())


def test_the_first_update_takes_the_first_rate(toy_skill):
    one = TrainingConfig(rate=2e-2, batch=8, updates=1, evaluations=1, weight_decay=0.0)
    moved = []
    for schedule in (lambda u: float(u == 1), lambda u: float(u == 2)):
        network, encoder, data, dev = setting(toy_skill)
        before = [p.detach().clone() for p in network.parameters()]
        train(network, encoder, data, dev, [], one, 3, schedule=schedule)
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)))
    assert moved == [True, False]
