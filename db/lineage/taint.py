"""`taint`: everything that a document or a source has touched, for take-downs.

A corpus *holds* a document from its import until a generation drops or quarantines it. A checkpoint
is *trained on* a corpus that holds it. What was made from those in turn, by training on or by
rating and revising, is *descended*: it may carry what it was without holding the document.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.lineage.ancestry import relatives
from db.lineage.documents import nearest_documents
from db.models import (
    Arm,
    Artifact,
    ChangedDocument,
    CorpusSource,
    CorpusVersion,
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
_TRAINED = ("trained_on", "mixed_from")


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
    holding = _holding(session, roots, without)
    trained = [
        each
        for each in relatives(session, holding, "descendants", only=_TRAINED, steps=1)
        if each.kind == "checkpoint"
    ]
    touched: dict[int, str] = dict.fromkeys(holding, "holds")
    touched |= {each.key: "trained_on" for each in trained if each.key not in touched}
    # Not on from the corpora: one that lost the document carries nothing of it by itself.
    for each in relatives(session, [each.key for each in trained], "descendants"):
        touched.setdefault(each.key, "descended")
    return {"kind": kind, "id": wanted, "touched": _named(session, touched)}


def _roots(session: Session, wanted: str) -> tuple[str, set[int], set[int]]:
    """What it is, the imported corpora that hold it, and corpora that it was taken out of."""
    if not storable(wanted):
        return "document", set(), set()
    document = session.scalars(
        select(DocumentName.id).where(DocumentName.doc_id == wanted)
    ).one_or_none()
    if document is not None:
        return "document", *_roots_of_document(session, document)
    source = (
        select(CorpusSource.corpus_version_id)
        .join(Source, Source.id == CorpusSource.source_id)
        .where(Source.name == wanted, CorpusSource.documents > 0)
    )
    roots = set(session.scalars(source))
    return ("source" if roots else "document"), roots, set()


def _roots_of_document(session: Session, document: int) -> tuple[set[int], set[int]]:
    rows = session.execute(
        select(Generation.arm_id, Generation.corpus_version_id, Verdict.action)
        .join(ChangedDocument, ChangedDocument.generation_id == Generation.id)
        .join(Verdict, Verdict.id == ChangedDocument.verdict_id)
        .where(ChangedDocument.document_id == document)
    ).all()
    arms = {arm for arm, _, _ in rows}
    without = {corpus for _, corpus, action in rows if action in _GONE and corpus is not None}
    first = select(Generation.corpus_version_id).where(
        Generation.arm_id.in_(arms),
        Generation.generation_index == 0,
        Generation.corpus_version_id.is_not(None),
    )
    return {corpus for corpus in session.scalars(first) if corpus} - without, without


def _holding(session: Session, roots: Collection[int], without: set[int]) -> list[int]:
    """The roots and the corpora made from them, up to those that the document was taken out of."""
    made = relatives(session, roots, "descendants", only=("derived_from",), stop=without)
    return [*roots, *(each.key for each in made)]


def _named(session: Session, touched: dict[int, str]) -> list[dict[str, Any]]:
    """Artifacts in the order in which they were recorded, with the generations that they are of."""
    where = _generations(session, list(touched))
    rows = session.execute(
        select(Artifact.id, Artifact.kind, Artifact.digest, Artifact.uri)
        .where(Artifact.id.in_(list(touched)))
        .order_by(Artifact.id)
    )
    return [
        {
            "kind": kind,
            "id": digest,
            "how": touched[key],
            "uri": uri,
            "generations": where.get(key, []),
        }
        for key, kind, digest, uri in rows
    ]


def _generations(session: Session, keys: Sequence[int]) -> dict[int, list[str]]:
    rows = session.execute(
        select(
            Experiment.name,
            Arm.name,
            Arm.seed,
            Generation.generation_index,
            Generation.corpus_version_id,
            Generation.checkpoint_id,
        )
        .join(Arm, Arm.id == Generation.arm_id)
        .join(Experiment, Experiment.id == Arm.experiment_id)
        .where(Generation.corpus_version_id.in_(keys) | Generation.checkpoint_id.in_(keys))
        .order_by(Generation.id)
    )
    found: dict[int, list[str]] = {}
    for experiment, arm, seed, index, corpus, checkpoint in rows:
        name = f"{experiment}:{arm}:{index}:{seed}"
        for key in (corpus, checkpoint):
            if key is not None:
                found.setdefault(key, []).append(name)
    return found


def _unknown(session: Session, wanted: str) -> UnknownId:
    names = nearest_documents(session, wanted)
    if storable(wanted):
        names += nearest(wanted, session.scalars(select(Source.name).limit(1_000)))
    return UnknownId(
        f"the record knows no document and no source {quoted(wanted)}; {or_nearest(names)}", names
    )
