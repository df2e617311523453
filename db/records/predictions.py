"""Writing predictions down, and reading them with the time of the first model call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, not_, or_, select
from sqlalchemy.orm import Session

from configs.predictions import Prediction as Said
from db.models import (
    Arm,
    Evaluation,
    Experiment,
    Generation,
    Prediction,
    Run,
    Stage,
    StageUse,
    utc_now,
)
from db.records.idempotence import insert_once

ASKING = ("rate", "revise", "accept", "label", "train", "evaluate")
"""Stages in which a model is asked or made."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A prediction on record."""

    prediction: Prediction
    late: bool
    """Whether it was written down when the experiment had asked or made a model by itself, or when
    another had measured what is predicted of an arm that both share."""


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
    return [Recorded(row, _late(row, first, _told(session, row))) for row in rows]


def _late(prediction: Prediction, *known: datetime | None) -> bool:
    return any(moment is not None and moment < prediction.recorded_at for moment in known)


def first_model_work(session: Session, experiment: Experiment) -> datetime | None:
    """When the experiment first asked or made a model that no other had asked or made before it."""
    return session.scalar(
        select(func.min(Stage.started_at))
        .join(StageUse, StageUse.stage_id == Stage.id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(Arm.experiment_id == experiment.id, Stage.stage.in_(ASKING), not_(StageUse.reused))
    )


def _told(session: Session, prediction: Prediction) -> datetime | None:
    """When the metric was first measured on what the arm made, by whichever experiment.

    Experiments share what is the same in them. A shared generation 0, control or rating tells
    nothing of what is predicted; a shared model or corpus of the arm that was measured does.
    """
    metric, _, variant = prediction.metric.partition("@")
    return session.scalar(
        select(func.min(Stage.started_at))
        .join(Evaluation, Evaluation.recipe_id == Stage.recipe_id)
        .join(
            Generation,
            or_(
                Generation.checkpoint_id == Evaluation.checkpoint_id,
                Generation.corpus_version_id == Evaluation.corpus_version_id,
                Generation.id == Evaluation.generation_id,
            ),
        )
        .join(Arm, Arm.id == Generation.arm_id)
        .where(
            Arm.experiment_id == prediction.experiment_id,
            Arm.name == prediction.arm,
            Generation.generation_index > 0,
            Evaluation.metric == metric,
            Evaluation.variant == variant,
        )
    )
