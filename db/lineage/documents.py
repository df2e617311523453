"""`document_history`: everything that was done to one document, and why."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, and_, bindparam, select
from sqlalchemy.orm import Session, aliased

from db.lineage.prepared import Prepared
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

_HISTORY = Prepared(
    # In the order in which `_shown` takes them.
    select(
        Experiment.name,
        Arm.name,
        Arm.seed,
        Generation.generation_index,
        DocumentName.doc_id,
        Verdict.action,
        ChangedDocument.before_sha256,
        ChangedDocument.after_sha256,
        Verdict.principle,
        ChangedDocument.score_before,
        ChangedDocument.score_after,
        ChangedDocument.acceptance_score,
        ChangedDocument.edit_distance,
        Verdict.reason,
        Source.name,
        Stage.recipe_id,
        _RATER.digest,
    )
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


def document_history(session: Session, doc_id: str) -> list[dict[str, Any]]:
    """Every generation that changed, refused to change, tagged, dropped or quarantined a document.

    Generations that left it as it was have no row.

    Raises:
        UnknownId: no generation did anything to a document of this id; the nearest are named.
    """
    rows = []
    if storable(doc_id):
        rows = [_shown(row) for row in _HISTORY.rows(session, doc_id=doc_id)]
    if not rows:
        names = nearest_documents(session, doc_id)
        raise UnknownId(
            f"no generation changed, refused, dropped, tagged or quarantined a document "
            f"{quoted(doc_id)}; {or_nearest(names)}",
            names,
        )
    return rows


def _shown(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """A row as people and scripts read it: digests as 64 hexadecimal digits."""
    # All at once: by name and one by one takes as long again.
    (
        experiment,
        arm,
        seed,
        generation,
        doc_id,
        action,
        before,
        after,
        principle,
        score_before,
        score_after,
        acceptance_score,
        edit_distance,
        reason,
        source,
        decided_by,
        rater,
    ) = row
    return {
        "experiment": experiment,
        "arm": arm,
        "seed": seed,
        "generation": generation,
        "doc_id": doc_id,
        "action": action,
        "before_sha256": before.hex(),
        "after_sha256": after.hex() if after else None,
        "principle": principle or None,
        "score_before": score_before,
        "score_after": score_after,
        "acceptance_score": acceptance_score,
        "edit_distance": edit_distance,
        "reason": reason,
        "source": source or "",
        "decided_by": decided_by,
        "rater": rater,
    }


def nearest_documents(session: Session, doc_id: str) -> list[str]:
    """The ids on either side in the index: millions of ids are not compared one by one."""
    if not storable(doc_id):
        return []
    column = DocumentName.doc_id
    after = select(column).where(column >= doc_id).order_by(column).limit(10)
    before = select(column).where(column < doc_id).order_by(column.desc()).limit(10)
    return nearest(doc_id, [*session.scalars(before), *session.scalars(after)])
