"""Engines set up for SQLite and PostgreSQL, and driver errors turned into problems with a remedy.

SQLite: WAL, a busy timeout, foreign keys on, and `BEGIN IMMEDIATE` for writers, so that two
writers queue at the door instead of failing when both hold a read lock and want to write.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError

from db.problems import DatabaseProblem

BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 5
READS_ONLY = "palimpsest_reads_only"

_SQLITE_REMEDIES = {
    "SQLITE_BUSY": "another process holds the write lock; find it, or run again later",
    "SQLITE_LOCKED": "another process holds the write lock; find it, or run again later",
    "SQLITE_READONLY": "make the file and its folder writable, or name another database URL",
    "SQLITE_CANTOPEN": "check that the folder exists and is writable, and that it is no directory",
    "SQLITE_NOTADB": "the file is not a SQLite database; name another one in the database URL",
    "SQLITE_CORRUPT": "the file is damaged; restore a backup",
    "SQLITE_FULL": "the disk is full; make room and run again, nothing recorded was lost",
    "SQLITE_IOERR": "the disk did not answer; keep SQLite on a local disk and run again",
}
_TRANSIENT_SQLITE = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR"}
_POSTGRES_REMEDIES = {
    "25006": "the server takes no writes; name the primary and not a standby in the database URL",
    "25P03": "this process was frozen in the midst of a write, which was undone; run again",
    "40001": "another process was faster; run again",
    "40P01": "two processes waited for each other; run again",
    "42501": "grant the user of the database URL what is missing, or name another user",
    "53100": "the server's disk is full; make room and run again, nothing recorded was lost",
    "55P03": "another process is in a write, or frozen in one; find it, or run again later",
}
_TRANSIENT_POSTGRES = {"25P03", "40001", "40P01", "53100", "55P03"}
# A server that refuses us does so again. Connecting gives no code, and the text may be translated:
# whoever is not recognised here is merely tried a few times more.
_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password")
# A write-ahead log is shared memory, which these do not share: the file would be damaged.
NETWORK_FILE_SYSTEMS = {
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "pvfs2", "smb", "smb2", "smb3", "smbfs", "webdav", "fuse.ceph",
    "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs",
    "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
}  # fmt: skip


def parse_url(url: str) -> URL:
    """Read a database URL, or say what a right one looks like."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        # The text is not shown: it may hold a password that could not be told apart.
        raise DatabaseProblem(
            "the database URL cannot be read; write sqlite:////absolute/path/palimpsest.db or "
            "postgresql://user:password@host:5432/name"
        ) from None
    if backend not in ("sqlite", "postgresql"):
        raise DatabaseProblem(
            f"database URL {shown(parsed)}: {backend} is not supported; use sqlite or postgresql"
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseProblem(
            f"database URL {shown(parsed)}: a record that lives in memory is lost with the process;"
            " name a file, e.g. sqlite:///palimpsest.db"
        )
    return parsed


def shown(url: URL) -> str:
    """The URL as it may be printed: without its password, wherever that stands."""
    query = {key: "***" if "pass" in key.lower() else value for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def make_engine(url: URL, *, foreign_keys: bool = True) -> Engine:
    """An engine with the settings of its database; migrations switch SQLite's foreign keys off."""
    if url.get_backend_name() == "sqlite":
        _refuse_network_file_system(url)
        _make_parent_folder(url)
        engine = create_engine(
            url, connect_args={"timeout": BUSY_TIMEOUT_S}, json_serializer=_to_json
        )
        _prepare_sqlite(engine, foreign_keys=foreign_keys)
    else:
        engine = create_engine(
            url,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
            pool_pre_ping=True,
            json_serializer=_to_json,
        )
    _explain_errors(engine)
    return engine


def _to_json(value: object) -> str:
    # NaN is no JSON: SQLite would keep it and PostgreSQL refuse it. Non-ASCII is escaped, so that a
    # lone surrogate from a broken file name can be stored as well.
    return json.dumps(value, allow_nan=False)


def _make_parent_folder(url: URL) -> None:
    if (url.database or "").startswith("file:"):
        return  # SQLite's own URI, as in sqlite:///file:/data/p.db?mode=ro&uri=true
    folder = Path(url.database or "").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseProblem(
            f"cannot make the folder {folder} for database {shown(url)}: {error.strerror}; "
            "make it by hand or name another database URL"
        ) from error


def _refuse_network_file_system(url: URL) -> None:
    if url.query.get("immutable") in ("1", "true"):
        return  # Nobody writes it, so nothing is shared.
    path = Path((url.database or "").removeprefix("file:"))
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise DatabaseProblem(
            f"database {shown(url)}: {path} lies on a network file system ({kind}), where SQLite "
            "damages its files; name a file on a local disk, or a PostgreSQL server: set "
            "PALIMPSEST_DATABASE or placement.database to postgresql://user:password@host/name"
        )


def file_system(path: Path) -> str:
    """Kind of the file system that holds a path, which need not exist yet; "" if unknown."""
    import psutil

    above = [str(each) for each in (path.resolve(), *path.resolve().parents)]
    # Of two mounted at one place the later one is seen.
    mounted = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    return next((mounted[each].lower() for each in above if each in mounted), "")


def _prepare_sqlite(engine: Engine, *, foreign_keys: bool) -> None:
    def on_connect(connection: Any, _record: object) -> None:
        # The driver would start transactions by itself, and only before some statements.
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
            cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
            # Asked first, because switching needs the write lock and the mode stays in the file.
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
        finally:
            cursor.close()

    def on_begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get(READS_ONLY, False)
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if reads_only else 'OFF'}")
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


def _explain_errors(engine: Engine) -> None:
    """Say what, where and how to mend it when the database, not a statement, is at fault."""

    def on_error(context: ExceptionContext) -> None:
        if context.is_pre_ping:
            return  # The pool found a connection dead, and makes a new one.
        # No connection: it failed to be made.
        lost = context.is_disconnect or context.connection is None
        problem = problem_of(context.original_exception, engine.url, disconnected=lost)
        if problem is not None:
            raise problem from context.original_exception

    event.listen(engine, "handle_error", on_error)


def problem_of(error: BaseException, url: URL, *, disconnected: bool) -> DatabaseProblem | None:
    """What a driver's error means to a person; none where a statement is at fault."""
    if isinstance(error, sqlite3.Error):
        # Extended names such as SQLITE_BUSY_SNAPSHOT begin with the plain one.
        name = str(getattr(error, "sqlite_errorname", ""))
        plain = "_".join(name.split("_")[:2])
        if plain not in _SQLITE_REMEDIES:
            return None
        return DatabaseProblem(
            f"database {shown(url)}: {error} ({name}); {_SQLITE_REMEDIES[plain]}",
            transient=plain in _TRANSIENT_SQLITE,
        )
    if isinstance(error, psycopg.Error) and error.sqlstate in _POSTGRES_REMEDIES:
        # The rest of the message may quote the row.
        said = f"{error.diag.message_primary} ({error.sqlstate})"
        return DatabaseProblem(
            f"database {shown(url)}: {said}; {_POSTGRES_REMEDIES[error.sqlstate]}",
            transient=error.sqlstate in _TRANSIENT_POSTGRES,
        )
    # Ctrl-C in the middle of a statement looks like a lost connection, and is none.
    if disconnected and isinstance(error, psycopg.Error):
        return _unreachable(url, error)
    return None


def _unreachable(url: URL, error: psycopg.Error) -> DatabaseProblem:
    """PostgreSQL did not let us in, or went away."""
    reason = without_password(str(error).strip(), url)
    return DatabaseProblem(
        f"database {shown(url)} cannot be reached: {reason}; check that the server is up and that "
        "host, port, name, user and password in the database URL are right",
        transient=isinstance(error, psycopg.OperationalError)
        and not any(refusal in reason for refusal in _REFUSALS),
    )


def without_password(text: str, url: URL) -> str:
    """The text with the URL's password blanked, should a driver ever repeat it."""
    passwords = [url.password, *(v for k, v in url.query.items() if "pass" in k.lower())]
    for password in passwords:
        if password:
            text = text.replace(str(password), "***")
    return text
