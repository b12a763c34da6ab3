"""The embedded skills: interaction models written for this book, and test utterances worded independently of them.

Each folder ``skills/<name>`` holds ``en-US.json``, an Alexa Skills Kit interaction model as a developer would write
it, and ``test.jsonl``, what somebody who had never seen the samples might say. Training data are the samples with
their braces filled; a third of the values in the tests are in no list.

Traps:
    * Fillings of one sample share its words: a dev set drawn from them says little. The test utterances are the ones
      to believe.
    * Filled samples are not always English ("a extra large flat white"); a developer's real training data are not, too.
    * Tests were written by few people, who knew the skill's purpose; real users ask for what no skill foresees.
    * A possessive *'s* after a slot is fitted into it, as tokens are whole.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from slubook.corpora import ask, jsonl
from slubook.corpora.errors import CorpusError
from slubook.corpora.utterance import Utterance

ROOT = Path(str(resources.files("slubook.corpora"))) / "skills"
#: Fillings of each sample, and the seed of the shuffled values, wherever an interaction model becomes a corpus.
PER_SAMPLE, SEED = 6, 0


def embedded_skills() -> list[str]:
    """Lists the names of the embedded skills, in order."""
    return sorted(path.parent.name for path in ROOT.glob("*/en-US.json"))


def model(name: str) -> ask.InteractionModel:
    """Reads the interaction model of an embedded skill.

    Raises:
        CorpusError: for an unknown name.
    """
    if name not in embedded_skills():
        raise CorpusError(f"skill {name!r} is unknown: choose one of {', '.join(embedded_skills())}")
    return ask.read(ROOT / name / "en-US.json", name)


def load(name: str) -> list[Utterance]:
    """Reads a skill: its expanded samples (split ``"train"``) and its test utterances (split ``"test"``)."""
    return ask.expand(model(name), PER_SAMPLE, SEED) + jsonl.read(ROOT / name / "test.jsonl")
