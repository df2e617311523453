"""Texts of documents, found by id and hash in the corpus versions and decisions that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.lineage import document_history, find_generation, taint
from db.lineage.labels import imported_corpora
from db.models import Artifact, Generation, Stage, storable
from db.nearest import quoted
from db.problems import UnknownId
from flows.places import Place
from workers.problems import InputProblem

# As many folders as a message names; the rest are counted.
SHOWN = 5
_SHOWN_OF_IT = ("source", "text_sha256", "text")


@dataclass(frozen=True, slots=True)
class Version:
    """What one generation did to a document, with the texts where they still stand."""

    row: dict[str, Any]
    """As `db.lineage.document_history` gives it."""
    before: str | None
    after: str | None
    """The text that was proposed, whether or not it was accepted."""


@dataclass(frozen=True, slots=True)
class Imports:
    """What the files of imported corpora, held-out ones included, say of a document or source."""

    rows: dict[str, dict[str, Any]]
    """A row for each corpus that holds it, by the corpus's digest."""
    unread: list[dict[str, str]]
    """Digest and place of those whose files are not all here, and that were not seen to hold it."""


def versions(session: Session, place: Place, doc_id: str) -> Iterator[Version]:
    """Yield every version of a document that is on record, oldest first.

    Raises:
        UnknownId: no generation did anything to it.
    """
    for row in document_history(session, doc_id):
        yield Version(row, _before(session, place, row), _proposed(session, place, row))


def unchanged(session: Session, place: Place, doc_id: str) -> dict[str, Any]:
    """A document to which no generation did anything: its text, and the corpora that hold it.

    Raises:
        UnknownId: no imported corpus holds it.
        InputProblem: none was seen to, and files of some are not here.
    """
    held = imports_with(session, place, "doc_id", doc_id, _SHOWN_OF_IT)
    if not held.rows:
        raise _cannot_tell(doc_id, held) if held.unread else _never_held(session, doc_id)
    touched = taint(session, doc_id, imports=held.rows)["touched"]
    return {
        "doc_id": doc_id,
        "changed": False,
        "imports": [{"corpus": digest, **row} for digest, row in held.rows.items()],
        "held_by": [
            {name: each[name] for name in ("id", "uri", "generations")}
            for each in touched
            if (each["kind"], each["how"]) == ("corpus", "holds")
        ],
        "unread": held.unread,
    }


def tainted(session: Session, place: Place, wanted: str) -> dict[str, Any]:
    """What `db.lineage.taint` answers, with what the files of imported corpora say beside.

    The record has a row for what a generation changed, and for most sources; the files have the
    rest. `unread` names the corpora of which neither could tell.

    Raises:
        UnknownId: the record knows no such document or source, and no imported corpus holds it.
        InputProblem: the same, but files of some are not here.
    """
    held, kind = imports_with(session, place, "doc_id", wanted), None
    if not held.rows:
        held = imports_with(session, place, "source", wanted)
        kind = "source" if held.rows else None
    try:
        found = taint(session, wanted, imports=held.rows)
    except UnknownId as problem:
        raise (_cannot_tell(wanted, held) if held.unread else problem) from problem
    known = {each["id"] for each in found["touched"]}
    unread = [each for each in held.unread if each["corpus"] not in known]
    return {**found, "kind": kind or found["kind"], "unread": unread}


def imports_with(
    session: Session, place: Place, column: str, wanted: str, columns: Sequence[str] = ()
) -> Imports:
    """Look through the files of every imported corpus for a row that has a value in a column.

    Args:
        session: a reader's.
        place: where the files are looked for.
        column: `doc_id` or `source`.
        wanted: the value; what no file can hold is in none.
        columns: what is wanted of the first such row of a corpus.
    """
    found = Imports({}, [])
    if not storable(wanted):
        return found
    filtered = ds.field(column) == wanted
    for corpus in imported_corpora(session):
        folder = place.located(corpus.uri)
        shards = _shards(folder)
        row = None
        try:
            row = _first(shards, filtered, columns)
        except (OSError, pa.ArrowException):
            shards = []  # As good as gone: what is in it cannot be told.
        if row is not None:
            found.rows[corpus.digest] = row
        elif len(shards) < (corpus.shards or 1):
            found.unread.append({"corpus": corpus.digest, "uri": str(folder)})
    return found


def _before(session: Session, place: Place, row: dict[str, Any]) -> str | None:
    if row["generation"] == 0:
        return None  # set aside at import: no corpus holds it
    before = find_generation(
        session, row["experiment"], row["arm"], row["generation"] - 1, row["seed"]
    )
    corpus = _corpus(session, place, before)
    return None if corpus is None else _text(corpus, row["doc_id"], row["before_sha256"])


def _corpus(session: Session, place: Place, generation: Generation) -> Path | None:
    found = session.get(Artifact, generation.corpus_version_id or 0)
    return place.located(found.uri) if found is not None else None


def _proposed(session: Session, place: Place, row: dict[str, Any]) -> str | None:
    if row["after_sha256"] is None or row["decided_by"] is None:
        return None
    stage = session.scalars(select(Stage).where(Stage.recipe_id == row["decided_by"])).one()
    if not stage.output_uri:
        return None
    wanted = (ds.field("doc_id") == row["doc_id"]) & (
        ds.field("after_sha256") == row["after_sha256"]
    )
    found = _first(_shards(place.located(stage.output_uri)), wanted, ["text"])
    return found["text"] if found else None


def _text(corpus: Path, doc_id: str, digest: str) -> str | None:
    wanted = (ds.field("doc_id") == doc_id) & (ds.field("text_sha256") == digest)
    found = _first(_shards(corpus), wanted, ["text"])
    return found["text"] if found else None


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def _first(shards: list[Path], wanted: Any, columns: Sequence[str]) -> dict[str, Any] | None:
    """The first row of shards that a filter lets; none where they are gone."""
    if not shards:
        return None
    scanner = ds.dataset(shards, format="parquet").scanner(
        columns=["doc_id", *columns], filter=wanted
    )
    # Not the whole table: the rows of a source may be all that there are.
    rows = scanner.head(1).to_pylist()
    return {name: rows[0][name] for name in columns} if rows else None


def _cannot_tell(wanted: str, held: Imports) -> InputProblem:
    """Nothing was found, and not everything could be looked into: that is no "no"."""
    places = ", ".join(each["uri"] for each in held.unread[:SHOWN])
    more = len(held.unread) - SHOWN
    places += f" and {more} more" if more > 0 else ""
    return InputProblem(
        f"it cannot be told whether {quoted(wanted)} was imported: the record has no row of "
        f"it, and {len(held.unread)} imported corpora are not here whole, or cannot be read: "
        f"{places}. Put their files back from a copy and ask again, or name the home folder that "
        "has them with --home"
    )


def _never_held(session: Session, doc_id: str) -> UnknownId:
    """What the record says of a document that nothing was done to and no imported corpus holds."""
    try:
        document_history(session, doc_id)
    except UnknownId as problem:
        # Its own name may be on record for labels of it, and is no hint then.
        if doc_id not in problem.nearest:
            return problem
    return UnknownId(
        f"the record knows document {quoted(doc_id)} by name alone, for there are labels of "
        "it: no generation did anything to it, and no imported corpus holds it"
    )
