"""Writing experiments, runs, arms and generations, and which generation is promoted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack, cast
from uuid import uuid4

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.models import (
    Arm,
    ConfigVersion,
    Experiment,
    GateDecision,
    Generation,
    JsonObject,
    Run,
    storable,
    utc_now,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import DatabaseProblem, UnknownId
from db.records.idempotence import fresh, insert_once


class GenerationFields(TypedDict, total=False):
    """What `set_generation` can set. The six counts stand or fall together."""

    status: str
    corpus_version_id: int | None
    checkpoint_id: int | None
    training_documents: int | None
    training_tokens: int | None
    unique_tokens: int | None
    epochs: float | None
    documents_in: int | None
    keep: int | None
    revise: int | None
    drop: int | None
    tag: int | None
    quarantine: int | None
    started_at: datetime | None
    finished_at: datetime | None


def register_experiment(
    session: Session,
    name: str,
    config: JsonObject,
    fingerprints: JsonObject,
    *,
    forked_from: Experiment | None = None,
) -> Experiment:
    """The experiment of this name; one that stands with another config is refused."""
    if not storable(name):
        raise DatabaseProblem(f"experiment name {quoted(name)} holds bytes that cannot be stored")
    values = {
        "config": config,
        "fingerprints": fingerprints,
        "forked_from_id": forked_from.id if forked_from else None,
    }
    experiment = insert_once(session, Experiment, {"name": name}, values)
    fields = differing_fields(experiment.config, config)
    if fields:
        raise DatabaseProblem(
            f"experiment {name!r} is recorded with another config; differing: {', '.join(fields)}; "
            "extend it, fork it under a new name, or undo the edit"
        )
    return experiment


def differing_fields(recorded: JsonObject, given: JsonObject) -> list[str]:
    """The dotted names of the fields in which two configs differ."""
    given = json.loads(json.dumps(given))  # tuples and integer keys as the database gives them back
    names: list[str] = []

    def compare(old: Any, new: Any, path: str) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            ours, theirs = cast(dict[str, Any], old), cast(dict[str, Any], new)
            for key in sorted({*ours, *theirs}):
                compare(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
        elif old != new:
            names.append(path)

    compare(recorded, given, "")
    return names


def find_experiment(session: Session, name: str) -> Experiment | None:
    """The experiment of this name, if there is one."""
    if not storable(name):
        return None
    return session.scalars(select(Experiment).where(Experiment.name == name)).one_or_none()


def require_experiment(session: Session, name: str) -> Experiment:
    """The experiment of this name, or a problem that names the nearest."""
    experiment = find_experiment(session, name)
    if experiment is None:
        names = nearest(name, session.scalars(select(Experiment.name)))
        raise UnknownId(f"there is no experiment {quoted(name)}; {or_nearest(names)}", names)
    return experiment


def list_experiments(session: Session) -> list[Experiment]:
    """Every experiment, oldest first."""
    return list(session.scalars(select(Experiment).order_by(Experiment.id)))


def extend_experiment(
    session: Session, experiment: Experiment, config: JsonObject, fingerprints: JsonObject
) -> Experiment:
    """Take over an extended config; that it only extends is the caller's to have checked."""
    experiment = fresh(session, experiment)
    experiment.config = config
    experiment.fingerprints = fingerprints
    session.flush()
    return experiment


def set_experiment_status(session: Session, experiment: Experiment, status: str) -> None:
    """Set the status of an experiment."""
    fresh(session, experiment).status = status
    session.flush()


def start_run(
    session: Session,
    *,
    command: str,
    commit: str | None,
    dirty: bool | None,
    versions: JsonObject,
    host_kind: JsonObject,
    experiment: Experiment | None = None,
    config: ConfigVersion | None = None,
    run_id: str | None = None,
) -> Run:
    """Record that a process began; one that is killed keeps its row without an end."""
    run = Run(
        run_id=run_id or uuid4().hex,
        command=command,
        commit=commit,
        dirty=dirty,
        versions=versions,
        host_kind=host_kind,
        experiment_id=experiment.id if experiment else None,
        config_id=config.id if config else None,
    )
    session.add(run)
    session.flush()
    return run


def finish_run(session: Session, run: Run, outcome: str) -> None:
    """Record how a process ended."""
    run = fresh(session, run)
    run.outcome = outcome
    run.finished_at = utc_now()
    session.flush()


def ensure_arm(session: Session, experiment: Experiment, name: str, seed: int) -> Arm:
    """The arm of this name and seed, made if need be."""
    return insert_once(
        session, Arm, {"experiment_id": experiment.id, "name": name, "seed": seed}, {}
    )


def set_arm_status(session: Session, arm: Arm, status: str) -> None:
    """Set the status of an arm."""
    fresh(session, arm).status = status
    session.flush()


def ensure_generation(session: Session, arm: Arm, generation_index: int) -> Generation:
    """The generation of this index, made if need be."""
    identity = {"arm_id": arm.id, "generation_index": generation_index}
    return insert_once(session, Generation, identity, {})


def set_generation(
    session: Session, generation: Generation, **fields: Unpack[GenerationFields]
) -> Generation:
    """Set fields of a generation; counts that do not add up are refused by the database.

    Its times are those of the first run that made it: a later one only takes what is there.
    """
    values = cast(Mapping[str, Any], fields)
    unknown = sorted(set(values) - set(GenerationFields.__annotations__))
    if unknown:
        raise TypeError(f"a generation has no field {', '.join(unknown)}")
    generation = fresh(session, generation)
    for name, value in values.items():
        setattr(generation, name, value)
    if generation.status == "running" and generation.started_at is None:
        generation.started_at = utc_now()
    if generation.status == "finished" and generation.finished_at is None:
        generation.finished_at = utc_now()
    session.flush()
    return generation


def promote(session: Session, arm: Arm, generation: Generation) -> None:
    """Point an arm at the generation that is its best."""
    if generation.arm_id != arm.id:
        raise DatabaseProblem(
            f"generation {generation.generation_index} belongs to another arm than {arm.name} "
            f"(seed {arm.seed}); name one of that arm"
        )
    if generation.checkpoint_id is None:
        raise DatabaseProblem(
            f"generation {generation.generation_index} of arm {arm.name} has no checkpoint to "
            "promote; run the experiment on first"
        )
    fresh(session, arm).promoted_generation_id = generation.id
    session.flush()


def rollback(session: Session, arm: Arm) -> Generation:
    """Point an arm at the last generation before the promoted one that passed all its gates."""
    arm = fresh(session, arm)
    promoted = arm.promoted_generation_id and session.get(Generation, arm.promoted_generation_id)
    if not promoted:
        raise DatabaseProblem(
            f"arm {arm.name} (seed {arm.seed}) has no promoted generation to go back from"
        )
    refused = exists().where(
        GateDecision.generation_id == Generation.id, GateDecision.outcome != "pass"
    )
    passed = (
        select(Generation)
        .where(
            Generation.arm_id == arm.id,
            Generation.generation_index < promoted.generation_index,
            Generation.checkpoint_id.is_not(None),
            ~refused,
        )
        .order_by(Generation.generation_index.desc())
        .limit(1)
    )
    previous = session.scalars(passed).one_or_none()
    if previous is None:
        raise DatabaseProblem(
            f"arm {arm.name} (seed {arm.seed}) has no generation before "
            f"{promoted.generation_index} that passed its gates; it stays promoted"
        )
    arm.promoted_generation_id = previous.id
    session.flush()
    return previous
