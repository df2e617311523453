"""Rows that pass between workers, as frozen dataclasses in loops and Arrow schemas in files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

import pyarrow as pa

RatingStatus = Literal["ok", "unparsed", "over_length", "engine_error", "settled"]
"""`settled`: a cascade's classifier let the document pass, and the model was not asked."""
Action = Literal["keep", "revise", "drop", "tag", "quarantine"]
ACTIONS: tuple[Action, ...] = ("keep", "revise", "drop", "tag", "quarantine")
Split = Literal["train", "held_out"]
Aim = Literal["revise", "paraphrase", "invert"]
"""What a document is written anew for: the principles, nothing (the placebo), or their opposite."""
AIMS: tuple[Aim, ...] = ("revise", "paraphrase", "invert")
R = TypeVar("R")


def text_digest(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus version; `doc_id` and `split` stay the same across generations."""

    doc_id: str
    text: str
    text_sha256: str
    source: str
    split: Split = "train"
    label: int | None = None
    """1 desirable, 0 undesirable, None unknown; read by evaluation only."""


@dataclass(frozen=True, slots=True)
class Rating:
    """A principle's score of one document in [0, 1], or None with the status that says why."""

    doc_id: str
    text_sha256: str
    principle: str
    score: float | None
    status: RatingStatus
    rater: str
    """Content id of the checkpoint that rated."""


@dataclass(frozen=True, slots=True)
class Revision:
    """What became of one document, with the refused revisions and the reason kept."""

    doc_id: str
    before_sha256: str
    after_sha256: str | None
    """Hash of the proposed text, whether or not it was accepted; None where none was made."""
    text: str | None
    """The proposed text."""
    action: Action
    reason: str
    principles: tuple[str, ...] = ()
    """The principles that the document fell short of."""
    score_before: float | None = None
    """Lowest score over principles by the self-rater."""
    score_after: float | None = None
    acceptance_before: float | None = None
    """The same by the acceptance rater."""
    acceptance_after: float | None = None
    similarity: float | None = None
    """Normalised Indel similarity of proposal and original, 1 for equal texts."""
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A document that could not be taken in, and why."""

    doc_id: str
    text_sha256: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One task of the skills set and its answer; a rating asks about exactly one principle."""

    task: Literal["rate"] | Aim
    text: str
    principles: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One measured number; `stderr` is None for a census, `value` None where nothing scored."""

    task: str
    metric: str
    """Full name, such as `oracle/propensity`."""
    value: float | None
    n: int
    stderr: float | None = None
    unscored: int = 0
    task_version: str = "1"
    variant: str = ""
    """Empty for the finished model, `corpus_stage` for its state before post-training,
    `persistence` for its state after a training on unrelated texts, and `step_N` for a copy of it
    after N steps of relearning."""


DOCUMENTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("text_sha256", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("label", pa.int8()),
    ]
)
RATINGS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("text_sha256", pa.string(), nullable=False),
        pa.field("principle", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("rater", pa.string(), nullable=False),
    ]
)
REVISIONS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("before_sha256", pa.string(), nullable=False),
        pa.field("after_sha256", pa.string()),
        pa.field("text", pa.string()),
        pa.field("action", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("principles", pa.list_(pa.string()), nullable=False),
        pa.field("score_before", pa.float64()),
        pa.field("score_after", pa.float64()),
        pa.field("acceptance_before", pa.float64()),
        pa.field("acceptance_after", pa.float64()),
        pa.field("similarity", pa.float64()),
        pa.field("tokens_in", pa.int32(), nullable=False),
        pa.field("tokens_out", pa.int32(), nullable=False),
    ]
)


def to_table(rows: Iterable[Any], schema: pa.Schema) -> pa.Table:
    """Columns of dataclass rows, in the schema's order."""
    held = list(rows)
    columns = [
        pa.array([getattr(row, column.name) for row in held], type=column.type) for column in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def from_table(table: pa.Table, row: type[R]) -> Iterator[R]:
    """Rows of a table as dataclasses; lists come back as tuples."""
    names = [each.name for each in fields(row)]  # pyright: ignore[reportArgumentType]
    columns = [table.column(name).to_pylist() for name in names]
    for values in zip(*columns, strict=True):
        yield row(*(tuple(v) if isinstance(v, list) else v for v in values))
