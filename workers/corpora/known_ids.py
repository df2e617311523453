"""Ids that an import has seen, on disk: memory does not grow with the corpus."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import uuid
from pathlib import Path

from workers.storage import UNFINISHED, explain_full_disk


class KnownIds:
    """Ids seen so far, with the places where they were found.

    Use it as a context manager. Its table lies in an unfinished folder of `home/corpora`, so that
    what a killed import leaves there is swept up with the rest.
    """

    def __init__(self, home: Path) -> None:
        """`home` gets the table while the import runs."""
        self.size = 0
        self._folder = home.resolve() / "corpora" / f"{UNFINISHED}ids-{uuid.uuid4().hex[:8]}"
        self._ids: sqlite3.Connection | None = None

    def __enter__(self) -> KnownIds:
        """Make the table."""
        with explain_full_disk(self._folder):
            self._folder.mkdir(parents=True)
        # The table is this import's own and is thrown away whatever happens: it needs neither
        # locks, which network filesystems break, nor safety.
        place = (self._folder / "ids.sqlite").as_uri() + "?nolock=1"
        self._ids = sqlite3.connect(place, isolation_level=None, uri=True)
        self._ids.execute("PRAGMA journal_mode = OFF")
        self._ids.execute("PRAGMA synchronous = OFF")
        self._ids.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
        self._ids.execute("BEGIN")
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the table."""
        if self._ids is not None:
            self._ids.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, doc_id: str, where: str) -> str | None:
        """Note an id; the place of an equal one that came before, or None.

        Raises:
            WorkProblem: the disk is full.
        """
        if self._ids is None:
            raise RuntimeError("KnownIds is a context manager: use it in a `with` statement")
        self.size += 1
        with explain_full_disk(self._folder):
            try:
                added = self._ids.execute(
                    "INSERT OR IGNORE INTO ids VALUES (?, ?)", (doc_id, where)
                )
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if added.rowcount:
            return None
        found = self._ids.execute("SELECT place FROM ids WHERE id = ?", (doc_id,)).fetchone()
        return str(found[0])
