"""Experiments, the runs that worked on them, and their arms, generations and leases."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.artifacts import Checkpoint, CorpusVersion
from db.models.base import Base, JsonObject, Key, Prose, not_negative, one_of, utc_now

STATUSES = ("pending", "running", "finished", "stopped", "failed")
RUN_OUTCOMES = ("finished", "stopped", "failed", "interrupted", "refused")
# The five things that can become of a document; quoted in SQL because DROP is a reserved word.
COUNTED_ACTIONS = ("keep", "revise", "drop", "tag", "quarantine")

_COUNTS = ("documents_in", *(f'"{action}"' for action in COUNTED_ACTIONS))
_SUM = " + ".join(f'"{action}"' for action in COUNTED_ACTIONS)
_COUNTS_ADD_UP = (
    f"({' AND '.join(f'{count} IS NULL' for count in _COUNTS)}) OR "
    f"({' AND '.join(f'{count} IS NOT NULL' for count in _COUNTS)} AND documents_in = {_SUM})"
)


class Experiment(Base):
    """One resolved config and all that came of it; its name is its stable id."""

    __tablename__ = "experiments"
    __table_args__ = (
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
    )

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    config: Mapped[JsonObject]
    fingerprints: Mapped[JsonObject]
    status: Mapped[str] = mapped_column(default="pending")
    forked_from_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    forked_from: Mapped[Experiment | None] = relationship(remote_side="Experiment.id")
    arms: Mapped[list[Arm]] = relationship(back_populates="experiment", order_by="Arm.id")


class Run(Base):
    """One `palimpsest` process: the command, the code and the machine that it ran on."""

    __tablename__ = "runs"
    __table_args__ = (CheckConstraint(one_of("outcome", RUN_OUTCOMES), name="outcome"),)

    id: Mapped[Key]
    run_id: Mapped[str] = mapped_column(unique=True)
    command: Mapped[Prose]
    commit: Mapped[str | None]
    dirty: Mapped[bool | None]
    versions: Mapped[JsonObject]
    host_kind: Mapped[JsonObject]
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"), index=True)
    # Runs and artifacts point at each other; use_alter breaks the circle when tables are made.
    config_id: Mapped[int | None] = mapped_column(ForeignKey("artifacts.id", use_alter=True))

    experiment: Mapped[Experiment | None] = relationship()


class Arm(Base):
    """One treatment of the corpus under one seed."""

    __tablename__ = "arms"
    __table_args__ = (
        UniqueConstraint("experiment_id", "name", "seed"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name"),
    )

    id: Mapped[Key]
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    name: Mapped[str]
    seed: Mapped[int]
    status: Mapped[str] = mapped_column(default="pending")
    # Arms and generations point at each other; use_alter breaks the circle when tables are made.
    promoted_generation_id: Mapped[int | None] = mapped_column(
        ForeignKey("generations.id", use_alter=True)
    )

    experiment: Mapped[Experiment] = relationship(back_populates="arms")
    generations: Mapped[list[Generation]] = relationship(
        back_populates="arm",
        foreign_keys="Generation.arm_id",
        order_by="Generation.generation_index",
    )
    promoted_generation: Mapped[Generation | None] = relationship(
        foreign_keys=[promoted_generation_id], post_update=True
    )


class Generation(Base):
    """Model n and corpus n of one arm.

    The counts are the actions that made corpus n out of corpus n-1; in row 0, the import.
    """

    __tablename__ = "generations"
    __table_args__ = (
        UniqueConstraint("arm_id", "generation_index"),
        CheckConstraint("generation_index >= 0", name="generation_index"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(not_negative(*_COUNTS), name="counts_not_negative"),
        CheckConstraint(_COUNTS_ADD_UP, name="counts_add_up"),
        CheckConstraint(
            not_negative("training_documents", "training_tokens", "unique_tokens", "epochs"),
            name="training_not_negative",
        ),
    )

    id: Mapped[Key]
    arm_id: Mapped[int] = mapped_column(ForeignKey("arms.id"))
    generation_index: Mapped[int]
    status: Mapped[str] = mapped_column(default="pending")
    corpus_version_id: Mapped[int | None] = mapped_column(ForeignKey("artifacts.id"), index=True)
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("artifacts.id"), index=True)
    training_documents: Mapped[int | None]
    training_tokens: Mapped[int | None]
    unique_tokens: Mapped[int | None]
    epochs: Mapped[float | None]
    documents_in: Mapped[int | None]
    keep: Mapped[int | None]
    revise: Mapped[int | None]
    drop: Mapped[int | None]
    tag: Mapped[int | None]
    quarantine: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    arm: Mapped[Arm] = relationship(back_populates="generations", foreign_keys=[arm_id])
    corpus_version: Mapped[CorpusVersion | None] = relationship(foreign_keys=[corpus_version_id])
    checkpoint: Mapped[Checkpoint | None] = relationship(foreign_keys=[checkpoint_id])


class Lease(Base):
    """Who writes an arm now; `token` grows with each new holder and fences old ones off."""

    __tablename__ = "leases"
    __table_args__ = (CheckConstraint("token >= 0", name="token"),)

    id: Mapped[Key]
    arm_id: Mapped[int] = mapped_column(ForeignKey("arms.id"), unique=True)
    holder: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    token: Mapped[int]
    acquired_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    # The row outlives its holder: deleting it would start the tokens again at one.
    released_at: Mapped[datetime | None]

    arm: Mapped[Arm] = relationship()
