"""What ran: stages, which generations used them, and the shards that each has finished."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, JsonObject, Key, Prose, not_negative, one_of, utc_now

STAGE_NAMES = ("import", "rate", "revise", "accept", "assemble", "label", "train", "evaluate")
STAGE_STATUSES = ("running", "done", "failed")
SHARD_STATUSES = ("done", "quarantined")
STAGE_COSTS = (
    "documents",
    "model_calls",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "errors",
    "engine_start_s",
    "seconds",
)


class Stage(Base):
    """One activity; equal recipe ids are equal work, whichever arm or experiment asks for it."""

    __tablename__ = "stages"
    __table_args__ = (
        CheckConstraint(one_of("stage", STAGE_NAMES), name="stage"),
        CheckConstraint(one_of("status", STAGE_STATUSES), name="status"),
        CheckConstraint(not_negative(*STAGE_COSTS), name="costs_not_negative"),
    )

    id: Mapped[Key]
    recipe_id: Mapped[str] = mapped_column(unique=True)
    stage: Mapped[str]
    algorithm_version: Mapped[str]
    params: Mapped[JsonObject]
    status: Mapped[str] = mapped_column(default="running")
    attempts: Mapped[int] = mapped_column(default=1)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    engine: Mapped[str | None]
    engine_version: Mapped[str | None]
    numerics_class: Mapped[JsonObject | None]
    documents: Mapped[int | None]
    model_calls: Mapped[int | None]
    prompt_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    errors: Mapped[int | None]
    engine_start_s: Mapped[float | None]
    seconds: Mapped[float | None]
    output_digest: Mapped[str | None] = mapped_column(index=True)
    output_uri: Mapped[str | None]
    failure: Mapped[Prose | None]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    meta: Mapped[JsonObject] = mapped_column(default=dict)

    shards: Mapped[list[Shard]] = relationship(order_by="Shard.shard_index")


class StageUse(Base):
    """A generation made use of a stage; `reused` when the work had been done already."""

    __tablename__ = "stage_uses"

    generation_id: Mapped[int] = mapped_column(ForeignKey("generations.id"), primary_key=True)
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"), primary_key=True, index=True)
    reused: Mapped[bool]

    stage: Mapped[Stage] = relationship()


class Shard(Base):
    """A finished shard of a stage's output. A row exists only when its bytes are whole."""

    __tablename__ = "shard_ledger"
    __table_args__ = (
        UniqueConstraint("stage_id", "shard_index"),
        CheckConstraint(one_of("status", SHARD_STATUSES), name="status"),
        CheckConstraint(
            not_negative("shard_index", "documents", "attempts", "seconds"),
            name="counts_not_negative",
        ),
    )

    id: Mapped[Key]
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"))
    shard_index: Mapped[int]
    uri: Mapped[str]
    digest: Mapped[str]
    documents: Mapped[int]
    status: Mapped[str] = mapped_column(default="done")
    attempts: Mapped[int] = mapped_column(default=1)
    seconds: Mapped[float | None]
    meta: Mapped[JsonObject] = mapped_column(default=dict)
