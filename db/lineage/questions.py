"""`show` and `why`: what a thing is, and what made it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from db.lineage.identify import identify, identify_checkpoint
from db.lineage.standing import metric_entry, metric_key, status
from db.models import (
    STAGE_COSTS,
    Arm,
    Artifact,
    Checkpoint,
    CorpusVersion,
    Derivation,
    Experiment,
    Generated,
    Generation,
    Informed,
    Run,
    Stage,
    Used,
)
from db.records.measures import evaluations_of


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
    maker = _maker(session, row)
    # The recipe, which is long, comes last.
    return _artifact(session, row) | {
        "cost": _cost(session, maker) if maker else None,
        "generations": _generations(session, row),
        "run": _run(session, row.run_id),
        "metrics": _metrics(session, row),
        "made_by": _stage(session, maker) if maker else None,
    }


def why(session: Session, checkpoint: str) -> dict[str, Any]:
    """Why a checkpoint is as it is: its data, parent, recipe, commit, and the command that ran."""
    row = identify_checkpoint(session, checkpoint)
    run = _run(session, row.run_id)
    maker = _maker(session, row)
    sources = _sources(session, row)
    return {
        "checkpoint": row.digest,
        "uri": row.uri,
        "created_at": row.created_at.isoformat(),
        "generations": _generations(session, row),
        "parent": next((each.digest for name, each in sources if name == "parent"), None),
        "command": run["command"] if run else None,
        "commit": run["commit"] if run else None,
        "dirty": run["dirty"] if run else None,
        "config": run["config"] if run else None,
        "again": _again(run),
        "tokens_seen": row.tokens_seen,
        "numerics_class": row.numerics_class,
        "host_kind": run["host_kind"] if run else None,
        "versions": run["versions"] if run else None,
        "data": [_artifact(session, each) for name, each in sources if name != "parent"],
        "recipe_id": row.recipe_id,
        "recipe": maker.params if maker else None,
    }


def _again(run: dict[str, Any] | None) -> str | None:
    """The commands that would make it again: equal recipes on one kind of machine, equal bytes."""
    if run is None:
        return None
    if run["commit"] is None:
        return run["command"]
    command = run["command"]
    if command.startswith("palimpsest run "):
        # In a home of its own: where it stands already it would be reused.
        command = f".venv/bin/{command} --set placement.home=again"
    changed = "  # files differed from this commit" if run["dirty"] else ""
    return f"git checkout {run['commit'][:12]} && make install && {command}{changed}"


def _sources(session: Session, row: Artifact) -> list[tuple[str, Artifact]]:
    """What an artifact was made from, each with the relation."""
    wanted = (
        select(Derivation.relation, Artifact)
        .join(Artifact, Artifact.id == Derivation.source_id)
        .where(Derivation.artifact_id == row.id)
        .order_by(Derivation.relation, Artifact.id)
    )
    return [(relation, artifact) for relation, artifact in session.execute(wanted)]


_OWN = {
    "checkpoint": ("numerics_class", "tokens_seen"),
    "corpus": ("shards", "documents", "tokens"),
}


def _artifact(session: Session, row: Artifact) -> dict[str, Any]:
    sources = _sources(session, row)
    onward = {"parent", "derived_from"}
    return {
        "kind": row.kind,
        "id": row.digest,
        "uri": row.uri,
        "parent": next((each.digest for name, each in sources if name in onward), None),
        "recipe_id": row.recipe_id,
        "created_at": row.created_at.isoformat(),
        "meta": row.meta,
        **{name: getattr(row, name) for name in _OWN.get(row.kind, ("content",))},
        "from": [{"relation": name, "kind": e.kind, "id": e.digest} for name, e in sources],
    }


def _maker(session: Session, row: Artifact) -> Stage | None:
    """The stage that made an artifact: the one of its recipe, else the first that ended in it."""
    wanted = (
        select(Stage)
        .join(Generated, Generated.stage_id == Stage.id)
        .where(Generated.artifact_id == row.id)
        .order_by((Stage.recipe_id == row.recipe_id).desc(), Stage.id)
        .limit(1)
    )
    return session.scalars(wanted).one_or_none()


def _stage(session: Session, stage: Stage) -> dict[str, Any]:
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
        **{name: getattr(stage, name) for name in STAGE_COSTS},
        "used": _used(session, stage),
    }


_SUMMED = ("model_calls", "prompt_tokens", "cached_tokens", "output_tokens", "seconds")


def _cost(session: Session, maker: Stage) -> dict[str, float]:
    """What it took from its inputs on: a corpus was rated, revised and accepted before assembly."""
    steps = select(Stage.id).where(Stage.id == maker.id).cte("steps", recursive=True)
    steps = steps.union(
        select(Informed.source_stage_id).join(steps, Informed.stage_id == steps.c.id)
    )
    sums = [func.coalesce(func.sum(getattr(Stage, name)), 0) for name in _SUMMED]
    found = session.execute(select(*sums).join(steps, Stage.id == steps.c.id)).one()
    return dict(zip(_SUMMED, found, strict=True))


def _used(session: Session, stage: Stage) -> list[dict[str, str]]:
    wanted = (
        select(Used.role, Artifact.kind, Artifact.digest)
        .join(Artifact, Artifact.id == Used.artifact_id)
        .where(Used.stage_id == stage.id)
        .order_by(Used.role, Artifact.id)
    )
    return [{"role": role, "kind": kind, "id": id_} for role, kind, id_ in session.execute(wanted)]


def _metrics(session: Session, row: Artifact) -> dict[str, Any]:
    if not isinstance(row, Checkpoint | CorpusVersion):
        return {}
    return {metric_key(metric): metric_entry(metric) for metric in evaluations_of(session, row)}


def _run(session: Session, key: int | None) -> dict[str, Any] | None:
    run = session.get(Run, key) if key is not None else None
    if run is None:
        return None
    config = session.get(Artifact, run.config_id) if run.config_id is not None else None
    return {
        "run_id": run.run_id,
        "command": run.command,
        "config": config.digest if config else None,
        "commit": run.commit,
        "dirty": run.dirty,
        "versions": run.versions,
        "host_kind": run.host_kind,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "outcome": run.outcome,
    }


def _generations(session: Session, row: Artifact) -> list[dict[str, Any]]:
    columns = {"checkpoint": Generation.checkpoint_id, "corpus": Generation.corpus_version_id}
    column = columns.get(row.kind)
    if column is None:
        return []
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
