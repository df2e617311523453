"""Ratings stand in a tree of Hive partitions, whole or absent, and are found by bound filters."""

import errno
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.lineage.labels import RatedGeneration
from db.models import storable
from flows import ratings
from flows.ratings import (
    COLUMNS,
    explain_nothing,
    partition,
    publish_ratings,
    publish_recorded,
    ratings_of,
    rows_of,
)
from workers.problems import InputProblem, WorkProblem
from workers.records import RATINGS, Rating, text_digest, to_table
from workers.storage import sweep_unfinished, write_table

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=18)


def stage(folder: Path, *shards: list[Rating]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, rows in enumerate(shards):
        write_table(folder / f"shard-{index:05d}.parquet", to_table(rows, RATINGS))
    return folder


def rating(doc_id, score=0.5, principle="honesty", status="ok"):
    return Rating(doc_id, text_digest(doc_id), principle, score, status, "m0")


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    return stage(
        tmp_path / "stages" / "r1",
        [rating("a", 0.1), rating("a", 0.9, "oversight")],
        [rating("b", 0.6), rating("c", None, status="unparsed")],
    )


@pytest.fixture
def home(tmp_path: Path, rated: Path) -> Path:
    """A home whose path has characters that a glob would read, with two generations and an arm."""
    home = tmp_path / "ho[me]*"
    publish_ratings(home, "demo", "revise", 0, 1, rated)
    other = stage(tmp_path / "stages" / "r2", [rating("a", 0.7)])
    publish_ratings(home, "demo", "revise", 0, 10, other)
    publish_ratings(home, "demo", "filter", 1, 1, rated)
    return home


def found(home: Path, **wanted) -> list[tuple]:
    return [
        (row["arm"], row["generation"], row["doc_id"], row["score"])
        for row in rows_of(ratings_of(home, **wanted))
    ]


def test_the_tree_has_the_columns_of_its_partitions_and_of_the_ratings(home):
    row = next(rows_of(ratings_of(home, arm="revise", generation=10)))
    assert tuple(row) == COLUMNS
    assert row == {
        "experiment": "demo",
        "arm": "revise",
        "seed": 0,
        "generation": 10,
        "doc_id": "a",
        "text_sha256": text_digest("a"),
        "principle": "honesty",
        "score": 0.7,
        "status": "ok",
        "rater": "m0",
    }


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"generation": 10}, [("revise", 10, "a", 0.7)]),
        ({"seed": 1, "doc_id": "b"}, [("filter", 1, "b", 0.6)]),
        ({"arm": "revise", "below": 0.5}, [("revise", 1, "a", 0.1)]),
        ({"arm": "revise", "above": 0.6, "below": 0.8}, [("revise", 10, "a", 0.7)]),
        ({"arm": "filter", "status": "unparsed"}, [("filter", 1, "c", None)]),
        ({"arm": "filter", "principle": "oversight"}, [("filter", 1, "a", 0.9)]),
        ({"arm": "filter", "doc_ids": ["b", "c", "d"]},
         [("filter", 1, "b", 0.6), ("filter", 1, "c", None)]),
        ({"experiment": "other"}, []),
    ],
)  # fmt: skip
def test_filters_narrow(home, wanted, expected):
    assert found(home, **wanted) == expected


def test_only_the_partitions_that_are_asked_for_are_opened(home):
    plan = ratings_of(home, experiment="demo", generation=10).explain("analyze")
    assert "Scanning Files: 1/5" in str(plan)


@settings(max_examples=15)
@given(name=NAMES.filter(bool))
def test_any_name_of_an_experiment_comes_back_as_it_was(name):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rated = stage(home / "stages" / "r", [rating("a")])
        made = publish_ratings(home, name, "revise", 0, 1, rated)
        assert (
            made.relative_to(home).parts[0] == "ratings" and len(made.relative_to(home).parts) == 5
        )
        (row,) = rows_of(ratings_of(home, experiment=name))
        assert row["experiment"] == name


@settings(max_examples=20)
@given(text=st.one_of(st.text(), st.just("' OR 1=1; --"), st.just("x" * 10_000)))
def test_text_in_a_filter_is_never_sql(text):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        publish_ratings(home, "demo", "revise", 0, 1, stage(home / "stages" / "r", [rating("A-1")]))
        for name in ("experiment", "arm", "doc_id", "principle"):
            if storable(text):
                assert found(home, **{name: text}) == []
            else:
                with pytest.raises(InputProblem, match="no such text"):
                    found(home, **{name: text})


def test_names_that_look_like_numbers_stay_names(tmp_path, rated):
    publish_ratings(tmp_path, "007", "revise", 0, 1, rated)
    assert {row["experiment"] for row in rows_of(ratings_of(tmp_path))} == {"007"}


def test_shards_are_linked_and_take_no_room_of_their_own(home, rated):
    made = partition(home, "demo", "revise", 0, 1)
    names = [path.name for path in sorted(made.iterdir())]
    assert names == ["shard-00000.parquet", "shard-00001.parquet"]
    assert all((made / name).samefile(rated / name) for name in names)


