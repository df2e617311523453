"""Files behind an fsspec URL, and what its errors mean to whoever set `placement.storage`."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from workers.problems import InputProblem, StoreAway, WorkProblem

FIELD = "placement.storage (or PALIMPSEST_STORAGE)"
# Where a folder is no more than a prefix of names; to "make" one could make a bucket.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"})
# Listings that are kept would hide what other nodes write.
_OPTIONS: dict[str, Any] = {"use_listings_cache": False}
# At most four parts of 50 MB of a large file are in memory at once.
_S3_OPTIONS: dict[str, Any] = {"max_concurrency": 4}
# Errors of the clients behind fsspec that are no OSError, where these were imported.
_CLIENT_ERRORS = {
    "aiohttp": "ClientError",
    "asyncio": "TimeoutError",
    "azure.core.exceptions": "AzureError",
    "botocore.exceptions": "BotoCoreError",
    "gcsfs.retry": "HttpError",
    "google.auth.exceptions": "GoogleAuthError",
}


def checked_url(url: str) -> str:
    """A storage URL without a trailing slash.

    Raises:
        InputProblem: it is none, or it holds a secret.
    """
    protocol, separator, rest = url.partition("://")
    if not separator or not protocol or not rest.strip("/") or "::" in url:
        raise InputProblem(
            f"{FIELD}: give one URL with a place in it, such as s3://bucket/prefix. A folder that "
            "all nodes mount is placement.home."
        )
    place = rest.partition("/")[0]
    try:
        secret = urlsplit(url).password is not None
    except ValueError:
        secret = "@" in place
    # Not shown: what is wrong with it is a secret.
    if secret or (protocol.startswith("s3") and "@" in place) or "?" in rest:
        raise InputProblem(
            f"{FIELD}: the {protocol}:// URL holds credentials, which would end in records and "
            "logs. Leave them out, and give them to each node in its environment (for S3: "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a server of your own, "
            "AWS_ENDPOINT_URL) or in the client's own files."
        )
    return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """Files below a URL, by their names there; whole files are streamed, never held in memory."""

    url: str

    def read(self, name: str) -> bytes | None:
        """Bytes of a small file; None where there is none."""
        with self._explained():
            system, root = self._system()
            with suppress(FileNotFoundError):
                return system.cat_file(f"{root}/{name}")
        return None

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._explained():
            system, root = self._system()
            self._make_room(system, f"{root}/{name}")
            system.pipe_file(f"{root}/{name}", content)

    def upload(self, path: Path, name: str) -> None:
        """Copy a file of this node there."""
        with self._explained(), _of_this_node(path):
            system, root = self._system()
            self._make_room(system, f"{root}/{name}")
            system.put_file(str(path), f"{root}/{name}")

    def download(self, name: str, path: Path) -> bool:
        """Copy a file from there; False where there is none.

        Raises:
            OSError: this node's disk is full.
        """
        with self._explained(full_disk=True), _of_this_node(path):
            system, root = self._system()
            with suppress(FileNotFoundError):
                system.get_file(f"{root}/{name}", str(path))
                return True
        return False

    def names(self, folder: str) -> set[str]:
        """Names of what is in a folder; none where there is no such folder."""
        with self._explained():
            system, root = self._system()
            with suppress(FileNotFoundError, NotADirectoryError):
                found = system.ls(f"{root}/{folder}", detail=False)
                return {str(each).rstrip("/").rpartition("/")[2] for each in found}
        return set()

    def below(self, folder: str) -> list[str]:
        """Names of all files below a folder; some servers keep folders that have none."""
        with self._explained():
            system, root = self._system()
            with suppress(FileNotFoundError):
                found = system.find(f"{root}/{folder}", detail=True)
                return [name[len(root) + 1 :] for name in found if found[name]["type"] == "file"]
        return []

    def size(self, folder: str) -> int:
        """Bytes of a file, or of all files below a folder."""
        with self._explained():
            system, root = self._system()
            with suppress(FileNotFoundError):
                return int(system.du(f"{root}/{folder}"))
        return 0

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, of which many go at once."""
        if not names:
            return
        with self._explained():
            system, root = self._system()
            with suppress(FileNotFoundError):
                system.rm([f"{root}/{name}" for name in names])

    def remove_folder(self, folder: str) -> None:
        """Remove a folder, or a file, with all that is in it."""
        with self._explained():
            system, root = self._system()
            with suppress(FileNotFoundError):
                system.rm(f"{root}/{folder}", recursive=True)

    def probe(self, name: str) -> None:
        """Write, read and remove a small file.

        Raises:
            InputProblem: the protocol, the credentials or the bucket are of no use.
            WorkProblem: the store cannot be reached, or does not give back what was written.
        """
        content = name.encode()
        self.write(name, content)
        if self.read(name) != content:
            raise WorkProblem(
                f"{FIELD}: {self.url} does not give back what was just written to it. A store that "
                "is consistent only after a while cannot be used."
            )
        self.remove([name])

    def shown(self, name: str) -> str:
        """Where a file is, for a message."""
        return f"{self.url}/{name}"

    def _system(self) -> tuple[Any, str]:
        import fsspec

        protocol = self.url.partition("://")[0]
        options = _OPTIONS | (_S3_OPTIONS if protocol in ("s3", "s3a") else {})
        try:
            system, root = fsspec.url_to_fs(self.url, **options)
        except (ImportError, ValueError) as error:
            raise _unknown(protocol, error) from error
        return system, root.rstrip("/")

    @staticmethod
    def _make_room(system: Any, path: str) -> None:
        protocols = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
        if not _OBJECT_STORES.intersection(protocols):
            system.makedirs(path.rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _explained(self, *, full_disk: bool = False) -> Iterator[None]:
        """Tell what an error of the store means, and what to do about it.

        Args:
            full_disk: whether a full disk is this node's, and not the store's.
        """
        try:
            yield
        except (InputProblem, WorkProblem):
            raise
        except _errors() as error:
            if full_disk and getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _explanation(self.url, error) from error


@contextmanager
def _of_this_node(path: Path) -> Iterator[None]:
    """Tell a file of this node that must not be read or written from one of the store."""
    try:
        yield
    except PermissionError as error:
        if error.filename is None or Path(error.filename) not in (path, path.parent):
            raise
        raise InputProblem(
            f"{path}: this node's user may not read or write it ({error.strerror}). Mend the "
            "rights of placement.home there, then run the same command again."
        ) from error


def _errors() -> tuple[type[Exception], ...]:
    """What clients raise; asked only when something was raised, so that nothing is imported."""
    known = ((sys.modules.get(module), name) for module, name in _CLIENT_ERRORS.items())
    return (OSError, *(getattr(module, name) for module, name in known if hasattr(module, name)))


def _unknown(protocol: str, error: Exception) -> InputProblem:
    if isinstance(error, ImportError):
        return InputProblem(
            f"{FIELD}: {protocol}:// needs a package that is not installed here: {_said(error)}. "
            "Install it on every node."
        )
    return InputProblem(
        f"{FIELD}: no file system is known by the protocol {protocol}://. Use one that fsspec "
        "knows, such as s3://, gs:// or abfs://, or mount the folder and name it in placement.home."
    )


def _explanation(url: str, error: Exception) -> InputProblem | WorkProblem:
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"):
        return InputProblem(
            f"{FIELD}: there are no credentials for {url} on this node ({_said(error)}). For S3, "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment of every node (of "
            "`ray start` there), or AWS_PROFILE."
        )
    if isinstance(error, PermissionError):
        return InputProblem(
            f"{FIELD}: {url} refuses the credentials of this node ({_said(error)}). They must be "
            "right, and allow to list, read, write and delete there, on every node."
        )
    if isinstance(error, FileNotFoundError):
        return InputProblem(
            f"{FIELD}: {url} is not there ({_said(error)}). Make the bucket, or mend the URL."
        )
    return StoreAway(
        f"{FIELD}: {url} cannot be used now ({kind}: {_said(error)}). Check that its server runs "
        "and that this node reaches it (for S3: AWS_ENDPOINT_URL, AWS_REGION). What was finished "
        "is kept: run the same command again."
    )


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ")[:200] if lines else type(error).__name__
