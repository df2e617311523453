"""What a database is refused for, and what it is handed: passwords, places and hostile text."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from db_demo import documents, new_experiment, new_run
from own_server import Server, own_server
from sqlalchemy import select

from db.models import Arm, Experiment, Verdict
from db.problems import DatabaseProblem, UnknownId
from db.records import (
    acquire_leases,
    add_corpus_version,
    ensure_arm,
    ensure_generation,
    find_corpus_version,
    find_experiment,
    find_stage,
    list_experiments,
    record_changed_documents,
    require_experiment,
    start_stage,
)
from db.sessions import Database, open_database, schema_state
from flows.lease import hold_leases

HOSTILE = [
    "'; DROP TABLE experiments; --",
    '" OR "1"="1',
    "a\nb\r\n\tc;\n--",
    "%s %(name)s :name ? $1 {0}",
    "/* */ \\' \\",
    "x" * 10_000,
    "';--" * 2_500,
]


@pytest.fixture(scope="module")
def server(postgres_server: str) -> Iterator[Server]:
    with own_server() as server:
        yield server


def find(session: Any) -> list[Arm]:
    return [ensure_arm(session, new_experiment(session), "revise", 1)]


def names(database: Database) -> list[str]:
    with database.readers() as session:
        return [row.name for row in list_experiments(session)]


@pytest.fixture
def password(server: Server) -> Iterator[str]:
    """The password of a user whom the server asks for it."""
    # Drawn anew: a traceback shows the lines of this file.
    password = uuid4().hex
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    server.say("DROP ROLE IF EXISTS ann")
    server.say(f"CREATE ROLE ann LOGIN SUPERUSER PASSWORD '{password}'")
    rules.write_text("local all ann scram-sha-256\n" + before)
    server.say("SELECT pg_reload_conf()")
    yield password
    rules.write_text(before)
    server.say("SELECT pg_reload_conf()")


def as_ann(server: Server, password: str) -> str:
    return server.url.replace("postgres:@", f"ann:{password}@")


def whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("ask", [open_database, schema_state])
def test_a_wrong_password_is_shown_nowhere_and_not_tried_again(
    server: Server, password: str, ask: Callable[[str], object]
) -> None:
    open_database(as_ann(server, password)).dispose()
    wrong = uuid4().hex
    with pytest.raises(
        DatabaseProblem, match=r"authentication failed.*user and password"
    ) as caught:
        ask(as_ann(server, wrong))
    assert not any(secret in whole(caught.value) for secret in (wrong, password))
    assert "ann" in str(caught.value)
    assert not caught.value.transient


def test_a_password_that_was_changed_in_mid_run_is_shown_nowhere(
    server: Server, password: str
) -> None:
    database = open_database(as_ann(server, password))
    server.say("ALTER ROLE ann PASSWORD 'another'")
    database.engine.dispose()
    with pytest.raises(DatabaseProblem, match="authentication failed") as caught:
        names(database)
    assert password not in whole(caught.value)
    database.dispose()


def test_a_setting_that_the_driver_does_not_know_shows_no_secret(server: Server) -> None:
    secret = uuid4().hex
    joined = "&" if "?" in server.url else "?"
    with pytest.raises(DatabaseProblem, match="cannot be reached") as caught:
        open_database(f"{server.url}{joined}passwort={secret}")
    assert secret not in whole(caught.value)


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Permissions bind: the superuser may write everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("file", "folder"), [(0o444, 0o777), (0o666, 0o555), (0o444, 0o555)])
def test_a_file_that_may_not_be_written_is_named_with_the_remedy(file: int, folder: int) -> None:
    with tempfile.TemporaryDirectory(prefix="palimpsest-") as name:
        path = Path(name) / "p.db"
        open_database(f"sqlite:///{path}").dispose()

        def write() -> None:
            database = open_database(f"sqlite:///{path}")
            with database.sessions.begin() as session:
                new_experiment(session)

        path.chmod(file)
        Path(name).chmod(folder)
        try:
            with as_an_ordinary_user(), pytest.raises(DatabaseProblem, match="writable") as caught:
                write()
        finally:
            Path(name).chmod(0o755)
    assert str(path) in str(caught.value)
    assert not caught.value.transient


def mounted(monkeypatch: pytest.MonkeyPatch, **kinds: str) -> None:
    found = [SimpleNamespace(mountpoint=where, fstype=kind) for where, kind in kinds.items()]
    monkeypatch.setattr("psutil.disk_partitions", lambda **asked: found)


@pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "smb3", "9p", "fuse.sshfs", "NFS", "ceph"])
def test_sqlite_on_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounted(monkeypatch, **{"/": "ext4", str(tmp_path): kind})
    with pytest.raises(DatabaseProblem, match=r"network file system .*local disk.*PostgreSQL"):
        open_database(f"sqlite:///{tmp_path}/record/p.db")
    assert not (tmp_path / "record").exists()


def test_the_mount_nearest_to_the_file_decides_whichever_way_leads_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share")
    mounted(
        monkeypatch,
        **{"/": "9p", str(tmp_path / "share"): "nfs4", str(tmp_path / "disk"): "fuseblk"},
    )
    open_database(f"sqlite:///{tmp_path}/disk/p.db").dispose()
    with pytest.raises(DatabaseProblem, match="nfs4"):
        open_database(f"sqlite:///{tmp_path}/link/p.db")


def test_a_file_system_that_is_not_known_is_taken_for_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch)
    open_database(f"sqlite:///{tmp_path}/p.db").dispose()


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_a_value_and_never_sql(database: Database, hostile: str) -> None:
    name = hostile[:200]
    with database.sessions.begin() as session:
        experiment = new_experiment(session, name)
        arm = ensure_arm(session, experiment, name, 1)
        run = new_run(session, experiment)
        run.command = hostile
        stage = start_stage(session, name, stage="rate", algorithm_version="1", params={})
        stage.failure = hostile
        add_corpus_version(session, name, uri=hostile, shards=1, documents=1, tokens=1)
        row = {**documents(1)[0], "doc_id": hostile[:400], "source": name, "reason": hostile}
        record_changed_documents(session, ensure_generation(session, arm, 0), [row], stage=stage)
    with database.readers() as session:
        assert session.scalars(select(Experiment.name)).all() == [name]
        assert cast(Any, find_experiment(session, name)).arms[0].name == name
        assert cast(Any, find_stage(session, name)).failure == hostile
        assert cast(Any, find_corpus_version(session, name)).uri == hostile
        assert session.scalars(select(Verdict.reason)).all() == [hostile]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_id_that_is_not_there_is_said_in_short(database: Database, hostile: str) -> None:
    with database.sessions.begin() as session:
        new_experiment(session)
    with database.readers() as session:
        assert find_experiment(session, hostile) is None
        assert find_stage(session, hostile) is None
        assert find_corpus_version(session, hostile) is None
        with pytest.raises(UnknownId) as caught:
            require_experiment(session, hostile)
    assert len(str(caught.value)) < 500
    assert names(database) == ["microworld"]


def test_a_hostile_holder_of_a_lease_is_shown_and_not_run(database: Database) -> None:
    with database.sessions.begin() as session:
        taken = {"holder": HOSTILE[0], "host": HOSTILE[1], "pid": 1, "ttl_s": 60.0}
        acquire_leases(session, find(session), **taken)
    with pytest.raises(DatabaseProblem) as caught, hold_leases(database, find):
        pytest.fail("two hold the lease")
    assert HOSTILE[0] in str(caught.value)
    assert names(database) == ["microworld"]
