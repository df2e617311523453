"""Backups, on both databases."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sound_record import password_url, record_sound
from sqlalchemy import func, select, text

from db import backups
from db.backups import back_up
from db.models import ChangedDocument, Experiment, Generation, Shard, Stage
from db.problems import DatabaseProblem
from db.sessions import Database, open_database


def counts(url: str) -> tuple[int, ...]:
    opened = open_database(url)
    with opened.readers() as session:
        found = tuple(
            session.scalar(select(func.count()).select_from(model)) or 0
            for model in (Generation, ChangedDocument, Stage, Shard)
        )
    opened.dispose()
    return found


def test_a_backup_restores_to_the_same_rows(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with database.sessions.begin() as session:
        record_sound(session)
    url, target = password_url(database), tmp_path / "new folder" / "backup"
    assert str(target) in back_up(url, target)
    assert [path.name for path in target.parent.iterdir()] == ["backup"]
    if database.engine.dialect.name == "sqlite":
        restored = f"sqlite:///{target}"
    else:
        restored = request.getfixturevalue("new_postgres")()
        server = database.engine.connect()
        major = int(server.scalar(text("SHOW server_version_num"))) // 10_000
        server.close()
        tool = Path(backups.find_pg_dump(major) or "").with_name("pg_restore")
        subprocess.run([tool, f"--dbname={restored}", target], check=True, capture_output=True)
    assert counts(restored) == counts(url) == (2, 3, 2, 2)


def test_a_backup_replaces_nothing_and_leaves_nothing_half(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "taken"
    target.write_text("dear to me")
    with pytest.raises(DatabaseProblem, match="exists already"):
        back_up(sqlite_url, target)
    assert target.read_text() == "dear to me"

    def killed(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        back_up(sqlite_url, tmp_path / "half")
    assert {path for path in set(tmp_path.iterdir()) - before if "half" in path.name} == set()


def test_a_backup_into_a_place_that_is_no_folder_is_explained(
    sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseProblem, match="cannot be written"):
        back_up(sqlite_url, tmp_path / "file" / "b.db")


def test_a_backup_is_one_moment_though_others_write(sqlite_url: str, tmp_path: Path) -> None:
    opened = open_database(sqlite_url)
    with opened.sessions.begin() as session:
        session.add(Experiment(name="half written", config={}, fingerprints={}))
        session.flush()
        back_up(sqlite_url, tmp_path / "b.db")
    opened.dispose()
    copy = sqlite3.connect(tmp_path / "b.db")
    assert copy.execute("SELECT name FROM experiments").fetchall() == [("microworld",)]
    copy.close()


def test_passwords_go_by_a_file_of_ours_alone(
    new_postgres: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.engine import make_url

    plain = make_url(new_postgres()).set(password="s3cret")
    query = {"sslpassword": "s3cret too"}
    url = plain.update_query_dict(query).render_as_string(hide_password=False)
    open_database(url).dispose()
    ran: list[list[str]] = []
    services: list[tuple[str, int]] = []
    really = subprocess.run

    def watched(command: list[str], **options: Any) -> Any:
        ran.append(command)
        if name := (options.get("env") or {}).get("PGSERVICEFILE"):
            services.append((Path(name).read_text(), Path(name).stat().st_mode & 0o777))
        return really(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    said = back_up(url, tmp_path / "b.dump")
    assert not any("s3cret" in word for command in ran for word in command)
    assert "s3cret" not in said
    [(service, mode)] = services
    assert mode == 0o600
    assert {"password=s3cret", "sslpassword=s3cret too"} <= set(service.splitlines())


def test_without_pg_dump_the_command_to_run_is_shown(
    new_postgres: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.engine import make_url

    secret = make_url(new_postgres()).update_query_dict({"sslpassword": "s3cret"})
    url = secret.render_as_string(hide_password=False)
    open_database(url).dispose()
    monkeypatch.setattr(backups, "find_pg_dump", lambda server: None)
    with pytest.raises(DatabaseProblem, match="pg_dump --format=custom --file=FILE") as caught:
        back_up(url, tmp_path / "b.dump")
    assert "s3cret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_old_pg_dump_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "pg_dump"
    old.write_text(f"#!{sys.executable}\nprint('pg_dump (PostgreSQL) 9.6')\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = backups.find_pg_dump(18)
    assert found is not None and Path(found).parent != tmp_path
    assert backups.find_pg_dump(9) == str(old)
    assert backups.find_pg_dump(10_000) is None
