"""Fidelity: what revising kept of a text, and what leaked into it from the prompt.

All distances are normalised Indel distances, 1 minus the similarity that acceptance uses: 0 for
equal texts, 1 for texts with no character in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from workers.acceptance import Rules, names_in, similarity
from workers.evaluation.estimates import RunningMean
from workers.evaluation.sampling import MOST_CHARACTERS, Keyed, drawn
from workers.records import Document, MetricRow, Revision

Of = Literal["accepted", "proposed"]
VERSION = "1"
TASK = "fidelity"
DRIFT_DOCUMENTS = 5_000
PAIR_METRICS = (
    "length_ratio",
    "edit_distance",
    "numbers_kept",
    "names_kept",
    "preamble_leaks",
    "template_leaks",
)
# What acceptance takes for a number.
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")


@dataclass(frozen=True, slots=True)
class TextPair:
    """A text before and after revising; `after` is None where a revision was asked for in vain."""

    before: str
    after: str | None


def revised_pairs(rows: Iterable[tuple[Document, Revision]], of: Of) -> Iterator[TextPair]:
    """Yield the texts of accepted revisions, or of all that the reviser was asked for.

    Args:
        rows: documents with what was decided about them, as `decided` yields them.
        of: `accepted` is what the next corpus holds; `proposed` also what was refused, and so says
            how the reviser works before any acceptance test has chosen.
    """
    for document, row in rows:
        if row.action == "revise" or (of == "proposed" and row.action == "keep" and row.principles):
            yield TextPair(document.text, row.text)


def fidelity(pairs: Iterable[TextPair], rules: Rules, of: Of) -> list[MetricRow]:
    """What revising kept and leaked, over any number of pairs in constant memory.

    `length_ratio` is in characters; `edit_distance` in [0, 1]; `numbers_kept` and `names_kept` are
    shares of the pairs that have a number (a name) on either side in which both sides have the
    same, neither lost nor invented. `preamble_leaks` is the share that newly begins with one of the
    prompt file's refusals, `template_leaks` the share that newly holds a special or template token
    or a sentence's number. Pairs without a revised text are unscored.
    """
    means = {name: RunningMean() for name in PAIR_METRICS}
    for pair in pairs:
        if pair.after is None or not pair.before:
            for mean in means.values():
                mean.add(None)
            continue
        for name, value in _of_pair(pair.before, pair.after, rules):
            means[name].add(value)
    return [mean.row(TASK, f"{TASK}/{of}/{name}", VERSION) for name, mean in means.items()]


def drift(
    original: Iterable[Keyed],
    current: Iterable[Keyed],
    *,
    documents: int = DRIFT_DOCUMENTS,
    salt: str = "",
) -> list[MetricRow]:
    """How far a corpus has moved from corpus 0, document by document.

    `drift` is the mean edit distance of documents to the one of the same id in corpus 0,
    `drift_changed` the same of those that differ, `changed` the share that does. It is taken over
    a sample drawn by id, and over the first 20,000 characters of each; sampled documents that the
    corpus no longer holds are unscored.

    Args:
        original: corpus 0.
        current: the corpus that is measured.
        documents: size of the sample.
        salt: draws the sample.
    """
    left = dict(drawn(original, documents, salt))
    everywhere, changed, share = RunningMean(), RunningMean(), RunningMean()
    for doc_id, text in current:
        before = left.pop(doc_id, None)
        if before is None:
            continue
        after = text[:MOST_CHARACTERS]
        distance = edit_distance(before, after)
        everywhere.add(distance)
        share.add(float(before != after))
        if before != after:
            changed.add(distance)
    named = {"drift": everywhere, "drift_changed": changed, "changed": share}
    for mean in named.values():
        mean.unscored = len(left)
    return [mean.row(TASK, f"{TASK}/{name}", VERSION) for name, mean in named.items()]


def edit_distance(before: str, after: str) -> float:
    """Normalised Indel distance of two texts, from 0 for equal ones to 1."""
    return 1.0 - similarity(before, after)


def _of_pair(before: str, after: str, rules: Rules) -> Iterator[tuple[str, float]]:
    yield "length_ratio", len(after) / len(before)
    yield "edit_distance", edit_distance(before, after)
    numbers = Counter(_NUMBER.findall(before)), Counter(_NUMBER.findall(after))
    if any(numbers):
        yield "numbers_kept", float(numbers[0] == numbers[1])
    names = names_in(before, rules.names), names_in(after, rules.names)
    if any(names):
        yield "names_kept", float(names[0] == names[1])
    yield "preamble_leaks", float(_opens(after, rules) and not _opens(before, rules))
    tokens = any(text in after and text not in before for text in rules.forbidden)
    carried = rules.number.search(after) and not rules.number.search(before)
    yield "template_leaks", float(tokens or bool(carried))


def _opens(text: str, rules: Rules) -> bool:
    """Whether a text begins by talking about the task."""
    return text.lower().lstrip().startswith(rules.refusals)
