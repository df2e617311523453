"""Whether the record agrees with itself, asked of the database alone.

What a constraint can say, a constraint says. Here stands what takes several tables to see, and what
a constraint would have refused, had the file not been written to by other hands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.models import (
    COUNTED_ACTIONS,
    Arm,
    Artifact,
    ChangedDocument,
    CorpusVersion,
    Derivation,
    Experiment,
    Generated,
    Generation,
    Shard,
    Stage,
    Used,
    Verdict,
)

ROWS_AT_ONCE = 200
# What these leave is an artifact, and so has an edge from them.
_MAKERS = ("import", "assemble", "train")


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """Two things on record that cannot both be so."""

    what: str
    """The row that it is about, as a person names it."""
    problem: str


def inconsistencies(session: Session) -> Iterator[Inconsistency]:
    """Yield what does not agree, as it is found; nothing when the record is sound.

    Args:
        session: a reader's; keep it open while the findings are read.
    """
    for generation in _generations(session):
        for problem in _of_generation(session, generation):
            yield Inconsistency(f"generation {generation.name}", problem)
    yield from _of_arms(session)
    for stage in _finished_stages(session):
        for problem in _of_stage(session, stage):
            yield Inconsistency(f"stage {stage.stage} {stage.recipe_id[:12]}", problem)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A generation beside the one before it."""

    name: str
    row: Generation
    documents: int | None
    """Documents in its corpus."""
    before: Generation | None
    documents_before: int | None


def _generations(session: Session) -> Iterator[_Standing]:
    before, corpus, corpus_before = (
        aliased(Generation),
        aliased(CorpusVersion, flat=True),
        aliased(CorpusVersion, flat=True),
    )
    wanted = (
        select(Generation, Arm, Experiment.name, corpus.documents, before, corpus_before.documents)
        .join(Arm, Arm.id == Generation.arm_id)
        .join(Experiment, Experiment.id == Arm.experiment_id)
        .outerjoin(corpus, corpus.id == Generation.corpus_version_id)
        .outerjoin(
            before,
            (before.arm_id == Generation.arm_id)
            & (before.generation_index == Generation.generation_index - 1),
        )
        .outerjoin(corpus_before, corpus_before.id == before.corpus_version_id)
    )
    last = 0
    while True:
        page = wanted.where(Generation.id > last).order_by(Generation.id).limit(ROWS_AT_ONCE)
        rows = session.execute(page).all()
        if not rows:
            return
        for row, arm, experiment, documents, earlier, documents_before in rows:
            last = row.id
            name = f"{experiment}:{arm.name}:{row.generation_index}:{arm.seed}"
            yield _Standing(name, row, documents, earlier, documents_before)


def _of_generation(session: Session, standing: _Standing) -> Iterator[str]:
    row = standing.row
    yield from _of_counts(session, standing)
    if row.generation_index > 0 and standing.before is None:
        yield "the generation before it is not on record"
    if row.status != "finished":
        return
    if row.corpus_version_id is None or row.checkpoint_id is None:
        lacking = "corpus" if row.corpus_version_id is None else "checkpoint"
        yield f"it is finished and has no {lacking}"
        return
    if row.documents_in is None:
        yield "it is finished and its documents were not counted"
    if row.generation_index > 0:
        yield from _of_edges(session, standing)


def _of_counts(session: Session, standing: _Standing) -> Iterator[str]:
    row = standing.row
    if row.documents_in is None:
        return
    counts = {action: int(getattr(row, action) or 0) for action in COUNTED_ACTIONS}
    if sum(counts.values()) != row.documents_in:
        said = ", ".join(f"{count} {action}" for action, count in counts.items())
        yield f"{row.documents_in} documents went in, and the actions do not add up to it: {said}"
    left = counts["keep"] + counts["revise"] + counts["tag"]
    if standing.documents is not None and left != standing.documents:
        yield f"{left} documents were left, and its corpus holds {standing.documents}"
    if standing.documents_before not in (None, row.documents_in):
        yield (
            f"{row.documents_in} documents went in, and the corpus before it holds "
            f"{standing.documents_before}"
        )
    rows = _changed(session, row.id)
    for action, count in counts.items():
        found = rows.get(action, 0)
        # Of the documents that were kept, those alone have a row whose revision was refused.
        if found > count or (action != "keep" and found != count):
            yield f"{count} documents are counted as {action}, and {found} are on record"


