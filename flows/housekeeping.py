"""`gc`: removing from a home folder what no generation needs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from db.models import Arm, Artifact, Shard
from db.problems import LeaseHeld
from db.records import LeaseGrant, check_leases
from db.sessions import Database, opened
from flows.lease import AT_ONCE, hold_leases
from flows.leftovers import (
    Leftover,
    Standing,
    is_ours,
    leftovers,
    live_leases,
    spent_stages,
    standing,
)
from flows.places import RECORD_FILE, ROOMS, place_at, recorded_home, store_of
from flows.storing import leftovers_there
from workers.problems import InputProblem, WorkProblem
from workers.sharing import SharedStore
from workers.storage import UNFINISHED

LOCK_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Removable:
    """A folder or file that can go."""

    path: Path
    why: str
    bytes: int


def removable(database: Database, home: Path, *, all_failed: bool = False) -> list[Removable]:
    """What `collect` would remove now; nothing is changed.

    Raises:
        LeaseHeld: a run goes on, so that what it makes has no rows yet.
        InputProblem: the record is not that of this home.
    """
    home = home.resolve()
    found, store = standing(home), store_of(None, home)
    with database.readers() as session:
        for lease in live_leases(session):
            arm = lease.arm
            what = f"{arm.experiment.name}:{arm.name}:{arm.seed}"
            raise LeaseHeld(what, lease.holder, lease.host, lease.pid, lease.acquired_at)
        spent = spent_stages(session, all_failed=all_failed)
        gone = _gone_here(session, database, store, found, spent)
    there = list(leftovers_there(database, store, spent))
    listed = [Removable(each.path, each.why, _size(each.path)) for each in gone]
    return [*listed, *(Removable(each.path, each.why, store.size(each.path)) for each in there)]


def collect(database: Database, home: Path, *, all_failed: bool = False) -> list[Removable]:
    """Remove what no generation needs, and say what went.

    Folders are renamed while every lease is ours, and removed after that: a kill half-way leaves
    none that is half there under its name, and a renamed one goes with the next run or `gc`.

    Args:
        database: the record of the home.
        home: folder of corpora, checkpoints and stages.
        all_failed: also the finished shards of failed stages that a run could still go on with.

    Raises:
        LeaseHeld: a run goes on.
        InputProblem: the record is not that of this home, or not the only one of the store.
        WorkProblem: a folder cannot be removed, or the store not be reached.
    """
    home, removed = home.resolve(), list[Removable]()
    store = store_of(None, home)
    aside: list[tuple[Leftover, Path]] = []
    # No transaction is open while anything slow is done: a server ends one that waits for long.
    with hold_leases(database, _every_arm) as grant:
        found = standing(home)
        with database.readers() as session:
            spent = spent_stages(session, all_failed=all_failed)
            gone = _gone_here(session, database, store, found, spent)
        there = list(leftovers_there(database, store, spent))
        with _alone(database, grant) as session:
            _forget_shards(session, spent, [*gone, *there])
        with _alone(database, grant):
            aside.extend((each, _put_aside(each.path)) for each in gone)
        for each in there:
            bytes_ = store.size(each.path)
            # A folder of a store cannot be put aside by its name.
            with _alone(database, grant):
                store.remove(each.path)
            removed.append(Removable(each.path, each.why, bytes_))
    for each, path in aside:
        removed.append(Removable(each.path, each.why, _size(path)))
        _remove(path)
    return removed


def _every_arm(session: Session) -> Sequence[Arm]:
    """All arms, of which none is added before the transaction ends."""
    if session.connection().dialect.name == "postgresql":
        # Arms that do not exist yet have no lease to take; SQLite has one writer anyway.
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S:.0f}s'"))
        session.execute(text("LOCK TABLE leases IN EXCLUSIVE MODE"))
    return session.scalars(select(Arm)).all()


@contextmanager
def _alone(database: Database, grant: LeaseGrant) -> Iterator[Session]:
    """A transaction in which no run begins, and before which none has begun since the leases.

    Raises:
        LeaseLost: another process took a lease over.
        WorkProblem: an experiment was begun, or extended, of which nothing was known.
    """

    def enter(session: Session) -> None:
        # The table before its rows, or we and our own heartbeat would wait for each other.
        arms = {arm.id for arm in _every_arm(session)}
        check_leases(session, grant)
        if arms - {arm for arm, _ in grant.tokens}:
            raise WorkProblem(
                "a run of an experiment that is new began meanwhile, and what it makes has no "
                "rows yet. What went is gone; run `palimpsest gc` again once that run has ended"
            )

    with opened(database.sessions, AT_ONCE, enter) as session:
        yield session
        session.commit()


def _gone_here(
    session: Session,
    database: Database,
    store: SharedStore,
    found: Standing,
    spent: dict[str, int],
) -> list[Leftover]:
    """What can go from this node's home; with a store, nothing where the home may be another's."""
    try:
        return _gone(session, database, Path(store.home), found, spent)
    except InputProblem:
        # Of a store every node has a cache of its own, under any path: it is left as it is.
        if store.url is None:
            raise
        return []


def _gone(
    session: Session, database: Database, home: Path, found: Standing, spent: dict[str, int]
) -> list[Leftover]:
    _refuse_other_record(session, database, home)
    gone = [each for each in leftovers(session, found, spent=spent) if each.ours]
    ours = {path for path in found.folders if is_ours(path)}
    if ours and ours <= {each.path for each in gone}:
        raise InputProblem(
            f"{home}: the record {database.url} names none of the {len(ours)} folders here, so it "
            "seems to be another home's; name the right one with --config or "
            "PALIMPSEST_DATABASE, or remove the folders by hand"
        )
    return gone


def _refuse_other_record(session: Session, database: Database, home: Path) -> None:
    """Refuse a record that may be another home's: what this home's own names would go.

    A record that lies in this home is its own. Any other must not lie in another home, this home
    must have none of its own, and no corpus or checkpoint that it names may still stand in another
    home where it was recorded. That one of them stands here as well shows nothing: equal bytes
    have equal names in every home.
    """
    if place_at(database.url, home).own:
        return
    own = home / RECORD_FILE
    if own.exists():
        raise InputProblem(
            f"{own}: this home has a record of its own, and {database.url} is asked; leave out "
            "--config and PALIMPSEST_DATABASE, or move the file away if it is no longer used"
        )
    other = _home_of_record(database) or _home_of_artifacts(session, home)
    if other is not None:
        raise InputProblem(
            f"{home}: the record {database.url} is that of another home, {other}, and does not say "
            "what this one needs. Name this home's record with --config or PALIMPSEST_DATABASE; if "
            "the two homes do share one, remove by hand what `palimpsest lineage verify` calls "
            "orphaned here"
        )


def _home_of_record(database: Database) -> Path | None:
    """The home that the record's own file lies in; none on a server, or by itself."""
    home = place_at(database.url).home
    return home if home and any((home / room).is_dir() for room in ROOMS) else None


