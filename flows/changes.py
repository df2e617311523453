"""The most changed documents of an experiment, with their texts, for the report and for people."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Arm, Experiment, Generation, Stage, StageUse
from flows.context import running
from flows.page import Change
from flows.places import Place, place_of
from workers.assembling import decided
from workers.corpora.store import open_corpus

# The stage whose rows are the final decisions: the last of these that a generation used.
DECIDING_STAGES = ("accept", "revise")


def most_changed(session: Session, experiment: str, count: int) -> Sequence[Change]:
    """The revised documents that differ most from their originals, most changed first."""
    return heapq.nsmallest(
        count,
        _changes(session, experiment),
        key=lambda change: (change.similarity, change.doc_id, change.generation),
    )


def _changes(session: Session, experiment: str) -> Iterator[Change]:
    # In a run its own home is meant, which the record on a server does not know.
    run = running()
    place = run.place if run else place_of(session)
    generations = session.scalars(
        select(Generation)
        .join(Generation.arm)
        .join(Experiment, Arm.experiment_id == Experiment.id)
        .where(Experiment.name == experiment, Generation.generation_index > 0)
        .order_by(Generation.arm_id, Generation.generation_index)
    ).all()
    for generation in generations:
        before = session.scalars(
            select(Generation).where(
                Generation.arm_id == generation.arm_id,
                Generation.generation_index == generation.generation_index - 1,
            )
        ).one()
        folder = decisions_of(session, place, generation)
        if folder is None or before.corpus_version is None:
            continue
        corpus = open_corpus(place.located(before.corpus_version.uri))
        for document, row in decided(corpus, folder):
            if row.action == "revise" and row.text is not None:
                yield Change(
                    doc_id=document.doc_id,
                    arm=generation.arm.name,
                    seed=generation.arm.seed,
                    generation=generation.generation_index,
                    action=row.action,
                    reason=row.reason,
                    before=document.text,
                    after=row.text,
                    principles=row.principles,
                    score_before=row.score_before,
                    score_after=row.score_after,
                    similarity=row.similarity,
                )


def decisions_of(session: Session, place: Place, generation: Generation) -> Path | None:
    """Folder of a generation's final decisions; None for a control or a generation 0."""
    stages = session.scalars(
        select(Stage)
        .join(StageUse, StageUse.stage_id == Stage.id)
        .where(StageUse.generation_id == generation.id, Stage.stage.in_(DECIDING_STAGES))
    ).all()
    by_name = {stage.stage: stage for stage in stages}
    for name in DECIDING_STAGES:
        if name in by_name and by_name[name].output_uri:
            return place.located(str(by_name[name].output_uri))
    return None
