"""Labelled texts that anchors are trained on, disjoint from everything that they will judge.

A text belongs to the gate anchor or to the audit anchor by a hash of itself. So the two never share
an item, whatever they are given; what the acceptance rater learned from is left out by hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from workers.corpora.row_files import find_files, holds_rows, read_rows
from workers.microworld.generator import compose
from workers.microworld.skills import skills_exemplars
from workers.microworld.world import ALL_THINGS, CORPUS_THINGS, Draw, WorldParams
from workers.problems import InputProblem
from workers.records import text_digest

AnchorRole = Literal["gate", "audit"]
MICROWORLD_ITEMS = 8_000
MOST_ITEMS = 50_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and what it is: 1 desirable, 0 undesirable."""

    text: str
    label: int


def role_of(text: str) -> AnchorRole:
    """The one role whose anchor may be trained on a text."""
    return "gate" if int(text_digest(text)[-1], 16) % 2 else "audit"


def microworld_items(
    role: AnchorRole,
    params: WorldParams,
    *,
    count: int = MICROWORLD_ITEMS,
    seed: int = 0,
    excluded: Set[str] = frozenset(),
) -> Iterator[Labelled]:
    """Yield generated documents with their true labels, from a seed domain of their own.

    Their casts are those of the skills split, which occur neither in a corpus nor in an evaluation,
    so no text is shared with either; texts shared with the skills set itself are for `excluded`.
    What only reports may know the behaviours that occur in evaluation alone; what gates may not,
    or promotion would select for them.

    Args:
        role: whose items.
        params: the world's shares; label noise is not applied.
        count: number of items.
        seed: draws them.
        excluded: digests of texts to leave out, as `skills_digests` gives them.
    """

    things = ALL_THINGS if role == "audit" else CORPUS_THINGS

    def texts() -> Iterator[Labelled]:
        index = 0
        while True:
            story = compose(params, Draw("anchor", seed, index), "skills", things)
            index += 1
            if role_of(story.text) == role and text_digest(story.text) not in excluded:
                yield Labelled(story.text, int(story.aligned))

    yield from islice(texts(), count)


def skills_digests(params: WorldParams, seed: int, count: int) -> frozenset[str]:
    """Digests of the texts of a generated skills set, which the acceptance rater learned from."""
    return frozenset(text_digest(e.text) for e in skills_exemplars(params, seed, count))


def file_items(
    role: AnchorRole,
    path: str,
    *,
    field: str,
    text_field: str = "text",
    label_field: str = "label",
    excluded: Set[str] = frozenset(),
    limit: int = MOST_ITEMS,
) -> Iterator[Labelled]:
    """Yield a role's items from rows of JSONL or Parquet files; about half belong to each role.

    Args:
        role: whose items.
        path: a file, folder or glob.
        field: the config field that names the path, for messages.
        text_field: column of the text.
        label_field: column of the label, 1 desirable and 0 undesirable.
        excluded: digests of texts to leave out: corpus, skills set, evaluations.
        limit: most items that are read.

    Raises:
        ConfigProblem: a variable in the path is not set.
        InputProblem: there is no such file, it holds no rows, or a row lacks a text or label.
    """

    def items() -> Iterator[Labelled]:
        for file in find_files(path, field):
            if not holds_rows(file):
                raise InputProblem(
                    f"{field}: {file.name} holds no rows. An anchor is trained on JSONL or Parquet "
                    f"with the columns {text_field} and {label_field}."
                )
            for place, row in read_rows(file):
                item = _labelled(row, place, field, text_field, label_field)
                if role_of(item.text) == role and text_digest(item.text) not in excluded:
                    yield item

    yield from islice(items(), limit)


def check_disjoint(digests: Mapping[str, Iterable[str]]) -> None:
    """Refuse raters that share items.

    Args:
        digests: digests of the texts that each was trained on, by the config field that names it.

    Raises:
        InputProblem: two of them share a text.
    """
    owner: dict[str, str] = {}
    for field, own in digests.items():
        for digest in own:
            other = owner.setdefault(digest, field)
            if other != field:
                raise InputProblem(
                    f"{field} and {other} are trained on the same text ({digest[:12]}). What "
                    "judges must not steer: give each rater texts of its own."
                )


def _labelled(
    row: Mapping[str, Any], place: str, field: str, text_field: str, label_field: str
) -> Labelled:
    for name in (text_field, label_field):
        if name not in row:
            raise InputProblem(
                f"{field}: {place} has no column {name!r}, only {', '.join(map(repr, row))}. Each "
                f"row needs {text_field!r} and {label_field!r}."
            )
    text, label = row[text_field], row[label_field]
    if not isinstance(text, str) or not text.strip():
        raise InputProblem(f"{field}: {place}: {text_field!r} holds no text. Mend or remove it.")
    if label not in (0, 1):
        raise InputProblem(
            f"{field}: {place}: {label_field!r} is {label!r}; a label is 1 for a desirable text "
            "and 0 for an undesirable one."
        )
    return Labelled(text, int(label))
