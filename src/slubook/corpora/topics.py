"""What an utterance is about, by one set of names for all corpora.

"Leave the skill's domain out" means its topic in every corpus: SNIPS, HWU64, SGD and the rest all know restaurants,
music and the weather. The table is ``topics.yml``, made by hand. Taught in notebook 00, *Meet the data*.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

import yaml

from slubook.corpora import registry
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Utterance


def topics_of(utterance: Utterance, corpus: str) -> frozenset[str]:
    """All topics of an utterance: more than one where a turn serves several services.

    Args:
        utterance: of that corpus.
        corpus: a name of the registry. The domains of a corpus that the table does not list (a file of the
            user's) are their own topics.

    Raises:
        CorpusError: when the table lists the corpus but neither the intent nor the domain.
    """
    table = _table(corpus)
    if table is None:
        return frozenset({utterance.domain})
    if utterance.intent in table:
        return frozenset({table[utterance.intent]})
    missing = [domain for domain in utterance.domain.split("+") if domain not in table]
    if missing:
        raise CorpusError(f"topics.yml gives corpus {corpus!r} no topic for domain {missing[0]!r}: add a line there")
    return frozenset(table[domain] for domain in utterance.domain.split("+"))


def topic_of(utterance: Utterance, corpus: str) -> str:
    """The topic of an utterance; several are sorted and joined by ``+``. See :func:`topics_of`."""
    return "+".join(sorted(topics_of(utterance, corpus)))


def topic_table(corpora: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The table itself: for each topic, the domains and intents of each of the ``corpora`` that are about it."""
    found: dict[str, dict[str, list[str]]] = {}
    for corpus in corpora:
        for label, topic in (_table(corpus) or {}).items():
            found.setdefault(topic, {}).setdefault(corpus, []).append(label)
    return dict(sorted(found.items()))


@cache
def _table(corpus: str) -> dict[str, str] | None:
    """The table of a corpus of the book; ``None`` for a file of the user's."""
    return None if registry.is_file(corpus) else _tables().get(corpus.split("/")[0])


@cache
def _tables() -> dict[str, dict[str, str]]:
    return yaml.safe_load(resources.files("slubook.corpora").joinpath("topics.yml").read_text(encoding="utf-8"))
