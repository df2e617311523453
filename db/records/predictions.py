"""Writing predictions down, and reading them with the time of the first model call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, not_, or_, select
from sqlalchemy.orm import Session

from configs.arms import Arm as Treatment
from configs.predictions import Prediction as Said
from db.models import Arm, Experiment, Generation, Prediction, Run, Stage, StageUse, utc_now
from db.records.idempotence import insert_once

ASKING = ("rate", "revise", "accept", "label", "train", "evaluate")
"""Stages in which a model is asked or made."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A prediction on record."""

    prediction: Prediction
    late: bool
    """Whether it was written down when its outcome could be known, see `first_model_work`."""


def record_predictions(
    session: Session, experiment: Experiment, said: Iterable[Said], *, run: Run | None = None
) -> list[Prediction]:
    """Record predictions with the time; one that stands keeps the time at which it was made."""
    return [
        insert_once(
            session,
            Prediction,
            {"experiment_id": experiment.id, "digest": each.digest},
            {
                "metric": each.metric,
                "arm": each.arm.value,
                "direction": each.direction,
                "size": each.size,
                "by_generation": each.by,
                "recorded_at": utc_now(),
                "run_id": run.id if run else None,
            },
        )
        for each in said
    ]


def predictions_of(session: Session, experiment: Experiment) -> list[Recorded]:
    """An experiment's predictions, oldest first, each with whether it came too late."""
    first = first_model_work(session, experiment)
    wanted = select(Prediction).where(Prediction.experiment_id == experiment.id)
    rows = session.scalars(wanted.order_by(Prediction.recorded_at, Prediction.id)).all()
    return [Recorded(row, first is not None and row.recorded_at > first) for row in rows]


def first_model_work(session: Session, experiment: Experiment) -> datetime | None:
    """When an outcome could first be known: when the experiment asked or made a model by itself.

    Or, if that was sooner, when another experiment measured an arm that this one shares. A shared
    generation 0 or control tells nothing of what an arm will do.
    """
    told = and_(
        Stage.stage == "evaluate",
        Generation.generation_index > 0,
        Arm.name != Treatment.CONTROL,
        StageUse.reused,
    )
    return session.scalar(
        select(func.min(Stage.started_at))
        .join(StageUse, StageUse.stage_id == Stage.id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(
            Arm.experiment_id == experiment.id,
            Stage.stage.in_(ASKING),
            or_(told, not_(StageUse.reused)),
        )
    )
