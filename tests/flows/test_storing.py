"""`lineage verify`, `gc` and questions of a home whose files are in a store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from test_lineage_commands import ask, make_home
from test_verify_and_gc import corpus_folders, found, new_record, recipe

from configs.loading import load
from db.models import Run
from db.records import ensure_arm, register_experiment
from db.sessions import Database, open_database
from flows.doctor import Check, check_all
from flows.housekeeping import collect, removable
from flows.opening import resolved_config
from flows.places import STORAGE_VARIABLE, Place, place_at, storage_of, store_of
from flows.rehashing import Finding
from flows.storing import RECORDS, checked_there, claim
from workers.problems import InputProblem, WorkProblem
from workers.sharing import NOTE, SharedStore
from workers.storage import MANIFEST, UNFINISHED, sweep_unfinished, whole_folder

TINY = Path(__file__).parents[2] / "configs" / "microworld-tiny.yaml"
ROOMS = ("corpora", "checkpoints", "stages")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STORAGE_VARIABLE, f"file://{tmp_path}/bucket")
    return tmp_path / "bucket"


@pytest.fixture
def database(migrated: Path, home: Path, bucket: Path) -> Iterator[Database]:
    """A finished experiment, all of whose files are in the store and none in the home."""
    opened = new_record(migrated, home)
    move_to(store_of(None, home))
    with opened.readers() as session:
        claim(session, store_of(None, home))
    yield opened
    opened.dispose()


def move_to(store: SharedStore) -> None:
    for room in ROOMS:
        for folder in Path(store.home, room).glob("*"):
            for path in (folder, *folder.rglob("*")):
                if (path / MANIFEST).is_file():
                    store.publish_folder(path)
                elif path.is_file() and not (path.parent / MANIFEST).is_file():
                    store.publish_file(path)
        shutil.rmtree(Path(store.home, room), ignore_errors=True)


def left_over(bucket: Path) -> Path:
    folder = bucket / "corpora" / ("0" * 64)
    folder.mkdir()
    (folder / "shard-00000.parquet").write_bytes(b"never finished")
    return folder


def test_the_environment_goes_before_the_config(tmp_path: Path, bucket: Path) -> None:
    assert storage_of(None) == f"file://{bucket}"
    assert place_at(f"sqlite:///{tmp_path}/palimpsest.db").storage == f"file://{bucket}"


def test_verify_checks_the_files_of_the_store(database: Database, home: Path, bucket: Path) -> None:
    assert found(database, home) == []
    assert list(home.rglob("*.parquet")) == []
    shard = next(iter(corpus_folders(bucket))) / "shard-00000.parquet"
    shard.write_bytes(b"something else")
    rated = bucket / "stages" / recipe("rate") / "shard-00000.parquet"
    rated.with_name(rated.name + NOTE).unlink()
    weights = next(bucket.glob("checkpoints/*/model.safetensors"))
    weights.unlink()
    mix = bucket / "stages" / recipe("train") / "mix" / "mix-00001.parquet"
    mix.write_bytes(b"something else")
    said = {(each.kind, each.path) for each in found(database, home)}
    assert {kind for kind, _ in said} == {"missing", "altered"}
    assert ("altered", f"file://{shard.parent}") in said
    assert ("missing", f"file://{rated}") in said
    assert any(path.startswith(f"file://{mix.parent}") for _, path in said)
    assert not any(str(home) in path for _, path in said)


def test_gc_removes_what_no_row_names_from_the_store(
    database: Database, home: Path, bucket: Path
) -> None:
    before = sorted(bucket.rglob("*"))
    assert removable(database, home) == []
    orphan = left_over(bucket)
    person = bucket / "corpora" / "notes"
    person.mkdir()
    (person / "mine").touch()
    [listed] = removable(database, home)
    assert (listed.path, listed.bytes) == (home / "corpora" / orphan.name, 14)
    assert f"no row names it, in the store file://{bucket}" in listed.why
    assert orphan.exists()
    assert collect(database, home) == [listed]
    assert not (orphan / "shard-00000.parquet").exists()
    assert (person / "mine").exists()
    assert set(before) <= set(bucket.rglob("*"))
    assert found(database, home) == []


def test_gc_leaves_a_cache_alone_that_may_be_another_record_s(
    database: Database, home: Path, bucket: Path, tmp_path: Path
) -> None:
    """The record of this home is asked about another node's, under another path."""
    store_of(None, home).fetch(corpus_folders(bucket)[0].as_posix().replace(str(bucket), str(home)))
    cache = tmp_path / "cache"
    shutil.copytree(home / "corpora", cache / "corpora")
    mine = cache / "corpora" / ("2" * 64)
    mine.mkdir()
    orphan = left_over(bucket)
    assert [each.path.name for each in collect(database, cache)] == [orphan.name]
    assert mine.exists() and not orphan.exists()


