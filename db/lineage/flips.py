"""`flips`: which documents changed verdict in a generation, and why.

A verdict is what stands of a document when a generation is done with it: `pass`, `fail`, `tagged`,
`dropped` or `quarantined`. It changes for one of two reasons:

- the generation did something to the document (`cause` is its action, such as `revise`);
- its rater judged the same text otherwise than the generation before did (`cause` is `rater`).

A document that failed anew and was revised has both rows. Generation 1 has no generation before it
that rated, so its rows are of the first kind alone.

`reason` says why the verdict changed: what is on record of the first kind, and how the two
generations judged of the second. A document that simply passed has no row, and so no score on
record: of most flips by the rater one score is null. The ratings in Parquet have every score.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, null, or_, select
from sqlalchemy.orm import Session, aliased

from db.lineage.generations import find_generation
from db.models import ChangedDocument, DocumentName, Generation, Verdict

ROWS_AT_ONCE = 1_000
CAUSES = ("revise", "tag", "drop", "quarantine", "rater")
COLUMNS = (
    "doc_id",
    "before",
    "after",
    "cause",
    "principle",
    "score_before",
    "score_after",
    "edit_distance",
    "reason",
)
_FELL_AS_IT_WAS = "rated below the threshold now; the generation before passed it as it was"
_FELL_REVISED = "rated below the threshold now; the generation before accepted it as a revision"
_ROSE = "passed now; the generation before found it short and left it as it was"
_AFTER = {"revise": "pass", "tag": "tagged", "drop": "dropped", "quarantine": "quarantined"}

Now = ChangedDocument
Said = Verdict


def flips(
    session: Session,
    experiment: str,
    arm: str,
    generation: int,
    *,
    seed: int | None = None,
    principle: str | None = None,
    cause: str | None = None,
    below: float | None = None,
    above: float | None = None,
    min_change: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the documents that changed verdict, in the order of their keys within each cause.

    Args:
        session: a reader's; keep it open while the rows are read.
        experiment: name of the experiment.
        arm: name of the arm.
        generation: index of the generation.
        seed: of the arm; may be left out where the arm has one.
        principle: only documents that fell short of it.
        cause: only flips of this cause, one of `CAUSES`.
        below: only documents whose score before was less, in [0, 1]; where none is on record, the
            score after.
        above: only those whose score was more, the same one.
        min_change: only revisions whose edit distance is at least this, in [0, 1].

    Raises:
        UnknownId: there is no such experiment, arm or generation.
    """
    row = find_generation(session, experiment, arm, generation, seed)
    before = session.scalars(
        select(Generation).where(
            Generation.arm_id == row.arm_id,
            Generation.generation_index == row.generation_index - 1,
        )
    ).one_or_none()
    parts = [_treated(row)]
    if before is not None and before.generation_index > 0:
        parts.append(_failed_anew(row, before))
        # What has no row passed, once the generation's rows are there.
        if row.corpus_version_id is not None:
            parts.append(_passed_anew(row, before))
    for part in parts:
        yield from _filtered(session, part, principle, cause, below, above, min_change)


def _columns(**own: ColumnElement[Any]) -> list[Any]:
    return [
        DocumentName.doc_id,
        own["before"].label("before"),
        own["after"].label("after"),
        own["cause"].label("cause"),
        Said.principle,
        own["score_before"].label("score_before"),
        own["score_after"].label("score_after"),
        own["edit_distance"].label("edit_distance"),
        own["reason"].label("reason"),
    ]


def _treated(row: Generation) -> Select[*tuple[Any, ...]]:
    """What the generation itself did."""
    return (
        select(
            *_columns(
                before=case((Now.score_before.is_(None), "unrated"), else_="fail"),
                after=case(_AFTER, value=Said.action),
                cause=_column(Said.action),
                score_before=_column(Now.score_before),
                score_after=_column(Now.score_after),
                edit_distance=_column(Now.edit_distance),
                reason=_column(Said.reason),
            )
        )
        .join(Said, Said.id == Now.verdict_id)
        .join(DocumentName, DocumentName.id == Now.document_id)
        .where(Now.generation_id == row.id, Said.action != "keep")
        .order_by(Now.document_id)
    )


def _failed_anew(row: Generation, before: Generation) -> Select[*tuple[Any, ...]]:
    """What the generation before left passing, revised or untouched, and this rater failed."""
    earlier, said = aliased(ChangedDocument), aliased(Verdict)
    return (
        select(
            *_columns(
                before=literal("pass"),
                after=literal("fail"),
                cause=literal("rater"),
                # A document that simply passed has no row, and so no score on record.
                score_before=_column(earlier.score_after),
                score_after=_column(Now.score_before),
                edit_distance=null(),
                # The record's own reason is of what was done next, not of the verdict.
                reason=case((earlier.document_id.is_(None), _FELL_AS_IT_WAS), else_=_FELL_REVISED),
            )
        )
        .join(Said, Said.id == Now.verdict_id)
        .join(DocumentName, DocumentName.id == Now.document_id)
        .join(earlier, _same_document(earlier, before), isouter=True)
        .join(said, said.id == earlier.verdict_id, isouter=True)
        .where(
            Now.generation_id == row.id,
            Now.score_before.is_not(None),
            Said.principle != "",
            or_(earlier.document_id.is_(None), said.action == "revise"),
        )
        .order_by(Now.document_id)
    )


def _passed_anew(row: Generation, before: Generation) -> Select[*tuple[Any, ...]]:
    """What the generation before left failing, its revision refused, and this rater passed."""
    later = aliased(ChangedDocument)
    return (
        select(
            *_columns(
                before=literal("fail"),
                after=literal("pass"),
                cause=literal("rater"),
                score_before=_column(Now.score_before),
                score_after=null(),
                edit_distance=null(),
                reason=case((Said.reason == "", _ROSE), else_=literal(f"{_ROSE}: ") + Said.reason),
            )
        )
        .join(Said, Said.id == Now.verdict_id)
        .join(DocumentName, DocumentName.id == Now.document_id)
        .join(later, _same_document(later, row), isouter=True)
        .where(
            Now.generation_id == before.id,
            Said.action == "keep",
            Said.principle != "",
            later.document_id.is_(None),
        )
        .order_by(Now.document_id)
    )


def _same_document(other: Any, generation: Generation) -> ColumnElement[bool]:
    return and_(other.generation_id == generation.id, other.document_id == Now.document_id)


def _column(attribute: Any) -> ColumnElement[Any]:
    return attribute.expression


def _filtered(
    session: Session,
    part: Select[*tuple[Any, ...]],
    principle: str | None,
    cause: str | None,
    below: float | None,
    above: float | None,
    min_change: float | None,
) -> Iterator[dict[str, Any]]:
    columns = part.selected_columns
    if principle is not None:
        # Several principles stand in one verdict, with commas between.
        listed = literal(",") + Said.principle + literal(",")
        part = part.where(func.replace(listed, f",{principle},", "") != listed)
    if cause is not None:
        part = part.where(columns["cause"] == cause)
    # Most flips by the rater have one of the two: a filter is not to hide them.
    score = func.coalesce(columns["score_before"], columns["score_after"])
    if below is not None:
        part = part.where(score < below)
    if above is not None:
        part = part.where(score > above)
    if min_change is not None:
        part = part.where(columns["edit_distance"] >= min_change)
    for row in session.execute(part, execution_options={"yield_per": ROWS_AT_ONCE}).mappings():
        yield {**row, "principle": row["principle"] or None}
