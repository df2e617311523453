"""A record moved from SQLite to PostgreSQL and back: every row, or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import copy_demo
import pytest
from copy_demo import copy, filled, many_documents, new_sqlite, record_everything, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_server import Server, own_server
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.orm import Session

from db.lineage import status
from db.models import Arm, Base, Experiment, Lease
from db.problems import DatabaseProblem, LeaseHeld, SchemaMismatch
from db.records import acquire_leases, register_experiment
from db.sessions import downgrade, open_database, schema_state, upgrade
from db.upkeep import check_database

NewUrl = Callable[[], str]


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite"])
def urls(
    request: pytest.FixtureRequest, new_postgres: NewUrl, migrated_sqlite: Path, tmp_path: Path
) -> tuple[str, str]:
    """A filled record, and a database without tables."""
    old, new = request.param.split(" to ")
    empty = new_sqlite(migrated_sqlite, tmp_path / "old", "palimpsest.db")
    source = filled(empty if old == "sqlite" else new_postgres())
    return source, f"sqlite:///{tmp_path}/new/p.db" if new == "sqlite" else new_postgres()


@pytest.fixture
def record(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a filled SQLite record."""
    return filled(new_sqlite(migrated_sqlite, tmp_path / "old", "palimpsest.db"))


def change(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def has_no_row(url: str) -> bool:
    return not any(rows_of(url).values())


def test_every_row_of_every_table_arrives_with_its_key(urls: tuple[str, str]) -> None:
    source, target = urls
    before = rows_of(source)
    assert all(before.values()), "a table without rows would prove nothing"
    copied = copy(source, target)
    assert rows_of(target) == before == rows_of(source)
    assert copied.tables == {name: len(rows) for name, rows in before.items()}
    assert all(check.ok for check in check_database(target))
    database = open_database(target)
    with database.readers() as session:
        assert [each["experiment"] for each in status(session)] == ["microworld", "fork"]
    database.dispose()


def test_keys_go_on_after_the_copied_ones(urls: tuple[str, str]) -> None:
    source, target = urls
    copy(source, target)
    database = open_database(target)
    with database.sessions.begin() as session:
        assert register_experiment(session, "new", {"seeds": [1]}, {}).id == 3
    database.dispose()


def test_there_and_back_again_is_the_same_record(
    record: str, new_postgres: NewUrl, tmp_path: Path
) -> None:
    there, back = new_postgres(), f"sqlite:///{tmp_path}/back.db"
    copy(record, there)
    copy(there, back)
    assert rows_of(back) == rows_of(record)


# What either database may hold in a column that no check and no key limits.
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)
JSON = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=5,
    ),
    max_size=3,
)
FREE: dict[tuple[str, str], Any] = {
    ("experiments", "config"): JSON,
    ("runs", "command"): TEXTS,
    ("runs", "dirty"): st.none() | st.booleans(),
    ("runs", "host_kind"): JSON,
    ("runs", "finished_at"): st.none() | MOMENTS,
    ("artifacts", "content"): st.none() | JSON,
    ("artifacts", "meta"): JSON,
    ("artifacts", "tokens_seen"): st.none() | st.integers(0, 2**63 - 1),
    ("arms", "seed"): st.integers(-(2**63), 2**63 - 1),
    ("leases", "expires_at"): MOMENTS,
    ("documents", "doc_id"): TEXTS.filter(bool),
    ("sources", "name"): TEXTS,
    ("verdicts", "reason"): TEXTS,
    ("changed_documents", "before_sha256"): st.binary(min_size=32, max_size=32),
    ("changed_documents", "after_sha256"): st.none() | st.binary(min_size=32, max_size=32),
    ("changed_documents", "score_before"): st.none() | FLOATS,
    ("evaluations", "value"): st.none() | FLOATS,
    ("gate_decisions", "reason"): TEXTS,
    ("stages", "params"): JSON,
    ("stages", "failure"): st.none() | TEXTS,
    ("stages", "finished_at"): st.none() | MOMENTS,
}
# Of the first rows of each table; names have to differ.
FILL = st.fixed_dictionaries(
    {key: st.lists(each, max_size=2, unique_by=repr) for key, each in FREE.items()}
)


