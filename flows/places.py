"""Where recorded files stand now: a home folder may have been moved or copied since."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from configs.experiment import Experiment
from workers.remote_files import checked_url
from workers.sharing import SharedStore

STORAGE_VARIABLE = "PALIMPSEST_STORAGE"
ROOMS = ("corpora", "checkpoints", "stages")
RECORD_FILE = "palimpsest.db"
ANSWERS_FILE = "answers.db"


@dataclass(frozen=True, slots=True)
class Place:
    """A home folder, as the files of one record are looked for in it."""

    home: Path | None
    """None where nobody named one, and the record's own database lies in none."""
    own: bool
    """Whether the record is the home's own: its database is a file in it."""
    storage: str | None = None
    """URL of the store that the home is a cache of."""

    def located(self, uri: str) -> Path:
        """Where a recorded file or folder is to be looked for.

        A recorded path names a room of a home (`ROOMS`), a folder in it, and maybe what is in that.
        The same path in this home is meant where the record is this home's own, for the two were
        moved or copied together, and where this home has the folder. It is meant whether or not it
        stands: what was deleted from a copy is missing, although the original still has it. Any
        other path is meant as it was recorded: one in no room, or in a home that shares a record.

        With a store, every path that names a room is in it, and what it has is brought here.

        Raises:
            InputProblem: the store's bytes were altered.
            WorkProblem: the store cannot be read.
        """
        path = self.path_of(uri)
        parts = _parts(path)
        if self.storage is None or parts is None:
            return path
        return SharedStore(str(parts[0]), self.storage).fetch(path)

    def path_of(self, uri: str) -> Path:
        """The same, whether or not it is here; nothing is fetched."""
        recorded = Path(uri.removeprefix("file://"))
        parts = _parts(recorded)
        if self.home is None or parts is None:
            return recorded
        inside = parts[1]
        if self.own or self.storage or self.home.joinpath(*inside.parts[:2]).exists():
            return self.home / inside
        return recorded


def place_of(session: Session, home: Path | None = None) -> Place:
    """The home that a record's files are looked for in; that of its own database without one."""
    return place_at(session.get_bind().engine.url, home)


def place_at(url: URL | str, home: Path | None = None) -> Place:
    """The same, by the URL of the record."""
    file = database_file(url)
    own = file.parent if file is not None and file.name == RECORD_FILE else None
    home = own if home is None else home.resolve()
    return Place(home, own is not None and own == home, storage_of(None))


def storage_of(experiment: Experiment | None) -> str | None:
    """URL of the store: the environment's, else the config's; None where homes are mounted.

    Raises:
        InputProblem: it is no URL of a store, or holds credentials.
    """
    configured = experiment.placement.storage if experiment else None
    # Both: what the environment goes before is put on record all the same.
    urls = [checked_url(url) for url in (os.environ.get(STORAGE_VARIABLE), configured) if url]
    return urls[0] if urls else None


def store_of(experiment: Experiment | None, home: Path) -> SharedStore:
    """The store of an experiment, or of the environment alone, with a home on every node."""
    return SharedStore(str(home.resolve()), storage_of(experiment))


def database_file(url: URL | str) -> Path | None:
    """The file that a record is in; None on a server."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database.removeprefix("file:")).resolve()


def recorded_home(uri: str) -> Path | None:
    """The home that a path was recorded in; None where it is in no room of one."""
    parts = _parts(Path(uri.removeprefix("file://")))
    return parts[0] if parts is not None else None


def _parts(path: Path) -> tuple[Path, Path] | None:
    """A path up to its home, and from the room on."""
    rooms = [index for index, part in enumerate(path.parts) if part in ROOMS]
    if not rooms:
        return None
    return Path(*path.parts[: rooms[-1]]), Path(*path.parts[rooms[-1] :])
