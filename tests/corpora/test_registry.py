"""The registry's own promises, and what it says of the real corpora where they are at hand."""

import pytest

from slubook.corpora import registry
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import slot_problems

#: (utterances, domains, intents) of each public corpus at its pinned commit.
COUNTS = {
    "snips": (14484, 1, 7),
    "snips_iob": (14484, 1, 7),
    "hwu64": (11036, 18, 64),
    "sgd": (28204, 45, 46),
    "hinglish_top": (10896, 8, 64),
    "clinc150": (23700, 11, 151),
    "banking77": (13083, 1, 77),
    "nlupp": (3080, 2, 1017),
    "restaurant8k": (11929, 1, 1),
    "taskmaster4": (4843, 1, 1),
}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(CorpusError, match="'snps' is unknown: choose one of snips, "):
        registry.load("snps")


@pytest.mark.public
@pytest.mark.parametrize("name", COUNTS)
def test_public_corpus(name, public):
    public(registry.PUBLIC[name].source)
    utterances = registry.load(name)
    assert (len(utterances), len({u.domain for u in utterances}), len({u.intent for u in utterances})) == COUNTS[name]
    assert len({u.id for u in utterances}) == len(utterances)
    assert not [u.id for u in utterances if slot_problems(u.text, u.slots) or not u.text.strip()]