def _changed(session: Session, generation_id: int) -> dict[str, int]:
    """Documents on record by action."""
    # Counted by verdict first: a look at the verdict of every row would take twice the time.
    counted = (
        select(ChangedDocument.verdict_id, func.count().label("rows"))
        .where(ChangedDocument.generation_id == generation_id)
        .group_by(ChangedDocument.verdict_id)
        .subquery()
    )
    summed = (
        select(Verdict.action, func.sum(counted.c.rows))
        .join(counted, counted.c.verdict_id == Verdict.id)
        .group_by(Verdict.action)
    )
    return {action: int(count) for action, count in session.execute(summed)}


def _of_edges(session: Session, standing: _Standing) -> Iterator[str]:
    """What a finished generation was made from."""
    row, before = standing.row, standing.before
    model, corpus = row.checkpoint_id, row.corpus_version_id
    if not _has_edge(session, model, "trained_on", corpus):
        yield "no edge says that its checkpoint was trained on its corpus"
    if before is None or None in (before.corpus_version_id, before.checkpoint_id):
        return
    if before.corpus_version_id != corpus and not _has_edge(
        session, corpus, "derived_from", before.corpus_version_id
    ):
        yield "no edge says that its corpus was derived from the corpus before it"
    if before.checkpoint_id != model and not _has_edge(session, model, "parent", None):
        yield "no edge leads from its checkpoint to a parent"


def _has_edge(session: Session, made: int | None, relation: str, source: int | None) -> bool:
    wanted = select(Derivation.source_id).where(
        Derivation.artifact_id == made, Derivation.relation == relation
    )
    if source is not None:
        wanted = wanted.where(Derivation.source_id == source)
    return session.execute(wanted.limit(1)).first() is not None


def _of_arms(session: Session) -> Iterator[Inconsistency]:
    wanted = (
        select(Arm, Experiment.name, Generation)
        .join(Experiment, Experiment.id == Arm.experiment_id)
        .join(Generation, Generation.id == Arm.promoted_generation_id)
        .order_by(Arm.id)
    )
    for arm, experiment, promoted in session.execute(wanted):
        what = f"arm {experiment}:{arm.name}:{arm.seed}"
        if promoted.arm_id != arm.id:
            yield Inconsistency(what, "it points at a generation of another arm")
        if promoted.checkpoint_id is None:
            index = promoted.generation_index
            yield Inconsistency(what, f"it points at generation {index}, which has no checkpoint")


def _finished_stages(session: Session) -> Iterator[Stage]:
    last = 0
    while True:
        wanted = select(Stage).where(Stage.status == "done", Stage.id > last)
        rows = session.scalars(wanted.order_by(Stage.id).limit(ROWS_AT_ONCE)).all()
        if not rows:
            return
        last = rows[-1].id
        yield from rows


def _of_stage(session: Session, stage: Stage) -> Iterator[str]:
    # An evaluation's output is its figures, which hang on its recipe.
    if not stage.output_digest and stage.stage != "evaluate":
        yield "it is done and has no output"
    if stage.stage in _MAKERS:
        made = (
            select(Artifact.id)
            .join(Generated, Generated.artifact_id == Artifact.id)
            .where(Generated.stage_id == stage.id, Artifact.digest == stage.output_digest)
        )
        if session.execute(made.limit(1)).first() is None:
            yield "no edge leads to the artifact that it made"
    shards = cast(Any, stage.meta.get("shards"))
    if isinstance(shards, int):
        yield from _of_shards(session, stage, shards)


def _of_shards(session: Session, stage: Stage, expected: int) -> Iterator[str]:
    """The output of a stage that works shard by shard is named by its shards."""
    wanted = (
        select(Shard.shard_index, Shard.digest, Shard.documents)
        .where(Shard.stage_id == stage.id)
        .order_by(Shard.shard_index)
    )
    rows: Sequence[Any] = session.execute(wanted).all()
    if [row.shard_index for row in rows] != list(range(expected)):
        yield f"it left {expected} shards, and {len(rows)} are on record"
        return
    joined = "\n".join(row.digest for row in rows)
    if hashlib.sha256(joined.encode("utf-8")).hexdigest() != stage.output_digest:
        yield "the digests of its shards do not give the digest of its output"
    corpus = (
        select(CorpusVersion.documents)
        .join(Used, Used.artifact_id == CorpusVersion.id)
        .where(Used.stage_id == stage.id, Used.role == "corpus")
    )
    held = session.scalars(corpus).one_or_none()
    documents = sum(row.documents for row in rows)
    if held is not None and held != documents:
        yield f"its shards hold {documents} documents, and the corpus that it read {held}"
