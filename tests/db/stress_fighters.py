"""What each process of `stress_leases` does: take a lease, write as a run does, give it back.

Every write notes its token in a journal, in its own transaction, and is noted in a log once it was
acknowledged: what stands in the log and not in the journal was lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.orm import Session

import flows.lease
from db.models import Arm, Generation, Shard, Stage, utc_now
from db.problems import DatabaseProblem, LeaseHeld, LeaseLost
from db.records import (
    LeaseGrant,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    find_stage,
    finish_stage,
    leases,
    record_changed_documents,
    record_shard,
    register_experiment,
    set_generation,
    start_stage,
    use_stage,
)
from db.sessions import Database, Patience, open_database
from flows.lease import fenced, hold_leases

ARMS = ("filter", "revise")
SHARDS, DOCUMENTS, CHANGED = 3, 40, 25
TTL_S, RENEW_S, FROZEN_S = 0.3, 0.1, 0.5

journal = Table(
    "stress_journal",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("arm_id", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("generation_index", Integer, nullable=False),
    Column("step", String, nullable=False),
)


@dataclass(frozen=True)
class Fighter:
    """One process: which arm it wants, and where it notes what happened to it."""

    url: str
    arm: str
    seed: int
    log: Path
    over: Path
    """A file that is there once the round is over."""


def digest(*names: object) -> str:
    """A made-up digest."""
    return sha256(":".join(map(str, names)).encode()).hexdigest()


def fight(fighter: Fighter) -> None:
    """Take the arm's lease, write some generations, give it back; again until the round is over."""
    flows.lease.TTL_S, flows.lease.RENEW_S, leases.FROZEN_S = TTL_S, RENEW_S, FROZEN_S
    random = Random(fighter.seed)
    database = open_database(fighter.url)
    with fighter.log.open("ab", buffering=0) as log:

        def note(*words: object) -> None:
            log.write((" ".join(map(str, words)) + "\n").encode())

        note("ready")
        while not fighter.over.exists():
            try:
                with hold_leases(database, lambda session: [find_arm(session, fighter)]) as grant:
                    [(arm, token)] = grant.tokens
                    note("took", arm, token)
                    Writer(database, grant, random, note).write(fighter)
                note("released", arm, token)
            except LeaseHeld:
                note("refused")
            except LeaseLost:
                note("fenced")
            except DatabaseProblem as problem:
                if not problem.transient:
                    raise
                note("away", problem)
            time.sleep(random.uniform(0.01, 0.1))


def find_arm(session: Session, fighter: Fighter) -> Arm:
    """The arm, made if need be."""
    experiment = register_experiment(session, "stress", {}, {})
    return ensure_arm(session, experiment, fighter.arm, 1)


