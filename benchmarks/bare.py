"""The same jobs by hand-written SQL on the bare driver: sqlite3 and psycopg.

What `db` is measured against. Each function returns what its namesake in `db.lineage` returns, and
the ingest leaves the same rows; nothing is checked on the way and no error is explained.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import psycopg

ROWS_A_CHUNK = 10_000


class Bare:
    """A connection of a driver, with `?` for a parameter on both."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self._driver: Any = sqlite3.connect(
                url.removeprefix("sqlite:///"), isolation_level=None
            )
            self._driver.execute("PRAGMA foreign_keys = ON")
        else:
            self._driver = psycopg.connect(url, autocommit=True)
        self.cursor: Any = self._driver.cursor()

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and give all its rows."""
        found = self._driver.execute(self.spelt(sql), values)
        return found.fetchall() if found.description else []

    def spelt(self, sql: str) -> str:
        """The statement in the driver's own spelling."""
        return sql if self.is_sqlite else sql.replace("?", "%s")

    def close(self) -> None:
        """Close the connection."""
        self._driver.close()


# Ingest.


def ingest(bare: Bare, generation: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a generation's rows in one transaction."""
    bare.read("BEGIN")
    verdicts: dict[tuple[str, str, str], int] = {}
    sources: dict[str, int] = {}
    stream = iter(rows)
    while chunk := list(islice(stream, ROWS_A_CHUNK)):
        keys = _document_keys(bare, chunk, sources)
        made = [
            (
                generation,
                keys[row["doc_id"]],
                _verdict(bare, verdicts, generation, row),
                bytes.fromhex(row["before_sha256"]),
                bytes.fromhex(row["after_sha256"]),
                row["score_before"],
                row["score_after"],
                row["acceptance_score"],
                row["edit_distance"],
            )
            for row in chunk
        ]
        _write(bare, made)
    bare.read("COMMIT")


def _document_keys(
    bare: Bare, chunk: Sequence[Mapping[str, Any]], sources: dict[str, int]
) -> dict[str, int]:
    keys = _find(bare, [row["doc_id"] for row in chunk])
    new = [
        (row["doc_id"], _source(bare, sources, row["source"]))
        for row in chunk
        if row["doc_id"] not in keys
    ]
    if new and bare.is_sqlite:
        bare.cursor.executemany("INSERT INTO documents (doc_id, source_id) VALUES (?, ?)", new)
        keys |= _find(bare, [doc_id for doc_id, _ in new])
    elif new:
        made = (
            "INSERT INTO documents (doc_id, source_id) SELECT * FROM unnest(?::text[], ?::bigint[])"
            " RETURNING doc_id, id"
        )
        keys |= dict(bare.read(made, [each for each, _ in new], [each for _, each in new]))
    return keys


def _find(bare: Bare, names: list[str]) -> dict[str, int]:
    if bare.is_sqlite:
        sql = (
            "SELECT d.doc_id, d.id FROM json_each(?) j CROSS JOIN documents d ON d.doc_id = j.value"
        )
        return dict(bare.read(sql, json.dumps(names)))
    return dict(bare.read("SELECT doc_id, id FROM documents WHERE doc_id = ANY(?)", names))


def _source(bare: Bare, sources: dict[str, int], name: str) -> int:
    if name not in sources:
        bare.read("INSERT INTO sources (name) VALUES (?) ON CONFLICT DO NOTHING", name)
        [(sources[name],)] = bare.read("SELECT id FROM sources WHERE name = ?", name)
    return sources[name]


def _verdict(
    bare: Bare,
    verdicts: dict[tuple[str, str, str], int],
    generation: int,
    row: Mapping[str, Any],
) -> int:
    said = (row["action"], row["principle"], row["reason"])
    if said not in verdicts:
        sql = (
            "INSERT INTO verdicts (generation_id, action, principle, reason) VALUES (?, ?, ?, ?)"
            " RETURNING id"
        )
        [(verdicts[said],)] = bare.read(sql, generation, *said)
    return verdicts[said]


def _write(bare: Bare, rows: Sequence[tuple[Any, ...]]) -> None:
    if bare.is_sqlite:
        bare.cursor.executemany(
            "INSERT INTO changed_documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        return
    with bare.cursor.copy("COPY changed_documents FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int8"] * 3 + ["bytea"] * 2 + ["float8"] * 4)
        for row in rows:
            copy.write_row(row)
