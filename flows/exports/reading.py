"""What the exports read: all that one experiment used, did and made, and who uses an artifact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, union
from sqlalchemy.orm import Session, joinedload

from db.lineage.ancestry import relatives
from db.models import (
    Arm,
    Artifact,
    ChangedDocument,
    Derivation,
    Experiment,
    GateDecision,
    Generated,
    Generation,
    Informed,
    Run,
    Stage,
    StageUse,
    Used,
    Verdict,
)
from db.records import require_experiment

# PostgreSQL binds at most 65,535 values in a statement, and SQLite 32,766.
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """Everything that stands behind an experiment; the mappings are by primary key."""

    experiment: Experiment
    generations: dict[int, Generation]
    stages: list[Stage]
    """In the order in which they began."""
    artifacts: dict[int, Artifact]
    derivations: list[tuple[int, str, int]]
    """What was made, the relation, and what it was made from."""
    used: dict[int, list[tuple[str, int]]]
    """Role and artifact, by stage."""
    generated: dict[int, list[int]]
    """Artifacts, by stage."""
    informed: dict[int, list[int]]
    """Stages whose output was read, by stage."""
    uses: dict[int, list[int]]
    """Generations that used it, by stage."""
    gates: list[GateDecision]
    runs: dict[int, Run]


def read_experiment(session: Session, name: str) -> ExperimentRecord:
    """Read an experiment with its stages, artifacts and their edges.

    Stages that failed before a generation could use them are found by the run that did them.

    Raises:
        UnknownId: there is no such experiment; the nearest is named.
    """
    row = require_experiment(session, name)
    generations = _generations(session, Arm.experiment_id == row.id)
    stages = list(session.scalars(_stages(row)))
    keys = [stage.id for stage in stages]
    used: dict[int, list[tuple[str, int]]] = defaultdict(list)
    generated: dict[int, list[int]] = defaultdict(list)
    informed: dict[int, list[int]] = defaultdict(list)
    uses: dict[int, list[int]] = defaultdict(list)
    for stage, role, artifact in _rows(session, Used.stage_id, keys, Used.role, Used.artifact_id):
        used[stage].append((role, artifact))
    for stage, artifact in _rows(session, Generated.stage_id, keys, Generated.artifact_id):
        generated[stage].append(artifact)
    for stage, source in _rows(session, Informed.stage_id, keys, Informed.source_stage_id):
        informed[stage].append(source)
    for stage, generation in _rows(session, StageUse.stage_id, keys, StageUse.generation_id):
        if generation in generations:
            uses[stage].append(generation)
    touched = {artifact for rows in used.values() for _, artifact in rows}
    touched |= {artifact for rows in generated.values() for artifact in rows}
    touched |= artifacts_of_generations(generations.values())
    touched |= {relative.key for relative in relatives(session, touched, "ancestors")}
    artifacts = read_artifacts(session, touched)
    gates = list(session.scalars(_gates(row)))
    known = [*stages, *artifacts.values(), *gates]
    own = session.scalars(select(Run.id).where(Run.experiment_id == row.id))
    runs = {*own, *(each.run_id for each in known if each.run_id is not None)}
    return ExperimentRecord(
        experiment=row,
        generations=generations,
        stages=stages,
        artifacts=artifacts,
        derivations=read_derivations(session, touched),
        used=used,
        generated=generated,
        informed=informed,
        uses=uses,
        gates=gates,
        runs={run.id: run for run in _by_key(session, select(Run), Run.id, runs)},
    )


def generations_of(session: Session, experiment: Experiment) -> list[Generation]:
    """The generations of an experiment, arm by arm."""
    return list(_generations(session, Arm.experiment_id == experiment.id).values())


def artifacts_of_generations(generations: Iterable[Generation]) -> set[int]:
    """Keys of the checkpoints and corpora of generations."""
    both = [(each.checkpoint_id, each.corpus_version_id) for each in generations]
    return {key for pair in both for key in pair if key is not None}


def read_artifacts(session: Session, keys: Collection[int]) -> dict[int, Artifact]:
    """Artifacts by key."""
    return {row.id: row for row in _by_key(session, select(Artifact), Artifact.id, keys)}


def read_derivations(session: Session, keys: Collection[int]) -> list[tuple[int, str, int]]:
    """What each of the artifacts was made from, where that is one of them too."""
    columns = (Derivation.relation, Derivation.source_id)
    return [
        (made, relation, source)
        for made, relation, source in _rows(session, Derivation.artifact_id, keys, *columns)
        if source in keys
    ]


def users_of(
    session: Session, keys: Collection[int], experiment: Experiment | None = None
) -> dict[int, list[Generation]]:
    """Generations whose checkpoint or corpus is an artifact, of one experiment or of all."""
    users: dict[int, list[Generation]] = defaultdict(list)
    ours = Arm.experiment_id == experiment.id if experiment else Arm.experiment_id.is_not(None)
    for some in _batches(keys):
        of_artifact = or_(
            Generation.checkpoint_id.in_(some), Generation.corpus_version_id.in_(some)
        )
        for row in _generations(session, and_(of_artifact, ours)).values():
            for key in artifacts_of_generations([row]) & set(some):
                users[key].append(row)
    return users


def fates(session: Session, generation: Generation) -> list[tuple[str, str, int]]:
    """Action, principle and number of the documents to which a generation did something."""
    counted = func.count().label("documents")
    wanted = (
        select(Verdict.action, Verdict.principle, counted)
        .join(ChangedDocument, ChangedDocument.verdict_id == Verdict.id)
        .where(ChangedDocument.generation_id == generation.id)
        .group_by(Verdict.action, Verdict.principle)
        .order_by(Verdict.action, Verdict.principle)
    )
    return [(action, principle, count) for action, principle, count in session.execute(wanted)]


def _generations(session: Session, where: Any) -> dict[int, Generation]:
    wanted = (
        select(Generation)
        .join(Generation.arm)
        .where(where)
        .order_by(Generation.arm_id, Generation.generation_index)
        .options(joinedload(Generation.arm).joinedload(Arm.experiment))
        .options(joinedload(Generation.checkpoint), joinedload(Generation.corpus_version))
    )
    return {row.id: row for row in session.scalars(wanted)}


def _stages(row: Experiment) -> Select[Stage]:
    used = (
        select(StageUse.stage_id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(Arm.experiment_id == row.id)
    )
    ran = select(Stage.id).join(Run, Run.id == Stage.run_id).where(Run.experiment_id == row.id)
    either = union(used, ran).subquery()
    return select(Stage).where(Stage.id.in_(select(either))).order_by(Stage.started_at, Stage.id)


def _gates(row: Experiment) -> Select[GateDecision]:
    return (
        select(GateDecision)
        .join(Generation, Generation.id == GateDecision.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .where(Arm.experiment_id == row.id)
        .order_by(GateDecision.decided_at, GateDecision.id)
    )


def _rows(session: Session, key: Any, keys: Collection[int], *others: Any) -> Iterable[Any]:
    for some in _batches(keys):
        wanted = select(key, *others).where(key.in_(some)).order_by(key, *others)
        yield from session.execute(wanted)


def _by_key(session: Session, wanted: Any, key: Any, keys: Collection[int]) -> Iterable[Any]:
    for some in _batches(keys):
        yield from session.scalars(wanted.where(key.in_(some)).order_by(key))


def _batches(keys: Collection[int]) -> Iterator[list[int]]:
    """The keys in order, as many at once as a statement may bind."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
