"""`gc`: removing from a home folder what no generation needs."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from db.models import Arm, Shard
from db.problems import LeaseHeld
from db.records import LeaseGrant, acquire_leases, release_leases
from db.sessions import Database
from flows.lease import TTL_S, holder_is_dead
from flows.leftovers import Leftover, Standing, leftovers, live_leases, spent_stages, standing
from workers.problems import InputProblem, WorkProblem
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
    found = standing(home)
    with database.readers() as session:
        for lease in live_leases(session):
            arm = lease.arm
            what = f"{arm.experiment.name}:{arm.name}:{arm.seed}"
            raise LeaseHeld(what, lease.holder, lease.host, lease.pid, lease.acquired_at)
        gone = _gone(session, database, home, found, spent_stages(session, all_failed=all_failed))
    return [Removable(each.path, each.why, _size(each.path)) for each in gone]


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
        InputProblem: the record is not that of this home.
        WorkProblem: a folder cannot be removed.
    """
    home = home.resolve()
    aside: list[tuple[Leftover, Path]] = []
    with database.sessions.begin() as session:
        grant = _take_every_lease(session)
        spent = spent_stages(session, all_failed=all_failed)
        # Listed and asked for under the leases: nobody adds a file or a row meanwhile.
        gone = _gone(session, database, home, standing(home), spent)
        _forget_shards(session, spent, gone)
        # Nothing slow here: a server ends a transaction in which nothing happens.
        aside.extend((each, _put_aside(each.path)) for each in gone)
        release_leases(session, grant)
    removed: list[Removable] = []
    for each, path in aside:
        removed.append(Removable(each.path, each.why, _size(path)))
        _remove(path)
    return removed


def _take_every_lease(session: Session) -> LeaseGrant:
    if session.connection().dialect.name == "postgresql":
        # Arms that do not exist yet have no lease to take; SQLite has one writer anyway.
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S:.0f}s'"))
        session.execute(text("LOCK TABLE leases IN EXCLUSIVE MODE"))
    return acquire_leases(
        session,
        session.scalars(select(Arm)).all(),
        holder=uuid.uuid4().hex[:12],
        host=socket.gethostname(),
        pid=os.getpid(),
        ttl_s=TTL_S,
        steal=holder_is_dead,
    )


def _gone(
    session: Session, database: Database, home: Path, found: Standing, spent: dict[str, int]
) -> list[Leftover]:
    _refuse_other_record(database, home)
    gone = list(leftovers(session, found, spent=spent))
    named = len(found.folders) - sum(each.path in found.folders for each in gone)
    if found.folders and not named:
        raise InputProblem(
            f"{home}: the record {database.url} names none of the {len(found.folders)} folders "
            "here, so it seems to be another home's; name the right one with --config or "
            "PALIMPSEST_DATABASE, or remove the folders by hand"
        )
    return [each for each in gone if each.ours]


def _refuse_other_record(database: Database, home: Path) -> None:
    own = home / "palimpsest.db"
    url = make_url(database.url)
    same = (
        url.get_backend_name() == "sqlite" and Path(url.database or "").resolve() == own.resolve()
    )
    if own.exists() and not same:
        raise InputProblem(
            f"{own}: this home has a record of its own, and {database.url} is asked; leave out "
            "--config and PALIMPSEST_DATABASE, or move the file away if it is no longer used"
        )


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
