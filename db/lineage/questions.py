"""`show`, `why` and `document_history`: what a thing is, and what made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from db.lineage.identify import Artifact, identify, identify_checkpoint, kind_of
from db.lineage.standing import metric_entry, metric_key, status
from db.models import (
    Arm,
    ChangedDocument,
    Checkpoint,
    CorpusVersion,
    Experiment,
    Generation,
    Run,
    Stage,
    storable,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import UnknownId
from db.records.measures import evaluations_of

_STAGE_COSTS = (
    "documents",
    "model_calls",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "errors",
    "engine_start_s",
    "seconds",
)
_CHANGES = (
    "action",
    "before_sha256",
    "after_sha256",
    "principle",
    "score_before",
    "score_after",
    "acceptance_score",
    "edit_distance",
    "reason",
    "source",
)


def show(session: Session, wanted: str) -> dict[str, Any]:
    """What is recorded under a name or digest: what it is, what made it, and at what cost."""
    row = identify(session, wanted)
    if isinstance(row, Experiment):
        return {
            "kind": "experiment",
            "id": row.name,
            "forked_from": row.forked_from.name if row.forked_from else None,
            "config": row.config,
            "fingerprints": row.fingerprints,
            **status(session, row.name)[0],
        }
    return _artifact(row) | {
        "made_by": _stage(session, row),
        "run": _run(session, row.run_id),
        "generations": _generations(session, row),
        "metrics": {
            metric_key(metric): metric_entry(metric) for metric in evaluations_of(session, row)
        },
    }


def why(session: Session, checkpoint: str) -> dict[str, Any]:
    """Why a checkpoint is as it is: its data, parent, recipe, commit, and the command that ran."""
    row = identify_checkpoint(session, checkpoint)
    run = _run(session, row.run_id)
    stage = _stage(session, row)
    trained_on = select(Generation.corpus_version_id).where(Generation.checkpoint_id == row.id)
    corpora = session.scalars(
        select(CorpusVersion).where(CorpusVersion.id.in_(trained_on)).order_by(CorpusVersion.id)
    )
    return {
        "checkpoint": row.digest,
        "uri": row.uri,
        "created_at": row.created_at.isoformat(),
        "data": [_artifact(corpus) for corpus in corpora],
        "parent": row.parent.digest if row.parent else None,
        "recipe_id": row.recipe_id,
        "recipe": stage["params"] if stage else None,
        "numerics_class": row.numerics_class,
        "tokens_seen": row.tokens_seen,
        "commit": run["commit"] if run else None,
        "dirty": run["dirty"] if run else None,
        "command": run["command"] if run else None,
        "versions": run["versions"] if run else None,
        "host_kind": run["host_kind"] if run else None,
        "generations": _generations(session, row),
    }


def document_history(session: Session, doc_id: str) -> list[dict[str, Any]]:
    """Every generation that changed, refused to change, tagged, dropped or quarantined a document.

    Generations that left it as it was have no row.
    """
    rows: Iterable[Any] = ()
    if storable(doc_id):
        rows = session.execute(
            select(
                Experiment.name, Arm.name, Arm.seed, Generation.generation_index, ChangedDocument
            )
            .join(Generation, ChangedDocument.generation_id == Generation.id)
            .join(Arm, Generation.arm_id == Arm.id)
            .join(Experiment, Arm.experiment_id == Experiment.id)
            .where(ChangedDocument.doc_id == doc_id)
            .order_by(Experiment.id, Arm.id, Generation.generation_index)
        )
    history = [
        {
            "experiment": experiment,
            "arm": arm,
            "seed": seed,
            "generation": generation_index,
            "doc_id": row.doc_id,
            **{name: getattr(row, name) for name in _CHANGES},
        }
        for experiment, arm, seed, generation_index, row in rows
    ]
    if not history:
        names = _nearest_documents(session, doc_id)
        raise UnknownId(
            f"no generation changed, refused, dropped, tagged or quarantined a document "
            f"{quoted(doc_id)}; {or_nearest(names)}",
            names,
        )
    return history


def _nearest_documents(session: Session, doc_id: str) -> list[str]:
    """The ids on either side in the index: millions of ids are not compared one by one."""
    if not storable(doc_id):
        return []
    column = ChangedDocument.doc_id
    after = select(column).where(column >= doc_id).order_by(column).distinct().limit(10)
    before = select(column).where(column < doc_id).order_by(column.desc()).distinct().limit(10)
    return nearest(doc_id, [*session.scalars(before), *session.scalars(after)])


def _artifact(row: Artifact) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "kind": kind_of(row),
        "id": row.digest,
        "uri": row.uri,
        "parent": row.parent.digest if row.parent else None,
        "recipe_id": row.recipe_id,
        "created_at": row.created_at.isoformat(),
        "meta": row.meta,
    }
    match row:
        case Checkpoint():
            own = {"numerics_class": row.numerics_class, "tokens_seen": row.tokens_seen}
        case CorpusVersion():
            own = {"shards": row.shards, "documents": row.documents, "tokens": row.tokens}
    return shared | own


def _stage(session: Session, row: Artifact) -> dict[str, Any] | None:
    """The stage that made an artifact: the one of its recipe, else the first that ended in it."""
    by_recipe = Stage.recipe_id == row.recipe_id
    by_output = Stage.output_digest == row.digest
    wanted = select(Stage).where(by_recipe | by_output).order_by(by_recipe.desc(), Stage.id)
    stage = session.scalars(wanted.limit(1)).one_or_none()
    if stage is None:
        return None
    return {
        "stage": stage.stage,
        "recipe_id": stage.recipe_id,
        "algorithm_version": stage.algorithm_version,
        "params": stage.params,
        "status": stage.status,
        "engine": stage.engine,
        "engine_version": stage.engine_version,
        "numerics_class": stage.numerics_class,
        "started_at": stage.started_at.isoformat(),
        "finished_at": stage.finished_at.isoformat() if stage.finished_at else None,
        **{name: getattr(stage, name) for name in _STAGE_COSTS},
    }


def _run(session: Session, key: int | None) -> dict[str, Any] | None:
    run = session.get(Run, key) if key is not None else None
    if run is None:
        return None
    return {
        "run_id": run.run_id,
        "command": run.command,
        "commit": run.commit,
        "dirty": run.dirty,
        "versions": run.versions,
        "host_kind": run.host_kind,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "outcome": run.outcome,
    }


def _generations(session: Session, row: Artifact) -> list[dict[str, Any]]:
    column = (
        Generation.checkpoint_id if isinstance(row, Checkpoint) else Generation.corpus_version_id
    )
    wanted = (
        select(Generation)
        .where(column == row.id)
        .order_by(Generation.id)
        .options(joinedload(Generation.arm).joinedload(Arm.experiment))
    )
    return [
        {
            "experiment": generation.arm.experiment.name,
            "arm": generation.arm.name,
            "seed": generation.arm.seed,
            "generation": generation.generation_index,
            "promoted": generation.arm.promoted_generation_id == generation.id,
        }
        for generation in session.scalars(wanted)
    ]
