"""The record against itself, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from db_demo import digest
from sound_record import last, lose_checkpoint, record_sound
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.lineage.consistency import Inconsistency, inconsistencies
from db.models import Arm, Derivation, Shard
from db.records import ensure_generation, set_generation
from db.sessions import open_database


@pytest.fixture
def arm(session: Session) -> Arm:
    made = record_sound(session)
    session.flush()
    return made


def test_a_sound_record_agrees_with_itself(session: Session, arm: Arm) -> None:
    assert list(inconsistencies(session)) == []


def forget_rows(session: Session) -> None:
    session.execute(text("DELETE FROM changed_documents WHERE document_id = 1"))


def forget_edge(session: Session, relation: str) -> None:
    edge = session.scalars(select(Derivation).where(Derivation.relation == relation)).one()
    session.delete(edge)


def lose_corpus(session: Session) -> None:
    set_generation(session, last(session), corpus_version_id=None)


def another_shard(session: Session) -> None:
    shard = session.scalars(select(Shard).where(Shard.shard_index == 1)).one()
    shard.digest = digest("another")


def lose_shard(session: Session) -> None:
    session.delete(session.scalars(select(Shard).where(Shard.shard_index == 1)).one())


def smaller_shard(session: Session) -> None:
    session.scalars(select(Shard).where(Shard.shard_index == 1)).one().documents = 4


def nothing_generated(session: Session) -> None:
    session.execute(text("DELETE FROM generated"))


def other_corpus_size(session: Session) -> None:
    session.execute(text("UPDATE artifacts SET documents = 9 WHERE uri = '/h/c1'"))


def more_went_in(session: Session) -> None:
    set_generation(session, last(session), documents_in=11, keep=9)


def gap(session: Session) -> None:
    last(session).generation_index = 2


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (forget_rows, "2 documents are counted as revise, and 1 are on record"),
        (lambda session: forget_edge(session, "trained_on"), "trained on its corpus"),
        (lambda session: forget_edge(session, "derived_from"), "derived from the corpus before"),
        (lambda session: forget_edge(session, "parent"), "to a parent"),
        (lose_checkpoint, "finished and has no checkpoint"),
        (lose_checkpoint, "points at generation 1, which has no checkpoint"),
        (lose_corpus, "finished and has no corpus"),
        (another_shard, "do not give the digest of its output"),
        (lose_shard, "left 2 shards, and 1 are on record"),
        (smaller_shard, "hold 9 documents, and the corpus that it read 10"),
        (nothing_generated, "no edge leads to the artifact"),
        (other_corpus_size, "10 documents were left, and its corpus holds 9"),
        (more_went_in, "11 documents went in, and the corpus before it holds 10"),
        (gap, "the generation before it is not on record"),
    ],
)
def test_what_does_not_agree_is_found(
    session: Session, arm: Arm, harm: Callable[[Session], None], said: str
) -> None:
    harm(session)
    session.flush()
    found = [each.problem for each in inconsistencies(session)]
    assert any(said in problem for problem in found), found


def test_counts_that_do_not_add_up_are_found_where_no_constraint_refused_them(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    path = tmp_path / "copy.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    opened = open_database(f"sqlite:///{path}")
    with opened.sessions.begin() as session:
        record_sound(session)
    with sqlite3.connect(path) as other_hand:
        other_hand.execute("PRAGMA ignore_check_constraints = ON")
        other_hand.execute("UPDATE generations SET keep = 7 WHERE generation_index = 1")
    other_hand.close()
    with opened.readers() as session:
        found = list(inconsistencies(session))
    opened.dispose()
    assert found[0] == Inconsistency(
        "generation microworld:revise:1:1",
        "10 documents went in, and the actions do not add up to it: "
        "7 keep, 2 revise, 0 drop, 0 tag, 0 quarantine",
    )


def test_an_unfinished_generation_is_not_yet_held_to_it(session: Session, arm: Arm) -> None:
    ensure_generation(session, arm, 2)
    session.flush()
    assert list(inconsistencies(session)) == []
