"""Opening databases: what is made, what is refused, and what the message says."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from db_demo import new_experiment
from sqlalchemy import select, text
from sqlalchemy.exc import InternalError, StatementError
from sqlalchemy.orm import Session

from db.engines import parse_url, shown
from db.models import Experiment, Generation
from db.problems import DatabaseProblem, SchemaMismatch
from db.records import ensure_arm, ensure_generation, list_experiments, start_stage
from db.sessions import Database, open_database, schema_state, upgrade


def test_an_empty_database_is_brought_up_to_date_when_it_is_opened(database_url: str) -> None:
    assert schema_state(database_url).kind == "empty"
    open_database(database_url).dispose()
    assert schema_state(database_url).kind == "current"
    assert upgrade(database_url).kind == "current"


def test_rows_outlive_the_connection(database_url: str) -> None:
    database = open_database(database_url)
    with database.sessions.begin() as session:
        new_experiment(session)
    database.dispose()
    again = open_database(database_url)
    with again.readers() as session:
        assert [row.name for row in list_experiments(session)] == ["microworld"]
    again.dispose()


def test_what_is_not_committed_is_rolled_back(database: Database) -> None:
    with database.sessions() as session:
        new_experiment(session)
    with database.readers() as session:
        assert list_experiments(session) == []


def test_a_reader_cannot_write(database: Database) -> None:
    with database.readers() as session, pytest.raises((DatabaseProblem, InternalError)) as caught:
        new_experiment(session)
    assert "read" in str(caught.value)


def test_a_writer_after_a_reader_on_the_same_connection_can_write(database: Database) -> None:
    for _ in range(3):
        with database.readers() as session:
            list_experiments(session)
        with database.sessions.begin() as session:
            new_experiment(session)


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.sessions() as writer:
        new_experiment(writer)
        with database.readers() as reader:
            assert list_experiments(reader) == []


def test_a_database_can_be_opened_while_a_writer_is_at_work(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/p.db"
    database = open_database(url)
    with database.sessions() as writer:
        new_experiment(writer)
        open_database(url, retry_s=0).dispose()
    database.dispose()


def test_two_writers_lose_no_update(database: Database) -> None:
    def work() -> None:
        for _ in range(10):
            with database.sessions.begin() as session:
                start_stage(session, "r1", stage="rate", algorithm_version="1", params={})

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.readers() as session:
        assert session.execute(text("SELECT attempts FROM stages")).scalar_one() == 20


def test_times_come_back_in_utc_whatever_zone_they_went_in_with(session: Session) -> None:
    arm = ensure_arm(session, new_experiment(session), "revise", 1)
    generation = ensure_generation(session, arm, 0)
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    generation.started_at = noon
    session.commit()
    session.expire_all()
    found = session.scalars(select(Generation)).one()
    assert found.started_at == noon
    assert found.started_at is not None
    assert found.started_at.tzinfo is UTC
    assert session.scalars(select(Experiment)).one().created_at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(session: Session) -> None:
    generation = ensure_generation(session, ensure_arm(session, new_experiment(session), "a", 1), 0)
    generation.started_at = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(StatementError, match="no time zone"):
        session.flush()


def test_sqlite_is_set_up_for_more_than_one_process(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/p.db")
    with database.sessions() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    database.dispose()
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", "cannot be read"),
        ("oracle9://x", "oracle9 is not supported"),
        ("mysql://user:secret@host/name", "mysql is not supported"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_a_remedy(url: str, says: str) -> None:
    with pytest.raises(DatabaseProblem, match=says) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_down_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseProblem, match="cannot be reached") as caught:
        open_database("postgresql://ann:s3cret@127.0.0.1:1/palimpsest", retry_s=0)
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.transient
    assert caught.value.__suppress_context__


def test_a_password_is_hidden_wherever_the_url_holds_it() -> None:
    url = shown(parse_url("postgresql://ann:one@host/db?password=two&sslpassword=three"))
    assert not any(secret in url for secret in ("one", "two", "three"))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary " * 1000)
    with pytest.raises(DatabaseProblem, match=r"notes\.txt.*not a SQLite database"):
        open_database(f"sqlite:///{tmp_path}/notes.txt")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseProblem, match="cannot make the folder"):
        open_database(f"sqlite:///{tmp_path}/file/inner/p.db")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseProblem, match="no directory"):
        open_database(f"sqlite:///{tmp_path}")


def test_writing_to_a_read_only_file_says_how_to_mend_it(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/p.db").dispose()
    database = open_database(f"sqlite:///file:{tmp_path}/p.db?mode=ro&uri=true")
    with database.sessions() as session, pytest.raises(DatabaseProblem, match="writable"):
        new_experiment(session)
    database.dispose()


def test_a_locked_database_is_named_when_the_wait_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.engines.BUSY_TIMEOUT_S", 0)
    database = open_database(f"sqlite:///{tmp_path}/p.db")
    other = sqlite3.connect(tmp_path / "p.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        database.sessions() as session,
        pytest.raises(DatabaseProblem, match="another process holds") as caught,
    ):
        new_experiment(session)
    assert caught.value.transient
    other.close()
    database.dispose()


def test_tables_of_another_program_are_left_alone(database_url: str) -> None:
    database = open_database(database_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP TABLE palimpsest_schema"))
    database.dispose()
    with pytest.raises(SchemaMismatch, match="did not make"):
        open_database(database_url)
    with pytest.raises(SchemaMismatch, match="did not make"):
        upgrade(database_url)


def test_a_connection_lost_mid_run_is_a_problem_that_trying_again_may_mend(
    new_postgres: Callable[[], str],
) -> None:
    database = open_database(new_postgres())
    with database.sessions() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with database.sessions() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(DatabaseProblem, match="cannot be reached") as caught:
            new_experiment(session)
        assert caught.value.transient
    with database.sessions.begin() as session:
        new_experiment(session)
    database.dispose()
