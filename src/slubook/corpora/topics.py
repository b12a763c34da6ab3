"""Topics of utterances: one set of names for all corpora.

"Without the skill's domain" means without its topic in every corpus: SNIPS, HWU64, SGD and others all have restaurants,
music and the weather. The table, ``topics.yml``, was made by hand. Taught in notebook 00, *Meet the data*.
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
    """Returns all topics of an utterance: several where a turn addresses several services.

    Args:
        utterance: of that corpus.
        corpus: a name of the registry. In a corpus that the table does not list (a file of the user's), domains are
            their own topics.

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
    """Returns the topic of an utterance; several are sorted and joined by ``+``. See :func:`topics_of`."""
    return "+".join(sorted(topics_of(utterance, corpus)))


def topic_table(corpora: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Returns the table: for each topic, its domains and intents in each of the ``corpora``."""
    found: dict[str, dict[str, list[str]]] = {}
    for corpus in corpora:
        for label, topic in (_table(corpus) or {}).items():
            found.setdefault(topic, {}).setdefault(corpus, []).append(label)
    return dict(sorted(found.items()))


@cache
def _table(corpus: str) -> dict[str, str] | None:
    """Returns the table of a corpus of the book; ``None`` for a file of the user's."""
    return None if registry.is_file(corpus) else _tables().get(corpus.split("/")[0])


@cache
def _tables() -> dict[str, dict[str, str]]:
    return yaml.safe_load(resources.files("slubook.corpora").joinpath("topics.yml").read_text(encoding="utf-8"))
