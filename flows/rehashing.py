"""Hashing files again, and comparing them with what the record says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from db.models import Artifact, Checkpoint, CorpusVersion, Shard, Stage
from flows.places import Place
from workers.checkpoints import checkpoint_id
from workers.corpora.store import open_corpus
from workers.evaluation.sample_files import evaluation_files
from workers.mixing import hash_shard
from workers.problems import InputProblem
from workers.storage import MANIFEST, file_digest, read_json

Kind = Literal["missing", "altered", "orphaned", "inconsistent"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the record says."""

    kind: Kind
    what: str
    """The row that it is about."""
    path: str
    """The file or folder; empty where the record disagrees with itself."""
    detail: str


@dataclass
class Tally:
    """How much was checked so far; `told` is called after each file."""

    total: int = 0
    """Corpora, checkpoints and shards to check."""
    corpora: int = 0
    checkpoints: int = 0
    shards: int = 0
    files: int = 0
    bytes: int = 0
    told: Callable[[Tally], object] = field(default=lambda _: None, repr=False)


def check_corpus(row: CorpusVersion, place: Place, tally: Tally) -> Iterator[Finding]:
    """Each shard against the manifest, and the manifest against the row."""
    tally.corpora += 1
    what, folder = named(row), place.located(row.uri)
    yield from _readable(what, folder, _corpus(what, row, folder, tally))


def check_checkpoint(row: Checkpoint, place: Place, tally: Tally) -> Iterator[Finding]:
    """Each file against the manifest, and the manifest against the row."""
    tally.checkpoints += 1
    what, folder = named(row), place.located(row.uri)
    yield from _readable(what, folder, _checkpoint(what, row, folder, tally))


def check_shard(shard: Shard, stage: Stage, place: Place, tally: Tally) -> Iterator[Finding]:
    """The file of a stage's shard against the row."""
    tally.shards += 1
    yield from _check_file(named(stage), place.located(shard.uri), shard.digest, tally)


def check_stage_files(stage: Stage, place: Place, tally: Tally) -> Iterator[Finding]:
    """What a stage leaves beside shards and artifacts: items and samples, and a mix.

    A mix has its digest on record. The others have none, so no more can be told of them than that
    they stand and have the frame of a whole Parquet file.
    """
    what, settings = named(stage), stage.params.get("settings") or {}
    if stage.stage == "evaluate" and stage.output_uri and not settings.get("census"):
        for name in evaluation_files((settings.get("evaluation") or {}).get("tasks", ())):
            file = place.located(f"{stage.output_uri}/{name}")
            yield from _readable(what, file, _items(what, file, tally))
    mix = stage.meta.get("mix")
    if stage.stage == "train" and mix and mix.get("uri"):
        folder = place.located(mix["uri"])
        yield from _readable(what, folder, _mix(what, folder, mix.get("digest"), tally))


def _readable(what: str, path: Path, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What cannot be read cannot be vouched for; the rest can still be checked."""
    try:
        yield from findings
    except OSError as error:
        yield _unreadable(what, Path(error.filename or path), error)


def _corpus(what: str, row: CorpusVersion, folder: Path, tally: Tally) -> Iterator[Finding]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        yield _missing(what, folder if not folder.exists() else manifest)
        return
    try:
        corpus = open_corpus(folder)
        paths = [corpus.shard_path(index) for index in range(len(corpus.shards))]
    except InputProblem as problem:
        yield _altered(what, manifest, str(problem))
        return
    except (ValueError, TypeError, AttributeError) as error:
        yield _altered(what, manifest, f"it cannot be read ({error})")
        return
    if corpus.id != row.digest:
        yield _altered(what, manifest, f"it is the manifest of corpus {corpus.id}")
    counts = (len(corpus.shards), corpus.documents)
    if counts != (row.shards, row.documents):
        said = f"it counts {counts[0]} shards and {counts[1]} documents"
        detail = f"{said}, the record {row.shards} and {row.documents}"
        yield _altered(what, manifest, detail)
    for path, shard in zip(paths, corpus.shards, strict=True):
        yield from _check_file(what, path, shard.digest, tally)


def _checkpoint(what: str, row: Checkpoint, folder: Path, tally: Tally) -> Iterator[Finding]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        yield _missing(what, folder if not folder.exists() else manifest)
        return
    try:
        held = read_json(manifest)
        files = {str(name): str(digest) for name, digest in held["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield _altered(what, manifest, f"it cannot be read ({error})")
        return
    if not checkpoint_id(files) == held.get("id") == row.digest:
        yield _altered(what, manifest, "its files do not give the checkpoint's id")
    for name, digest in files.items():
        yield from _check_file(what, folder / name, digest, tally)


def _items(what: str, path: Path, tally: Tally) -> Iterator[Finding]:
    tally.files += 1
    tally.told(tally)
    if not path.is_file():
        yield _missing(what, path)
        return
    try:
        pq.read_metadata(path)
    except pa.ArrowException as error:
        yield _altered(what, path, f"it is no whole Parquet file ({error})")


def _mix(what: str, folder: Path, recorded: str | None, tally: Tally) -> Iterator[Finding]:
    """Each shard that the manifest lists, and the rows of all against the recorded digest."""
    tally.files += 1
    manifest = folder / MANIFEST
    if not manifest.is_file():
        yield _missing(what, manifest)
        return
    try:
        held = read_json(manifest)
        shards = [folder / name for name in held["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        yield _altered(what, manifest, f"it cannot be read ({error})")
        return
    if held.get("digest") != recorded:
        detail = f"it is the manifest of mix {held.get('digest')}, on record is {recorded}"
        yield _altered(what, manifest, detail)
    digest, whole = hashlib.sha256(), True
    for path in shards:
        for fault in _hash_mix_shard(what, path, digest, tally):
            whole = False
            yield fault
    if whole and digest.hexdigest() != recorded:
        detail = f"the digest of its rows is {digest.hexdigest()}, on record is {recorded}"
        yield _altered(what, folder, detail)


def _hash_mix_shard(what: str, path: Path, digest: Any, tally: Tally) -> Iterator[Finding]:
    tally.files += 1
    try:
        tally.bytes += path.stat().st_size
        hash_shard(path, digest)
    except FileNotFoundError:
        yield _missing(what, path)
    except OSError as error:
        yield _unreadable(what, path, error)
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError) as error:
        yield _altered(what, path, f"it cannot be read ({error})")
    tally.told(tally)


def _check_file(what: str, path: Path, digest: str, tally: Tally) -> Iterator[Finding]:
    tally.files += 1
    try:
        size = path.stat().st_size
        found = file_digest(path)
    except FileNotFoundError:
        yield _missing(what, path)
    except OSError as error:
        yield _unreadable(what, path, error)
    except ValueError as error:
        # A manifest may hold what cannot be the name of a file.
        yield _altered(what, path, f"it cannot be read ({error})")
    else:
        tally.bytes += size
        if found != digest:
            yield _altered(what, path, f"its digest is {found}, on record is {digest}")
    tally.told(tally)


def named(row: Stage | Artifact) -> str:
    """What findings call a row."""
    if isinstance(row, Stage):
        return f"stage {row.stage} {row.recipe_id}"
    return f"{row.kind} {row.digest}"


def _missing(what: str, path: Path) -> Finding:
    return Finding("missing", what, str(path), "it is not there")


def _altered(what: str, path: Path, detail: str) -> Finding:
    return Finding("altered", what, str(path), detail)


def _unreadable(what: str, path: Path, error: OSError) -> Finding:
    return Finding("missing", what, str(path), f"it cannot be read: {error.strerror or error}")
