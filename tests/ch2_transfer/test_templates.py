"""The slice ``new_template``, a control of the first claims of chapters 1 and 2: made here, and held to the corpora.

A template is a text with each slot value replaced by the slot's type. ``python tests/ch2_transfer/test_templates.py``
reads the public corpora and trains nothing. For every published cell of ``skills`` and ``transfer`` it writes into
``results/slices.json`` which test utterances are not in the slice, because a training utterance of the draw has their
template: their places in the test set, no text.
"""

import json

import pytest
from tqdm import tqdm

from slubook.ch1_skills.skillsets import fingerprint, make_skill, public_skills
from slubook.ch2_transfer.drawn import drawn_skills
from slubook.corpora.dedupe import normalise
from slubook.corpora.utterance import Slot, Utterance
from slubook.experiments.records import SLICES, RecordsError, Results, Row
from slubook.files import write_atomically
from slubook.profiles import RESULTS

NAME = "new_template"
SKILLS = {"skills": public_skills, "transfer": lambda: [skill for skill, _ in drawn_skills()]}


def template(utterance):
    """The normalised text with a word that names the type for each slot value."""
    text = utterance.text
    for slot in sorted(utterance.slots, key=lambda s: s.start, reverse=True):
        text = f"{text[: slot.start]} slotof{slot.type} {text[slot.end :]}"
    return normalise(text)


def shown(skill, size, seed):
    """The places of the test utterances whose template a training utterance of the draw has."""
    trained = {template(u) for u in skill.draw(size, seed)[0]}
    return [place for place, u in enumerate(skill.test) if template(u) in trained]


def cells_of(results, skills, only=slice(None)):
    """What the slice of each cell leaves out; a RecordsError where the corpora give another split than was measured."""
    for name in results.skills:
        if results.stamp["data"][name] != fingerprint(skills[name]):
            raise RecordsError(f"{results.experiment}: the corpora give another split of {name} than was published")
    cells = [*dict.fromkeys((row.skill, row.size, row.seed) for row in results.rows)][only]
    for skill, size, seed in tqdm(cells, desc=results.experiment, unit="cell", disable=None):
        yield {"skill": skill, "size": size, "seed": seed, "without": {NAME: shown(skills[skill], size, seed)}}


def published(experiment):
    return Results.load(RESULTS / f"{experiment}.json"), json.loads((RESULTS / SLICES).read_text("utf-8"))[experiment]


def said(text, *slots):
    return Utterance("u", text, "Book", tuple(Slot(*slot) for slot in slots))


def test_values_do_not_tell_templates_apart_and_types_and_words_do():
    paris = said("Fly to Paris, on May 3!", ("city", 7, 12), ("date", 17, 22))
    assert template(paris) == template(said("fly to new york on sunday", ("date", 19, 25), ("city", 7, 15)))
    assert template(said("to rome", ("city", 3, 7))) != template(said("to rome", ("place", 3, 7)))
    assert template(said("to rome", ("city", 3, 7))) != template(said("to rome"))
    assert template(said("to rome please", ("city", 3, 7))) != template(said("to rome", ("city", 3, 7)))


def test_every_cell_has_its_slice_and_another_split_is_refused(toy_skill):
    skill = make_skill("toy", "toy", ["shopping"], toy_skill)
    rows = [Row("toy", method, 9, seed, None) for seed in (0, 1) for method in ("a", "b")]
    results = Results("skills", {"data": {"toy": fingerprint(skill)}}, {}, rows)
    made = [*cells_of(results, {"toy": skill})]
    assert [(cell["size"], cell["seed"]) for cell in made] == [(9, 0), (9, 1)]
    assert [cell["without"] for cell in made] == [{NAME: shown(skill, 9, seed)} for seed in (0, 1)]
    assert any(0 < len(cell["without"][NAME]) < len(skill.test) for cell in made)
    results.stamp["data"]["toy"] = "ab"
    with pytest.raises(RecordsError, match="another split of toy"):
        [*cells_of(results, {"toy": skill})]


@pytest.mark.parametrize("experiment", SKILLS)
def test_the_published_slices_cover_every_published_cell(experiment):
    results, cells = published(experiment)
    of = {(cell["skill"], cell["size"], cell["seed"]): cell["without"] for cell in cells}
    assert of.keys() == {(row.skill, row.size, row.seed) for row in results.rows}
    for (skill, *_), without in of.items():
        places, count = without[NAME], len(results.tests[skill].ids)
        assert list(without) == [NAME] and places == sorted(set(places)) and set(places) <= set(range(count))


@pytest.mark.parametrize("experiment", SKILLS)
def test_the_published_slices_are_those_of_the_corpora(experiment, public):
    for source in ("sgd", "hwu64", "hinglish_top", "snips", "clinc150", "polyai"):
        public(source)
    results, cells = published(experiment)
    some = slice(None, None, 7)
    assert [*cells_of(results, {skill.name: skill for skill in SKILLS[experiment]()}, some)] == cells[some]


if __name__ == "__main__":
    made = {}
    for name, skills in SKILLS.items():
        results = Results.load(RESULTS / f"{name}.json")
        made[name] = ",\n  ".join(map(json.dumps, cells_of(results, {skill.name: skill for skill in skills()})))
    blocks = ",\n".join(f' "{name}": [\n  {lines}\n ]' for name, lines in made.items())
    write_atomically(RESULTS / SLICES, f"{{\n{blocks}\n}}\n")
