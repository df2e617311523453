"""A database that is down or locked for a while, or for good, in the midst of a run."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from db_demo import documents, new_experiment
from own_server import Server, own_server
from rich.console import Console
from sqlalchemy import func, select, text

from db.models import Arm, ChangedDocument, Lease
from db.problems import DatabaseProblem, LeaseLost
from db.records import (
    LeaseGrant,
    acquire_leases,
    ensure_arm,
    ensure_generation,
    list_experiments,
    record_changed_documents,
)
from db.sessions import Database, Patience, open_database, opened
from flows.console import Reporter
from flows.context import RunContext
from flows.lease import fenced, hold_leases
from workers import interrupting


@pytest.fixture(scope="module")
def server(postgres_server: str) -> Iterator[Server]:
    with own_server() as server:
        yield server


@pytest.fixture
def on_server(server: Server) -> Iterator[Database]:
    database = open_database(server.url)
    with database.sessions.begin() as session:
        session.execute(text("TRUNCATE experiments CASCADE"))
    yield database
    database.dispose()


def find(session: Any) -> list[Arm]:
    return [ensure_arm(session, new_experiment(session), "revise", 1)]


@contextmanager
def running(database: Database) -> Iterator[tuple[RunContext, io.StringIO]]:
    """A run as far as its record goes, and what it says."""
    said = io.StringIO()
    missing: Any = SimpleNamespace()
    with hold_leases(database, find) as grant:
        yield (
            RunContext(
                experiment=missing,
                home=Path(),
                database=database,
                run=missing,
                grant=grant,
                principles=missing,
                prompt_file=missing,
                skills=None,
                reporter=Reporter(Console(file=said, width=10_000)),
                until=1,
            ),
            said,
        )


def run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that could not give its leases back is gone by the time of the next one."""
    monkeypatch.setattr("flows.lease.holder_is_dead", lambda lease: True)


def names(database: Database) -> list[str]:
    with database.readers() as session:
        return [row.name for row in list_experiments(session)]


@pytest.mark.parametrize("seconds", [1.5, pytest.param(30.0, marks=pytest.mark.slow)])
def test_a_run_outlives_a_server_that_is_away_for_a_while(
    server: Server, on_server: Database, seconds: float
) -> None:
    with running(on_server) as (context, said):
        with server.down_for(seconds), context.write() as session:
            new_experiment(session, "written after the server came back")
        with server.down_for(seconds), context.read() as session:
            assert len(list_experiments(session)) == 2
    assert said.getvalue().count("waiting up to 90 s for the database") == 2
    assert said.getvalue().count("the database answers again, after") == 2


