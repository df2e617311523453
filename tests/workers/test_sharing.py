"""What one node publishes another fetches: on a folder's URL and on a real S3 server."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import ObjectStore, forget_clients
from ray.exceptions import RayTaskError

from workers import losses
from workers.corpora.store import CorpusRef, CorpusWriter, open_corpus, verify_corpus
from workers.problems import InputProblem, StoreAway, WorkProblem
from workers.records import Document, text_digest
from workers.remote_files import RemoteFiles
from workers.sharing import MOUNTED, NOTE, SharedStore
from workers.storage import MANIFEST, UNFINISHED


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SharedStore]:
    home = tmp_path / "node" / "home"
    home.mkdir(parents=True)
    if request.param == "folder":
        yield SharedStore(str(home), f"file://{tmp_path}/bucket")
        return
    server: ObjectStore = request.getfixturevalue("object_store")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    yield SharedStore(str(home), f"{server.url}/{tmp_path.name}")
    forget_clients()


def fresh_node(store: SharedStore) -> SharedStore:
    """The same path on a machine that has nothing there yet."""
    shutil.rmtree(store.home)
    Path(store.home).mkdir()
    return store


def make_corpus(store: SharedStore, *texts: str) -> CorpusRef:
    with CorpusWriter(Path(store.home), shard_documents=2) as writer:
        for number, text in enumerate(texts):
            writer.add(Document(str(number), text, text_digest(text), "test", "train"))
        return writer.finish()


def remote(store: SharedStore, path: str | Path) -> str:
    return f"{store.url}/{store.key(path)}".removeprefix("s3://").removeprefix("file://")


def files_of(store: SharedStore):
    import fsspec

    return fsspec.url_to_fs(store.url, use_listings_cache=False)[0]


def test_a_folder_that_was_published_is_fetched_whole_and_verified(store: SharedStore) -> None:
    made = make_corpus(store, "one", "two", "three")
    assert not store.url or not files_of(store).exists(remote(store, made.uri))
    store.publish_folder(made.uri)
    fresh_node(store).fetch_folder(made.uri)
    found = open_corpus(made.uri)
    assert found == made
    verify_corpus(found)
    assert list(Path(made.uri).parent.glob(f"{UNFINISHED}*")) == []


def test_what_is_there_is_neither_published_nor_fetched_again(
    store: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_corpus(store, "one", "two", "three")
    store.publish_folder(made.uri)

    def refuse(*_: object) -> None:
        raise AssertionError("a file was copied that was there")

    monkeypatch.setattr("workers.remote_files.RemoteFiles.upload", refuse)
    monkeypatch.setattr("workers.remote_files.RemoteFiles.download", refuse)
    store.publish_folder(made.uri)
    store.fetch_folder(made.uri)


def test_a_shard_alone_is_fetched_by_its_digest_and_the_rest_later(store: SharedStore) -> None:
    made = make_corpus(store, "one", "two", "three")
    store.publish_folder(made.uri)
    fresh_node(store)
    store.fetch_file(made.shard_path(1), made.shards[1].digest)
    assert [path.name for path in Path(made.uri).iterdir()] == [made.shards[1].file]
    store.fetch_folder(made.uri)
    verify_corpus(open_corpus(made.uri))


def test_a_single_file_counts_when_its_digest_is_noted(store: SharedStore) -> None:
    path = Path(store.home) / "stages" / "r" / "shard-00000.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first")
    store.publish_file(path)
    note = files_of(store).cat_file(remote(store, path) + NOTE).decode()
    assert note == f"{text_digest('first')}  {path.name}\n"
    fresh_node(store)
    assert store.fetch_file(path).read_bytes() == b"first"
    files_of(store).rm(remote(store, path) + NOTE)
    path.unlink()
    with pytest.raises(InputProblem, match=r"not in the store .*, or not whole"):
        store.fetch_file(path)


def test_a_shard_that_was_done_again_replaces_what_a_node_read_before(store: SharedStore) -> None:
    path = Path(store.home) / "stages" / "r" / "shard-00000.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first")
    store.publish_file(path)
    path.write_bytes(b"second")
    store.publish_file(path)
    path.write_bytes(b"first")  # Another node's, of before.
    assert store.fetch_file(path).read_bytes() == b"second"


def test_what_stands_here_alone_is_published(store: SharedStore) -> None:
    """A home that was worked in without a store moves to it as a run goes on."""
    made = make_corpus(store, "one", "two", "three")
    assert store.folder_stands(made.uri)
    folder = Path(store.home) / "stages" / "r"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"a")
    assert store.files_standing(folder, ["a", "b"]) == {"a"}
    fresh_node(store)
    assert store.folder_stands(made.uri)
    assert store.files_standing(folder, ["a", "b"]) == {"a"}
    assert not store.folder_stands(Path(store.home) / "corpora" / "none")


def test_a_file_of_other_bytes_than_are_on_record_does_not_stand(store: SharedStore) -> None:
    path = Path(store.home) / "stages" / "r" / "a"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    store.publish_file(path)
    wanted = {"a": text_digest("a")}
    assert store.files_standing(path.parent, wanted, wanted) == set()
    path.write_bytes(b"a")
    assert store.files_standing(path.parent, wanted, wanted) == {"a"}
    fresh_node(store)
    assert store.files_standing(path.parent, wanted, wanted) == {"a"}


def test_a_fault_of_this_node_is_not_told_as_the_store_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is explained where it is known what was written; a store's own is the store's."""
    from fsspec.implementations.local import LocalFileSystem

    home = tmp_path / "home"
    store = SharedStore(str(home), f"file://{tmp_path}/bucket")
    path = home / "stages" / "r" / "a"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a")
    store.publish_file(path)
    fresh_node(store)

    def fail(number: int, name: object = None) -> None:
        def raising(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number), name)

        for each in ("get_file", "put_file"):
            monkeypatch.setattr(LocalFileSystem, each, raising)

    files = RemoteFiles(str(store.url))
    fail(errno.ENOSPC)
    with pytest.raises(WorkProblem, match=r"stages/r/a: no space is left") as full:
        store.fetch_file(path)
    with pytest.raises(StoreAway):
        files.upload(path, "stages/r/a")
    assert not isinstance(full.value, StoreAway)
    fail(errno.EACCES, str(path))
    for move in (lambda: files.upload(path, "a"), lambda: files.download("a", path)):
        with pytest.raises(InputProblem, match=r"stages/r/a: this node's user may not"):
            move()
    fail(errno.EACCES, "bucket/a")
    with pytest.raises(InputProblem, match="refuses the credentials"):
        files.download("a", path)