@dataclass
class Writer:
    """Writes generations of one arm under a lease, from wherever the holder before it stopped."""

    database: Database
    grant: LeaseGrant
    random: Random
    note: Callable[..., None]
    patience: Patience = field(default_factory=lambda: Patience(5.0))

    @property
    def token(self) -> int:
        """The lease's token."""
        return self.grant.tokens[0][1]

    def write(self, fighter: Fighter) -> None:
        """Write one to three generations."""
        for _ in range(self.random.randint(1, 3)):
            index, begun, shards = self.standing()
            recipe = f"{fighter.arm}:{index}"
            if not begun:
                with self.step(index, "begin") as (session, row):
                    set_generation(session, row, status="running")
                    start_stage(session, recipe, stage="rate", algorithm_version="1", params={})
            for shard in range(SHARDS):
                if shard not in shards:
                    with self.step(index, f"shard-{shard}") as (session, _):
                        self.write_shard(session, recipe, shard)
            with self.step(index, "end") as (session, row):
                self.finish(session, row, fighter.arm, recipe)
            if fighter.over.exists():
                return

    def standing(self) -> tuple[int, bool, set[int]]:
        """The generation to go on with, whether it was begun, and its finished shards."""
        arm = self.grant.tokens[0][0]
        with self.database.readers() as session:
            wanted = select(Generation).where(Generation.arm_id == arm)
            newest = wanted.order_by(Generation.generation_index.desc()).limit(1)
            row = session.scalars(newest).one_or_none()
            if row is None or row.status == "finished":
                return (row.generation_index + 1 if row else 0), False, set()
            recipe = f"{row.arm.name}:{row.generation_index}"
            done = select(Shard.shard_index).join(Stage).where(Stage.recipe_id == recipe)
            return row.generation_index, True, set(session.scalars(done))

    @contextmanager
    def step(self, index: int, step: str) -> Iterator[tuple[Session, Generation]]:
        """One write: in the journal when it was committed, in the log when that was heard of."""
        self.dawdle()
        arm, token = self.grant.tokens[0]
        with fenced(self.database, self.grant, self.patience) as session:
            row = ensure_generation(session, session.get_one(Arm, arm), index)
            yield session, row
            values = {"arm_id": arm, "token": token, "generation_index": index, "step": step}
            session.execute(insert(journal).values(**values))
            self.dawdle()
        self.note("wrote", arm, token, index, step)

    def dawdle(self) -> None:
        """Leave time for being killed or frozen, between two writes or in the midst of one."""
        if self.random.random() < 0.3:
            time.sleep(self.random.uniform(0.0, 0.03))

    def write_shard(self, session: Session, recipe: str, shard: int) -> None:
        """Record a shard."""
        stage = find_stage(session, recipe)
        assert stage is not None
        about: dict[str, Any] = {
            "uri": f"file:///{recipe}/{shard}",
            "digest": digest(recipe, shard),
        }
        meta = {"token": self.token}
        record_shard(session, stage, shard, **about, documents=DOCUMENTS // SHARDS, meta=meta)

    def finish(self, session: Session, row: Generation, arm: str, recipe: str) -> None:
        """Record what the generation did and that it is done, all in one transaction."""
        index = row.generation_index
        stage = find_stage(session, recipe)
        assert stage is not None
        rows = changed(index, f"token {self.token}") if index else []
        record_changed_documents(session, row, rows, stage=stage)
        shards = "\n".join(digest(recipe, shard) for shard in range(SHARDS))
        whole = sha256(shards.encode()).hexdigest()
        finish_stage(session, stage, output_digest=whole, meta={"shards": SHARDS})
        use_stage(session, row, stage, reused=False)
        corpus, model = self.artifacts(session, row, arm)
        counts = dict.fromkeys(("drop", "tag", "quarantine"), 0) | {"revise": len(rows)}
        set_generation(
            session,
            row,
            status="finished",
            corpus_version_id=corpus.id,
            checkpoint_id=model.id,
            documents_in=DOCUMENTS,
            keep=DOCUMENTS - len(rows),
            finished_at=utc_now(),
            **counts,
        )

    def artifacts(self, session: Session, row: Generation, arm: str) -> tuple[Any, Any]:
        """Corpus and model of a generation; both arms share those of generation 0."""
        index = row.generation_index
        name = f"{arm} {index}" if index else "0"
        corpus = model = None
        if index:
            before = ensure_generation(session, row.arm, index - 1)
            corpus, model = before.corpus_version, before.checkpoint
        about: dict[str, Any] = {"shards": SHARDS, "documents": DOCUMENTS, "parent": corpus}
        corpus = add_corpus_version(session, digest("c", name), uri=f"file:///c{name}", **about)
        model = add_checkpoint(session, digest("m", name), uri=f"file:///m{name}", parent=model)
        derive(session, model, "trained_on", corpus)
        return corpus, model


def changed(index: int, reason: str) -> list[dict[str, Any]]:
    """The rows of a generation: the same documents in every arm, others in every generation."""
    return [
        {
            "doc_id": f"doc-{(index * 7 + number) % 1000:04d}",
            "source": f"source-{number % 3}",
            "action": "revise",
            "before_sha256": digest("before", index, number),
            "after_sha256": digest("after", index, number),
            "reason": reason,
        }
        for number in range(CHANGED)
    ]
