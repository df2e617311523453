"""The record around the documents: an experiment of ten generations, and a chain of a thousand.

Each generation has the edges that the loop writes: its checkpoint has a parent, was trained on a
corpus and on documents of corpus 0, and its corpus was derived from another, read by a checkpoint
and accepted by a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from db.models import Checkpoint, CorpusVersion, Derivation, Generation
from db.records import (
    EvaluationRow,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_run,
    finish_stage,
    record_evaluations,
    register_experiment,
    set_generation,
    start_run,
    start_stage,
    use_stage,
)

GENERATIONS = 10
DEPTH = 1_000
EXPERIMENT, ARM, SEED = "bench", "revise", 1
# A tree of principles, prompts and settings, as large as a resolved config of the microworld.
_CONFIG = {"seeds": [SEED], "settings": {f"setting_{n}": n / 7 for n in range(120)}}


def digest(name: str) -> str:
    """A stable made-up digest."""
    return sha256(name.encode()).hexdigest()


def checkpoint_digest(generation: int) -> str:
    """Digest of a checkpoint of the experiment."""
    return digest(f"model {generation}")


def deep_digest(generation: int) -> str:
    """Digest of a checkpoint of the chain, whose last generation is `DEPTH`."""
    return digest(f"deep model {generation}")


def record_experiment(session: Session, documents: int) -> list[int]:
    """Write the experiment; keys of the generations 1 to 10, whose documents are to be written."""
    experiment = register_experiment(session, EXPERIMENT, _CONFIG, {"rate": "1"})
    run = start_run(
        session,
        command="palimpsest run bench.yaml",
        commit="0" * 40,
        dirty=False,
        versions={"vllm": "0.32.0", "torch": "2.13.0"},
        host_kind={"cpu": "2 cores"},
        experiment=experiment,
    )
    arm = ensure_arm(session, experiment, ARM, SEED)
    corpora: list[CorpusVersion] = []
    models: list[Checkpoint] = []
    for index in range(GENERATIONS + 1):
        parent = corpora[-1] if corpora else None
        corpus = add_corpus_version(
            session,
            digest(f"corpus {index}"),
            uri=f"file:///bench/corpora/{index}",
            shards=100,
            documents=documents,
            tokens=documents * 700,
            parent=parent,
            run=run,
        )
        corpora.append(corpus)
        if models:
            derive(session, corpus, "read_by", models[-1])
            derive(session, corpus, "accepted_by", models[0])
        models.append(_train(session, index, corpora, models, run))
        _generation(session, arm, index, corpora[-1], models[-1], documents)
    finish_run(session, run, "finished")
    return [ensure_generation(session, arm, index).id for index in range(1, GENERATIONS + 1)]


def _train(session: Session, index: int, corpora: Any, models: Any, run: Any) -> Checkpoint:
    inputs = {"corpus": corpora[-1].digest, "corpus0": corpora[0].digest}
    if models:
        inputs["checkpoint"] = models[-1].digest
    stage = start_stage(
        session,
        digest(f"train {index}"),
        stage="train",
        algorithm_version="1",
        params={"lr": 0.003, "inputs": inputs},
        run=run,
    )
    model = add_checkpoint(
        session,
        checkpoint_digest(index),
        uri=f"file:///bench/checkpoints/{index}",
        parent=models[-1] if models else None,
        recipe_id=stage.recipe_id,
        numerics_class={"dtype": "float32", "threads": 1},
        tokens_seen=index + 1,
        run=run,
    )
    derive(session, model, "trained_on", corpora[-1])
    derive(session, model, "mixed_from", corpora[0])
    finish_stage(session, stage, output_digest=model.digest, seconds=60.0, documents=1)
    rows = [EvaluationRow("oracle", f"oracle/metric_{n}", n / 10, 1_000) for n in range(10)]
    record_evaluations(session, model, rows)
    return model


def _generation(
    session: Session, arm: Any, index: int, corpus: Any, model: Any, documents: int
) -> None:
    row = ensure_generation(session, arm, index)
    stage = start_stage(
        session,
        digest(f"accept {index}"),
        stage="accept",
        algorithm_version="1",
        params={"inputs": {"corpus": corpus.digest}},
    )
    finish_stage(session, stage, output_digest=digest(f"decisions {index}"), seconds=1.0)
    use_stage(session, row, stage, reused=False)
    set_generation(
        session,
        row,
        status="finished",
        corpus_version_id=corpus.id,
        checkpoint_id=model.id,
        documents_in=documents,
        keep=documents if index == 0 else 0,
        revise=0 if index == 0 else documents,
        drop=0,
        tag=0,
        quarantine=0,
    )


def count_actions(session: Session, generation: int, actions: Mapping[str, int]) -> None:
    """Write into a generation what became of its documents."""
    row = session.get_one(Generation, generation)
    set_generation(session, row, keep=actions["keep"], revise=actions["revise"])


def record_chain(session: Session, depth: int = DEPTH) -> None:
    """Write a second experiment of so many generations, without documents, in bulk."""
    experiment = register_experiment(session, f"{EXPERIMENT}-deep", _CONFIG, {"rate": "1"})
    arm = ensure_arm(session, experiment, ARM, SEED)
    made = {"checkpoint": [0] * (depth + 1), "corpus": [0] * (depth + 1)}
    for model, kind in ((Checkpoint, "checkpoint"), (CorpusVersion, "corpus")):
        rows = [_artifact(kind, index) for index in range(depth + 1)]
        keys = session.scalars(
            insert(model).returning(model.id, sort_by_parameter_order=True), rows
        )
        made[kind] = list(keys)
    edges = [
        {"artifact_id": one, "relation": relation, "source_id": other}
        for index in range(1, depth + 1)
        for one, relation, other in _edges(made, index)
    ]
    session.execute(insert(Derivation), edges)
    generations = [
        {
            "arm_id": arm.id,
            "generation_index": index,
            "status": "finished",
            "corpus_version_id": made["corpus"][index],
            "checkpoint_id": made["checkpoint"][index],
            **dict.fromkeys(("documents_in", "keep"), 1),
            **dict.fromkeys(("revise", "drop", "tag", "quarantine"), 0),
        }
        for index in range(depth + 1)
    ]
    session.execute(insert(Generation), generations)


def _artifact(kind: str, index: int) -> dict[str, Any]:
    name = deep_digest(index) if kind == "checkpoint" else digest(f"deep corpus {index}")
    counts = {"shards": 1, "documents": 1} if kind == "corpus" else {}
    return {"digest": name, "uri": f"file:///bench/deep/{kind}/{index}", "meta": {}, **counts}


def _edges(made: Mapping[str, list[int]], index: int) -> Iterator[tuple[int, str, int]]:
    models, corpora = made["checkpoint"], made["corpus"]
    yield models[index], "parent", models[index - 1]
    yield models[index], "trained_on", corpora[index]
    yield models[index], "mixed_from", corpora[0]
    yield corpora[index], "derived_from", corpora[index - 1]
    yield corpora[index], "read_by", models[index - 1]
    yield corpora[index], "accepted_by", models[0]
