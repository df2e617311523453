"""What an experiment's runs have taken so far."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Experiment, Run, Stage


@dataclass(frozen=True, slots=True)
class Spent:
    """What runs took together."""

    seconds: float = 0.0
    """By the clock."""
    tokens: int = 0
    """Of prompts and replies, as far as stages had written them down."""


def spent_before(session: Session, experiment: Experiment, run: Run) -> Spent:
    """What an experiment's runs before this one took.

    A run that was killed has no end on record: it counts until the last stage that it finished.
    """
    last_stage = select(func.max(Stage.finished_at)).where(Stage.run_id == Run.id).scalar_subquery()
    ended = func.coalesce(Run.finished_at, last_stage, Run.started_at)
    runs = session.execute(
        select(Run.started_at, ended.label("ended")).where(
            Run.experiment_id == experiment.id, Run.id != run.id
        )
    )
    seconds = sum(max(0.0, (end - start).total_seconds()) for start, end in runs)
    asked = func.coalesce(Stage.prompt_tokens, 0) + func.coalesce(Stage.output_tokens, 0)
    tokens = session.scalar(
        select(func.sum(asked))
        .join(Run, Run.id == Stage.run_id)
        .where(Run.experiment_id == experiment.id)
    )
    return Spent(seconds, int(tokens or 0))
