"""Writing the record: once, whole, and only what adds up."""

from __future__ import annotations

import math
from typing import Any

import pytest
from db_demo import COUNTS, digest, documents, new_experiment, new_run, record_demo
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.lineage import document_history
from db.models import Base, ChangedDocument, Evaluation, Generation, Run, Shard, StageUse, Verdict
from db.problems import DatabaseProblem, UnknownId
from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    ensure_arm,
    ensure_generation,
    evaluations_of,
    extend_experiment,
    fail_stage,
    find_checkpoint,
    find_corpus_version,
    find_experiment,
    find_stage,
    finish_run,
    finish_stage,
    gates_of,
    list_shards,
    promote,
    record_changed_documents,
    record_evaluations,
    record_gate,
    record_shard,
    register_experiment,
    require_experiment,
    rollback,
    set_arm_status,
    set_generation,
    start_stage,
    use_stage,
)
from db.sessions import Database


@pytest.fixture
def generation(session: Session) -> Generation:
    return ensure_generation(session, ensure_arm(session, new_experiment(session), "revise", 1), 0)


def count(session: Session, model: Any) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def begin(session: Session, recipe_id: str = "r1", **more: Any) -> Any:
    return start_stage(
        session, recipe_id, stage="rate", algorithm_version="1", params={"tau": 0.5}, **more
    )


def test_an_experiment_registered_twice_is_one_experiment(session: Session) -> None:
    assert new_experiment(session).id == new_experiment(session).id


def test_an_experiment_with_an_edited_config_is_refused_with_the_differing_fields(
    session: Session,
) -> None:
    new_experiment(session)
    with pytest.raises(DatabaseProblem, match=r"differing: arms, rate\.tau; extend it, fork"):
        register_experiment(
            session, "microworld", {"seeds": (1,), "rate": {"tau": 0.6}, "arms": ["control"]}, {}
        )


def test_an_extended_experiment_keeps_its_identity(session: Session) -> None:
    experiment = new_experiment(session)
    session.commit()
    extend_experiment(session, experiment, {"seeds": [1, 2]}, {"rate": "r2"})
    session.commit()
    found = require_experiment(session, "microworld")
    assert (found.id, found.config, found.fingerprints) == (
        experiment.id,
        {"seeds": [1, 2]},
        {"rate": "r2"},
    )


def test_a_fork_remembers_what_it_was_forked_from(session: Session) -> None:
    origin = new_experiment(session)
    fork = register_experiment(session, "fork", {}, {}, forked_from=origin)
    assert fork.forked_from is origin


def test_a_missing_experiment_is_answered_with_the_nearest_name(session: Session) -> None:
    new_experiment(session)
    assert find_experiment(session, "microwrld") is None
    with pytest.raises(UnknownId, match="nearest: microworld") as caught:
        require_experiment(session, "microwrld")
    assert caught.value.nearest == ("microworld",)


def test_a_run_records_how_it_began_and_ended(session: Session) -> None:
    run = new_run(session, new_experiment(session))
    assert len(run.run_id) == 32
    assert run.finished_at is None
    finish_run(session, run, "interrupted")
    assert run.outcome == "interrupted"
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


def test_a_command_with_bytes_that_no_database_holds_is_recorded_readably(
    session: Session,
) -> None:
    run = new_run(session)
    run.command = "palimpsest run \udcff\x00.yaml"
    session.commit()
    session.expire_all()
    assert run.command.startswith("palimpsest run ")
    assert run.command.endswith(".yaml")


def test_arms_and_generations_are_made_once(session: Session, generation: Generation) -> None:
    arm = ensure_arm(session, new_experiment(session), "revise", 1)
    assert arm.id == generation.arm_id
    assert ensure_generation(session, arm, 0) is generation
    assert ensure_arm(session, new_experiment(session), "revise", 2).id != arm.id


def test_counts_that_add_up_are_kept(session: Session, generation: Generation) -> None:
    set_generation(session, generation, **COUNTS)
    session.commit()
    session.expire_all()
    assert generation.documents_in == 10
    assert generation.drop == 0


@pytest.mark.parametrize(
    "fields",
    [
        COUNTS | {"keep": 5},
        COUNTS | {"keep": 12, "drop": -6},
        COUNTS | {"keep": None},
        {"documents_in": 10},
        {"keep": 10},
        {"status": "great"},
        {"epochs": -1.0},
        {"checkpoint_id": 999},
    ],
    ids=str,
)
def test_a_generation_that_contradicts_itself_is_refused(
    session: Session, generation: Generation, fields: Any
) -> None:
    with pytest.raises(IntegrityError):
        set_generation(session, generation, **fields)


