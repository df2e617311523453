"""Copying artifacts out of the home folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from db.lineage import identify_artifact, identify_checkpoint
from db.models import CorpusVersion
from db.sessions import Database
from workers.checkpoints import open_checkpoint
from workers.corpora.store import open_corpus, verify_corpus
from workers.problems import InputProblem
from workers.storage import explain_full_disk, whole_folder


def export_corpus_version(database: Database, digest: str, destination: str, hub: bool) -> str:
    """Copy a verified corpus version as Parquet, and say where to.

    Raises:
        InputProblem: no such corpus, altered files, or a destination that stands.
    """
    with database.readers() as session:
        row = identify_artifact(session, digest)
    if not isinstance(row, CorpusVersion):
        raise InputProblem(f"{digest} is a checkpoint; use `palimpsest export checkpoint`")
    corpus = open_corpus(row.uri)
    verify_corpus(corpus)
    if hub:
        from datasets import load_dataset

        files = [str(corpus.shard_path(i)) for i in range(len(corpus.shards))]
        load_dataset("parquet", data_files={"train": files}).push_to_hub(destination, private=True)
        return f"{destination}: {corpus.documents} documents pushed, private"
    _copy(Path(corpus.uri), Path(destination))
    return f"{destination}: {corpus.documents} documents in {len(corpus.shards)} Parquet files"


def export_checkpoint_folder(database: Database, digest: str, destination: Path) -> str:
    """Copy a verified checkpoint, and say where to.

    Raises:
        InputProblem: no such checkpoint, altered files, or a destination that stands.
    """
    with database.readers() as session:
        row = identify_checkpoint(session, digest)
    checkpoint = open_checkpoint(row.uri)
    _copy(Path(checkpoint.uri), destination)
    return f"{destination}: checkpoint {checkpoint.id[:12]}"


def _copy(source: Path, destination: Path) -> None:
    if destination.exists():
        raise InputProblem(f"{destination}: exists already; name a folder that does not")
    with explain_full_disk(destination), whole_folder(destination.resolve()) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True)
