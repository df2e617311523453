"""`palimpsest db copy` into the database of the environment, whose password is in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from copy_demo import filled, new_sqlite, rows_of
from test_db_copy_cli import SECRET, palimpsest


def test_the_database_of_the_environment_gets_its_password_from_its_file(
    migrated_sqlite: Path, new_postgres: Callable[[], str], tmp_path: Path
) -> None:
    source = filled(new_sqlite(migrated_sqlite, tmp_path / "home", "palimpsest.db"))
    named = {
        "PALIMPSEST_DATABASE": new_postgres(),
        "PALIMPSEST_DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    said = palimpsest("db", "copy", source, named["PALIMPSEST_DATABASE"], **named)
    assert said.returncode == 2 and "PALIMPSEST_DATABASE_PASSWORD_FILE" in said.stderr
    (tmp_path / "password").write_text(f"{SECRET}\n")
    said = palimpsest("db", "copy", source, named["PALIMPSEST_DATABASE"], **named)
    assert said.returncode == 0, said.stderr
    assert rows_of(named["PALIMPSEST_DATABASE"]) == rows_of(source)
