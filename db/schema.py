"""Which schema a database has, and moving it along the migrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, inspect, text

from db.models import Base
from db.problems import DatabaseProblem, SchemaMismatch
from db.views import create_views, drop_views

MIGRATIONS = Path(__file__).parent / "migrations"
# Not Alembic's default name: Prefect and MLflow keep theirs in a table of that name.
VERSION_TABLE = "palimpsest_schema"
# Any constant does: it is the key of the advisory lock that two upgrades at once queue for.
_UPGRADE_LOCK = 0x70616C69


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema that was found beside the one that this code was written for."""

    kind: Literal["empty", "current", "older", "newer", "foreign"]
    found: str | None
    expected: str
    clashes: tuple[str, ...] = ()
    """Tables named like ours that we did not make (kind `foreign`)."""


def read_state(engine: Engine) -> SchemaState:
    """Compare the database's revision with the newest migration."""
    scripts = ScriptDirectory.from_config(migration_config())
    expected = scripts.get_current_head() or ""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found = context.get_current_revision()
        tables = set(inspect(connection).get_table_names())
    if found == expected:
        return SchemaState("current", found, expected)
    if found is None:
        clashes = tuple(sorted(tables & set(Base.metadata.tables)))
        return SchemaState("foreign" if clashes else "empty", None, expected, clashes)
    known = {script.revision for script in scripts.walk_revisions()}
    return SchemaState("older" if found in known else "newer", found, expected)


def migrate_up(engine: Engine) -> None:
    """Run every migration that the database lacks, in one transaction."""
    with engine.begin() as connection:
        _wait_for_turn(connection)
        drop_views(connection)
        command.upgrade(migration_config(connection), "head")
        create_views(connection)
        _check_foreign_keys(connection)


def migrate_down(engine: Engine, revision: str) -> None:
    """Undo migrations down to a revision, in one transaction."""
    with engine.begin() as connection:
        _wait_for_turn(connection)
        # An older schema has none: whoever upgrades from it makes them again.
        drop_views(connection)
        try:
            command.downgrade(migration_config(connection), revision)
        except CommandError as error:
            raise SchemaMismatch(
                f"there is no schema revision {revision!r}: {error}; the revisions are "
                f"{', '.join(revisions())}, and base"
            ) from error
        _check_foreign_keys(connection)


def revisions() -> list[str]:
    """Every revision, newest first."""
    scripts = ScriptDirectory.from_config(migration_config())
    return [script.revision for script in scripts.walk_revisions()]


def migration_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, in code: the migrations travel in the wheel, an ini file need not."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _wait_for_turn(connection: Connection) -> None:
    # SQLite queues at BEGIN IMMEDIATE. Whoever comes second finds the work done.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})


def _check_foreign_keys(connection: Connection) -> None:
    """Foreign keys were off while SQLite rebuilt its tables: look that none was broken."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    if broken:
        raise DatabaseProblem(
            f"the migration would leave {len(broken)} rows pointing at nothing, first in table "
            f"{broken[0][0]}; nothing was changed: restore a backup or report this"
        )
