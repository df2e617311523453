"""Whether a database is sound, and what to do where it is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.orm import Session

from db.engines import READS_ONLY, make_engine, parse_url
from db.lineage.consistency import inconsistencies
from db.models import Base
from db.problems import DatabaseProblem
from db.sessions import schema_state
from db.views import VIEWS

MOST_SHOWN = 20
_RESTORE = "restore a backup (`palimpsest db backup` makes one)"
_SCHEMA_REMEDIES = {
    "empty": "run `palimpsest db upgrade`, or an experiment, to make the tables",
    "older": "run `palimpsest db upgrade`, which keeps the data",
    "newer": "install the newer palimpsest that wrote it",
    "foreign": "name another database: palimpsest did not make these tables",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` is empty when it is as it should be."""

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return not self.remedy


def check_database(url: str) -> Iterator[Check]:
    """Yield what was found of a database, as it is found. It is only read.

    Raises:
        DatabaseProblem: it cannot be reached, or is no database.
    """
    state = schema_state(url)
    if state.kind == "current":
        yield Check("schema", f"{state.found}, current")
    else:
        found = f"{state.found or 'none'}, {state.kind}; this program needs {state.expected}"
        yield Check("schema", found, _SCHEMA_REMEDIES[state.kind])
    engine = make_engine(parse_url(url))
    looking = engine.execution_options(**{READS_ONLY: True}, postgresql_readonly=True)
    try:
        with looking.connect() as connection:
            sqlite = connection.dialect.name == "sqlite"
            whole = True
            for check in _check_sqlite(connection) if sqlite else _check_postgres(connection):
                whole &= check.name != "integrity" or check.ok
                yield check
            if state.kind == "current" and whole:
                yield _check_views(connection)
        # Tables that are damaged, or not ours, cannot be asked whether they agree.
        if state.kind == "current" and whole:
            yield from _check_record(looking)
    finally:
        engine.dispose()


def _check_sqlite(connection: Connection) -> Iterator[Check]:
    yield Check("version", f"SQLite {sqlite3.sqlite_version}")
    mode = str(connection.scalar(text("PRAGMA journal_mode")))
    fix = "" if mode == "wal" else "put the file on a local disk, where SQLite can use WAL"
    yield Check("journal mode", mode, fix)
    pages = connection.scalar(text("PRAGMA page_count")) or 0
    yield Check("size", in_mebibytes(pages * (connection.scalar(text("PRAGMA page_size")) or 0)))
    try:
        said = connection.scalars(text(f"PRAGMA integrity_check({MOST_SHOWN})")).all()
    except DatabaseProblem as problem:
        # Damage may be so bad that SQLite cannot even list it.
        said = [str(problem)]
    if said == ["ok"]:
        yield Check("integrity", "ok")
    else:
        yield from (Check("integrity", str(each), _RESTORE) for each in said)
        return
    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    if not broken:
        yield Check("foreign keys", "ok")
    for table, _, parent, *_ in broken[:MOST_SHOWN]:
        yield Check("foreign keys", f"a row of {table} points at no row of {parent}", _RESTORE)


def _check_postgres(connection: Connection) -> Iterator[Check]:
    yield Check("version", f"PostgreSQL {connection.scalar(text('SHOW server_version'))}")
    size = connection.scalar(text("SELECT pg_database_size(current_database())"))
    yield Check("size", in_mebibytes(size or 0))
    ours = {"tables": list(Base.metadata.tables)}
    unproven = connection.execute(
        text(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint "
            "WHERE NOT convalidated AND conrelid IN "
            "(SELECT to_regclass(quote_ident(t)) FROM unnest(CAST(:tables AS text[])) t)"
        ),
        ours,
    ).all()
    for table, name in unproven:
        fix = f"run: ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
        yield Check("constraints", f"{name} of {table} was never validated", fix)
    damaged = connection.scalars(
        text(
            "SELECT indexrelid::regclass::text FROM pg_index "
            "WHERE NOT (indisvalid AND indisready) AND indrelid IN "
            "(SELECT to_regclass(quote_ident(t)) FROM unnest(CAST(:tables AS text[])) t)"
        ),
        ours,
    ).all()
    for name in damaged:
        yield Check("indexes", f"{name} is not valid", f"run: REINDEX INDEX {name}")
    if not unproven:
        yield Check("constraints", "all validated")
    if not damaged:
        yield Check("indexes", "all valid")


def _check_views(connection: Connection) -> Check:
    lacking = sorted(VIEWS.keys() - set(inspect(connection).get_view_names()))
    if not lacking:
        return Check("views", f"{len(VIEWS)}")
    return Check("views", f"missing: {', '.join(lacking)}", "run `palimpsest db upgrade`")


def _check_record(engine: Engine) -> Iterator[Check]:
    """Whether what is on record agrees with itself."""
    with Session(engine) as session:
        found = False
        for each in inconsistencies(session):
            found = True
            yield Check("record", f"{each.what}: {each.problem}", _RESTORE)
    if not found:
        yield Check("record", "consistent")


def in_mebibytes(size: int) -> str:
    """A size in bytes, as a person reads it."""
    return f"{size / 2**20:,.1f} MiB"
