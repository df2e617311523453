"""Human labels of documents: checked as a whole, then recorded as one artifact, or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from db.lineage.documents import nearest_documents as nearest_on_record
from db.lineage.identify import identify_artifact
from db.lineage.labels import imported_corpora, known_documents, known_principles
from db.models import CorpusVersion
from db.nearest import nearest, or_nearest, quoted
from db.records.labels import (
    LabelRow,
    StageIdentity,
    find_labels,
    label_digest,
    record_labels,
)
from db.sessions import Database
from flows.label_files import SHOWN, Line, read_labels, refuse
from flows.places import place_of
from flows.ratings import connection, nearest_documents, shard_globs
from flows.stages import Recipe
from workers.corpora.row_files import shown_name
from workers.problems import InputProblem


@dataclass(frozen=True, slots=True)
class Held:
    """A document as a corpus holds it."""

    doc_id: str
    text_sha256: str
    source: str
    corpus: str
    """Digest of the corpus."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file of labels."""

    id: str
    new: bool
    labels: int
    documents: int
    desirable: int
    unknown: int
    """Documents that nothing on record is known of."""


def import_labels(
    database: Database,
    path: Path,
    *,
    annotator: str = "",
    principle: str = "",
    corpus: str | None = None,
    allow_unknown: bool = False,
) -> Imported:
    """Take in a CSV file of labels; the same labels again add nothing.

    Args:
        database: the record.
        path: the file, with the columns of `flows.label_files`.
        annotator: who labelled, where the file does not say.
        principle: what was judged, where the file does not say; empty for the whole document.
        corpus: digest of the corpus whose texts were labelled, where the file does not say.
        allow_unknown: also take labels of documents and principles that are not on record.

    Raises:
        InputProblem: the file cannot be used; names lines, fields and what they may hold.
    """
    lines = read_labels(path, annotator=annotator, principle=principle)
    with database.readers() as session:
        roots = [_corpus(session, corpus)] if corpus else imported_corpora(session)
        held = find_documents(session, roots, {line.row.doc_id for line in lines})
        if corpus:
            lines = [replace(line, text=line.text or _only_text(held, line)) for line in lines]
        rows = [line.row for line in lines]
        texts = {line.row.doc_id: line.text for line in lines if line.text}
        digest = label_digest(rows, texts)
        unknown = _unknown(session, held, rows, only_corpus=corpus is not None)
        if find_labels(session, digest) is None:
            faults = _ambiguous(lines, held)
            if not allow_unknown:
                faults += _strangers(session, lines, unknown, roots)
            refuse(path, faults)
    with database.sessions.begin() as session:
        _, new = record_labels(
            session,
            rows,
            texts=texts,
            corpora=sorted({each.corpus for several in held.values() for each in several}),
            sources={doc_id: several[0].source for doc_id, several in held.items()},
            stage=_identity(digest),
            meta={"file": shown_name(path)},
        )
    return Imported(
        id=digest,
        new=new,
        labels=len(rows),
        documents=len({row.doc_id for row in rows}),
        desirable=sum(row.label for row in rows),
        unknown=len(unknown),
    )


def find_documents(
    session: Session, corpora: Sequence[CorpusVersion], doc_ids: Iterable[str]
) -> dict[str, list[Held]]:
    """Documents as the corpora hold them; those that no corpus still holds are left out."""
    wanted, place = list(doc_ids), place_of(session)
    found: dict[str, list[Held]] = defaultdict(list)
    statement = (
        "SELECT doc_id, text_sha256, source FROM read_parquet($files) "
        "WHERE doc_id IN (SELECT unnest($wanted))"
    )
    for corpus in corpora:
        files = shard_globs([place.located(corpus.uri)])
        if not files:
            continue
        rows = connection().sql(statement, params={"files": files, "wanted": wanted})
        for doc_id, text, source in rows.fetchall():
            found[doc_id].append(Held(doc_id, text, source, corpus.digest))
    return dict(found)


def _ambiguous(lines: Iterable[Line], held: Mapping[str, Sequence[Held]]) -> list[str]:
    """Lines whose document has several texts, without a word on which of them was labelled."""
    found: list[str] = []
    for line in lines:
        texts = {each.text_sha256 for each in held.get(line.row.doc_id, ())}
        if not line.text and len(texts) > 1:
            found.append(
                f"line {line.number}: document {quoted(line.row.doc_id)} has {len(texts)} texts in "
                "the corpora on record; name the one that was labelled in a column text_sha256, or "
                "its corpus with --corpus"
            )
    return found


def _unknown(
    session: Session,
    held: Mapping[str, Sequence[Held]],
    rows: Iterable[LabelRow],
    *,
    only_corpus: bool,
) -> set[str]:
    """Documents that no corpus holds and, unless one was named, that have no row on record."""
    missing = {row.doc_id for row in rows} - held.keys()
    return missing if only_corpus else missing - known_documents(session, missing)


def _strangers(
    session: Session, lines: Iterable[Line], unknown: set[str], roots: Sequence[CorpusVersion]
) -> list[str]:
    """Lines about documents or principles that are not on record, with what may be meant."""
    principles = known_principles(session)
    found: list[str] = []
    for line in lines:
        row = line.row
        if row.doc_id in unknown:
            # Looking through whole corpora for each would take long, and nobody reads them all.
            near = _nearest(session, roots, row.doc_id) if len(found) < SHOWN else []
            found.append(
                f"line {line.number}, field doc_id: no corpus on record holds "
                f"{quoted(row.doc_id)}; {or_nearest(near)}; --allow-unknown takes it all the same"
            )
        if row.principle and principles and row.principle not in principles:
            found.append(
                f"line {line.number}, field principle: {quoted(row.principle)} is not on record; "
                f"{or_nearest(nearest(row.principle, sorted(principles)))}"
            )
    return found


def _nearest(session: Session, roots: Sequence[CorpusVersion], doc_id: str) -> list[str]:
    place = place_of(session)
    held = nearest_documents((place.located(root.uri) for root in roots), doc_id)
    return held or nearest_on_record(session, doc_id)


def _corpus(session: Session, wanted: str) -> CorpusVersion:
    row = identify_artifact(session, wanted)
    if not isinstance(row, CorpusVersion):
        raise InputProblem(f"--corpus {quoted(wanted)} is of kind {row.kind}; name a corpus")
    return row


def _only_text(held: Mapping[str, Sequence[Held]], line: Line) -> str:
    found = held.get(line.row.doc_id)
    return found[0].text_sha256 if found else ""


def _identity(digest: str) -> StageIdentity:
    recipe = Recipe("import", {}, {"labels": digest})
    return StageIdentity(recipe.id, recipe.version, recipe.params)
