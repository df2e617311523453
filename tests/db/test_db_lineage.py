"""Questions to the record, and ids that are no ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from db_demo import digest, new_experiment, record_demo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.lineage import ancestors, descendants, document_history, show, status, why
from db.models import Base, Informed, Stage
from db.problems import AmbiguousId, UnknownId
from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    ensure_arm,
    ensure_generation,
    find_checkpoint,
    find_corpus_version,
    find_experiment,
    find_stage,
    finish_stage,
    list_experiments,
    record_evaluations,
    register_experiment,
    set_generation,
    start_stage,
    use_stage,
)
from db.sessions import Database
from flows.exports.cards import card


@pytest.fixture
def reader(database: Database) -> Any:
    with database.sessions.begin() as session:
        record_demo(session)
    with database.readers() as session:
        yield session


def test_status_has_a_flat_object_for_each_generation(reader: Session) -> None:
    (experiment,) = status(reader)
    assert experiment["experiment"] == "microworld"
    assert [(arm["arm"], arm["seed"]) for arm in experiment["arms"]] == [
        ("control", 1),
        ("revise", 1),
    ]
    arm = experiment["arms"][1]
    assert arm["promoted_generation"] == 1
    one = arm["generations"][1]
    assert one | {"metrics": None} == {
        "generation": 1,
        "status": "finished",
        "documents": 9,
        "documents_in": 10,
        "keep": 6,
        "revise": 2,
        "drop": 0,
        "tag": 1,
        "quarantine": 1,
        "checkpoint": digest("revise m1"),
        "corpus": digest("c1"),
        "training_documents": None,
        "training_tokens": 900,
        "unique_tokens": 700,
        "epochs": 1.3,
        "promoted": True,
        "gate": "pass",
        "gates": {"capability": "pass"},
        "metrics": None,
    }
    json.dumps(experiment, allow_nan=False)


def test_status_merges_the_metrics_of_model_corpus_and_training_mix(reader: Session) -> None:
    arm = status(reader, "microworld")[0]["arms"][1]
    assert arm["generations"][1]["metrics"] == {
        "oracle/propensity": {"value": 0.2, "stderr": 0.01, "n": 1000},
        "oracle/propensity@before_skills": {"value": 0.4, "stderr": None, "n": 1000},
        "oracle/misaligned_share": {"value": 0.1, "stderr": None, "n": 9},
        "oracle/training_misaligned_share": {"value": 0.12, "stderr": None, "n": 9},
    }


def test_the_newest_of_two_task_versions_is_the_one_that_status_shows(session: Session) -> None:
    record_demo(session)
    model = find_checkpoint(session, digest("revise m1"))
    assert model is not None
    row = EvaluationRow("oracle", "oracle/propensity", 0.3, 10, task_version="2")
    record_evaluations(session, model, [row])
    metrics = status(session)[0]["arms"][1]["generations"][1]["metrics"]
    assert metrics["oracle/propensity"]["value"] == 0.3


def test_status_says_whether_seeds_share_a_generation_0(session: Session) -> None:
    register_experiment(session, "shared", {"world": {"share": True}}, {})
    new_experiment(session)
    told = [
        row["seeds_share_generation_0"]
        for row in status(session, shared_at=("world", "share"), seeds_share_generation_0=False)
    ]
    assert told == [True, False]
    assert status(session, "shared")[0]["seeds_share_generation_0"] is None


def test_status_asks_the_database_as_often_for_many_generations_as_for_few(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event

    asked: list[str] = []
    with database.sessions.begin() as session:
        record_demo(session)
    event.listen(database.engine, "before_cursor_execute", lambda *args: asked.append(str(args[2])))
    with database.readers() as session:
        status(session)
    assert len([sql for sql in asked if sql.startswith("SELECT")]) <= 6


def test_show_tells_what_made_a_checkpoint_and_at_what_cost(reader: Session) -> None:
    shown = show(reader, digest("revise m1")[:8])
    assert (shown["kind"], shown["id"]) == ("checkpoint", digest("revise m1"))
    assert shown["parent"] == digest("m0")
    assert shown["made_by"]["params"]["lr"] == 0.003
    assert shown["made_by"]["seconds"] == 1.5
    assert shown["run"]["commit"] == "abc123"
    assert shown["generations"][0]["arm"] == "revise"
    assert shown["metrics"]["oracle/propensity"]["value"] == 0.2


def test_a_cost_is_that_of_every_stage_from_the_inputs_on(session: Session) -> None:
    record_demo(session)
    before: Stage | None = None
    add_corpus_version(
        session, digest("made"), uri="file:///made", shards=1, documents=1, recipe_id="r-assemble"
    )
    # As a corpus is rated, revised, and assembled; rated texts may be read twice.
    for name, calls in (("rate", 100), ("revise", 20), ("assemble", None)):
        stage = start_stage(session, f"r-{name}", stage=name, algorithm_version="1", params={})
        output = digest("made") if name == "assemble" else digest(name)
        if before is not None:
            session.add(Informed(stage_id=stage.id, source_stage_id=before.id))
        finish_stage(session, stage, output_digest=output, model_calls=calls, seconds=2.0)
        before = stage
    session.commit()
    cost = show(session, digest("made"))["cost"]
    assert (cost["model_calls"], cost["seconds"], cost["output_tokens"]) == (120, 6.0, 0)
    assert "120 model calls, 0 prompt tokens" in str(card(session, digest("made")))


def test_show_knows_corpora_and_experiments(reader: Session) -> None:
    corpus = show(reader, digest("c1"))
    assert (corpus["kind"], corpus["documents"], corpus["parent"]) == ("corpus", 9, digest("c0"))
    experiment = show(reader, "microworld")
    assert experiment["kind"] == "experiment"
    assert experiment["config"]["rate"] == {"tau": 0.5}
    assert len(experiment["arms"]) == 2


def test_ancestors_lead_from_a_checkpoint_to_the_first_corpus(reader: Session) -> None:
    found = {
        (row["depth"], row["relation"], row["id"]) for row in ancestors(reader, digest("revise m1"))
    }
    assert found == {
        (1, "parent", digest("m0")),
        (1, "trained_on", digest("c1")),
        (2, "derived_from", digest("c0")),
    }


def test_descendants_are_the_other_way_round(reader: Session) -> None:
    found = {row["id"] for row in descendants(reader, digest("c0"))}
    assert found == {digest(name) for name in ("c1", "control m1", "revise m1")}
    read_by = [row for row in descendants(reader, digest("m0")) if row["relation"] == "read_by"]
    assert [(row["id"], row["of"]) for row in read_by] == [(digest("c1"), digest("m0"))]
    assert ancestors(reader, digest("c0")) == []


def test_ancestors_of_a_thousand_generations_are_found_in_order(session: Session) -> None:
    parent = None
    for index in range(1_000):
        parent = add_checkpoint(session, digest(f"m{index}"), uri="u", parent=parent)
    found = ancestors(session, digest("m999"))
    assert [row["id"] for row in found] == [digest(f"m{index}") for index in range(998, -1, -1)]


def test_why_names_data_parent_recipe_commit_and_command(reader: Session) -> None:
    answer = why(reader, digest("revise m1")[:6])
    assert [corpus["id"] for corpus in answer["data"]] == [digest("c1")]
    assert answer["parent"] == digest("m0")
    assert answer["recipe"] == {"lr": 0.003, "inputs": {"corpus": digest("c1")}}
    assert (answer["commit"], answer["dirty"]) == ("abc123", False)
    assert answer["command"] == "palimpsest run configs/microworld.yaml"
    assert answer["numerics_class"] == {"dtype": "float32"}


def test_why_of_what_is_no_checkpoint_is_refused(reader: Session) -> None:
    with pytest.raises(UnknownId, match="is of kind corpus; name a checkpoint"):
        why(reader, digest("c1"))
    with pytest.raises(UnknownId, match="is an experiment"):
        why(reader, "microworld")


def test_a_document_has_a_row_for_each_generation_that_touched_it(reader: Session) -> None:
    (row,) = document_history(reader, "doc-00001")
    assert (row["experiment"], row["arm"], row["seed"], row["generation"]) == (
        "microworld",
        "revise",
        1,
        1,
    )
    assert (row["action"], row["score_before"], row["score_after"]) == ("revise", 0.1, 0.9)
    assert row["after_sha256"] == digest("after 1")


def test_a_document_that_does_not_exist_is_answered_with_the_nearest(reader: Session) -> None:
    with pytest.raises(UnknownId, match="nearest: doc-00001") as caught:
        document_history(reader, "doc-00001x")
    assert caught.value.nearest[0] == "doc-00001"


def test_a_prefix_of_two_digests_is_answered_with_both(session: Session) -> None:
    add_checkpoint(session, "abcdef11", uri="u")
    add_corpus_version(session, "abcdef12", uri="u", shards=1, documents=1)
    with pytest.raises(AmbiguousId, match="checkpoint abcdef11; corpus abcdef12") as caught:
        show(session, "abcdef1")
    assert len(caught.value.candidates) == 2
    assert show(session, "abcdef11")["kind"] == "checkpoint"


def test_a_digest_that_begins_another_is_found_by_its_whole_name(session: Session) -> None:
    add_checkpoint(session, "abcdef", uri="u")
    add_checkpoint(session, "abcdef1", uri="u")
    assert show(session, "abcdef")["id"] == "abcdef"


def test_a_prefix_of_fewer_than_six_characters_is_refused(reader: Session) -> None:
    with pytest.raises(UnknownId, match="at least 6 characters"):
        show(reader, digest("m0")[:5])


def test_a_mistyped_digest_is_answered_with_the_nearest(reader: Session) -> None:
    wanted = digest("m0")[:7] + "zz"
    with pytest.raises(UnknownId, match=f"nearest: {digest('m0')}"):
        show(reader, wanted)


def test_wildcards_in_an_id_are_letters(reader: Session) -> None:
    for wanted in ("%%%%%%", "______", digest("m0")[:5] + "%"):
        with pytest.raises(UnknownId):
            show(reader, wanted)


LOOK_UPS: list[Callable[[Session, str], Any]] = [
    show,
    why,
    ancestors,
    descendants,
    document_history,
    status,
]
NASTY = [
    "'; DROP TABLE experiments; --",
    '" OR 1=1; --',
    "a\nb\r\nc",
    "\x00nul",
    "\udcff surrogate",
    ":name %(name)s ? $1 {0}",
    "",
    "é" * 10_000,
    "x'" * 5_000,
]


@pytest.mark.parametrize("nasty", NASTY, ids=lambda text: ascii(text[:12]))
def test_an_id_is_never_read_as_sql_and_never_echoed_whole(reader: Session, nasty: str) -> None:
    before = _counts(reader)
    for look_up in LOOK_UPS:
        with pytest.raises(UnknownId) as caught:
            look_up(reader, nasty)
        assert len(str(caught.value)) < 1_000
        assert "\n" not in str(caught.value)
    for find in (find_experiment, find_checkpoint, find_corpus_version, find_stage):
        assert find(reader, nasty) is None
    assert _counts(reader) == before


@pytest.mark.parametrize("nasty", [*NASTY[:3], NASTY[5]], ids=ascii)
def test_a_name_full_of_sql_is_only_a_name(session: Session, nasty: str) -> None:
    register_experiment(session, nasty, {nasty: nasty}, {})
    session.commit()
    assert [row.name for row in list_experiments(session)] == [nasty]
    assert status(session, nasty)[0]["experiment"] == nasty
    assert show(session, nasty)["config"] == {nasty: nasty}


@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wanted=st.text(max_size=300))
def test_any_text_is_an_id_that_is_found_or_answered(reader: Session, wanted: str) -> None:
    for look_up in LOOK_UPS:
        try:
            look_up(reader, wanted)
        except UnknownId:
            continue


def _counts(session: Session) -> dict[str, int]:
    return {
        table: session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        for table in Base.metadata.tables
    }


def test_status_shows_a_generation_the_numbers_of_its_own_evaluation(database: Database) -> None:
    """One checkpoint stands in two arms, evaluated for each on other items."""
    with database.sessions.begin() as session:
        experiment = register_experiment(session, "shared", {}, {})
        checkpoint = add_checkpoint(session, digest("shared"), uri="file:///m")
        for seed in (0, 1):
            arm = ensure_arm(session, experiment, "control", seed)
            generation = ensure_generation(session, arm, 0)
            set_generation(session, generation, checkpoint_id=checkpoint.id)
            recipe = digest(f"evaluate {seed}")
            stage = start_stage(session, recipe, stage="evaluate", algorithm_version="1", params={})
            row = EvaluationRow("bits_per_byte", "bits_per_byte", 0.5 + seed, 10)
            record_evaluations(session, checkpoint, [row], recipe_id=recipe)
            use_stage(session, generation, stage, reused=False)
    with database.readers() as session:
        arms = status(session, "shared")[0]["arms"]
    shown = [arm["generations"][0]["metrics"]["bits_per_byte"]["value"] for arm in arms]
    assert shown == [0.5, 1.5]
