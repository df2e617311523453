"""Writing corpus versions and checkpoints: once for each digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Checkpoint, CorpusVersion, JsonObject, Run, storable
from db.records.idempotence import insert_once


def add_corpus_version(
    session: Session,
    digest: str,
    *,
    uri: str,
    shards: int,
    documents: int,
    tokens: int | None = None,
    parent: CorpusVersion | None = None,
    recipe_id: str | None = None,
    run: Run | None = None,
    meta: JsonObject | None = None,
) -> CorpusVersion:
    """Record a corpus whose bytes are whole; of a digest that stands, the first row is kept."""
    values: Mapping[str, Any] = {
        "uri": uri,
        "shards": shards,
        "documents": documents,
        "tokens": tokens,
        "parent_id": parent.id if parent else None,
        "recipe_id": recipe_id,
        "run_id": run.id if run else None,
        "meta": meta or {},
    }
    return insert_once(session, CorpusVersion, {"digest": digest}, values)


def find_corpus_version(session: Session, digest: str) -> CorpusVersion | None:
    """The corpus version with exactly this digest, if there is one."""
    if not storable(digest):
        return None
    return session.scalars(
        select(CorpusVersion).where(CorpusVersion.digest == digest)
    ).one_or_none()


def add_checkpoint(
    session: Session,
    digest: str,
    *,
    uri: str,
    parent: Checkpoint | None = None,
    recipe_id: str | None = None,
    numerics_class: JsonObject | None = None,
    tokens_seen: int | None = None,
    run: Run | None = None,
    meta: JsonObject | None = None,
) -> Checkpoint:
    """Record a checkpoint whose bytes are whole; of a digest that stands, the first row is kept."""
    values: Mapping[str, Any] = {
        "uri": uri,
        "parent_id": parent.id if parent else None,
        "recipe_id": recipe_id,
        "numerics_class": numerics_class,
        "tokens_seen": tokens_seen,
        "run_id": run.id if run else None,
        "meta": meta or {},
    }
    return insert_once(session, Checkpoint, {"digest": digest}, values)


def find_checkpoint(session: Session, digest: str) -> Checkpoint | None:
    """The checkpoint with exactly this digest, if there is one."""
    if not storable(digest):
        return None
    return session.scalars(select(Checkpoint).where(Checkpoint.digest == digest)).one_or_none()