def test_a_store_that_is_away_is_no_end_while_work_is_tried_again() -> None:
    away, full = (
        RayTaskError("work", "", cause) for cause in (StoreAway("away"), WorkProblem("full"))
    )
    losses.raise_ours(away, again=True)
    with pytest.raises(StoreAway):
        losses.raise_ours(away)
    with pytest.raises(WorkProblem, match="full"):
        losses.raise_ours(full, again=True)


def test_a_folder_that_lost_a_file_there_does_not_stand(store: SharedStore) -> None:
    made = make_corpus(store, "one", "two", "three")
    store.publish_folder(made.uri)
    files_of(store).rm(remote(store, made.shard_path(0)))
    fresh_node(store)
    assert not store.folder_stands(made.uri)
    with pytest.raises(InputProblem, match=r"not in the store"):
        store.fetch_folder(made.uri)
    assert not Path(made.uri).exists()


@pytest.mark.parametrize("altered", ["shard", "manifest"])
def test_an_altered_file_is_refused(store: SharedStore, altered: str) -> None:
    made = make_corpus(store, "one", "two", "three")
    store.publish_folder(made.uri)
    path = made.shard_path(1) if altered == "shard" else Path(made.uri) / MANIFEST
    files_of(store).pipe_file(remote(store, path), b"something else")
    fresh_node(store)
    with pytest.raises(InputProblem, match=rf"{path.name}: this (file|manifest) was altered"):
        store.fetch_folder(made.uri)
    assert list(Path(store.home).rglob("*.parquet")) == []


