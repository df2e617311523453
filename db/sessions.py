"""Opening a database, and bringing its schema up or down. No engine lives at module level.

database = open_database("sqlite:////data/palimpsest.db")
with database.sessions.begin() as session:      # commits at the end, rolls back on an error
    ensure_arm(session, experiment, "revise", seed=1)
with database.readers() as session:             # never takes the write lock
    status(session)
with opened(database.readers, Patience(90.0)) as session:     # waits for a server that is away
    status(session)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session, sessionmaker

from db.engines import READS_ONLY, make_engine, parse_url, problem_of, shown
from db.problems import DatabaseProblem, SchemaMismatch
from db.schema import SchemaState, migrate_down, migrate_up, read_state

__all__ = [
    "Database",
    "DatabaseProblem",
    "Patience",
    "SchemaMismatch",
    "SchemaState",
    "downgrade",
    "open_database",
    "opened",
    "refuse_other_schema",
    "schema_state",
    "upgrade",
]

CONNECT_RETRY_S = 6.0
LONGEST_PAUSE_S = 2.0

T = TypeVar("T")


class ReadingSession(Session):
    """A session of those who only look; it ends in a commit of nothing.

    After a rollback psycopg forgets the statements that it has prepared, and to plan a question of
    ten tables anew takes PostgreSQL ten times as long as to answer it.
    """

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, unless the block failed, and close."""
        if type_ is None and self.in_transaction():
            self.commit()
        super().__exit__(type_, value, traceback)


@dataclass(frozen=True, slots=True)
class Database:
    """An open database: `sessions` for writers, `readers` for those who only look."""

    url: str
    """As it may be printed: the password is blanked."""
    engine: Engine
    sessions: sessionmaker[Session]
    readers: sessionmaker[ReadingSession]

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@dataclass
class Patience:
    """For how long a database that does not answer is waited for, and who is told meanwhile."""

    limit_s: float
    say: Callable[[str], object] = lambda what: None
    between: Callable[[], object] = lambda: None
    """Called before each pause; it may raise, as when the user asked to stop."""

    def wait_for(self, attempt: Callable[[], T]) -> T:
        """Make an attempt until it succeeds.

        Once the wait was in vain there is no second one: what is still to be noted on the way out
        is tried once.

        Raises:
            DatabaseProblem: no trying again helps, or time is up.
        """
        began = time.monotonic()
        pause_s = 0.0
        while True:
            try:
                done = attempt()
            except DatabaseProblem as error:
                problem = error
            else:
                if pause_s:
                    self.say(f"the database answers again, after {time.monotonic() - began:.0f} s")
                return done
            if not pause_s and problem.transient and self.limit_s:
                self.say(f"waiting up to {self.limit_s:.0f} s for the database: {problem}")
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S) or 0.1
            if not problem.transient or time.monotonic() - began + pause_s > self.limit_s:
                if problem.transient:
                    self.limit_s = 0.0
                # No cause is chained: a driver's traceback may show connection arguments.
                raise problem from None
            self.between()
            time.sleep(pause_s)


@contextmanager
def opened(
    make: sessionmaker[Session] | sessionmaker[ReadingSession],
    patience: Patience,
    enter: Callable[[Session], object] = lambda session: None,
) -> Generator[Session]:
    """A session whose transaction has begun; beginning it is what is tried again.

    What the block does is never done over, for it is not ours to know whether it may be: when the
    database goes away in its midst, or at the commit, that is a problem for the caller, and the
    database keeps nothing of the transaction, or all of it.

    Args:
        make: the writers' sessions or the readers'.
        patience: how long to wait for a database that is away or locked.
        enter: what has to succeed before the block, in its transaction.
    """

    def begin() -> Session:
        session = make()
        try:
            session.connection()
            enter(session)
        except BaseException:
            session.close()
            raise
        return session

    with patience.wait_for(begin) as session:
        engine = session.get_bind().engine
        try:
            yield session
        except psycopg.Error as error:
            # A bulk load speaks to the driver itself.
            lost = isinstance(error, psycopg.OperationalError)
            problem = problem_of(error, engine.url, disconnected=lost)
            if problem is None:
                raise
            raise problem from error


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
            refuse_other_schema(state, parsed)
    except BaseException:
        engine.dispose()
        raise
    return Database(
        url=shown(parsed),
        engine=engine,
        # Rows stay readable after the commit: callers pass them on between transactions.
        sessions=sessionmaker(engine, expire_on_commit=False),
        readers=sessionmaker(looking, class_=ReadingSession, expire_on_commit=False),
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
            refuse_other_schema(state, parsed)
        move(engine)
        return read_state(engine)
    finally:
        engine.dispose()


def _reads_only(engine: Engine) -> Engine:
    """The same engine for those who only look: they wait for no writer and cannot write."""
    return engine.execution_options(**{READS_ONLY: True}, postgresql_readonly=True)


def _wait_until_up(engine: Engine, retry_s: float) -> None:
    """Try to connect for a few seconds: a server that is starting, or a file that is locked."""

    def connect() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    Patience(retry_s).wait_for(connect)


def refuse_other_schema(state: SchemaState, url: URL) -> None:
    """Let an empty database and one of this code's schema pass.

    Raises:
        SchemaMismatch: any other, with what to do about it.
    """
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
