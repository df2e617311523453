"""Opening a database, and bringing its schema up or down. No engine lives at module level.

database = open_database("sqlite:////data/palimpsest.db")
with database.sessions.begin() as session:      # commits at the end, rolls back on an error
    ensure_arm(session, experiment, "revise", seed=1)
with database.readers() as session:             # never takes the write lock
    status(session)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from db.engines import READS_ONLY, make_engine, parse_url, shown, unreachable
from db.problems import DatabaseProblem, SchemaMismatch
from db.schema import SchemaState, migrate_down, migrate_up, read_state

__all__ = [
    "Database",
    "DatabaseProblem",
    "SchemaMismatch",
    "SchemaState",
    "downgrade",
    "open_database",
    "schema_state",
    "upgrade",
]

CONNECT_RETRY_S = 6.0


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: `sessions` for writers, `readers` for those who only look."""

    url: str
    """As it may be printed: the password is blanked."""
    engine: Engine
    sessions: sessionmaker[Session]
    readers: sessionmaker[Session]

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(url: str, *, retry_s: float = CONNECT_RETRY_S) -> Database:
    """Connect, make the tables of an empty database, and refuse a schema that is not ours."""
    parsed = parse_url(url)
    engine = make_engine(parsed)
    looking = _reads_only(engine)
    try:
        _wait_until_up(looking, retry_s)
        state = read_state(looking)
        if state.kind == "empty":
            upgrade(url)
        else:
            _refuse_other_schema(state, parsed)
    except BaseException:
        engine.dispose()
        raise
    return Database(
        url=shown(parsed),
        engine=engine,
        # Rows stay readable after the commit: callers pass them on between transactions.
        sessions=sessionmaker(engine, expire_on_commit=False),
        readers=sessionmaker(looking, expire_on_commit=False),
    )


def schema_state(url: str) -> SchemaState:
    """How the database's schema stands to this code's: empty, current, older, newer or foreign."""
    engine = make_engine(parse_url(url))
    looking = _reads_only(engine)
    try:
        _wait_until_up(looking, CONNECT_RETRY_S)
        return read_state(looking)
    finally:
        engine.dispose()


def upgrade(url: str) -> SchemaState:
    """Bring the schema up to this code's; data stay. Doing it twice changes nothing."""
    return _migrate(url, migrate_up)


def downgrade(url: str, revision: str) -> SchemaState:
    """Take the schema back to a revision, or to nothing with `base`, which drops every table."""
    return _migrate(url, lambda engine: migrate_down(engine, revision))


def _migrate(url: str, move: Callable[[Engine], None]) -> SchemaState:
    parsed = parse_url(url)
    # SQLite rebuilds a table to alter it, which its own foreign keys would forbid half-way.
    engine = make_engine(parsed, foreign_keys=False)
    try:
        _wait_until_up(engine, CONNECT_RETRY_S)
        state = read_state(engine)
        if state.kind in ("newer", "foreign"):
            _refuse_other_schema(state, parsed)
        move(engine)
        return read_state(engine)
    finally:
        engine.dispose()


def _reads_only(engine: Engine) -> Engine:
    """The same engine for those who only look: they wait for no writer and cannot write."""
    return engine.execution_options(**{READS_ONLY: True}, postgresql_readonly=True)


def _wait_until_up(engine: Engine, retry_s: float) -> None:
    """Try to connect for a few seconds: a server that is starting, or a file that is locked."""
    deadline = time.monotonic() + retry_s
    pause_s = 0.1
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return
        except OperationalError as error:
            problem = unreachable(engine.url, error)
        except DatabaseProblem as error:
            problem = error
        if not problem.transient or time.monotonic() + pause_s > deadline:
            # No cause is chained: a driver's traceback may show connection arguments.
            raise problem from None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 1.0)


def _refuse_other_schema(state: SchemaState, url: URL) -> None:
    match state.kind:
        case "older":
            raise SchemaMismatch(
                f"database {shown(url)} has schema {state.found}, this code needs "
                f"{state.expected}; run `palimpsest db upgrade`, which keeps the data"
            )
        case "newer":
            raise SchemaMismatch(
                f"database {shown(url)} has schema {state.found}, which this code ({state.expected}"
                ") does not know; install the newer palimpsest that wrote it"
            )
        case "foreign":
            raise SchemaMismatch(
                f"database {shown(url)} holds tables that palimpsest did not make "
                f"({', '.join(state.clashes)}); name another database in the URL"
            )
        case "empty" | "current":
            return