@pytest.fixture(scope="module")
def rewritten(
    migrated_sqlite: Path, shared_postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[dict[Any, Any]], tuple[str, str, str]]]:
    """Makes a record with other values, an emptied PostgreSQL and a SQLite that is not there."""
    folder = tmp_path_factory.mktemp("property")
    filled(new_sqlite(migrated_sqlite, folder, "original.db"))
    engine = create_engine(shared_postgres)

    def empty() -> None:
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)}"))

    def make(values: dict[Any, Any]) -> tuple[str, str, str]:
        empty()
        for path in folder.glob("changed.db*"):
            path.unlink()
        for path in folder.glob("back.db*"):
            path.unlink()
        url = new_sqlite(folder / "original.db", folder, "changed.db")
        rewrite(url, values)
        return url, shared_postgres, new_sqlite(migrated_sqlite, folder, "back.db")

    yield make
    empty()
    engine.dispose()


def rewrite(url: str, values: dict[Any, Any]) -> None:
    database = open_database(url)
    with database.engine.begin() as connection:
        for (name, column), drawn in values.items():
            table = Base.metadata.tables[name]
            keys = list(table.primary_key)
            rows = connection.execute(select(*keys).order_by(*keys)).all()
            for row, value in zip(rows, drawn, strict=False):
                is_row = [key == each for key, each in zip(keys, row, strict=True)]
                connection.execute(update(table).where(*is_row).values({column: value}))
    database.dispose()


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(FILL)
def test_whatever_stands_in_a_column_arrives_as_it_was(
    rewritten: Callable[[dict[Any, Any]], tuple[str, str, str]], values: dict[Any, Any]
) -> None:
    source, there, back = rewritten(values)
    with pytest.MonkeyPatch.context() as patch:
        # The values are anything but a sound record.
        patch.setattr("db.copying.check_database", lambda url: iter(()))
        before = rows_of(source)
        copy(source, there)
        assert rows_of(there) == before
        copy(there, back)
        assert rows_of(back) == before


def test_more_rows_than_a_chunk(urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = urls
    filled(source, lambda session: many_documents(session, 35))
    monkeypatch.setattr("db.copying.ROWS_A_CHUNK", 10)
    seen: list[str] = []
    copy(source, target, seen.append)
    assert rows_of(target) == rows_of(source)
    # Three rows of the demo before them.
    assert seen.count("changed_documents") == 4


def test_a_copy_that_is_interrupted_leaves_no_row_and_can_begin_anew(
    urls: tuple[str, str],
) -> None:
    source, target = urls

    def interrupt(table: str) -> None:
        if table == "changed_documents":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, interrupt)
    assert has_no_row(target)
    copy(source, target)
    assert rows_of(target) == rows_of(source)


def test_a_copy_that_is_killed_leaves_no_row_and_can_begin_anew(urls: tuple[str, str]) -> None:
    source, target = urls
    command = [sys.executable, copy_demo.__file__, source, target]
    folders = os.pathsep.join([str(Path(copy_demo.__file__).parent), *sys.path])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": folders}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in the midst\n"
        process.send_signal(signal.SIGKILL)
    assert has_no_row(target)
    copy(source, target)
    assert rows_of(target) == rows_of(source)


def test_neither_database_takes_writes_meanwhile(urls: tuple[str, str]) -> None:
    source, target = urls
    refused: list[str] = []

    def write(table: str) -> None:
        if table != "changed_documents":
            return
        for url in urls:
            sqlite = url.startswith("sqlite")
            engine = create_engine(url, connect_args={"timeout": 0} if sqlite else {})
            with engine.connect() as connection:
                if not sqlite:
                    connection.execute(text("SET lock_timeout = '50ms'"))
                with pytest.raises(Exception, match=r"locked|lock timeout") as caught:
                    connection.execute(text("UPDATE experiments SET status = 'failed'"))
                refused.append(str(caught.value))
                # The record can be read all the while.
                connection.rollback()
                connection.execute(text("SELECT count(*) FROM experiments"))
            engine.dispose()

    copy(source, target, write)
    assert len(refused) == 2
    assert rows_of(target) == rows_of(source)


@pytest.fixture(scope="module")
def server(postgres_server: str) -> Iterator[Server]:
    with own_server() as server:
        yield server


def test_a_server_that_goes_away_in_the_midst_has_no_row(record: str, server: Server) -> None:
    def stop(table: str) -> None:
        if table == "documents":
            server.stop("immediate")

    with pytest.raises(DatabaseProblem, match="cannot be reached"):
        copy(record, server.url, stop)
    server.start()
    assert has_no_row(server.url)
    copy(record, server.url)
    assert rows_of(server.url) == rows_of(record)


