"""`lineage verify`: the files against the record, and the record against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.lineage.consistency import inconsistencies
from db.lineage.identify import identify
from db.models import (
    Arm,
    Artifact,
    Checkpoint,
    CorpusVersion,
    Generated,
    Generation,
    Shard,
    Stage,
    StageUse,
)
from db.sessions import Database
from flows.leftovers import leftovers, live_leases, standing
from flows.places import Place, place_at
from flows.rehashing import (
    Finding,
    Tally,
    check_checkpoint,
    check_corpus,
    check_shard,
    check_stage_files,
    named,
)
from flows.storing import checked_there

ROWS_AT_ONCE = 200
# A file is a little older than the clock says on some file systems.
_CLOCK_SLACK_S = 2.0


@dataclass(frozen=True, slots=True)
class _Scope:
    """Keys of what is to be checked."""

    artifacts: frozenset[int]
    stages: frozenset[int]


def verify(
    database: Database, home: Path, wanted: Sequence[str] = (), tally: Tally | None = None
) -> Iterator[Finding]:
    """Yield whatever is missing, altered, orphaned or inconsistent, as it is found.

    Of a store its files are checked, each in a copy that goes again; a node's own were verified
    when they were fetched. No transaction stays open while files are hashed, so that a run may go
    on beside.

    Args:
        database: the record.
        home: folder where files are looked for, as `flows.places` says; it may have moved.
        wanted: experiments and artifacts to check, with the stages that made them; everything,
            the record itself and what is orphaned too, without any.
        tally: counts what was checked.

    Raises:
        UnknownId: nothing of such a name is on record.
    """
    tally = tally or Tally()
    home = home.resolve()
    place = place_at(database.url, home)
    scope = None
    with database.readers() as session:
        if wanted:
            scope = _scope(session, wanted)
        tally.total = _count(session, scope)
    for artifact in _pages(database, _artifacts, scope and scope.artifacts):
        yield from checked_there(
            place, artifact.uri, named(artifact), partial(_check_artifact, artifact, tally=tally)
        )
    for shard, stage in _shards(database, scope):
        check = partial(check_shard, shard, stage, tally=tally)
        yield from checked_there(place, shard.uri, named(stage), check)
    for stage in _pages(database, _stages, scope and scope.stages):
        check = partial(check_stage_files, stage, tally=tally)
        yield from checked_there(place, stage.output_uri or "", named(stage), check)
    if scope is None:
        yield from _orphans(database, home)
        with database.readers() as session:
            for each in inconsistencies(session):
                yield Finding("inconsistent", each.what, "", each.problem)


def _check_artifact(row: Artifact, place: Place, tally: Tally) -> Iterator[Finding]:
    if isinstance(row, CorpusVersion):
        yield from check_corpus(row, place, tally)
    elif isinstance(row, Checkpoint):
        yield from check_checkpoint(row, place, tally)


def _scope(session: Session, wanted: Sequence[str]) -> _Scope:
    artifacts: set[int] = set()
    stages: set[int] = set()
    for each in wanted:
        row = identify(session, each)
        if isinstance(row, Artifact):
            artifacts.add(row.id)
            made = select(Generated.stage_id).where(Generated.artifact_id == row.id)
            stages.update(session.scalars(made))
            continue
        own = (
            select(Generation.id)
            .join(Arm, Arm.id == Generation.arm_id)
            .where(Arm.experiment_id == row.id)
        )
        used = select(StageUse.stage_id).where(StageUse.generation_id.in_(own))
        stages.update(session.scalars(used))
        made = select(Generated.artifact_id).where(Generated.stage_id.in_(used))
        artifacts.update(session.scalars(made))
        for column in (Generation.corpus_version_id, Generation.checkpoint_id):
            held = select(column).where(Generation.id.in_(own), column.is_not(None))
            artifacts.update(key for key in session.scalars(held) if key is not None)
    return _Scope(frozenset(artifacts), frozenset(stages))


def _artifacts() -> Any:
    return select(Artifact).where(Artifact.kind.in_(("corpus", "checkpoint"))), Artifact.id


def _stages() -> Any:
    return select(Stage).where(Stage.status == "done"), Stage.id


def _count(session: Session, scope: _Scope | None) -> int:
    artifacts, _ = _artifacts()
    shards = select(Shard.id).join(Stage).where(Stage.status == "done")
    if scope is not None:
        artifacts = artifacts.where(Artifact.id.in_(scope.artifacts))
        shards = shards.where(Shard.stage_id.in_(scope.stages))
    counts = (select(func.count()).select_from(each.subquery()) for each in (artifacts, shards))
    return sum(session.scalar(count) or 0 for count in counts)


def _pages(
    database: Database, query: Callable[[], Any], only: frozenset[int] | None
) -> Iterator[Any]:
    """Rows in the order of their keys, read a page at a time, each in a transaction of its own."""
    wanted, key = query()
    if only is not None:
        wanted = wanted.where(key.in_(only))
    last = 0
    while True:
        with database.readers() as session:
            page = wanted.where(key > last).order_by(key).limit(ROWS_AT_ONCE)
            rows = session.scalars(page).all()
        if not rows:
            return
        last = rows[-1].id
        yield from rows


def _shards(database: Database, scope: _Scope | None) -> Iterator[tuple[Shard, Stage]]:
    for stage in _pages(database, _stages, scope and scope.stages):
        with database.readers() as session:
            wanted = select(Shard).where(Shard.stage_id == stage.id).order_by(Shard.shard_index)
            rows = session.scalars(wanted).all()
        for shard in rows:
            yield shard, stage


def _orphans(database: Database, home: Path) -> Iterator[Finding]:
    """What no row names, and `gc` would remove.

    Not what a run that goes on has made, whose rows are still to come, and not what a person put
    beside it under a name of their own.
    """
    found = standing(home)
    with database.readers() as session:
        leases = live_leases(session)
        since = leases[0].acquired_at.timestamp() if leases else None
        for each in leftovers(session, found):
            if each.ours and (since is None or _older(each.path, since - _CLOCK_SLACK_S)):
                room = each.path.relative_to(home).parts[0]
                yield Finding("orphaned", room, str(each.path), each.why)


def _older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False  # The run has just finished it, or removed it.
