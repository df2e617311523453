"""Finding a generation by the names of its experiment and arm."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Arm, Generation
from db.nearest import nearest, or_nearest, quoted
from db.problems import AmbiguousId, UnknownId
from db.records.experiments import require_experiment


def find_generation(
    session: Session, experiment: str, arm: str, generation: int, seed: int | None = None
) -> Generation:
    """The generation of this index in the arm of this name and seed.

    Raises:
        UnknownId: there is no such experiment, arm or generation.
        AmbiguousId: the arm has several seeds, and none was named.
    """
    row = require_experiment(session, experiment)
    arms = session.scalars(select(Arm).where(Arm.experiment_id == row.id).order_by(Arm.id)).all()
    named = [each for each in arms if each.name == arm and seed in (None, each.seed)]
    if not named:
        names = nearest(arm, [each.name for each in arms])
        which = quoted(arm) if seed is None else f"{quoted(arm)} of seed {seed}"
        raise UnknownId(f"experiment {experiment!r} has no arm {which}; {or_nearest(names)}", names)
    if len(named) > 1:
        seeds = [str(each.seed) for each in named]
        raise AmbiguousId(
            f"arm {arm!r} of experiment {experiment!r} has the seeds {', '.join(seeds)}: name one",
            seeds,
        )
    wanted = select(Generation).where(
        Generation.arm_id == named[0].id, Generation.generation_index == generation
    )
    found = session.scalars(wanted).one_or_none()
    if found is None:
        last = session.scalars(
            select(Generation.generation_index)
            .where(Generation.arm_id == named[0].id)
            .order_by(Generation.generation_index.desc())
        ).first()
        raise UnknownId(
            f"arm {arm!r} of experiment {experiment!r} has no generation {generation}; its last is "
            f"{last}"
        )
    return found
