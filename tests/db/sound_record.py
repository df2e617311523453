"""A sound record of two generations, and ways to spoil it."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

from db_demo import digest, documents, new_experiment
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Arm, Generation
from db.records import (
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    finish_stage,
    promote,
    record_changed_documents,
    record_shard,
    set_generation,
    start_stage,
)
from db.sessions import Database

NONE = {"revise": 0, "drop": 0, "tag": 0, "quarantine": 0}


def record_sound(session: Session) -> Arm:
    """Two generations of ten documents: two were revised, and a stage rated them shard by shard."""
    experiment = new_experiment(session)
    arm = ensure_arm(session, experiment, "revise", 1)
    corpora = [
        add_corpus_version(session, digest(f"c{n}"), uri=f"/h/c{n}", shards=2, documents=10)
        for n in (0, 1)
    ]
    models = [add_checkpoint(session, digest(f"m{n}"), uri=f"/h/m{n}") for n in (0, 1)]
    derive(session, corpora[1], "derived_from", corpora[0])
    derive(session, models[1], "trained_on", corpora[1])
    derive(session, models[1], "parent", models[0])
    inputs = {"inputs": {"corpus": corpora[0].digest}}
    stage = start_stage(session, digest("r"), stage="rate", algorithm_version="1", params=inputs)
    for index in (0, 1):
        name = digest(f"s{index}")
        record_shard(session, stage, index, uri=f"/h/s{index}", digest=name, documents=5)
    joined = sha256(f"{digest('s0')}\n{digest('s1')}".encode()).hexdigest()
    finish_stage(session, stage, output_digest=joined, output_uri="/h", meta={"shards": 2})
    train = start_stage(session, digest("t"), stage="train", algorithm_version="1", params={})
    finish_stage(session, train, output_digest=models[1].digest, output_uri=models[1].uri)
    for index, (corpus, model) in enumerate(zip(corpora, models, strict=True)):
        row = ensure_generation(session, arm, index)
        if index:
            refused = documents(3)[2] | {"action": "keep", "reason": "no gain"}
            record_changed_documents(session, row, [*documents(2), refused])
        set_generation(
            session,
            row,
            status="finished",
            corpus_version_id=corpus.id,
            checkpoint_id=model.id,
            documents_in=10,
            keep=8 if index else 10,
            **NONE | {"revise": 2 if index else 0},
        )
    promote(session, arm, row)
    return arm


def last(session: Session) -> Generation:
    return session.scalars(select(Generation).where(Generation.generation_index == 1)).one()


def lose_checkpoint(session: Session) -> None:
    set_generation(session, last(session), checkpoint_id=None)


def password_url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def damage(sqlite_url: str) -> Path:
    """Overwrite the page of a table in the middle of the file."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    other_hand = sqlite3.connect(path)
    other_hand.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    [(page,)] = other_hand.execute("SELECT rootpage FROM sqlite_master WHERE name = 'arms'")
    [(size,)] = other_hand.execute("PRAGMA page_size")
    other_hand.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    return path
