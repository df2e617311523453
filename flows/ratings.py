"""Ratings of all documents: Parquet by experiment, arm, seed and generation, read by DuckDB.

The tree holds links to the shards that the rate stages wrote, so it takes no room of its own:

    <home>/ratings/experiment=E/arm=A/seed=S/generation=N/shard-NNNNN.parquet

Generation N's are the ratings that it acted on: of corpus N-1, by model N-1. Any tool that knows
Hive partitions reads the tree as one table.
"""

from __future__ import annotations

import errno
import filecmp
import glob
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, get_args
from urllib.parse import quote

from db.lineage.labels import RatedGeneration
from db.models import storable
from db.nearest import or_nearest, quoted
from flows.places import Place, storage_of
from workers.problems import InputProblem, WorkProblem
from workers.records import RatingStatus
from workers.storage import UNFINISHED, sync, whole_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

FOLDER = "ratings"
SHARDS = "shard-*.parquet"
ROWS_AT_ONCE = 10_000
NEAREST = 3
_COMPARED_CHARACTERS = 128
STATUSES: tuple[str, ...] = get_args(RatingStatus)
COLUMNS = (
    "experiment",
    "arm",
    "seed",
    "generation",
    "doc_id",
    "text_sha256",
    "principle",
    "score",
    "status",
    "rater",
)
# A link cannot leave its disk, and some disks and shares know none: then the bytes are copied.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK)


class Wanted(TypedDict, total=False):
    """Which ratings; what is None or left out does not narrow them."""

    experiment: str | None
    arm: str | None
    seed: int | None
    generation: int | None
    doc_id: str | None
    doc_ids: Sequence[str] | None
    principle: str | None
    below: float | None
    """Only scores less than this; ratings without a score have none."""
    above: float | None
    status: str | None


_CONDITIONS = {
    "experiment": "experiment = $experiment",
    "arm": "arm = $arm",
    "seed": "seed = $seed",
    "generation": "generation = $generation",
    "doc_id": "doc_id = $doc_id",
    "doc_ids": "doc_id IN (SELECT unnest($doc_ids))",
    "principle": "principle = $principle",
    "below": "score < $below",
    "above": "score > $above",
    "status": "status = $status",
}
# Types are said, else DuckDB would take an experiment named 007 for a number.
_TREE = """read_parquet($tree, hive_partitioning = true, hive_types = {
    'experiment': VARCHAR, 'arm': VARCHAR, 'seed': BIGINT, 'generation': BIGINT
})"""


def partition(home: Path, experiment: str, arm: str, seed: int, generation: int) -> Path:
    """Where the ratings of a generation stand; names are percent-encoded, as Hive does it."""
    return (
        home
        / FOLDER
        / f"experiment={quote(experiment, safe='')}"
        / f"arm={quote(arm, safe='')}"
        / f"seed={seed}"
        / f"generation={generation}"
    )


def publish_ratings(
    home: Path, experiment: str, arm: str, seed: int, generation: int, stage_folder: Path
) -> Path:
    """Put the ratings that a generation acts on into the tree, whole or not at all.

    What stands there already and is the same is left alone.

    Args:
        home: gets the tree.
        experiment: name of the experiment.
        arm: name of the arm.
        seed: of the arm.
        generation: index of the generation that acts on them.
        stage_folder: the rate stage's shards.

    Raises:
        WorkProblem: there is no shard in the folder, or the disk is full.
    """
    shards = sorted(stage_folder.glob(SHARDS))
    if not shards:
        raise WorkProblem(
            f"{stage_folder}: no ratings stand here. Run the experiment again: it makes what is "
            "missing."
        )
    target = partition(home, experiment, arm, seed, generation)
    if _holds(target, shards):
        return target
    # At the top of the tree, where what a killed process leaves is swept up.
    spare = home / FOLDER / f"{UNFINISHED}{uuid.uuid4().hex[:8]}"
    with whole_folder(spare) as fresh:
        for shard in shards:
            _link(shard, fresh / shard.name)
    _put(spare, target, shards)
    return target


def publish_recorded(home: Path, rated: Iterable[RatedGeneration]) -> list[RatedGeneration]:
    """Put into the tree what it lacks of the record; those whose shards are gone are returned.

    Raises:
        InputProblem: the tree lacks some, and the home cannot be written to.
    """
    gone: list[RatedGeneration] = []
    here = Place(home.resolve(), own=False, storage=storage_of(None))
    for each in rated:
        place = (each.experiment, each.arm, each.seed, each.generation)
        if partition(home, *place).is_dir():
            continue
        folder = here.located(each.uri)
        if not each.uri or len(list(folder.glob(SHARDS))) < max(each.shards, 1):
            gone.append(each)
            continue
        try:
            publish_ratings(home, *place, folder)
        except OSError as error:
            raise InputProblem(
                f"{home / FOLDER}: the tree of ratings lacks {':'.join(map(str, place))} and "
                f"cannot be written ({error.strerror}). Ask once as the owner of the home."
            ) from error
    return gone


