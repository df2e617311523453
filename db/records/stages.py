"""Writing stages, who used them, and their shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack, cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.models import Generation, JsonObject, Run, Shard, Stage, StageUse, storable, utc_now
from db.problems import DatabaseProblem
from db.records.edges import note_inputs, note_outputs
from db.records.idempotence import fresh, insert_once, put


class StageCosts(TypedDict, total=False):
    """What a stage took and which engine did it."""

    engine: str | None
    engine_version: str | None
    documents: int | None
    model_calls: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    errors: int | None
    engine_start_s: float | None
    seconds: float | None
    meta: JsonObject


# Everything that a former attempt at the same recipe may have left behind.
_UNFINISHED: Mapping[str, Any] = {
    **dict.fromkeys(StageCosts.__annotations__),
    "meta": {},
    "finished_at": None,
    "output_digest": None,
    "output_uri": None,
    "failure": None,
}


def find_stage(session: Session, recipe_id: str) -> Stage | None:
    """The stage of this recipe, if it ever began; reuse it only when its status is `done`."""
    if not storable(recipe_id):
        return None
    return session.scalars(select(Stage).where(Stage.recipe_id == recipe_id)).one_or_none()


def start_stage(
    session: Session,
    recipe_id: str,
    *,
    stage: str,
    algorithm_version: str,
    params: JsonObject,
    run: Run | None = None,
    numerics_class: JsonObject | None = None,
    forget_shards: bool = False,
) -> Stage:
    """Begin a stage, or begin it again; its finished shards are kept unless they are to be redone.

    A stage that was done starts over too: that its bytes are gone is for the caller to have seen.
    """
    values: Mapping[str, Any] = {
        "stage": stage,
        "algorithm_version": algorithm_version,
        "params": params,
        "run_id": run.id if run else None,
        "numerics_class": numerics_class,
    }
    row = insert_once(session, Stage, {"recipe_id": recipe_id}, {**values, "attempts": 0})
    row = fresh(session, row)
    for name, value in {**_UNFINISHED, **values}.items():
        setattr(row, name, value)
    row.status = "running"
    row.started_at = utc_now()
    row.attempts += 1
    if forget_shards:
        session.execute(delete(Shard).where(Shard.stage_id == row.id))
    session.flush()
    note_inputs(session, row)
    return row


def finish_stage(
    session: Session,
    stage: Stage,
    *,
    output_digest: str | None,
    output_uri: str | None = None,
    **costs: Unpack[StageCosts],
) -> Stage:
    """Record that a stage's bytes are whole. Two finishes of one start must agree on the digest."""
    stage = fresh(session, stage)
    if stage.status == "done":
        if stage.output_digest != output_digest:
            raise DatabaseProblem(
                f"stage {stage.stage} of recipe {stage.recipe_id} ended twice in different bytes: "
                f"{stage.output_digest} and {output_digest}; equal recipes promise equal bytes, so "
                "compare the numerics class of the two processes, then run one of them again"
            )
        return stage
    for name, value in cast(Mapping[str, Any], costs).items():
        if name not in StageCosts.__annotations__:
            raise TypeError(f"a stage has no cost named {name}")
        setattr(stage, name, value)
    stage.status = "done"
    stage.output_digest = output_digest
    stage.output_uri = output_uri
    stage.finished_at = utc_now()
    session.flush()
    note_outputs(session, stage)
    return stage


def fail_stage(session: Session, stage: Stage, failure: str) -> Stage:
    """Record that a stage gave up, and why; a stage that is done stays done."""
    stage = fresh(session, stage)
    if stage.status != "done":
        stage.status = "failed"
        stage.failure = failure
        stage.finished_at = utc_now()
        session.flush()
    return stage


def use_stage(session: Session, generation: Generation, stage: Stage, *, reused: bool) -> StageUse:
    """Record that a generation used a stage; one that once did the work did not reuse it."""
    identity = {"generation_id": generation.id, "stage_id": stage.id}
    use = insert_once(session, StageUse, identity, {"reused": reused})
    use.reused = use.reused and reused
    session.flush()
    return use


def record_shard(
    session: Session,
    stage: Stage,
    shard_index: int,
    *,
    uri: str,
    digest: str,
    documents: int,
    status: str = "done",
    attempts: int = 1,
    seconds: float | None = None,
    meta: JsonObject | None = None,
) -> Shard:
    """Record a shard after its bytes are whole; a second record of the same shard replaces it."""
    identity = {"stage_id": stage.id, "shard_index": shard_index}
    values = {
        "uri": uri,
        "digest": digest,
        "documents": documents,
        "status": status,
        "attempts": attempts,
        "seconds": seconds,
        "meta": meta or {},
    }
    return put(session, Shard, identity, values)


def list_shards(session: Session, stage: Stage) -> list[Shard]:
    """The finished shards of a stage, by index."""
    wanted = select(Shard).where(Shard.stage_id == stage.id).order_by(Shard.shard_index)
    return list(session.scalars(wanted))