def test_a_file_that_was_altered_here_is_not_published(store: SharedStore) -> None:
    made = make_corpus(store, "one", "two", "three")
    made.shard_path(1).write_bytes(b"something else")
    with pytest.raises(InputProblem, match="was altered"):
        store.publish_folder(made.uri)
    fresh_node(store)
    assert not store.folder_stands(made.uri)


def test_what_is_removed_is_gone_with_everything_in_it(store: SharedStore) -> None:
    made, other = make_corpus(store, "one", "two", "three"), make_corpus(store, "four")
    path = Path(store.home) / "stages" / "r" / "shard-00000.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first")
    store.publish_file(path)
    for each in (made, other):
        store.publish_folder(each.uri)
    store.remove(made.uri)
    store.remove(path.parent)
    store.remove(path.parent)  # Twice is once.
    fresh_node(store)
    assert not store.folder_stands(made.uri)
    assert store.files_standing(path.parent, [path.name]) == set()
    assert store.folder_stands(other.uri)


def _fetch(store: SharedStore, uri: str) -> None:
    store.fetch_folder(uri)
    verify_corpus(open_corpus(uri))


def test_processes_of_one_node_fetch_the_same_folder_at_once(store: SharedStore) -> None:
    made = make_corpus(store, *map(str, range(40)))
    store.publish_folder(made.uri)
    fresh_node(store)
    workers = multiprocessing.get_context("spawn")
    started = [workers.Process(target=_fetch, args=(store, made.uri)) for _ in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join(120)
    assert [each.exitcode for each in started] == [0, 0, 0, 0]
    assert list(Path(made.uri).parent.glob(f"{UNFINISHED}*")) == []


KILLED = """
    import os, signal, sys
    from workers.remote_files import RemoteFiles
    from workers.sharing import SharedStore

    store, uri, left = SharedStore(sys.argv[1], sys.argv[2]), sys.argv[3], [int(sys.argv[4])]
    upload = RemoteFiles.upload

    def dying(self, path, name):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        upload(self, path, name)

    RemoteFiles.upload = dying
    store.publish_folder(uri)
"""


@pytest.mark.parametrize("uploads", [0, 1, 2])
def test_a_kill_while_publishing_leaves_nothing_that_counts(
    store: SharedStore, uploads: int
) -> None:
    """Two shards and the manifest are three uploads; a kill before the last leaves no folder."""
    made = make_corpus(store, "one", "two", "three")
    words = [sys.executable, "-c", textwrap.dedent(KILLED), store.home, str(store.url), made.uri]
    killed = subprocess.run([*words, str(uploads)], check=False, env=dict(os.environ))
    assert killed.returncode == -9
    kept = shutil.copytree(made.uri, Path(store.home).parent / "kept")
    fresh_node(store)
    assert not store.folder_stands(made.uri)
    with pytest.raises(InputProblem, match="not in the store"):
        store.fetch_folder(made.uri)
    shutil.copytree(kept, made.uri)
    store.publish_folder(made.uri)
    fresh_node(store)
    verify_corpus(open_corpus(store.fetch_folder(made.uri)))


def test_a_home_that_is_mounted_is_only_looked_into(tmp_path: Path) -> None:
    store = SharedStore(str(tmp_path))
    made = make_corpus(store, "one")
    for each in (store, MOUNTED):
        each.probe()
        each.publish_folder(made.uri)
        assert each.fetch_folder(made.uri) == Path(made.uri)
        assert each.folder_stands(made.uri)
        assert each.fetch_file(made.shard_path(0)) == made.shard_path(0)
        with pytest.raises(InputProblem, match=r"node .* has no .*placement\.home.*storage"):
            each.fetch_file(tmp_path / "none")
        with pytest.raises(InputProblem, match=r"node .* has no .*placement\.home.*storage"):
            each.fetch_folder(tmp_path / "none")


def test_the_probe_leaves_nothing_behind(store: SharedStore) -> None:
    store.probe()
    left = files_of(store).find(str(store.url).partition("://")[2])
    assert not any("probe-" in each for each in left)
