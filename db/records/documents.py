"""Writing what a generation did to documents: in bulk, for a generation may have millions.

A row that a caller hands over holds names and hexadecimal digests. Here names become keys, a chunk
at a time: one look-up for the whole chunk, then one bulk insert (COPY on PostgreSQL).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import (
    DOC_ID_LIMIT,
    ChangedDocument,
    DocumentName,
    Generation,
    Source,
    Stage,
    Verdict,
    storable,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import DatabaseProblem
from db.records.idempotence import insert_into, insert_once

# Past some thousands a chunk a longer one is no faster, and this many rows weigh some megabytes.
ROWS_A_CHUNK = 10_000

COLUMNS = (
    "doc_id",
    "action",
    "before_sha256",
    "after_sha256",
    "principle",
    "score_before",
    "score_after",
    "acceptance_score",
    "edit_distance",
    "reason",
    "source",
)
_REQUIRED = ("doc_id", "action", "before_sha256")
_SCORES = ("score_before", "score_after", "acceptance_score", "edit_distance")
_KNOWN = frozenset(COLUMNS)

Row = Mapping[str, Any]


def record_changed_documents(
    session: Session, generation: Generation, rows: Iterable[Row], *, stage: Stage | None = None
) -> int:
    """Record what a generation did to documents, in place of what was recorded of it; how many.

    Args:
        session: the writer's.
        generation: whose rows these are.
        rows: each has `doc_id`, `action` and `before_sha256`, and may have the others of `COLUMNS`.
        stage: the stage that decided.
    """
    session.flush()
    for model in (ChangedDocument, Verdict):
        session.execute(
            delete(model).where(model.generation_id == generation.id),
            execution_options={"synchronize_session": False},
        )
    keys = _Keys(session, generation.id, stage.id if stage else None)
    total = 0
    stream = iter(rows)
    while chunk := list(islice(stream, ROWS_A_CHUNK)):
        made = list(keys.resolve(chunk))
        try:
            _write(session, made)
        except (IntegrityError, psycopg.IntegrityError) as error:
            raise DatabaseProblem(
                "a document stands twice among those that generation "
                f"{generation.generation_index} did something to, and each has one action; "
                f"nothing of the generation was recorded ({error})"
            ) from error
        total += len(chunk)
    return total


class _Keys:
    """Turns names into keys for one generation; what is new is added to the record."""

    def __init__(self, session: Session, generation_id: int, stage_id: int | None) -> None:
        self._session = session
        self._generation_id = generation_id
        self._stage_id = stage_id
        self._sources: dict[str, int] = {}
        self._verdicts: dict[tuple[str, str, str], int] = {}

    def resolve(self, chunk: Sequence[Row]) -> Iterator[tuple[Any, ...]]:
        """Yield the columns of `changed_documents`, in the order of the table."""
        for row in chunk:
            _check(row)
        documents = document_keys(
            self._session, {row["doc_id"]: self._source(row.get("source")) for row in chunk}
        )
        generation_id = self._generation_id
        for row in chunk:
            after = row.get("after_sha256")
            yield (
                generation_id,
                documents[row["doc_id"]],
                self._verdict(row),
                bytes.fromhex(row["before_sha256"]),
                bytes.fromhex(after) if after else None,
                *(row.get(name) for name in _SCORES),
            )

    def _source(self, name: str | None) -> int | None:
        if not name:
            return None
        if name not in self._sources:
            self._sources[name] = insert_once(self._session, Source, {"name": name}, {}).id
        return self._sources[name]

    def _verdict(self, row: Row) -> int:
        said = (row["action"], row.get("principle") or "", row.get("reason") or "")
        found = self._verdicts.get(said)
        if found is None:
            identity = {
                "generation_id": self._generation_id,
                **dict(zip(("action", "principle", "reason"), said, strict=True)),
            }
            values = {"stage_id": self._stage_id}
            found = insert_once(self._session, Verdict, identity, values).id
            self._verdicts[said] = found
        return found


def document_keys(session: Session, sources: Mapping[str, int | None]) -> dict[str, int]:
    """Keys of documents by their stable ids, made where there is none yet."""
    found = _find_keys(session, sources)
    missing = [doc_id for doc_id in sources if doc_id not in found]
    if missing:
        statement = insert_into(session, DocumentName).on_conflict_do_nothing()
        new = [{"doc_id": doc_id, "source_id": sources[doc_id]} for doc_id in missing]
        session.connection().execute(statement, new)
        found |= _find_keys(session, missing)
    return found


def _find_keys(session: Session, doc_ids: Iterable[str]) -> dict[str, int]:
    wanted = select(DocumentName.doc_id, DocumentName.id).where(
        DocumentName.doc_id.in_(list(doc_ids))
    )
    rows = session.connection().execute(wanted)
    return {doc_id: key for doc_id, key in rows}  # noqa: C416 (dict() does not see the types)


def _write(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    table = ChangedDocument.__table__
    names = [column.name for column in table.columns]
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        _copy(connection, names, rows)
        return
    statement = str(insert(table).compile(dialect=connection.dialect))  # pyright: ignore[reportArgumentType]
    connection.exec_driver_sql(statement, list(rows))


# PostgreSQL's names of the types in the order of the columns, for a binary COPY.
_TYPES = ("int8", "int8", "int8", "bytea", "bytea", "float8", "float8", "float8", "float8")


def _copy(connection: Connection, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Send rows by binary COPY: three times as fast as INSERT."""
    driver = cast(psycopg.Connection[Any], connection.connection.driver_connection)
    with (
        driver.cursor() as cursor,
        cursor.copy(
            f"COPY changed_documents ({', '.join(names)}) FROM STDIN (FORMAT BINARY)".encode()
        ) as copy,
    ):
        copy.set_types(_TYPES)
        for row in rows:
            copy.write_row(row)


def _check(row: Row) -> None:
    """Refuse a row that one of the databases could not hold.

    Raises:
        DatabaseProblem: names the document and the column.
    """
    if not _KNOWN.issuperset(row):
        unknown = sorted(set(row) - _KNOWN)[0]
        raise DatabaseProblem(
            f"a changed document has no column {unknown!r}; {or_nearest(nearest(unknown, COLUMNS))}"
        )
    doc_id = row["doc_id"]
    if not 1 <= len(doc_id) <= DOC_ID_LIMIT or not storable(doc_id):
        raise DatabaseProblem(
            f"document id {quoted(doc_id)} cannot be recorded: ids have 1 to {DOC_ID_LIMIT} "
            "characters and no NUL; give the document another id at import"
        )
    for name in _SCORES:
        value = row.get(name)
        if value is not None and not math.isfinite(value):
            raise DatabaseProblem(
                f"{name} of document {quoted(doc_id)} is {value}; record None for what has no value"
            )
    for name in ("before_sha256", "after_sha256"):
        digest = row.get(name)
        if digest is not None and len(digest) != 64:
            raise DatabaseProblem(
                f"{name} of document {quoted(doc_id)} is no SHA-256: 64 hexadecimal digits"
            )
