"""A home that was moved or copied answers from its own files, and `gc` asks its own record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from test_lineage_commands import ask, make_home
from test_verify_and_gc import corpus_folders, found, kinds, new_record, recipe, write_corpus

from db.models import Checkpoint, Stage
from db.records import add_corpus_version
from db.sessions import Database, open_database
from flows.housekeeping import collect, removable
from flows.places import Place, place_at, recorded_home
from workers.problems import InputProblem


@pytest.fixture
def database(migrated: Path, home: Path) -> Iterator[Database]:
    opened = new_record(migrated, home)
    yield opened
    opened.dispose()


def test_a_record_of_the_home_means_the_home_s_own_files(tmp_path: Path) -> None:
    there = tmp_path / "there" / "corpora" / "c"
    there.mkdir(parents=True)
    here = tmp_path / "here"
    assert Place(here, own=True).located(f"{there}/shard") == here / "corpora" / "c" / "shard"
    assert Place(here, own=True).located(f"file://{there}") == here / "corpora" / "c"
    # Another home's files are those of the record, unless this home has the same folder.
    shared = Place(here, own=False)
    assert shared.located(f"{there}/shard") == there / "shard"
    (here / "corpora" / "c").mkdir(parents=True)
    assert shared.located(f"{there}/shard") == here / "corpora" / "c" / "shard"
    # What is in no room of a home is where it is.
    assert Place(here, own=True).located("/models/m") == Path("/models/m")
    assert Place(None, own=False).located(str(there)) == there


def test_rooms_are_looked_for_from_the_end(tmp_path: Path) -> None:
    uri = "/data/stages/home/stages/r/mix"
    assert Place(tmp_path, own=True).located(uri) == tmp_path / "stages" / "r" / "mix"
    assert recorded_home(uri) == Path("/data/stages/home")
    assert recorded_home("/models/m") is None


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("sqlite:///{home}/palimpsest.db", True),
        ("sqlite:///file:{home}/palimpsest.db?mode=ro&uri=true", True),
        ("sqlite:///{home}/other.db", False),
        ("sqlite:///{home}/deeper/palimpsest.db", False),
        ("postgresql://me@server/palimpsest", False),
    ],
)
def test_a_record_is_the_home_s_own_when_it_lies_in_it(tmp_path: Path, url: str, own: bool) -> None:
    url = url.format(home=tmp_path)
    assert place_at(url, tmp_path).own is own
    # Without a word of a home it is the one that the record lies in.
    if own:
        assert place_at(url) == Place(tmp_path.resolve(), own=True)


QUESTIONS = (
    ("lineage", "document", "a"),
    ("lineage", "document", "a", "--json"),
    ("lineage", "document", "b"),
    ("lineage", "document", "b", "--json"),
    ("lineage", "taint", "b", "--json"),
    ("lineage", "taint", "books", "--json"),
    ("compare", "demo:control:1", "demo:revise:1", "--json"),
)


def test_every_question_has_the_same_answer_after_a_move(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    make_home(old)
    before = [ask(old, *words) for words in QUESTIONS]
    new = tmp_path / "another disk" / "new"
    new.parent.mkdir()
    shutil.move(old, new)
    assert [ask(new, *words) for words in QUESTIONS] == before
    corpus = corpus_folders(new)[0]
    assert "3 documents" in ask(new, "export", "corpus", corpus.name, str(tmp_path / "out"))
    assert (tmp_path / "out" / "shard-00000.parquet").is_file()


def test_a_checkpoint_of_a_moved_home_is_exported(
    database: Database, home: Path, tmp_path: Path
) -> None:
    model = sorted((home / "checkpoints").iterdir())
    recorded = {row.uri for row in _checkpoints(database)}
    digest = next(path.name for path in model if str(path) in recorded)
    moved = tmp_path / "moved"
    database.dispose()
    shutil.move(home, moved)
    out = tmp_path / "out"
    assert digest[:12] in ask(moved, "export", "checkpoint", digest, str(out))
    assert (out / "model.safetensors").is_file()


def _checkpoints(database: Database) -> list[Checkpoint]:
    with database.readers() as session:
        return list(session.scalars(select(Checkpoint)))


def test_a_copy_is_not_read_from_its_original(tmp_path: Path) -> None:
    old, copy = tmp_path / "old", tmp_path / "copy"
    old.mkdir()
    make_home(old)
    shutil.copytree(old, copy)
    for shard in (copy / "corpora").rglob("shard-*"):
        shard.unlink()
    assert "stands in no corpus" in ask(copy, "lineage", "document", "a")
    assert "hid" in ask(old, "lineage", "document", "a")
    with pytest.raises(InputProblem, match="is missing"):
        ask(copy, "export", "corpus", corpus_folders(copy)[0].name, str(tmp_path / "out"))


def test_what_was_deleted_from_a_copy_is_missing_there(
    database: Database, home: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    opened = open_database(f"sqlite:///{copy}/palimpsest.db")
    shutil.rmtree(corpus_folders(copy)[0])
    mix = copy / "stages" / recipe("train") / "mix" / "mix-00000.parquet"
    mix.unlink()
    items = copy / "stages" / recipe("evaluate")
    shutil.rmtree(items)
    assert {(each.kind, each.path) for each in found(opened, copy)} == {
        ("missing", str(copy / "corpora" / corpus_folders(home)[0].name)),
        ("missing", str(mix)),
        ("missing", str(items / "items.parquet")),
    }
    assert kinds(database, home) == []
    opened.dispose()


def two_homes(migrated: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Homes of two records that share every artifact but one, and no record lies in its home."""
    homes: list[Path] = []
    for name in ("a", "b"):
        home = tmp_path / name
        new_record(migrated, home).dispose()
        (home / "palimpsest.db").rename(tmp_path / f"{name}.db")
        homes.append(home)
    return homes[0], homes[1]


