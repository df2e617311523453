"""`taint`: everything that a document or a source has touched, for take-downs.

A corpus *holds* a document from its import until a generation drops or quarantines it. A checkpoint
is *trained on* a corpus that holds it. What was made from those in turn, by training on or by
rating and revising, is *descended*: it may carry what it was without holding the document.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal, or_, select, union_all
from sqlalchemy.orm import Session, aliased

from db.lineage.documents import nearest_documents
from db.models import (
    Arm,
    Artifact,
    ChangedDocument,
    CorpusSource,
    CorpusVersion,
    Derivation,
    DocumentName,
    Experiment,
    Generation,
    Source,
    Verdict,
    storable,
)
from db.nearest import nearest, or_nearest, quoted
from db.problems import UnknownId

_GONE = ("drop", "quarantine")
_HOW = ("holds", "trained_on", "descended")


def taint(session: Session, wanted: str, *, imports: Collection[str] = ()) -> dict[str, Any]:
    """Every corpus and checkpoint that a document or source touched, and how.

    Args:
        session: a reader's.
        wanted: stable id of a document, or name of a source.
        imports: digests of imported corpora that are known to hold the document. The record knows
            by itself those of arms that did something to it; what was never changed has no row.

    Raises:
        UnknownId: the record knows no such document or source, and no import was named.
    """
    kind, roots, without = _roots(session, wanted)
    if imports:
        known = CorpusVersion.digest.in_(list(imports))
        roots = {*roots, *session.scalars(select(CorpusVersion.id).where(known))}
    if not roots:
        raise _unknown(session, wanted)
    return {"kind": kind, "id": wanted, "touched": _touched(session, roots, without)}


def _roots(session: Session, wanted: str) -> tuple[str, set[int], set[int]]:
    """What it is, the imported corpora that hold it, and corpora that it was taken out of."""
    if not storable(wanted):
        return "document", set(), set()
    connection = session.connection()
    rows = connection.execute(_DONE, {"wanted": wanted}).all()
    if rows:
        without = {corpus for _, corpus, action in rows if action in _GONE and corpus is not None}
        imported = {first for first, _, _ in rows if first is not None}
        return "document", imported - without, without
    roots = {corpus for (corpus,) in connection.execute(_OF_SOURCE, {"wanted": wanted})}
    return ("source" if roots else "document"), roots, set()


# The statements are built once: made anew for each question they take longer than the answer.
_IMPORTED = aliased(Generation)
_DONE = (
    select(_IMPORTED.corpus_version_id, Generation.corpus_version_id, Verdict.action)
    .select_from(DocumentName)
    .join(ChangedDocument, ChangedDocument.document_id == DocumentName.id, isouter=True)
    .join(Generation, Generation.id == ChangedDocument.generation_id, isouter=True)
    .join(Verdict, Verdict.id == ChangedDocument.verdict_id, isouter=True)
    .join(
        _IMPORTED,
        and_(_IMPORTED.arm_id == Generation.arm_id, _IMPORTED.generation_index == 0),
        isouter=True,
    )
    .where(DocumentName.doc_id == bindparam("wanted"))
)
_OF_SOURCE = (
    select(CorpusSource.corpus_version_id)
    .join(Source, Source.id == CorpusSource.source_id)
    .where(Source.name == bindparam("wanted"), CorpusSource.documents > 0)
)


def _reach(*taken_out: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Every artifact that is touched, and how closely: an index into `_HOW`."""
    made, source = Derivation.artifact_id, Derivation.source_id
    holding = select(Artifact.id).where(Artifact.id.in_(bindparam("roots", expanding=True)))
    holding = holding.cte("holding", recursive=True)
    holding = holding.union(
        select(made)
        .join(holding, source == holding.c.id)
        .where(Derivation.relation == "derived_from", *taken_out)
    )
    trained = (
        select(made.label("id"))
        .join(holding, source == holding.c.id)
        .where(Derivation.relation.in_(("trained_on", "mixed_from")))
        .cte("trained")
    )
    # Not on from the corpora: one that lost the document carries nothing of it by itself.
    descended = select(trained.c.id).cte("descended", recursive=True)
    descended = descended.union(select(made).join(descended, source == descended.c.id))
    ways = union_all(
        *(
            select(way.c.id, literal(how).label("how"))
            for how, way in enumerate((holding, trained, descended))
        )
    ).subquery("ways")
    touched = select(ways.c.id, func.min(ways.c.how).label("how")).group_by(ways.c.id).subquery()
    return (
        select(
            Artifact.id,
            Artifact.kind,
            Artifact.digest,
            Artifact.uri,
            touched.c.how,
            Experiment.name,
            Arm.name,
            Arm.seed,
            Generation.generation_index,
        )
        .select_from(touched)
        .join(Artifact, Artifact.id == touched.c.id)
        .join(
            Generation,
            or_(
                Generation.corpus_version_id == touched.c.id,
                Generation.checkpoint_id == touched.c.id,
            ),
            isouter=True,
        )
        .join(Arm, Arm.id == Generation.arm_id, isouter=True)
        .join(Experiment, Experiment.id == Arm.experiment_id, isouter=True)
        .order_by(Artifact.id, Generation.id)
    )


# Most documents were never taken out of a corpus.
_REACH = _reach()
_REACH_WITHOUT = _reach(Derivation.artifact_id.not_in(bindparam("without", expanding=True)))


def _touched(
    session: Session, roots: Collection[int], without: Collection[int]
) -> list[dict[str, Any]]:
    """Artifacts in the order in which they were recorded, with the generations that they are of."""
    statement, named = _REACH, {"roots": list(roots)}
    if without:
        statement, named = _REACH_WITHOUT, named | {"without": list(without)}
    touched: dict[int, dict[str, Any]] = {}
    for row in session.connection().execute(statement, named).all():
        key, kind, digest, uri, how, experiment, arm, seed, index = row
        if key not in touched:
            names: list[str] = []
            touched[key] = {
                "kind": kind,
                "id": digest,
                "how": _HOW[how],
                "uri": uri,
                "generations": names,
            }
        if experiment is not None:
            touched[key]["generations"].append(f"{experiment}:{arm}:{index}:{seed}")
    return list(touched.values())


def _unknown(session: Session, wanted: str) -> UnknownId:
    names = nearest_documents(session, wanted)
    if storable(wanted):
        names += nearest(wanted, session.scalars(select(Source.name).limit(1_000)))
    return UnknownId(
        f"the record knows no document and no source {quoted(wanted)}; {or_nearest(names)}", names
    )
