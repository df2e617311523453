"""A small finished experiment to ask questions of: control and revise, two generations each."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from db.models import Experiment, Run, utc_now
from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_run,
    finish_stage,
    promote,
    record_changed_documents,
    record_evaluations,
    record_gate,
    record_shard,
    register_experiment,
    set_generation,
    start_run,
    start_stage,
    use_stage,
)

COUNTS = {"documents_in": 10, "keep": 6, "revise": 2, "drop": 0, "tag": 1, "quarantine": 1}


def digest(name: str) -> str:
    """A stable made-up digest."""
    return sha256(name.encode()).hexdigest()


def new_experiment(session: Session, name: str = "microworld") -> Experiment:
    return register_experiment(session, name, {"seeds": [1], "rate": {"tau": 0.5}}, {"rate": "r1"})


def new_run(session: Session, experiment: Experiment | None = None) -> Run:
    return start_run(
        session,
        command="palimpsest run configs/microworld.yaml",
        commit="abc123",
        dirty=False,
        versions={"vllm": "0.32.0"},
        host_kind={"cpu": "2 cores"},
        experiment=experiment,
    )


def documents(count: int) -> list[dict[str, Any]]:
    return [
        {
            "doc_id": f"doc-{number:05d}",
            "action": "revise",
            "before_sha256": digest(f"before {number}"),
            "after_sha256": digest(f"after {number}"),
            "principle": "honesty",
            "score_before": 0.1,
            "score_after": 0.9,
            "reason": "the assistant hid a fault",
        }
        for number in range(count)
    ]


def record_demo(session: Session) -> Experiment:
    """Generation 0 is shared by both arms; the revise arm's corpus 1 was made by model 0."""
    experiment = new_experiment(session)
    run = new_run(session, experiment)
    corpus_0 = add_corpus_version(
        session, digest("c0"), uri="file:///c0", shards=2, documents=10, tokens=700, run=run
    )
    model_0 = add_checkpoint(session, digest("m0"), uri="file:///m0", tokens_seen=700, run=run)
    for name in ("control", "revise"):
        arm = ensure_arm(session, experiment, name, 1)
        zero = ensure_generation(session, arm, 0)
        one = ensure_generation(session, arm, 1)
        set_generation(
            session,
            zero,
            status="finished",
            corpus_version_id=corpus_0.id,
            checkpoint_id=model_0.id,
            **(COUNTS | {"keep": 9, "revise": 0, "tag": 0}),
        )
        corpus_1 = corpus_0
        if name == "revise":
            corpus_1 = add_corpus_version(
                session, digest("c1"), uri="file:///c1", shards=2, documents=9, parent=corpus_0
            )
            derive(session, corpus_1, "read_by", model_0)
            record_changed_documents(session, one, documents(2))
        stage = start_stage(
            session,
            f"train-{name}",
            stage="train",
            algorithm_version="1",
            params={"lr": 0.003, "inputs": {"corpus": corpus_1.digest}},
            run=run,
        )
        model_1 = add_checkpoint(
            session,
            digest(f"{name} m1"),
            uri=f"file:///{name}/m1",
            parent=model_0,
            recipe_id=stage.recipe_id,
            numerics_class={"dtype": "float32"},
            run=run,
        )
        derive(session, model_1, "trained_on", corpus_1)
        record_shard(session, stage, 0, uri="file:///s0", digest=digest("s0"), documents=10)
        finish_stage(session, stage, output_digest=model_1.digest, seconds=1.5, documents=10)
        use_stage(session, one, stage, reused=False)
        counts = (
            COUNTS
            if name == "revise"
            else COUNTS | {"keep": 10, "revise": 0, "tag": 0} | {"quarantine": 0}
        )
        one = set_generation(
            session,
            one,
            status="finished",
            corpus_version_id=corpus_1.id,
            checkpoint_id=model_1.id,
            training_tokens=900,
            unique_tokens=700,
            epochs=1.3,
            finished_at=utc_now(),
            **counts,
        )
        record_evaluations(
            session,
            model_1,
            [
                EvaluationRow("oracle", "oracle/propensity", 0.2, 1000, stderr=0.01),
                EvaluationRow("oracle", "oracle/propensity", 0.4, 1000, variant="before_skills"),
            ],
        )
        record_evaluations(
            session, corpus_1, [EvaluationRow("oracle", "oracle/misaligned_share", 0.1, 9)]
        )
        record_evaluations(
            session, one, [EvaluationRow("oracle", "oracle/training_misaligned_share", 0.12, 9)]
        )
        record_gate(session, one, "capability", "pass", value=0.1, interval_over="items", n=9)
        promote(session, arm, one)
    finish_run(session, run, "finished")
    return experiment
