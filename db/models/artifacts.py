"""What stages make and later stages read: checkpoints and corpus versions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, JsonObject, Key, not_negative, utc_now


class Checkpoint(Base):
    """An immutable model folder; the digest of its bytes is its stable id."""

    __tablename__ = "checkpoints"
    __table_args__ = (
        CheckConstraint(not_negative("tokens_seen"), name="tokens_seen"),
        CheckConstraint("length(digest) BETWEEN 1 AND 200", name="digest"),
    )

    id: Mapped[Key]
    digest: Mapped[str] = mapped_column(unique=True)
    uri: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"), index=True)
    recipe_id: Mapped[str | None] = mapped_column(index=True)
    numerics_class: Mapped[JsonObject | None]
    tokens_seen: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    meta: Mapped[JsonObject] = mapped_column(default=dict)

    parent: Mapped[Checkpoint | None] = relationship(remote_side="Checkpoint.id")


class CorpusVersion(Base):
    """An immutable set of shards; the hash of the ordered shard digests is its stable id."""

    __tablename__ = "corpus_versions"
    __table_args__ = (
        CheckConstraint(not_negative("shards", "documents", "tokens"), name="counts_not_negative"),
        CheckConstraint("length(digest) BETWEEN 1 AND 200", name="digest"),
    )

    id: Mapped[Key]
    digest: Mapped[str] = mapped_column(unique=True)
    uri: Mapped[str]
    shards: Mapped[int]
    documents: Mapped[int]
    tokens: Mapped[int | None]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("corpus_versions.id"), index=True)
    recipe_id: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    meta: Mapped[JsonObject] = mapped_column(default=dict)

    parent: Mapped[CorpusVersion | None] = relationship(remote_side="CorpusVersion.id")