def test_an_unknown_field_of_a_generation_is_refused(
    session: Session, generation: Generation
) -> None:
    with pytest.raises(TypeError, match="kept"):
        set_generation(session, generation, **{"kept": 1})  # type: ignore[typeddict-item]


def test_a_row_from_an_earlier_transaction_does_not_bring_its_old_values_back(
    database: Database,
) -> None:
    with database.sessions.begin() as session:
        arm = ensure_arm(session, new_experiment(session), "revise", 1)
        stale = ensure_generation(session, arm, 0)
    with database.sessions.begin() as session:
        set_generation(session, stale, status="running", **COUNTS)
    with database.sessions.begin() as session:
        set_generation(session, stale, epochs=1.5)
        set_arm_status(session, arm, "running")
    with database.readers() as session:
        found = session.get(Generation, stale.id)
        assert found is not None
        assert (found.status, found.keep, found.epochs) == ("running", 6, 1.5)
        assert found.arm.status == "running"


def test_a_negative_generation_index_is_refused(session: Session, generation: Generation) -> None:
    with pytest.raises(IntegrityError):
        ensure_generation(session, generation.arm, -1)


def test_artifacts_are_recorded_once_for_each_digest(session: Session) -> None:
    first = add_checkpoint(session, digest("m"), uri="file:///first")
    again = add_checkpoint(session, digest("m"), uri="file:///second")
    assert first is again
    assert again.uri == "file:///first"
    corpus = add_corpus_version(session, digest("c"), uri="u", shards=1, documents=2, tokens=3)
    assert add_corpus_version(session, digest("c"), uri="u", shards=1, documents=2) is corpus
    assert find_checkpoint(session, digest("m")) is first
    assert find_corpus_version(session, digest("c")) is corpus
    assert find_checkpoint(session, digest("c")) is None


def test_a_corpus_with_fewer_than_no_documents_is_refused(session: Session) -> None:
    with pytest.raises(IntegrityError):
        add_corpus_version(session, digest("c"), uri="u", shards=1, documents=-1)


def test_a_stage_is_found_by_its_recipe_with_what_it_cost(session: Session) -> None:
    stage = begin(session, numerics_class={"dtype": "float32"})
    finish_stage(
        session,
        stage,
        output_digest=digest("out"),
        output_uri="file:///out",
        engine="vllm",
        engine_version="0.32.0",
        documents=10,
        model_calls=20,
        prompt_tokens=3_000_000_000,
        seconds=1.5,
    )
    session.commit()
    session.expire_all()
    found = find_stage(session, "r1")
    assert found is not None
    assert (found.status, found.engine, found.prompt_tokens) == ("done", "vllm", 3_000_000_000)
    assert found.numerics_class == {"dtype": "float32"}
    assert find_stage(session, "r2") is None


def test_a_stage_begun_again_keeps_its_shards_and_counts_its_attempts(session: Session) -> None:
    stage = begin(session)
    record_shard(session, stage, 0, uri="u", digest=digest("s"), documents=5)
    fail_stage(session, stage, "the engine died")
    assert (stage.status, stage.failure) == ("failed", "the engine died")
    again = begin(session)
    assert again.id == stage.id
    assert (again.status, again.attempts, again.failure) == ("running", 2, None)
    assert [shard.shard_index for shard in list_shards(session, again)] == [0]
    begin(session, forget_shards=True)
    assert list_shards(session, again) == []


def test_a_stage_finished_twice_with_other_bytes_is_refused(session: Session) -> None:
    stage = begin(session)
    finish_stage(session, stage, output_digest=digest("one"))
    finish_stage(session, stage, output_digest=digest("one"))
    with pytest.raises(DatabaseProblem, match="different bytes"):
        finish_stage(session, stage, output_digest=digest("two"))
    fail_stage(session, stage, "too late")
    assert stage.status == "done"


def test_a_stage_that_was_done_can_be_redone_in_another_numerics_class(session: Session) -> None:
    finish_stage(session, begin(session), output_digest=digest("one"), seconds=1.0)
    stage = begin(session, numerics_class={"threads": 2})
    assert (stage.status, stage.output_digest, stage.seconds) == ("running", None, None)
    finish_stage(session, stage, output_digest=digest("two"))
    assert stage.output_digest == digest("two")


def test_a_stage_of_an_unknown_kind_or_cost_is_refused(session: Session) -> None:
    stage = begin(session)
    with pytest.raises(TypeError, match="prompt_token"):
        finish_stage(session, stage, output_digest=None, **{"prompt_token": 1})  # type: ignore[typeddict-item]
    with pytest.raises(IntegrityError):
        start_stage(session, "r2", stage="ponder", algorithm_version="1", params={})


