"""Language models of a turn's context for decoder B, and the n-best list that is re-scored without a second decoder.

The recipe: replies of training services become templates, ``<v>`` where a value stood. The most frequent ones of the
prompt's kind are filled with the entries of the catalogue, which are counted and not written out. Entries that the
prompt names weigh more, the first and last words of long ones less. Both texts of the previous turn are counted, too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from slubook.ch6_contextual.data import Context, Turn
from slubook.ch6_contextual.ngram import END, ORDER, START, Trigrams, count_texts, mix, train
from slubook.ch6_contextual.recogniser import Decoded

SLOT = "<v>"
#: Templates of a kind that are filled; words of the domain; counts that an n-gram of the domain needs, by order.
TOP, VOCABULARY, LEAST = 120, 4500, (0, 0, 1)
#: What an entry weighs that the prompt names, and a part of a longer one; what a text of the previous turn weighs.
NAMED, PART, TEXT = 5.0, 0.25, 1.0


@dataclass(frozen=True)
class Weights:
    """What A's general model weighs, and what B's model is mixed of; the full profile chooses them on dev."""

    general: float = 0.5
    domain: float = 0.3
    type: float = 0.2
    context: float = 0.5

    def of(self, name: str) -> tuple[float, ...]:
        """Returns those that a list depends on, by its name."""
        return {"general": (), "a": (self.general,)}.get(name, (self.domain, self.type, self.context))


@dataclass
class Replies:
    """What users of training services reply: a model of all, and templates and models by the kind of the prompt."""

    domain: Trigrams
    templates: Mapping[str, Counter[str]]
    texts: Mapping[str, Counter[str]]
    made: dict[str, Trigrams] = field(default_factory=dict)  # of each kind

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> Replies:
        """Collects the replies of training turns."""
        templates: dict[str, Counter[str]] = defaultdict(Counter)
        texts: dict[str, Counter[str]] = defaultdict(Counter)
        for turn in turns:
            for kind in {turn.context.kind, *turn.context.kind.split()[:1]}:  # "REQUEST city" counts as REQUEST, too
                templates[kind][template(turn)] += 1
                texts[kind][turn.text] += 1
            texts[""][turn.text] += 1
        common = {w for w, _ in Counter(w for t in texts[""].elements() for w in t.split()).most_common(VOCABULARY)}
        known = (" ".join(w if w in common else "<UNK>" for w in t.split()) for t in texts[""].elements())
        return cls(train(count_texts(known), LEAST), templates, texts)

    def kind(self, kind: str) -> str:
        """Returns the kind itself, or its acts where no training turn has it, or ``""`` for any."""
        return next((known for known in (kind, kind.split(" ")[0]) if known in self.texts), "")

    def type_model(self, kind: str) -> Trigrams:
        """Returns the model of all replies to a kind of prompt."""
        kind = self.kind(kind)
        if kind not in self.made:
            self.made[kind] = train(count_texts(self.texts[kind].elements())) if kind else self.domain
        return self.made[kind]

    def model(self, context: Context, weights: Weights) -> Trigrams:
        """Returns decoder B's model for a turn; what its context lacks is left to the others of the mixture."""
        parts = [(self.domain, weights.domain)]
        if context.kind:
            parts.append((self.type_model(context.kind), weights.type))
        if context.catalogue or context.named or context.prompt:
            parts.append((self.context_model(context), weights.context))
        whole = sum(weight for _, weight in parts)
        return mix([model for model, _ in parts], [weight / whole for _, weight in parts])

    def context_model(self, context: Context) -> Trigrams:
        """Returns the model of a context by the recipe above."""
        counts = count_texts(filter(None, (context.previous, context.prompt)), TEXT)
        found = self.templates.get(self.kind(context.kind)) or Counter({SLOT: 1})
        for text, count in fill(dict(found.most_common(TOP)), worth(context)).items():
            counts[text] += count
        return train(counts)


def template(turn: Turn) -> str:
    """Returns a reply with ``<v>`` in place of the longest entry of its context, or of a part of one."""
    context, said, words = turn.context, f" {turn.text} ", {*turn.text.split()}
    near = [tuple(e for e in some if words & {*e.split()}) for some in (context.catalogue, context.named)]
    for entry in sorted(worth(Context("", "", "", *near)), key=lambda e: (-len(e.split()), e)):
        if f" {entry} " in said:
            return said.replace(f" {entry} ", f" {SLOT} ", 1).strip()
    return turn.text


def worth(context: Context) -> dict[str, float]:
    """Weighs the entries of a context and, of those that are long, their first and last words."""
    weights: dict[str, float] = defaultdict(float)
    for entries, weight in ((context.catalogue, 1.0), (context.named, NAMED)):
        for entry in entries:
            weights[entry] += weight
            words = entry.split()
            for k in range(1, len(words)):
                for part in (words[:k], words[k:]):
                    weights[" ".join(part)] += PART * weight
    return weights


def fill(templates: Mapping[str, float], values: Mapping[str, float]) -> Counter[tuple[str, ...]]:
    """Counts the n-grams of all templates filled with all values, as if each were written out.

    A template is counted as often as it was seen. Only n-grams that touch a value depend on it: they are counted once
    for every pair of words before and after a slot, not for every template.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    borders: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
    total = sum(values.values())
    for text, count in templates.items():
        words = (START, *text.split(), END)
        if SLOT not in words:
            counts.update(count_texts([text], count))
        elif total:
            at = words.index(SLOT)
            borders[words[max(0, at - ORDER + 1) : at], words[at + 1 : at + ORDER]] += count
            for k in range(1, len(words)):
                for n in range(min(k + 1, ORDER)):
                    if SLOT not in (gram := words[k - n : k + 1]):
                        counts[gram] += count
    for (before, after), count in borders.items():
        for value, weight in values.items():
            words, inside = (*before, *value.split(), *after), len(value.split())
            for k in range(len(before), len(words)):
                for n in range(min(k + 1, ORDER)):
                    if k - n < len(before) + inside:
                        counts[words[k - n : k + 1]] += count * weight / total
    return counts


def boost(heard: Decoded, context: Context, bonus: float) -> str:
    """Re-scores an n-best list: each word of the context's entries is worth a bonus. No second decoder is needed."""
    words = context.words

    def score(hypothesis: tuple[str, float]) -> float:
        text, path = hypothesis
        return path + bonus * sum(word in words for word in text.split())

    return max(heard.hypotheses, key=score, default=("", 0.0))[0]


def union(lists: Sequence[Decoded]) -> list[str]:
    """Lists the distinct hypotheses of several decoders, in order."""
    return list(dict.fromkeys(text for heard in lists for text, _ in heard.hypotheses))
