"""Writing artifacts, once for each kind and digest, and what each came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import (
    Artifact,
    Checkpoint,
    CorpusSource,
    CorpusVersion,
    Derivation,
    JsonObject,
    Run,
    Source,
    storable,
)
from db.records.idempotence import insert_into, insert_once

SmallArtifact = TypeVar("SmallArtifact", bound=Artifact)


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
        "recipe_id": recipe_id,
        "run_id": run.id if run else None,
        "meta": meta or {},
    }
    made = insert_once(session, CorpusVersion, {"kind": "corpus", "digest": digest}, values)
    if parent is not None:
        derive(session, made, "derived_from", parent)
    return made


def find_corpus_version(session: Session, digest: str) -> CorpusVersion | None:
    """The corpus version with exactly this digest, if there is one."""
    return _find(session, CorpusVersion, digest)


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
        "recipe_id": recipe_id,
        "numerics_class": numerics_class,
        "tokens_seen": tokens_seen,
        "run_id": run.id if run else None,
        "meta": meta or {},
    }
    made = insert_once(session, Checkpoint, {"kind": "checkpoint", "digest": digest}, values)
    if parent is not None:
        derive(session, made, "parent", parent)
    return made


def find_checkpoint(session: Session, digest: str) -> Checkpoint | None:
    """The checkpoint with exactly this digest, if there is one."""
    return _find(session, Checkpoint, digest)


def add_artifact(
    session: Session,
    model: type[SmallArtifact],
    digest: str,
    *,
    content: JsonObject | None,
    run: Run | None = None,
    meta: JsonObject | None = None,
) -> SmallArtifact:
    """Record principles, prompts, skills, a config or labels; the content may be the whole file."""
    kind = str(model.__mapper_args__["polymorphic_identity"])
    values = {"content": content, "run_id": run.id if run else None, "meta": meta or {}}
    return insert_once(session, model, {"kind": kind, "digest": digest}, values)


def derive(session: Session, made: Artifact, relation: str, source: Artifact) -> None:
    """Record that an artifact came from another; a corpus that a generation left alone did not."""
    if made.id == source.id:
        return
    statement = insert_into(session, Derivation).values(
        artifact_id=made.id, relation=relation, source_id=source.id
    )
    session.execute(statement.on_conflict_do_nothing())


def record_sources(
    session: Session, corpus: CorpusVersion, shards: Iterable[Mapping[str, int]]
) -> None:
    """Record, once, how many documents of an imported corpus came from each source.

    Args:
        session: the writer's.
        corpus: the import.
        shards: for each shard, documents by source.
    """
    recorded = select(CorpusSource.source_id).where(CorpusSource.corpus_version_id == corpus.id)
    if session.execute(recorded.limit(1)).first() is not None:
        return
    for documents in shards:
        for name, count in documents.items():
            source = insert_once(session, Source, {"name": name}, {})
            new = insert_into(session, CorpusSource).values(
                corpus_version_id=corpus.id, source_id=source.id, documents=count
            )
            more = {"documents": CorpusSource.documents + count}
            keys = ["corpus_version_id", "source_id"]
            session.execute(new.on_conflict_do_update(index_elements=keys, set_=more))


def _find(session: Session, model: type[SmallArtifact], digest: str) -> SmallArtifact | None:
    if not storable(digest):
        return None
    return session.scalars(select(model).where(model.digest == digest)).one_or_none()
