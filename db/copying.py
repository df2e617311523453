"""Moving a record from one database to another: every row with its key, or no row at all.

The target's rows are written in one transaction, so whoever is killed in its midst leaves a target
with tables and no rows, which the same command fills. Neither database takes writes meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import psycopg
from sqlalchemy import Column, Connection, Table, bindparam, func, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.bulk import ROWS_A_CHUNK, write_rows
from db.engines import make_engine, parse_url, problem_of, shown, without_password
from db.models import Base, Lease, utc_now
from db.problems import DatabaseProblem, LeaseHeld
from db.sessions import refuse_other_schema, schema_state, upgrade
from db.upkeep import check_database

# As long as a writer of SQLite waits for the lock.
_LOCK_WAIT_S = 30
# Each after those that it points at.
_TABLES = Base.metadata.sorted_tables


class Progress(Protocol):
    """Who is told how far the copy is; either may raise to end it, as when the user asked to."""

    def step(self, what: str) -> None:
        """Something begins."""

    def progress(self, what: str, done: int, total: int, began: float) -> None:
        """So many of so many are done; `began` is of `time.monotonic`."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy wrote; the URLs as they may be printed."""

    source: str
    target: str
    tables: dict[str, int]
    """Rows of each table."""
    seconds: float

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.tables.values())


def copy_record(
    source: str, target: str, *, is_dead: Callable[[Lease], bool], progress: Progress
) -> Copied:
    """Copy a whole record into a database that holds none.

    Args:
        source: URL of the record; it stays as it is.
        target: URL of an empty database; tables and views are made by the migrations.
        is_dead: asked about a lease that has not run out; yes when its holder is known to be gone.
        progress: told what is done.

    Raises:
        SchemaMismatch: one of the two has another schema than this code's.
        LeaseHeld: a run is writing the source.
        DatabaseProblem: the source is empty or unsound, the target is not empty, or one of them
            does not answer; the target has no row of the source.
    """
    began = time.monotonic()
    old_url, new_url = parse_url(source), parse_url(target)
    _look_at_source(source, old_url, progress)
    _prepare_target(target, new_url)
    old_engine, new_engine = make_engine(old_url), make_engine(new_url)
    try:
        # The inner one commits first: until then nobody writes what would be left behind.
        with old_engine.begin() as old, new_engine.begin() as new:
            _keep_writers_out(old, "SHARE")
            _refuse_live_leases(old, is_dead)
            _keep_writers_out(new, "EXCLUSIVE")
            _refuse_rows(new, new_url)
            tables = _copy_tables(old, new, new_url, progress)
            _settle(new)
    finally:
        old_engine.dispose()
        new_engine.dispose()
    return Copied(shown(old_url), shown(new_url), tables, time.monotonic() - began)


def _look_at_source(source: str, url: URL, progress: Progress) -> None:
    """Refuse what is no record of this schema, or not sound: its copy would be no better."""
    state = schema_state(source)
    if state.kind == "empty":
        raise DatabaseProblem(f"database {shown(url)} is empty; there is nothing to copy")
    refuse_other_schema(state, url)
    progress.step(f"checking {shown(url)}")
    for check in check_database(source):
        if not check.ok:
            raise DatabaseProblem(
                f"database {shown(url)} is not sound ({check.name}: {check.found}), and nothing "
                f"was copied; {check.remedy}"
            )


def _prepare_target(target: str, url: URL) -> None:
    """Make the tables of an empty database; refuse one that holds anything of another."""
    state = schema_state(target)
    if state.kind == "empty":
        upgrade(target)
        return
    refuse_other_schema(state, url)
    # Asked again with the tables locked; here so that nothing is locked to be told no.
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            _refuse_rows(connection, url)
    finally:
        engine.dispose()


def _refuse_rows(connection: Connection, url: URL) -> None:
    for table in _TABLES:
        if connection.execute(select(*table.primary_key).limit(1)).first() is not None:
            raise DatabaseProblem(
                f"database {shown(url)} is not empty (table {table.name} has rows), and records "
                "are not merged; name an empty database as the target. Nothing was copied"
            )


