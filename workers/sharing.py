"""What one node wrote and another reads: a home that all nodes mount, or a store behind a URL.

With a URL (`placement.storage`) every node's home is a cache of the store, and the store is what
counts. Whole there is a folder whose manifest is there, since the manifest goes last, and a single
file beside which its digest is noted, since the note goes last. Without a URL the home itself must
be a folder that every node sees, and nothing is copied.
"""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock

from workers.problems import InputProblem
from workers.remote_files import RemoteFiles
from workers.storage import (
    MANIFEST,
    UNFINISHED,
    file_digest,
    read_json,
    whole_file,
    whole_folder,
)

NOTE = ".sha256"
# A connection that broke off gives other bytes too; a file that was altered gives them again.
DOWNLOADS = 2
REMAKE = "Remove it there and run the experiment again: it makes what is missing."


@dataclass(frozen=True, slots=True)
class SharedStore:
    """The files of one home, wherever they are; it travels with jobs to other nodes."""

    home: str = ""
    """The home folder, of the same path on every node."""
    url: str | None = None
    """An fsspec URL; None where every node sees the home itself."""

    def fetch_folder(self, folder: str | Path) -> Path:
        """Return a folder with a manifest, downloaded and verified where this node lacks it.

        Raises:
            InputProblem: neither this node nor the store has it, or the store's was altered.
            WorkProblem: the store cannot be read, or the disk is full.
        """
        folder = Path(folder)
        if self.url is None:
            if not folder.is_dir():
                raise _not_here(folder)
            return folder
        if _is_whole(folder):
            return folder
        with _one_at_a_time(folder):
            if not _is_whole(folder):
                self._fill(folder)
        return folder

    def fetch_file(self, path: str | Path, digest: str | None = None) -> Path:
        """Return a file, downloaded and verified where this node has none of the store's bytes.

        Args:
            path: in the home.
            digest: SHA-256 of the wanted bytes; without it, the one that the store notes.

        Raises:
            InputProblem: neither this node nor the store has it, or the store's was altered.
            WorkProblem: the store cannot be read, or the disk is full.
        """
        path = Path(path)
        if self.url is None:
            if not path.is_file():
                raise _not_here(path)
            return path
        wanted = digest or self._noted(path)
        if wanted is None:
            raise self._not_there(path)
        # A stage that was done again may have left other bytes than this node read before.
        if not (path.is_file() and file_digest(path) == wanted):
            with whole_file(path) as fresh:
                self._download(path, fresh, wanted)
        return path

    def fetch_files(self, folder: str | Path, names: Iterable[str]) -> Path:
        """Return a folder of single files, each as `fetch_file` gives it."""
        for name in names:
            self.fetch_file(Path(folder) / name)
        return Path(folder)

    def publish_folder(self, folder: str | Path) -> None:
        """Put a whole folder into the store, its manifest last; what is there is left alone.

        Raises:
            InputProblem: a file was altered after it was written.
            WorkProblem: the store cannot be written to.
        """
        if self.url is None:
            return
        folder = Path(folder)
        wanted, there = files_of(read_json(folder / MANIFEST)), self._manifest(folder)
        if there is not None and files_of(there) == wanted and wanted.keys() <= self._names(folder):
            return
        files, key = self._files(), self.key(folder)
        if there is not None:
            files.remove([f"{key}/{MANIFEST}"])
        for name, digest in wanted.items():
            if digest is not None and file_digest(folder / name) != digest:
                raise InputProblem(
                    f"{folder / name}: this file was altered after it was written; remove the "
                    "folder and run the experiment again to make it anew"
                )
            files.upload(folder / name, f"{key}/{name}")
        files.upload(folder / MANIFEST, f"{key}/{MANIFEST}")

    def publish_file(self, path: str | Path) -> None:
        """Put a single file into the store, the note of its digest last.

        Raises:
            WorkProblem: the store cannot be written to.
        """
        if self.url is None:
            return
        path = Path(path)
        digest, there = file_digest(path), self._noted(path)
        if digest == there:
            return
        files, key = self._files(), self.key(path)
        if there is not None:
            files.remove([key + NOTE])
        files.upload(path, key)
        # As `sha256sum --check` reads it.
        files.write(key + NOTE, f"{digest}  {path.name}\n".encode())

    def folder_stands(self, folder: str | Path) -> bool:
        """Whether every node can have a folder; what only this node has is published.

        Raises:
            WorkProblem: the store cannot be reached.
        """
        folder = Path(folder)
        if self.url is None:
            return _is_whole(folder)
        there = self._manifest(folder)
        if there is not None and files_of(there).keys() <= self._names(folder):
            return True
        if not _is_whole(folder):
            return False
        self.publish_folder(folder)
        return True

    def files_standing(
        self,
        folder: str | Path,
        names: Iterable[str],
        digests: Mapping[str, str] = MappingProxyType({}),
    ) -> set[str]:
        """Which single files of a folder every node can have; this node's own are published.

        Args:
            folder: in the home.
            names: of files in it.
            digests: SHA-256 of the bytes that are on record, by name, as far as they are: another
                attempt may have left others in the store.

        Raises:
            WorkProblem: the store cannot be reached.
        """
        folder, names = Path(folder), set(names)
        here = {name for name in names if (folder / name).is_file()}
        if self.url is None:
            return here
        held = self._names(folder)
        there = {
            name
            for name in names
            if {name, name + NOTE} <= held
            and (name not in digests or self._noted(folder / name) == digests[name])
        }
        for name in here - there:
            if name in digests and file_digest(folder / name) != digests[name]:
                here.discard(name)
                continue
            self.publish_file(folder / name)
        return there | here

    def fetch(self, path: str | Path) -> Path:
        """Bring here whatever stands in the store under a path; nothing where it has nothing.

        Raises:
            InputProblem: the store's bytes were altered.
            WorkProblem: the store cannot be read, or the disk is full.
        """
        path = Path(path)
        if self.url is None or _is_whole(path):
            return path
        held = self._names(path)
        if MANIFEST in held:
            return self.fetch_folder(path)
        if self._noted(path) is not None:
            return self.fetch_file(path)
        return self.fetch_files(path, sorted(n for n in held if n + NOTE in held))

    def remove(self, path: str | Path) -> None:
        """Take a file or folder out of the store; what says that it is whole goes first.

        Raises:
            WorkProblem: the store does not let it go.
        """
        if self.url is None:
            return
        files, key = self._files(), self.key(path)
        names = [*files.below(key), *files.below(key + NOTE)]
        files.remove([name for name in names if name.endswith((NOTE, f"/{MANIFEST}"))])
        files.remove_folder(key)

    def size(self, path: str | Path) -> int:
        """Bytes of a file, or of all files in a folder, of the store."""
        return self._files().size(self.key(path)) if self.url is not None else 0

    def probe(self) -> None:
        """Write, read and remove a small object, so that a run begins with a store that works.

        Raises:
            InputProblem: the URL, its protocol, the credentials or the bucket are of no use.
            WorkProblem: the store cannot be reached.
        """
        if self.url is None:
            return
        files, key = self._files(), f"{UNFINISHED}probe-{uuid.uuid4().hex[:8]}"
        files.probe(key)

    def key(self, path: str | Path) -> str:
        """What a path of the home is called in the store."""
        return Path(path).relative_to(self.home).as_posix()

    def _files(self) -> RemoteFiles:
        return RemoteFiles(self.url or "")

    def _names(self, folder: Path) -> set[str]:
        return self._files().names(self.key(folder))

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        found = self._files().read(f"{self.key(folder)}/{MANIFEST}")
        return None if found is None else self._parsed(folder, found)

    def _noted(self, path: Path) -> str | None:
        found = self._files().read(self.key(path) + NOTE)
        return None if found is None else found.decode("ascii", "replace").split(" ")[0]

    def _fill(self, folder: Path) -> None:
        """Download a folder, or what is missing of one of which single files were fetched."""
        found = self._files().read(f"{self.key(folder)}/{MANIFEST}")
        if found is None:
            raise self._not_there(folder)
        wanted = files_of(self._parsed(folder, found))
        if not folder.exists():
            with whole_folder(folder) as fresh:
                for name, digest in wanted.items():
                    self._download(folder / name, fresh / name, digest)
                (fresh / MANIFEST).write_bytes(found)
            return
        for name, digest in wanted.items():
            path = folder / name
            if not path.is_file() or (digest is not None and file_digest(path) != digest):
                with whole_file(path) as fresh:
                    self._download(path, fresh, digest)
        with whole_file(folder / MANIFEST) as fresh:
            fresh.write_bytes(found)

    def _download(self, path: Path, fresh: Path, digest: str | None) -> None:
        files, key = self._files(), self.key(path)
        for _ in range(DOWNLOADS):
            if not files.download(key, fresh):
                raise self._not_there(path)
            if digest is None or file_digest(fresh) == digest:
                return
        raise InputProblem(
            f"{files.shown(key)}: this file was altered after it was written. {REMAKE}"
        )

    def _parsed(self, folder: Path, manifest: bytes) -> dict[str, Any]:
        try:
            found = json.loads(manifest)
            files_of(found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            where = self._files().shown(f"{self.key(folder)}/{MANIFEST}")
            raise InputProblem(
                f"{where}: this manifest was altered after it was written. {REMAKE}"
            ) from error
        return found

    def _not_there(self, path: Path) -> InputProblem:
        return InputProblem(
            f"{self._files().shown(self.key(path))}: it is not in the store (placement.storage), "
            "or not whole. Run the experiment again: it makes what is missing."
        )


MOUNTED = SharedStore()
"""Every node sees every path."""


def files_of(manifest: dict[str, Any]) -> dict[str, str | None]:
    """Files beside a manifest, of a checkpoint, corpus or mix, with the digests that it gives."""
    if "files" in manifest:
        return dict(manifest["files"])
    # Mixes of earlier versions name their shards, and have one digest for the rows of all.
    shards = (each if isinstance(each, dict) else {"file": each} for each in manifest["shards"])
    return {str(each["file"]): each.get("digest") for each in shards}


def _is_whole(folder: Path) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        names = files_of(read_json(folder / MANIFEST))
    except (ValueError, KeyError, TypeError, AttributeError):
        return True  # Damaged here: who opens it says so.
    return all((folder / name).is_file() for name in names)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of a node download a folder and the others wait for it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / f"{UNFINISHED}fetch-{folder.name}.lock"
    with FileLock(lock):
        yield
        # One that waits for a lock that is gone downloads too, and its rename finds ours: no harm.
        with suppress(OSError):
            lock.unlink()


def _not_here(path: Path) -> InputProblem:
    return InputProblem(
        f"node {socket.gethostname()} has no {path}: placement.home must be a folder that every "
        "node sees. Mount it there, or set placement.storage to a store that all nodes reach, such "
        "as s3://bucket/prefix. If the file was removed, run the experiment again: it makes what "
        "is missing."
    )
