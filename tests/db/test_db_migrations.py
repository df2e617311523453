"""Migrations run up and down with data in place, and end where the models are."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from db_demo import digest, record_demo
from sqlalchemy import create_engine, inspect, text

from db import schema
from db.lineage import document_history, status
from db.models import Base
from db.problems import SchemaMismatch
from db.sessions import Database, downgrade, open_database, schema_state, upgrade

NEXT_MIGRATION = '''
"""A later migration that rebuilds tables which point at each other."""

import sqlalchemy as sa
from alembic import op

revision = "9999_later"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    for table in ("arms", "generations", "changed_documents", "experiments"):
        with op.batch_alter_table(table, recreate="auto") as batch:
            batch.add_column(sa.Column("note", sa.Text(), nullable=True))
            batch.create_index("ix_" + table + "_note", ["note"])


def downgrade():
    for table in ("experiments", "changed_documents", "generations", "arms"):
        with op.batch_alter_table(table) as batch:
            batch.drop_index("ix_" + table + "_note")
            batch.drop_column("note")
'''


@pytest.fixture
def with_later_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let the code under test be of a later version than this one, and back."""
    ours = schema.MIGRATIONS
    head = schema.revisions()[0]
    later = tmp_path / "later"
    shutil.copytree(ours, later, ignore=shutil.ignore_patterns("__pycache__"))
    (later / "versions" / "m9999_later.py").write_text(NEXT_MIGRATION.format(head=head).lstrip())

    def switch(on: bool) -> None:
        monkeypatch.setattr(schema, "MIGRATIONS", later if on else ours)

    return switch


def test_the_migrations_end_where_the_models_are(database: Database) -> None:
    with database.engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_the_migrations_make_the_same_constraints_as_the_models(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Alembic compares neither checks nor the columns of primary keys.
    if database.engine.dialect.name == "sqlite":
        url = f"sqlite:///{tmp_path}/models.db"
    else:
        url = request.getfixturevalue("new_postgres")()
    from_models = create_engine(url)
    Base.metadata.create_all(from_models)
    by_models, by_migrations = inspect(from_models), inspect(database.engine)
    for table in Base.metadata.tables:
        assert _constraints(by_migrations, table) == _constraints(by_models, table)
    from_models.dispose()


def _constraints(inspector: Any, table: str) -> list[Any]:
    checks = {row["name"]: row["sqltext"] for row in inspector.get_check_constraints(table)}
    unique = {row["name"]: row["column_names"] for row in inspector.get_unique_constraints(table)}
    foreign = {
        row["name"]: (row["constrained_columns"], row["referred_table"], row["referred_columns"])
        for row in inspector.get_foreign_keys(table)
    }
    columns = {row["name"]: row["nullable"] for row in inspector.get_columns(table)}
    return [checks, unique, foreign, columns, inspector.get_pk_constraint(table)]


def test_every_constraint_and_index_has_a_name_that_both_databases_can_hold() -> None:
    for table in Base.metadata.tables.values():
        names = [row.name for row in (*table.constraints, *table.indexes)]
        assert all(isinstance(name, str) and len(name) <= 63 for name in names), names


def test_down_to_base_and_up_again_works_with_data_in_place(database_url: str) -> None:
    _fill(database_url)
    assert downgrade(database_url, "base").kind == "empty"
    open_database(database_url).dispose()
    assert schema_state(database_url).kind == "current"


def test_a_later_migration_and_its_way_back_keep_every_row(
    database_url: str, with_later_migration: Callable[[bool], None]
) -> None:
    _fill(database_url)
    before = _answers(database_url)
    head = schema.revisions()[0]
    with_later_migration(True)
    assert upgrade(database_url).found == "9999_later"
    downgrade(database_url, head)
    with_later_migration(False)
    assert _answers(database_url) == before


def test_an_older_schema_is_refused_with_the_command_that_mends_it(
    database_url: str, with_later_migration: Callable[[bool], None]
) -> None:
    _fill(database_url)
    with_later_migration(True)
    assert schema_state(database_url).kind == "older"
    with pytest.raises(SchemaMismatch, match="`palimpsest db upgrade`"):
        open_database(database_url)
    upgrade(database_url)
    open_database(database_url).dispose()


def test_a_newer_schema_is_refused_and_left_alone(
    database_url: str, with_later_migration: Callable[[bool], None]
) -> None:
    with_later_migration(True)
    open_database(database_url).dispose()
    with_later_migration(False)
    assert schema_state(database_url).kind == "newer"
    for attempt in (open_database, upgrade, lambda url: downgrade(url, "base")):
        with pytest.raises(SchemaMismatch, match="9999_later"):
            attempt(database_url)
    with_later_migration(True)
    assert schema_state(database_url).kind == "current"


def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(database_url: str) -> None:
    open_database(database_url).dispose()
    with pytest.raises(SchemaMismatch, match="0001_first_cut"):
        downgrade(database_url, "0000_nothing")
    assert schema_state(database_url).kind == "current"


def test_a_migration_that_fails_half_way_changes_nothing(
    database_url: str, with_later_migration: Callable[[bool], None]
) -> None:
    _fill(database_url)
    before = _answers(database_url)
    with_later_migration(True)
    broken = schema.MIGRATIONS / "versions" / "m9999_later.py"
    broken.write_text(broken.read_text().replace("def downgrade", "    1 / 0\n\n\ndef downgrade"))
    with pytest.raises(ZeroDivisionError):
        upgrade(database_url)
    with_later_migration(False)
    assert _answers(database_url) == before


def test_two_processes_that_open_an_empty_database_at_once_both_get_it(database_url: str) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            open_database(database_url).dispose()
        except Exception as error:  # noqa: BLE001 (whatever it is, the test shows it)
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert schema_state(database_url).kind == "current"


def _fill(url: str) -> None:
    database = open_database(url)
    with database.sessions.begin() as session:
        record_demo(session)
    database.dispose()


def _answers(url: str) -> list[Any]:
    database = open_database(url)
    with database.readers() as session:
        counts = {
            table: session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in Base.metadata.tables
        }
        answers = [counts, status(session), document_history(session, "doc-00001")]
        assert answers[1][0]["arms"][1]["generations"][0]["checkpoint"] == digest("m0")
    database.dispose()
    return answers
