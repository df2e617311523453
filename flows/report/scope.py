"""The scope of an experiment's numbers: what each was measured on, by what, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from db.lineage.standing import metric_key
from db.models import Arm, Evaluation, Experiment, Generation, Run, Stage, StageUse
from flows.report.metrics import describe, in_order

SUBJECTS = {"checkpoint": "model", "corpus": "corpus", "generation": "training mix"}


def measured(session: Session, experiment: Experiment) -> list[dict[str, Any]]:
    """One row for each metric: its subject, the distribution, items, unscored and task versions.

    `n` and `unscored` are the least and the most of any subject's.
    """
    generations = session.scalars(
        select(Generation).join(Generation.arm).where(Arm.experiment_id == experiment.id)
    ).all()
    wanted = select(Evaluation).where(
        or_(
            Evaluation.checkpoint_id.in_({each.checkpoint_id for each in generations}),
            Evaluation.corpus_version_id.in_({each.corpus_version_id for each in generations}),
            Evaluation.generation_id.in_({each.id for each in generations}),
        )
    )
    found: dict[str, list[Evaluation]] = {}
    for row in session.scalars(wanted.order_by(Evaluation.id)):
        found.setdefault(metric_key(row), []).append(row)
    return [_row(key, found[key]) for key in in_order(found)]


def _row(key: str, rows: Sequence[Evaluation]) -> dict[str, Any]:
    subject = rows[0].subject_key.partition(":")[0]
    return {
        "metric": key,
        "name": describe(key).name,
        "subject": SUBJECTS.get(subject, subject),
        "on": describe(key).on,
        "task": rows[0].task,
        "task_versions": sorted({row.task_version for row in rows}),
        "subjects": len({row.subject_key for row in rows}),
        "n": [min(row.n for row in rows), max(row.n for row in rows)],
        "unscored": [min(row.unscored for row in rows), max(row.unscored for row in rows)],
        "standard_error": any(row.stderr is not None for row in rows),
    }


def provenance(session: Session, experiment: Experiment) -> dict[str, Any]:
    """Command, commit, versions and machine of the last run that did a stage, and all engines.

    A run that found everything on record made nothing of what is told.
    """
    runs = session.scalars(
        select(Run).where(Run.experiment_id == experiment.id).order_by(Run.id)
    ).all()
    engines = (
        select(Stage.engine, Stage.engine_version, Stage.numerics_class)
        .join(StageUse, StageUse.stage_id == Stage.id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(Arm.experiment_id == experiment.id, Stage.engine.is_not(None))
        .order_by(Stage.id)
    )
    kinds = {
        repr(each): {"engine": each[0], "version": each[1], "numerics_class": each[2]}
        for each in session.execute(engines)
    }
    found: dict[str, Any] = {"runs": len(runs), "engines": list(kinds.values())}
    if runs:
        worked = select(Stage.run_id).where(Stage.status == "done", Stage.run_id.is_not(None))
        makers = set(session.scalars(worked.where(Stage.run_id.in_([each.id for each in runs]))))
        last = next((each for each in reversed(runs) if each.id in makers), runs[-1])
        found |= {
            "command": last.command,
            "commit": last.commit,
            "dirty": last.dirty,
            "versions": last.versions,
            "host": last.host_kind,
        }
    return found
