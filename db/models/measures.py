"""What was found: evaluations, and the gates decided on them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Key, Prose, not_negative, one_of, utc_now

GATE_OUTCOMES = ("pass", "fail", "inconclusive")
GATE_MODES = ("enforce", "record_only")
INTERVALS_OVER = ("items", "seeds")


class Evaluation(Base):
    """One number about one checkpoint, corpus version or generation (its training mix)."""

    __tablename__ = "evaluations"
    __table_args__ = (
        # Nulls are never equal in a unique constraint, hence one text key for three foreign keys.
        UniqueConstraint(
            "subject_key",
            "variant",
            "task",
            "task_version",
            "metric",
            "seed",
            "recipe_id",
            name="uq_evaluations_identity",
        ),
        CheckConstraint(
            "(CASE WHEN checkpoint_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN corpus_version_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN generation_id IS NULL THEN 0 ELSE 1 END) = 1",
            name="one_subject",
        ),
        CheckConstraint(not_negative("n", "unscored", "stderr"), name="counts_not_negative"),
    )

    id: Mapped[Key]
    subject_key: Mapped[str]
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("artifacts.id"), index=True)
    corpus_version_id: Mapped[int | None] = mapped_column(ForeignKey("artifacts.id"), index=True)
    generation_id: Mapped[int | None] = mapped_column(ForeignKey("generations.id"), index=True)
    variant: Mapped[str] = mapped_column(default="")
    task: Mapped[str]
    task_version: Mapped[str]
    metric: Mapped[str]
    value: Mapped[float | None]
    stderr: Mapped[float | None]
    n: Mapped[int]
    unscored: Mapped[int] = mapped_column(default=0)
    seed: Mapped[int] = mapped_column(default=0)
    recipe_id: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class GateDecision(Base):
    """What one gate said of one generation, and the interval that it said it on."""

    __tablename__ = "gate_decisions"
    __table_args__ = (
        UniqueConstraint("generation_id", "gate"),
        CheckConstraint(one_of("outcome", GATE_OUTCOMES), name="outcome"),
        CheckConstraint(one_of("mode", GATE_MODES), name="mode"),
        CheckConstraint(one_of("interval_over", INTERVALS_OVER), name="interval_over"),
        CheckConstraint(not_negative("n"), name="n"),
    )

    id: Mapped[Key]
    generation_id: Mapped[int] = mapped_column(ForeignKey("generations.id"))
    gate: Mapped[str]
    outcome: Mapped[str]
    value: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    bound: Mapped[float | None]
    mode: Mapped[str]
    interval_over: Mapped[str | None]
    n: Mapped[int | None]
    reason: Mapped[Prose] = mapped_column(default="")
    decided_at: Mapped[datetime] = mapped_column(default=utc_now)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