def _keep_writers_out(connection: Connection, mode: str) -> None:
    """Let others only read until the transaction ends; SQLite does so at BEGIN IMMEDIATE."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S}s'"))
    # While one database is asked, the other waits in its transaction.
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    quote = connection.dialect.identifier_preparer.format_table
    names = ", ".join(quote(table) for table in _TABLES)
    connection.execute(text(f"LOCK TABLE {names} IN {mode} MODE"))


def _refuse_live_leases(connection: Connection, is_dead: Callable[[Lease], bool]) -> None:
    held = Lease.released_at.is_(None) & (Lease.expires_at > utc_now())
    with Session(connection) as session:
        for lease in session.scalars(select(Lease).where(held).order_by(Lease.acquired_at)):
            if not is_dead(lease):
                what = f"{lease.arm.experiment.name}:{lease.arm.name}:{lease.arm.seed}"
                raise LeaseHeld(what, lease.holder, lease.host, lease.pid, lease.acquired_at)


def _copy_tables(old: Connection, new: Connection, url: URL, progress: Progress) -> dict[str, int]:
    """Copy every table after those that it points at; rows of each.

    Raises:
        DatabaseProblem: the target cannot hold a row, or not all arrived.
    """
    copied: dict[str, int] = {}
    for table in _TABLES:
        with _explained(table, url):
            copied[table.name] = _copy_rows(old, new, table, progress)
    for table in _TABLES:
        with _explained(table, url):
            _fill_late(old, new, table)
    for table in _TABLES:
        arrived = _count(new, table)
        if arrived != copied[table.name]:
            raise DatabaseProblem(
                f"of {copied[table.name]:,} rows of {table.name} {arrived:,} arrived in "
                f"{shown(url)}; nothing was copied: report this"
            )
    return copied


def _copy_rows(old: Connection, new: Connection, table: Table, progress: Progress) -> int:
    """Copy the rows of a table; how many there are.

    A chunk is a statement of its own: PostgreSQL notes every row whose foreign keys it has to look
    at when the statement ends.
    """
    late = _late(table)
    columns = [column for column in table.columns if column not in late]
    # In the order of the key, which is the order that the target's own tree of it fills in.
    wanted = select(*columns).order_by(*table.primary_key)
    total, done, began = _count(old, table), 0, time.monotonic()
    with old.execution_options(yield_per=ROWS_A_CHUNK).execute(wanted) as rows:
        for chunk in rows.partitions():
            write_rows(new, table, columns, _as_driver_takes(new, columns, chunk))
            done += len(chunk)
            progress.progress(f"copy {table.name}", done, total, began)
    return total


def _as_driver_takes(
    new: Connection, columns: Sequence[Column[Any]], rows: Sequence[Sequence[Any]]
) -> Sequence[Sequence[Any]]:
    """The rows with their values as the target's driver takes them, a column at a time."""
    kinds = (column.type.dialect_impl(new.dialect) for column in columns)
    takes = [kind.bind_processor(new.dialect) for kind in kinds]
    values = list(zip(*rows, strict=True))
    return list(
        zip(
            *(
                values_ if take is None else map(take, values_)
                for take, values_ in zip(takes, values, strict=True)
            ),
            strict=True,
        )
    )


def _late(table: Table) -> list[Column[Any]]:
    """Columns that may point at a row which is written later: of a circle, and of the own table."""
    return [
        column
        for column in table.columns
        if any(key.use_alter or key.column.table is table for key in column.foreign_keys)
    ]


def _fill_late(old: Connection, new: Connection, table: Table) -> None:
    """Write what `_copy_rows` left out, now that every row is there."""
    for column in _late(table):
        [key] = table.primary_key
        wanted = select(key.label("row"), column.label("at")).where(column.is_not(None))
        change = update(table).where(key == bindparam("row")).values({column: bindparam("at")})
        with old.execution_options(yield_per=ROWS_A_CHUNK).execute(wanted) as found:
            for chunk in found.partitions():
                new.execute(change, [{"row": row, "at": at} for row, at in chunk])


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _settle(connection: Connection) -> None:
    """Let new keys come after the copied ones, and the planner know the tables.

    SQLite gives the highest key and one by itself, and plans without statistics.
    """
    if connection.dialect.name != "postgresql":
        return
    for table in _TABLES:
        name = connection.dialect.identifier_preparer.format_table(table)
        if "id" in table.columns:
            connection.execute(
                text(
                    "SELECT setval(pg_get_serial_sequence(:table, 'id'),"
                    f" (SELECT coalesce(max(id), 0) + 1 FROM {name}), false)"
                ),
                {"table": name},
            )
        connection.execute(text(f"ANALYZE {name}"))


@contextmanager
def _explained(table: Table, url: URL) -> Generator[None]:
    """Say in which table a row was that the target does not take, and what a driver's error means.

    Raises:
        DatabaseProblem: instead of an error of a driver.
    """
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        lost = isinstance(cause, psycopg.OperationalError)
        problem = problem_of(cast(BaseException, cause), url, disconnected=lost)
        if problem is None:
            problem = DatabaseProblem(
                f"database {shown(url)} does not take a row of {table.name}: "
                f"{without_password(_said(cause), url)}; nothing was copied. Look at the source "
                "with `palimpsest db check`"
            )
        raise problem from error


def _said(error: BaseException | None) -> str:
    """The driver's message; PostgreSQL's further lines may quote the row."""
    if isinstance(error, psycopg.Error):
        return error.diag.message_primary or type(error).__name__
    return str(error)
