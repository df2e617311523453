"""Copying artifacts out of the home folder, each with its card, and writing what exports make."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from db.lineage import identify_artifact, identify_checkpoint
from db.models import CorpusVersion
from db.sessions import Database
from flows.places import place_at
from workers.checkpoints import open_checkpoint
from workers.corpora.store import CorpusRef, open_corpus, verify_corpus
from workers.problems import InputProblem
from workers.storage import explain_full_disk, whole_file, whole_folder

CARD, SCOPE = "README.md", "scope.json"


def export_corpus_version(
    database: Database, digest: str, destination: str, hub: bool, home: Path | None = None
) -> str:
    """Copy a verified corpus version as Parquet with its card, and say where to.

    Args:
        database: the record.
        digest: of the corpus, or the start of it.
        destination: folder to make, or with `hub` a dataset's id.
        hub: whether it is pushed instead.
        home: folder where files are looked for; that of the record's own database without it.

    Raises:
        InputProblem: no such corpus, altered files, or a destination that stands.
    """
    from flows.exports.cards import card

    with database.readers() as session:
        row = identify_artifact(session, digest)
        if not isinstance(row, CorpusVersion):
            raise InputProblem(
                f"{digest} is of kind {row.kind}; name a corpus, or for a checkpoint use "
                "`palimpsest export checkpoint`"
            )
        made = card(session, row.digest)
    corpus = open_corpus(place_at(database.url, home).located(row.uri))
    verify_corpus(corpus)
    if hub:
        _push(corpus, made, destination)
        return f"{destination}: {corpus.documents} documents pushed with their card, private"
    _copy(Path(corpus.uri), Path(destination), {CARD: str(made)})
    return f"{destination}: {corpus.documents} documents in {len(corpus.shards)} Parquet files"


def export_checkpoint_folder(
    database: Database, digest: str, destination: Path, home: Path | None = None
) -> str:
    """Copy a verified checkpoint with its card and the scope of its evaluations; say where to.

    Args:
        database: the record.
        digest: of the checkpoint, or the start of it.
        destination: folder to make.
        home: folder where files are looked for; that of the record's own database without it.

    Raises:
        InputProblem: no such checkpoint, altered files, or a destination that stands.
    """
    from flows.exports.cards import card, scope_of

    with database.readers() as session:
        row = identify_checkpoint(session, digest)
        made = card(session, row.digest)
        scope = json.dumps(scope_of(session, row.digest), indent=2)
    checkpoint = open_checkpoint(place_at(database.url, home).located(row.uri))
    _copy(Path(checkpoint.uri), destination, {CARD: str(made), SCOPE: f"{scope}\n"})
    return f"{destination}: checkpoint {checkpoint.id[:12]}"


def write_text(text: str, destination: Path) -> str:
    """Write a file whole or not at all, and say where it is.

    Raises:
        InputProblem: a folder stands there.
        WorkProblem: the disk is full.
    """
    if destination.is_dir():
        raise InputProblem(f"{destination}: this is a folder; name a file in it")
    with whole_file(destination) as fresh:
        fresh.write_text(text, encoding="utf-8")
    return f"{destination}: {len(text.encode('utf-8')):,} bytes"


def _push(corpus: CorpusRef, card: object, name: str) -> None:
    """Push the shards, and then the card's text and metadata over the hub's own."""
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    files = [str(corpus.shard_path(i)) for i in range(len(corpus.shards))]
    load_dataset("parquet", data_files={"train": files}).push_to_hub(name, private=True)
    # What was pushed says which files hold the rows: ours are named otherwise there.
    there, ours = DatasetCard.load(name), DatasetCard(str(card))
    for key, value in ours.data.to_dict().items():
        if key != "configs":
            there.data[key] = value
    there.text = ours.text
    there.push_to_hub(name)


def _copy(source: Path, destination: Path, beside: Mapping[str, str]) -> None:
    """Copy a folder, and write more files, by name, beside what it holds."""
    if destination.exists():
        raise InputProblem(f"{destination}: exists already; name a folder that does not")
    with explain_full_disk(destination), whole_folder(destination.resolve()) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True)
        for name, text in beside.items():
            (fresh / name).write_text(text, encoding="utf-8")
