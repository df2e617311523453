"""A store behind a URL, as the record sees it: whose it is, what can go, what is whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Run
from db.sessions import Database
from flows.leftovers import Leftover, Standing, is_ours, leftovers
from flows.places import ROOMS, Place
from flows.rehashing import Finding
from workers.problems import InputProblem
from workers.remote_files import RemoteFiles
from workers.sharing import SharedStore
from workers.storage import UNFINISHED

# An empty file for each record whose runs write to a store: `gc` must know of all.
RECORDS = "records"


def claim(session: Session, store: SharedStore) -> None:
    """Note in the store that this record's files are in it.

    Raises:
        WorkProblem: the store cannot be written to.
    """
    identity = _identity(session)
    if store.url is None or identity is None:
        return
    files = RemoteFiles(store.url)
    if identity not in files.names(RECORDS):
        files.write(f"{RECORDS}/{identity}", b"")


def leftovers_there(
    database: Database, store: SharedStore, spent: dict[str, int]
) -> Iterator[Leftover]:
    """Yield what the store holds and no row needs, by the paths that it has in a home.

    The record is not held open while the store is listed: a server ends such transactions.

    Raises:
        InputProblem: other records have files in the store, and this one does not say what they
            need.
        WorkProblem: the store cannot be read.
    """
    if store.url is None:
        return
    files = RemoteFiles(store.url)
    folders = tuple(
        Path(store.home, room, name) for room in ROOMS for name in sorted(files.names(room))
    )
    ours = {path for path in folders if is_ours(path)}
    with database.readers() as session:
        found = [e for e in leftovers(session, Standing(folders, ()), spent=spent) if e.ours]
        identity = _identity(session)
    gone = [each for each in found if files.below(store.key(each.path))]
    if not gone:
        return
    records = files.names(RECORDS)
    others = records - {identity}
    if others or not records:
        raise InputProblem(
            f"{store.url}: {len(others) or 'unknown'} other records have files in this store, and "
            "this one does not say what they need. Give each record a prefix of its own "
            f"(placement.storage); if the others are no longer used, remove their names from "
            f"{files.shown(RECORDS)}"
        )
    if ours <= {each.path for each in gone}:
        raise InputProblem(
            f"{store.url}: the record names none of the {len(ours)} folders here, so it seems to "
            "be another store's; set PALIMPSEST_STORAGE to the right one, or remove the folders by "
            "hand"
        )
    for each in gone:
        yield replace(each, why=f"{each.why}, in the store {store.url}")


def checked_there(
    place: Place, uri: str, what: str, check: Callable[[Place], Iterator[Finding]]
) -> Iterator[Finding]:
    """Check the store's copy of what is recorded at a path, in a scratch folder; say where it is.

    Without a store the files of the home are checked, where they are.

    Args:
        place: where the record's files are looked for.
        uri: the recorded path.
        what: the row that it is about.
        check: yields what is wrong with the files of a place.
    """
    if place.storage is None or place.home is None:
        yield from check(place)
        return
    place.home.mkdir(parents=True, exist_ok=True)
    # In no room, so that no run that begins meanwhile sweeps it up; `gc` takes a killed check's.
    with tempfile.TemporaryDirectory(dir=place.home, prefix=f"{UNFINISHED}verify-") as folder:
        scratch = f"{folder}/home"
        there = Place(Path(scratch), own=False, storage=place.storage)
        try:
            for each in check(there):
                yield replace(each, path=each.path.replace(scratch, place.storage))
        except InputProblem as problem:
            path = str(there.path_of(uri)).replace(scratch, place.storage)
            yield Finding("altered", what, path, str(problem))


def _identity(session: Session) -> str | None:
    """What tells a record from others, wherever it was copied to: its first run."""
    return session.scalar(select(Run.run_id).order_by(Run.id).limit(1))