def test_a_shard_recorded_twice_is_one_row_with_the_later_facts(session: Session) -> None:
    stage = begin(session)
    record_shard(session, stage, 3, uri="u", digest=digest("one"), documents=5, meta={"a": 1})
    record_shard(session, stage, 3, uri="u", digest=digest("two"), documents=5, attempts=2)
    record_shard(session, stage, 1, uri="u", digest=digest("x"), documents=5, status="quarantined")
    shards = list_shards(session, stage)
    assert [(shard.shard_index, shard.attempts) for shard in shards] == [(1, 1), (3, 2)]
    assert shards[1].digest == digest("two")
    assert count(session, Shard) == 2


def test_shared_work_is_seen_from_each_generation_and_its_doer_stays_known(
    session: Session, generation: Generation
) -> None:
    stage = begin(session)
    other = ensure_generation(session, generation.arm, 1)
    use_stage(session, generation, stage, reused=False)
    use_stage(session, other, stage, reused=True)
    use_stage(session, generation, stage, reused=True)
    uses = session.scalars(select(StageUse).order_by(StageUse.generation_id)).all()
    assert [(use.generation_id, use.reused) for use in uses] == [
        (generation.id, False),
        (other.id, True),
    ]


def test_changed_documents_replace_those_recorded_before(
    session: Session, generation: Generation
) -> None:
    assert record_changed_documents(session, generation, iter(documents(12_001))) == 12_001
    assert record_changed_documents(session, generation, documents(3)) == 3
    assert count(session, ChangedDocument) == 3
    other = ensure_generation(session, generation.arm, 1)
    record_changed_documents(session, other, documents(2))
    assert count(session, ChangedDocument) == 5


def test_a_refused_revision_is_kept_with_its_reason(
    session: Session, generation: Generation
) -> None:
    row = {"doc_id": "d", "action": "keep", "before_sha256": digest("d"), "reason": "truncated\x00"}
    record_changed_documents(session, generation, [row])
    session.commit()
    [found] = document_history(session, "d")
    assert (found["action"], found["after_sha256"]) == ("keep", None)
    assert (found["reason"], found["before_sha256"]) == ("truncated\ufffd", digest("d"))


def test_reasons_that_are_stored_alike_are_one_verdict_over_all_chunks(
    session: Session, generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.records.documents.ROWS_A_CHUNK", 2)
    reasons = ["cut\x00", "cut\ufffd", "cut\ud800", "cut", "cut\x00", "other"]
    row = {"action": "keep", "before_sha256": digest("d")}
    record_changed_documents(
        session,
        generation,
        [row | {"doc_id": f"d{i}", "reason": reason} for i, reason in enumerate(reasons)],
    )
    session.commit()
    kept = session.scalars(select(Verdict.reason).order_by(Verdict.id)).all()
    assert sorted(kept) == ["cut", "cut\ufffd", "other"]
    assert document_history(session, "d4")[0]["reason"] == "cut\ufffd"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action": "burn"}, "ck_verdicts_action|CHECK"),
        ({"doc_id": ""}, "1 to 512"),
        ({"doc_id": "x" * 513}, "1 to 512"),
        ({"doc_id": "a\x00b"}, "no NUL"),
        ({"score_before": math.nan}, "record None"),
        ({"before_sha256": "ab"}, "64 hexadecimal digits"),
        ({"score": 0.5}, "no column 'score'; nearest: .*score_before"),
    ],
)
def test_a_changed_document_that_makes_no_sense_is_refused(
    session: Session, generation: Generation, change: dict[str, Any], says: str
) -> None:
    with pytest.raises((IntegrityError, DatabaseProblem), match=says):
        record_changed_documents(session, generation, [documents(1)[0] | change])


def test_a_document_with_two_actions_in_one_generation_is_refused(
    session: Session, generation: Generation
) -> None:
    with pytest.raises(DatabaseProblem, match="twice among those that generation 0"):
        record_changed_documents(session, generation, documents(2) + documents(1))


def test_a_refused_batch_leaves_the_earlier_documents_in_place(database: Database) -> None:
    with database.sessions.begin() as session:
        arm = ensure_arm(session, new_experiment(session), "revise", 1)
        generation = ensure_generation(session, arm, 0)
        record_changed_documents(session, generation, documents(4))
    with pytest.raises(DatabaseProblem), database.sessions.begin() as session:
        record_changed_documents(session, generation, documents(12_000) + documents(1))
    with database.readers() as session:
        assert count(session, ChangedDocument) == 4


