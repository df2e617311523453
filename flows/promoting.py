"""Pointing an arm at a generation by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.arms import Arm as ArmName
from db import records
from db.models import Arm, Generation
from db.sessions import Database
from flows.lease import AT_ONCE, fenced, hold_leases
from workers.problems import InputProblem


@contextmanager
def _writing(
    database: Database, experiment: str, arm: str, seed: int
) -> Iterator[tuple[Session, Arm]]:
    """A transaction under the arm's lease."""

    def find(session: Session) -> list[Arm]:
        return [find_arm(session, experiment, arm, seed)]

    with hold_leases(database, find) as grant, fenced(database, grant, AT_ONCE) as session:
        yield session, find_arm(session, experiment, arm, seed)


def promote_generation(database: Database, experiment: str, arm: str, seed: int, index: int) -> str:
    """Promote a generation and say so.

    Raises:
        InputProblem: there is no such arm or generation, or it is one of inverted principles.
    """
    with _writing(database, experiment, arm, seed) as (session, row):
        wanted = session.scalars(
            select(Generation).where(
                Generation.arm_id == row.id, Generation.generation_index == index
            )
        ).one_or_none()
        if wanted is None:
            raise InputProblem(f"arm {arm} (seed {seed}) of {experiment} has no generation {index}")
        if arm == ArmName.INVERT and index:
            raise InputProblem(
                f"arm {arm} (seed {seed}) of {experiment}: its models were made worse on purpose "
                "and are for comparison alone; they are never promoted"
            )
        records.promote(session, row, wanted)
    return f"{experiment}: arm {arm} (seed {seed}) now points at generation {index}"


def roll_back(database: Database, experiment: str, arm: str, seed: int) -> str:
    """Go back to the newest earlier generation that was not refused, and say which.

    Raises:
        InputProblem: there is no such arm.
    """
    with _writing(database, experiment, arm, seed) as (session, row):
        index = records.rollback(session, row)
        found = index.generation_index
    return f"{experiment}: arm {arm} (seed {seed}) is back at generation {found}"


def find_arm(session: Session, experiment: str, arm: str, seed: int) -> Arm:
    """Return an arm.

    Raises:
        InputProblem: the experiment has none of that name and seed.
    """
    row = records.require_experiment(session, experiment)
    arms = session.scalars(select(Arm).where(Arm.experiment_id == row.id)).all()
    found = [each for each in arms if (each.name, each.seed) == (arm, seed)]
    if not found:
        known = ", ".join(f"{each.name} (seed {each.seed})" for each in arms) or "none yet"
        raise InputProblem(f"{experiment} has no arm {arm!r} of seed {seed}; it has {known}")
    return found[0]
