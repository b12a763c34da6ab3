"""Finds test utterances whose template training never showed: a control of the first claims of chapters 1 and 2.

A template is a text with each slot value replaced by the slot's type. ``python -m slubook.ch2_transfer.templates``
reads the public corpora and trains nothing. For every published cell it writes into ``results/slices.json`` which test
utterances are not in the slice ``new_template``: their places in the test set, no text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tqdm import tqdm

from slubook.ch1_skills.skillsets import Skill, fingerprint, public_skills
from slubook.ch2_transfer.drawn import drawn_skills
from slubook.corpora.dedupe import normalise
from slubook.corpora.utterance import Utterance
from slubook.experiments.records import SLICES, RecordsError, Results
from slubook.files import write_atomically
from slubook.profiles import RESULTS

NAME = "new_template"


def template(utterance: Utterance) -> str:
    """Returns the normalised text with a word that names the type for each slot value."""
    text = utterance.text
    for slot in sorted(utterance.slots, key=lambda s: s.start, reverse=True):
        text = f"{text[: slot.start]} slotof{slot.type} {text[slot.end :]}"
    return normalise(text)


def shown(skill: Skill, size: int, seed: int) -> list[int]:
    """Returns the places of the test utterances whose template a training utterance of the draw has."""
    trained = {template(u) for u in skill.draw(size, seed)[0]}
    return [place for place, u in enumerate(skill.test) if template(u) in trained]


def slices(results: Results, skills: Mapping[str, Skill]) -> Iterator[dict[str, Any]]:
    """Yields what the slice of each cell of some results leaves out.

    Raises:
        RecordsError: when the corpora give another split than the one that was measured.
    """
    for name in results.skills:
        if results.stamp["data"][name] != fingerprint(skills[name]):
            raise RecordsError(f"{results.experiment}: the corpora give another split of {name} than was published")
    cells = dict.fromkeys((row.skill, row.size, row.seed) for row in results.rows)
    for skill, size, seed in tqdm(cells, desc=results.experiment, unit="cell"):
        yield {"skill": skill, "size": size, "seed": seed, "without": {NAME: shown(skills[skill], size, seed)}}


if __name__ == "__main__":
    found = {
        "skills": {skill.name: skill for skill in public_skills()},
        "transfer": {skill.name: skill for skill, _ in drawn_skills()},
    }
    made = {name: [*slices(Results.load(RESULTS / f"{name}.json"), skills)] for name, skills in found.items()}
    lines = (f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, cells)) + "\n ]" for name, cells in made.items())
    write_atomically(RESULTS / SLICES, "{\n" + ",\n".join(lines) + "\n}\n")