def test_an_evaluation_recorded_again_replaces_itself_and_no_other(
    session: Session, generation: Generation
) -> None:
    checkpoint = add_checkpoint(session, digest("m"), uri="u")
    corpus = add_corpus_version(session, digest("c"), uri="u", shards=1, documents=1)
    row = EvaluationRow("oracle", "oracle/propensity", 0.5, 100, stderr=0.05, unscored=2)
    for subject in (checkpoint, corpus, generation):
        record_evaluations(session, subject, [row])
    record_evaluations(
        session,
        checkpoint,
        [
            EvaluationRow("oracle", "oracle/propensity", 0.25, 100),
            EvaluationRow("oracle", "oracle/propensity", 0.75, 100, seed=2),
            EvaluationRow("oracle", "oracle/propensity", None, 0, variant="before_skills"),
        ],
    )
    plain = [(found.value, found.seed) for found in evaluations_of(session, checkpoint, variant="")]
    assert plain == [(0.25, 0), (0.75, 2)]
    assert len(evaluations_of(session, checkpoint)) == 3
    assert [found.unscored for found in evaluations_of(session, corpus)] == [2]
    assert count(session, Evaluation) == 5


@pytest.mark.parametrize("row", [{"value": math.inf}, {"value": 0.1, "stderr": math.nan}])
def test_an_evaluation_without_a_number_is_refused(
    session: Session, generation: Generation, row: Any
) -> None:
    with pytest.raises(DatabaseProblem, match="record None"):
        record_evaluations(session, generation, [EvaluationRow("t", "m", n=1, **row)])


@pytest.mark.parametrize("subjects", [0, 2])
def test_an_evaluation_has_exactly_one_subject(
    session: Session, generation: Generation, subjects: int
) -> None:
    checkpoint = add_checkpoint(session, digest("m"), uri="u")
    keys = {"generation_id": generation.id, "checkpoint_id": checkpoint.id} if subjects else {}
    session.add(Evaluation(subject_key="k", task="t", task_version="1", metric="m", n=1, **keys))
    with pytest.raises(IntegrityError):
        session.flush()


def test_a_gate_decided_again_replaces_itself(session: Session, generation: Generation) -> None:
    record_gate(session, generation, "rater", "inconclusive", mode="record_only")
    record_gate(
        session, generation, "capability", "fail", value=-0.1, lower=-0.2, upper=0.0, bound=-0.03,
        interval_over="items", n=5000, reason="loses more than the margin",
    )  # fmt: skip
    record_gate(session, generation, "rater", "pass")
    decided = [(gate.gate, gate.outcome, gate.mode) for gate in gates_of(session, generation)]
    assert decided == [("capability", "fail", "enforce"), ("rater", "pass", "enforce")]


@pytest.mark.parametrize(
    "wrong", [{"outcome": "maybe"}, {"mode": "off"}, {"interval_over": "people"}, {"n": -1}]
)
def test_a_gate_decision_outside_the_words_is_refused(
    session: Session, generation: Generation, wrong: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"outcome": "pass"} | wrong
    with pytest.raises(IntegrityError):
        record_gate(session, generation, "rater", **fields)


def test_rollback_goes_to_the_last_generation_that_passed(session: Session) -> None:
    arm = ensure_arm(session, new_experiment(session), "revise", 1)
    model = add_checkpoint(session, digest("m"), uri="u")
    generations = [ensure_generation(session, arm, index) for index in range(4)]
    for generation, outcome in zip(generations, (None, "pass", "fail", "pass"), strict=True):
        set_generation(session, generation, checkpoint_id=model.id)
        if outcome:
            record_gate(session, generation, "capability", outcome, mode="record_only")
    promote(session, arm, generations[3])
    assert rollback(session, arm) is generations[1]
    assert arm.promoted_generation is generations[1]
    assert rollback(session, arm) is generations[0]
    with pytest.raises(DatabaseProblem, match="no generation before 0"):
        rollback(session, arm)
    assert arm.promoted_generation_id == generations[0].id


def test_only_a_generation_of_the_arm_that_has_a_checkpoint_is_promoted(
    session: Session, generation: Generation
) -> None:
    other = ensure_arm(session, new_experiment(session), "control", 1)
    with pytest.raises(DatabaseProblem, match="another arm"):
        promote(session, other, generation)
    with pytest.raises(DatabaseProblem, match="no checkpoint"):
        promote(session, generation.arm, generation)
    with pytest.raises(DatabaseProblem, match="no promoted generation"):
        rollback(session, other)


def test_recording_everything_again_adds_only_the_new_run(database: Database) -> None:
    def counts() -> dict[str, int]:
        with database.readers() as session:
            tables = {name: count(session, table) for name, table in Base.metadata.tables.items()}
        del tables[Run.__tablename__]
        return tables

    with database.sessions.begin() as session:
        record_demo(session)
    first = counts()
    with database.sessions.begin() as session:
        record_demo(session)
    assert counts() == first
