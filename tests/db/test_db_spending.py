"""What runs took, by the record: a run that was killed counts until its last finished stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from db_demo import digest, new_experiment, new_run
from sqlalchemy.orm import Session

from db.lineage.spending import Spent, spent_before
from db.models import Experiment, Run
from db.records import start_stage

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def a_run(session: Session, experiment: Experiment, *, hours: float | None) -> Run:
    """A run that began at BEGAN and ended so many hours later; None: it has no end on record."""
    run = new_run(session, experiment)
    run.started_at = BEGAN
    run.finished_at = None if hours is None else BEGAN + timedelta(hours=hours)
    session.flush()
    return run


def a_stage(session: Session, run: Run, name: str, *, hours: float | None, tokens: int) -> None:
    """A stage of a run, finished so many hours after it, or never."""
    stage = start_stage(
        session, digest(name), stage="rate", algorithm_version="1", params={}, run=run
    )
    stage.prompt_tokens, stage.output_tokens = tokens - 1, 1
    stage.finished_at = None if hours is None else BEGAN + timedelta(hours=hours)
    session.flush()


def test_runs_count_to_their_end_and_killed_ones_to_their_last_stage(session: Session) -> None:
    experiment = new_experiment(session)
    a_run(session, experiment, hours=2)
    killed = a_run(session, experiment, hours=None)
    a_stage(session, killed, "a", hours=0.5, tokens=100)
    a_stage(session, killed, "b", hours=0.75, tokens=200)
    a_stage(session, killed, "unfinished", hours=None, tokens=50)
    this = a_run(session, experiment, hours=None)
    spent = spent_before(session, experiment, this)
    assert spent == Spent(seconds=2.75 * 3600, tokens=350)


def test_other_experiments_and_this_run_count_for_nothing(session: Session) -> None:
    mine = new_experiment(session)
    this = a_run(session, mine, hours=None)
    other = new_experiment(session, "other")
    a_stage(session, a_run(session, other, hours=5), "c", hours=1, tokens=70)
    assert spent_before(session, mine, this) == Spent()
