"""Flips, taint, read-only SQL and the views: the same answers in Python and in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from db_demo import digest, new_experiment, record_demo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.lineage import document_history, flips, show, taint
from db.models import Artifact, Generation
from db.problems import AmbiguousId, UnknownId
from db.records import (
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_stage,
    record_changed_documents,
    record_sources,
    set_generation,
    start_stage,
)
from db.sessions import Database
from db.views import VIEWS
from flows.querying import read_only_sql
from workers.problems import InputProblem

COLUMNS = ("doc_id", "cause", "before", "after", "score_before", "score_after", "reason")


def row(doc_id: str, action: str, score: float | None = 0.2, **more: Any) -> dict[str, Any]:
    return {
        "doc_id": doc_id,
        "action": action,
        "before_sha256": digest(doc_id),
        "principle": "honesty",
        "score_before": score,
        "source": "web",
        **more,
    }


def chain(session: Session, treated: list[list[dict[str, Any]]], arm: str = "revise") -> list[str]:
    """An arm whose generation n did what the nth list says; digests of its corpora."""
    found = ensure_arm(session, new_experiment(session), arm, 1)
    corpora: list[Any] = []
    model = add_checkpoint(session, digest("m0"), uri="file:///m0")
    for index, rows in enumerate(treated):
        generation = ensure_generation(session, found, index)
        name = f"c{index}" if index == 0 else f"{arm} c{index}"
        corpus = add_corpus_version(
            session,
            digest(name),
            uri=f"file:///{name}",
            shards=1,
            documents=9,
            parent=corpora[-1] if corpora else None,
        )
        if index == 0:
            record_sources(session, corpus, [{"web": 5}, {"web": 3, "book": 1}])
        else:
            derive(session, corpus, "read_by", model)
            model = add_checkpoint(session, digest(f"{arm} m{index}"), uri=f"file:///m{index}")
            derive(session, model, "trained_on", corpus)
        set_generation(session, generation, corpus_version_id=corpus.id, checkpoint_id=model.id)
        record_changed_documents(session, generation, rows)
        corpora.append(corpus)
    return [corpus.digest for corpus in corpora]


def told(session: Session, generation: int, **only: Any) -> set[tuple[str, str, str, str]]:
    rows = flips(session, "microworld", "revise", generation, **only)
    return {(each["doc_id"], each["cause"], each["before"], each["after"]) for each in rows}


@pytest.fixture
def three(session: Session) -> Session:
    chain(
        session,
        [
            [],
            [
                row("mended", "revise", score_after=0.9, edit_distance=0.3, reason="accepted"),
                row("mended twice", "revise", score_after=0.8, edit_distance=0.1),
                row("stubborn", "keep", reason="names changed"),
                row("lucky", "keep", 0.45, reason="names changed"),
                row("dropped", "drop", principle="honesty,oversight"),
            ],
            [
                row("mended twice", "revise", 0.4, score_after=0.9, edit_distance=0.6),
                row("stubborn", "keep", 0.1, reason="names changed"),
                row("fallen", "tag", 0.3),
            ],
        ],
    )
    return session


def test_flips_are_what_a_generation_did_and_what_its_rater_saw_otherwise(three: Session) -> None:
    assert told(three, 1) == {
        ("mended", "revise", "fail", "pass"),
        ("mended twice", "revise", "fail", "pass"),
        ("dropped", "drop", "fail", "dropped"),
    }
    assert told(three, 2) == {
        ("mended twice", "revise", "fail", "pass"),
        ("fallen", "tag", "fail", "tagged"),
        ("mended twice", "rater", "pass", "fail"),
        ("fallen", "rater", "pass", "fail"),
        ("lucky", "rater", "fail", "pass"),
    }
    assert told(three, 0) == set()


@pytest.mark.parametrize(
    ("only", "documents"),
    [
        ({"principle": "oversight"}, {"dropped"}),
        ({"principle": "over"}, set()),
        ({"cause": "drop"}, {"dropped"}),
        ({"min_change": 0.2}, {"mended"}),
        ({"below": 0.2}, set()),
        ({"above": 0.1}, {"mended", "mended twice", "dropped"}),
        ({"principle": "'; DROP TABLE verdicts; --"}, set()),
    ],
)
def test_flips_are_filtered(three: Session, only: dict[str, Any], documents: set[str]) -> None:
    assert {doc_id for doc_id, *_ in told(three, 1, **only)} == documents


def test_a_score_of_the_generation_before_stands_beside_the_raters(three: Session) -> None:
    [fell] = [
        each
        for each in flips(three, "microworld", "revise", 2, cause="rater")
        if each["doc_id"] == "mended twice"
    ]
    assert (fell["score_before"], fell["score_after"]) == (0.8, 0.4)


def why(session: Session, generation: int) -> dict[str, str]:
    rows = flips(session, "microworld", "revise", generation, cause="rater")
    return {each["doc_id"]: each["reason"] for each in rows}


def test_a_flip_by_the_rater_says_how_the_two_generations_judged(three: Session) -> None:
    assert why(three, 2) == {
        "mended twice": "rated below the threshold now; the generation before accepted it as a "
        "revision",
        "fallen": "rated below the threshold now; the generation before passed it as it was",
        "lucky": "passed now; the generation before found it short and left it as it was: "
        "names changed",
    }
    accepted = [each["reason"] for each in flips(three, "microworld", "revise", 1)]
    assert accepted.count("accepted") == 1


def test_a_flip_without_a_reason_on_record_ends_in_words(session: Session) -> None:
    chain(session, [[], [row("lucky", "keep")], []])
    said = "passed now; the generation before found it short and left it as it was"
    assert why(session, 2) == {"lucky": said}
    assert session.scalars(text("SELECT reason FROM lineage_flips")).all() == [said]


@pytest.mark.parametrize(
    ("only", "documents"),
    [
        ({"below": 0.5}, {"fallen", "lucky"}),
        ({"below": 0.4}, {"fallen"}),
        ({"above": 0.4}, {"lucky", "mended twice"}),
        ({"above": 0.5}, {"mended twice"}),
    ],
)
def test_a_flip_without_a_score_before_is_filtered_by_the_one_after(
    three: Session, only: dict[str, float], documents: set[str]
) -> None:
    found = told(three, 2, cause="rater", **only)
    assert {doc_id for doc_id, *_ in found} == documents


@pytest.mark.parametrize(
    ("arm", "generation", "says"),
    [
        ("revize", 1, "no arm 'revize'; nearest: revise"),
        ("revise", 7, "no generation 7; its last is 2"),
    ],
)
def test_a_generation_that_does_not_exist_is_answered(
    three: Session, arm: str, generation: int, says: str
) -> None:
    with pytest.raises(UnknownId, match=says):
        list(flips(three, "microworld", arm, generation))


def test_an_arm_of_several_seeds_wants_one_named(three: Session) -> None:
    ensure_arm(three, new_experiment(three), "revise", 2)
    with pytest.raises(AmbiguousId, match="the seeds 1, 2: name one"):
        list(flips(three, "microworld", "revise", 1))
    assert list(flips(three, "microworld", "revise", 1, seed=1))


def test_the_view_of_flips_says_what_the_function_says(three: Session) -> None:
    for index in (1, 2):
        asked = text(
            "SELECT doc_id, cause, before_verdict, after_verdict, score_before, score_after, reason"
            " FROM lineage_flips WHERE arm = 'revise' AND generation = :index"
        )
        by_view = {tuple(each) for each in three.execute(asked, {"index": index})}
        by_function = {
            tuple(each[name] for name in COLUMNS)
            for each in flips(three, "microworld", "revise", index)
        }
        assert by_view == by_function


def touched(session: Session, wanted: str, **more: Any) -> dict[str, str]:
    names = {
        artifact.digest: artifact.uri.removeprefix("file:///")
        for artifact in session.query(Artifact)
    }
    return {names[each["id"]]: each["how"] for each in taint(session, wanted, **more)["touched"]}


def test_a_document_taints_what_held_it_and_what_came_of_that(three: Session) -> None:
    assert touched(three, "mended") == {
        "c0": "holds",
        "revise c1": "holds",
        "revise c2": "holds",
        "m1": "trained_on",
        "m2": "trained_on",
    }


def test_a_dropped_document_taints_what_was_made_before_and_its_descent(three: Session) -> None:
    assert touched(three, "dropped") == {"c0": "holds"}


def test_a_model_that_saw_a_document_taints_the_corpus_that_it_revised(session: Session) -> None:
    chain(session, [[], [row("a", "revise")], [row("gone", "drop")], []])
    assert touched(session, "gone") == {
        "c0": "holds",
        "revise c1": "holds",
        "m1": "trained_on",
        "revise c2": "descended",
        "m2": "descended",
        "revise c3": "descended",
        "m3": "descended",
    }


def test_a_source_taints_every_corpus_that_has_documents_of_it(three: Session) -> None:
    assert taint(three, "book")["kind"] == "source"
    assert set(touched(three, "book")) == {"c0", "revise c1", "revise c2", "m1", "m2"}
    with pytest.raises(UnknownId, match="nearest: book"):
        taint(three, "bok")


def test_an_unchanged_document_is_found_through_the_import_that_holds_it(three: Session) -> None:
    with pytest.raises(UnknownId, match="no document and no source 'quiet'"):
        taint(three, "quiet")
    assert "revise c2" in touched(three, "quiet", imports=[digest("c0")])


def test_generations_are_named_beside_what_was_touched(three: Session) -> None:
    [last] = [
        each for each in taint(three, "mended")["touched"] if each["id"] == digest("revise c2")
    ]
    assert last["generations"] == ["microworld:revise:2:1"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.text(min_size=1))
def test_any_text_is_asked_about_and_never_read_as_sql(three: Session, wanted: str) -> None:
    before = three.query(Generation).count()
    for ask in (lambda: taint(three, wanted), lambda: document_history(three, wanted)):
        with pytest.raises(UnknownId):
            ask()
    assert list(flips(three, "microworld", "revise", 1, principle=wanted.replace("\x00", ""))) == []
    assert three.query(Generation).count() == before


@pytest.fixture
def reader(database: Database) -> Iterator[Session]:
    with database.sessions.begin() as writer:
        record_demo(writer)
    with database.readers() as session:
        yield session


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers_for_a_finished_experiment(reader: Session, view: str) -> None:
    with read_only_sql(reader, f"SELECT * FROM {view}") as (columns, rows):
        found = [dict(zip(columns, each, strict=True)) for each in rows]
    assert found
    assert all(not isinstance(value, bytes) for each in found for value in each.values())


def asked(session: Session, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(each) for each in session.execute(text(statement))]


@pytest.mark.parametrize(("made", "by"), [("c1", "revise"), ("revise m1", "train")])
def test_an_artifact_that_two_stages_made_is_one_row_with_its_maker(
    session: Session, made: str, by: str
) -> None:
    record_demo(session)
    for recipe in ("one", "another"):
        stage = start_stage(session, recipe, stage="revise", algorithm_version="1", params={})
        finish_stage(session, stage, output_digest=digest(made), model_calls=5)
    wanted = f"SELECT made_by, recipe_id FROM lineage_show WHERE id = '{digest(made)}'"
    rows = asked(session, wanted)
    assert rows == [(by, "one" if by == "revise" else "train-revise")]
    shown = show(session, digest(made))["made_by"]
    assert (shown["stage"], shown["recipe_id"]) == rows[0]
    counted = "SELECT count(*), count(DISTINCT id) FROM lineage_show"
    assert len(set(*asked(session, counted))) == 1


def test_no_artifact_is_its_own_ancestor_where_later_bytes_are_equal(session: Session) -> None:
    record_demo(session)
    first, second = (
        session.query(Artifact).filter_by(digest=digest(name)).one() for name in ("c0", "c1")
    )
    derive(session, first, "derived_from", second)
    assert asked(session, "SELECT id FROM lineage_ancestors WHERE id = ancestor") == []
    assert asked(session, "SELECT id FROM lineage_descendants WHERE id = descendant") == []
    corpora = "SELECT id, ancestor FROM lineage_ancestors WHERE kind = ancestor_kind"
    both = {(first.digest, second.digest), (second.digest, first.digest)}
    assert both <= set(asked(session, corpora))


@pytest.mark.parametrize(
    ("names", "told_apart"),
    [
        ("id, 2 AS id, 3 AS id", ["id", "id_2", "id_3"]),
        ("id, 2 AS id, 3 AS id_2", ["id", "id_3", "id_2"]),
    ],
)
def test_columns_of_one_name_are_told_apart(
    reader: Session, names: str, told_apart: list[str]
) -> None:
    with read_only_sql(reader, f"SELECT {names} FROM arms ORDER BY 1 LIMIT 1") as (columns, rows):
        assert columns == told_apart
        assert [each[1:] for each in rows] == [[2, 3]]


def test_what_is_no_number_in_json_is_a_word(reader: Session) -> None:
    statement = "SELECT 1e308 * 10, -1e308 * 10"
    if reader.get_bind().dialect.name == "postgresql":
        statement = "SELECT 'inf'::float8, '-inf'::float8, ARRAY['nan'::float8, 1]"
    with read_only_sql(reader, statement) as (_, rows):
        [[most, least, *others]] = rows
    assert (most, least) == ("Infinity", "-Infinity")
    assert others in ([], [["NaN", 1.0]])


def test_more_rows_than_are_fetched_at_once_all_come(reader: Session) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
    with read_only_sql(reader, f"{many} SELECT i FROM n ORDER BY i;") as (_, rows):
        assert [i for (i,) in rows] == list(range(1, 2501))


def test_sql_counts_what_is_there_and_may_be_asked_again(reader: Session) -> None:
    for _ in range(2):
        with read_only_sql(reader, "SELECT count(*) AS n FROM lineage_document") as (names, rows):
            assert (names, list(rows)) == (["n"], [[2]])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM verdicts",
        "DROP TABLE verdicts",
        "SELECT 1; DELETE FROM verdicts",
        "COMMIT; DELETE FROM verdicts",
        "UPDATE runs SET command = ''",
        "CREATE TABLE mine (a int)",
        "SELEC 1",
        "SELECT * FROM nothing_like_this",
        "",
    ],
)
def test_sql_that_is_no_single_select_is_refused_and_changes_nothing(
    reader: Session, database: Database, statement: str
) -> None:
    with (
        pytest.raises(InputProblem, match=r"refused|returns no rows"),
        read_only_sql(reader, statement) as (_, rows),
    ):
        list(rows)
    reader.rollback()
    with database.readers() as session:
        assert session.execute(text("SELECT count(*) FROM changed_documents")).scalar_one() == 2
        assert session.execute(text("SELECT count(*) FROM verdicts")).scalar_one() > 0
