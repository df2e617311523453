"""A sound record with rows in every table, and what the tests of `db copy` ask of two databases."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db_demo import digest
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session
from test_db_upkeep import record_sound

from configs.predictions import Prediction
from db.bulk import ROWS_A_CHUNK
from db.copying import Copied, copy_record
from db.models import (
    Arm,
    Base,
    ChangedDocument,
    Checkpoint,
    ConfigVersion,
    CorpusVersion,
    DocumentName,
    Experiment,
    Generation,
    Informed,
    Label,
    LabelSet,
    Stage,
    StageUse,
    Used,
    Verdict,
)
from db.records import (
    EvaluationRow,
    acquire_leases,
    add_artifact,
    document_keys,
    finish_run,
    record_evaluations,
    record_gate,
    record_predictions,
    record_sources,
    register_experiment,
    release_leases,
    start_run,
)
from db.sessions import open_database

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class Listener:
    """Is told how far a copy is; `at` is called with the name of each table as it is copied."""

    at: Callable[[str], object] = lambda table: None
    said: list[str] = field(default_factory=list)

    def step(self, what: str) -> None:
        self.said.append(what)

    def progress(self, what: str, done: int, total: int, began: float) -> None:
        assert 0 < done <= total and began <= time.monotonic()
        self.said.append(f"{what} {done}/{total}")
        self.at(what.removeprefix("copy "))


def copy(source: str, target: str, at: Callable[[str], object] = lambda table: None) -> Copied:
    return copy_record(source, target, is_dead=lambda lease: False, progress=Listener(at))


def rows_of(url: str) -> Rows:
    """Every row of every table, in the order of its key."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for name, table in Base.metadata.tables.items()
        }
    engine.dispose()
    return found


def record_everything(session: Session) -> None:
    """Rows in every table, and in every column that closes a circle."""
    arm = record_sound(session)
    first = session.scalars(select(Experiment)).one()
    register_experiment(session, "fork", {"seeds": [1]}, {"rate": "r1"}, forked_from=first)
    config = add_artifact(session, ConfigVersion, digest("config"), content={"seeds": [1]})
    run = start_run(
        session,
        command="palimpsest run Frühstück.yaml",
        commit=None,
        dirty=None,
        versions={"vllm": "0.32.0"},
        host_kind={"memory": 25_769_803_776},
        experiment=first,
        config=config,
    )
    finish_run(session, run, "finished")
    corpus = session.scalars(select(CorpusVersion).order_by(CorpusVersion.id)).first()
    model = session.scalars(select(Checkpoint).order_by(Checkpoint.id)).first()
    last = session.scalars(select(Generation).where(Generation.generation_index == 1)).one()
    assert corpus is not None and model is not None
    record_sources(session, corpus, [{"notes.jsonl": 7, "other.jsonl": 3}])
    labels = add_artifact(session, LabelSet, digest("labels"), content={"labels": 1})
    session.flush()
    [document] = document_keys(session, {"doc-00000": None}).values()
    session.add(Label(artifact_id=labels.id, document_id=document, label=1))
    rate, train = session.scalars(select(Stage).order_by(Stage.id)).all()
    session.add(Informed(stage_id=train.id, source_stage_id=rate.id))
    session.add(Used(stage_id=train.id, role="corpus", artifact_id=corpus.id))
    session.add(StageUse(generation_id=last.id, stage_id=train.id, reused=True))
    record_evaluations(session, model, [EvaluationRow("oracle", "a", 1 / 3, 9, stderr=1e-300)])
    said = {"metric": "oracle/propensity", "direction": "lower", "size": 0.1, "by": 1}
    record_predictions(session, last.arm.experiment, [Prediction.model_validate(said)])
    record_gate(session, last, "capability", "pass", value=0.1, interval_over="items", n=9)
    grant = acquire_leases(session, [arm], holder="h", host="elsewhere", pid=1, ttl_s=60)
    release_leases(session, grant)


def filled(url: str, fill: Callable[[Session], object] = record_everything) -> str:
    """The URL of a database that holds a record."""
    database = open_database(url)
    with database.sessions.begin() as session:
        fill(session)
    database.dispose()
    return url


def new_sqlite(template: Path, folder: Path, name: str) -> str:
    """The URL of a migrated SQLite file without rows."""
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{shutil.copy(template, folder / name)}"


def many_documents(session: Session, count: int) -> None:
    """More changed documents than fit into a few chunks, in the second generation."""
    verdict = session.scalars(select(Verdict).order_by(Verdict.id)).first()
    assert verdict is not None
    arm = session.scalars(select(Arm)).one()
    another = Generation(arm_id=arm.id, generation_index=2)
    session.add(another)
    session.flush()
    other = Verdict(generation_id=another.id, action="keep")
    session.add(other)
    session.flush()
    for first in range(1_000, 1_000 + count, ROWS_A_CHUNK):
        keys = range(first, min(first + ROWS_A_CHUNK, 1_000 + count))
        names = [{"id": key, "doc_id": f"many-{key}"} for key in keys]
        session.execute(insert(DocumentName), names)
        session.execute(
            insert(ChangedDocument),
            [
                {
                    "generation_id": another.id,
                    "document_id": key,
                    "verdict_id": other.id,
                    "before_sha256": key.to_bytes(32, "big"),
                    "score_before": 1 / key,
                }
                for key in keys
            ],
        )


def main(source: str, target: str) -> None:
    """Copy, and stand still in the midst of the changed documents until killed."""

    def wait(table: str) -> None:
        if table == "changed_documents":
            print("in the midst", flush=True)
            time.sleep(600)

    copy(source, target, wait)


if __name__ == "__main__":
    main(*sys.argv[1:])