def _home_of_artifacts(session: Session, home: Path) -> Path | None:
    """Another home in which something that the record names stands where it was recorded."""
    elsewhere: dict[Path, bool] = {}
    for uri in session.scalars(select(Artifact.uri).where(Artifact.uri != "")):
        other = recorded_home(uri)
        if other is None:
            continue
        if other not in elsewhere:
            elsewhere[other] = other.resolve() != home and _stands(other)
        if elsewhere[other] and _stands(Path(uri.removeprefix("file://"))):
            return other
    return None


def _stands(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # Somebody's, or we could look.


def _forget_shards(session: Session, spent: dict[str, int], gone: Iterable[Leftover]) -> None:
    """A row says that its bytes are whole, so the rows of what goes go first."""
    keys = [spent[each.path.name] for each in gone if each.path.name in spent]
    session.execute(delete(Shard).where(Shard.stage_id.in_(keys)))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in inside if not file.is_dir())


def _put_aside(path: Path) -> Path:
    if path.name.startswith(UNFINISHED):
        return path
    aside = path.with_name(f"{UNFINISHED}gc-{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        return path.rename(aside)
    except OSError as error:
        raise _stuck(path, error) from error


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except FileNotFoundError:
        return  # A run that began meanwhile has swept it.
    except OSError as error:
        raise _stuck(path, error) from error


def _stuck(path: Path, error: OSError) -> WorkProblem:
    return WorkProblem(
        f"{path}: cannot be removed ({error.strerror}); make its folder writable and run "
        "`palimpsest gc` again, which goes on where it stopped"
    )
