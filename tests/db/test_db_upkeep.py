"""Checks of a database, gc and verify, and the commands for them, on both databases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from db_demo import digest
from sound_record import damage, lose_checkpoint, password_url, record_sound
from sqlalchemy import select, text
from typer.testing import CliRunner

from db.backups import back_up
from db.models import Arm
from db.problems import DatabaseProblem, LeaseHeld
from db.records import acquire_leases
from db.sessions import Database, downgrade, open_database, upgrade
from db.upkeep import Check, check_database
from flows.cli_database import database as db_commands
from flows.housekeeping import collect, removable
from flows.verifying import verify


def troubles(url: str) -> list[Check]:
    return [check for check in check_database(url) if not check.ok]


def test_a_sound_database_passes_every_check(database: Database) -> None:
    with database.sessions.begin() as session:
        record_sound(session)
    checks = {check.name: check for check in check_database(password_url(database))}
    assert [check for check in checks.values() if not check.ok] == []
    assert checks["record"].found == "consistent"
    backend = database.engine.dialect.name
    wanted = {
        "sqlite": {"integrity", "foreign keys", "journal mode"},
        "postgresql": {"constraints", "indexes"},
    }[backend]
    assert wanted | {"schema", "version", "size", "views"} <= checks.keys()


def test_an_inconsistent_record_fails_the_check_with_a_remedy(database: Database) -> None:
    with database.sessions.begin() as session:
        record_sound(session)
        lose_checkpoint(session)
    found = troubles(password_url(database))
    assert {check.name for check in found} == {"record"}
    assert all("backup" in check.remedy for check in found)


def test_views_that_are_missing_are_made_by_the_upgrade(database: Database) -> None:
    url = password_url(database)
    with database.engine.begin() as connection:
        connection.execute(text("DROP VIEW lineage_show"))
    [found] = troubles(url)
    assert found.name == "views" and "lineage_show" in found.found
    upgrade(url)
    assert troubles(url) == []


def test_an_older_schema_is_told_and_not_asked(database_url: str) -> None:
    open_database(database_url).dispose()
    downgrade(database_url, "-1")
    [found] = troubles(database_url)
    assert found.name == "schema" and "palimpsest db upgrade" in found.remedy


def test_rows_that_point_at_nothing_are_found(sqlite_url: str) -> None:
    other_hand = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    other_hand.execute("DELETE FROM experiments")
    other_hand.commit()
    other_hand.close()
    found = troubles(sqlite_url)
    assert "a row of arms points at no row of experiments" in {check.found for check in found}


def test_a_damaged_file_fails_the_check_and_is_not_backed_up(
    sqlite_url: str, tmp_path: Path
) -> None:
    damage(sqlite_url)
    found = troubles(sqlite_url)
    assert {check.name for check in found} == {"integrity"}
    assert "restore a backup" in found[0].remedy
    copies = tmp_path / "copies"
    with pytest.raises(DatabaseProblem, match="damaged"):
        back_up(sqlite_url, copies / "b.db")
    assert list(copies.iterdir()) == []


def test_a_constraint_that_was_never_validated_is_found(
    new_postgres: Callable[[], str],
) -> None:
    url = new_postgres()
    opened = open_database(url)
    with opened.engine.begin() as connection:
        connection.execute(text("ALTER TABLE arms ADD CONSTRAINT odd CHECK (seed > -9) NOT VALID"))
    [found] = troubles(url)
    assert found.remedy == "run: ALTER TABLE arms VALIDATE CONSTRAINT odd"
    opened.dispose()


def orphan(home: Path) -> Path:
    folder = home / "corpora" / digest("orphan")
    folder.mkdir(parents=True)
    (home / "corpora" / digest("c0")).mkdir()
    return folder


def test_gc_works_under_every_lease(database: Database, tmp_path: Path) -> None:
    home = tmp_path / "home"
    gone = orphan(home)
    with database.sessions.begin() as session:
        record_sound(session)
    with database.sessions.begin() as session:
        arms = session.scalars(select(Arm)).all()
        acquire_leases(session, arms, holder="a run", host="far", pid=1, ttl_s=600)
    for ask in (removable, collect):
        with pytest.raises(LeaseHeld, match="a run"):
            ask(database, home)
    with database.sessions.begin() as session:
        session.execute(text("UPDATE leases SET released_at = heartbeat_at"))
    assert [each.path for each in removable(database, home)] == [gone]
    assert [each.path for each in collect(database, home)] == [gone]
    assert not gone.exists() and (home / "corpora" / digest("c0")).exists()


def test_verify_asks_both_databases_alike(database: Database, tmp_path: Path) -> None:
    with database.sessions.begin() as session:
        record_sound(session)
        lose_checkpoint(session)
    orphan(tmp_path)
    kinds = [each.kind for each in verify(database, tmp_path)]
    # Two corpora, two checkpoints and two shards of which there are no files.
    assert kinds.count("missing") == 6
    assert kinds.count("orphaned") == 1
    assert kinds.count("inconsistent") == 2


def run_db(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(db_commands, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_the_commands_find_the_database_of_a_config(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PALIMPSEST_DATABASE", raising=False)
    config = tmp_path / "c.yaml"
    placement = {"home": str(tmp_path / "home"), "database": database_url}
    config.write_text(json.dumps({"name": "demo", "placement": placement}))
    given = ("--config", str(config))
    assert "upgraded from nothing to 0" in run_db("upgrade", *given)[1]
    assert "the schema is current" in run_db("upgrade", *given)[1]
    code, said = run_db("check", "--json", *given)
    assert code == 0 and all(check["ok"] for check in json.loads(said))
    assert run_db("backup", str(tmp_path / "b"), *given)[0] == 0
    downgrade(database_url, "-1")
    code, said = run_db("check", *given)
    assert code == 1 and "palimpsest db upgrade" in said
    assert "upgraded from 0003" in run_db("upgrade", *given)[1]


def test_a_home_without_a_record_is_not_given_one(tmp_path: Path) -> None:
    from workers.problems import InputProblem

    for words in (("check",), ("backup", str(tmp_path / "b"))):
        with pytest.raises(InputProblem, match="no record here"):
            run_db(*words, "--home", str(tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []
