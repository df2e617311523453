"""A finished demo, recorded by the first schema's code, comes up to today's without loss, and back.

`old_records/` holds dumps of such records, paths replaced. A schema that is released gets one.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, select, text

from db import schema
from db.lineage import ancestors, document_history, status, why
from db.models import Derivation
from db.sessions import downgrade, open_database, upgrade

DUMP = Path(__file__).parent / "old_records" / "demo_0001_first_cut.sql.gz"
FIRST = "0001_first_cut"
# Leases start anew: nothing runs while the schema moves.
FORGOTTEN = {"leases", schema.VERSION_TABLE}


@pytest.fixture(scope="module")
def old_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("old") / "palimpsest.db"
    connection = sqlite3.connect(path)
    connection.executescript(gzip.decompress(DUMP.read_bytes()).decode())
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def old_record(request: pytest.FixtureRequest, old_sqlite: str, tmp_path: Path) -> str:
    """The URL of a record that still has the first schema."""
    if request.param == "sqlite":
        copy = tmp_path / "palimpsest.db"
        copy.write_bytes(Path(old_sqlite.removeprefix("sqlite:///")).read_bytes())
        return f"sqlite:///{copy}"
    make: Callable[[], str] = request.getfixturevalue("new_postgres")
    url = make()
    upgrade(url)
    downgrade(url, FIRST)
    _copy_rows(old_sqlite, url)
    return url


def _copy_rows(source: str, target: str) -> None:
    old, new = create_engine(source), create_engine(target)
    shapes = MetaData()
    shapes.reflect(new)
    with old.connect() as reading, new.begin() as writing:
        writing.exec_driver_sql("SET session_replication_role = replica")
        for name, rows in _rows(old).items():
            if rows and name != schema.VERSION_TABLE:
                writing.execute(shapes.tables[name].insert(), rows)
            if "id" in shapes.tables[name].c and rows:
                writing.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"
                )
        assert reading
    old.dispose()
    new.dispose()


def _rows(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for name, table in found.tables.items()
        }


def _content(url: str) -> dict[str, list[str]]:
    """Every row without the keys that a migration may give anew, in one order."""
    engine = create_engine(url)
    rows = _rows(engine)
    engine.dispose()
    keys = ("id", "corpus_version_id", "parent_id", "subject_key")
    return {
        name: sorted(repr({k: v for k, v in sorted(row.items()) if k not in keys}) for row in table)
        for name, table in rows.items()
        if name not in FORGOTTEN
    }


def test_the_finished_demo_comes_up_with_every_answer(old_record: str) -> None:
    engine = create_engine(old_record)
    before = _rows(engine)
    engine.dispose()
    assert upgrade(old_record).kind == "current"
    database = open_database(old_record)
    with database.readers() as session:
        [standing] = status(session)
        generations = [row for arm in standing["arms"] for row in arm["generations"]]
        assert len(generations) == len(before["generations"]) == 8
        assert {row["checkpoint"] for row in generations} <= {
            row["digest"] for row in before["checkpoints"]
        }
        assert sum(row["revise"] or 0 for row in generations) == sum(
            row["revise"] or 0 for row in before["generations"]
        )
        for old in before["changed_documents"][::50]:
            history = {row["generation"]: row for row in document_history(session, old["doc_id"])}
            indexes = {row["id"]: row["generation_index"] for row in before["generations"]}
            new = history[indexes[old["generation_id"]]]
            assert {name: new[name] for name in new if name in old} == {
                name: old[name] for name in old if name in new
            }
        last = generations[-1]
        assert {row["relation"] for row in ancestors(session, last["checkpoint"])} == {
            "parent",
            "trained_on",
            "derived_from",
            "read_by",
        }
        accepted = select(Derivation.artifact_id).where(Derivation.relation == "accepted_by")
        assert len(session.scalars(accepted).all()) == 2
        reason = why(session, last["checkpoint"])
        assert [corpus["id"] for corpus in reason["data"]] == [last["corpus"]]
        assert reason["command"] == "palimpsest run configs/microworld.yaml"
    database.dispose()


def test_up_and_down_again_leaves_every_row_as_it_was(old_record: str) -> None:
    before = _content(old_record)
    upgrade(old_record)
    downgrade(old_record, FIRST)
    after = _content(old_record)
    assert {name: len(rows) for name, rows in after.items()} == {
        name: len(rows) for name, rows in before.items()
    }
    assert after == before


def test_up_and_down_and_up_ends_where_up_did(old_record: str) -> None:
    upgrade(old_record)
    once = _asked(old_record)
    downgrade(old_record, FIRST)
    upgrade(old_record)
    assert _asked(old_record) == once


def _asked(url: str) -> list[list[str]]:
    """What the views say: they name things by their stable ids."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [
            sorted(map(repr, connection.execute(text(f"SELECT * FROM {view}")).all()))
            for view in ("lineage_show", "lineage_ancestors", "lineage_document", "lineage_why")
        ]
    engine.dispose()
    return found