def test_a_run_stops_clearly_when_the_server_stays_away_and_goes_on_later(
    server: Server, on_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.context.PATIENCE_S", 0.5)

    def run() -> None:
        with running(on_server) as (context, _):
            with context.write() as session:
                new_experiment(session, "kept")
            server.stop()
            try:
                with context.write() as session:
                    new_experiment(session, "not kept")
            finally:
                # As a stage does that notes why it failed.
                with context.write() as session:
                    new_experiment(session, "not kept either")

    with pytest.raises(DatabaseProblem, match="run the same command again to go on") as caught:
        run()
    assert "cannot be reached" in str(caught.value)
    server.start()
    assert names(on_server) == ["microworld", "kept"]
    run_again(monkeypatch)
    with running(on_server) as (context, _), context.write() as session:
        new_experiment(session, "afterwards")
    assert names(on_server) == ["microworld", "kept", "afterwards"]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_of_a_write_in_whose_midst_the_server_goes_away_nothing_is_kept(
    server: Server, on_server: Database, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(halfway: Callable[[], None]) -> None:
        with running(on_server) as (context, _), context.write() as session:
            new_experiment(session, "half")
            halfway()
            new_experiment(session, "other half")

    try:
        with pytest.raises(DatabaseProblem, match="nothing is half recorded") as caught:
            run(lambda: server.stop(mode))
    finally:
        server.start()
    assert caught.value.transient
    assert names(on_server) == ["microworld"]
    run_again(monkeypatch)
    run(lambda: None)
    assert names(on_server) == ["microworld", "half", "other half"]


def test_of_a_write_whose_commit_fails_nothing_is_kept(server: Server, on_server: Database) -> None:
    def run() -> None:
        with running(on_server) as (context, _), context.write() as session:
            new_experiment(session, "lost with its commit")
            server.stop()

    try:
        with pytest.raises(DatabaseProblem, match="run the same command again"):
            run()
    finally:
        server.start()
    assert names(on_server) == ["microworld"]


def test_a_bulk_load_that_is_cut_off_is_a_problem_like_any_other(
    server: Server, on_server: Database
) -> None:
    def rows(pid: int) -> Iterator[dict[str, Any]]:
        yield from documents(10_000)
        server.say(f"SELECT pg_terminate_backend({pid})")
        yield from ({**row, "doc_id": f"more {row['doc_id']}"} for row in documents(10_000))

    def run() -> None:
        with running(on_server) as (context, _):
            with context.write() as session:
                generation = ensure_generation(session, find(session)[0], 0)
            with context.write() as session:
                pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
                record_changed_documents(session, generation, rows(pid))

    with pytest.raises(DatabaseProblem, match="run the same command again"):
        run()
    with on_server.readers() as session:
        assert session.scalar(select(func.count()).select_from(ChangedDocument)) == 0


def test_a_driver_that_fails_in_a_bulk_load_is_explained(on_server: Database) -> None:
    def fail(error: psycopg.Error) -> None:
        with opened(on_server.sessions, Patience(0.0)):
            raise error

    with pytest.raises(DatabaseProblem, match="cannot be reached: gone") as caught:
        fail(psycopg.OperationalError("gone"))
    assert caught.value.transient
    with pytest.raises(psycopg.DataError, match="our own mistake"):
        fail(psycopg.DataError("our own mistake"))


def test_connections_that_died_unused_are_replaced_without_a_word(
    server: Server, on_server: Database
) -> None:
    with on_server.sessions.begin() as session:
        new_experiment(session, "before")
    server.stop()
    server.start()
    with opened(on_server.sessions, Patience(0.0)) as session:
        assert len(list_experiments(session)) == 1


def test_a_heartbeat_outlives_a_server_that_is_away(
    server: Server, on_server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.lease.RENEW_S", 0.1)

    def beat_at(context: RunContext) -> Any:
        with context.read() as session:
            return session.scalars(select(Lease)).one().heartbeat_at

    with running(on_server) as (context, _):
        with server.down_for(1.0):
            pass
        before = beat_at(context)
        deadline = time.monotonic() + 20
        while beat_at(context) == before:
            assert time.monotonic() < deadline, "the heart has stopped"
            time.sleep(0.05)


def test_leases_that_cannot_be_given_back_do_not_hide_why_a_run_ended(
    server: Server, on_server: Database
) -> None:
    def run() -> None:
        with hold_leases(on_server, find):
            server.stop()
            raise RuntimeError("the reason")

    try:
        with pytest.raises(RuntimeError, match="the reason"):
            run()
    finally:
        server.start()


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Leaves Ctrl-C as it found it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    interrupting._requests = 0
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_a_wait_ends_when_the_user_asks_to_stop(server: Server, on_server: Database) -> None:
    def run() -> None:
        with running(on_server) as (context, _), interrupting.heard():
            server.stop()
            os.kill(os.getpid(), signal.SIGINT)
            with context.write():
                pytest.fail("there is no server")

    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        server.start()


LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.rollback()
"""


@contextmanager
def locked(database: Database, seconds: float) -> Iterator[None]:
    """Another process holds the write lock for so long."""
    path = str(database.engine.url.database)
    command = [sys.executable, "-c", LOCKER, path, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def impatient_sqlite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Database]:
    monkeypatch.setattr("db.engines.BUSY_TIMEOUT_S", 0.1)
    database = open_database(f"sqlite:///{tmp_path}/p.db")
    yield database
    database.dispose()


def test_a_run_outlives_a_lock_that_is_held_for_longer_than_sqlite_waits(
    impatient_sqlite: Database,
) -> None:
    with running(impatient_sqlite) as (context, said), locked(impatient_sqlite, 1.0):
        with context.read() as session:
            assert len(list_experiments(session)) == 1
        assert said.getvalue() == "", "a reader waited for a writer"
        with context.write() as session:
            new_experiment(session, "written after the lock was gone")
    assert "another process holds the write lock" in said.getvalue()
    assert "the database answers again" in said.getvalue()
    assert len(names(impatient_sqlite)) == 2


def test_a_run_stops_clearly_when_the_lock_is_never_given_up(
    impatient_sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.context.PATIENCE_S", 0.5)

    def run() -> None:
        with (
            running(impatient_sqlite) as (context, _),
            locked(impatient_sqlite, 60.0),
            context.write() as session,
        ):
            new_experiment(session, "never")

    with pytest.raises(DatabaseProblem, match=r"holds the write lock.*run the same command again"):
        run()
    assert names(impatient_sqlite) == ["microworld"]


def test_a_lease_lost_while_the_database_was_away_is_noticed_when_it_is_back(
    impatient_sqlite: Database,
) -> None:
    said: list[str] = []
    taken = {"holder": "other", "host": "h", "pid": 1, "ttl_s": 60.0, "steal": lambda lease: True}
    other = open_database(str(impatient_sqlite.engine.url))

    def run(grant: LeaseGrant, patience: Patience) -> None:
        with fenced(impatient_sqlite, grant, patience):
            pytest.fail("the lease is not ours")

    with hold_leases(impatient_sqlite, find) as grant, other.sessions() as session:
        acquire_leases(session, find(session), **taken)
        patience = Patience(20.0, said.append, between=session.commit)
        with pytest.raises(LeaseLost, match="last holder other"):
            run(grant, patience)
    assert said[0].startswith("waiting up to 20 s")
    other.dispose()


@pytest.mark.parametrize("limit_s", [0.0, 0.3])
def test_patience_ends_in_time_and_with_the_problem_itself(limit_s: float) -> None:
    tried: list[float] = []
    said: list[str] = []

    def attempt() -> None:
        tried.append(time.monotonic())
        raise DatabaseProblem("down", transient=True)

    patience = Patience(limit_s, said.append)
    with pytest.raises(DatabaseProblem, match=r"^down$"):
        patience.wait_for(attempt)
    assert tried[-1] - tried[0] <= limit_s
    assert (len(tried) > 1) == bool(limit_s) == bool(said)
    before = len(tried)
    with pytest.raises(DatabaseProblem):
        patience.wait_for(attempt)
    assert len(tried) == before + 1, "a second wait after one in vain"


def test_what_no_waiting_mends_is_not_waited_for() -> None:
    tried: list[int] = []

    def attempt() -> None:
        tried.append(1)
        raise LeaseLost("lost")

    with pytest.raises(LeaseLost):
        Patience(60.0).wait_for(attempt)
    assert tried == [1]
