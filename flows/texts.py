"""Texts of documents, found by id and hash in the corpus versions and decisions that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.lineage import document_history, find_generation
from db.models import Artifact, CorpusSource, CorpusVersion, Generation, Stage


@dataclass(frozen=True, slots=True)
class Version:
    """What one generation did to a document, with the texts where they still stand."""

    row: dict[str, Any]
    """As `db.lineage.document_history` gives it."""
    before: str | None
    after: str | None
    """The text that was proposed, whether or not it was accepted."""


def versions(session: Session, doc_id: str) -> Iterator[Version]:
    """Yield every version of a document that is on record, oldest first.

    Raises:
        UnknownId: no generation did anything to it.
    """
    for row in document_history(session, doc_id):
        yield Version(row, _before(session, row), _proposed(session, row))


def holding(session: Session, doc_id: str) -> list[str]:
    """Digests of the imported corpora whose files hold a document.

    The record has no row for a document that was never changed; the files of its import have.
    """
    roots = session.scalars(
        select(CorpusVersion)
        .where(CorpusVersion.id.in_(select(CorpusSource.corpus_version_id)))
        .order_by(CorpusVersion.id)
    )
    return [
        root.digest
        for root in roots
        if _rows(Path(root.uri), ds.field("doc_id") == doc_id, ["doc_id"])
    ]


def _before(session: Session, row: dict[str, Any]) -> str | None:
    if row["generation"] == 0:
        return None  # set aside at import: no corpus holds it
    before = find_generation(
        session, row["experiment"], row["arm"], row["generation"] - 1, row["seed"]
    )
    corpus = _corpus(session, before)
    return None if corpus is None else _text(corpus, row["doc_id"], row["before_sha256"])


def _corpus(session: Session, generation: Generation) -> Path | None:
    found = session.get(Artifact, generation.corpus_version_id or 0)
    return Path(found.uri) if found is not None else None


def _proposed(session: Session, row: dict[str, Any]) -> str | None:
    if row["after_sha256"] is None or row["decided_by"] is None:
        return None
    stage = session.scalars(select(Stage).where(Stage.recipe_id == row["decided_by"])).one()
    if not stage.output_uri:
        return None
    wanted = (ds.field("doc_id") == row["doc_id"]) & (
        ds.field("after_sha256") == row["after_sha256"]
    )
    found = _rows(Path(stage.output_uri), wanted, ["text"])
    return found[0]["text"] if found else None


def _text(corpus: Path, doc_id: str, digest: str) -> str | None:
    wanted = (ds.field("doc_id") == doc_id) & (ds.field("text_sha256") == digest)
    found = _rows(corpus, wanted, ["text"])
    return found[0]["text"] if found else None


def _rows(folder: Path, wanted: Any, columns: list[str]) -> list[dict[str, Any]]:
    """Rows of a folder's shards; none where the folder is gone. A shard at a time is read."""
    shards = sorted(path for path in folder.glob("shard-*.parquet"))
    if not shards:
        return []
    scanner = ds.dataset(shards, format="parquet").scanner(columns=columns, filter=wanted)
    return scanner.to_table().to_pylist()
