"""Writing what a generation did to documents: in bulk, for a generation may have millions.

A row that a caller hands over holds names and hexadecimal digests. Here names become keys, a chunk
at a time and a column at a time: one look-up for the whole chunk, then one bulk insert (COPY on
PostgreSQL). Checks take a whole column too, and rows one by one only where a column is not sound.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, cast

import psycopg
from sqlalchemy import (
    Table,
    Text,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.bulk import ROWS_A_CHUNK, write_rows
from db.models import (
    DOC_ID_LIMIT,
    ChangedDocument,
    DocumentName,
    Generation,
    Source,
    Stage,
    Verdict,
    prose,
    storable,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import DatabaseProblem
from db.records.idempotence import insert_into, insert_once

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
_SCORES = ("score_before", "score_after", "acceptance_score", "edit_distance")
_KNOWN = frozenset(COLUMNS)
_HEXADECIMAL = re.compile("[0-9a-fA-F]*")

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
        _check(chunk)
        made = keys.resolve(chunk)
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
        self._verdicts: dict[tuple[str, str, str], int] = {}

    def resolve(self, chunk: Sequence[Row]) -> list[tuple[Any, ...]]:
        """The rows of `changed_documents`, their columns in the order of the table."""
        names = [row["doc_id"] for row in chunk]
        documents = self._documents(names, chunk)
        scores = ([row.get(name) for row in chunk] for name in _SCORES)
        return list(
            zip(
                repeat(self._generation_id),
                [documents[name] for name in names],
                self._verdicts_of(chunk),
                [bytes.fromhex(row["before_sha256"]) for row in chunk],
                [
                    bytes.fromhex(after) if (after := row.get("after_sha256")) else None
                    for row in chunk
                ],
                *scores,
                strict=False,  # The first is endless.
            )
        )

    def _documents(self, names: Sequence[str], chunk: Sequence[Row]) -> dict[str, int]:
        found = _find_keys(self._session, DocumentName.doc_id, names)
        if len(found) == len(names):
            return found
        new = {row["doc_id"]: row.get("source") for row in chunk if row["doc_id"] not in found}
        named = dict.fromkeys(name for name in new.values() if name)
        sources = _find_keys(self._session, Source.name, named)
        for name in named.keys() - sources.keys():
            sources[name] = insert_once(self._session, Source, {"name": name}, {}).id
        wanted = {doc_id: sources[name] if name else None for doc_id, name in new.items()}
        return found | _add_documents(self._session, wanted)

    def _verdicts_of(self, chunk: Sequence[Row]) -> list[int]:
        said = [
            (row["action"], row.get("principle") or "", row.get("reason") or "") for row in chunk
        ]
        if new := [each for each in dict.fromkeys(said) if each not in self._verdicts]:
            self._add_verdicts(new)
        return [self._verdicts[each] for each in said]

    def _add_verdicts(self, said: Sequence[tuple[str, str, str]]) -> None:
        """Give new verdicts their keys: two whose reasons are stored alike have one."""
        stored = {each: (each[0], each[1], prose(each[2])) for each in said}
        own = {"generation_id": self._generation_id, "stage_id": self._stage_id}
        rows = [
            own | {"action": action, "principle": principle, "reason": reason}
            for action, principle, reason in dict.fromkeys(stored.values())
            if (action, principle, reason) not in self._verdicts
        ]
        # Nothing conflicts: the generation's earlier ones were deleted, and its arm has one writer.
        connection = self._session.connection()
        if rows:
            connection.execute(insert(Verdict), rows)
        made = connection.execute(
            select(Verdict.action, Verdict.principle, Verdict.reason, Verdict.id).where(
                Verdict.generation_id == self._generation_id
            )
        )
        keys = {(action, principle, reason): key for action, principle, reason, key in made}
        self._verdicts = keys | {each: keys[kept] for each, kept in stored.items()} | self._verdicts


def document_keys(session: Session, sources: Mapping[str, int | None]) -> dict[str, int]:
    """Keys of documents by their stable ids, made where there is none yet."""
    found = _find_keys(session, DocumentName.doc_id, sources)
    new = {doc_id: source for doc_id, source in sources.items() if doc_id not in found}
    return found | _add_documents(session, new)


def _add_documents(session: Session, sources: Mapping[str, int | None]) -> dict[str, int]:
    """Keys of documents that were not there a moment ago; another writer may have been faster."""
    if not sources:
        return {}
    statement = insert_into(session, DocumentName)
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # Two arrays instead of a statement for each row.
        columns = {"doc_id": list(sources), "source_id": list(sources.values())}
        types = (column.type for column in (DocumentName.doc_id, DocumentName.source_id))
        arrays = [
            func.unnest(bindparam(name, values, postgresql.ARRAY(type_)))
            for (name, values), type_ in zip(columns.items(), types, strict=True)
        ]
        connection.execute(
            statement.from_select(list(columns), select(*arrays)).on_conflict_do_nothing()
        )
    else:
        new = [{"doc_id": doc_id, "source_id": source} for doc_id, source in sources.items()]
        connection.execute(statement.on_conflict_do_nothing(), new)
    return _find_keys(session, DocumentName.doc_id, sources)


def _find_keys(
    session: Session, column: InstrumentedAttribute[str], names: Collection[str]
) -> dict[str, int]:
    """Keys by name, from one bound parameter: ten thousand of them take longer than the search."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        named = column == any_(bindparam("names", list(names), postgresql.ARRAY(Text)))
    else:
        listed = func.json_each(json.dumps(list(names), ensure_ascii=False)).table_valued("value")
        named = column.in_(select(listed.c.value))
    rows = connection.execute(select(column, column.class_.id).where(named))
    return {name: key for name, key in rows}  # noqa: C416 (dict() does not see the types)


def _write(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    table = cast(Table, ChangedDocument.__table__)
    # Keys, bytes and floats are what both drivers take: no value is turned into another.
    write_rows(session.connection(), table, list(table.columns), rows)


def _check(chunk: Sequence[Row]) -> None:
    """Refuse what one of the databases could not hold.

    Raises:
        DatabaseProblem: names the document and the column.
    """
    names = [row["doc_id"] for row in chunk]
    lengths = {len(name) for name in names}
    scores = [row.get(name) for name in _SCORES for row in chunk]
    digests = [row["before_sha256"] for row in chunk]
    digests += [after for row in chunk if (after := row.get("after_sha256")) is not None]
    sound = (
        _KNOWN.issuperset(chain.from_iterable(chunk))
        and min(lengths) >= 1
        and max(lengths) <= DOC_ID_LIMIT
        and storable("".join(names))
        # What is no number makes the sum none.
        and math.isfinite(sum(filter(None, scores)))
        and set(map(len, digests)) == {64}
        and _HEXADECIMAL.fullmatch("".join(digests)) is not None
    )
    if not sound:
        for row in chunk:
            _check_row(row)


def _check_row(row: Row) -> None:
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
        if digest is not None and not (len(digest) == 64 and _HEXADECIMAL.fullmatch(digest)):
            raise DatabaseProblem(
                f"{name} of document {quoted(doc_id)} is no SHA-256: 64 hexadecimal digits"
            )
