"""Documents that a generation did something to, the verdicts on them, and what people say of them.

Ten generations of a large corpus are tens of millions of rows here, so a row holds keys and
numbers only: names stand once in `documents` and `sources`, and what was decided and why once in
`verdicts`. Hashes are 32 bytes, not 64 letters.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Key, Prose, not_negative, one_of

# `keep` is here for a revision that was refused: the document stayed, and the row says why.
DOCUMENT_ACTIONS = ("keep", "revise", "drop", "tag", "quarantine")
# PostgreSQL indexes at most 2,704 bytes a row; 512 characters of four bytes each stay below it.
DOC_ID_LIMIT = 512


class Source(Base):
    """Where documents came from: a file, a site, a data set."""

    __tablename__ = "sources"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)


class CorpusSource(Base):
    """How many documents of an imported corpus came from a source."""

    __tablename__ = "corpus_sources"
    __table_args__ = (CheckConstraint("documents >= 0", name="documents"),)

    corpus_version_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"), primary_key=True, index=True)
    documents: Mapped[int]


class DocumentName(Base):
    """The stable id of a document beside the key that stands for it inside."""

    __tablename__ = "documents"
    __table_args__ = (
        CheckConstraint(f"length(doc_id) BETWEEN 1 AND {DOC_ID_LIMIT}", name="doc_id"),
    )

    id: Mapped[Key]
    doc_id: Mapped[str] = mapped_column(unique=True)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("sources.id"))


class Verdict(Base):
    """What a generation did to some of its documents, by which stage, and why."""

    __tablename__ = "verdicts"
    __table_args__ = (
        UniqueConstraint("generation_id", "action", "principle", "reason"),
        # Makes the pair a target for the foreign key of changed documents.
        UniqueConstraint("id", "generation_id"),
        CheckConstraint(one_of("action", DOCUMENT_ACTIONS), name="action"),
    )

    id: Mapped[Key]
    generation_id: Mapped[int] = mapped_column(ForeignKey("generations.id"))
    stage_id: Mapped[int | None] = mapped_column(ForeignKey("stages.id"), index=True)
    action: Mapped[str]
    # Never null: nulls are not equal in a unique constraint. Empty where none was fallen short of.
    principle: Mapped[str] = mapped_column(default="")
    reason: Mapped[Prose] = mapped_column(default="")


class ChangedDocument(Base):
    """A document that a generation changed, refused to change, dropped, tagged or quarantined."""

    __tablename__ = "changed_documents"
    __table_args__ = (
        # One key for both: the verdict is one of the row's own generation.
        ForeignKeyConstraint(
            ["verdict_id", "generation_id"], ["verdicts.id", "verdicts.generation_id"]
        ),
        Index(None, "document_id", "generation_id"),
        CheckConstraint(
            "length(before_sha256) = 32 AND (after_sha256 IS NULL OR length(after_sha256) = 32)",
            name="digests",
        ),
        CheckConstraint(not_negative("edit_distance"), name="edit_distance"),
        # A generation's rows lie together, in one tree with the key.
        {"sqlite_with_rowid": False},
    )

    generation_id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True)
    verdict_id: Mapped[int]
    before_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    after_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    score_before: Mapped[float | None]
    score_after: Mapped[float | None]
    acceptance_score: Mapped[float | None]
    edit_distance: Mapped[float | None]


class Label(Base):
    """What a person says of a document, or of one principle in it: 1 desirable, 0 not."""

    __tablename__ = "labels"
    __table_args__ = (CheckConstraint("label IN (0, 1)", name="label"),)

    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    document_id: Mapped[int] = mapped_column(
        ForeignKey("documents.id"), primary_key=True, index=True
    )
    # Empty for a label of the whole document.
    principle: Mapped[str] = mapped_column(primary_key=True, default="")
    annotator: Mapped[str] = mapped_column(primary_key=True, default="")
    label: Mapped[int]
