"""Corpus versions: immutable, content-addressed sets of Parquet shards with a manifest."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.problems import InputProblem
from workers.records import DOCUMENTS, Document, from_table, to_table
from workers.storage import (
    MANIFEST,
    UNFINISHED,
    explain_full_disk,
    file_digest,
    put_in_place,
    read_json,
    read_table,
    write_json,
    write_table,
)

REMAKE = "Remove the corpus folder and run the experiment again to make it anew."


@dataclass(frozen=True, slots=True)
class ShardRef:
    """One Parquet file of a corpus version."""

    file: str
    digest: str
    """SHA-256 of the file's bytes."""
    documents: int


@dataclass(frozen=True, slots=True)
class CorpusRef:
    """A corpus version: what it is called, and where it stands."""

    id: str
    """SHA-256 of the ordered shard digests."""
    uri: str
    shards: tuple[ShardRef, ...]
    documents: int

    def shard_path(self, index: int) -> Path:
        """Path of a shard."""
        return Path(self.uri) / self.shards[index].file


def corpus_id(digests: list[str]) -> str:
    """SHA-256 of ordered shard digests."""
    return hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest()


class CorpusWriter:
    """Writes documents, one at a time, as a corpus version; nothing stays when it is not finished.

    Use it as a context manager. At most one shard of documents is held in memory.
    """

    def __init__(self, home: Path, shard_documents: int) -> None:
        """`home` gets the version in `corpora/`; a shard holds `shard_documents` documents."""
        self._folder = home.resolve() / "corpora"
        self._fresh = self._folder / f"{UNFINISHED}corpus-{uuid.uuid4().hex[:8]}"
        self._size = shard_documents
        self._held: list[Document] = []
        self._shards: list[ShardRef] = []

    def __enter__(self) -> Self:
        """Make the unfinished folder."""
        with explain_full_disk(self._folder):
            self._fresh.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not finished."""
        shutil.rmtree(self._fresh, ignore_errors=True)

    def add(self, document: Document) -> None:
        """Add a document at the end."""
        self._held.append(document)
        if len(self._held) == self._size:
            self._write_shard()

    def finish(self) -> CorpusRef:
        """Put the version in its place and return it.

        Raises:
            InputProblem: there is no document in it.
        """
        if self._held:
            self._write_shard()
        if not self._shards:
            raise InputProblem("the corpus is empty: no document is left to write")
        identity = corpus_id([shard.digest for shard in self._shards])
        target = self._folder / identity
        documents = sum(shard.documents for shard in self._shards)
        made = CorpusRef(identity, str(target), tuple(self._shards), documents)
        files = (MANIFEST, *(shard.file for shard in self._shards))
        if not all((target / name).is_file() for name in files):
            # One that lacks a file goes: it would be taken for whole for good.
            shutil.rmtree(target, ignore_errors=True)
            manifest = {
                "id": identity,
                "documents": documents,
                "shards": [asdict(shard) for shard in self._shards],
            }
            write_json(self._fresh / MANIFEST, manifest)
            with explain_full_disk(self._folder):
                put_in_place(self._fresh, target)
        return made

    def _write_shard(self) -> None:
        name = f"shard-{len(self._shards):05d}.parquet"
        digest = write_table(self._fresh / name, to_table(self._held, DOCUMENTS))
        self._shards.append(ShardRef(name, digest, len(self._held)))
        self._held = []


def open_corpus(uri: str | Path) -> CorpusRef:
    """Read a corpus version's manifest.

    Raises:
        InputProblem: there is no corpus version there, or its manifest was altered.
    """
    folder = Path(uri)
    if not (folder / MANIFEST).is_file():
        raise InputProblem(
            f"{folder}: no corpus version stands here ({MANIFEST} is missing). Run the experiment "
            "again: it makes what is missing."
        )
    try:
        manifest = read_json(folder / MANIFEST)
        shards = tuple(ShardRef(**shard) for shard in manifest["shards"])
        made = CorpusRef(manifest["id"], str(folder.resolve()), shards, manifest["documents"])
    except (ValueError, KeyError, TypeError) as error:
        raise _altered(folder / MANIFEST) from error
    if made.id != corpus_id([shard.digest for shard in shards]):
        raise _altered(folder / MANIFEST)
    return made


def verify_corpus(corpus: CorpusRef) -> None:
    """Hash every shard again.

    Raises:
        InputProblem: a shard is missing or has other bytes than were recorded.
    """
    for index, shard in enumerate(corpus.shards):
        path = corpus.shard_path(index)
        if not path.is_file():
            raise InputProblem(
                f"{path}: this shard of corpus {corpus.id[:12]} is missing. {REMAKE}"
            )
        if file_digest(path) != shard.digest:
            raise _altered(path)


def _altered(path: Path) -> InputProblem:
    return InputProblem(
        f"{path}: this file of corpus {path.parent.name[:12]} was altered after it was written. "
        f"{REMAKE}"
    )


def source_counts(corpus: CorpusRef) -> Iterator[dict[str, int]]:
    """Yield, for each shard, how many of its documents came from each source."""
    for index in range(len(corpus.shards)):
        column = read_table(corpus.shard_path(index), ["source"]).column("source")
        yield {row["values"]: row["counts"] for row in column.value_counts().to_pylist()}


def iterate(corpus: CorpusRef) -> Iterator[Document]:
    """Yield the documents in order, a shard at a time."""
    for index in range(len(corpus.shards)):
        yield from from_table(read_table(corpus.shard_path(index)), Document)
