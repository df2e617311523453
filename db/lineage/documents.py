"""`document_history`: everything that was done to one document, and why."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session, aliased

from db.models import (
    Arm,
    Artifact,
    ChangedDocument,
    DocumentName,
    Experiment,
    Generation,
    Source,
    Stage,
    Verdict,
    storable,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import UnknownId

# Corpus n is rated and revised by model n-1.
_BEFORE = aliased(Generation)
_RATER = aliased(Artifact)
_NUMBERS = ("score_before", "score_after", "acceptance_score", "edit_distance")

# Everything that is known of a row, in the order in which it is shown.
_COLUMNS = (
    Experiment.name.label("experiment"),
    Arm.name.label("arm"),
    Arm.seed,
    Generation.generation_index.label("generation"),
    DocumentName.doc_id,
    Verdict.action,
    ChangedDocument.before_sha256,
    ChangedDocument.after_sha256,
    Verdict.principle,
    *(getattr(ChangedDocument, name) for name in _NUMBERS),
    Verdict.reason,
    Source.name.label("source"),
    Stage.recipe_id.label("decided_by"),
    _RATER.digest.label("rater"),
)
# Built once: a statement made anew for each question takes longer than its answer.
_HISTORY = (
    select(*_COLUMNS)
    .select_from(ChangedDocument)
    .join(DocumentName, DocumentName.id == ChangedDocument.document_id)
    .join(Verdict, Verdict.id == ChangedDocument.verdict_id)
    .join(Generation, Generation.id == ChangedDocument.generation_id)
    .join(Arm, Arm.id == Generation.arm_id)
    .join(Experiment, Experiment.id == Arm.experiment_id)
    .join(Source, Source.id == DocumentName.source_id, isouter=True)
    .join(Stage, Stage.id == Verdict.stage_id, isouter=True)
    .join(
        _BEFORE,
        and_(
            _BEFORE.arm_id == Generation.arm_id,
            _BEFORE.generation_index == Generation.generation_index - 1,
        ),
        isouter=True,
    )
    .join(_RATER, _RATER.id == _BEFORE.checkpoint_id, isouter=True)
    .where(DocumentName.doc_id == bindparam("doc_id"))
    .order_by(Experiment.id, Arm.id, Generation.generation_index)
)
_NAMES = tuple(_HISTORY.selected_columns.keys())


def document_history(session: Session, doc_id: str) -> list[dict[str, Any]]:
    """Every generation that changed, refused to change, tagged, dropped or quarantined a document.

    Generations that left it as it was have no row.

    Raises:
        UnknownId: no generation did anything to a document of this id; the nearest are named.
    """
    rows = []
    if storable(doc_id):
        # By the connection, for rows and not objects are read.
        found = session.connection().execute(_HISTORY, {"doc_id": doc_id})
        rows = [document_row(dict(zip(_NAMES, row, strict=True))) for row in found]
    if not rows:
        names = nearest_documents(session, doc_id)
        raise UnknownId(
            f"no generation changed, refused, dropped, tagged or quarantined a document "
            f"{quoted(doc_id)}; {or_nearest(names)}",
            names,
        )
    return rows


def document_row(row: dict[str, Any]) -> dict[str, Any]:
    """The same row as people and scripts read it: digests as 64 hexadecimal digits."""
    after = row["after_sha256"]
    row["before_sha256"] = row["before_sha256"].hex()
    row["after_sha256"] = after.hex() if after else None
    row["principle"] = row["principle"] or None
    row["source"] = row["source"] or ""
    return row


def nearest_documents(session: Session, doc_id: str) -> list[str]:
    """The ids on either side in the index: millions of ids are not compared one by one."""
    if not storable(doc_id):
        return []
    column = DocumentName.doc_id
    after = select(column).where(column >= doc_id).order_by(column).limit(10)
    before = select(column).where(column < doc_id).order_by(column.desc()).limit(10)
    return nearest(doc_id, [*session.scalars(before), *session.scalars(after)])