def ratings_of(home: Path, **wanted: Unpack[Wanted]) -> DuckDBPyRelation:
    """Ratings as a DuckDB relation with the columns `COLUMNS`, partition by partition.

    Nothing is read yet. DuckDB opens only the partitions that the filters leave, and every filter
    is a bound parameter.

    Raises:
        InputProblem: there are no ratings in the home, or a filter can match none.
    """
    return _select(home, ", ".join(COLUMNS), wanted)


def rows_of(relation: DuckDBPyRelation) -> Iterator[dict[str, Any]]:
    """Yield a relation's rows, some thousands in memory at a time."""
    for batch in relation.to_arrow_reader(ROWS_AT_ONCE):
        yield from batch.to_pylist()


def explain_nothing(home: Path, **wanted: Unpack[Wanted]) -> None:
    """Say why no rating was found, where a document or principle is not among those rated.

    Raises:
        InputProblem: names the nearest.
    """
    scope: Wanted = {
        "experiment": wanted.get("experiment"),
        "arm": wanted.get("arm"),
        "seed": wanted.get("seed"),
        "generation": wanted.get("generation"),
    }
    for column, word, value in (
        ("doc_id", "document", wanted.get("doc_id")),
        ("principle", "principle", wanted.get("principle")),
    ):
        if value is None or _select(home, column, {**scope, column: value}).limit(1).fetchall():  # pyright: ignore[reportArgumentType]
            continue
        ending = (
            f"GROUP BY {column} ORDER BY jaro_winkler_similarity({column}, $like) DESC, {column} "
            f"LIMIT {NEAREST}"
        )
        like = {"like": value[:_COMPARED_CHARACTERS]}
        names = [name for (name,) in _select(home, column, scope, ending, like).fetchall()]
        raise InputProblem(f"no {word} {quoted(value)} was rated there; {or_nearest(names)}")


def nearest_documents(folders: Iterable[Path], doc_id: str) -> list[str]:
    """Ids of documents in corpora, or in anything else with a `doc_id`, that look most like one."""
    statement = (
        "SELECT doc_id FROM read_parquet($files) GROUP BY doc_id "
        f"ORDER BY jaro_winkler_similarity(doc_id, $like) DESC, doc_id LIMIT {NEAREST}"
    )
    files = shard_globs(folders)
    if not files or not storable(doc_id):
        return []
    params = {"files": files, "like": doc_id[:_COMPARED_CHARACTERS]}
    return [name for (name,) in connection().execute(statement, params).fetchall()]


def shard_globs(folders: Iterable[Path]) -> list[str]:
    """What DuckDB reads the shards of folders by; folders without any are left out."""
    held = (folder for folder in folders if next(folder.glob(SHARDS), None) is not None)
    return [f"{glob.escape(str(folder))}/{SHARDS}" for folder in held]


def connection() -> DuckDBPyConnection:
    """A DuckDB of our own, in memory, that fetches nothing from the network."""
    import duckdb

    return duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )


def _select(
    home: Path,
    columns: str,
    wanted: Wanted,
    ending: str = "",
    more: Mapping[str, Any] | None = None,
) -> DuckDBPyRelation:
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    _check(given)
    tree = f"{FOLDER}/experiment=*/arm=*/seed=*/generation=*/{SHARDS}"
    if next(home.glob(tree), None) is None:
        raise InputProblem(f"{home / FOLDER}: no corpus was rated here yet")
    conditions = " AND ".join(_CONDITIONS[name] for name in given) or "true"
    # Only constants of this module are put together here; what a user says is bound.
    statement = f"SELECT {columns} FROM {_TREE} WHERE {conditions} {ending}"
    params = {"tree": f"{glob.escape(str(home))}/{tree}", **given, **(more or {})}
    return connection().sql(statement, params=params)


def _check(given: Mapping[str, Any]) -> None:
    status = given.get("status")
    if status is not None and status not in STATUSES:
        raise InputProblem(f"status {quoted(status)}: write one of {', '.join(STATUSES)}")
    for name, value in given.items():
        if isinstance(value, str) and not storable(value):
            raise InputProblem(f"{name} {quoted(value)}: no such text can be on record")


def _holds(target: Path, shards: Sequence[Path]) -> bool:
    """Whether the partition is these shards: the same files, or equal bytes."""
    names = [shard.name for shard in shards]
    if [path.name for path in sorted(target.glob(SHARDS))] != names:
        return False
    return all(filecmp.cmp(shard, target / shard.name) for shard in shards)


def _put(spare: Path, target: Path, shards: Sequence[Path]) -> None:
    """Move a whole partition into its place; of a stage done again, the old one goes."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(spare.with_name(f"{spare.name}-old"))
        spare.rename(target)
        sync(target.parent)
    except OSError:
        # Another process may have put the same there a moment ago.
        if not _holds(target, shards):
            raise
    finally:
        shutil.rmtree(spare, ignore_errors=True)
        shutil.rmtree(spare.with_name(f"{spare.name}-old"), ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        # With the times, by which equal files are told from others without reading them.
        shutil.copy2(source, target)
