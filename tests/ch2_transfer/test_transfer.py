"""Transfer in the small: what stage one leaves, what stage two keeps of it, and that it helps where it should."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from slubook.ch1_skills.encoding import Encoder
from slubook.ch1_skills.network import NetworkConfig
from slubook.ch1_skills.training import TrainingConfig
from slubook.ch1_skills.vectors import VectorTable
from slubook.ch2_transfer.pretrained import MOVABLE, Pretrained
from slubook.ch2_transfer.pretraining import Pretraining, PretrainingConfig, _shuffle, pretrain
from slubook.ch2_transfer.source import make_domain
from slubook.ch2_transfer.stacked import PARTS, StackedNetwork
from slubook.ch2_transfer.transfer import LOWER_LAYERS, Start, TransferConfig, _paces, fit_starts
from slubook.corpora.utterance import Slot, Utterance

CITIES = ["london", "paris", "new york", "oslo", "san jose", "rome", "cape town", "lima"]
DATES = ["today", "next friday", "tomorrow", "may third", "sunday", "the first of june"]
PHRASES = {
    "Book": ["book a {noun} in {city} for {date}", "i want a {noun} for {date}", "get me a {noun} in {city}"],
    "Cancel": ["cancel my {noun} in {city}", "drop the {noun} of {date}", "no {noun} in {city} any more"],
    "Show": ["which {noun} do i have in {city}", "show the {noun} of {date}", "list every {noun}"],
}
SMALL = NetworkConfig(
    dim=8, project=16, char_dim=4, char_filters=6, hidden=10, layers=3, dropout=0.1, word_dropout=0.1, ngram_order=0
)
STAGE_ONE = PretrainingConfig(SMALL, updates=100, batch=32, rate=2e-2, least=2, characters=30)
STAGE_TWO = TransferConfig(
    replace(SMALL, dim=16, ngram_order=1), TrainingConfig(rate=5e-3, batch=8, updates=24, evaluations=4, average=0.5)
)


def domain(noun: str, city: str, date: str, count: int = 60, seed: int = 1) -> list[Utterance]:
    """Requests of one service: its own noun and label names over the same phrases."""
    draw, made = random.Random(f"{noun}{seed}"), []
    for i in range(count):
        intent = list(PHRASES)[i % len(PHRASES)]
        text, slots = "", []
        for n, piece in enumerate(draw.choice(PHRASES[intent]).replace("}", "{").split("{")):
            if n % 2:
                label, values = {"noun": ("", [noun]), "city": (city, CITIES), "date": (date, DATES)}[piece]
                piece = draw.choice(values)
                slots += [Slot(label, len(text), len(text) + len(piece))] if label else []
            text += piece
        made.append(Utterance(f"{noun}-{i}", text, f"{intent}{noun.title()}Intent", tuple(slots), noun))
    return made


DOMAINS = [
    make_domain(f"toy/{noun}", domain(noun, city, date))
    for noun, city, date in (
        ("flight", "DepartureCity", "travel_date"),
        ("hotel", "hotel_city", "arrivalDate"),
        ("meeting", "meetingCity", "MEETING_DATE"),
    )
]
TAXI = domain("taxi", "pickup-city", "RideDate", 50)
TRAIN, DEV = TAXI[:6], TAXI[6:]


@pytest.fixture(scope="module")
def known() -> Pretrained:
    """Pretrained on three toy domains, none of them taxis."""
    return pretrain("toy", DOMAINS, STAGE_ONE)


def weights(pretrained: Pretrained) -> dict[str, torch.Tensor]:
    return pretrained.weights | {f"heads.{n}": v for n, v in pretrained.heads.state_dict().items()}


def same(a: dict, b: dict) -> list[bool]:
    assert a.keys() == b.keys()
    return [torch.equal(a[n], b[n]) for n in a]


class TestStageOne:
    def test_the_seed_decides(self, known):
        short = replace(STAGE_ONE, updates=6)
        one, again, other = (pretrain("toy", DOMAINS, short, seed=s) for s in (1, 1, 2))
        assert all(same(weights(one), weights(again)))
        assert np.array_equal(one.table.rows, again.table.rows) and one.table.index == again.table.index
        assert not torch.equal(one.weights["encoders.0.w_in"], other.weights["encoders.0.w_in"])

    def test_shuffled_labels_make_another_network(self):
        short = replace(STAGE_ONE, updates=6)
        true, false = (pretrain("toy", DOMAINS, replace(short, shuffled=s)) for s in (False, True))
        assert not any(
            same({n: true.weights[n] for n in PARTS["tagger"]}, {n: false.weights[n] for n in PARTS["tagger"]})
        )

    def test_shuffling_deals_out_the_same_labels_again_and_every_sequence_stays_legal(self):
        model = Pretraining(DOMAINS, STAGE_ONE, None)
        before = [(d.intents.copy(), list(d.tags)) for d in model.domains]
        _shuffle(model.domains, np.random.default_rng(0))
        for d, (intents, tags) in zip(model.domains, before, strict=True):
            assert sorted(d.intents) == sorted(intents) and (d.intents != intents).any()
            assert [len(t) for t in d.tags] == [len(w) for w in d.words]
            assert sorted(map(tuple, d.tags)) == sorted(map(tuple, tags))
            assert sum(not np.array_equal(a, b) for a, b in zip(d.tags, tags, strict=True)) > len(tags) / 3
            assert model.loss(d, np.arange(len(tags)), own=False) < 100  # an illegal sequence costs thousands

    def test_an_unknown_word_is_met_as_the_source_met_it_and_a_known_one_too(self):
        """The words' part of the source's network, against that of a network which takes them over."""
        torch.manual_seed(0)
        draw = np.random.default_rng(0)
        rows, buckets = (draw.normal(size=(n, 8)).astype(np.float16) / 2 for n in (2, 5))
        generic = VectorTable("generic", {"london": 0, "zebra": 1}, rows, buckets, (2, 3))
        for table in (None, generic):
            source = Pretraining(DOMAINS, STAGE_ONE, table).eval()
            torch.nn.init.normal_(source.network.local)
            torch.nn.init.normal_(source.network.project.bias)
            found = source.finished("found", table)
            encoder = Encoder(TRAIN, 1, found.characters)
            network = StackedNetwork(encoder, STAGE_TWO.network, [False]).eval()
            found.carry_over(network, 0, encoder, LOWER_LAYERS)
            for text in ("london cancel flight", "zebra", "qqqq wwww", "friday zzz"):
                old = source.encoder.encode([text], [table], 8).batch([0])
                new = encoder.encode([text], [found.table], 16).batch([0])
                for a, b in zip(source.network.encode(old), network.encode(new), strict=True):
                    torch.testing.assert_close(a, b, rtol=0, atol=2e-3)  # the table's rows are half as precise
        assert len(found.table.buckets) == 5 and found.table.ngrams == (2, 3)

    def test_bad_sources_are_refused(self):
        with pytest.raises(ValueError, match="no source domains"):
            pretrain("none", [])
        wide = VectorTable("wide", {"a": 0}, np.ones((1, 9), np.float16), np.zeros((0, 9), np.float16))
        with pytest.raises(ValueError, match="'wide' has 9 dimensions, the network reads 8"):
            pretrain("wide", DOMAINS, STAGE_ONE, wide)

    def test_a_domain_without_slots_or_without_intents_teaches_the_rest(self):
        plain = make_domain("plain", [replace(u, slots=()) for u in DOMAINS[0].utterances])
        mute = make_domain("mute", [replace(u, intent="") for u in DOMAINS[1].utterances])
        model = Pretraining([plain, mute], STAGE_ONE, None)
        rows = np.arange(12)
        for d, reached, spared in zip(model.domains, ("classifier", "tagger"), ("tagger", "classifier"), strict=True):
            model.zero_grad()
            model.heads.intent.data.normal_(), model.heads.begin.data.normal_(), model.heads.outside.data.normal_()
            model.loss(d, rows, own=True).backward()
            gradient = {part: model.network.get_parameter(PARTS[part][0]).grad for part in ("tagger", "classifier")}
            assert gradient[reached].abs().sum() > 0
            assert gradient[spared] is None or not gradient[spared].any()

    def test_utterances_of_unknown_intent_count_for_slots_only(self):
        """In dialogues, an answer states no intent; the loss of a batch is then that of the others."""
        plain = make_domain("plain", [replace(u, slots=()) for u in DOMAINS[0].utterances])
        model = Pretraining([plain], STAGE_ONE, None).eval()
        torch.nn.init.normal_(model.heads.intent)
        [d] = model.domains
        whole, half = model.loss(d, np.arange(20), own=True), model.loss(d, np.arange(10, 20), own=True)
        assert abs(whole - half) > 1e-4
        d.intents[:10] = -1
        torch.testing.assert_close(model.loss(d, np.arange(20), own=True), half)
        assert model.loss(d, np.arange(10), own=True) == 0


class TestStart:
    def test_gradual_unfreezing_goes_down_from_the_top(self, known):
        start = Start(known, LOWER_LAYERS, rate=0.5, unfreezing="gradual")
        down = ("classifier", "tagger", "common", "characters", "words")
        for progress, free in ((1e-6, 1), (0.0999, 1), (0.1, 2), (0.2, 3), (0.3, 4), (0.3999, 4), (0.4, 5), (1.0, 5)):
            assert [start.speed(p, progress) for p in down] == [0.5] * free + [0.0] * (5 - free), progress
            assert start.speed("heads", progress) == 0.5  # new, not moved

    def test_only_moved_parts_wait(self, known):
        start = Start(known, ("common", "heads"), unfreezing="gradual")
        assert [start.speed("heads", p) for p in (0.01, 1.0)] == [1.0, 1.0]
        assert [start.speed("common", p) for p in (0.24, 0.25)] == [0.0, 1.0]
        assert start.speed("words", 0.01) == start.speed("tagger", 0.01) == 1.0

    def test_frozen_is_for_ever_and_for_moved_parts(self, known):
        start = Start(known, ("words", "common"), rate=2.0, unfreezing="frozen")
        assert [start.speed(p, 1.0) for p in MOVABLE] == [0.0, 2.0, 0.0, 2.0, 2.0, 2.0]

    @pytest.mark.parametrize(
        ("parts", "unfreezing", "given", "says"),
        [
            (("common",), "slowly", True, "'slowly' is unknown: use all, frozen, gradual"),
            (("common", "legs"), "all", True, "part 'legs' cannot move"),
            (("common",), "all", False, "parts move from a pretrained network"),
        ],
    )
    def test_bad_starts(self, known, parts, unfreezing, given, says):
        with pytest.raises(ValueError, match=says):
            Start(known if given else None, parts, unfreezing=unfreezing)

    def test_words_have_one_table(self, known):
        assert Start(known, ("words",)).vectors is known.table and Start(known, ("common",)).vectors is None
        assert Start(known, ("common",), table=known.table).vectors is Start(table=known.table).vectors is known.table
        with pytest.raises(ValueError, match="give no other one"):
            Start(known, ("words",), table=known.table)


def differences(network: StackedNetwork, before: StackedNetwork) -> set[str]:
    """The parts in which two single networks differ."""
    return {
        part
        for part, names in PARTS.items()
        if any(not torch.equal(network.get_parameter(n), before.get_parameter(n)) for n in names)
    }


class TestStageTwo:
    def test_a_transferred_start_is_ahead_early(self, known):
        seen: dict[int, list[float]] = {}
        untaught = pretrain("untaught", DOMAINS, replace(STAGE_ONE, shuffled=True))
        starts = {
            "scratch": Start(),
            "lower": Start(known, LOWER_LAYERS),
            "all": Start(known, MOVABLE),
            "untaught": Start(untaught, MOVABLE),
        }
        longer = replace(STAGE_TWO, training=replace(STAGE_TWO.training, updates=30, evaluations=1))
        for seed in (1, 2, 3):
            fit_starts(starts, TRAIN, DEV, seed, longer, lambda u, e: seen.setdefault(u, []).append(e))
        scratch, lower, everything, control = np.mean(seen[30], 0)
        assert scratch > 0.7  # six utterances and thirty updates are next to nothing
        assert lower < scratch - 0.15
        assert everything < 0.2
        assert control > everything + 0.3  # it is the labels that help, not the text

    def test_frozen_parts_keep_every_bit_and_others_learn(self, known):
        starts = {
            "all": Start(known, LOWER_LAYERS),
            "frozen": Start(known, LOWER_LAYERS, unfreezing="frozen"),
            "common": Start(known, ("common",), unfreezing="frozen"),
        }
        short = replace(STAGE_TWO, training=replace(STAGE_TWO.training, updates=4, evaluations=1))
        models = fit_starts(starts, TRAIN, [], 1, short)
        encoder = models["all"].encoder
        before = StackedNetwork(encoder, short.network, [False])
        known.carry_over(before, 0, encoder, LOWER_LAYERS)
        changed = {name: differences(m.network, before) for name, m in models.items()}
        assert changed == {"all": set(PARTS), "frozen": {"heads"}, "common": set(PARTS) - {"common"}}
        assert [m.table for m in models.values()] == [known.table, known.table, None]  # its words did not move

    def test_paces_follow_the_updates_network_by_network(self, known):
        starts = [Start(), Start(known, LOWER_LAYERS, unfreezing="gradual"), Start(known, LOWER_LAYERS, 0.5, "frozen")]
        paces = _paces(starts, 10)
        pace_of = {share: pace for pace in paces for share in pace.shares}
        names = [(name, part) for part, of in PARTS.items() for name in of]
        assert len(pace_of) == sum(len(pace.shares) for pace in paces) == 3 * len(names), "each share once"
        for update, waits in ((1, {"words", "characters", "common"}), (3, {"words"}), (4, set()), (10, set())):
            for name, part in names:
                found = [pace_of[name, g].speed(update) for g in range(3)]
                assert found == [1.0, float(part not in waits), 0.5 * (part == "heads")], (update, name)
        assert _paces([Start(), Start(known, MOVABLE), Start()], 10) == []  # nothing to slow down
        assert len(_paces([Start(), Start(known, MOVABLE, 0.5), Start(known, MOVABLE, 0.5)], 10)) == 2

    def test_parts_that_start_at_random_may_have_a_rate_of_their_own(self, known):
        assert _paces([Start(known, LOWER_LAYERS, fresh=1.0)], 10) == []
        paces = _paces([Start(known, LOWER_LAYERS, 0.5, fresh=2.0), Start(rate=2.0)], 10)
        speed = {share: pace.speed(3) for pace in paces for share in pace.shares}
        assert len(paces) == 2 and speed["tag_head.weight", 0] == speed["intent_ngrams.weight", 0] == 2.0
        assert speed["encoders.0.w_in", 0] == speed["local", 0] == 0.5
        assert {speed[name, 1] for names in PARTS.values() for name in names} == {2.0}
        frozen = Start(known, LOWER_LAYERS, unfreezing="frozen", fresh=2.0)
        assert [frozen.speed(part, 0.1) for part in ("common", "heads")] == [0.0, 2.0]

    def test_a_bank_with_paces_trains_its_plain_start_as_one_without(self, known):
        short = replace(STAGE_TWO, training=replace(STAGE_TWO.training, updates=4, evaluations=1))
        starts = {"a": Start(known, MOVABLE), "b": Start(known, MOVABLE)}
        slowed = {**starts, "b": Start(known, MOVABLE, unfreezing="gradual", rate=0.5)}
        plain, other = (fit_starts(s, TRAIN, [], 3, short) for s in (starts, slowed))
        for name, alike in (("a", True), ("b", False)):
            pairs = zip(plain[name].network.parameters(), other[name].network.parameters(), strict=True)
            assert all([torch.allclose(x, y, atol=1e-6) for x, y in pairs]) is alike

    def test_results_know_their_words_and_repeat_themselves(self, known):
        short = replace(STAGE_TWO, training=replace(STAGE_TWO.training, updates=3, evaluations=1))
        texts = [u.text for u in DEV[:9]] + ["", "quagga"]
        runs = [fit_starts({"s": Start(), "t": Start(known, MOVABLE)}, TRAIN, DEV[:5], 4, short) for _ in range(2)]
        assert list(runs[0]) == ["s", "t"]
        assert (runs[0]["s"].table, runs[0]["t"].table) == (None, known.table)
        for name in "st":
            assert runs[0][name].predict(texts) == runs[1][name].predict(texts)
        assert runs[0]["t"].encoder.characters == known.characters

    def test_what_cannot_be_trained_together(self, known):
        other = replace(known, characters={"x": 2})
        with pytest.raises(ValueError, match="two pretrained networks read other characters"):
            fit_starts({"a": Start(known, MOVABLE), "b": Start(other, MOVABLE)}, TRAIN, DEV, 1, STAGE_TWO)
        with pytest.raises(ValueError, match="no training utterances"):
            fit_starts({"a": Start(known, MOVABLE)}, [], DEV, 1, STAGE_TWO)

    def test_another_size_is_refused(self, known):
        wider = replace(STAGE_TWO, network=replace(STAGE_TWO.network, hidden=11))
        with pytest.raises(ValueError, match="hidden 11, the pretrained one 10"):
            fit_starts({"a": Start(known, ("common",))}, TRAIN, DEV, 1, wider)
