"""Checks, backups and the record against itself, on both databases."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from db_demo import digest, documents, new_experiment
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from db import backups
from db.backups import back_up
from db.lineage.consistency import Inconsistency, inconsistencies
from db.models import Arm, ChangedDocument, Derivation, Experiment, Generation, Shard, Stage
from db.problems import DatabaseProblem, LeaseHeld
from db.records import (
    acquire_leases,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_stage,
    promote,
    record_changed_documents,
    record_shard,
    set_generation,
    start_stage,
)
from db.sessions import Database, downgrade, open_database, upgrade
from db.upkeep import Check, check_database
from flows.cli_database import database as db_commands
from flows.housekeeping import collect, removable
from flows.verifying import verify

NONE = {"revise": 0, "drop": 0, "tag": 0, "quarantine": 0}


def record_sound(session: Session) -> Arm:
    """Two generations of ten documents: two were revised, and a stage rated them shard by shard."""
    experiment = new_experiment(session)
    arm = ensure_arm(session, experiment, "revise", 1)
    corpora = [
        add_corpus_version(session, digest(f"c{n}"), uri=f"/h/c{n}", shards=2, documents=10)
        for n in (0, 1)
    ]
    models = [add_checkpoint(session, digest(f"m{n}"), uri=f"/h/m{n}") for n in (0, 1)]
    derive(session, corpora[1], "derived_from", corpora[0])
    derive(session, models[1], "trained_on", corpora[1])
    derive(session, models[1], "parent", models[0])
    inputs = {"inputs": {"corpus": corpora[0].digest}}
    stage = start_stage(session, digest("r"), stage="rate", algorithm_version="1", params=inputs)
    for index in (0, 1):
        name = digest(f"s{index}")
        record_shard(session, stage, index, uri=f"/h/s{index}", digest=name, documents=5)
    from hashlib import sha256

    joined = sha256(f"{digest('s0')}\n{digest('s1')}".encode()).hexdigest()
    finish_stage(session, stage, output_digest=joined, output_uri="/h", meta={"shards": 2})
    train = start_stage(session, digest("t"), stage="train", algorithm_version="1", params={})
    finish_stage(session, train, output_digest=models[1].digest, output_uri=models[1].uri)
    for index, (corpus, model) in enumerate(zip(corpora, models, strict=True)):
        row = ensure_generation(session, arm, index)
        if index:
            refused = documents(3)[2] | {"action": "keep", "reason": "no gain"}
            record_changed_documents(session, row, [*documents(2), refused])
        set_generation(
            session,
            row,
            status="finished",
            corpus_version_id=corpus.id,
            checkpoint_id=model.id,
            documents_in=10,
            keep=8 if index else 10,
            **NONE | {"revise": 2 if index else 0},
        )
    promote(session, arm, row)
    return arm


@pytest.fixture
def arm(session: Session) -> Arm:
    made = record_sound(session)
    session.flush()
    return made


def last(session: Session) -> Generation:
    return session.scalars(select(Generation).where(Generation.generation_index == 1)).one()


def test_a_sound_record_agrees_with_itself(session: Session, arm: Arm) -> None:
    assert list(inconsistencies(session)) == []


def forget_rows(session: Session) -> None:
    session.execute(text("DELETE FROM changed_documents WHERE document_id = 1"))


def forget_edge(session: Session, relation: str) -> None:
    edge = session.scalars(select(Derivation).where(Derivation.relation == relation)).one()
    session.delete(edge)


def lose_checkpoint(session: Session) -> None:
    set_generation(session, last(session), checkpoint_id=None)


def lose_corpus(session: Session) -> None:
    set_generation(session, last(session), corpus_version_id=None)


def another_shard(session: Session) -> None:
    shard = session.scalars(select(Shard).where(Shard.shard_index == 1)).one()
    shard.digest = digest("another")


def lose_shard(session: Session) -> None:
    session.delete(session.scalars(select(Shard).where(Shard.shard_index == 1)).one())


def smaller_shard(session: Session) -> None:
    session.scalars(select(Shard).where(Shard.shard_index == 1)).one().documents = 4


def nothing_generated(session: Session) -> None:
    session.execute(text("DELETE FROM generated"))


def other_corpus_size(session: Session) -> None:
    session.execute(text("UPDATE artifacts SET documents = 9 WHERE uri = '/h/c1'"))


def more_went_in(session: Session) -> None:
    set_generation(session, last(session), documents_in=11, keep=9)


def gap(session: Session) -> None:
    last(session).generation_index = 2


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (forget_rows, "2 documents are counted as revise, and 1 are on record"),
        (lambda session: forget_edge(session, "trained_on"), "trained on its corpus"),
        (lambda session: forget_edge(session, "derived_from"), "derived from the corpus before"),
        (lambda session: forget_edge(session, "parent"), "to a parent"),
        (lose_checkpoint, "finished and has no checkpoint"),
        (lose_checkpoint, "points at generation 1, which has no checkpoint"),
        (lose_corpus, "finished and has no corpus"),
        (another_shard, "do not give the digest of its output"),
        (lose_shard, "left 2 shards, and 1 are on record"),
        (smaller_shard, "hold 9 documents, and the corpus that it read 10"),
        (nothing_generated, "no edge leads to the artifact"),
        (other_corpus_size, "10 documents were left, and its corpus holds 9"),
        (more_went_in, "11 documents went in, and the corpus before it holds 10"),
        (gap, "the generation before it is not on record"),
    ],
)
def test_what_does_not_agree_is_found(
    session: Session, arm: Arm, harm: Callable[[Session], None], said: str
) -> None:
    harm(session)
    session.flush()
    found = [each.problem for each in inconsistencies(session)]
    assert any(said in problem for problem in found), found


def test_counts_that_do_not_add_up_are_found_where_no_constraint_refused_them(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    path = tmp_path / "copy.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    opened = open_database(f"sqlite:///{path}")
    with opened.sessions.begin() as session:
        record_sound(session)
    with sqlite3.connect(path) as other_hand:
        other_hand.execute("PRAGMA ignore_check_constraints = ON")
        other_hand.execute("UPDATE generations SET keep = 7 WHERE generation_index = 1")
    other_hand.close()
    with opened.readers() as session:
        found = list(inconsistencies(session))
    opened.dispose()
    assert found[0] == Inconsistency(
        "generation microworld:revise:1:1",
        "10 documents went in, and the actions do not add up to it: "
        "7 keep, 2 revise, 0 drop, 0 tag, 0 quarantine",
    )


def test_an_unfinished_generation_is_not_yet_held_to_it(session: Session, arm: Arm) -> None:
    ensure_generation(session, arm, 2)
    session.flush()
    assert list(inconsistencies(session)) == []


def password_url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


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


def test_rows_that_point_at_nothing_are_found(sqlite_url: str) -> None:
    other_hand = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    other_hand.execute("DELETE FROM experiments")
    other_hand.commit()
    other_hand.close()
    found = troubles(sqlite_url)
    assert "a row of arms points at no row of experiments" in {check.found for check in found}


def damage(sqlite_url: str) -> Path:
    """Overwrite the page of a table in the middle of the file."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    other_hand = sqlite3.connect(path)
    other_hand.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    [(page,)] = other_hand.execute("SELECT rootpage FROM sqlite_master WHERE name = 'arms'")
    [(size,)] = other_hand.execute("PRAGMA page_size")
    other_hand.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    return path


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
