"""What an experiment cost: every stage once, at the generation that did it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Arm, Generation, Stage, StageUse
from db.records import require_experiment

COSTS = ("documents", "model_calls", "prompt_tokens", "cached_tokens", "output_tokens", "errors",
         "seconds")  # fmt: skip


def costs_of(session: Session, experiment: str) -> list[dict[str, Any]]:
    """One row for each stage, in the order of work: whose it was and what it took.

    A stage that several generations share stands at the one that did it; `reused` says that none
    of them did, so that another experiment paid for it.
    """
    row = require_experiment(session, experiment)
    wanted = (
        select(Stage, StageUse.reused, Generation.generation_index, Arm.name, Arm.seed)
        .join(StageUse, StageUse.stage_id == Stage.id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(Arm.experiment_id == row.id)
        .order_by(Stage.id, StageUse.reused, Generation.id)
    )
    found: dict[int, dict[str, Any]] = {}
    for stage, reused, index, arm, seed in session.execute(wanted):
        found.setdefault(
            stage.id,
            {
                "arm": arm,
                "seed": seed,
                "generation": index,
                "stage": stage.stage,
                "status": stage.status,
                "reused": reused,
                **{name: getattr(stage, name) for name in COSTS},
            },
        )
    return list(found.values())


def summed(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Sums of what was not reused, by the columns that are named, in the order of the rows."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row["reused"]:
            continue
        named = {key: row[key] for key in keys}
        total = found.setdefault(tuple(named.values()), named | dict.fromkeys(COSTS, 0))
        for name in COSTS:
            total[name] += row[name] or 0
    return list(found.values())