def test_gc_refuses_a_store_that_other_records_use(
    database: Database, home: Path, bucket: Path
) -> None:
    orphan = left_over(bucket)
    (bucket / RECORDS / "another").touch()
    for each in (removable, collect):
        with pytest.raises(InputProblem, match="1 other records have files in this store"):
            each(database, home)
    shutil.rmtree(bucket / RECORDS)
    with pytest.raises(InputProblem, match="unknown other records"):
        collect(database, home)
    assert orphan.exists()


def test_gc_refuses_a_store_of_which_the_record_names_nothing(
    migrated: Path, home: Path, bucket: Path, tmp_path: Path
) -> None:
    new_record(migrated, home).dispose()
    move_to(store_of(None, home))
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(migrated, empty / "palimpsest.db")
    record = open_database(f"sqlite:///{empty}/palimpsest.db")
    with record.sessions.begin() as session:
        session.add(Run(run_id="first", command="", versions={}, host_kind={}))
    with record.readers() as session:
        claim(session, store_of(None, empty))
    with pytest.raises(InputProblem, match="names none of"):
        collect(record, empty)
    record.dispose()


QUESTIONS = (
    ("lineage", "document", "a", "--json"),
    ("lineage", "document", "b", "--json"),
    ("lineage", "taint", "books", "--json"),
    ("compare", "demo:control:1", "demo:revise:1", "--json"),
)


def test_questions_have_the_same_answers_from_the_store(tmp_path: Path, bucket: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    make_home(home)
    before = [ask(home, *words) for words in QUESTIONS]
    move_to(store_of(None, home))
    assert [ask(home, *words) for words in QUESTIONS] == before


def test_the_doctor_tries_the_store(
    tmp_path: Path, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def storage() -> Check:
        found = check_all(None, tmp_path, f"sqlite:///{tmp_path}/palimpsest.db")
        return next(each for each in found if each.name == "storage")

    monkeypatch.setattr("flows.doctor._transformers_loads", lambda: Check("t", "ok", ""))
    assert (storage().status, storage().found) == ("ok", f"file://{bucket}")
    monkeypatch.setenv(STORAGE_VARIABLE, "gs://bucket")
    assert storage().status == "failure" and "gcsfs" in storage().found
    monkeypatch.delenv(STORAGE_VARIABLE)
    assert storage().status == "ok"


def test_a_run_is_known_by_its_record_wherever_that_is_copied(
    database: Database, home: Path, bucket: Path
) -> None:
    with database.readers() as session:
        first = session.scalars(select(Run.run_id).order_by(Run.id)).first()
        claim(session, store_of(None, home))
    assert [path.name for path in (bucket / RECORDS).iterdir()] == [first]


def test_credentials_of_a_config_are_refused_under_the_environment_s_storage_too(
    bucket: Path,
) -> None:
    experiment = load(TINY, ["placement.storage=s3://key:hush@bucket/prefix"])
    for each in (storage_of, resolved_config):
        with pytest.raises(InputProblem, match="holds credentials"):
            each(experiment)


def test_a_run_that_begins_sweeps_up_no_check(database: Database, home: Path, bucket: Path) -> None:
    def check(place: Place) -> Iterator[Finding]:
        with whole_folder(place.path_of(uri)):
            assert sweep_unfinished(home) == 0
            [scratch] = home.glob(f"{UNFINISHED}*")
        assert scratch.is_dir()
        yield Finding("altered", "x", str(place.path_of(uri)), "")

    uri = str(home / "corpora" / "x")
    place = place_at(f"sqlite:///{home}/palimpsest.db")
    [said] = checked_there(place, uri, "x", check)
    assert said.path == f"file://{bucket}/corpora/x"
    assert list(home.glob(f"{UNFINISHED}*")) == []


def test_gc_holds_no_transaction_while_it_asks_the_store(
    database: Database, home: Path, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a new experiment that began meanwhile ends it: what that makes has no rows yet."""
    orphan = left_over(bucket)

    def begin(store: SharedStore, path: Path) -> int:
        with database.sessions.begin() as session:
            ensure_arm(session, register_experiment(session, "new", {}, {}), "revise", 0)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(SharedStore, "size", begin)
        with pytest.raises(WorkProblem, match="began meanwhile"):
            collect(database, home)
    assert (orphan / "shard-00000.parquet").exists()
    assert [each.path.name for each in collect(database, home)] == [orphan.name]
