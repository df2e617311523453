"""Predictions: what was expected of an experiment, and when that was written down."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Key, not_negative, one_of, utc_now

DIRECTIONS = ("lower", "higher", "within")


class Prediction(Base):
    """An expected difference between an arm and the control. A row is never changed."""

    __tablename__ = "predictions"
    __table_args__ = (
        UniqueConstraint("experiment_id", "digest"),
        CheckConstraint(one_of("direction", DIRECTIONS), name="direction"),
        CheckConstraint(not_negative("size"), name="size"),
        CheckConstraint("by_generation > 0", name="by_generation"),
    )

    id: Mapped[Key]
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    digest: Mapped[str]
    """Hash of all that it says."""
    metric: Mapped[str]
    arm: Mapped[str]
    direction: Mapped[str]
    size: Mapped[float]
    by_generation: Mapped[int]
    recorded_at: Mapped[datetime] = mapped_column(default=utc_now)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
