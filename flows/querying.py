"""`palimpsest lineage sql`: one statement that can only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from workers.problems import InputProblem

ROWS_AT_ONCE = 1_000
_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}

Rows = Iterator[Sequence[Any]]


@contextmanager
def read_only_sql(session: Session, statement: str) -> Iterator[tuple[Sequence[str], Rows]]:
    """Run one SELECT; give its columns, and its rows as they are asked for.

    SQLite asks before every part of the statement whether it is allowed; PostgreSQL runs it in a
    read-only transaction, prepared, so that a second statement after a semicolon is refused.

    Args:
        session: a reader's.
        statement: SQL of the database that the record is in.

    Raises:
        InputProblem: the statement is wrong, is no single one, or would write.
    """
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        driver.set_authorizer(_allow_reading)
    try:
        cursor = driver.execute(statement) if sqlite else driver.execute(statement, prepare=True)
        if cursor.description is None:
            raise InputProblem("the statement returns no rows; write a SELECT")
        yield [column[0] for column in cursor.description], _rows(cursor)
    except (sqlite3.Error, sqlite3.Warning, psycopg.Error) as error:
        raise InputProblem(_refused(error)) from error
    finally:
        if sqlite:
            driver.set_authorizer(None)


def _rows(cursor: Any) -> Rows:
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        for row in rows:
            yield [value.hex() if isinstance(value, bytes) else value for value in row]


def _allow_reading(action: int, *_details: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def _refused(error: BaseException) -> str:
    said = str(error).strip().splitlines()[0].rstrip(".")
    return (
        f"the statement was refused: {said}. It must be one SELECT; the views begin with lineage_, "
        "and docs/lineage.md lists them with the tables"
    )
