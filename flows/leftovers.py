"""What stands in a home folder that the record does not name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Artifact, Experiment, Lease, Run, Shard, Stage, utc_now
from flows.lease import holder_is_dead
from flows.places import ROOMS
from workers.storage import UNFINISHED

ROWS_AT_ONCE = 500
# A task tells its progress through these; they outlive only a killed one.
_NOTES = (".progress", ".next")
# Folders of ours are called by a digest; what a person put beside them is not ours to remove.
_OURS = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in a home folder that no row of the record needs."""

    path: Path
    why: str

    @property
    def ours(self) -> bool:
        """Whether this program made it, to go by its name."""
        return is_ours(self.path)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in a home folder at one moment."""

    folders: tuple[Path, ...]
    """Finished corpora, checkpoints and stages."""
    unfinished: tuple[Path, ...]
    """What a killed process left half written."""


def is_ours(path: Path) -> bool:
    """Whether this program made something in a home folder, to go by its name."""
    unfinished = path.name.startswith(UNFINISHED) or path.suffix in _NOTES
    return unfinished or _OURS.fullmatch(path.name) is not None


def standing(home: Path) -> Standing:
    """List a home folder. List before the record is read: rows come after their files."""
    folders: list[Path] = []
    depths = ("", "*/", "*/*/")
    unfinished = {path for each in depths for path in home.glob(f"{each}{UNFINISHED}*")}
    for room in ROOMS:
        for path in home.glob(f"{room}/*"):
            # A link is somebody's own doing, and what it leads to is elsewhere.
            if path.is_symlink() or path in unfinished:
                continue
            if path.is_dir():
                folders.append(path)
            elif path.suffix in _NOTES:
                unfinished.add(path)
    inside = {path for path in unfinished if path.parent in unfinished}
    return Standing(tuple(sorted(folders)), tuple(sorted(unfinished - inside)))


def leftovers(
    session: Session, found: Standing, *, spent: Iterable[str] = ()
) -> Iterator[Leftover]:
    """Yield what no row names, and what was never finished.

    Args:
        session: a reader's.
        found: what stands in the home folder.
        spent: recipes of stages whose folders count as named only where another row names them.
    """
    spent = frozenset(spent)
    unnamed = {path.name for path in found.folders}
    for names in _names(session, spent):
        unnamed -= names
    for path in found.folders:
        if path.name in unnamed:
            failed = path.name in spent and path.parent.name == "stages"
            yield Leftover(path, "left by a stage that failed" if failed else "no row names it")
    for path in found.unfinished:
        yield Leftover(path, "never finished")


def live_leases(session: Session) -> list[Lease]:
    """Leases that are held, oldest first: not given back, not run out, the holder not dead."""
    held = Lease.released_at.is_(None) & (Lease.expires_at > utc_now())
    wanted = select(Lease).where(held).order_by(Lease.acquired_at)
    return [lease for lease in session.scalars(wanted) if not holder_is_dead(lease)]


def spent_stages(session: Session, *, all_failed: bool = False) -> dict[str, int]:
    """Failed stages that no run will go on with: their keys by recipe.

    A stage that was cut off is noted as failed too, and the next run of its experiment reuses its
    finished shards; so a failed stage is spent once its experiment is finished.

    Args:
        session: a reader's.
        all_failed: those of unfinished experiments as well.
    """
    wanted = (
        select(Stage.recipe_id, Stage.id, Experiment.status)
        .outerjoin(Run, Run.id == Stage.run_id)
        .outerjoin(Experiment, Experiment.id == Run.experiment_id)
        .where(Stage.status == "failed")
    )
    return {
        recipe: key
        for recipe, key, status in session.execute(wanted)
        if all_failed or status == "finished"
    }


def _names(session: Session, spent: frozenset[str]) -> Iterator[set[str]]:
    """Every word of the record that a folder could be called by, a row at a time."""
    columns = (Artifact.digest, Artifact.uri, Artifact.meta, Artifact.content)
    yield from _words_of(session, select(*columns))
    yield from _words_of(session, select(Experiment.config))
    stages = select(
        Stage.recipe_id, Stage.output_digest, Stage.output_uri, Stage.params, Stage.meta
    )
    for recipe, digest, uri, params, meta in _rows(session, stages):
        # What a failed stage read is kept, and what it left is not.
        own = () if recipe in spent else (recipe, digest, uri)
        yield set(_words([own, params, meta]))
    shards = select(Stage.recipe_id, Shard.uri).join(Stage, Stage.id == Shard.stage_id)
    for recipe, uri in _rows(session, shards):
        if recipe not in spent:
            yield set(_words(uri))


def _words_of(session: Session, statement: Any) -> Iterator[set[str]]:
    for row in _rows(session, statement):
        yield set(_words(list(row)))


def _rows(session: Session, statement: Any) -> Iterator[Any]:
    yield from session.execute(statement, execution_options={"yield_per": ROWS_AT_ONCE})


def _words(value: Any) -> Iterator[str]:
    """Parts of every path and every other word in a value made of JSON's types."""
    if isinstance(value, str):
        yield from re.split(r"[/\\]", value)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _words(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _words(each)
