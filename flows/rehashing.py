"""Hashing files again, and comparing them with what the record says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from db.models import Checkpoint, CorpusVersion, Shard, Stage
from flows.leftovers import ROOMS
from workers.checkpoints import checkpoint_id
from workers.corpora.store import open_corpus
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


def located(uri: str, home: Path) -> Path:
    """Where a recorded file stands: in `home` if it is there, else where it was recorded."""
    path = Path(uri.removeprefix("file://"))
    rooms = [index for index, part in enumerate(path.parts) if part in ROOMS]
    if rooms:
        here = home.joinpath(*path.parts[rooms[-1] :])
        if here.exists():
            return here
    return path


def check_corpus(row: CorpusVersion, home: Path, tally: Tally) -> Iterator[Finding]:
    """Each shard against the manifest, and the manifest against the row."""
    tally.corpora += 1
    what, folder = f"corpus {row.digest}", located(row.uri, home)
    if not (folder / MANIFEST).is_file():
        yield _missing(what, folder if not folder.exists() else folder / MANIFEST)
        return
    try:
        corpus = open_corpus(folder)
    except InputProblem as problem:
        yield Finding("altered", what, str(folder / MANIFEST), str(problem))
        return
    if corpus.id != row.digest:
        yield _altered(what, folder / MANIFEST, f"it is the manifest of corpus {corpus.id}")
    counts = (len(corpus.shards), corpus.documents)
    if counts != (row.shards, row.documents):
        said = f"it counts {counts[0]} shards and {counts[1]} documents"
        detail = f"{said}, the record {row.shards} and {row.documents}"
        yield _altered(what, folder / MANIFEST, detail)
    for index, shard in enumerate(corpus.shards):
        yield from _check_file(what, corpus.shard_path(index), shard.digest, tally)


def check_checkpoint(row: Checkpoint, home: Path, tally: Tally) -> Iterator[Finding]:
    """Each file against the manifest, and the manifest against the row."""
    tally.checkpoints += 1
    what, folder = f"checkpoint {row.digest}", located(row.uri, home)
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


def check_shard(shard: Shard, stage: Stage, home: Path, tally: Tally) -> Iterator[Finding]:
    """The file of a stage's shard against the row."""
    tally.shards += 1
    yield from _check_file(_named(stage), located(shard.uri, home), shard.digest, tally)


def check_stage_files(stage: Stage, home: Path, tally: Tally) -> Iterator[Finding]:
    """What a stage leaves beside shards and artifacts has no digest on record, but must stand."""
    files: list[str] = []
    settings = stage.params.get("settings") or {}
    if stage.stage == "evaluate" and stage.output_uri and not settings.get("census"):
        files.append(f"{stage.output_uri}/items.parquet")
    mix = stage.meta.get("mix")
    if stage.stage == "train" and mix and mix.get("uri"):
        files.append(f"{mix['uri']}/{MANIFEST}")
    for file in files:
        path = located(file, home)
        tally.files += 1
        tally.told(tally)
        if not path.is_file():
            yield _missing(_named(stage), path)


def _check_file(what: str, path: Path, digest: str, tally: Tally) -> Iterator[Finding]:
    tally.files += 1
    try:
        size = path.stat().st_size
        found = file_digest(path)
    except FileNotFoundError:
        yield _missing(what, path)
    except OSError as error:
        # What cannot be read cannot be vouched for; the rest can still be checked.
        yield Finding("missing", what, str(path), f"it cannot be read: {error.strerror}")
    else:
        tally.bytes += size
        if found != digest:
            yield _altered(what, path, f"its digest is {found}, on record is {digest}")
    tally.told(tally)


def _named(stage: Stage) -> str:
    return f"stage {stage.stage} {stage.recipe_id}"


def _missing(what: str, path: Path) -> Finding:
    return Finding("missing", what, str(path), "it is not there")


def _altered(what: str, path: Path, detail: str) -> Finding:
    return Finding("altered", what, str(path), detail)
