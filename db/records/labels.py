"""Writing human labels, and what they say of a rater."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from configs.fingerprint import digest_of
from db.models import (
    Artifact,
    Checkpoint,
    JsonObject,
    Label,
    LabelSet,
    Source,
    Stage,
    Used,
)
from db.records.artifacts import add_artifact
from db.records.documents import document_keys
from db.records.idempotence import insert_into, insert_once
from db.records.measures import EvaluationRow, record_evaluations
from db.records.stages import find_stage, finish_stage, start_stage

ROWS_A_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What one person says of a document, or of one principle in it."""

    doc_id: str
    label: int
    """1 desirable, 0 undesirable."""
    principle: str = ""
    """Empty for a label of the whole document."""
    annotator: str = ""


@dataclass(frozen=True, slots=True)
class StageIdentity:
    """A stage to record: its recipe's digest, and the recipe."""

    recipe_id: str
    version: str
    params: JsonObject


def label_digest(rows: Iterable[LabelRow], texts: Mapping[str, str]) -> str:
    """Stable id of a set of labels, whatever order its rows come in.

    Args:
        rows: the labels.
        texts: SHA-256 of the text that was labelled, by document, where the labels name it.
    """
    said = sorted([row.doc_id, row.principle, row.annotator, row.label] for row in rows)
    return digest_of({"labels": said, "texts": dict(texts)})


def find_labels(session: Session, digest: str) -> LabelSet | None:
    """The label set with exactly this digest, if there is one."""
    return session.scalars(select(LabelSet).where(LabelSet.digest == digest)).one_or_none()


def record_labels(
    session: Session,
    rows: Sequence[LabelRow],
    *,
    texts: Mapping[str, str],
    corpora: Sequence[str],
    sources: Mapping[str, str],
    stage: StageIdentity,
    meta: JsonObject | None = None,
) -> tuple[LabelSet, bool]:
    """Record labels as one artifact; whether they are new. Labels on record are left as they are.

    Args:
        session: the writer's.
        rows: the labels, each document, principle and annotator once.
        texts: SHA-256 of the text that was labelled, by document, where the labels name it.
        corpora: digests of the corpora that the other documents were looked up in.
        sources: names of the documents' sources, by document, where they are known.
        stage: the import.
        meta: what else is worth keeping, such as the name of the file.
    """
    digest = label_digest(rows, texts)
    found = find_labels(session, digest)
    if found is not None:
        return found, False
    content: JsonObject = {
        "labels": len(rows),
        "documents": len({row.doc_id for row in rows}),
        "corpora": list(corpora),
        "texts": dict(texts),
    }
    made = add_artifact(session, LabelSet, digest, content=content, meta=meta)
    session.flush()
    began = _start(session, stage, "import")
    _link_used(session, began, "corpus", corpora)
    _write(session, made, rows, sources)
    finish_stage(session, began, output_digest=digest, documents=content["documents"])
    return made, True


def record_label_report(
    session: Session,
    rater: Checkpoint,
    rows: Iterable[EvaluationRow],
    *,
    labels: Sequence[str],
    stage: StageIdentity,
) -> bool:
    """Record what labels say of a rater, unless it is on record; whether it was new.

    Args:
        session: the writer's.
        rater: the checkpoint that rated.
        rows: the numbers.
        labels: digests of the label sets that they follow from.
        stage: the evaluation; its inputs name the checkpoint and the ratings.
    """
    found = find_stage(session, stage.recipe_id)
    if found is not None and found.status == "done":
        return False
    began = _start(session, stage, "evaluate")
    _link_used(session, began, "labels", labels)
    recorded = record_evaluations(session, rater, rows, recipe_id=stage.recipe_id)
    finish_stage(
        session,
        began,
        output_digest=stage.recipe_id,
        documents=max((r.n for r in recorded), default=0),
    )
    return True


def _start(session: Session, stage: StageIdentity, name: str) -> Stage:
    return start_stage(
        session,
        stage.recipe_id,
        stage=name,
        algorithm_version=stage.version,
        params=stage.params,
    )


def _link_used(session: Session, stage: Stage, role: str, digests: Sequence[str]) -> None:
    kind = {"labels": "labels", "corpus": "corpus"}[role]
    wanted = select(Artifact.id).where(Artifact.kind == kind, Artifact.digest.in_(digests))
    for key in session.scalars(wanted):
        statement = insert_into(session, Used).values(stage_id=stage.id, role=role, artifact_id=key)
        session.execute(statement.on_conflict_do_nothing())


def _write(
    session: Session, made: LabelSet, rows: Sequence[LabelRow], sources: Mapping[str, str]
) -> None:
    stream = iter(rows)
    keys = {
        name: insert_once(session, Source, {"name": name}, {}).id
        for name in sorted(set(sources.values()))
    }
    while chunk := list(islice(stream, ROWS_A_CHUNK)):
        wanted = {row.doc_id: keys.get(sources.get(row.doc_id, "")) for row in chunk}
        documents = document_keys(session, wanted)
        session.execute(
            insert_into(session, Label),
            [
                {
                    "artifact_id": made.id,
                    "document_id": documents[row.doc_id],
                    "principle": row.principle,
                    "annotator": row.annotator,
                    "label": row.label,
                }
                for row in chunk
            ],
        )