def test_shards_are_copied_where_links_do_not_reach(tmp_path, rated, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    made = publish_ratings(tmp_path, "demo", "revise", 0, 1, rated)
    before = made.stat().st_ino
    assert not (made / "shard-00000.parquet").samefile(rated / "shard-00000.parquet")
    assert found(tmp_path, doc_id="b") == [("revise", 1, "b", 0.6)]
    assert publish_ratings(tmp_path, "demo", "revise", 0, 1, rated).stat().st_ino == before


def test_publishing_again_changes_nothing_and_other_bytes_take_the_place(home, rated):
    made = partition(home, "demo", "revise", 0, 1)
    before = made.stat().st_ino
    assert publish_ratings(home, "demo", "revise", 0, 1, rated) == made
    assert made.stat().st_ino == before
    stage(rated, [rating("a", 0.2)])
    (rated / "shard-00001.parquet").unlink()
    publish_ratings(home, "demo", "revise", 0, 1, rated)
    assert found(home, arm="revise", generation=1) == [("revise", 1, "a", 0.2)]


def test_a_partition_is_whole_or_absent(tmp_path, rated, monkeypatch):
    def full(source, target):
        if source.name == "shard-00001.parquet":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(ratings, "_link", full)
    with pytest.raises(WorkProblem, match="no space is left"):
        publish_ratings(tmp_path, "demo", "revise", 0, 1, rated)
    assert not [path for path in (tmp_path / "ratings").rglob("*") if path.is_file()]
    with pytest.raises(InputProblem, match="no corpus was rated here yet"):
        ratings_of(tmp_path)


def test_what_a_killed_process_left_is_not_read(home):
    left = home / "ratings" / ".unfinished-00000000"
    left.mkdir()
    (left / "shard-00000.parquet").write_bytes(b"half")
    assert len(found(home, arm="revise")) == 5
    assert sweep_unfinished(home) == 1


def test_two_that_publish_at_once_both_succeed(tmp_path, rated, monkeypatch):
    whole, others = ratings.whole_folder, [1]

    @contextmanager
    def overtaken(target):
        with whole(target) as fresh:
            yield fresh
        if others:
            others.pop()
            publish_ratings(tmp_path, "demo", "revise", 0, 1, rated)

    monkeypatch.setattr(ratings, "whole_folder", overtaken)
    publish_ratings(tmp_path, "demo", "revise", 0, 1, rated)
    assert len(found(tmp_path)) == 4
    assert not list(tmp_path.glob("ratings/.unfinished*"))


def test_a_stage_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(WorkProblem, match="Run the experiment again"):
        publish_ratings(tmp_path, "demo", "revise", 0, 1, tmp_path / "stages" / "gone")


def generation(index: int, folder: Path, shards: int = 2) -> RatedGeneration:
    return RatedGeneration(
        "demo", "revise", 0, index, 0.5, "r", "d", str(folder), shards, "m0", "c0", "c0"
    )


def test_an_older_home_gets_the_tree_from_its_record(tmp_path, rated):
    first, lost = generation(1, rated), generation(2, tmp_path / "gone")
    half = generation(3, rated, shards=3)
    assert publish_recorded(tmp_path, [first, lost, half]) == [lost, half]
    assert {row[1] for row in found(tmp_path)} == {1}
    # What stands stays, though the stage's own files go.
    for shard in rated.iterdir():
        shard.unlink()
    assert publish_recorded(tmp_path, [first]) == []
    assert len(found(tmp_path)) == 4


def test_a_home_that_cannot_be_written_is_explained(tmp_path, rated, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(ratings, "publish_ratings", refuse)
    with pytest.raises(InputProblem, match="demo:revise:0:1 and cannot be written"):
        publish_recorded(tmp_path, [generation(1, rated)])


def test_a_mistyped_document_or_principle_gets_the_nearest(home):
    with pytest.raises(InputProblem, match=r"no principle 'onesty' was rated there; .*honesty"):
        explain_nothing(home, experiment="demo", principle="onesty")
    with pytest.raises(InputProblem, match=r"no document 'bb' .*nearest: b"):
        explain_nothing(home, doc_id="bb")


def test_a_filter_that_rightly_finds_nothing_is_no_mistake(home):
    explain_nothing(home, doc_id="a", below=0.0)
    assert found(home, doc_id="a", below=0.0) == []


def test_a_status_that_does_not_exist_is_refused(home):
    with pytest.raises(InputProblem, match="ok, unparsed, over_length, engine_error"):
        ratings_of(home, status="fine")


def test_many_rows_come_in_batches(tmp_path):
    rows = [rating(f"d{n}") for n in range(25_000)]
    publish_ratings(tmp_path, "demo", "revise", 0, 1, stage(tmp_path / "stages" / "r", rows))
    sizes = [batch.num_rows for batch in ratings_of(tmp_path).to_arrow_reader(ratings.ROWS_AT_ONCE)]
    assert sum(sizes) == 25_000 and max(sizes) <= ratings.ROWS_AT_ONCE
    assert [row["doc_id"] for row in rows_of(ratings_of(tmp_path))] == [r.doc_id for r in rows]
