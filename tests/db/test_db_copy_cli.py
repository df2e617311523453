"""`palimpsest db copy`: what it says, what it refuses, and what it never prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from copy_demo import filled, many_documents, new_sqlite, rows_of
from sqlalchemy import make_url, select
from sqlalchemy.orm import Session

from db.models import Arm
from db.records import acquire_leases
from db.sessions import open_database, schema_state

SECRET = "do-not-print-me"


@pytest.fixture
def record(migrated_sqlite: Path, tmp_path: Path) -> Path:
    new_sqlite(migrated_sqlite, tmp_path / "home", "palimpsest.db")
    path = tmp_path / "home" / "palimpsest.db"
    filled(f"sqlite:///{path}")
    return path


@pytest.fixture
def target(new_postgres: Callable[[], str]) -> str:
    """A URL with a password, which the tests' server does not ask for."""
    url = make_url(new_postgres()).set(password=SECRET)
    return url.render_as_string(hide_password=False)


def palimpsest(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it: `main` decides on the exit code."""
    said = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("PALIMPSEST")}
        | {"COLUMNS": "200"}
        | environment,
    )
    assert SECRET not in said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    return said


def test_a_copy_says_what_came_over_and_what_is_left_to_do(record: Path, target: str) -> None:
    said = palimpsest("db", "copy", record, target)
    assert said.returncode == 0, said.stderr
    assert "changed_documents" in said.stdout
    shown = make_url(target).render_as_string(hide_password=True)
    assert f"export PALIMPSEST_DATABASE={shown}" in said.stdout
    assert "Corpora and checkpoints stay where they are" in said.stdout
    assert f"checking {shown}" in said.stderr
    assert rows_of(target) == rows_of(f"sqlite:///{record}")

    again = palimpsest("db", "copy", record, target)
    assert again.returncode == 1
    assert "is not empty" in again.stderr and not again.stdout


def test_a_script_gets_json(record: Path, target: str, tmp_path: Path) -> None:
    there = palimpsest("db", "copy", record, target, "--json")
    back = palimpsest("db", "copy", target, tmp_path / "back.db", "--json")
    said, also = json.loads(there.stdout), json.loads(back.stdout)
    assert said["tables"] == also["tables"]
    assert said["rows"] == sum(said["tables"].values())
    assert said["sound"] and all(check["ok"] for check in said["checks"])
    assert said["source"] == f"sqlite:///{record}"
    assert said["target"] == also["source"]
    assert rows_of(f"sqlite:///{tmp_path / 'back.db'}") == rows_of(f"sqlite:///{record}")


def test_a_source_that_is_not_there_is_bad_input_and_is_not_made(
    tmp_path: Path, target: str
) -> None:
    said = palimpsest("db", "copy", tmp_path / "typo.db", target)
    assert said.returncode == 2
    assert "no record here" in said.stderr
    assert not (tmp_path / "typo.db").exists()
    assert schema_state(target).kind == "empty"


def test_a_url_that_cannot_be_read_is_refused_without_being_shown(record: Path) -> None:
    said = palimpsest("db", "copy", record, f"postgresql://u:{SECRET}@host:port/name")
    assert said.returncode == 1
    assert "the database URL cannot be read" in said.stderr


def test_a_target_that_does_not_answer_is_refused(record: Path) -> None:
    said = palimpsest("db", "copy", record, f"postgresql://u:{SECRET}@127.0.0.1:9/name")
    assert said.returncode == 1
    assert "cannot be reached" in said.stderr


def test_ctrl_c_ends_a_copy_with_a_word_and_leaves_no_row(record: Path, target: str) -> None:
    filled(f"sqlite:///{record}", lambda session: many_documents(session, 60_000))
    command = [sys.executable, "-c", "from flows.cli import main; main()", "db", "copy"]
    with subprocess.Popen(
        [*command, str(record), target], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        while "copy documents: 60,0" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.stdout.read() == ""
    assert process.returncode == 130
    assert "interrupted. The target has no row" in said
    assert "Traceback" not in said and SECRET not in said
    assert not any(rows_of(target).values())
    assert palimpsest("db", "copy", record, target).returncode == 0


@pytest.mark.parametrize("host", ["elsewhere", "here"])
def test_a_run_that_may_go_on_is_in_the_way_and_a_dead_one_is_not(
    record: Path, tmp_path: Path, host: str
) -> None:
    import socket

    name = socket.gethostname() if host == "here" else host
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    def hold(session: Session) -> None:
        arms = session.scalars(select(Arm)).all()
        acquire_leases(session, arms, holder="run", host=name, pid=gone.pid, ttl_s=600)

    filled(f"sqlite:///{record}", hold)
    said = palimpsest("db", "copy", record, tmp_path / "new.db")
    if host == "here":
        assert said.returncode == 0, said.stderr
    else:
        assert said.returncode == 1
        assert "microworld:revise:1 is being run by run (host elsewhere" in said.stderr


def test_a_copy_that_is_not_sound_is_not_recommended(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from db.upkeep import Check
    from flows.cli_database import database

    wrong = Check("record", "stage rate: its shards are gone", "restore a backup")
    monkeypatch.setattr("db.upkeep.check_database", lambda url: iter([wrong]))
    said = CliRunner().invoke(database, ["copy", str(record), str(tmp_path / "new.db")])
    assert said.exit_code == 1
    assert "its shards are gone" in said.stdout
    assert f"go on with sqlite:///{record}, as before" in said.stdout


def test_a_run_goes_on_with_the_copied_record(record: Path, target: str) -> None:
    """The fences of the old record hold in the new one: tokens go on growing."""
    palimpsest("db", "copy", record, target)
    database = open_database(target)
    with database.sessions.begin() as session:
        arms = session.scalars(select(Arm)).all()
        grant = acquire_leases(session, arms, holder="r", host="h", pid=1, ttl_s=1)
    database.dispose()
    assert [token for _, token in grant.tokens] == [2]


def test_help_teaches() -> None:
    said = palimpsest("db", "copy", "--help").stdout
    for word in (
        "SOURCE",
        "TARGET",
        "PALIMPSEST_DATABASE",
        "PGPASSWORD",
        "db upgrade",
        "stay where",
    ):
        assert word in said
