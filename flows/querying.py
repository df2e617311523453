"""`palimpsest lineage sql`: one statement that can only read, and its answer in print."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from flows.cli_options import print_first, print_lines, short
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
    """Run one SELECT; give its columns, each by a name of its own, and its rows as they are asked.

    SQLite asks before every part of the statement whether it is allowed. PostgreSQL runs it in a
    read-only transaction as a cursor of the server, which holds the rows and takes no second
    statement after a semicolon.

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
        with closing(driver.cursor() if sqlite else driver.cursor(name="lineage_sql")) as cursor:
            cursor.execute(statement)
            if cursor.description is None:
                raise InputProblem("the statement returns no rows; write a SELECT")
            yield _told_apart([column[0] for column in cursor.description]), _rows(cursor)
    except (sqlite3.Error, sqlite3.Warning, psycopg.Error) as error:
        raise InputProblem(_refused(error)) from error
    finally:
        if sqlite:
            driver.set_authorizer(None)


def print_answer(columns: Sequence[str], rows: Rows, as_json: bool, limit: int | None) -> None:
    """Print rows as they come: as lines of JSON, or as a table of the first."""
    if as_json:
        print_lines((dict(zip(columns, row, strict=True)) for row in rows), limit)
    else:
        print_first(columns, ([_cell(value) for value in row] for row in rows), limit)


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, those that came before with a number: JSON has each once."""
    found: list[str] = []
    for name in names:
        new, number = name, 1
        while new in found or (number > 1 and new in names):
            number += 1
            new = f"{name}_{number}"
        found.append(new)
    return found


def _rows(cursor: Any) -> Rows:
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        for row in rows:
            yield [_plain(value) for value in row]


def _plain(value: Any) -> Any:
    """A value as JSON has it: what it has no number for is a word."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _cell(value: Any) -> str:
    """A value in a table: a number to four digits, and its whole part never rounded."""
    if not isinstance(value, float):
        return short(value)
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"


def _allow_reading(action: int, *_details: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def _refused(error: BaseException) -> str:
    said = str(error).strip().splitlines()[0].rstrip(".")
    return (
        f"the statement was refused: {said}. It must be one SELECT; the views begin with lineage_, "
        "and docs/lineage.md lists them with the tables"
    )