def test_gc_refuses_the_record_of_another_home_that_shares_artifacts(
    migrated: Path, tmp_path: Path
) -> None:
    a, b = two_homes(migrated, tmp_path)
    records = [open_database(f"sqlite:///{tmp_path}/{name}.db") for name in ("a", "b")]
    own = write_corpus(a, "only", "home a", "has it")
    with records[0].sessions.begin() as session:
        add_corpus_version(session, own.id, uri=own.uri, shards=2, documents=3)
    before = sorted(tmp_path.rglob("*"))
    for ask_for in (removable, collect):
        with pytest.raises(InputProblem, match=f"is that of another home, {b}"):
            ask_for(records[1], a)
        with pytest.raises(InputProblem, match=f"is that of another home, {a}"):
            ask_for(records[0], b)
        # Each with its own is no matter.
        assert ask_for(records[0], a) == []
    assert sorted(tmp_path.rglob("*")) == before
    for each in records:
        each.dispose()


def test_gc_refuses_a_record_that_lies_in_another_home(migrated: Path, tmp_path: Path) -> None:
    """It was moved with its home, so that nothing stands where it was recorded."""
    a, b = two_homes(migrated, tmp_path)
    (tmp_path / "b.db").rename(b / "palimpsest.db")
    moved = tmp_path / "moved"
    shutil.move(b, moved)
    record = open_database(f"sqlite:///{moved}/palimpsest.db")
    with pytest.raises(InputProblem, match=f"is that of another home, {moved}"):
        collect(record, a)
    assert collect(record, moved) == []
    record.dispose()


def test_gc_takes_a_record_from_elsewhere_when_its_home_was_moved(
    migrated: Path, tmp_path: Path
) -> None:
    a, _ = two_homes(migrated, tmp_path)
    moved = tmp_path / "moved"
    shutil.move(a, moved)
    orphan = Path(write_corpus(moved, "an orphan").uri)
    record = open_database(f"sqlite:///{tmp_path}/a.db")
    assert [each.path for each in collect(record, moved)] == [orphan]
    assert kinds(record, moved) == []
    with record.readers() as session:
        assert session.scalars(select(Stage)).first() is not None
    record.dispose()


def test_gc_of_a_copy_goes_by_the_record_in_it(
    database: Database, home: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    orphan = Path(write_corpus(copy, "an orphan").uri)
    opened = open_database(f"sqlite:///{copy}/palimpsest.db")
    assert [each.path for each in collect(opened, copy)] == [orphan]
    opened.dispose()


def test_what_may_not_be_looked_into_counts_as_another_home(
    migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two_homes(migrated, tmp_path)
    exists = Path.exists

    def refuse(self: Path) -> bool:
        if self == b or b in self.parents:
            raise PermissionError(13, "Permission denied", str(self))
        return exists(self)

    monkeypatch.setattr(Path, "exists", refuse)
    record = open_database(f"sqlite:///{tmp_path}/b.db")
    with pytest.raises(InputProblem, match="another home"):
        collect(record, a)
    record.dispose()
