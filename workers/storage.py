"""Files that are whole or absent: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.problems import WorkProblem

MANIFEST = "manifest.json"
UNFINISHED = ".unfinished-"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explain_full_disk(where: Path) -> Iterator[None]:
    """Turn a full disk into a message that says where and what to do.

    Raises:
        WorkProblem: no space, or no quota, is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise WorkProblem(
            f"{where}: no space is left on the disk ({os.strerror(error.errno)}). What was "
            "finished is kept: free some space, or set placement.home to a larger disk and move "
            "the folder there, then run the same command again."
        ) from error


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a fresh folder to write to, and make it `target` when the block ends without error.

    An equal `target` that stands already is left alone: names are content or recipe ids, so equal
    names hold equal bytes.

    Raises:
        WorkProblem: the disk is full.
    """
    with explain_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.parent / f"{UNFINISHED}{target.name}-{uuid.uuid4().hex[:8]}"
        fresh.mkdir()
        try:
            yield fresh
            for path in fresh.rglob("*"):
                sync(path)
            sync(fresh)
            put_in_place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def put_in_place(fresh: Path, target: Path) -> None:
    """Rename a whole folder; an equal one that stands already, or does just now, is left alone."""
    if target.exists():
        return
    try:
        fresh.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    sync(target.parent)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a path to write one file to, and make it `target` when the block ends without error.

    Raises:
        WorkProblem: the disk is full.
    """
    with explain_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.parent / f"{UNFINISHED}{target.name}-{uuid.uuid4().hex[:8]}"
        try:
            yield fresh
            sync(fresh)
            fresh.replace(target)
            sync(target.parent)
        finally:
            fresh.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as fresh:
        fresh.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that this program wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_table(path: Path, table: pa.Table) -> str:
    """Write a Parquet file, whole or not at all, and return the SHA-256 of its bytes."""
    with whole_file(path) as fresh:
        pq.write_table(table, fresh, compression="zstd")
        digest = file_digest(fresh)
    return digest


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file that this program wrote."""
    return pq.ParquetFile(path).read(columns=columns)


def sweep_unfinished(home: Path, since: float = math.inf) -> int:
    """Remove what killed processes left half written below `home`; how much it was.

    Args:
        home: folder of corpora, checkpoints and stages.
        since: what changed after this time, in seconds since the epoch, may be a living process's.
    """
    found = [*home.glob(f"*/{UNFINISHED}*"), *home.glob(f"*/*/{UNFINISHED}*")]
    left = [path for path in found if _changed_at(path) < since]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # A living process put it in its place meanwhile.
