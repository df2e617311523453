"""What models wrote for the evaluation `samples`, on disk beside the items of every metric."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from workers.evaluation.items import ITEMS_FILE
from workers.records import from_table, to_table
from workers.storage import read_table, write_table

SAMPLES_FILE = "samples.parquet"
SAMPLES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("opening", pa.string(), nullable=False),
        pa.field("continuation", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("finished", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a model wrote to one opening."""

    doc_id: str
    """The held-out document that begins so."""
    opening: str
    continuation: str
    """What the model wrote; the white space before it is the tokenizer's."""
    text: str
    """Both together, as a document."""
    finished: bool
    """Whether the model ended it; False where it was cut off."""


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Keep the samples, for raters that score them later."""
    write_table(path, to_table(samples, SAMPLES))


def read_samples(path: Path) -> list[Sample]:
    """The samples of one model, in the order of the prompts."""
    return list(from_table(read_table(path), Sample))


def evaluation_files(tasks: Collection[str]) -> tuple[str, ...]:
    """Names of the files that the evaluation of a model leaves."""
    return (ITEMS_FILE, SAMPLES_FILE) if "samples" in tasks else (ITEMS_FILE,)
