"""Human labels on record, and the generations whose ratings they can be held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from db.lineage.identify import identify_artifact
from db.models import (
    Arm,
    CorpusVersion,
    Derivation,
    DocumentName,
    Experiment,
    Generation,
    Label,
    LabelSet,
    PrinciplesFile,
    Stage,
    StageUse,
    Verdict,
)
from db.nearest import quoted
from db.problems import UnknownId
from db.records.labels import LabelRow, label_digest

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class RatedGeneration:
    """A generation and the ratings that it acted on: of corpus n - 1, by model n - 1."""

    experiment: str
    arm: str
    seed: int
    generation: int
    threshold: float | None
    """The one that the experiment is configured with."""
    recipe_id: str
    output_digest: str
    uri: str
    """Folder of the stage's shards."""
    shards: int
    rater: str
    """Digest of the checkpoint that rated."""
    corpus: str
    """Digest of the corpus that was rated."""
    corpus_0: str | None
    """Digest of the arm's corpus 0."""


def rated_generations(
    session: Session,
    experiment: str | None = None,
    *,
    arm: str | None = None,
    seed: int | None = None,
    generation: int | None = None,
) -> list[RatedGeneration]:
    """Generations whose ratings are finished, in the order of the record."""
    zero = aliased(Generation)
    first = aliased(CorpusVersion)
    wanted = (
        select(Experiment, Arm, Generation.generation_index, Stage, first.digest)
        .select_from(StageUse)
        .join(Stage, Stage.id == StageUse.stage_id)
        .join(Generation, Generation.id == StageUse.generation_id)
        .join(Arm, Arm.id == Generation.arm_id)
        .join(Experiment, Experiment.id == Arm.experiment_id)
        .join(zero, and_(zero.arm_id == Arm.id, zero.generation_index == 0), isouter=True)
        .join(first, first.id == zero.corpus_version_id, isouter=True)
        .where(Stage.stage == "rate", Stage.status == "done")
        .order_by(Experiment.id, Arm.id, Generation.generation_index)
    )
    given = (
        (Experiment.name, experiment),
        (Arm.name, arm),
        (Arm.seed, seed),
        (Generation.generation_index, generation),
    )
    wanted = wanted.where(*(column == value for column, value in given if value is not None))
    # A cascade rates a sample of the corpus first, which the ratings that follow hold too.
    found = [row for row in session.execute(wanted) if not _of_a_sample(row.Stage)]
    return [_rated(*row) for row in found]


def _of_a_sample(stage: Stage) -> bool:
    return "sample" in (stage.params.get("inputs") or {})


def _rated(
    experiment: Experiment, arm: Arm, index: int, stage: Stage, corpus_0: str | None
) -> RatedGeneration:
    inputs: dict[str, Any] = stage.params.get("inputs") or {}
    rating: dict[str, Any] = experiment.config.get("rating") or {}
    return RatedGeneration(
        experiment=experiment.name,
        arm=arm.name,
        seed=arm.seed,
        generation=index,
        threshold=rating.get("threshold"),
        recipe_id=stage.recipe_id,
        output_digest=stage.output_digest or "",
        uri=stage.output_uri or "",
        shards=int(stage.meta.get("shards") or 0),
        rater=str(inputs.get("checkpoint") or ""),
        corpus=str(inputs.get("corpus") or ""),
        corpus_0=corpus_0,
    )


def label_sets(session: Session) -> list[dict[str, Any]]:
    """Every file of labels on record, oldest first, with what is in it."""
    counts = (
        select(
            LabelSet,
            func.count(),
            func.count(Label.document_id.distinct()),
            func.sum(Label.label),
        )
        .join(Label, Label.artifact_id == LabelSet.id)
        .group_by(LabelSet.id)
        .order_by(LabelSet.id)
    )
    return [
        {
            "id": row.digest,
            "created_at": row.created_at.isoformat(),
            "file": row.meta.get("file"),
            "labels": labels,
            "documents": documents,
            "desirable": int(desirable),
            "principles": _distinct(session, row, Label.principle),
            "annotators": _distinct(session, row, Label.annotator),
        }
        for row, labels, documents, desirable in session.execute(counts)
    ]


def _distinct(session: Session, row: LabelSet, column: Any) -> list[str]:
    found = select(column).where(Label.artifact_id == row.id, column != "").distinct()
    return list(session.scalars(found.order_by(column)))


def find_label_sets(session: Session, wanted: Iterable[str] = ()) -> list[LabelSet]:
    """Label sets by digest or its start, or all; oldest first.

    Raises:
        UnknownId: one is not on record, or is no label set; or there are no labels at all.
    """
    chosen: dict[int, LabelSet] = {}
    for name in wanted:
        row = identify_artifact(session, name)
        if not isinstance(row, LabelSet):
            raise UnknownId(
                f"{quoted(name)} is of kind {row.kind}; `palimpsest labels list` shows the labels"
            )
        chosen[row.id] = row
    if not chosen:
        chosen = {row.id: row for row in session.scalars(select(LabelSet))}
    if not chosen:
        raise UnknownId(
            "no human labels are on record; `palimpsest labels import FILE.csv` takes them in"
        )
    return [chosen[key] for key in sorted(chosen)]


def labels_of(session: Session, labels: LabelSet) -> Iterator[LabelRow]:
    """Yield the labels of a set; keep the session open while they are read."""
    wanted = (
        select(DocumentName.doc_id, Label.label, Label.principle, Label.annotator)
        .join(DocumentName, DocumentName.id == Label.document_id)
        .where(Label.artifact_id == labels.id)
        .order_by(Label.document_id, Label.principle, Label.annotator)
    )
    for row in session.execute(wanted, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield LabelRow(*row)


def digest_on_record(session: Session, labels: LabelSet) -> str:
    """Digest of a label set's rows as they stand now: its id, unless something was altered."""
    texts: dict[str, str] = (labels.content or {}).get("texts") or {}
    return label_digest(labels_of(session, labels), texts)


def imported_corpora(session: Session) -> list[CorpusVersion]:
    """Corpora that came from no other: what was imported, held-out documents included."""
    made = select(Derivation.artifact_id).where(Derivation.relation == "derived_from")
    wanted = select(CorpusVersion).where(CorpusVersion.id.not_in(made))
    return list(session.scalars(wanted.order_by(CorpusVersion.id)))


def corpora_of(session: Session, digests: Iterable[str]) -> list[CorpusVersion]:
    """Corpora by their digests."""
    wanted = select(CorpusVersion).where(CorpusVersion.digest.in_(list(digests)))
    return list(session.scalars(wanted.order_by(CorpusVersion.id)))


def known_documents(session: Session, doc_ids: Iterable[str]) -> set[str]:
    """Those of the documents that the record has a row for."""
    stream = iter(doc_ids)
    known: set[str] = set()
    while chunk := list(islice(stream, ROWS_AT_ONCE)):
        known |= set(
            session.scalars(select(DocumentName.doc_id).where(DocumentName.doc_id.in_(chunk)))
        )
    return known


def known_principles(session: Session) -> set[str]:
    """Ids of the principles on record, in files of them and in verdicts."""
    contents = session.scalars(select(PrinciplesFile.content))
    known = {
        str(each["id"]) for content in contents if content for each in content.get("principles", ())
    }
    # Several principles stand in one verdict, with commas between.
    for said in session.scalars(select(Verdict.principle).distinct()):
        known |= set(filter(None, said.split(",")))
    return known