def test_a_target_that_holds_rows_is_refused_and_left_alone(urls: tuple[str, str]) -> None:
    source, target = urls

    def one(session: Session) -> None:
        session.add(Experiment(name="other", config={}, fingerprints={}))

    before = rows_of(filled(target, one))
    with pytest.raises(DatabaseProblem, match=r"not empty \(table experiments has rows\)"):
        copy(source, target)
    assert rows_of(target) == before


def test_a_record_is_not_copied_onto_itself(record: str) -> None:
    with pytest.raises(DatabaseProblem, match="not empty"):
        copy(record, record)


def test_an_older_record_is_upgraded_first(record: str, new_postgres: NewUrl) -> None:
    target = new_postgres()
    downgrade(record, "0001_first_cut")
    with pytest.raises(SchemaMismatch, match="palimpsest db upgrade"):
        copy(record, target)
    assert schema_state(target).kind == "empty"
    upgrade(record)
    downgrade(target, "base")
    upgrade(target)
    downgrade(target, "0001_first_cut")
    with pytest.raises(SchemaMismatch, match="palimpsest db upgrade"):
        copy(record, target)


def test_other_peoples_tables_are_not_written_to(record: str, new_postgres: NewUrl) -> None:
    target = new_postgres()
    change(target, "CREATE TABLE runs (id integer)")
    with pytest.raises(SchemaMismatch, match="did not make"):
        copy(record, target)


def test_there_is_nothing_to_copy_in_an_empty_database(
    new_postgres: NewUrl, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseProblem, match="nothing to copy"):
        copy(new_postgres(), f"sqlite:///{tmp_path}/p.db")


def test_nothing_is_copied_while_a_run_goes_on(urls: tuple[str, str]) -> None:
    source, target = urls

    def hold(session: Session) -> None:
        arms = session.scalars(select(Arm)).all()
        acquire_leases(session, arms, holder="run", host="elsewhere", pid=1, ttl_s=60)

    filled(source, hold)
    with pytest.raises(LeaseHeld, match="microworld:revise:1 is being run by run"):
        copy(source, target)
    assert has_no_row(target)


@pytest.mark.parametrize("why", ["ran out", "holder is dead"])
def test_a_lease_that_nobody_holds_is_no_hindrance(
    record: str, new_postgres: NewUrl, why: str
) -> None:
    target = new_postgres()

    def leave(session: Session) -> None:
        lease = session.scalars(select(Lease)).one()
        hour = timedelta(hours=1 if why == "holder is dead" else -1)
        lease.released_at, lease.expires_at = None, datetime.now(UTC) + hour

    filled(record, leave)
    listener = copy_demo.Listener()
    copy_demo.copy_record(record, target, is_dead=lambda lease: True, progress=listener)
    # Its token too: the next holder's has to be higher.
    assert rows_of(target) == rows_of(record)
    assert listener.said[0] == f"checking {record}"
    assert "copy experiments 2/2" in listener.said


def test_an_unsound_record_is_not_copied(record: str, new_postgres: NewUrl) -> None:
    target = new_postgres()
    change(record, "DELETE FROM generated")
    with pytest.raises(DatabaseProblem, match=r"not sound \(record: .*; restore a backup"):
        copy(record, target)
    assert schema_state(target).kind == "empty"


def test_what_the_target_cannot_hold_is_said_and_nothing_is_copied(
    record: str, new_postgres: NewUrl
) -> None:
    target = new_postgres()
    change(record, "UPDATE stages SET engine = 'a' || char(0) || 'b'")
    with pytest.raises(DatabaseProblem, match="does not take a row of stages"):
        copy(record, target)
    assert has_no_row(target)


def test_rows_that_do_not_arrive_are_missed(
    record: str, new_postgres: NewUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_postgres()
    from db import copying

    def lose(connection: Any, table: Any, columns: Any, rows: Any) -> None:
        copying_rows(connection, table, columns, rows[:-1] if table.name == "labels" else rows)

    copying_rows = copying.write_rows
    monkeypatch.setattr(copying, "write_rows", lose)
    with pytest.raises(DatabaseProblem, match="of 1 rows of labels 0 arrived"):
        copy(record, target)
    assert has_no_row(target)


def test_the_demo_has_rows_in_every_table(record: str) -> None:
    lacking = [name for name, rows in rows_of(record).items() if not rows]
    assert lacking == [], "add them to record_everything"
    assert record_everything.__doc__
